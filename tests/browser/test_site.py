"""The published site as its readers have it."""

from playwright.sync_api import Browser, Page

WORDS = """() => [...document.querySelectorAll("article")].map(article => {
  const copy = article.cloneNode(true);
  copy.querySelectorAll("th button").forEach(part => part.replaceWith(part.textContent));
  const controls = ".headerlink, noscript, script, style, button, .md-code__nav, [role=status]";
  copy.querySelectorAll(controls).forEach(part => part.remove());
  copy.querySelectorAll("input[type=number]").forEach(field => field.replaceWith(field.getAttribute("value")));
  return copy.textContent.replace(/\\s+/g, " ").trim();
}).join()"""


def test_no_page_asks_another_host_or_complains(browser: Browser, addresses: list[str], address: str) -> None:
    """No font, script, picture or call from elsewhere; nothing on the console."""
    foreign, complaints = [], []
    page = browser.new_page()
    page.on(
        "request", lambda request: request.url.startswith((address, "data:")) or foreign.append(request.url)
    )
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for url in addresses:
        page.goto(url)
        page.wait_for_timeout(100)
    page.close()
    assert len(addresses) > 3
    assert not foreign
    assert not complaints


def test_a_foreign_request_would_be_seen(browser: Browser, addresses: list[str], address: str) -> None:
    """The listener above hears one."""
    foreign = []
    page = browser.new_page()
    page.route("https://example.org/**", lambda route: route.abort())
    page.on(
        "request", lambda request: request.url.startswith((address, "data:")) or foreign.append(request.url)
    )
    page.goto(addresses[0])
    page.evaluate("fetch('https://example.org/font.woff2').catch(() => 0)")
    page.close()
    assert foreign == ["https://example.org/font.woff2"]


def test_every_word_is_there_without_javascript(browser: Browser, addresses: list[str]) -> None:
    """Turning JavaScript off changes no word of any page."""
    readers = [browser.new_context(java_script_enabled=on).new_page() for on in (True, False)]
    for url in addresses:
        texts = []
        for page in readers:
            page.goto(url)
            texts.append(page.evaluate(WORDS))
        assert texts[0] == texts[1], url
        assert len(texts[0]) > 100, url
    for page in readers:
        page.context.close()


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, addresses: list[str]) -> None:
    """At 360 pixels what is wide scrolls in its own box."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for url in addresses:
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, url
    page.close()


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
