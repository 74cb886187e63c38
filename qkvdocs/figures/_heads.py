from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import ShapeError
from qkvdocs.figures._frame import frame, scrolling
from qkvdocs.figures._matrix import Matrix, check_labels, read, table

__all__ = ["heads"]

Rearrange = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def heads(
    rows: ArrayLike,
    ways: Mapping[str, Rearrange],
    *,
    tokens: Sequence[str] = (),
    caption: str = "",
    name: str = "Q",
) -> str:
    """Show how columns become heads, the right way and others, each entry marked with the token it came from.

    Each way is tried on the places of the entries, so the figure shows where the function itself puts them,
    and says whether every head keeps its tokens apart.

    Args:
        rows: Projected rows, shape `(seq, n_heads * d_head)`.
        ways: Functions from such an array to `(n_heads, seq, d_head)`, each under the code it stands for.
        tokens: A label for each row; left out, `token 0` and so on.
        caption: HTML of the caption.
        name: What the rows are called.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If a way does not give three axes with one row a token, or the rows are more than eight.
        DTypeError: If an entry is not a finite number.

    Examples:
        >>> from qkvdocs.core import split_heads
        >>> Q = np.arange(8).reshape(2, 4)
        >>> html = heads(Q, {
        ...     "split_heads(Q, 2)": lambda x: split_heads(x, 2),
        ...     "Q.reshape(2, 2, 2)": lambda x: x.reshape(2, 2, 2)})
        >>> "each row keeps its token" in html, "mixes up the tokens" in html
        (True, True)
    """
    whole = read(name, rows)
    labels = tuple(tokens) or tuple(f"token {index}" for index in range(whole.shape[0]))
    check_labels("tokens", labels, whole.shape[0])
    places = np.arange(whole.values.size).reshape(whole.shape)
    start = Matrix(name, whole.values, rows=labels)
    body = [f'<div class="qkv-way">{_table(start, places, whole.shape[1], "")}</div>']
    said = []
    for code, way in ways.items():
        moved = np.asarray(way(places))
        if moved.ndim != 3 or moved.shape[1] != whole.shape[0] or moved.size != places.size:
            raise ShapeError(f"{code} must have shape (n_heads, seq, d_head), got {moved.shape}")
        origin = moved // whole.shape[1]
        apart = bool((origin == np.arange(whole.shape[0])[None, :, None]).all())
        verdict = (
            "✓ each row keeps its token" if apart else "✗ mixes up the tokens: the same shape, and no error"
        )
        parts = []
        for index, head in enumerate(moved):
            values = whole.values.ravel()[head]
            parts.append(
                _table(Matrix(f"head_{index}", values, rows=labels), head, whole.shape[1], f"head {index}")
            )
            for label, entries in zip(labels, head.tolist(), strict=True):
                places_said = ", ".join(
                    f"column {entry % whole.shape[1]} of {labels[entry // whole.shape[1]]}"
                    for entry in entries
                )
                said.append(f"<li>{escape(f'{code}, head {index}, {label}: {places_said}')}</li>")
        body.append(
            f'<div class="qkv-way"><p><code>{escape(code)}</code><br>{verdict}</p>'
            f'<div class="qkv-row">{"".join(parts)}</div></div>'
        )
    caption = caption or "The pattern and the small letter of an entry say which token it came from."
    ways_html = scrolling("".join(body), "How columns become heads")
    figure = frame(ways_html, caption, f"<ul>{''.join(said)}</ul>", "qkv-heads")
    return f'<div class="qkv">{figure}</div>'


def _table(matrix: Matrix, places: np.ndarray[Any, Any], width: int, caption: str) -> str:
    def attributes(i: int, j: int) -> str:
        token = int(places[i, j]) // width
        return f' data-token="{token % 4}" data-mark="{chr(ord("a") + token)}"'

    return table(matrix, "tokens", caption=caption, attributes=attributes)
