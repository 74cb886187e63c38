from collections.abc import Callable, Sequence
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

HINT = "Point at any result, or tap it: it shows the row and the column that it is made of."
CAPTION = (
    "Each row of X becomes a query, a key and a value. Every query meets every key in a score; softmax makes shares of"
    " the scores in a row; and the shares mix the values."
)
SWITCHES = {
    "scaled": "÷ √d_head",
    "masked": "mask",
    "shared": "one matrix for all",
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
    rows: Sequence[str] = (),
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
        rows: What each row of X is called where it stands alone on the page, such as `x1` and `x2`: an edit of
            one then shows in both.
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
    q, k, v = (read(name, value) for name, value in (("Q", Q), ("K", K), ("V", V)))
    raw = read("scores", scores, rows=labels, columns=labels)
    divided = read("scaled", scaled_scores, columns=labels)
    weights = read("pattern", pattern, rows=labels, columns=labels)
    mixed = read("context", context)
    check_labels("tokens", labels, x.shape[0])
    check_labels("rows", rows, x.shape[0])

    same = w_q.shape == w_k.shape == w_v.shape
    width, state = q.shape[1], {"scaled": scaled}
    steps = [product(x, weight, out) for weight, out in zip(learned, (q, k, v), strict=True)]
    steps += [_turn(k), product(q, k.turned, raw), _scale(raw, divided, width, scaled)]
    seen, visible = divided, np.ones(raw.shape, bool)
    if mask is not None:
        visible, state["masked"] = _mask(mask, raw), masked
        seen = Matrix("masked", np.where(visible | (not masked), divided.values, -np.inf), columns=labels)
        steps.append(_hide(divided, seen, visible, masked))
    steps += [_softmax(seen, weights, visible), product(weights, v, mixed)]
    if same:
        state["shared"] = shared

    def operand(matrix: Matrix) -> str:
        """Show what a reader can change; weights that the queries' take the place of keep their room."""
        kind = "lhs" if matrix is x else "rhs" if matrix is w_q or not same else "rhs own"
        named = rows if matrix is x else ()
        caption = pretty(matrix.name) + (
            '<span class="if-shared"> = W<sub>Q</sub></span>' if kind == "rhs own" else ""
        )
        return table(matrix, kind, editable=edit, parts=named, caption=caption)

    attributes = f' data-width="{width}"' + "".join(f' data-{key}="{on:d}"' for key, on in state.items())
    given = "".join(f"<p>{pretty(matrix.name)} = {matrix.live}</p>" for matrix in (x, *learned))
    twin = given + "".join(step.twin() for step in steps)
    body = "".join(map(operand, (x, *learned)))
    body += "".join(step.table(f"{pretty(step.result.name)}<i> = {step.said}</i>") for step in steps)
    body = f'<div class="qkv-body qkv-eq">{body}<p class="qkv-hint">{HINT}</p></div>'
    figure = frame(body, caption, twin, "qkv-attention")
    return live(figure, name, attributes, "".join(_switch(key, on) for key, on in state.items()), edit=edit)


def _turn(keys: Matrix) -> Step:
    turned = keys.turned
    sums = sums_of(
        turned,
        lambda label, i, j: (
            f"{label} = {_words.entry(keys.name, j, i, keys.shape)} = {fmt(keys.values[j, i].item())}"
        ),
    )
    return Step(turned, sums, "turn", (keys.name,), f"{pretty(keys.name)} transposed")


def _scale(raw: Matrix, divided: Matrix, width: int, scaled: bool) -> Step:
    _same_shape("scaled_scores", divided, raw)
    by = width if scaled else 0
    sums = sums_of(
        divided,
        lambda label, i, j: _words.scaled(label, float(raw.values[i, j]), by, float(divided.values[i, j])),
    )
    said = f'{pretty(raw.name)} / <span class="if-scaled">√{width}</span><span class="if-unscaled">1</span>'
    return Step(divided, sums, "scale", (raw.name, "width"), said)


def _hide(divided: Matrix, seen: Matrix, visible: np.ndarray[Any, Any], masked: bool) -> Step:
    sums = sums_of(
        seen,
        lambda label, i, j: _words.masked(
            label, float(divided.values[i, j]), see=bool(visible[i, j]) or not masked
        ),
    )
    said = f"{pretty(divided.name)} or {fmt(-np.inf)}"
    return Step(seen, sums, "mask", (divided.name, "mask"), said, "", _hatched(visible))


def _softmax(seen: Matrix, weights: Matrix, visible: np.ndarray[Any, Any]) -> Step:
    _same_shape("pattern", weights, seen)
    sums = sums_of(
        weights,
        lambda label, i, j: _words.share(label, seen.values[i].tolist(), j, float(weights.values[i, j])),
    )
    hatched = _hatched(visible)
    return Step(
        weights, sums, "softmax", (seen.name,), "softmax of rows", "heat",
        lambda i, j: f'{hatched(i, j)} style="--w:{fmt(weights.values[i, j].item())}"',
    )  # fmt: skip


def _hatched(visible: np.ndarray[Any, Any]) -> Callable[[int, int], str]:
    return lambda i, j: "" if visible[i, j] else ' data-hidden=""'


def _mask(mask: ArrayLike, raw: Matrix) -> np.ndarray[Any, Any]:
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise DTypeError(f"mask must be of bool, True = may attend, got {array.dtype}")
    if array.shape != raw.shape:
        raise ShapeError(f"mask must have shape (seq, seq) = {raw.shape}, got {array.shape}")
    return array


def _same_shape(name: str, matrix: Matrix, like: Matrix) -> None:
    if matrix.shape != like.shape:
        raise ShapeError(f"{name} must have shape (seq, seq) = {like.shape}, got {matrix.shape}")


def _switch(key: str, on: bool) -> str:
    return f'<label><input type="checkbox" value="" name="{key}"{" checked" if on else ""}> {SWITCHES[key]}</label> '
