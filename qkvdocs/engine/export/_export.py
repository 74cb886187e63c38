"""What every build gives beside its pages: a Markdown twin of each, `llms.txt`, each lesson as notebook and script.

All of it is made from the built folder and the pages' sources, so it is the same for any builder and runs nothing.
"""

import os
import re
from functools import partial
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any

from mkdocs.utils.yaml import yaml_load

from qkvdocs.engine.cores import divided
from qkvdocs.engine.export._cells import cells
from qkvdocs.engine.export._markdown import markdown
from qkvdocs.engine.export._notebook import notebook
from qkvdocs.engine.export._pages import Built, follow, listed, pages, source_file
from qkvdocs.engine.export._script import script
from qkvdocs.engine.export._source import sourced, view
from qkvdocs.engine.settings import Settings

LESSONS = "lessons/"
META = re.compile(r'<p class="lesson-meta">.*?</p>', re.S)


def export(site: Path, root: Path) -> None:
    """Add to a built folder what is made of its pages.

    Args:
        site: The folder. Its pages learn where their twins are.
        root: The folder that holds `mkdocs.yml` and `docs/`.

    Raises:
        LessonError: If a lesson's code cannot be a script.
    """
    found, base = pages(site, Settings.of(root / "docs")), os.environ.get("SITE_URL", "")
    sources = view(os.environ.get("EDIT_URI", ""), root)
    with (root / "mkdocs.yml").open(encoding="utf-8") as file:
        settings = yaml_load(file)
    for page, headings in zip(found.values(), divided(lambda name: found[name].headings, found), strict=True):
        page.headings = headings  # links lead to those of all pages

    def write(name: str) -> tuple[str, str]:
        page = found[name]
        if name.startswith(LESSONS):
            take_along(site, root, page, found, base)
        twin = markdown(page.tree, partial(follow, page=page, all_pages=found))
        (site / page.twin).write_text(twin, "utf-8")
        (site / name).write_text(_sourced(linked(page), page, root, sources), "utf-8")
        return page.title, page.summary

    said = dict(zip(found, divided(write, found), strict=True))
    (site / "llms.txt").write_text(contents(settings, found, said, base), "utf-8")


def _sourced(html: str, page: Built, root: Path, sources: str) -> str:
    source = source_file(page.name, root / "docs") if sources else None
    if source is None:
        return html
    name = source.relative_to(root / "docs").as_posix()
    return sourced(html, source.read_text("utf-8"), sources + name)


def take_along(site: Path, root: Path, page: Built, found: dict[str, Built], base: str) -> None:
    """Write a lesson's notebook and script."""
    source = root / "docs" / f"{stem(page)}.md"
    if not source.is_file():
        return
    address = f"{base.rstrip('/')}/{stem(page)}/" if base else ""
    text = markdown(page.tree, partial(follow, page=page, all_pages=found, base=base))
    made = cells(text, source.read_text("utf-8"), source.relative_to(root).as_posix())
    (site / f"{stem(page)}.ipynb").write_text(notebook(made, address), "utf-8")
    (site / f"{stem(page)}.py").write_text(script(made, page.title, address), "utf-8")


def stem(page: Built) -> str:
    """Give a page's address without its end."""
    return page.name.removesuffix(".html").removesuffix("/index")


def linked(page: Built) -> str:
    """Tell machines where the twin is, and readers of a lesson what they can take along."""
    here = dirname(page.name) or "."
    twin = relpath(page.twin, here)
    # Not `alternate` alone: Material would take the twin for the page in another language and ask for its sitemap.
    link = f'<link rel="alternate describedby" type="text/markdown" href="{twin}">'
    html = page.html.replace("</head>", f"{link}</head>", 1)
    if not page.name.startswith(LESSONS):
        return html
    files = {
        kind: relpath(f"{stem(page)}.{ending}", here)
        for kind, ending in (("notebook", "ipynb"), ("script", "py"))
    }
    links = [f'<a href="{file}" download>{kind}</a>' for kind, file in files.items()]
    line = f'<p class="lesson-files">Take it along: {", ".join(links)}, <a href="{twin}">Markdown</a></p>'
    return META.sub(lambda meta: f"{meta[0]}\n{line}", html, count=1)


def contents(
    settings: dict[str, Any], found: dict[str, Built], said: dict[str, tuple[str, str]], base: str
) -> str:
    """Write `llms.txt`, as llmstxt.org describes it: a title, a summary, and the pages with a line each."""
    sections: dict[str, list[Built]] = {}
    for section, file in listed(settings.get("nav") or []):
        name = re.sub(r"(^|/)index\.html$|\.html$", "", re.sub(r"\.md$", ".html", file))
        page = found.get(f"{name}/index.html".lstrip("/")) or found.get(f"{name}.html")
        if page:
            sections.setdefault(section, []).append(page)
    lines = [f"# {settings['site_name']}", "", f"> {settings.get('site_description', '')}".rstrip(" >"), ""]
    for section, pages_of in sections.items():
        lines += [f"## {section}", ""]
        for page in pages_of:
            title, summary = said[page.name]
            lines.append(f"- [{title}]({base and base.rstrip('/') + '/'}{page.twin}): {summary}")
        lines += [""]
    return "\n".join(lines)
