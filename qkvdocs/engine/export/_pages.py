"""The pages of a built folder, and where the twin of each in Markdown stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import Tag

from qkvdocs.engine.export._markdown import ARTICLE, article
from qkvdocs.engine.pages._site import texts
from qkvdocs.engine.settings import Settings

HEADING = re.compile(r"<h([1-6])\b.*?</h\1>", re.S)
READING = re.compile(r"\s*About [\d.]+ minutes?(, [\d.]+ with everything that is folded)?\.$")


@dataclass
class Built:
    """One built page."""

    name: str
    """Path inside the built folder."""
    html: str
    settings: Settings

    @cached_property
    def tree(self) -> Tag:
        """The article; reading it takes most of the time that an export takes."""
        tree = article(self.html, self.settings)
        assert tree  # noqa: S101  # `pages` takes no other
        return tree

    @cached_property
    def outline(self) -> Tag:
        """Its headings alone: all that links from other pages need."""
        if not (found := ARTICLE.search(self.html)):
            return self.tree
        headings = "".join(heading[0] for heading in HEADING.finditer(found[0]))
        outline = article(f"<article>{headings}</article>", self.settings)
        assert outline  # noqa: S101
        return outline

    @cached_property
    def headings(self) -> dict[str, str]:
        """For each anchor of a heading, what the heading's anchor is in the twin."""
        return headings(self.outline)

    @property
    def twin(self) -> str:
        """Where the twin stands: beside the page."""
        return self.name.removesuffix(".html") + ".md"

    @property
    def title(self) -> str:
        """The words of the first heading."""
        heading = self.outline.find("h1")
        return " ".join(heading.get_text().split()) if heading else self.name

    @property
    def summary(self) -> str:
        """The first paragraph, without the reading time."""
        texts = (" ".join(paragraph.get_text().split()) for paragraph in self.tree.find_all("p"))
        return next((READING.sub("", text) for text in texts if text), "")


def pages(site: Path, settings: Settings) -> dict[str, Built]:
    """Read a built folder.

    Args:
        site: The folder.
        settings: What parts the site's figures have.

    Returns:
        Its pages by their paths; not the page for wrong addresses.
    """
    return {
        name: Built(name, html, settings)
        for name, html in texts(site).items()
        if ARTICLE.search(html) or article(html, settings)
    }


def headings(tree: Tag) -> dict[str, str]:
    """Name each heading as readers of Markdown do: its words in small letters, with hyphens."""
    found: dict[str, str] = {}
    for heading in tree.find_all(re.compile(r"h[1-6]$")):
        slug = base = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.get_text().strip().lower()))
        count = 0
        while slug in found.values():
            count += 1
            slug = f"{base}-{count}"
        found[str(heading.get("id", ""))] = slug
    return found


def source_file(page: str, docs: Path) -> Path | None:
    """Find the Markdown file of a built page.

    Args:
        page: Path inside the built folder.
        docs: Folder of the Markdown files.

    Returns:
        The file, or None for a page that no file was made into.
    """
    stem = re.sub(r"(^|/)index\.html$|\.html$", "", page)
    candidates = [docs / f"{stem}.md", docs / stem / "index.md", docs / stem / "README.md"]
    return next((path for path in candidates if path.is_file()), None)


def landing(link: str, page: str) -> tuple[str, str] | None:
    """Say where a link of a page leads inside the site, path and anchor; None if to another host."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = normpath(join(dirname(page), unquote(parts.path))) if parts.path else page
    return path, unquote(parts.fragment)


def follow(link: str, page: Built, all_pages: dict[str, Built], base: str = "") -> str:
    """Say where a link of a page leads in its twin.

    Args:
        link: As it stands on the page.
        page: The page.
        all_pages: All pages.
        base: The site's address, for texts that leave the site; their links then lead back to it.

    Returns:
        An address relative to the twin, or below `base`; that of another host is left as it is.
    """
    inside = landing(link, page.name)
    if inside is None:
        return link
    path, anchor = inside
    if base:
        slash = "/" * urlsplit(link).path.endswith("/")
        address = "" if path == "." else path.removesuffix("index.html") + slash
        return f"{base.rstrip('/')}/{address}" + (f"#{anchor}" if anchor else "")
    target = all_pages.get(path) or all_pages.get(normpath(join(path, "index.html")))
    if target is None:
        return link
    slug = target.headings.get(anchor, "")
    file = "" if target is page and slug else relpath(target.twin, dirname(page.name) or ".")
    return file + (f"#{slug}" if slug else "")


def listed(nav: list[Any], section: str = "") -> Iterator[tuple[str, str]]:
    """Go through a menu in order: the outermost section and the file."""
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else [("", entry)]:
            if isinstance(below, str):
                yield section or "Start", below
            else:
                yield from listed(below, section or title)
