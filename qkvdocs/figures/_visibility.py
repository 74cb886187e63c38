from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, ShapeError
from qkvdocs.figures._frame import frame, scrolling
from qkvdocs.figures._matrix import check_labels

__all__ = ["visibility"]

MANY = 32


def visibility(
    mask: ArrayLike,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    caption: str = "",
    name: str = "who may look at whom",
) -> str:
    """Draw a mask as a table of ticks: a row asks, a column is looked at.

    Args:
        mask: Shape `(n_queries, n_keys)`, at most 32 each, bool, True = may attend.
        rows: A label for each query; places, counted from zero, if left out.
        columns: A label for each key; places if left out.
        caption: HTML of the caption; what the signs mean follows it.
        name: What stands above the table.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If `mask` is no such table, or the labels do not fit.
        DTypeError: If `mask` is not bool; a mask of numbers is added to scores and says something else.

    Examples:
        >>> from qkvdocs.core import causal_mask
        >>> html = visibility(causal_mask(2, 2), rows=["the", "cat"], columns=["the", "cat"])
        >>> html.count("✓</td>"), html.count("✗</td>")
        (3, 1)
    """
    seen = np.asarray(mask)
    if seen.dtype != bool:
        raise DTypeError(f"mask must be bool, True = may attend, got {seen.dtype}")
    if seen.ndim != 2 or not seen.size or max(seen.shape) > MANY:
        raise ShapeError(f"mask must have 2 axes of 1 to {MANY} entries, got shape {seen.shape}")
    check_labels("rows of mask", rows, seen.shape[0])
    check_labels("columns of mask", columns, seen.shape[1])
    asks = [escape(label) for label in rows or map(str, range(seen.shape[0]))]
    looked_at = [escape(label) for label in columns or map(str, range(seen.shape[1]))]

    head = "".join(f'<th scope="col">{label}</th>' for label in looked_at)
    body, said = "", ""
    for label, row in zip(asks, seen.tolist(), strict=True):
        cells = "".join(TICK if see else CROSS for see in row)
        body += f'<tr><th scope="row">{label}</th>{cells}</tr>'
        allowed = [key for key, see in zip(looked_at, row, strict=True) if see]
        hidden = [key for key, see in zip(looked_at, row, strict=True) if not see]
        said += f"<li>{label} may look at: {_listed(allowed)}; not at: {_listed(hidden)}</li>"
    table = (
        f'<table class="qkv-m ticks labelled"><caption>{escape(name)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    caption = f"{caption} A row asks, a column is looked at: ✓ may, ✗ is hidden.".strip()
    figure = frame(
        scrolling(table, name), caption, f"<p>{escape(name)}, row by row</p><ul>{said}</ul>", "qkv-visibility"
    )
    return f'<div class="qkv" data-masked="1">{figure}</div>'


TICK, CROSS = "<td>✓</td>", '<td data-hidden="">✗</td>'


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "nothing"
