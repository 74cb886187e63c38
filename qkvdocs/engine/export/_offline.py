"""The site as a folder that opens without a server: links name files, and search brings its index and its worker.

A browser gives a page that was opened from a folder no fetch, no worker from a file and no module. So the index and
the worker's code stand in classic scripts, and a module stands in the page that loads it.
"""

import argparse
import base64
import json
import re
import shutil
from pathlib import Path

LINK = re.compile(r'(?<= href=")([^":?#]*)(?=[?#"])')
CONFIG = re.compile(r'(<script id="__config" type="application/json">)(.*?)(</script>)', re.S)
MODULE = re.compile(r'<script type="module" src="([^":]+)"></script>')
IMPORT = re.compile(r"""(?<=from )(['"])(\./[^'"]+)\1""")
RUN = re.compile(r"<qkv-run\b[^>]*></qkv-run>")
PRELOAD = re.compile(r'<link rel="preload"[^>]*>')
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
"""No page from a folder is of the site's origin, so a policy would forbid it its own files."""
WORKER = """\
// The search worker, from its own text: a page opened from a folder may not load it as a file.
const text = %s;
window.Worker = class extends Worker {
  constructor() {
    super(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  }
};
"""


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
    index = json.loads((search / "search_index.json").read_text("utf-8"))
    for entry in index["docs"]:
        entry["location"] = _named(entry["location"], folder, folder)
    for path in search.glob("*.json"):
        path.unlink()
    (search / "search_index.js").write_text(f"var __index = {json.dumps(index)};\n", "utf-8")
    worker = folder / "assets" / "javascripts" / "workers" / "search.js"
    (folder / "assets" / "offline.js").write_text(WORKER % json.dumps(worker.read_text("utf-8")), "utf-8")
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

    def configured(found: re.Match[str]) -> str:
        settings = json.loads(found[2])
        script = f'<script src="{settings["base"]}/assets/offline.js"></script>'
        return found[0] + script

    html = RUN.sub("", PRELOAD.sub("", POLICY.sub("", html)))
    html = LINK.sub(lambda found: _named(found[1], page.parent, folder) if found[1] else "", html)
    html = MODULE.sub(lambda found: _inlined(page.parent / found[1]), html)
    return CONFIG.sub(configured, html)


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
