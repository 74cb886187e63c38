"""Each page as its readers have it: one visit without JavaScript and one with it, light, dark, narrow and enlarged."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix().removesuffix("index") for path in DOCS.rglob("*.md")
)

# What is read, figures included: fields by their built values, without what the theme or a control adds.
WORDS = """() => [...document.querySelectorAll("article")].map(article => {
  const copy = article.cloneNode(true);
  copy.querySelectorAll("th button").forEach(part => part.replaceWith(part.textContent));
  const controls = ".headerlink, noscript, script, style, button, .md-code__nav, [role=status]";
  copy.querySelectorAll(controls).forEach(part => part.remove());
  copy.querySelectorAll("input[type=number]").forEach(field => field.replaceWith(field.getAttribute("value")));
  return copy.textContent.replace(/\\s+/g, " ").trim();
}).join()"""
# Of figures also every coordinate and attribute.
FIGURES = """() => [...document.querySelectorAll('.qkv')].map(figure => {
    const copy = figure.cloneNode(true), values = [...figure.querySelectorAll('input')].map(field => field.value);
    copy.querySelectorAll('input').forEach((field, i) => field.replaceWith(values[i]));
    copy.querySelectorAll('.qkv-bar, .qkv-status, .md-code__nav, qkv-run > *').forEach(e => e.remove());
    copy.querySelectorAll('[class^=md-typeset__]').forEach(e => e.replaceWith(...e.childNodes));
    return copy.innerHTML.replace(/ id="__code[^"]*"/g, ''); })"""
TWICE = """() => [...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) < i)"""
SHIFTS = """() => new Promise(done => {
  let sum = 0;
  const watch = new PerformanceObserver(list => list.getEntries().forEach(e => sum += e.value));
  watch.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 50);
})"""
WIDTHS = {"360 px": 360, "1280 px at 200 %": 640}


@pytest.fixture(scope="module")
def readers(browser):
    """A reader without JavaScript, and one with it."""
    still = browser.new_context(java_script_enabled=False).new_page()
    live = browser.new_context(reduced_motion="reduce").new_page()
    yield still, live
    for page in (still, live):
        page.context.close()


def barriers(page: Page, *rules: str) -> list[str]:
    """Ask axe: everything, or these rules."""
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]


@pytest.mark.parametrize("name", PAGES)
def test_a_page(name, readers, address):
    """Nothing from elsewhere, no complaint, no shift, no word lost, no barrier, no sideways scroll."""
    still, live = readers
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
    still.goto(url)
    assert live.evaluate(WORDS) == still.evaluate(WORDS)
    assert len(still.evaluate(WORDS)) > 100
    assert live.evaluate(FIGURES) == still.evaluate(FIGURES)
    assert live.evaluate(TWICE) == []
    assert barriers(live) == []
    live.emulate_media(color_scheme="dark")
    assert barriers(live, "color-contrast") == []  # the rest is the same page
    for what, width in WIDTHS.items():
        live.set_viewport_size({"width": width, "height": 740})
        assert live.evaluate("document.documentElement.scrollWidth") <= width, what
    for event, listener in listeners.items():
        live.remove_listener(event, listener)
    assert foreign == []
    assert complaints == []


def test_what_is_wrong_would_be_seen(readers, address):
    """The questions above can be answered otherwise: a page broken on purpose fails each of them."""
    _, live = readers
    foreign, complaints = [], []
    live.route("https://example.org/**", lambda route: route.abort())
    live.on("request", lambda request: request.url.startswith(address) or foreign.append(request.url))
    live.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    live.goto(address)
    words = live.evaluate(WORDS)
    live.evaluate("""() => {
        document.querySelector("article p").prepend("more ");
        document.querySelector("article").insertAdjacentHTML("beforeend",
            "<input id=twice><div id=twice style='width:3000px'>wide</div><img src=https://example.org/x.png>");
    }""")
    assert live.evaluate(WORDS) != words
    assert live.evaluate(TWICE) == ["twice"]
    assert any(each.startswith("label") for each in barriers(live))
    assert live.evaluate("document.documentElement.scrollWidth") > 1280
    assert any("Content Security Policy" in each for each in complaints)
    live.evaluate("fetch('https://example.org/x').catch(() => 0)")
    assert {"https://example.org/x.png", "https://example.org/x"} >= set(foreign) > set()


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
    page.close()


def test_no_script_of_ours_is_inline(site):
    """The theme's three stand on every page; a fourth, or a handler in an attribute, would be ours."""
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert text.count("<script>") <= 3, path
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
