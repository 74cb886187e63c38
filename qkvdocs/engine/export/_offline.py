"""The site as a folder that opens without a server: links name files, and the search's index is a script.

A browser gives a page that was opened from a folder no fetch and no module. So the index stands in a classic script,
and a module in the page that loads it.
"""

import argparse
import base64
import json
import re
import shutil
from pathlib import Path

LINK = re.compile(r'(?<= href=")([^":?#]*)(?=[?#"])')
MODULE = re.compile(r'<script type="module" src="([^":]+)"></script>')
IMPORT = re.compile(r"""(?<=from )(['"])(\./[^'"]+)\1""")
RUN = re.compile(r"<qkv-run\b[^>]*></qkv-run>")
PRELOAD = re.compile(r'<link rel="preload"[^>]*>')
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
"""No page from a folder is of the site's origin, so a policy would forbid it its own files."""


def offline(site: Path, folder: Path) -> None:
    """Make a copy of a built site that opens from file://.

    Args:
        site: The built folder.
        folder: The copy; it is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns("*.map", "sitemap.xml*"))
    shutil.rmtree(folder / "runtime", ignore_errors=True)  # Python in the page needs a server
    search = folder / "search"
    index = json.loads((search / "index.json").read_text("utf-8"))
    index = [(_named(location, folder, folder), *words) for location, *words in index]
    (search / "index.json").unlink()
    (search / "index.js").write_text(f"var __index = {json.dumps(index)};\n", "utf-8")
    for page in sorted(folder.rglob("*.html")):
        page.write_text(_opened(page.read_text("utf-8"), page, folder), "utf-8")


def _named(link: str, here: Path, folder: Path) -> str:
    """Let a link to a folder name the page in it."""
    path, mark, anchor = link.partition("#")
    found = (here / path).resolve()
    if (
        (path or here == folder)
        and found.is_relative_to(folder.resolve())
        and (found / "index.html").is_file()
    ):
        path = f"{path.rstrip('/')}/index.html".lstrip("/")
    return path + mark + anchor


def _opened(html: str, page: Path, folder: Path) -> str:
    """Make a page need no server."""
    html = RUN.sub("", PRELOAD.sub("", POLICY.sub("", html)))
    html = LINK.sub(lambda found: _named(found[1], page.parent, folder) if found[1] else "", html)
    return MODULE.sub(lambda found: _inlined(page.parent / found[1]), html)


def _inlined(file: Path) -> str:
    """Put a module into the page, and what it imports into the module."""

    def imported(found: re.Match[str]) -> str:
        text = base64.b64encode((file.parent / found[2]).read_bytes()).decode()
        return f'"data:text/javascript;base64,{text}"'

    return f'<script type="module">{IMPORT.sub(imported, file.read_text("utf-8"))}</script>'


def main(arguments: list[str]) -> int:
    """Run it as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs offline", description=__doc__)
    parser.add_argument("site", type=Path, nargs="?", default=Path("site"), help="the built folder")
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("site-offline"), help="where to put the copy"
    )
    given = parser.parse_args(arguments)
    if not (given.site / "index.html").is_file():
        parser.error(f"site must be a built folder, got {given.site}: build it first")
    offline(given.site, given.folder)
    print(f"open {(given.folder / 'index.html').resolve().as_uri()}")  # noqa: T201
    return 0
