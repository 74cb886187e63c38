from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, ShapeError
from qkvdocs.figures import _words
from qkvdocs.figures._frame import frame, live
from qkvdocs.figures._matrix import Matrix, check_labels, pretty, read, table
from qkvdocs.figures._step import Step, product, sums_of
from qkvdocs.numbers import fmt

__all__ = ["attention_steps"]

HINT = "Point at any result, or tap it, to see its sum."
CAPTION = (
    "Attention, one step after another. Hatched entries are hidden by the mask; "
    "the stronger the shade of a weight, the larger it is."
)
SWITCHES = {
    "scaled": ("scores", "divided by √d_head", "left as they are"),
    "masked": ("mask", "applied", "left out"),
    "shared": ("weights", "W_Q for all three", "separate"),
}


def attention_steps(
    *,
    X: ArrayLike,
    W_Q: ArrayLike,
    W_K: ArrayLike,
    W_V: ArrayLike,
    Q: ArrayLike,
    K: ArrayLike,
    V: ArrayLike,
    scores: ArrayLike,
    scaled_scores: ArrayLike,
    pattern: ArrayLike,
    context: ArrayLike,
    mask: ArrayLike | None = None,
    tokens: Sequence[str] = (),
    scaled: bool = True,
    masked: bool = True,
    shared: bool = False,
    caption: str = CAPTION,
    name: str = "attention",
    edit: bool = True,
) -> str:
    """Show one head of attention from the token rows to the context, each entry explaining itself.

    With JavaScript the reader changes tokens and weights, and switches scaling, mask and shared weights.

    Args:
        X: Token rows, shape `(seq, d_model)`.
        W_Q: Query weight, shape `(d_model, d_head)`.
        W_K: Key weight, shape `(d_model, d_head)`.
        W_V: Value weight, shape `(d_model, d_value)`.
        Q: `X @ W_Q`.
        K: `X @ W_K`.
        V: `X @ W_V`.
        scores: `Q @ K.T`, not scaled: `attention_scores(Q, K, scale=1.0)`.
        scaled_scores: `scores / √d_head`, or `scores` where scaling is left out.
        pattern: Softmax over what the mask lets through.
        context: `pattern @ V`.
        mask: True = may attend, shape `(seq, seq)`; None leaves that step out.
        tokens: A label for each token; left out, `token 0` and so on.
        scaled: Whether `scaled_scores` are scaled.
        masked: Whether the mask was applied.
        shared: Whether keys and values have the weights of the queries.
        caption: HTML of the caption.
        name: Its name in the page's address; several figures of a page need different ones.
        edit: Whether a reader can change the numbers.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If the shapes do not fit, or exceed eight rows or columns.
        DTypeError: If an entry is not a finite number, or the mask not of bool.
        QKVError: If an entry is not what its sum says.

    Examples:
        >>> from qkvdocs.core import attend, attention_scores, project_qkv
        >>> X, W = np.array([[1, 0], [0, 2]]), np.eye(2)
        >>> Q, K, V = project_qkv(X, W, W, W)
        >>> context, pattern, scaled_scores = attend(Q, K, V)
        >>> html = attention_steps(
        ...     X=X, W_Q=W, W_K=W, W_V=W, Q=Q, K=K, V=V, tokens=["cat", "sat"], shared=True,
        ...     scores=attention_scores(Q, K, scale=1.0),
        ...     scaled_scores=scaled_scores, pattern=pattern, context=context)
        >>> "scaled[1,1] = 4 / √2 ≈ 2.8284" in html
        True
    """
    labels = tuple(tokens) or tuple(f"token {index}" for index in range(len(np.atleast_1d(X))))
    x = read("X", X, rows=labels, editable=edit)
    w_q, w_k, w_v = learned = [
        read(name, value, editable=edit) for name, value in (("W_Q", W_Q), ("W_K", W_K), ("W_V", W_V))
    ]
    q, k, v = (read(name, value, rows=labels) for name, value in (("Q", Q), ("K", K), ("V", V)))
    square = partial(read, rows=labels, columns=labels)
    raw, divided, weights = (
        square("scores", scores),
        square("scaled", scaled_scores),
        square("pattern", pattern),
    )
    mixed = read("context", context, rows=labels)
    check_labels("tokens", labels, x.shape[0])

    changed: set[str] = set()

    def show(matrix: Matrix, place: str) -> str:
        """A reader changes an operand where it stands first."""
        here = edit and matrix.name in {"X", "W_Q", "W_K", "W_V"} and matrix.name not in changed
        changed.add(matrix.name)
        return table(matrix, place, editable=here)

    def show_weight(matrix: Matrix, place: str) -> str:
        """Keys and values show either their own weights or those of the queries."""
        if place == "lhs" or matrix is w_q or not same:
            return show(matrix, place)
        return show(matrix, f"{place} if-separate") + show(w_q, f"{place} if-shared")

    same = w_q.shape == w_k.shape == w_v.shape
    steps = [product(x, weight, out, show_weight) for weight, out in zip(learned, (q, k, v), strict=True)]
    steps.append(product(q, k.turned, raw, show))
    steps.append(_scale(raw, divided, q.shape[1], scaled, show))
    width, state = q.shape[1], {"scaled": scaled}
    seen, softmax_of = divided, show(divided, "lhs")
    if mask is not None:
        rules = _mask(mask, raw, masked)
        seen = Matrix("masked", np.where(rules.values, divided.values, -np.inf), rows=labels, columns=labels)
        steps.append(
            _hide(divided, seen, Matrix("mask", np.asarray(mask), rows=labels, columns=labels), rules, show)
        )
        state["masked"] = masked
        softmax_of = show(divided, "lhs if-unmasked") + show(seen, "lhs if-masked")
    steps.append(
        _softmax(seen, weights, np.ones(raw.shape, bool) if mask is None else np.asarray(mask), softmax_of)
    )
    steps.append(product(weights, v, mixed, show))
    if same:
        state["shared"] = shared
    attributes = f' data-width="{width}"' + "".join(f' data-{key}="{on:d}"' for key, on in state.items())
    given = "".join(f"<p>{pretty(matrix.name)} = {matrix.live}</p>" for matrix in (x, *learned))
    twin = given + "".join(step.twin() for step in steps)
    body = "".join(step.html(hint=HINT if step is steps[0] else "") for step in steps)
    figure = frame(f'<div class="qkv-body">{body}</div>', caption, twin, "qkv-attention")
    return live(figure, name, attributes, "".join(_switch(key, on) for key, on in state.items()), edit=edit)


Show = Callable[[Matrix, str], str]


def _scale(raw: Matrix, divided: Matrix, width: int, scaled: bool, show: Show) -> Step:
    _same_shape("scaled_scores", divided, raw)
    by = width if scaled else 0
    sums = sums_of(
        divided,
        lambda label, i, j: _words.scaled(label, float(raw.values[i, j]), by, float(divided.values[i, j])),
    )
    sign = f'<span class="if-scaled">/ √{width}</span><span class="if-unscaled">/ 1</span>'
    html = f'{show(raw, "each")}<span class="qkv-op">{sign}</span>'
    return Step(divided, sums, html, "scale", (raw.name, "width"), f"{pretty(raw.name)} {sign}")


def _hide(divided: Matrix, seen: Matrix, mask: Matrix, rules: Matrix, show: Show) -> Step:
    ticks = table(mask, "each", write=lambda see: "✓" if see else "✗")
    sums = sums_of(
        seen,
        lambda label, i, j: _words.masked(label, float(divided.values[i, j]), see=bool(rules.values[i, j])),
    )
    html = f'{show(divided, "each")}<span class="qkv-op">where</span>{ticks}'
    said = f"{pretty(divided.name)} where the mask lets through, else {fmt(-np.inf)}"
    return Step(seen, sums, html, "mask", (divided.name, mask.name), said, "if-masked", _hatched(mask.values))


def _softmax(seen: Matrix, weights: Matrix, mask: np.ndarray[Any, Any], operand: str) -> Step:
    _same_shape("pattern", weights, seen)
    sums = sums_of(
        weights,
        lambda label, i, j: _words.share(label, seen.values[i].tolist(), j, float(weights.values[i, j])),
    )
    hatched = _hatched(mask)
    html = f'<span class="qkv-op">softmax of</span>{operand}'
    return Step(
        weights, sums, html, "softmax", (seen.name,), "softmax of each row", "heat",
        lambda i, j: f'{hatched(i, j)} style="--w:{fmt(weights.values[i, j].item())}"',
    )  # fmt: skip


def _hatched(mask: np.ndarray[Any, Any]) -> Callable[[int, int], str]:
    return lambda i, j: "" if mask[i, j] else ' data-hidden=""'


def _mask(mask: ArrayLike, raw: Matrix, masked: bool) -> Matrix:
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise DTypeError(f"mask must be of bool, True = may attend, got {array.dtype}")
    if array.shape != raw.shape:
        raise ShapeError(f"mask must have shape (seq, seq) = {raw.shape}, got {array.shape}")
    return Matrix("mask", array | (not masked))


def _same_shape(name: str, matrix: Matrix, like: Matrix) -> None:
    if matrix.shape != like.shape:
        raise ShapeError(f"{name} must have shape (seq, seq) = {like.shape}, got {matrix.shape}")


def _switch(key: str, on: bool) -> str:
    what, yes, no = SWITCHES[key]
    options = "".join(
        f'<option value="{value}"{" selected" if value == on else ""}>{text}</option>'
        for value, text in ((1, yes), (0, no))
    )
    return f'<label>{what} <select name="{key}">{options}</select></label> '
