"""Does Material's successor show the same words? Builds the real site with MkDocs and with Zensical, page against page.

    python benchmarks/builders.py [--pages lessons/]

Prints a line a page: how many words, and where the two differ. The settings are those of `mkdocs.yml` without its
`hooks`, which Zensical does not have: they date the site and put the maths font beside it, and change no word.
"""

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNREAD = {"annotation", "script", "style"}
NEEDED = ("docs", "qkvdocs", "tests", "mkdocs.yml", "CONTRIBUTING.md")


class Words(HTMLParser):
    """The words of a page, in order: headings, prose, code, formulas, figures, what is folded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Leave out what nobody reads; code is cut into spans, and stays one."""
        self.silent += tag in UNREAD
        if tag != "span":
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """Listen again."""
        self.silent -= tag in UNREAD
        if tag != "span":
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        """Collect."""
        if not self.silent:
            self.parts.append(data)


def words(page: Path) -> list[str]:
    """Read the words of a built page's article; where a bracket folds a line is no word."""
    article = re.search(r"<article\b.*</article>", page.read_text("utf-8"), re.S)
    if not article:
        raise ValueError(f"{page} must have an article, got none")
    text = "".join(Words(article[0]).parts)
    return re.sub(r"(?<=[(\[{])\s+|\s+(?=[)\]}])", "", text).split()


def differences(one: list[str], other: list[str]) -> list[str]:
    """List what stands in one and not in the other, with the word before."""
    found = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            place = f"after {one[a - 1]!r}" if a else "at the start"
            found.append(
                f"{place}: {' '.join(one[a:b]) or 'nothing'!r} became {' '.join(other[c:d]) or 'nothing'!r}"
            )
    return found


def build_with(folder: Path, *names: str, pages: str = "") -> list[Path]:
    """Build the site of this project, side by side where there are several builders.

    Args:
        folder: An empty folder to work in.
        names: The builders, `mkdocs` or `zensical`.
        pages: How the addresses of the pages begin that are built; links to others then lead nowhere.

    Returns:
        The site by each.

    Raises:
        RuntimeError: If a builder fails.
    """
    running = []
    for name in names:
        command = {"mkdocs": ["build", "-q"], "zensical": ["build", "--clean"]}[name]
        copy = folder / name
        copy.mkdir()
        for each in NEEDED:
            (shutil.copytree if (ROOT / each).is_dir() else shutil.copy)(ROOT / each, copy / each)
        settings = copy / "mkdocs.yml"
        settings.write_text(re.sub(r"^hooks:.*\n", "", settings.read_text("utf-8"), flags=re.M), "utf-8")
        for page in (copy / "docs").rglob("*.md"):
            if not page.relative_to(copy / "docs").as_posix().startswith((pages, "index.md")):
                page.unlink()
        environment = {**os.environ, "PYTHONPATH": str(copy), "NO_MKDOCS_2_WARNING": "1"}
        words = [sys.executable, "-m", name, *command]
        with (copy / "log.txt").open("w") as log:
            running.append((subprocess.Popen(words, cwd=copy, env=environment, stdout=log, stderr=log), copy))
    codes = [process.wait() for process, _ in running]
    for code, (_, copy) in zip(codes, running, strict=True):
        if code:
            raise RuntimeError(f"{copy.name} failed: {(copy / 'log.txt').read_text('utf-8')[-2000:]}")
    return [copy / "site" for _, copy in running]


def compare(one: Path, other: Path, pages: str = "") -> dict[str, tuple[int, list[str]]]:
    """Compare two built sites page by page.

    Args:
        one: The site by MkDocs.
        other: The site by Zensical.
        pages: How the addresses of the pages begin.

    Returns:
        For each page how many words it has, and what differs.
    """
    found = {}
    for page in sorted(one.rglob("index.html")):
        name = page.parent.relative_to(one).as_posix()
        if name.startswith(pages):
            here = words(page)
            found[name] = len(here), differences(here, words(other / name / "index.html"))
    return found


def report(found: dict[str, tuple[int, list[str]]]) -> str:
    """Write a line a page, and one a difference."""
    lines = []
    for name, (count, differ) in found.items():
        lines.append(
            f"{name}: {count} words, {f'{len(differ)} differences' if differ else 'the same in both'}"
        )
        lines += [f"    {each}" for each in differ]
    return "\n".join(lines)


def main() -> int:
    """Build, compare and print. What differs is told, and blocks nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", default="", help="how the addresses of the pages begin, such as lessons/")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(report(compare(*build_with(Path(folder), "mkdocs", "zensical"), given.pages)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
