"""Marks that bind a claim of the text to code: checked on the spot, or asserted by a fence of the page."""

import ast
import re
from collections.abc import Iterable
from contextlib import suppress

from qkvdocs.engine.pages._fences import Fence

MARKS = {"check", "asserted"}
"""Kinds of values that a reader does not see."""
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


def normal(claim: str) -> str:
    """Give what a condition means to the parser, whatever its spaces.

    Raises:
        SyntaxError: If it is no expression.
    """
    return ast.dump(ast.parse(f"({claim}\n)", mode="eval").body)


def asserted(fences: Iterable[Fence]) -> set[str]:
    """Find what code that a page runs and shows asserts.

    Args:
        fences: Those of the page.

    Returns:
        Each condition of an `assert`, alone or joined to others by `and`, in its `normal` form.
    """
    found = set()
    for fence in fences:
        if not fence.runs or "raises" in fence.options or "source" not in fence.options:
            continue  # a reader must be able to see the assertion
        with suppress(SyntaxError):  # running the fence will say so
            for node in ast.walk(ast.parse(fence.code)):
                if isinstance(node, ast.Assert):
                    found |= {ast.dump(condition) for condition in _joined(node.test)}
    return found


def _joined(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
