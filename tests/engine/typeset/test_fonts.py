"""The maths font: the right glyphs, what stretches them, and no more."""

import io
import unicodedata

import pytest
from fontTools.ttLib import TTFont

from qkvdocs.engine.typeset._fonts import FAMILY, cut, glyphs_in, subset
from qkvdocs.engine.typeset._maths import mathml
from qkvdocs.errors import QKVError

LESSON = [
    r"q = xW_Q,\quad k = xW_K,\quad v = xW_V",
    r"\mathbf{Q} = \mathbf{X}\mathbf{W}_Q,\quad \mathbf{K} = \mathbf{X}\mathbf{W}_K",
    r"\mathbf{V} = \mathbf{X}\mathbf{W}_V",
    r"\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V",
    r"X\in\mathbb{R}^{n\times d_{\text{model}}}",
    r"\begin{bmatrix}2 & 3\end{bmatrix}\begin{pmatrix}1&10\\0&-1\end{pmatrix} = 4567.89",
    r"M_{ij} = \begin{cases}0 & j \le i \\ -\infty & \text{otherwise}\end{cases}",
    r"\sum_{j=1}^{n} e^{s_{ij}} \approx 10^{-6}",
]
PAGE = "".join(f"<p>Prose: Zebra Ω {mathml(tex, display=False)}</p>" for tex in LESSON)


def read(codepoints: set[int]) -> TTFont:
    return TTFont(io.BytesIO(subset(codepoints)))


@pytest.mark.parametrize(
    ("html", "characters"),
    [
        ("<p>no formula</p><mi>x</mi>", ""),
        ("<p>z</p><math><mi>x</mi></math>z<math><mn>15</mn></math>", " 𝑥15"),
        ("<math><mi>h</mi><mi>Q</mi><mi>α</mi></math>", " ℎ𝑄𝛼"),
        ('<math><mi>exp</mi><mi mathvariant="normal">d</mi></math>', " expd"),
        ("<math><mi>𝐖</mi><mo>&lt;</mo><mo>&#8722;</mo></math>", " 𝐖<−"),
        ('<math display="block"><mtext>two <b>w</b></mtext><msqrt><mi>ℝ</mi></msqrt></math>', " twoℝ√"),
        ("<math><semantics><mn>1</mn><annotation>\\TeX<mi>z</mi></annotation></semantics></math>", " 1"),
    ],
)
def test_characters_are_those_that_a_formula_draws(html, characters):
    assert "".join(sorted(map(chr, glyphs_in(html)))) == "".join(sorted(characters))


@pytest.mark.parametrize("letter", "ABCXYZabchxyzΑΓΩαβθω")
def test_a_lone_letter_is_drawn_in_italics(letter):
    """Unicode's own tables say which italic letter folds back to which plain one."""
    (italic,) = glyphs_in(f"<math><mi>{letter}</mi></math>") - {0x20}
    assert unicodedata.normalize("NFKC", chr(italic)) == letter
    assert "ITALIC" in unicodedata.name(chr(italic)) or letter == "h"


def test_the_cut_font_holds_what_the_page_draws_and_no_other_character():
    assert set(read(glyphs_in(PAGE)).getBestCmap()) == glyphs_in(PAGE)


def test_brackets_bring_the_larger_ones_along():
    font = read({ord("(")})
    variants = font["MATH"].table.MathVariants
    assert len(variants.VertGlyphConstruction[0].MathGlyphVariantRecord) > 3
    assert len(font.getGlyphOrder()) > 5
    assert len(read({ord("a")}).getGlyphOrder()) == 2, "a letter brings nothing but itself and .notdef"


def test_a_modified_font_has_its_own_name_and_keeps_its_licence():
    """OFL 1.1, conditions 2 and 3: STIX is a trademark and TM Math a reserved name."""
    name = read({ord("x")})["name"]
    assert [name.getDebugName(number) for number in (1, 4, 6)] == [FAMILY, FAMILY, "qkvdocsMaths"]
    assert "STIX Fonts Project Authors" in name.getDebugName(0)
    assert "SIL Open Font License, Version 1.1" in name.getDebugName(13)
    assert name.getDebugName(14) == "https://scripts.sil.org/OFL"


def test_a_lesson_needs_little():
    """Of 100 kB for a first visit, the theme takes 84."""
    assert len(subset(glyphs_in(PAGE))) < 12_000


def test_other_characters_give_another_font():
    assert subset({ord("x")}) != subset({ord("y")})


def test_a_site_without_formulas_gets_an_empty_font():
    assert not read(glyphs_in("<p>no formula</p>")).getBestCmap()


def test_a_text_font_keeps_what_its_text_needs() -> None:
    """Its characters and its kerning; a name of its own, its copyright and its licence."""
    source = "font-source-serif-pro/font_source_serif_pro/files/SourceSerifPro-Regular.ttf"
    font = TTFont(io.BytesIO(cut(source, "Some Serif", map(ord, "AVx"), features=("kern",))))
    names = {name_id: str(font["name"].getName(name_id, 3, 1, 0x409)) for name_id in (0, 1, 13)}

    assert set(font.getBestCmap()) == set(map(ord, "AVx"))
    assert "kern" in {record.FeatureTag for record in font["GPOS"].table.FeatureList.FeatureRecord}
    assert names[1] == "Some Serif"
    assert "Adobe" in names[0]
    assert "SIL Open Font License" in names[13]


@pytest.mark.parametrize("source", ["no-such-package/a.ttf", "ziamath/no/such.ttf"])
def test_a_font_that_is_not_there_is_named(source: str) -> None:
    """Both the package and the file in it."""
    with pytest.raises(
        QKVError, match=f"a font must be package/path of an installed package, got '{source}'"
    ):
        cut(source, "Some Serif", [65])
