"""The published site looks like what the builder left, and weighs what it may."""

import base64
import gzip
import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.picture import FILES, draw

BUDGET = 100_000
"""Bytes, compressed, of a first visit to a lesson; the search, which comes when somebody searches, apart."""
FIGURES, SCRIPTS = 15 * 1024, 26 * 1024
"""Bytes of the scripts of figures and exercises, and of all that any page can load: the theme's 114 kB are gone."""
UNSEEN = 2
"""Levels of 255 by which one Chromium rounds the same edge differently, from one picture to the next."""
FAINT, ROWS = 12, 2
"""Levels, and rows of the picture: a border that falls between two rows is shared out between them."""
LIGHT, DARK, PAPER = (
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    {"media": "print", "color_scheme": "light"},
)
# Each kind of page in two of its looks, each look on two kinds.
KINDS = {
    "": ((1280, LIGHT), (360, DARK)),
    "lessons/04-qkv-projections/": ((1280, DARK), (1280, PAPER)),
    "clinic/scale/": ((1280, DARK), (360, LIGHT)),
    "reference/core/": ((1280, LIGHT), (1280, PAPER)),
}
LESSONS = sorted(path.stem for path in (Path(__file__).parents[2] / "docs" / "lessons").glob("*.md"))


# Marks of names, signs, brackets and blanks are gone from published code: it looks the same, but letters of one
# run may stand a hair's breadth elsewhere. So that nothing else hides behind this, they go from both pages. So does
# the line with what a reader can take along, which the builder knows nothing of.
UNMARK = """() => {
    for (const line of document.querySelectorAll(".lesson-files")) line.remove();
    const marks = [...document.querySelectorAll(".highlight :is(.n, .o, .p, .w)")];
    const colour = e => getComputedStyle(e).color;
    if (marks.some(mark => colour(mark) !== colour(mark.closest("code")))) throw "a mark with a look";
    for (const mark of marks) mark.replaceWith(...mark.childNodes);
    document.querySelectorAll(".highlight").forEach(code => code.normalize());
}"""


def load(page: Page, url: str) -> None:
    """Open a page, as far as it is drawn alike each time."""
    page.goto(url)
    page.wait_for_load_state("networkidle")
    page.evaluate(UNMARK)
    page.evaluate("document.fonts.ready")


def picture(page: Page) -> Image.Image:
    """Photograph a page."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    tools = page.context.new_cdp_session(page)
    taken = tools.send("Page.captureScreenshot", {"optimizeForSpeed": True})  # half the time of `screenshot`
    tools.detach()
    return Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")


def alike(pages: dict[str, Page], tries: int = 5, **media: str) -> bool:
    """Compare two pages; what differs by the moment of the picture alone does not differ each time."""
    for attempt in range(tries):
        for url, page in pages.items():
            page.emulate_media(**media)
            if attempt or page.url != url:
                load(page, url)
        apart = ImageChops.difference(*map(picture, pages.values()))
        if nobody_sees(np.asarray(apart).max(axis=(1, 2))):
            return True
    return False


def nobody_sees(rows: np.ndarray) -> bool:
    """Judge the largest difference of each row of two pictures."""
    return bool(rows.max() <= FAINT and (rows > UNSEEN).sum() <= ROWS)


@pytest.mark.parametrize(
    ("rows", "same"), [([0, 2, 1], True), ([0, 9, 9], True), ([9, 9, 9], False), ([0, 13, 0], False)]
)
def test_what_nobody_sees(rows: list[int], same: bool) -> None:
    """A faint line may move by less than a row; an area that is a little darker is a change."""
    assert nobody_sees(np.array(rows)) is same


def two(browser: Browser, *urls: str, width: int = 1280) -> dict[str, Page]:
    """Give a page for each address, as tall as the picture."""
    # A window that grows for it would set the theme's scripts to work.
    view = {"width": width, "height": 4000}
    return {url: browser.new_page(viewport=view, reduced_motion="reduce") for url in urls}


@pytest.mark.parametrize("kind", KINDS)
def test_no_pixel_moves(browser: Browser, address: str, raw_address: str, kind: str) -> None:
    """What was cut, joined and folded cannot be seen: on screen in both schemes, on paper, and on a phone."""
    for width, media in KINDS[kind]:
        assert alike(two(browser, address + kind, raw_address + kind, width=width), **media), (width, media)


def test_a_lost_rule_would_be_seen(browser: Browser, address: str, raw_address: str) -> None:
    """One declaration less, and the pictures differ."""

    def without(route: Route) -> None:
        route.fulfill(
            body=route.fetch()
            .text()
            .replace("text-decoration:underline", "")
            .replace("text-decoration: underline", ""),
            content_type="text/css",
        )

    pages = two(browser, address, raw_address)
    pages[address].route("**/style.css", without)
    assert not alike(pages, tries=2, color_scheme="light")


def test_drawer_and_search_look_as_before(browser: Browser, address: str, raw_address: str) -> None:
    """What scripts make appear has kept its style."""
    seen = []
    for host in (address, raw_address):
        page = browser.new_page(viewport={"width": 360, "height": 740}, reduced_motion="reduce")
        page.goto(f"{host}concepts/softmax/")
        page.evaluate(UNMARK)
        page.locator(".menu").click()
        page.wait_for_timeout(400)
        drawer = picture(page)
        page.goto(f"{host}concepts/softmax/")
        page.locator(".find input").fill("rotary")
        page.wait_for_selector(".found a", state="visible")
        seen.append((drawer, page.locator(".found").inner_text()))
    (ours, found), (theirs, expected) = seen
    assert nobody_sees(np.asarray(ImageChops.difference(ours, theirs)).max(axis=(1, 2)))
    assert found == expected


def visit(browser: Browser, url: str, site: Path) -> dict[str, int]:
    """Weigh a first visit, request by request."""
    page, weights = browser.new_page(), {}
    asked = []
    page.on("requestfinished", lambda request: asked.append(request))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    for request in asked:
        path = unquote(urlsplit(request.url).path).removeprefix("/under/")
        file = site / path / "index.html" if path.endswith("/") or not path else site / path
        # Of what a worker loads, the browser tells no size.
        weights[path] = request.sizes()["responseBodySize"] or len(gzip.compress(file.read_bytes(), 6))
    return weights


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_light(
    browser: Browser, address: str, site: Path, addresses: list[str], name: str
) -> None:
    """With at least sixty pages in the site, since each page carries their names."""
    assert len(addresses) >= 60
    weights = visit(browser, f"{address}lessons/{name}/", site)
    assert sum(weights.values()) <= BUDGET, weights
    assert "search/index.json" not in weights
    assert "assets/qkv-practice.js" not in weights  # it comes when a reader nears an exercise


def test_our_scripts_are_small(site: Path, fetched: Path) -> None:
    """As they are served, uncompressed: those of figures and exercises, and all but those of a page of its own."""
    theirs = ("assets/javascripts/", "wild/", "ask", "runtime/pyodide")
    paths = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.suffix in {".js", ".mjs"}]
    ours = {path: (site / path).stat().st_size for path in paths if not path.startswith(theirs)}
    assert len(ours) == 6
    figures = [ours[f"assets/{name}.js"] for name in ("qkv-live", "qkv-practice", "practice")]
    assert figures[0] <= 9 * 1024
    assert sum(figures) <= FIGURES, ours
    assert sum(ours.values()) <= SCRIPTS, ours
    assert sum((site / name).stat().st_size for name in ("ask.js", "ask-worker.mjs")) <= 9 * 1024


def test_the_search_comes_when_it_is_asked(browser: Browser, address: str, site: Path) -> None:
    """Nothing of it before the first letter; then it finds, also what was typed meanwhile."""
    assert (site / "search" / "index.json").stat().st_size > 100_000
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    field = page.locator(".find input")
    field.click()
    assert "index.json" not in asked
    field.press_sequentially("parallel graders")
    expect(page.locator(".found a[href*='04-qkv-projections']").first).to_be_visible()
    assert page.locator(".found a[href*='reference/errors']").count() == 0
    field.fill("rotary")
    expect(page.locator(".found a[href*='rotary-offset']").first).to_be_visible()
    assert asked.count("index.json") == 1
    field.press("Escape")
    expect(page.locator(".found")).to_be_hidden()


@pytest.mark.parametrize("scheme", FILES)
def test_the_picture_on_the_readme_is_of_this_site(browser: Browser, site: Path, scheme: str) -> None:
    """As `python -m tests.browser.picture` draws it; fonts of another machine move few of its dots."""
    kept, drawn = (
        Image.open(FILES[scheme]).convert("RGB"),
        draw(browser, site / "index.html", scheme).convert("RGB"),
    )
    assert max(abs(a - b) for a, b in zip(kept.size, drawn.size, strict=True)) <= 2
    difference = ImageChops.difference(kept, drawn.resize(kept.size)).convert("L")
    assert (
        difference.point(lambda value: 255 * (value > 64)).histogram()[255] < 0.01 * kept.width * kept.height
    )
