"""Figures of a built site, each drawn alone, so that a change elsewhere on its page moves no pixel of it."""

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from playwright.sync_api import Browser, Page, Route

HOST = "http://site.invalid/"
WIDTH = 800
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
        viewport={"width": WIDTH, "height": 600},
        java_script_enabled=False,
        bypass_csp=True,
        reduced_motion="reduce",
        color_scheme="light",
    )

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        path = (site / unquote(url.path).lstrip("/")).resolve()
        if (
            not route.request.url.startswith(HOST)
            or not path.is_relative_to(site.resolve())
            or not path.is_file()
        ):
            route.abort()
        else:
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            route.fulfill(body=path.read_bytes(), content_type=kind)

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
