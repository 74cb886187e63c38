"""Formulas and diagrams as a reader has them: glyphs, colours, narrow screens, paper, screen readers."""

import base64
import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from qkvdocs.engine.typeset._fonts import glyphs_in, subset
from qkvdocs.engine.typeset._maths import mathml
from qkvdocs.engine.typeset._mermaid import diagram

CSS = Path(__file__).parents[2] / "docs" / "assets" / "site.css"
WIDE = """\
flowchart LR
    x[One embedding row x] --> WQ[Multiply by W_Q] --> q[Query row]
    x -->|the same row| WK([Multiply by W_K]) --> k[Key row<br>of the cache]
"""
TALL_BRACKET = r"\left(\begin{matrix}1\\2\\3\\4\\5\end{matrix}\right)"


@pytest.fixture(scope="module")
def figure():
    return diagram(WIDE, cache=None)


@pytest.fixture
def show(browser):
    def show(body, font=None, width=1000, **options):
        page = browser.new_page(viewport={"width": width, "height": 700}, **options)
        font = base64.b64encode(font or subset(glyphs_in(body))).decode()
        css = CSS.read_text("utf-8").replace("maths.woff2", f"data:font/woff2;base64,{font}")
        page.set_content(
            f"<!doctype html><style>{css}:root{{color-scheme:light dark}}</style>"
            f"<body class='md-typeset' style='margin:16px;font-family:sans-serif'>{body}</body>"
        )
        page.evaluate("document.fonts.ready")
        return page

    return show


def fonts_in_use(page):
    """Ask the browser itself which fonts it drew the formulas with."""
    tools = page.context.new_cdp_session(page)
    tools.send("DOM.enable")
    tools.send("CSS.enable")
    root = tools.send("DOM.getDocument")["root"]["nodeId"]
    nodes = tools.send("DOM.querySelectorAll", {"nodeId": root, "selector": "mi,mn,mo,mtext"})["nodeIds"]
    used = [tools.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"] for node in nodes]
    return {(font["familyName"], font["isCustomFont"]) for fonts in used for font in fonts}


FORMULAS = "".join(
    mathml(tex, display=True)
    for tex in [
        r"\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_{\text{head}}}}\right)V = 0.15",
        r"X\in\mathbb{R}^{D\times D},\ h,\ \mathbf{W},\ \theta,\ \Delta,\ \mathcal{L}",
        r"-\infty,\ \overline{xy},\ \hat{x},\ x'",
        r"\begin{cases}0 & j \le i \\ 1 & \text{else}\end{cases}",
    ]
)


def test_every_glyph_comes_from_our_font(show):
    assert fonts_in_use(show(FORMULAS)) == {("qkvdocs Maths", True)}


def test_a_glyph_that_was_not_cut_is_noticed(show):
    """The italic letter that stands for a lone mi is needed, the plain one does not do."""
    plain = subset(glyphs_in(FORMULAS) - {ord("𝑉")} | {ord("V")})
    assert len(fonts_in_use(show(FORMULAS, font=plain))) == 2


def height_of_bracket(page):
    return page.evaluate("document.querySelector('mo').getBoundingClientRect().height")


def test_brackets_grow_with_what_they_hold(show):
    body = mathml(TALL_BRACKET, display=True)
    assert height_of_bracket(show(body)) > 80


def test_brackets_do_not_grow_without_the_math_table(show):
    """What the test above sees is the font's doing."""
    body = mathml(TALL_BRACKET, display=True)
    font = TTFont(io.BytesIO(subset(glyphs_in(body))))
    del font["MATH"]
    font.save(out := io.BytesIO())
    assert height_of_bracket(show(body, font=out.getvalue())) < 40


def test_tex_is_neither_seen_nor_heard(show):
    page = show(mathml(r"\frac{1}{2}", display=False))
    assert "frac" not in page.inner_text("body")
    assert "frac" not in page.locator("body").aria_snapshot()
    assert r"\frac{1}{2}" in page.content()


@pytest.mark.parametrize("width", [360, 500, 1000])
def test_letters_stay_readable_and_inside_their_boxes(width, show, figure):
    page = show(figure, width=width)
    scale = page.evaluate(
        "(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width)(document.querySelector('svg'))"
    )
    assert 11 <= round(14 * scale, 1) <= 14
    texts = page.evaluate(
        "[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().toJSON())"
    )
    boxes = page.evaluate(
        "[...document.querySelectorAll('svg rect')].map(e => e.getBoundingClientRect().toJSON())"
    )
    assert len(texts) == 7, "one label has two lines"
    for text in texts:
        middle = (text["left"] + text["right"]) / 2
        (box,) = [
            box
            for box in boxes
            if box["left"] < middle < box["right"]
            and box["top"] < text["top"] + text["height"] / 2 < box["bottom"]
        ]
        assert box["left"] < text["left"]
        assert text["right"] < box["right"]
        assert middle == pytest.approx((box["left"] + box["right"]) / 2, abs=1)


def colours(page):
    return page.evaluate(
        "['body', 'svg text', 'svg .arrows path'].map(s => getComputedStyle(document.querySelector(s)))"
        ".map((style, i) => i == 0 ? style.color : i == 1 ? style.fill : style.stroke)"
    )


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"forced_colors": "active"}])
def test_the_picture_is_drawn_in_the_colour_of_the_text(options, show, figure):
    assert len(set(colours(show(figure, **options)))) == 1


def test_light_and_dark_differ(show, figure):
    assert colours(show(figure)) != colours(show(figure, color_scheme="dark"))


def test_paper_shows_the_whole_picture(show, figure):
    page = show(figure, width=360)
    page.emulate_media(media="print")
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.diagram-box'))") <= 0
