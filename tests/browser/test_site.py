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
            page.locator(".scheme").click()
            assert background(page) != shades["light"]
            page.goto(addresses[1])
            assert background(page) != shades["light"]
            page.locator(".scheme").click()  # as the system has it: nothing is kept
            assert page.evaluate("localStorage.length") == 0
        page.close()
    assert shades["light"] != shades["dark"]


def test_search_finds_a_lesson(browser: Browser, address: str) -> None:
    """Typed words lead to the page that holds them."""
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    page.goto(address)
    page.locator(".find input").fill("parallel graders")
    page.wait_for_selector(".found a")
    found = [link.get_attribute("href") or "" for link in page.locator(".found a").all()]
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


def test_the_practice_page_is_filtered(browser: Browser, address: str) -> None:
    """By words and by kind, reached by a click; a heading that holds nothing goes too, and nothing found is said."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(f"{address}about/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('a'), {href: '../practice/', id: 'go'}))"
    )
    page.locator("#go").evaluate("link => link.click()")
    page.wait_for_selector(".practice-filter:not([hidden])")
    cards = page.locator(".practice-card")
    texts = [text.lower() for text in cards.all_text_contents()]
    titles = page.locator("article h2").count()

    def seen() -> list[int]:
        return [at for at, card in enumerate(cards.all()) if card.evaluate("card => !card.hidden")]

    assert seen() == list(range(len(texts)))
    page.locator("#practice-find").fill("Mask zero")
    found = [at for at, text in enumerate(texts) if "mask" in text and "zero" in text]
    assert 0 < len(found) < len(texts)
    assert seen() == found
    assert page.locator("#practice-count").inner_text() == f"{len(found)} of {len(texts)}"
    over = page.locator(".practice-card:not([hidden])").evaluate_all(
        "cards => new Set(cards.map(e => { while (e.tagName !== 'H2') e = e.previousElementSibling; return e; })).size"
    )
    assert page.locator("article h2:visible").count() == over < titles
    page.locator("#practice-find").fill("zzz")
    assert seen() == []
    assert page.locator("article h2:visible").count() == 0
    assert page.locator("#practice-count").inner_text() == "Nothing has these words."
    page.locator("#practice-find").fill("")
    page.locator("[value=recall]").uncheck()
    kinds = page.locator(".practice-card:not([hidden])").evaluate_all("all => all.map(e => e.dataset.kind)")
    assert set(kinds) == {"interview", "exercise"}
    page.close()


def test_a_citation_shows_its_date_where_nothing_can_hover(browser: Browser, address: str) -> None:
    """On paper and on a telephone; with a mouse it is in the title only."""
    after = "getComputedStyle(document.querySelector('.cited'), '::after').content"
    desk, telephone = browser.new_page(), browser.new_page(has_touch=True, is_mobile=True)
    for page in (desk, telephone):
        page.goto(f"{address}about/")

    assert desk.evaluate(after) == "none"
    assert "seen 20" in telephone.evaluate(after)
    desk.emulate_media(media="print")
    assert "seen 20" in desk.evaluate(after)
    desk.close()
    telephone.close()
