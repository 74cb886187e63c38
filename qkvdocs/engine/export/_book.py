"""All lessons as one page to print: title, contents, and each lesson as its built page has it."""

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from posixpath import join, normpath

from bs4 import Tag

from qkvdocs.engine.export._markdown import parsed
from qkvdocs.engine.export._pages import landing

SHEETS = re.compile(r'<link rel="stylesheet" href="(?:\.\./)*([^":]+\.css)">')
LEFT_OUT = "button, form, noscript, script, .headerlink, .lesson-files, .lesson-meta em"
LONG = 1200
"""Characters; a box of more may begin on one page and end on the next."""
STYLE = """
@page { size: A4; margin: 20mm 18mm 22mm; }
html { font-size: 108%; scroll-padding: 0; }
body { background: none; display: block; }
.md-typeset { color: #111; font: 0.86rem/1.45 "qkvdocs Serif", "Liberation Serif", "Times New Roman", serif; }
.md-typeset h1, .md-typeset h2, .md-typeset h3, .md-typeset h4 { break-after: avoid; color: #111; }
.md-typeset h2 { border-top: 0.4pt solid #bbb; margin-top: 1.8em; padding-top: 0.7em; }
.md-typeset p, .md-typeset li { orphans: 3; widows: 3; }
.md-typeset :is(.diagram-box, DRAWINGS, tr, li, .formula, pre, .short) { break-inside: avoid; }
.md-typeset :is(summary, .admonition-title, .filename) { break-after: avoid; }
.md-typeset pre > code { font-size: 0.78em; line-height: 1.4; white-space: pre-wrap; }
.md-typeset :is(.admonition, details, .long, .long pre):not(.short) { box-shadow: none; break-inside: auto; }
.md-typeset summary::after { content: none !important; }
.md-typeset a { color: inherit; text-decoration: underline; text-decoration-color: #999; }
.md-typeset table:not([class]) { display: table; font-size: 0.84em; width: 100%; }
.md-typeset table:not([class]) :is(th, td) { min-width: 0; padding: 0.45em 0.8em; }
.diagram-box svg { max-height: 120mm; }
.lesson { break-before: page; counter-reset: section; }
.front::before { background: linear-gradient(90deg, #28489c 33.3%, #b4530f 33.3% 66.7%, #0b7a5f 66.7%); content: "";
  height: 2.2mm; width: 60mm; }
.front { break-after: page; display: flex; flex-direction: column; height: 245mm; justify-content: space-between; }
.front h1 { font-size: 2.6em; font-weight: 700; line-height: 1.15; margin: 0 0 0.5em; }
.front .title { margin-bottom: 90mm; }
.front p { margin: 0.3em 0; max-width: 28em; }
.front .colophon { color: #555; font-size: 0.8em; }
.contents { break-after: auto; }
.md-typeset .contents ol { list-style: none; margin: 0; padding: 0; }
.md-typeset .contents > ol > li { break-inside: avoid; margin: 0 0 0.9em; }
.md-typeset .contents a { text-decoration: none; }
.md-typeset .contents b { display: block; }
.md-typeset .contents li li { color: #444; display: inline; font-size: 0.82em; margin: 0; }
.md-typeset .contents li li:not(:last-child)::after { content: " · "; }
"""


def book(
    site: Path,
    lessons: Sequence[str],
    title: str,
    summary: str,
    colophon: Sequence[str],
    base: str = "",
    drawings: Sequence[str] = (),
) -> str:
    """Write the page.

    Args:
        site: The built folder; the page is to lie in it.
        lessons: Paths of the lessons' pages, in their order.
        title: For the first page.
        summary: Below it.
        colophon: Lines at its foot.
        base: The site's address, if known; without it, links to other pages are words alone.
        drawings: CSS selectors of what must not begin on one sheet and end on the next.

    Returns:
        HTML that needs no script.
    """
    chapters = [_chapter((site / name).read_text("utf-8"), name, lessons, base) for name in lessons]
    listed = "".join(f"<li>{_contents(chapter)}</li>" for chapter in chapters)
    foot = "".join(f"<p>{escape(line)}</p>" for line in colophon)
    body = (
        f'<header class="front"><div class="title"><h1>{escape(title)}</h1><p>{escape(summary)}</p></div>'
        f'<div class="colophon">{foot}</div></header>'
        f'<nav class="contents"><h2>Contents</h2><ol>{listed}</ol></nav>'
        + "".join(str(chapter) for chapter in chapters)
    )
    return printable(site / lessons[0], title, body, drawings=drawings)


def printable(like: Path, title: str, body: str, more: str = "", drawings: Sequence[str] = ()) -> str:
    """Write a page to print, with the style sheets of a page of the site, and more."""
    sheets = (f'<link rel="stylesheet" href="{sheet}">' for sheet in SHEETS.findall(like.read_text("utf-8")))
    style = STYLE.replace("DRAWINGS", ", ".join(drawings) or ".diagram") + more
    return (
        f'<!doctype html><html lang="en" dir="ltr"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'{"".join(sheets)}<style>{style}</style></head><body data-md-color-scheme="default">'
        f'<main class="md-typeset">{body}</main></body></html>'
    )


def _chapter(html: str, name: str, lessons: Sequence[str], base: str) -> Tag:
    """Take a lesson's article, unfolded, with anchors of its own and links that lead somewhere on paper."""
    article = parsed(html)
    assert article is not None  # noqa: S101
    article.name, article["class"], article["id"] = "section", "lesson", _anchor(name, "")
    for part in article.select(LEFT_OUT):
        part.decompose()
    for fold in article.select("details"):
        fold["open"] = ""
    for box in [*article.select(".highlight"), *article.select(".admonition, details:not(figure details)")]:
        classes = " ".join(box.get_attribute_list("class"))
        if len(box.get_text()) > LONG:
            box["class"] = f"{classes} long"
        elif not box.select(".long, figure"):
            box["class"] = f"{classes} short"
    for part in article.select("[id]"):
        part["id"] = _anchor(name, str(part["id"]))
    article["id"] = _anchor(name, "")
    for link in article.select("a[href]"):
        if whole := address(str(link["href"]), name, lessons, base):
            link["href"] = whole
        else:
            del link["href"]
    return article


def _anchor(name: str, anchor: str) -> str:
    return f"{Path(name).parent.name or 'home'}--{anchor}"


def address(link: str, name: str, lessons: Sequence[str], base: str) -> str:
    """Say where a link of a page leads outside it.

    Args:
        link: As it stands on the page.
        name: Path of the page.
        lessons: Pages that stand in the same text.
        base: The site's address, if known.

    Returns:
        An anchor of that text, a whole address, or nothing where it leads to a page and the address is not known.
    """
    inside = landing(link, name)
    if inside is None:
        return link
    path, anchor = inside
    page = path if path.endswith(".html") else normpath(join(path, "index.html"))
    if page in lessons:
        return "#" + _anchor(page, anchor)
    return f"{base.rstrip('/')}/{page.removesuffix('index.html')}#{anchor}".rstrip("#") if base else ""


def _contents(chapter: Tag) -> str:
    """List a lesson's sections."""

    def entry(heading: Tag, tag: Callable[[str], str]) -> str:
        return f'<a href="#{heading.get("id", "")}">{tag(escape(" ".join(heading.get_text().split())))}</a>'

    top = chapter.find("h1")
    sections = "".join(f"<li>{entry(part, str)}</li>" for part in chapter.find_all("h2"))
    return (entry(top, "<b>{}</b>".format) if top else "") + f"<ol>{sections}</ol>"
