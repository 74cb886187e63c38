# One attention that can be wrong in every way of the table, each way behind a switch. What an implementation
# returns is explained by the fewest switches that return the same numbers.

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qkvdocs.clinic._contracts import Rotary
from qkvdocs.core import QKVWeights, rotate


@dataclass(frozen=True)
class Ways:
    """How attention is computed; the defaults are right."""

    scale: float = 1.0
    """Factor on the right scale."""
    axis: str = "keys"
    mask: str = "given"
    fill: str = "infinite"
    """How scores are hidden: no bug, but it shows where a whole row is hidden."""
    tiled: str = ""
    """Of k and v, those tiled."""
    match: str = "keys"
    sources: str = "QKV"
    """The matrices that make queries, keys and values."""
    turned: str = ""
    """Weights read the wrong way round."""
    lost: str = ""
    """Biases left out."""
    viewed: str = ""
    """Of q, k, v and o, those cut or merged by a bare reshape; capitals: heads as the fast axis."""
    small: bool = False
    recut: str = ""
    style: str = ""
    shift_q: int = 0
    shift_k: int = 0
    turned_by: str = "qk"
    """What is rotated."""
    restart: bool = False
    """Positions, or the mask, start anew at each call with a cache."""
    corner: bool = False

    def joined(self, other: "Ways") -> "Ways":
        """Give these ways with all that is wrong in the other."""
        right = vars(Ways())
        return replace(self, **{name: value for name, value in vars(other).items() if value != right[name]})


@dataclass(frozen=True)
class Fault:
    """One switch: the bug it stands for, and what it does."""

    bug: str
    says: str
    field: str
    value: Any

    def apply(self, ways: Ways) -> Ways:
        """Give the ways with this switch set."""
        return replace(ways, **{self.field: self.value})


def mix(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, scale: float, ways: Ways
) -> np.ndarray:
    """Attend in some way."""
    group = q.shape[1] // k.shape[1]
    if ways.match == "swapped":
        k, v = v, k
    k = np.tile(k, (1, group, 1, 1)) if "k" in ways.tiled else np.repeat(k, group, axis=1)
    v = np.tile(v, (1, group, 1, 1)) if "v" in ways.tiled else np.repeat(v, group, axis=1)
    with np.errstate(all="ignore"):
        scores = _scores(q, k, v, ways) * (scale * ways.scale)
        pattern = _softmax(*_masked(scores, mask, ways), ways.axis)
        if ways.fill == "empty":  # a row without keys gives 0
            pattern = np.nan_to_num(pattern)
        if mask is not None and ways.mask == "after":
            pattern = pattern * mask
        context: np.ndarray = pattern @ v
        return context


def _scores(q: np.ndarray, k: np.ndarray, v: np.ndarray, ways: Ways) -> np.ndarray:
    if ways.match == "values" and v.shape == k.shape:
        k = v
    turned = k.swapaxes(-1, -2)
    if ways.match == "reshaped":
        turned = k.reshape(turned.shape)
    if ways.match == "untransposed" and k.shape == turned.shape:
        turned = k
    scores: np.ndarray = q @ turned
    return scores


def _masked(scores: np.ndarray, mask: np.ndarray | None, ways: Ways) -> tuple[np.ndarray]:
    n, m = scores.shape[-2:]
    if ways.mask == "triangle" and mask is not None:
        mask = mask & np.tri(n, m, m - n, dtype=bool)
    elif "alone" in ways.mask or ways.mask == "triangle":
        mask = np.tri(n, m, 0 if "corner" in ways.mask else m - n, dtype=bool)
    if mask is None or ways.mask in ("ignored", "after"):
        return (scores,)
    if ways.mask == "added":
        return (scores + mask,)
    if ways.mask == "times":
        return (scores * mask,)
    right = mask
    wrong: dict[str, Callable[[], np.ndarray]] = {
        "inverted": lambda: ~right,
        "upper": lambda: np.triu(np.ones((n, m), bool), m - n),
        "corner": lambda: np.tri(n, m, dtype=bool),
        "peeking": lambda: np.tri(n, m, m - n + 1, dtype=bool),
        "strict": lambda: np.tri(n, m, m - n - 1, dtype=bool),
    }
    mask = wrong.get(ways.mask, lambda: right)()
    if ways.mask == "zero":
        return (np.where(mask, scores, 0.0),)
    if ways.fill == "added":
        return (scores + np.where(mask, 0.0, -1e9),)
    return (np.where(mask, scores, -1e9 if ways.fill == "finite" else -np.inf),)


def _softmax(scores: np.ndarray, axis: str) -> np.ndarray:
    axes: int | tuple[int, int] = (
        {"keys": -1, "queries": -2, "heads": 1, "batch": 0}.get(axis, -1) if axis != "table" else (-2, -1)
    )
    raised: np.ndarray = np.exp(scores - scores.max(axis=axes, keepdims=True))
    raised /= raised.sum(axis=axes, keepdims=True)
    return raised


def rotated(x: np.ndarray, positions: np.ndarray, rotary: Rotary, style: Any = "") -> np.ndarray:
    """Turn (…, seq, d_head) by position."""
    return rotate(x, positions, style=style or rotary.style, width=rotary.width, base=rotary.base)


def project(x: np.ndarray, weights: QKVWeights, ways: Ways) -> Iterator[np.ndarray]:
    """Give queries, keys and values, heads cut, in some way."""
    named = _recut(weights, ways.recut) if ways.recut else {r: getattr(weights, f"W_{r}") for r in "QKV"}
    for role, source in zip("QKV", ways.sources, strict=True):
        n_heads = weights.n_heads if role == "Q" else weights.n_kv_heads
        weight, bias = named[source], getattr(weights, f"b_{source}")
        if ways.small:
            d = weights.d_head
            yield np.stack([x[..., h * d : h * d + d] @ weight[:d, :d] for h in range(n_heads)], -3)
            continue
        rows = x @ (weight.T if source in ways.turned else weight)
        rows = rows if bias is None or source in ways.lost else rows + bias
        yield _cut(rows, n_heads, role.lower() in ways.viewed, role in ways.viewed)


def _cut(rows: np.ndarray, n_heads: int, viewed: bool, fast: bool) -> np.ndarray:
    batch, seq, width = rows.shape
    if viewed:
        return rows.reshape(batch, n_heads, seq, width // n_heads)
    if fast:
        return rows.reshape(batch, seq, width // n_heads, n_heads).transpose(0, 3, 1, 2)
    return rows.reshape(batch, seq, n_heads, width // n_heads).swapaxes(1, 2)


def _recut(weights: QKVWeights, how: str) -> dict[str, np.ndarray]:
    """Lay the three weights out in one way, and cut them in another."""
    heads, few, d = weights.n_heads, weights.n_kv_heads, weights.d_head
    parts = {"Q": heads * d, "K": few * d, "V": few * d}
    flat = np.hstack([getattr(weights, f"W_{role}") for role in "QKV"])
    rows = flat.shape[0]
    if how == "thirds for blocks":
        grouped = flat.reshape(rows, few, heads // few + 2, d)
        taken = grouped[:, :, :-2], grouped[:, :, -2], grouped[:, :, -1]
        return dict(zip("QKV", (part.reshape(rows, -1) for part in taken), strict=True))
    blocks = [getattr(weights, f"W_{role}").reshape(rows, few, -1, d) for role in "QKV"]
    flat = np.concatenate(blocks, axis=2).reshape(rows, -1)
    edges = np.cumsum([0, *parts.values()])
    return {role: flat[:, edges[i] : edges[i + 1]] for i, role in enumerate("QKV")}


@np.errstate(all="ignore")
def layer(
    x: np.ndarray, weights: QKVWeights, ways: Ways, *, causal: bool, rotary: Rotary | None,
    scale: float, calls: tuple[int, ...] = (),
) -> np.ndarray:  # fmt: skip
    """Run a whole layer in some way; `calls` are the lengths of the calls, where there is a cache."""
    q, k, v = project(x, weights, ways)
    seq = x.shape[1]
    starts = (
        np.concatenate([np.full(n, sum(calls[:i])) for i, n in enumerate(calls)])
        if calls
        else np.zeros(seq, int)
    )
    if rotary and ways.turned_by:
        positions = np.arange(seq) - (starts if ways.restart else 0)
        late = starts > 0 if calls else np.ones(seq, bool)
        parts = {"q": q, "k": k, "v": v}
        for name, shift in (("q", ways.shift_q), ("k", ways.shift_k), ("v", 0)):
            if name in ways.turned_by:
                parts[name] = rotated(parts[name], positions + shift * late, rotary, ways.style)
        q, k, v = parts["q"], parts["k"], parts["v"]
    mask = np.tri(seq, dtype=bool) if causal or ways.mask == "triangle" else None
    if calls and ways.mask == "ignored":  # a call cannot see what comes after it
        ends = starts + np.repeat(calls, calls)
        mask, ways = np.arange(seq)[None] < ends[:, None], replace(ways, mask="given")
    if ways.corner:  # each call's mask starts in the top left corner
        mask = np.arange(seq)[None] <= (np.arange(seq) - starts)[:, None]
    context = mix(q, k, v, mask, scale, ways)
    if "o" in ways.viewed:
        merged = context.reshape(*x.shape[:2], -1)
    elif "O" in ways.viewed:
        merged = context.transpose(0, 2, 3, 1).reshape(*x.shape[:2], -1)
    else:
        merged = context.swapaxes(1, 2).reshape(*x.shape[:2], -1)
    if weights.W_O is None:
        return merged
    output: np.ndarray = merged @ (weights.W_O.T if "O" in ways.turned else weights.W_O)
    return output if weights.b_O is None or "O" in ways.lost else output + weights.b_O
