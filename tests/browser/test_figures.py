"""Published figures keep their room while their script is on its way."""

HEIGHTS = (
    "() => [...document.querySelectorAll('.qkv')].map(e => Math.round(e.getBoundingClientRect().height))"
)


def test_pages_do_not_move_when_the_script_starts(browser, addresses):
    """Room is kept for the fields and for the line below: with scripts on, but ours held back, heights are the same."""
    live = browser.new_page()
    address = next(address for address in addresses if address.endswith("concepts/projections/"))
    live.goto(address)
    after = live.evaluate(HEIGHTS)
    live.route("**/qkv-live.js", lambda route: route.abort())
    live.goto(address)
    assert live.evaluate("customElements.get('qkv-live')") is None
    assert live.evaluate(HEIGHTS) == after
