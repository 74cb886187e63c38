"""The figures as readers have them: mouse, keyboard, touch, paper, no JavaScript, narrow, dark, forced colours."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from rjsmin import jsmin

from tests.figures.examples import GALLERY, attention, product

FIRST, SECOND = "y_0 = 2·1 + 3·0 = 2", "y_1 = 2·10 + 3·(-1) = 17"
READERS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}},
    "no script": {"java_script_enabled": False},
    "forced colours": {"forced_colors": "active"},
}
OUT = "#live-product .out td >> nth="
MARKED = """e => [...e.querySelectorAll('.qkv-m td')].filter(td => { const style = getComputedStyle(td);
    return parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none'; })
    .map(td => td.closest('table').dataset.m + td.dataset.r + td.dataset.k)"""


def marked(page):
    """Which cells are outlined."""
    return sorted(page.locator("#live-product").evaluate(MARKED))


def said(page):
    """The sums that can be read at this moment."""
    return [text for text in page.locator("#live-product .qkv-why:visible").all_text_contents() if text]


def values(page, name="y"):
    """What a result shows."""
    return page.locator(f"#live-product [data-m={name}].out b").all_text_contents()


@pytest.mark.parametrize("reader", READERS)
def test_hovering_an_entry_shows_what_it_is_made_of(open_page, reader):
    """All of x, one column of W, and the exact words."""
    page = open_page("product/index.html", **READERS[reader])
    assert said(page) == marked(page) == []
    page.locator(f"{OUT}1").hover()
    assert said(page) == [SECOND]
    assert marked(page) == ["W01", "W11", "x00", "x01", "y01"]
    page.locator(f"{OUT}0").hover()
    assert said(page) == [FIRST]
    assert marked(page) == ["W00", "W10", "x00", "x01", "y00"]


def test_hovering_marks_the_parts_on_the_axes(open_page):
    """With their factors; only those of the entry."""
    page = open_page("product/index.html", java_script_enabled=False)
    width = "e => [0, 1].map(k => getComputedStyle(e.querySelector(`.lanes-${k} path`)).strokeWidth)"
    figure = page.locator("#live-product")
    assert figure.evaluate(width) == ["2px", "2px"]
    page.locator(f"{OUT}1").hover()
    assert figure.evaluate(width) == ["2px", "3px"]
    assert page.locator("#live-product .lanes-1 text").all_text_contents() == ["2·10", "3·(-1)"]
    page.locator(f"{OUT}0").hover()
    assert figure.evaluate(width) == ["3px", "2px"]


def test_the_keyboard_goes_through_fields_and_results(open_page):
    """Fields of x and W, results, code, words, button; a result that has the focus explains itself."""
    page = open_page("product/index.html")
    page.locator("#live-product input").first.focus()
    names = []
    for _ in range(12):
        names.append(
            page.evaluate(
                "(document.activeElement.ariaLabel || document.activeElement.textContent).slice(0, 20)"
            )
        )
        page.keyboard.press("Tab")
    assert names[:6] == ["x_0", "x_1", "W[0,0]", "W[0,1]", "W[1,0]", "W[1,1]"]
    assert [name[:3] for name in names[6:8]] == ["2y_", "17y"]
    assert names[8:11] == ["x = np.array([2, 3])"[:20], "This figure in words", "Reset the numbers"]
    page.locator(f"{OUT}1").focus()
    assert said(page) == [SECOND]


def test_hover_wins_over_focus(open_page):
    """Two sums never lie on one another."""
    page = open_page("product/index.html")
    page.locator(f"{OUT}0").focus()
    page.locator(f"{OUT}1").hover()
    assert said(page) == [SECOND]


def test_a_tap_explains(browser, address):
    """On a touch screen, with and without JavaScript."""
    for script in (True, False):
        context = browser.new_context(
            has_touch=True, viewport={"width": 360, "height": 740}, java_script_enabled=script
        )
        page = context.new_page()
        page.goto(f"{address}/product/index.html")
        page.locator(f"{OUT}1").tap()
        assert said(page) == [SECOND]
        page.locator(f"{OUT}0").tap()
        assert said(page) == [FIRST]
        context.close()


def test_all_sums_are_on_paper(open_page):
    """Folded or not, with and without JavaScript; no controls."""
    for options in ({}, {"java_script_enabled": False}):
        page = open_page("product/index.html", **options)
        page.emulate_media(media="print")
        for sentence in (FIRST, SECOND):
            item = page.locator(".qkv-sums li", has_text=sentence)
            assert item.evaluate(
                "e => e.checkVisibility({contentVisibilityAuto: true}) && e.offsetHeight > 0"
            )
        assert not page.locator(".qkv-bar").is_visible()
        assert not page.locator(".qkv-hint").first.is_visible()


def test_folded_words_are_out_of_the_way_on_screen(open_page):
    """The counterpart of the test above: its question can be answered with no."""
    page = open_page("product/index.html")
    assert not page.locator(".qkv-sums li").first.evaluate(
        "e => e.checkVisibility({contentVisibilityAuto: true})"
    )


@pytest.mark.parametrize("javascript", [True, False])
def test_no_page_scrolls_sideways_on_a_telephone(open_page, javascript):
    """What is wide scrolls in a box of its own."""
    page = open_page("index.html", viewport={"width": 360, "height": 740}, java_script_enabled=javascript)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    rows = page.locator(".qkv-row").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert rows > 0
    widest = page.locator("#live-attention .out td").first
    widest.hover()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_nothing_moves(open_page):
    """No animation and no transition, so there is nothing that reduced motion would have to stop."""
    page = open_page("index.html")
    moving = """() => [...document.querySelectorAll('.qkv, .qkv *')].filter(e => { const s = getComputedStyle(e);
        return s.animationName !== 'none' || s.transitionDuration.split(', ').some(t => parseFloat(t) > 0); }).length"""
    assert page.evaluate(moving) == 0
    page.add_style_tag(content=".md-typeset .qkv td { transition: color 1s }")
    assert page.evaluate(moving) > 0


def test_a_field_changes_what_depends_on_it_and_nothing_else(open_page):
    """Result, sum, words, picture, code."""
    page = open_page("product/index.html")
    before = page.locator("#live-product svg").inner_html()
    page.get_by_label("W[1,1]").fill("0.5")
    assert values(page) == ["2", "21.5"]
    page.locator(f"{OUT}1").hover()
    assert said(page) == ["y_1 = 2·10 + 3·0.5 = 21.5"]
    assert page.locator(".qkv-sums li").all_text_contents() == [FIRST, "y_1 = 2·10 + 3·0.5 = 21.5"]
    assert page.locator(".qkv-code").text_content().splitlines()[1:] == [
        "W = np.array([[1, 10], [0, 0.5]])",
        "y = x @ W  # [2, 21.5]",
    ]
    assert page.locator("#live-product svg").inner_html() != before
    page.get_by_role("button", name="Reset").click()
    assert values(page) == ["2", "17"]
    assert page.locator("#live-product svg").inner_html() == before


def test_arrow_keys_step(open_page):
    """By one, up and down."""
    page = open_page("product/index.html")
    page.get_by_label("x_0").focus()
    page.keyboard.press("ArrowUp")
    assert values(page) == ["3", "27"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert values(page) == ["1", "7"]


def test_the_status_line_is_polite(open_page):
    """It speaks once the reader pauses, and is silent before."""
    page = open_page("product/index.html")
    status = page.locator("[role=status]")
    assert status.text_content() == ""
    page.get_by_label("x_0").fill("20")
    assert status.text_content() == ""
    page.wait_for_function("document.querySelector('[role=status]').textContent")
    assert status.text_content() == "y = [20, 197]"


@pytest.mark.parametrize("bad", ["", "1e", "1000", "-1000", "1e300", "--"])
def test_bad_input_shows_a_question_mark_where_it_matters(open_page, bad):
    """What does not depend on it stays; the picture waits; nothing breaks."""
    page = open_page("product/index.html")
    field = page.get_by_label("W[0,1]")
    field.fill("")
    field.press_sequentially(bad)
    assert values(page) == ["2", "?"]
    page.locator(f"{OUT}1").hover()
    assert said(page) == ["y_1 = 2·? + 3·(-1) = ?"]
    assert page.locator("#live-product svg").inner_html() == ""
    assert (
        page.evaluate("getComputedStyle(document.querySelector('[aria-label=\"W[0,1]\"]')).outlineStyle")
        != "none"
    )
    field.fill("10")
    assert values(page) == ["2", "17"]


def test_a_question_mark_stays_in_its_row_of_attention(open_page):
    """Another token's queries do not suffer, but what mixes its value does."""
    page = open_page("attention/index.html")
    page.get_by_label("X[1,0]").fill("")
    shown = page.locator("#live-attention [data-m=pattern].out b").all_text_contents()
    assert shown == ["1", "0", "?", "?"]
    assert page.locator("#live-attention [data-m=Q].out b").all_text_contents()[:2] == ["2", "5"]


def wait_for_address(page, state):
    """Wait until the address says it."""
    page.wait_for_function(
        "state => (new URLSearchParams(location.search).get('live-product') || '') === state", arg=state
    )


def test_the_address_carries_the_numbers(open_page):
    """A link shows the same numbers; the built ones leave no trace; anchors and other parameters stay."""
    page = open_page("product/index.html?from=mail#a-heading")
    before = page.evaluate("history.length")
    page.get_by_label("x_1").fill("-1.5")
    wait_for_address(page, "2_-1.5_1_10_0_-1")
    assert page.evaluate("history.length") == before, "each edit would be a step back"
    assert page.url.endswith("#a-heading")
    assert parse_qs(urlsplit(page.url).query)["from"] == ["mail"]
    again = open_page(page.url.partition("/site/")[2])
    assert values(again) == ["2", "21.5"]
    assert again.get_by_label("x_1").input_value() == "-1.5"
    again.get_by_role("button", name="Reset").click()
    wait_for_address(again, "")
    assert again.url.endswith("?from=mail#a-heading")


def test_switches_are_in_the_address(open_page):
    """As are all fields of attention."""
    page = open_page("attention/index.html")
    page.get_by_label("scores").select_option("0")
    page.get_by_label("mask").select_option("0")
    page.get_by_label("weights").select_option("1")
    page.wait_for_function("location.search.endsWith('_0_0_1')")
    shown = page.locator("#live-attention .out:visible b").all_text_contents()
    again = open_page(page.url.partition("/site/")[2])
    assert again.locator("#live-attention .out:visible b").all_text_contents() == shown
    assert (
        shown
        != open_page("attention/index.html").locator("#live-attention .out:visible b").all_text_contents()
    )


@pytest.mark.parametrize("state", ["1_2", "", "a_b_c_d_e_f", "<b>_1_1_1_1_1", "9e99_1_1_1_1_1", "_____"])
def test_a_broken_address_breaks_nothing(open_page, state):
    """Either the built numbers, or question marks."""
    page = open_page(f"product/index.html?live-product={state}")
    assert all(re.fullmatch(r"-?\d+|\?", value) for value in values(page))
    page.get_by_role("button", name="Reset").click()
    assert values(page) == ["2", "17"]


def test_instant_navigation_back_and_forward(open_page, address):
    """A page that is swapped in works, twice too, and keeps its numbers in the history."""
    page = open_page("product/")
    page.evaluate("window.first = true")
    page.get_by_label("x_0").fill("5")
    wait_for_address(page, "5_3_1_10_0_-1")
    page.get_by_role("link", name="A heading", exact=False).first.click()
    wait_for_address(page, "5_3_1_10_0_-1")
    assert page.url.endswith("#a-heading")
    assert values(page) == ["5", "47"]
    page.locator("article").get_by_role("link", name="Attention").click()
    page.wait_for_selector("#live-attention input")
    assert page.evaluate("window.first"), "the page was loaded anew: this test tests nothing"
    assert "live-product" not in page.url
    page.get_by_label("X[0,0]").fill("0")
    assert page.locator("#live-attention [data-m=Q].out b").first.text_content() == "1"
    page.go_back()
    page.wait_for_selector("#live-product input")
    assert page.locator("#live-product input").count() == 6
    assert page.locator("#live-product .qkv-bar").count() == 1
    assert values(page) == ["5", "47"]
    page.go_back()
    page.go_forward()
    page.go_forward()
    page.wait_for_selector("#live-attention input")
    assert page.evaluate("window.first")


def test_the_address_of_another_page_is_left_alone(open_page):
    """Leaving at once after an edit does not write into the next page's address."""
    page = open_page("product/index.html")
    page.get_by_label("x_0").fill("5")
    page.locator("article").get_by_role("link", name="Attention").click()
    page.wait_for_selector("#live-attention input")
    page.wait_for_timeout(600)
    assert "live-product" not in page.url


def test_a_page_opened_from_disk(open_page, gallery):
    """From file:// everything works, the address too."""
    page = open_page("product/index.html", at=gallery.as_uri())
    page.get_by_label("x_0").fill("5")
    assert values(page) == ["5", "47"]
    wait_for_address(page, "5_3_1_10_0_-1")
    assert values(open_page("product/index.html?live-product=5_3_1_10_0_-1", at=gallery.as_uri())) == [
        "5",
        "47",
    ]


WORDS = """() => [...document.querySelectorAll('.qkv')].map(figure => {
    const copy = figure.cloneNode(true), values = [...figure.querySelectorAll('input')].map(f => f.value);
    copy.querySelectorAll('input').forEach((f, i) => f.replaceWith(values[i]));
    copy.querySelectorAll('.qkv-bar, .qkv-status').forEach(e => e.remove());
    return copy.innerHTML.replace(/ id="__code[^"]*"/g, ''); })"""


@pytest.mark.parametrize("path", ["index.html", "product/index.html", "attention/index.html"])
def test_the_script_changes_no_word_and_no_coordinate(open_page, path):
    """What is read before JavaScript runs is what is read after."""
    still, live = open_page(path, java_script_enabled=False), open_page(path)
    live.wait_for_selector("qkv-live input")
    assert still.evaluate(WORDS) == live.evaluate(WORDS)
    live.locator("qkv-live input").first.fill("7")
    assert still.evaluate(WORDS) != live.evaluate(WORDS)


@pytest.mark.parametrize("reader", ["light", "dark", "narrow", "no script", "forced colours"])
def test_axe_finds_nothing(open_page, reader):
    """No known barrier in any figure, in any scheme, also while an entry explains itself."""
    from axe_playwright_python.sync_playwright import Axe

    page = open_page("index.html", **{**READERS[reader], "java_script_enabled": True})
    if reader == "no script":
        page.evaluate("document.querySelectorAll('qkv-live input').forEach(f => f.replaceWith(f.value))")
    page.locator(f"{OUT}1").focus()
    found = Axe().run(page, context=".md-content")
    assert found.violations_count == 0, found.generate_report()


def test_axe_would_find_something(open_page):
    """A field without a name is found."""
    from axe_playwright_python.sync_playwright import Axe

    page = open_page("product/index.html")
    page.locator("#live-product input").first.evaluate(
        "e => ['aria-label', 'placeholder'].forEach(name => e.removeAttribute(name))"
    )
    assert Axe().run(page, context=".md-content").violations_count


def test_forced_colours_keep_marks_and_arrows(open_page):
    """An outline is left where backgrounds go; arrows have a colour of the system."""
    page = open_page("product/index.html", forced_colors="active")
    page.locator(f"{OUT}1").hover()
    assert "W11" in marked(page)
    stroke = page.locator("#live-product .v1 path").first.evaluate("e => getComputedStyle(e).stroke")
    text = page.evaluate("getComputedStyle(document.body).color")
    assert stroke == text


def test_sizes():
    """The script keeps its budget, as it is served; nothing stands inline."""
    from tests.figures.conftest import ASSETS

    assert len(jsmin((ASSETS / "qkv-live.js").read_text("utf-8"))) <= 8192
    for make in GALLERY.values():
        assert not re.search(r"<script|<style|\son\w+=", make())
    assert "import" not in (ASSETS / "qkv-live.js").read_text("utf-8")
    assert len(product()) < 8192 < len(attention()) < 32768
