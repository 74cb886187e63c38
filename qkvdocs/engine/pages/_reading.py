"""How long a page takes to read, by a published formula."""

import re
from collections.abc import Sequence
from math import ceil

from qkvdocs.engine.pages._claims import MARKS
from qkvdocs.engine.pages._parts import fences, parse

WORDS_A_MINUTE = 200
CODE_LINES_A_MINUTE = 20
MARKUP = re.compile(r"\]\([^)]*\)|\{[.#:][^}]*\}|<[^>]*>|[^\w'’\s-]")
FOLD = re.compile(r"\s*\?\?\?\s")


def reading_minutes(text: str, *, unfolded: bool = False) -> int:
    r"""Estimate the reading time of a page.

    The words of the text at 200 a minute, values counted as one word each, plus the lines of code that are
    shown at 20 a minute, rounded up to a whole minute. What stands in a fold (`???`) counts by its title.

    Args:
        text: The page as it is written, without front matter.
        unfolded: Whether the reader opens every fold.

    Returns:
        Minutes, at least 1.

    Examples:
        >>> reading_minutes("word " * 250), reading_minutes("```text\n" + "code\n" * 40 + "```")
        (2, 2)
        >>> page = "word " * 250 + '\n??? note "More"\n\n    ' + "word " * 250
        >>> reading_minutes(page), reading_minutes(page, unfolded=True)
        (2, 3)
    """
    lines = text.split("\n")
    out = set() if unfolded else folded(lines)
    inside = set(out)
    code = 0
    for fence in fences(text):
        inside.update(fence.lines)
        if fence.line not in out and (not fence.runs or "source" in fence.options):
            code += sum(bool(line.strip()) for line in fence.code.split("\n"))
    parts, values = parse(text), 0
    prose = []
    for at, line in enumerate(lines):
        if at not in inside:
            prose.append(parts.filled(line, at, lambda value, written: " "))
            values += sum(value.kind not in MARKS for value in parts.values.get(at, ()))
    words = values + len(MARKUP.sub(" ", "\n".join(prose)).split())
    return max(1, ceil(words / WORDS_A_MINUTE + code / CODE_LINES_A_MINUTE))


def folded(lines: Sequence[str]) -> set[int]:
    """Say which lines a reader sees only after opening a fold."""
    inside, depth = set(), None
    for at, line in enumerate(lines):
        margin = len(line) - len(line.lstrip())
        if depth is not None and (not line.strip() or margin > depth):
            inside.add(at)
        else:
            depth = margin if FOLD.match(line) else None
    return inside
