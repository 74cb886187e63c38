"""The builders that can be asked for a site, and what each leaves for us to do."""

import re
import shutil
import sys
from functools import partial
from html import escape, unescape
from os import environ
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qkvdocs.engine.pages import finish

BUILDERS = ("mkdocs", "zensical")
LINK = re.compile(r'(?<=\s)(href|src)="(\.\./[^"]*)"')


def command(builder: str | list[str], root: Path, made: Path) -> tuple[list[str], Path]:
    """Give the words that build a site.

    Args:
        builder: One of `BUILDERS`, or a command of another, to which `-d FOLDER` is added.
        root: The folder that holds `mkdocs.yml`.
        made: The folder to build into.

    Returns:
        The command, and the folder to run it in.
    """
    if builder != "zensical":
        words = [sys.executable, "-m", "mkdocs", "build"] if builder == "mkdocs" else builder
        return [*words, "-d", str(made)], root
    # In a copy: it takes `.cache` for its own, to empty, and follows no link out of its folder.
    project = made.with_name(builder)
    made_here = shutil.ignore_patterns("__pycache__", "artefacts", "changes", "node_modules")
    project.mkdir()
    for entry in root.iterdir():
        if entry.is_dir() and not entry.name.startswith((".", "site")):
            shutil.copytree(entry, project / entry.name, ignore=made_here)
        elif entry.is_file():
            shutil.copy(entry, project)
    text = settings((root / "mkdocs.yml").read_text("utf-8"), root)
    (project / "mkdocs.yml").write_text(text, "utf-8")
    return [sys.executable, "-m", "zensical", "build"], project


def settings(text: str, root: Path) -> str:
    r"""Say in Zensical's words what `mkdocs.yml` says.

    Args:
        text: The file.
        root: Its folder.

    Returns:
        Without our hooks, with the markup of Material's own theme, with our cache where it is, and without an
        address where none is given: with an empty one, Zensical writes links from the root of the host.

    Examples:
        >>> print(settings("hooks: [a.py]\ntheme:\n  name: material\n", Path()))
        theme:
          name: material
          variant: classic
        <BLANKLINE>
    """
    text = re.sub(r"^hooks:.*\n(?:[ -].*\n)*", "", text, flags=re.M)
    text = re.sub(r"^(  name: material\n)", r"\1  variant: classic\n", text, flags=re.M)
    text = text.replace("cache: .cache/", f"cache: {root}/.cache/")
    return text if environ.get("SITE_URL") else re.sub(r"^site_url:.*\n", "", text, flags=re.M)


def complete(builder: str | list[str], made: Path, docs: Path) -> None:
    """Do what our hook does in MkDocs, where the builder has no hooks."""
    if builder == "zensical":
        made.with_name(builder).joinpath("site").rename(made)
        for page in sorted(made.rglob("*.html")):
            moved = partial(_unmoved, folder=page.parent)
            page.write_text(LINK.sub(moved, page.read_text("utf-8")), "utf-8")
        finish(made, docs)


def _unmoved(link: re.Match[str], folder: Path) -> str:
    """Take back a step up: Zensical adds one to links of HTML, which pages write for where they will be."""
    address = urlsplit(unescape(link[2]))
    there, meant = (folder / unquote(path) for path in (address.path, address.path.removeprefix("../")))
    if there.exists() or not meant.exists():
        return link[0]
    return f'{link[1]}="{escape(unescape(link[2]).removeprefix("../"))}"'
