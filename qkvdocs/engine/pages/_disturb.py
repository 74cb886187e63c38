"""Running a page with the last place of every inexact number disturbed."""

import ast
import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

HOOK = "__qkvdocs_noise__"


def noisy(seed: int) -> Callable[[ast.AST], ast.AST]:
    """Make the rewriting that disturbs a page's numbers.

    Args:
        seed: Of the disturbances.

    Returns:
        A function from a syntax tree to one in which the result of every call and operation is disturbed.
    """
    rng = np.random.default_rng(seed)
    setattr(builtins, HOOK, lambda value: disturb(value, rng))

    def transform(tree: ast.AST) -> ast.AST:
        disturbed: ast.AST = Disturber().visit(tree)
        return ast.fix_missing_locations(disturbed)

    return transform


class Disturber(ast.NodeTransformer):
    """Wrap the expressions that can make an inexact number."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Rewrite from the inside out."""
        super().generic_visit(node)
        if isinstance(node, ast.Call | ast.BinOp):
            return ast.copy_location(ast.Call(ast.Name(HOOK, ast.Load()), [node], []), node)
        return node


def disturb(value: Any, rng: np.random.Generator) -> Any:
    """Move the inexact floats of a value by at most one unit in the last place.

    Args:
        value: Anything; only floats, and arrays and tuples of them, change.
        rng: Source of the disturbances.

    Returns:
        The same kind of value.
    """
    if isinstance(value, tuple):
        parts = [disturb(part, rng) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        exact = ~np.isfinite(value) | (value == np.round(np.where(np.isfinite(value), value, 0)))
        towards = rng.choice([-np.inf, np.inf], value.shape).astype(value.dtype)
        return np.where(exact | (rng.random(value.shape) < 1 / 3), value, np.nextafter(value, towards))
    if isinstance(value, float | np.floating):
        return type(value)(disturb(np.asarray(value), rng)[()])
    return value
