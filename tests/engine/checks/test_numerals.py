"""No digit that a reader sees is typed by hand."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qkvdocs.engine.checks._html import PageReader, Words
from qkvdocs.engine.checks._numerals import Allowed, check_numerals, typed, typed_in_code
from qkvdocs.engine.pages import LessonError
from qkvdocs.engine.pages._site import texts

ALLOWED = Allowed(
    frozenset({"x1", "GPT-2", "W_1"}),
    (r"\frac1{",),
    (),
    (("token", "tokens"), ("head", "heads"), ("score", "scores"), ("weight", "weights")),
)

FOUND = {
    "prose": "<p>It is 15.</p>",
    "heading": "<h2 id=a>Part 15</h2>",
    "table": "<table><tr><td>15</td></tr></table>",
    "formula": r'<math><mn>15</mn><annotation encoding="application/x-tex">x = 15</annotation></math>',
    "caption": "<figure><figcaption>15 rows</figcaption></figure>",
    "alternative text": '<img alt="15 rows">',
    "title": '<a href="x" title="page 15">x</a>',
    "label": '<svg role="img" aria-label="15 rows"></svg>',
    "drawing": "<svg><text>15</text></svg>",
    "code that did not run": "<pre><code>x = 15</code></pre>",
    "split by markup": "<p>1<b>5</b></p>",
    "name that is not ours": "<p>GPT-15</p>",
    "digit inside a word": "<p>a1b</p>",
    "superscript": "<p>15 m²</p>",
    "other script": "<p>\u0661\u0665</p>",
    "fraction": "<p>½</p>",
    "formula power": r"<math><annotation>10^{15}</annotation></math>",
    "number word": "<p>It has four tokens.</p>",
    "number word, other case": "<p>Two heads are better.</p>",
}


def kinds(html: str) -> list[str]:
    """Sort all numerals of an article."""
    return [
        kind for words in PageReader(f"<article>{html}</article>").words for kind, _ in typed(words, ALLOWED)
    ]


@pytest.mark.parametrize("place", FOUND)
def test_a_typed_numeral_is_found(place: str) -> None:
    """Wherever it stands."""
    assert set(kinds(FOUND[place])) & {"typed", "counted"}


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>GPT-2 and x1, then W_1.</p>", ["name", "name", "name"]),
        ('<p><a class="cited" href="https://example.org" title="2026-11-21">9 MB</a></p>', ["cited"]),
        (r"<math><mn>1</mn><annotation>\frac1{\sqrt d}</annotation></math>", ["constant"]),
        ("<p>Token two scores high; head two weights it.</p>", []),
        ("<p>one idea, two ways, x</p><script>var a = 15</script><style>a{b:15px}</style>", []),
        ("<ol><li>first</li></ol>", []),
    ],
)
def test_other_numerals_are_sorted(html: str, expected: list[str]) -> None:
    """Names, constants and citations are told apart; a script is no text."""
    assert kinds(html) == expected


def test_only_the_article_counts() -> None:
    """Navigation and footers are the theme's."""
    assert PageReader("<nav>15</nav><article>x</article><footer>16</footer>").words == [Words("x")]


def test_a_page_without_an_article_fails(tmp_path: Path) -> None:
    """A theme that names its content otherwise must not pass for a page without numerals."""
    for folder in ("site", "blank", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "site" / "index.html").write_text("<div>15</div>")
    (tmp_path / "docs" / "index.md").write_text("15")

    _, errors = check_numerals(texts(tmp_path / "site"), tmp_path / "blank", tmp_path / "docs")

    assert [str(error) for error in errors] == ["docs/index.md:1: PageError: index.html must have an article"]


def test_only_the_page_for_wrong_addresses_is_left_out(tmp_path: Path) -> None:
    """That of the site: one of the same name further down is a page as others are."""
    for name in ("404.html", "a/404.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")

    assert texts(tmp_path) == {"a/404.html": "a"}


def test_a_page_that_nobody_blanked_is_typed(tmp_path: Path) -> None:
    """Without our extension nothing on it is computed."""
    for folder, name, text in (("site", "index.html", "<article>15</article>"), ("docs", "index.md", "15")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)

    _, errors = check_numerals(texts(tmp_path / "site"), tmp_path / "blank", tmp_path / "docs")

    assert [error.kind for error in errors] == ["TypedNumber"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 15  # fifteen", []),
        ("x = 1  # that is 15", [(1, "15")]),
        ("y = 1\nprint('score 15')", [(2, "15")]),
        ("print(f'score 15 {y}')", [(1, "15")]),
        ("print(f'{y:.2f} {y:>15}')", []),
        ("print('x1 in GPT-2')", []),
        ("w = tensors['h.0.attn']; t = open('f', encoding='utf-8')", []),
        ("print('h.0.attn has 15')", [(1, "h.0.attn"), (1, "15")]),
    ],
)
def test_text_in_code_counts(code: str, expected: list[tuple[int, str]]) -> None:
    """A comment or a string carries typed digits to the reader; a number literal is an input."""
    assert list(typed_in_code(code, ALLOWED)) == expected


def places(text: str) -> list[int]:
    """List the places of a lesson where a digit would be seen: words of prose, tables, formulas and captions."""
    hidden = re.compile(
        r"^---\n.*?\n---\n|^[ \t]*(?P<f>`{3,})python.*?^[ \t]*(?P=f)$|^```mermaid.*?$"
        r"|`\{(?:python|check|asserted)\}[^`]*`"
        r"|\]\([^)]*\)|\{\s*[.#:][^}]*\}|<[^>]*>|\\[A-Za-z]+|^[ \t]*(?:[-*#|:>!?=]+|\d+\.)[^\w]*"
        r"(?:note|tip|question|info|warning|quote|example|check|success|failure|danger|bug|abstract)?",
        re.S | re.M,
    )
    seen = bytearray(b"1" * len(text))
    for found in hidden.finditer(text):
        seen[found.start() : found.end()] = b"0" * (found.end() - found.start())
    return [
        found.start() + 1
        for found in re.finditer(r"[a-z]{4}", text)
        if seen[found.start() : found.end()] == b"1111"
    ]


def test_digits_are_found_wherever_they_are_typed(lesson: Path, rendered_blank: Callable[[str], str]) -> None:
    """Digits typed at random places of the real lesson (fixed seed), ten different ones at a time."""
    text = lesson.read_text("utf-8")
    rng = random.Random(20261121)
    spots = rng.sample(places(text), 20)
    allowed = Allowed.read(lesson.parents[1])
    assert not found_in(rendered_blank(text), allowed)

    def missed(typed_there: dict[str, int]) -> list[str]:
        changed = text
        for digit, spot in sorted(typed_there.items(), key=lambda pair: -pair[1]):
            changed = changed[:spot] + digit + changed[spot:]
        try:
            found = "".join(found_in(rendered_blank(changed), allowed))
        except LessonError:  # a digit inside a command of a formula stops the build by itself
            if len(typed_there) == 1:
                return []
            pairs, half = [*typed_there.items()], len(typed_there) // 2
            return missed(dict(pairs[:half])) + missed(dict(pairs[half:]))
        return [text[spot - 30 : spot + 30] for digit, spot in typed_there.items() if digit not in found]

    for at in (0, 10):
        assert not missed(dict(zip(rng.sample("0123456789", 10), spots[at : at + 10], strict=True)))


def found_in(html: str, allowed: Allowed) -> list[str]:
    """List what the check would report."""
    words = PageReader(html).words
    return [text for each in words for kind, text in typed(each, allowed) if kind in {"typed", "counted"}]
