"""Marks that bind a claim of the text to code: checked on the spot, or asserted by a fence of the page."""

import ast
import functools
import re
from collections.abc import Sequence
from contextlib import suppress

from qkvdocs.lessons._fences import fences

NOTHING = "\0"
"""Stands for a mark until its line is complete."""


def without_marks(line: str) -> str | None:
    """Take the marks out of a line, and the blanks before them.

    Args:
        line: With `NOTHING` for each mark.

    Returns:
        The line as a reader is to get it; None if marks were all that it held.
    """
    if NOTHING not in line:
        return line
    return re.sub(rf"[ \t]*{NOTHING}", "", line) if line.strip(f"> \t{NOTHING}") else None


def is_asserted(claim: str, lines: Sequence[str]) -> bool:
    """Tell whether code that the page runs and shows asserts a condition.

    Args:
        claim: The condition, as Python; only its meaning to the parser counts, not its spaces.
        lines: The page.

    Returns:
        Whether some `assert` has this condition, alone or joined to others by `and`.
    """
    wanted = ast.dump(ast.parse(f"({claim}\n)", mode="eval").body)
    return wanted in _asserted(tuple(lines))


@functools.lru_cache(maxsize=1)  # a page asks again and again
def _asserted(lines: tuple[str, ...]) -> set[str]:
    found = set()
    for fence in fences(lines):
        if not fence.runs or "raises" in fence.options or "source" not in fence.options:
            continue  # a reader must be able to see the assertion
        with suppress(SyntaxError):  # running the fence will say so
            for node in ast.walk(ast.parse(fence.code)):
                if isinstance(node, ast.Assert):
                    found |= {ast.dump(condition) for condition in _joined(node.test)}
    return found


def _joined(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
