"""The ledger: every output and every value of every page as plain text, so that a review sees a number change.

The site is never made from it. `check` runs the pages and compares; `update` runs them and writes.
"""

import argparse
import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from qkvdocs.engine.export import article, markdown
from qkvdocs.engine.pages import Entry, Page, run_page
from qkvdocs.engine.settings import Settings

FOLDER = Path("tests/ledger")
WIDE = 160
"""Characters of a line; a longer one is folded."""
PRINTED = {"reference/architecture.md"}
"""Printed from the package's own files: the diff of an edit there shows already what this page will."""


@dataclass(frozen=True)
class Block:
    """One entry of the ledger. Its name has no line number, so that a new paragraph moves nothing."""

    name: str
    text: str
    line: int = 0

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"    {line}" for line in self.text.split("\n")), ""])


def blocks(page: Page, parts: Settings | None = None) -> Iterator[Block]:
    """Give the blocks of a page that was run.

    Args:
        page: As `run_page` returns it.
        parts: What parts the site's figures have: a figure is then its words and numbers, as a review can
            read them. None leaves every text as it is.

    Yields:
        One block for each value and each fence with an output, in order. Equal codes are numbered.
    """
    seen: Counter[str] = Counter()
    for entry in page.entries:
        if entry.text:
            name = _name(entry)
            seen[name] += 1
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            yield Block(name + number, _words(entry, parts) if parts else entry.text, entry.line)


def _words(entry: Entry, parts: Settings) -> str:
    text = entry.text
    if entry.fence and entry.fence.options.get("html") == "on":
        tree = article(f"<article>{text}</article>", parts)
        text = markdown(tree, str).rstrip("\n") if tree else ""
    return "\n".join(
        part for line in text.split("\n") for part in (wrap(line, WIDE) if len(line) > WIDE else [line])
    )


def _name(entry: Entry) -> str:
    if entry.fence is None:
        return f"{entry.kind} {entry.code[:WIDE]}"
    code = [line[:WIDE] for line in entry.code.split("\n") if line.strip()]
    return f"fence {entry.fence.options.get('id') or (code[-1].strip() if code else '')}"


def check(root: Path) -> list[str]:
    """Compare all pages with the ledger.

    Args:
        root: The folder that holds `docs/` and `tests/`.

    Returns:
        One text a page that differs: the affected blocks with their lines, then the diff.

    Raises:
        LessonError: If a page fails.
    """
    current = _run_all(root)
    found = [text for file, now in current.items() if (text := _difference(root, file, now))]
    return found + [f"{FOLDER / file}: its page is gone" for file in _stale(root, current)]


def difference(root: Path, path: Path, page: Page) -> str:
    """Compare a page that was run with its file in the ledger.

    Args:
        root: The folder that holds `docs/` and `tests/`.
        path: The page.
        page: As `run_page` returns it.

    Returns:
        The affected blocks with their lines, then the diff; empty where nothing differs.
    """
    file = path.relative_to(root / "docs").with_suffix(".txt").as_posix()
    now = () if _page(file) in PRINTED else blocks(page, Settings.of(root / "docs"))
    return _difference(root, file, list(now))


def _difference(root: Path, file: str, now: list[Block]) -> str:
    path = root / FOLDER / file
    old = path.read_text("utf-8") if path.exists() else ""
    new = _text(now)
    if old == new:
        return ""
    known = {block.rstrip() for block in re.split(r"\n(?=\S)", old)}
    changed = [
        f"docs/{_page(file)}:{block.line}: {block.name}" for block in now if str(block).rstrip() not in known
    ]
    diff = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"ledger/{file}", f"docs/{_page(file)}", lineterm="", n=1
    )
    return "\n".join([*changed, *diff])


def update(root: Path, pages: Sequence[Path] = ()) -> list[str]:
    """Run pages and write the ledger; nothing is written if any page fails.

    Args:
        root: The folder that holds `docs/` and `tests/`.
        pages: Those to run; all of them if empty.

    Returns:
        The files that changed.

    Raises:
        LessonError: If a page fails.
    """
    current = _run_all(root, pages)
    changed = []
    for file, now in current.items():
        path = root / FOLDER / file
        if not path.exists() or path.read_text("utf-8") != _text(now):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(now), "utf-8")
            changed.append(str(FOLDER / file))
    for file in () if pages else _stale(root, current):
        (root / FOLDER / file).unlink()
        changed.append(str(FOLDER / file))
    return changed


def _run_all(root: Path, pages: Sequence[Path] = ()) -> dict[str, list[Block]]:
    docs = root / "docs"
    found, parts = {}, Settings.of(docs)
    for path in pages or sorted(docs.rglob("*.md")):
        if path.relative_to(docs).as_posix() not in PRINTED and (
            here := list(blocks(run_page(path, root), parts))
        ):
            found[path.relative_to(docs).with_suffix(".txt").as_posix()] = here
    return found


def _text(now: list[Block]) -> str:
    return "\n".join(str(block) for block in now)


def _page(file: str) -> str:
    return Path(file).with_suffix(".md").as_posix()


def _stale(root: Path, current: Collection[str]) -> list[str]:
    """List the files whose page is gone."""
    there = (path.relative_to(root / FOLDER).as_posix() for path in (root / FOLDER).rglob("*.txt"))
    return sorted({*there} - {*current})


def main(arguments: list[str]) -> int:
    """Run the comparison, or the update, as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs ledger", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write what the pages show now")
    given = parser.parse_args(arguments)
    lines = update(Path.cwd()) if given.update else check(Path.cwd())
    print(*(lines or ["the ledger is current"]), sep="\n")  # noqa: T201
    return 1 if lines and not given.update else 0
