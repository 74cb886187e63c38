"""Two built sites and two ledgers in, one folder for a reviewer out."""

import argparse
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser

from qkvdocs.engine.export._browser import chromium
from qkvdocs.engine.review._figures import Figure, draw, reading
from qkvdocs.engine.review._pairs import difference, pair
from qkvdocs.engine.review._report import Changes, Drawn, as_html, as_markdown
from qkvdocs.engine.review._values import compare_values


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
    before, after = _pages(old), _pages(new)
    pages = {name: "removed" for name in before if name not in after}
    pages |= {name: "added" for name in after if name not in before}
    values = compare_values(*ledgers) if ledgers else []
    with chromium() as browser:
        figures = _figures(browser, (old, before), (new, after), out)
    found = Changes(values, figures, pages)
    (out / "index.html").write_text(as_html(found), "utf-8")
    summary = as_markdown(found)
    (out / "summary.md").write_text(summary, "utf-8")
    return summary


def _pages(site: Path) -> dict[str, str]:
    """Give each page's file by its name, which is that of its ledger file too."""
    paths = (path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")))
    return {_name(path): path for path in paths if path != "404.html"}


def _name(path: str) -> str:
    return re.sub(r"/index\.html$|\.html$", "", path)


def _figures(
    browser: Browser, old: tuple[Path, dict[str, str]], new: tuple[Path, dict[str, str]], out: Path
) -> list[Drawn]:
    found = []
    with reading(browser, old[0]) as before, reading(browser, new[0]) as after:
        for page in sorted({*old[1], *new[1]}):
            was, now = (
                draw(tab, paths[page]) if page in paths else []
                for tab, (_, paths) in ((before, old), (after, new))
            )
            found += _page(page, was, now, out)
    return found


def _page(page: str, was: list[Figure], now: list[Figure], out: Path) -> list[Drawn]:
    found = []
    for one, other in pair(was, now):
        pictures = {}
        if one is not None:
            pictures["before"] = was[one].picture
        if other is not None:
            pictures["after"] = now[other].picture
        if len(pictures) == 2:
            marked = difference(pictures["before"], pictures["after"])
            if marked is None:
                continue
            pictures["difference"] = marked
        figure = now[other] if other is not None else was[one or 0]
        kind = "added" if one is None else "removed" if other is None else "changed"
        stem = f"{(other if other is not None else one or 0) + 1:02}-{kind}"
        files = {what: f"pictures/{page}/{stem}-{what}.png" for what in pictures}
        for what, file in files.items():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).write_bytes(pictures[what])
        found.append(Drawn(page, figure.name, kind, files))
    return found


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
    ledgers = (given.ledgers[0], given.ledgers[1]) if given.ledgers else None
    try:
        summary = changes(given.old, given.new, given.output, ledgers)
    except (FileNotFoundError, FileExistsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    if given.summary:
        with given.summary.open("a", encoding="utf-8") as file:
            file.write(summary)
    print(summary, end="")  # noqa: T201
    return 0
