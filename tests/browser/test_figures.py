"""Published figures keep their room while their script is on its way."""

import pytest

HEIGHTS = (
    "() => [...document.querySelectorAll('.qkv')].map(e => Math.round(e.getBoundingClientRect().height))"
)


@pytest.fixture(scope="module")
def readers(browser):
    """A reader without JavaScript, and one with it."""
    still, live = browser.new_context(java_script_enabled=False), browser.new_context()
    yield still.new_page(), live.new_page()
    still.close()
    live.close()


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
