"""Every link inside a built folder leads somewhere."""

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from posixpath import join, normpath
from urllib.parse import urlsplit

from qkvdocs.engine.checks._html import PageReader, find_line
from qkvdocs.engine.export._pages import landing, source_file
from qkvdocs.engine.pages import LessonError

ADDED = re.compile(r'\s(?:href|src)="([^"]*)"')


def check_links(pages: Mapping[str, PageReader], site: Path, docs: Path) -> list[LessonError]:
    """Follow each link of each page to its file and its anchor.

    Args:
        pages: The pages by their paths, as the builder left them.
        site: The built folder; its pages may have got links since.
        docs: The Markdown files.

    Returns:
        One error a broken link. Links to other hosts are not followed.
    """
    anchors = {name: page.anchors for name, page in pages.items()}
    errors = []
    for name, page in pages.items():
        added = map(unescape, ADDED.findall((site / name).read_text("utf-8")))
        for link in dict.fromkeys([*page.links, *added]):
            problem = _problem(link, name, site, anchors)
            if problem:
                source = source_file(name, docs)
                file = source.relative_to(docs.parent).as_posix() if source else name
                errors.append(LessonError(file, _line(source, link), "LinkError", f"{link!r} {problem}"))
    return errors


def _problem(link: str, page: str, site: Path, anchors: dict[str, set[str]]) -> str | None:
    inside = landing(link, page)
    if inside is None:
        return None
    path, anchor = inside
    if path.startswith("/"):
        return "must be relative: the site may be served from a folder"
    if path.startswith(".."):
        return "leads out of the site"
    if (site / path).is_dir():
        path = normpath(join(path, "index.html"))
    if not (site / path).is_file():
        return f"leads to {path}, which does not exist"
    if anchor and path in anchors and anchor not in anchors[path]:
        return f"must name an anchor of {path}, which has no #{anchor}"
    return None


def _line(source: Path | None, link: str) -> int:
    if source is None:
        return 1
    parts = urlsplit(link)
    stem = parts.path.rstrip("/").removesuffix("index.html").rstrip("/").split("/")[-1]
    needle = f"#{parts.fragment}" if parts.fragment else stem
    return find_line(source, needle, link)
