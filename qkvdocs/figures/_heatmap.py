from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures._frame import frame, scrolling
from qkvdocs.figures._matrix import pretty, read, table
from qkvdocs.numbers import fmt

__all__ = ["heatmap"]

MANY = 32


def heatmap(
    values: ArrayLike,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    mask: ArrayLike | None = None,
    low: float = 0.0,
    high: float = 1.0,
    digits: int = 2,
    caption: str = "",
    name: str = "pattern",
) -> str:
    """Shade a matrix by its values, with every value written in its cell and a scale below.

    Args:
        values: Shape `(rows, columns)`, at most 32 each.
        rows: A label for each row, such as the tokens that ask.
        columns: A label for each column, such as the tokens that are looked at.
        mask: True = may attend; hidden cells are hatched.
        low: The value without any shade.
        high: The value with the full shade.
        digits: Decimals in a cell at most.
        caption: HTML of the caption; what the scale means follows it.
        name: What stands above the matrix.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If `values` is no such matrix, or labels or mask do not fit.
        DTypeError: If an entry is not a finite number.
        QKVError: If `low` is not below `high`, or a value is outside of them.

    Examples:
        >>> "0.94" in heatmap([[0.0558, 0.9442]], rows=["cat"], columns=["the", "cat"])
        True
    """
    matrix = read(name, values, rows=rows, columns=columns, most=MANY)
    if not low < high:
        raise QKVError(f"low must be below high = {fmt(high)}, got {fmt(low)}")
    if matrix.values.min() < low or matrix.values.max() > high:
        got = f"{fmt(matrix.values.min().item())} to {fmt(matrix.values.max().item())}"
        raise QKVError(f"values must be from low to high = {fmt(low)} to {fmt(high)}, got {got}")
    shown = np.ones(matrix.shape, bool) if mask is None else np.asarray(mask)
    if shown.shape != matrix.shape:
        raise ShapeError(f"mask must have the shape of values = {matrix.shape}, got {shown.shape}")

    def attributes(i: int, j: int) -> str:
        share = (matrix.values[i, j].item() - low) / (high - low)
        return f'{"" if shown[i, j] else HATCHED} style="--w:{fmt(share)}"'

    body = table(matrix, "out heat", write=lambda value: fmt(value, digits), attributes=attributes)
    scale = f'<p class="qkv-scale"><span>{fmt(low)}</span><i></i><span>{fmt(high)}</span></p>'
    said = []
    for i, row in enumerate(matrix.values.tolist()):
        cells = ", ".join(
            f"{_label(columns, j)} {fmt(value)}" if shown[i, j] else f"{_label(columns, j)} hidden"
            for j, value in enumerate(row)
        )
        said.append(f"<li>{_label(rows, i)}: {cells}</li>")
    caption = f"{caption} The stronger the shade of a cell, the larger its value.".strip()
    if not shown.all():
        caption += " Hatched cells are hidden by the mask."
    whole = scrolling(body, f"{name}, one row after another") + scale
    figure = frame(
        whole, caption, f"<p>{pretty(name)}, row by row</p><ul>{''.join(said)}</ul>", "qkv-heatmap"
    )
    return f'<div class="qkv" data-masked="1">{figure}</div>'


HATCHED = ' data-hidden=""'


def _label(labels: Sequence[str], at: int) -> str:
    return escape(labels[at]) if labels else f"[{at}]"
