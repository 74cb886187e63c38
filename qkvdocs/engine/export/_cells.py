"""A lesson as cells: its prose in Markdown, its code, and what the code printed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qkvdocs.engine.pages import Fence, LessonError, fences

OPENING = re.compile(r"(?P<prefix>(?:> ?| )*)(?P<ticks>`{3,})(?P<language>\S*)$")


@dataclass(frozen=True)
class Cell:
    """A piece of a lesson."""

    text: str
    """Markdown, or Python."""
    code: bool = False
    output: str = ""
    title: str = ""
    raises: str = ""
    """The error that the code must end with, and whose message ends the output."""


@dataclass(frozen=True)
class Block:
    """A fence in a Markdown text; lines count from 0."""

    start: int
    end: int
    language: str
    text: str


def cells(markdown: str, source: str, file: str) -> list[Cell]:
    """Cut a lesson's twin where its code stands.

    Args:
        markdown: The twin.
        source: The page as it was written.
        file: Its name for messages.

    Returns:
        Cells in the page's order. Hidden code is left out: what is shown must run without it.

    Raises:
        LessonError: If the code does not stand in one session, or the twin does not show all of it in order.
    """
    lines = markdown.split("\n")
    blocks, found, at = _blocks(lines), list[Cell](), 0
    for fence in _shown(source, file):
        block = next((block for block in blocks if block.start >= at and _same(block, fence)), None)
        if block is None:
            message = "a lesson must show its code in its order: not found in its twin"
            raise LessonError(file, fence.line + 1, "FenceError", message)
        found.append(Cell(_prose(lines[at : block.start])))
        at, output = block.end + 1, ""
        after = next((other for other in blocks if other.start >= at), None)
        if fence.options.get("result") and after and not _prose(lines[at : after.start]):
            at, output = after.end + 1, after.text
        asked = fence.options
        found.append(Cell(block.text, True, output, asked.get("title", ""), asked.get("raises", "")))
    found.append(Cell(_prose(lines[at:])))
    return [cell for cell in found if cell.text]


def _shown(source: str, file: str) -> list[Fence]:
    """List the fences that run and are shown, if a script and a notebook can hold them."""
    shown = [fence for fence in fences(source) if fence.runs and "source" in fence.options]
    sessions = {fence.options.get("session", "") for fence in shown}
    if len(sessions) > 1 or "" in sessions:
        message = (
            f"a lesson's code must share one session, so that it runs as a script, got {sorted(sessions)}"
        )
        raise LessonError(file, 1, "FenceError", message)
    for fence in shown:
        if (where := fence.options["source"]) != "above":
            message = (
                f"a lesson's code must stand above what it prints, so that it fits a notebook, got {where!r}"
            )
            raise LessonError(file, fence.line + 1, "FenceError", message)
    return shown


def _blocks(lines: Sequence[str]) -> list[Block]:
    found, at = [], 0
    while at < len(lines):
        start, opening = at, OPENING.match(lines[at])
        at += 1
        if opening:
            prefix = opening["prefix"]
            while lines[at].rstrip() != prefix + opening["ticks"]:
                at += 1
            text = (
                line.removeprefix(prefix) if line.strip() != ">" else "" for line in lines[start + 1 : at]
            )
            found.append(Block(start, at, opening["language"], "\n".join(text)))
            at += 1
    return found


def _same(block: Block, fence: Fence) -> bool:
    return block.language in {"python", ""} and block.text.split() == fence.code.split()


def _prose(lines: Sequence[str]) -> str:
    """Join lines; what is left of a quote around code is nothing."""
    text = "\n".join(lines)
    return re.sub(r"^(?:>?\s*\n)+|(?:\n>?\s*)+$", "", text if re.search(r"[^>\s]", text) else "").strip("\n")
