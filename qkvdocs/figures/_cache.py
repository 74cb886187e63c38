from collections.abc import Sequence
from functools import partial
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures._frame import frame, scrolling
from qkvdocs.figures._matrix import Matrix, check_labels, read, table

__all__ = ["cache"]


def cache(
    steps: Sequence[tuple[ArrayLike, ArrayLike]], *, tokens: Sequence[str] = (), caption: str = ""
) -> str:
    """Show what a KV cache holds after each step: rows that stay, and rows that were added.

    Args:
        steps: Keys and values after each step, as `KVCache.append` returns them, of one head: shape
            `(n_keys, d_head)`, at most eight rows.
        tokens: A label for each position; left out, `position 0` and so on.
        caption: HTML of the caption.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If there is no step, keys and values differ in rows, or a step does not add a row.
        DTypeError: If an entry is not a finite number.
        QKVError: If a stored row changed.

    Examples:
        >>> K, V = np.array([[5, 0], [2, 2]]), np.array([[5, 2], [3, 3]])
        >>> html = cache([(K[:1], V[:1]), (K, V)], tokens=["the", "cat"])
        >>> "2 rows of K and V stored, 1 of them new: cat" in html
        True
    """
    if not steps:
        raise ShapeError("steps must hold at least one step, got none")
    read_steps = [(read("K", keys), read("V", values)) for keys, values in steps]
    last = read_steps[-1][0].shape[0]
    labels = tuple(tokens) or tuple(f"position {index}" for index in range(last))
    check_labels("tokens", labels, last)
    before: tuple[Matrix, Matrix] | None = None
    shown, said = [], []
    for number, (keys, values) in enumerate(read_steps):
        stored = _stored(number, keys, values, before)
        count = keys.shape[0]
        plural = "row" if count == 1 else "rows"
        new = ", ".join(labels[stored:count])
        text = f"{count} {plural} of K and V stored, {count - stored} of them new: {new}"
        tables = "".join(
            table(
                Matrix(matrix.name, matrix.values, rows=labels[:count]),
                "cache",
                attributes=partial(_new, stored),
            )
            for matrix in (keys, values)
        )
        shown.append(f'<li><p>{escape(text)}</p><div class="qkv-row">{tables}</div></li>')
        said.append(f"<li>{escape(text)}. K = {keys.text}, V = {values.text}</li>")
        before = keys, values
    caption = caption or "New rows have a thick edge; all others are read, not computed again."
    body = scrolling(f'<ol class="qkv-cache">{"".join(shown)}</ol>', "The cache, step by step")
    twin = f"<ol>{''.join(said)}</ol>"
    return f'<div class="qkv">{frame(body, caption, twin, "qkv-cache-figure")}</div>'


def _new(stored: int, row: int, column: int) -> str:
    return ' data-new=""' if row >= stored else ""


def _stored(number: int, keys: Matrix, values: Matrix, before: tuple[Matrix, Matrix] | None) -> int:
    if keys.shape[0] != values.shape[0]:
        raise ShapeError(
            f"V of step {number} must have the rows of K = {keys.shape[0]}, got {values.shape[0]}"
        )
    if before is None:
        return 0
    stored = before[0].shape[0]
    if keys.shape[0] <= stored:
        raise ShapeError(
            f"K of step {number} must have more rows than before = {stored}, got {keys.shape[0]}"
        )
    for old, new in zip(before, (keys, values), strict=True):
        if not np.array_equal(old.values, new.values[:stored]):
            raise QKVError(f"rows of {new.name} stored before step {number} must stay as they were")
    return stored
