"""Figures of a built site, each drawn alone, so that a change elsewhere on its page moves no pixel of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from PIL import Image, ImageChops, ImageOps
from playwright.sync_api import Browser, Page, Route

HOST = "http://site.invalid/"
MARK = (208, 0, 60)
FIND = """() => {
    const kinds = ".qkv, .diagram, figure, svg, img, table:not(.highlighttable)";
    const article = document.querySelector("article, [role=main]");
    if (!article) return [];
    const inside = [...article.querySelectorAll(kinds)].filter(
        one => !one.parentElement.closest(kinds + ", a, button, summary, math"));
    window.figures = inside;
    window.article = article;
    const name = one => one.querySelector("figcaption, caption, title, thead")?.textContent
        || one.querySelector("[aria-label]")?.getAttribute("aria-label")
        || one.getAttribute("aria-label") || one.getAttribute("alt") || one.textContent;
    const short = words => words.replace(/\\s+/g, " ").trim().replace(/^(.{79}).{2,}$/, "$1…");
    const found = inside.map(one => [one.outerHTML, short(name(one))]);
    document.head.append(...article.querySelectorAll("style"));
    document.body.replaceChildren(article);
    article.style.cssText = "margin: 0; padding: 16px; background: Canvas";
    return found;
}"""
SHOW = "number => article.replaceChildren(figures[number])"


@dataclass(frozen=True)
class Figure:
    """A figure of a page."""

    name: str
    markup: str
    picture: bytes


@contextmanager
def reading(browser: Browser, site: Path) -> Iterator[Page]:
    """Open a tab that sees one folder and nothing else, and runs no script of it.

    Args:
        browser: Where.
        site: The built folder, which stands at `HOST`.

    Yields:
        The tab.
    """
    context = browser.new_context(
        viewport={"width": 800, "height": 600},
        java_script_enabled=False,
        bypass_csp=True,
        reduced_motion="reduce",
        color_scheme="light",
    )

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        path = (site / unquote(url.path).lstrip("/")).resolve()
        inside = path.is_file() and path.is_relative_to(site.resolve())
        if inside and route.request.url.startswith(HOST):
            route.fulfill(path=path)
        else:
            route.abort()

    context.route("**/*", answer)
    try:
        yield context.new_page()
    finally:
        context.close()


def draw(tab: Page, name: str) -> list[Figure]:
    """Draw every figure of a page.

    Args:
        tab: As `reading` gives it.
        name: The page's path inside the folder.

    Returns:
        The figures in the page's order: what the project's own figures, diagrams, pictures and tables show.
    """
    tab.goto(HOST + quote(name))
    found = tab.evaluate(FIND)
    figures = []
    for number, (markup, words) in enumerate(found):
        tab.evaluate(SHOW, number)
        tab.evaluate("document.fonts.ready.then(() => true)")
        figures.append(
            Figure(words, markup, tab.locator("article, [role=main]").first.screenshot(animations="disabled"))
        )
    return figures


def pair(old: Sequence[Figure], new: Sequence[Figure]) -> list[tuple[int | None, int | None]]:
    """Bring the figures of two versions of a page together.

    Args:
        old: Figures of the old page.
        new: Figures of the new.

    Returns:
        Positions in both; None on one side for a figure that came or went. Figures with the same markup belong
        together, wherever they stand; of the others those of the same name; then, if as many are left, by their order.
    """
    gone, came = list(range(len(old))), list(range(len(new)))
    pairs: list[tuple[int | None, int | None]] = []
    for feature in map(attrgetter, ("markup", "name")):
        for one in list(gone):
            other = next((at for at in came if feature(new[at]) == feature(old[one])), None)
            if other is not None:
                pairs.append((one, other))
                gone.remove(one)
                came.remove(other)
    if len(gone) == len(came):
        return pairs + list(zip(gone, came, strict=True))
    return [*pairs, *((one, None) for one in gone), *((None, other) for other in came)]


def difference(old: bytes, new: bytes) -> bytes | None:
    """Mark where two pictures differ.

    Args:
        old: A PNG.
        new: Another; where one is larger, the other is white.

    Returns:
        The new picture, pale, with what differs in red, or None if nothing does.
    """
    if old == new:
        return None
    pictures = [Image.open(BytesIO(data)).convert("RGB") for data in (old, new)]
    size = max(one.width for one in pictures), max(one.height for one in pictures)
    before, after = (Image.new("RGB", size, "white") for _ in pictures)
    before.paste(pictures[0])
    after.paste(pictures[1])
    bands = ImageChops.difference(before, after).split()
    differs = reduce(ImageChops.lighter, bands).point([0] + [255] * 255)
    if differs.getbbox() is None:
        return None
    pale = ImageOps.grayscale(after).point([170 + level // 3 for level in range(256)]).convert("RGB")
    pale.paste(MARK, mask=differs)
    written = BytesIO()
    pale.save(written, "PNG")
    return written.getvalue()
