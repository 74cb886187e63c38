"""The figures as readers have them: mouse, keyboard, touch, paper, no JavaScript, narrow, dark, forced colours."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from rjsmin import jsmin

from tests.browser.conftest import violations
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


def test_the_keyboard_goes_through_fields_and_results(open_page):
    """Button, fields of x and W, results, code, words; a result that has the focus explains itself."""
    page = open_page("product/index.html")
    page.get_by_role("button", name="Reset").focus()
    names = []
    for _ in range(12):
        names.append(
            page.evaluate(
                "(document.activeElement.ariaLabel || document.activeElement.textContent).slice(0, 20)"
            )
        )
        page.keyboard.press("Tab")
    assert names[:7] == ["Reset", "x_0", "x_1", "W[0,0]", "W[0,1]", "W[1,0]", "W[1,1]"]
    assert [name[:3] for name in names[7:9]] == ["2y_", "17y"]
    assert names[9:11] == ["x = np.array([2, 3])"[:20], "This figure in words"]
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
        "state => [...new URLSearchParams(location.search)].filter(([k]) => k.startsWith('my-')).join() === state",
        arg=state,
    )


def test_the_address_carries_the_numbers(open_page):
    """A link shows the same numbers; the built ones leave no trace; anchors and other parameters stay."""
    page = open_page("product/index.html?from=mail#a-heading")
    before = page.evaluate("history.length")
    page.get_by_label("x_1").fill("-1.5")
    wait_for_address(page, "my-x,2_-1.5")
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
    """The built ones leave no trace."""
    page = open_page("attention/index.html")
    page.get_by_label("÷ √d_head").uncheck()
    page.get_by_label("mask").uncheck()
    page.get_by_label("one matrix for all").check()
    page.wait_for_function("location.search === '?live-attention=001'")
    shown = page.locator("#live-attention .out:visible b").all_text_contents()
    again = open_page(page.url.partition("/site/")[2])
    assert again.locator("#live-attention .out:visible b").all_text_contents() == shown
    assert (
        shown
        != open_page("attention/index.html").locator("#live-attention .out:visible b").all_text_contents()
    )


@pytest.mark.parametrize("state", ["1", "", "a_b_c_d", "<b>_1_1_1", "9e99_1_1_1", "___"])
def test_a_broken_address_breaks_nothing(open_page, state):
    """Either the built numbers, or question marks."""
    page = open_page(f"product/index.html?my-W={state}&live-product={state}")
    assert all(re.fullmatch(r"-?\d+|\?", value) for value in values(page))
    page.get_by_role("button", name="Reset").click()
    assert values(page) == ["2", "17"]


def test_back_and_forward(open_page):
    """An anchor leaves the numbers in the address, and the history keeps them for who comes back."""
    page = open_page("product/index.html")
    page.get_by_label("x_0").fill("5")
    wait_for_address(page, "my-x,5_3")
    page.get_by_role("link", name="A heading", exact=False).first.click()
    wait_for_address(page, "my-x,5_3")
    assert page.url.endswith("#a-heading")
    assert values(page) == ["5", "47"]
    page.locator("article").get_by_role("link", name="Attention").click()
    page.wait_for_selector("#live-attention td input")
    assert "my-x" not in page.url
    page.go_back()
    page.wait_for_selector("#live-product td input")
    assert page.locator("#live-product input").count() == 6
    assert values(page) == ["5", "47"]


def test_the_address_of_another_page_is_left_alone(open_page):
    """Leaving at once after an edit does not write into the next page's address."""
    page = open_page("product/index.html")
    page.get_by_label("x_0").fill("5")
    page.locator("article").get_by_role("link", name="Attention").click()
    page.wait_for_selector("#live-attention td input")
    page.wait_for_timeout(600)
    assert "my-x" not in page.url


@pytest.mark.parametrize("reader", ["light", "dark", "narrow", "no script", "forced colours"])
def test_axe_finds_nothing(open_page, reader):
    """No known barrier in any figure, in any scheme, also while an entry explains itself."""
    page = open_page("index.html", **{**READERS[reader], "java_script_enabled": True})
    if reader == "no script":
        page.evaluate("document.querySelectorAll('qkv-live td input').forEach(f => f.replaceWith(f.value))")
    page.locator(f"{OUT}1").focus()
    assert violations(page, ".md-content") == []


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

    assert len(jsmin((ASSETS / "qkv-live.js").read_text("utf-8"))) <= 9216
    for make in GALLERY.values():
        assert not re.search(r"<script|<style|\son\w+=", make())
    assert "import" not in (ASSETS / "qkv-live.js").read_text("utf-8")
    assert len(product()) < 4096 < len(attention()) < 12288


def fields(page, name):
    """What the fields of a matrix show, in each figure of the page."""
    shown = "all => all.map(e => [...e.querySelectorAll('input')].map(f => f.value).join(' '))"
    return page.locator(f"[data-m={name}]:has(input)").evaluate_all(shown)


def test_an_edit_shows_wherever_the_name_stands(open_page):
    """In the next product, in a row of the attention figure and in what depends on it; other numbers stay."""
    page = open_page("shared/index.html")
    page.locator("#live-query [aria-label=x2_0]").fill("9")
    assert fields(page, "x2") == ["9 0 2 1"] * 3
    assert fields(page, "x1") == ["1 2 1 2"]
    assert (
        values(page, "q2")
        == []
        != page.locator("#live-key [data-m=k2] b").all_text_contents()
        == ["10", "10"]
    )
    assert page.locator("#live-path [data-m=Q] b").all_text_contents() == ["2", "5", "11", "3"]
    page.locator("#live-path [aria-label='X[1,3]']").fill("0")
    assert fields(page, "x2") == ["9 0 2 0"] * 3
    page.locator("#live-path [aria-label='W_Q[0,0]']").fill("2")
    assert page.locator("#live-query [data-m=q2] b").all_text_contents() == ["20", "2"]


def test_other_numbers_under_the_same_name_are_apart(open_page):
    """Whichever of the two is changed."""
    page = open_page("shared/index.html")
    assert fields(page, "W_V") == ["0 1 1 0 1 1 1 0", "5 1 1 0 1 1 1 0"]
    page.locator("#live-other [aria-label='W_V[0,0]']").fill("7")
    assert fields(page, "W_V") == ["0 1 1 0 1 1 1 0", "7 1 1 0 1 1 1 0"]
    page.locator("#live-path [aria-label='W_V[0,0]']").fill("3")
    assert fields(page, "W_V") == ["3 1 1 0 1 1 1 0", "7 1 1 0 1 1 1 0"]
    wait_for_address(page, "my-W_V,3_1_1_0_1_1_1_0,my-W_V.2,7_1_1_0_1_1_1_0")
    again = open_page(page.url.partition("/site/")[2])
    assert fields(again, "W_V") == ["3 1 1 0 1 1 1 0", "7 1 1 0 1 1 1 0"]


def test_a_link_keeps_a_shared_name_once_and_one_button_resets_all(open_page):
    """Switches too."""
    page = open_page("shared/index.html")
    page.locator("#live-key [aria-label=x2_0]").fill("-4")
    page.get_by_label("mask").uncheck()
    wait_for_address(page, "my-x2,-4_0_2_1")
    page.wait_for_function("location.search.includes('live-path=100')")
    again = open_page(page.url.partition("/site/")[2])
    assert fields(again, "x2") == ["-4 0 2 1"] * 3
    assert again.locator("#live-query [data-m=q2] b").all_text_contents() == ["-2", "3"]
    again.locator("#live-query").get_by_role("button", name="Reset").click()
    assert fields(again, "x2") == ["1 0 2 1"] * 3
    assert again.get_by_label("mask").is_checked()
    again.wait_for_function("location.search === ''")


def test_what_cannot_follow_says_so(open_page):
    """Beside the fields, and on drawings with numbers; not before an edit, and not after a reset."""
    page = open_page("shared/index.html")
    note, kept = page.locator("#live-query .qkv-bar p span").all()
    tags = "all => all.map(e => getComputedStyle(e, '::before').content)"
    drawings = page.locator(".qkv-axes, .diagram")
    assert (note.is_visible(), kept.is_visible()) == (True, False)
    assert drawings.evaluate_all(tags) == ["none"] * 3
    page.locator("#live-query [aria-label=x2_0]").fill("9")
    assert (note.is_visible(), kept.is_visible()) == (False, True)
    assert drawings.evaluate_all(tags) == ['"the original numbers"', '"the original numbers"', "none"]
    page.get_by_role("button", name="Reset").first.click()
    assert (note.is_visible(), kept.is_visible()) == (True, False)
    assert drawings.evaluate_all(tags) == ["none"] * 3


BOXES = """e => [...e.querySelectorAll('label, button, table, figcaption, .qkv-bar')].map(one => {
    const box = one.getBoundingClientRect(), {x, y} = e.getBoundingClientRect();
    return [box.x - x, box.y - y, box.width].map(Math.round).join(); })"""


@pytest.mark.parametrize("width", [1220, 360])
def test_nothing_jumps(open_page, width):
    """Not a box moves when a switch is turned, an entry is pointed at or the first number is changed."""
    page = open_page("attention/index.html", viewport={"width": width, "height": 900})
    figure = page.locator("#live-attention")
    before = figure.evaluate(BOXES)
    for switch in page.get_by_role("checkbox").all():
        switch.click()
        assert figure.evaluate(BOXES) == before, switch.get_attribute("name")
    for switch in page.get_by_role("checkbox").all():
        switch.click()
    for at in (0, 7, -1):
        page.locator("#live-attention .out td").nth(at).hover()
        assert figure.evaluate(BOXES) == before
    page.get_by_label("X[0,0]").fill("2")
    assert figure.evaluate(BOXES)[:8] == before[:8], "the controls and what is typed into stay"
    page.get_by_label("W_V[0,0]").evaluate("e => { e.closest('td').style.minWidth = '9em' }")
    assert figure.evaluate(BOXES) != before, "a jump would be seen"


def test_attention_fits_one_screen(open_page):
    """At 1280 by 720 all of it can be seen at once, controls first, and the three products stand side by side."""
    page = open_page("attention/index.html", viewport={"width": 1280, "height": 720})
    boxes = {name: page.locator(f'#live-attention [data-m="{name}"]').bounding_box()
             for name in ("X", "W_Q", "W_K", "W_V", "Q", "K", "V", "K.T", "scores", "pattern", "context")}  # fmt: skip
    assert page.locator("#live-attention").bounding_box()["height"] <= 672, "48 pixels are the page's head"
    assert page.locator("#live-attention .qkv-bar").bounding_box()["y"] < boxes["W_Q"]["y"]
    for role in "QKV":
        assert abs(boxes[f"W_{role}"]["y"] - boxes["W_Q"]["y"]) < 1
        assert abs(boxes[role]["y"] - boxes["X"]["y"]) < 2
        ends = [boxes[name]["x"] + boxes[name]["width"] for name in (f"W_{role}", role)]
        assert abs(ends[0] - ends[1]) < 1, "a result stands below its weights"
    assert boxes["Q"]["x"] < boxes["K"]["x"] < boxes["V"]["x"]
    turned, scores = boxes["K.T"], boxes["scores"]
    assert turned["x"] + turned["width"] <= scores["x"], "K turned stands beside the scores, on one line"
    assert abs(turned["y"] + turned["height"] - scores["y"] - scores["height"]) < 1
    assert boxes["pattern"]["x"] < boxes["context"]["x"] > boxes["K"]["x"]


def test_pointing_marks_what_an_entry_of_attention_is_made_of(open_page):
    """A row of one, a column of the other; of keys the row that is asked."""
    page = open_page("attention/index.html", java_script_enabled=False)
    made_of = {
        "K": ["K10", "W_K00", "W_K10", "W_K20", "W_K30", "X10", "X11", "X12", "X13"],
        "K.T": ["K.T10", "K00", "K01"],
        "scores": ["K.T00", "K.T10", "K00", "K01", "Q10", "Q11", "scores10"],
        "scaled": ["scaled10", "scores10"],
        "masked": ["masked10", "scaled10"],
        "pattern": ["masked10", "masked11", "pattern10"],
        "context": ["V00", "V10", "context10", "pattern10", "pattern11"],
    }
    for name, cells in made_of.items():
        page.locator(f'[data-m="{name}"] [data-r="1"][data-k="0"]').hover()
        assert sorted(page.locator("#live-attention").evaluate(MARKED)) == cells


POINTS = """table => [...table.tBodies[0].rows].map(row => [...row.querySelectorAll('td')].map(td => {
    const text = document.createTreeWalker(td, NodeFilter.SHOW_TEXT).nextNode(), at = (text.data + ".").indexOf(".");
    const range = document.createRange(); range.setStart(text, at - 1); range.setEnd(text, at);
    return range.getBoundingClientRect().right; }))"""


@pytest.mark.parametrize("width", [1220, 360])
def test_points_stand_below_one_another(open_page, width):
    """Measured in the browser, for built numbers and for typed ones."""
    page = open_page(
        "product/index.html", viewport={"width": width, "height": 900}, java_script_enabled=False
    )
    page.locator("article").evaluate(
        "(e, html) => { e.innerHTML = html }",
        product([[0.8, 1.25], [0.83, -12]], [[1, 0.5], [2, 0.25]], parts=None, code=""),
    )
    for table in page.locator(".qkv-m").all():
        spots = table.evaluate(POINTS)
        assert all(max(column) - min(column) < 0.5 for column in zip(*spots, strict=True)), spots
    page.locator("td[data-pad]").evaluate_all("all => all.forEach(e => delete e.dataset.pad)")
    assert len({round(row[0]) for row in page.locator(".qkv-m").first.evaluate(POINTS)}) > 1


def test_fields_can_be_hit(open_page):
    """32 pixels each way, on a telephone too."""
    for width in (1220, 360):
        page = open_page("attention/index.html", viewport={"width": width, "height": 740})
        sizes = page.locator("#live-attention :is(td input, button, label)").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect()).map(({width, height}) => [width, height])"
        )
        assert len(sizes) > 30
        assert min(min(size) for size in sizes) >= 32
