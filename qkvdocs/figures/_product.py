from collections.abc import Mapping
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures import _words
from qkvdocs.figures._frame import code_block, frame, live
from qkvdocs.figures._matrix import MOST, Matrix, pretty, read, table
from qkvdocs.figures._plot import HEIGHT, WIDTH, Frame, Part, plot
from qkvdocs.figures._shadows import Shadows
from qkvdocs.figures._step import product
from qkvdocs.numbers import fmt
from qkvdocs.roles import role

__all__ = ["vectors_on_axes", "worked_product"]

HINT = "Point at an entry of {}, or tap it, to see what it is made of."


def worked_product(
    left: ArrayLike,
    right: ArrayLike,
    result: ArrayLike,
    *,
    names: tuple[str, str, str] = ("x", "W", "y"),
    parts: ArrayLike | None = None,
    scales: Literal["equal"] = "equal",
    captions: Mapping[str, str] | None = None,
    caption: str = "",
    code: str = "",
    name: str = "product",
    edit: bool = True,
) -> str:
    """Show a product whose entries explain themselves, and let the reader change its numbers.

    Pointing at an entry of the result marks the row and the column it is made of, and says its sum. That
    needs no JavaScript; with it, every entry of both operands is a field.

    Args:
        left: First operand; a vector is a row.
        right: Second operand; a vector is a column. At most eight rows or columns each.
        result: Their product, as the lesson computed it. One vector times a matrix gives a vector.
        names: What the three are called, as in code.
        parts: For a row times a matrix with two columns: `left[:, None] * right`, the weighted rows. Draws
            the vectors on axes.
        scales: Always equal, since lengths and angles are read off.
        captions: What stands above a matrix instead of its name, as HTML.
        caption: HTML of the caption instead of the usual one.
        code: A block of code, with names in braces where literals follow the numbers.
        name: Its name in the page's address; several figures of a page need different ones.
        edit: Whether a reader can change the numbers.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If the shapes are not those of a product, or a matrix is too large to be marked.
        DTypeError: If an entry is not a finite number.
        QKVError: If an entry is not what its sum says, or a name is not one.

    Examples:
        >>> x, W = np.array([2, 3]), np.array([[1, 10], [0, -1]])
        >>> html = worked_product(x, W, x @ W, parts=x[:, None] * W)
        >>> "y_0 = 2·1 + 3·0 = 2" in html, "y_1 = 2·10 + 3·(-1) = 17" in html
        (True, True)
    """
    a = read(names[0], left, editable=edit)
    b = read(names[1], right, column=True, editable=edit)
    y = read(names[2], result, column=np.ndim(right) == 1)
    if len({*names}) < len(names):
        raise QKVError(f"names must differ, got {names}")
    captions = captions or {}

    def show(matrix: Matrix, place: str) -> str:
        return table(matrix, place, editable=edit, caption=captions.get(matrix.name, ""))

    step = product(a, b, y)
    body = (
        f'<div class="qkv-eq"><div class="qkv-row">{show(a, "lhs")}'
        f'<div><span class="qkv-op">×</span>{show(b, "rhs")}</div>'
        f'<div><span class="qkv-op">=</span>{step.table(captions.get(y.name, ""))}</div></div>'
        f'<p class="qkv-hint">{HINT.format(pretty(y.name))}</p></div>'
    )
    twin = "".join(f"<p>{pretty(m.name)} = {m.live}</p>" for m in (a, b))
    twin += step.twin()
    if parts is not None:
        body += _drawn(a, b, y, parts, scales)
    known = {matrix.name: matrix for matrix in (a, b, y)}
    if not caption:
        caption = (
            f"Each entry of {pretty(y.name)} takes one row of {pretty(a.name)}"
            f" and one column of {pretty(b.name)}."
        )
    whole = f'<div class="qkv-body">{body}</div>{code_block(code, known)}'
    return live(frame(whole, caption, twin, "qkv-product"), name, edit=edit)


def vectors_on_axes(
    vectors: Mapping[str, ArrayLike], *, scales: Literal["equal"] = "equal", caption: str = ""
) -> str:
    """Draw vectors with two entries as arrows from the origin.

    Where one of them is a query, the shadow of each other one falls on its line: a score is the length of that
    shadow times the length of the query. Lengths, angles and scores stand beside the drawing.

    Args:
        vectors: Names and vectors.
        scales: Always equal, since lengths and angles are read off.
        caption: HTML of the caption; what is said of the shadows follows it.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If a vector has not two entries, or there is none.
        DTypeError: If an entry is not a finite number.
        QKVError: If the scales are not equal.

    Examples:
        >>> html = vectors_on_axes({"q": [3, 3], "k": [5, 0]})
        >>> "k has the length 5 and stands at 45° to q; its shadow there is 3.54, its score 15" in html
        True
    """
    if not vectors or len(vectors) > MOST:
        raise ShapeError(f"vectors must be from 1 to {MOST}, got {len(vectors)}")
    _equal(scales)
    tips = {name: _pair(name, read(name, vector)) for name, vector in vectors.items()}
    queries = [name for name in tips if role(name) == "q"]
    shadows = Shadows(queries[0], tips) if len(queries) == 1 < len(tips) and any(tips[queries[0]]) else None
    drawn = plot([*tips.items()], []) + (shadows.drawn() if shadows else "")
    top, high = Frame([(0.0, 0.0), *tips.values()]).view
    view = f"0 {fmt(top, 1)} {WIDTH} {fmt(high, 1)}"
    svg = _svg(drawn, f"{' and '.join(vectors)} as arrows from the origin", "", view)
    said = "; ".join(
        f'<span class="key v{index} {role(name)}">{pretty(name)}</span> = {read(name, vector).text}'
        for index, (name, vector) in enumerate(vectors.items())
    )
    twin = f"<p>{said}</p>"
    if shadows:
        caption = f"{caption} {shadows.caption()}".strip()
        twin += f"<ul>{shadows.words()}</ul>"
    body = f'<div class="qkv-body">{svg}{shadows.table() if shadows else ""}</div>'
    return f'<div class="qkv">{frame(body, caption or said, twin, "qkv-axes")}</div>'


def _drawn(a: Matrix, b: Matrix, y: Matrix, parts: ArrayLike, scales: str) -> str:
    _equal(scales)
    steps = read("parts", parts)
    if y.shape != (1, 2):
        raise ShapeError(f"{y.name} must have shape (1, 2) to be drawn on axes, got {y.shape}")
    if steps.shape != b.shape:
        raise ShapeError(f"parts must have shape (rows of {b.name}, 2) = {b.shape}, got {steps.shape}")
    factors, rows, moves = a.values[0].tolist(), b.values.tolist(), steps.values.tolist()
    drawn = [Part(by, tuple(row), tuple(move)) for by, row, move in zip(factors, rows, moves, strict=True)]
    for part in drawn:
        for k in (0, 1):
            _words.product("an entry of parts", [part.by], [part.row[k]], part.step[k])
    vectors = [(matrix.name, _pair(matrix.name, matrix)) for matrix in (a, y) if matrix.shape == (1, 2)]
    shown = " ".join(name for name, _ in vectors)
    svg = _svg(
        plot(vectors, drawn),
        f"{' and '.join(shown.split())} on axes",
        f' data-plot="{shown}" data-parts="{a.name} {b.name}"',
    )
    keys = ", ".join(
        f'<span class="key v{index} {role(m.name)}">{pretty(m.name)}</span> = {m.live}'
        for index, m in enumerate(m for m in (a, y) if m.shape == (1, 2))
    )
    said = (
        f"From the origin: {keys}. Dashed, tip to tail: each row of {pretty(b.name)} times its entry of"
        f" {pretty(a.name)}."
    )
    return f'<div class="qkv-plot">{svg}<p class="qkv-key">{said}</p></div>'


def _svg(drawing: str, label: str, recipe: str, view: str = f"0 0 {WIDTH} {HEIGHT}") -> str:
    return f'<svg viewBox="{view}" role="img" aria-label="{escape(label)}"{recipe}>{drawing}</svg>'


def _pair(name: str, matrix: Matrix) -> tuple[float, float]:
    if matrix.shape != (1, 2):
        raise ShapeError(f"{name} must have shape (2,) to be drawn on axes, got {matrix.shape}")
    across, up = matrix.values[0].tolist()
    return across, up


def _equal(scales: str) -> None:
    if scales != "equal":
        raise QKVError(f"scales must be equal, got {scales!r}")
