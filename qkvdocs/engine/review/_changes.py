"""Two built sites and two ledgers in, one folder for a reviewer out: a page with pictures, and a short text."""

import argparse
import difflib
import html
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser

from qkvdocs.engine.export._browser import chromium
from qkvdocs.engine.review._figures import difference, draw, pair, reading

TITLE = "What a reader would see changed"
MOST = 400
"""Lines of the ledgers' difference that the short text has."""
HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<title>{TITLE}</title><style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 90rem; overflow-wrap: anywhere; padding: 0 1rem; }}
figure {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }}
figcaption {{ font-weight: bold; margin-top: 1rem; grid-column: 1 / -1; }}
img {{ border: 1px solid; max-width: 100%; }}
pre {{ white-space: pre-wrap; }}
</style></head><body><h1>{TITLE}</h1>
"""


@dataclass(frozen=True)
class Drawn:
    """A figure, or a whole page, that changed, came or went."""

    page: str
    name: str
    kind: str
    """`changed`, `added` or `removed`."""
    pictures: dict[str, str]
    """What each picture shows, and its path."""

    def __str__(self) -> str:
        return f"{self.page} · {self.name} · {self.kind}"


def changes(old: Path, new: Path, out: Path, ledgers: tuple[Path, Path] | None = None) -> str:
    """Show what a reader would see changed.

    Args:
        old: A built folder.
        new: Another.
        out: The folder to make: `index.html`, `summary.md` and the pictures. One made before is replaced.
        ledgers: The folders of both ledgers, if values are to be compared too.

    Returns:
        The summary, in Markdown.

    Raises:
        FileNotFoundError: If one of the folders is not there.
        FileExistsError: If `out` holds anything else.
        QKVError: If there is no browser.
    """
    for folder in (old, new, *(ledgers or ())):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} must be a folder")
    if out.exists() and any(out.iterdir()) and not (out / "summary.md").is_file():
        raise FileExistsError(f"{out} must be empty or made by this command: it would be replaced")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    values = list(_values(*ledgers)) if ledgers else []
    with chromium() as browser:
        drawn = list(_drawn(browser, old, new, out))
    (out / "index.html").write_text(as_html(drawn, values), "utf-8")
    summary = as_markdown(drawn, values)
    (out / "summary.md").write_text(summary, "utf-8")
    return summary


def _values(old: Path, new: Path) -> Iterator[str]:
    """Compare two ledgers line by line."""
    for file in sorted({path.relative_to(folder) for folder in (old, new) for path in folder.rglob("*.txt")}):
        before, after = (
            path.read_text("utf-8").splitlines() if (path := folder / file).exists() else []
            for folder in (old, new)
        )
        yield from difflib.unified_diff(before, after, f"old/{file}", f"new/{file}", lineterm="", n=1)


def _pages(site: Path) -> dict[str, str]:
    """Give each page's file by its name, which is that of its ledger file too."""
    paths = (path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")))
    return {re.sub(r"/index\.html$|\.html$", "", path): path for path in paths if path != "404.html"}


def _drawn(browser: Browser, old: Path, new: Path, out: Path) -> Iterator[Drawn]:
    """Compare two sites page by page, and write the pictures of what differs."""
    pages = _pages(old), _pages(new)
    with reading(browser, old) as before, reading(browser, new) as after:
        for page in sorted({*pages[0], *pages[1]}):
            if page not in pages[0] or page not in pages[1]:
                yield Drawn(page, "page", "added" if page in pages[1] else "removed", {})
            was, now = (
                draw(tab, paths[page]) if page in paths else []
                for tab, paths in zip((before, after), pages, strict=True)
            )
            for one, other in pair(was, now):
                pictures = {
                    what: figures[at].picture
                    for what, figures, at in (("before", was, one), ("after", now, other))
                    if at is not None
                }
                if len(pictures) == 2:
                    marked = difference(pictures["before"], pictures["after"])
                    if marked is None:
                        continue
                    pictures["difference"] = marked
                kind = "added" if one is None else "removed" if other is None else "changed"
                figure, at = (now[other], other) if other is not None else (was[one or 0], one or 0)
                files = {what: f"pictures/{page}/{at + 1:02}-{kind}-{what}.png" for what in pictures}
                for what, file in files.items():
                    (out / file).parent.mkdir(parents=True, exist_ok=True)
                    (out / file).write_bytes(pictures[what])
                yield Drawn(page, figure.name or "figure without a name", kind, files)


def as_markdown(drawn: list[Drawn], values: list[str]) -> str:
    """Write the short text.

    Args:
        drawn: Pages and figures.
        values: How the ledgers differ.

    Returns:
        Markdown in which no word of a page is more than a word.
    """
    lines = [f"# {TITLE}", "", *([] if drawn or values else ["Nothing."])]
    lines += [f"- {_plain(str(one))}" for one in drawn]
    if any(one.pictures for one in drawn):
        lines += ["", "The pictures, before and after, are in index.html, beside this text."]
    if values:
        ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", "".join(values))), default=0))
        lines += ["", f"{ticks}diff", *values[:MOST], ticks]
        lines += ["", f"And {len(values) - MOST} lines more."] if len(values) > MOST else []
    return "\n".join([*lines, ""])


def as_html(drawn: list[Drawn], values: list[str]) -> str:
    """Write the page.

    Args:
        drawn: Pages and figures.
        values: How the ledgers differ.

    Returns:
        A page that runs nothing and shows nothing from elsewhere.
    """
    parts = [HEAD, *([] if drawn or values else ["<p>Nothing.</p>"])]
    for one in drawn:
        name = html.escape(str(one))
        pictures = "".join(
            f'<div>{what}<br><img alt="{name}, {what}" src="{quote(path)}"></div>'
            for what, path in one.pictures.items()
        )
        parts.append(f"<figure><figcaption>{name}</figcaption>{pictures}</figure>")
    if values:
        parts.append(f"<pre>{html.escape(chr(10).join(values))}</pre>")
    return "\n".join([*parts, "</body></html>\n"])


def _plain(text: str) -> str:
    """Write each sign by its number that Markdown, HTML or the code host could read as more than a sign."""
    return re.sub(
        r"[]\\`*_{}[<>&|~@:#^$!]|(?<=www)\.", lambda sign: f"&#{ord(sign[0])};", " ".join(text.split())
    )


def main(arguments: list[str]) -> int:
    """Run the comparison as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs changes", description=__doc__)
    parser.add_argument("old", type=Path, help="a built folder")
    parser.add_argument("new", type=Path, help="another")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to make")
    parser.add_argument(
        "--ledgers", type=Path, nargs=2, metavar=("OLD", "NEW"), help="folders of both ledgers"
    )
    parser.add_argument("--summary", type=Path, help="a file to which the summary is added")
    given = parser.parse_args(arguments)
    try:
        summary = changes(given.old, given.new, given.output, given.ledgers)
    except (FileNotFoundError, FileExistsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    if given.summary:
        with given.summary.open("a", encoding="utf-8") as file:
            file.write(summary)
    print(summary, end="")  # noqa: T201
    return 0
