"""What a reader does with the published site: scheme, search, fonts, keys."""

from playwright.sync_api import Browser, Page


def background(page: Page) -> str:
    """Tell the colour behind the text."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_scheme_follows_the_system_and_the_toggle(browser: Browser, addresses: list[str]) -> None:
    """Light and dark by the reader's system; the switch overrides it."""
    shades = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(addresses[0])
        shades[scheme] = background(page)
        if scheme == "light":
            for _ in range(2):  # system, light, dark
                page.locator("label[for^=__palette]:visible").click()
            assert background(page) != shades["light"]
        page.close()
    assert shades["light"] != shades["dark"]


def test_search_finds_a_lesson(browser: Browser, address: str) -> None:
    """Typed words lead to the page that holds them."""
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    page.goto(address)
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("parallel graders")
    page.wait_for_selector(".md-search-result__link", state="attached")
    found = [link.get_attribute("href") or "" for link in page.locator(".md-search-result__link").all()]
    assert any("04-qkv-projections" in link for link in found)
    assert not any("reference/errors" in link for link in found)
    page.close()


def test_formulas_use_our_font(browser: Browser, address: str) -> None:
    """The maths font is loaded from the site itself."""
    page = browser.new_page()
    page.goto(f"{address}lessons/04-qkv-projections/")
    page.evaluate("document.fonts.ready")
    assert page.evaluate(
        "[...document.fonts].filter(font => font.status === 'loaded').map(font => font.family)"
    )
    page.close()
