"""Each page as its readers have it, in one visit: with JavaScript and without, light, dark, narrow and enlarged.

What a reader without JavaScript has is what the page's source says, parsed with scripts off; of one page a browser
without JavaScript shows that. Colours come from the style sheet and from figures, which the page about figures shows
all: so contrast is asked for once a look, and in the dark on one page of each kind.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import violations

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix().removesuffix("index") for path in DOCS.rglob("*.md")
)

# What is read, figures included: fields by their built values, without what the theme or a control adds.
WORDS = """from => [...window[from].querySelectorAll("article")].map(article => {
  const copy = article.cloneNode(true);
  copy.querySelectorAll("th button").forEach(part => part.replaceWith(part.textContent));
  const controls = ".headerlink, noscript, script, style, button, [role=status], .wild-answer, select, .wild-found";
  copy.querySelectorAll(controls).forEach(part => part.remove());
  copy.querySelectorAll("input[type=number]").forEach(field => field.replaceWith(field.getAttribute("value")));
  return copy.textContent.replace(/\\s+/g, " ").trim();
}).join()"""
# Of figures also every coordinate and attribute.
FIGURES = """from => [...window[from].querySelectorAll('.qkv')].map(figure => {
    const copy = figure.cloneNode(true), values = [...figure.querySelectorAll('input')].map(field => field.value);
    copy.querySelectorAll('input').forEach((field, i) => field.replaceWith(values[i]));
    copy.querySelectorAll('.qkv-bar, .qkv-status, qkv-run > *').forEach(e => e.remove());
    return copy.innerHTML; })"""
BUILT = """async () => {
    window.built = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
}"""
TWICE = """() => [...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) < i)"""
SHIFTS = """() => new Promise(done => {
  let sum = 0;
  const watch = new PerformanceObserver(list => list.getEntries().forEach(e => sum += e.value));
  watch.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 50);
})"""
# One element of each look: its letters' colour, size and weight, and what lies below them, up to the page.
LOOKS = """() => {
  const belows = new Map(), seen = new Set();
  const below = e => {
    if (!e) return "";
    if (!belows.has(e)) {
      const { backgroundColor, backgroundImage, opacity, filter, position } = getComputedStyle(e);
      const own = [backgroundColor, backgroundImage, opacity, filter, position].join();
      const nothing = own === "rgba(0, 0, 0, 0),none,1,none,static";
      belows.set(e, (nothing ? "" : own) + below(e.parentElement));
    }
    return belows.get(e);
  };
  document.querySelectorAll("[data-look]").forEach(e => e.removeAttribute("data-look"));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true })) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(e);
    const look = [color, fontSize, fontWeight, textShadow, below(e)].join();
    if (!seen.has(look)) seen.add(look), e.dataset.look = "";
  }
  return seen.size;
}"""
WIDTHS = {"360 px": 360, "1280 px at 200 %": 640}
KINDS = {
    "", "about", "practice", "lessons/04-qkv-projections", "concepts/heads", "clinic/", "clinic/scale", "wild/",
    "wild/gpt2", "wild/open", "reference/core", "reference/figures",
}  # fmt: skip


@pytest.fixture(scope="module")
def live(browser):
    """A reader with JavaScript."""
    page = browser.new_context(reduced_motion="reduce").new_page()
    yield page
    page.context.close()


def barriers(page: Page) -> list[str]:
    """Ask for all but contrast."""
    return violations(page, rules={"color-contrast": {"enabled": False}})


def poor_contrast(page: Page) -> list[str]:
    """Ask for the contrast of each look, once: it follows from the style, and of one style a page has hundreds."""
    assert page.evaluate(LOOKS) > 5
    return violations(page, "[data-look]", runOnly=["color-contrast"])


@pytest.mark.parametrize("name", PAGES)
def test_a_page(name, live, address):
    """Nothing from elsewhere, no complaint, no shift, no word lost, no barrier, no sideways scroll."""
    url = f"{address}{name}" if name.endswith("/") or not name else f"{address}{name}/"
    foreign, complaints = [], []

    def asked(request):
        if not request.url.startswith((address, "data:", "blob:")):
            foreign.append(request.url)

    def said(message):
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def failed(error):
        complaints.append(str(error))

    listeners = {"request": asked, "console": said, "pageerror": failed}
    for event, listener in listeners.items():
        live.on(event, listener)
    live.emulate_media(color_scheme="light")
    live.set_viewport_size({"width": 1280, "height": 900})
    for _ in range(3):  # while a busy machine reads a long table, its columns may move; not each time
        live.goto(url)
        live.evaluate("document.fonts.ready")
        if (shift := live.evaluate(SHIFTS)) < 0.01:
            break
    assert shift < 0.01
    live.evaluate(BUILT)
    for what in (WORDS, FIGURES):
        assert live.evaluate(what, "document") == live.evaluate(what, "built")
    assert len(live.evaluate(WORDS, "built")) > 100
    assert live.evaluate(TWICE) == []
    assert barriers(live) == []
    assert poor_contrast(live) == []
    if name in KINDS:
        live.emulate_media(color_scheme="dark")
        assert poor_contrast(live) == []
    for what, width in WIDTHS.items():
        live.set_viewport_size({"width": width, "height": 740})
        assert live.evaluate("document.documentElement.scrollWidth") <= width, what
    for event, listener in listeners.items():
        live.remove_listener(event, listener)
    assert foreign == []
    assert complaints == []


def test_what_is_wrong_would_be_seen(live, address):
    """The questions above can be answered otherwise: a page broken on purpose fails each of them."""
    foreign, complaints = [], []
    live.route("https://example.org/**", lambda route: route.abort())
    live.on("request", lambda request: request.url.startswith(address) or foreign.append(request.url))
    live.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    live.goto(address)
    live.evaluate(BUILT)
    assert set(PAGES) >= KINDS
    live.emulate_media(color_scheme="dark")
    assert poor_contrast(live) == []
    live.evaluate("""() => {
        document.querySelector("article p").prepend("more ");
        document.querySelector("article").insertAdjacentHTML("beforeend",
            "<p style='color:#777;background:#888'>grey on grey<input id=twice>"
            + "<div id=twice style='width:3000px'>wide</div><img src=https://example.org/x.png>");
    }""")
    assert live.evaluate(WORDS, "document") != live.evaluate(WORDS, "built")
    assert [each[:14] for each in poor_contrast(live)] == ["color-contrast"]
    assert live.evaluate(TWICE) == ["twice"]
    assert any(each.startswith("label") for each in barriers(live))
    assert live.evaluate("document.documentElement.scrollWidth") > 1280
    assert any("Content Security Policy" in each for each in complaints)
    live.evaluate("fetch('https://example.org/x').catch(() => 0)")
    assert {"https://example.org/x.png", "https://example.org/x"} >= set(foreign) > set()


def test_a_browser_without_scripts_shows_the_source(browser, live, address):
    """So that what is compared above is what such a reader has."""
    still = browser.new_page(java_script_enabled=False)
    for reader in (still, live):
        reader.goto(f"{address}lessons/04-qkv-projections/")
    live.evaluate(BUILT)
    for what in (WORDS, FIGURES):
        assert still.evaluate(what, "document") == live.evaluate(what, "built")


def test_the_policy_shuts_the_network(browser, address):
    """Even a script that somebody smuggled in could neither run nor call home."""
    page = browser.new_page()
    sent = []
    page.route("https://example.org/**", lambda route: (sent.append(route.request.url), route.abort()))
    page.goto(address)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.smuggled = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.smuggled = true'>");
        return fetch("https://example.org/home").catch(() => 0);
    }""")
    page.wait_for_timeout(100)
    assert page.evaluate("window.smuggled") is None
    assert sent == []


def test_no_script_of_ours_is_inline(site):
    """Beside the one that sets the scheme before anything is drawn; nor a handler in an attribute."""
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert text.count("<script>") == 1, path
        assert " onclick=" not in text
        assert " onsubmit=" not in text


def test_the_site_is_described(site):
    """Each page has a title and a description of its own."""
    seen = {}
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":
            continue
        text = path.read_text("utf-8")
        for part in ("<title>", '<meta name="description" content="'):
            said = text.split(part)[1][:160].split("<")[0].split('">')[0]
            assert said.strip(), path
            assert seen.setdefault((part, said), path) == path
