"""Every link inside a built folder leads somewhere."""

import re
from html import unescape
from pathlib import Path
from posixpath import join, normpath
from urllib.parse import urlsplit

from qkvdocs.engine.checks._html import find_line
from qkvdocs.engine.cores import divided
from qkvdocs.engine.export._pages import landing, source_file
from qkvdocs.engine.pages import LessonError
from qkvdocs.engine.pages._site import texts
from qkvdocs.engine.publish._slim import TAG

UNREAD = re.compile(r"(<(script|style)\b[^>]*>).*?(?=</\2>)|<!--.*?-->", re.S)
"""What stands in these is no element."""
ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")
"""Each is read whole, also one that is not asked for: what its value quotes is none."""


def check_links(site: Path, docs: Path) -> list[LessonError]:
    """Follow each link of each page to its file and its anchor.

    Args:
        site: The built folder.
        docs: The Markdown files.

    Returns:
        One error a broken link. Links to other hosts are not followed.
    """
    pages = texts(site)
    found = dict(zip(pages, divided(lambda name: links_and_anchors(pages[name]), pages), strict=True))
    anchors = {name: there for name, (_, there) in found.items()}
    errors = []
    for name, (links, _) in found.items():
        for link in links:
            problem = _problem(link, name, site, anchors)
            if problem:
                source = source_file(name, docs)
                file = source.relative_to(docs.parent).as_posix() if source else name
                errors.append(LessonError(file, _line(source, link), "LinkError", f"{link!r} {problem}"))
    return errors


def links_and_anchors(html: str) -> tuple[list[str], set[str]]:
    """List where a page leads, and what can be led to on it.

    Examples:
        >>> html = "<p id=a name='b'>id=c</p><a HREF = 'd?e&amp;f'><img alt='> src=x' src=g><!-- <a href=h> -->"
        >>> links, anchors = links_and_anchors(html)
        >>> links, sorted(anchors)
        (['d?e&f', 'g'], ['a', 'b'])
    """
    links, anchors = dict[str, None](), set[str]()
    for tag in TAG.findall(UNREAD.sub(r"\1", html)):
        for name, *values in ATTRIBUTE.findall(tag):
            kind, value = name.lower(), unescape("".join(values))
            if kind in {"href", "src"}:
                links[value] = None
            elif kind in {"id", "name"} and not tag.startswith("<meta"):
                anchors.add(value)
    return [*links], anchors


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
