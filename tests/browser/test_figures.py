"""Every figure that is published: the script changes nothing by itself, names are unique, no barrier is known."""

import pytest
from axe_playwright_python.sync_playwright import Axe

# The theme's own script wraps plain tables and numbers code blocks; that is left out.
WORDS = """() => [...document.querySelectorAll('.qkv')].map(figure => {
    const copy = figure.cloneNode(true), values = [...figure.querySelectorAll('input')].map(field => field.value);
    copy.querySelectorAll('input').forEach((field, i) => field.replaceWith(values[i]));
    copy.querySelectorAll('.qkv-bar, .qkv-status, .md-code__nav').forEach(e => e.remove());
    copy.querySelectorAll('[class^=md-typeset__]').forEach(e => e.replaceWith(...e.childNodes));
    return copy.innerHTML.replace(/ id="__code[^"]*"/g, ''); })"""
HEIGHTS = (
    "() => [...document.querySelectorAll('.qkv')].map(e => Math.round(e.getBoundingClientRect().height))"
)
NAMES = """() => [...document.querySelectorAll('[id^=live-]')].map(figure => figure.id)
    .filter((id, i, all) => all.indexOf(id) < i)"""


@pytest.fixture(scope="module")
def readers(browser):
    """A reader without JavaScript, and one with it."""
    still, live = browser.new_context(java_script_enabled=False), browser.new_context()
    yield still.new_page(), live.new_page()
    still.close()
    live.close()


def test_the_script_changes_no_word_and_no_coordinate(readers, addresses):
    """On every page, what is read before JavaScript runs is what is read after."""
    still, live = readers
    figures = 0
    for address in addresses:
        for page in readers:
            page.goto(address)
        live.evaluate("document.fonts.ready")
        words = still.evaluate(WORDS)
        assert live.evaluate(WORDS) == words, address
        figures += len(words)
    assert figures > 5


def test_pages_do_not_move_when_the_script_starts(readers, addresses):
    """Room is kept for the fields and for the line below: with scripts on, but ours held back, heights are the same."""
    _, live = readers
    address = next(address for address in addresses if address.endswith("concepts/projections/"))
    live.goto(address)
    after = live.evaluate(HEIGHTS)
    live.route("**/qkv-live.js", lambda route: route.abort())
    live.goto(address)
    assert live.evaluate("customElements.get('qkv-live')") is None
    assert live.evaluate(HEIGHTS) == after
    live.unroute("**/qkv-live.js")


def test_figures_on_a_page_have_names_of_their_own(readers, addresses):
    """Two figures of one name would share one place in the address."""
    for address in addresses:
        readers[0].goto(address)
        assert readers[0].evaluate(NAMES) == [], address


def test_axe_finds_nothing_in_a_published_figure(readers, addresses):
    """On every page that has one."""
    _, live = readers
    seen = 0
    for address in addresses:
        live.goto(address)
        if live.locator(".qkv").count():
            found = Axe().run(live, context=".qkv")
            assert found.violations_count == 0, f"{address}\n{found.generate_report()}"
            seen += 1
    assert seen > 1
