"""A new lesson: a page that passes every check from its first minute, for its writer to change step by step."""

import argparse
import re
from importlib.resources import files
from pathlib import Path

from qkvdocs.engine.checks import _ledger
from qkvdocs.engine.checks._numerals import Allowed
from qkvdocs.engine.pages import LessonError
from qkvdocs.errors import QKVError

NAME = re.compile(r"(\d\d)((?:-[a-z]+)+)$")
NAV = re.compile(r"^  - Lessons:\n((?: {6}.*\n)*? {6}- .*lessons/[\w-]+\.md\n)(?! {6}- .*lessons/)", re.M)
CONCEPT = "concepts/softmax.md"
"""The concept that the new page leads to, and which must lead back."""
GATHERS = "practice.md"
"""The page that shows the questions of all lessons."""


def new_lesson(root: Path, name: str) -> list[str]:
    """Write a lesson by the skeleton of the others, with its place in the navigation and in the ledger.

    Args:
        root: The folder that holds `mkdocs.yml` and `docs/`.
        name: The page without its ending: a number and words, such as `06-multi-head`.

    Returns:
        The files that changed, the page first.

    Raises:
        QKVError: If the name is no number with words, or it is taken, or there is no place for it.
        LessonError: If the page fails; nothing is left behind then.
    """
    if not (found := NAME.match(name)):
        raise QKVError(f"NAME must be a number and words, such as 06-multi-head, got {name!r}")
    number, title = found[1], found[2].replace("-", " ").strip().capitalize()
    if counted := Allowed.read(root / "docs").counted.search(title):
        raise QKVError(f"NAME must count nothing, since no number on a page is typed, got {counted[0]!r}")
    lessons = root / "docs" / "lessons"
    if taken := sorted(lessons.glob(f"{number}-*.md")):
        raise QKVError(f"NAME must have a number of its own, got {name!r} beside {taken[0].name}")
    before = max(lessons.glob("[0-9][0-9]-*.md"), default=None)
    if before is None:
        raise QKVError("docs/lessons must hold the lesson before the new one, got none")
    if before.name > name:
        raise QKVError(f"NAME must come after {before.stem}, got {name!r}")

    page = lessons / f"{name}.md"
    settings, concept = root / "mkdocs.yml", root / "docs" / CONCEPT
    link = f"[{title}](../lessons/{name}.md#idea)"
    written = {
        page: _page(number, title, before),
        settings: _in_nav(settings.read_text("utf-8"), f'"{number} · {title}": lessons/{name}.md'),
        concept: _used_in(concept.read_text("utf-8"), link),
    }
    old = {path: path.read_text("utf-8") for path in (settings, concept)}
    for path, text in written.items():
        path.write_text(text, "utf-8")
    try:
        ledger = _ledger.update(root, [page, concept, root / "docs" / GATHERS])
    except LessonError:
        page.unlink()
        for path, text in old.items():
            path.write_text(text, "utf-8")
        raise
    return [*(path.relative_to(root).as_posix() for path in written), *ledger]


def _page(number: str, title: str, before: Path) -> str:
    text = files("qkvdocs.engine").joinpath("checks", "lesson.md").read_text("utf-8")
    heading = re.search(r"^# (.+)$", before.read_text("utf-8"), re.M)
    known = {
        "TITLE": title,
        "NUMBER": number,
        "FILE": before.name,
        "BEFORE": heading[1] if heading else before.stem,
    }
    return re.sub(r"@([A-Z]+)@", lambda mark: known[mark[1]], text)


def _in_nav(settings: str, entry: str) -> str:
    """Add a line; the rest of the file, comments and tags of its own included, stays byte for byte."""
    if not (found := NAV.search(settings)):
        raise QKVError("mkdocs.yml must have lessons under '- Lessons:' in nav, got none")
    return f"{settings[: found.end(1)]}      - {entry}\n{settings[found.end(1) :]}"


def _used_in(concept: str, link: str) -> str:
    text, count = re.subn(r"^(\*\*Used in:\*\* .*)\.$", rf"\1, {link}.", concept, count=1, flags=re.M)
    if not count:
        raise QKVError(f"docs/{CONCEPT} must have a line that begins **Used in:**, got none")
    return text


def main(arguments: list[str]) -> int:
    """Write a new lesson as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs lesson", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="a number and words, such as 06-multi-head")
    given = parser.parse_args(arguments)
    page, *others = new_lesson(Path.cwd(), given.name)
    steps = (
        f"Wrote {page}; changed {', '.join(others)}.",
        "It passes the checks as it is. Now make it yours:",
        "  make serve                shows it, and follows each edit",
        f"  {page}",
        "                            the headings stay, the content is an example;",
        "                            lessons have four questions to recall and four of interviews",
        "  the lesson before it      let its bridge lead here",
        "  make ledger, make build   when the page says what you want",
    )
    print(*steps, sep="\n")  # noqa: T201
    return 0
