# One attention, described by one object: what a layer declares, and what may be wrong with it, are fields of the same
# kind. A fault changes a few of them; whatever a function returns is explained by the fewest faults that return the
# same numbers.

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any

import numpy as np

from qkvdocs.clinic._contracts import Norm, Rotary
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._precision import Rounding, exact, rounding
from qkvdocs.clinic._scaling import frequencies
from qkvdocs.core import QKVWeights, rotate


@dataclass(frozen=True, eq=False)
class Spec:
    """How attention is computed. What comes after the weights is right as it stands; faults set it."""

    scale: float
    causal: bool = False
    softcap: float | None = None
    sinks: np.ndarray | None = None
    """A logit a head."""
    window: int | None = None
    chunk: int | None = None
    prefix: int = 0
    bias: Callable[[int, int], np.ndarray] | None = None
    """What is added to the scores of n queries, the last of m keys: (heads, n, m)."""
    rotary: Rotary | None = None
    norm: Norm | None = None
    weights: QKVWeights | LatentWeights | None = None
    before: QKVWeights | None = None
    """The weights before an adapter was merged into them."""
    W_Q: np.ndarray | None = None
    """What stands in for a weight."""
    W_K: np.ndarray | None = None
    W_V: np.ndarray | None = None
    relative: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    """What is added to the scores besides, of queries and keys."""
    gate: tuple[np.ndarray, np.ndarray] | None = None
    """Weight and bias of what merged heads are multiplied by, once through a sigmoid."""
    clip: float | None = None
    """How far projections reach at most."""
    latent: str = ""
    """What is wrong with latent attention."""
    axis: str = "keys"
    """What softmax sums over."""
    mask: str = "given"
    """What is done with the mask, or which part of it is wrong."""
    fill: str = "infinite"
    """How scores are hidden: no bug, but it shows where a whole row is hidden."""
    tiled: str = ""
    """Of k and v, those tiled."""
    match: str = "keys"
    """What queries are compared with."""
    sources: str = "QKV"
    """The matrices that make queries, keys and values."""
    turned: str = ""
    """Weights read the wrong way round."""
    lost: str = ""
    """Biases left out."""
    viewed: str = ""
    """Of q, k, v and o, those cut or merged by a bare reshape; capitals: heads as the fast axis."""
    small: bool = False
    """Whether each head sees its slice of the row, through one small matrix."""
    recut: tuple[int, ...] | None = None
    """In how many blocks fused weights are stored, and in how many they are cut; a third number: biases too."""
    reverse: str = ""
    """Of K and V, those whose heads are in reverse."""
    permuted: Mapping[str, tuple[tuple[int, bool], ...]] = field(default_factory=dict)
    """Roles whose columns were reordered between halves and pairs: for how many heads, and whether back."""
    shift_q: int = 0
    shift_k: int = 0
    turned_by: str = "qk"
    """What is rotated."""
    turns: int = 1
    """How often it is rotated; below 0 backwards."""
    part: str = "first"
    """Which part of a head is rotated, where a part is."""
    capped: str = ""
    sunk: str = ""
    biased: str = ""
    normed: str = "qk"
    """What is normed."""
    outside: bool = False
    """Whether eps is added to the root, not below it."""
    restart: str = ""
    """Of q and k, those whose positions start anew at each call with a cache."""
    corner: str = ""
    """Whether the mask starts anew at each later call, or at those of several rows."""
    empty: bool = False
    """Whether each key and value is read one place too far, and nothing at the end."""
    ring: int | None = None
    """How many keys of earlier calls a cache keeps."""
    later: Mapping[str, Any] = field(default_factory=dict)
    """What is different from the second call on."""
    texts: str = "apart"
    """Whether packed texts are kept apart, and which of the others they read."""
    keep: str = "hidden"
    """What becomes of padding."""
    stream: str = ""
    """Of k and v, those made of the rows where they should be made of the memory."""
    places: str = ""
    """The dtype that rounds positions."""

    def but(self, **changes: Any) -> "Spec":
        """Change some fields. `replace`, which looks at every one, takes as long as a small layer."""
        assert changes.keys() <= vars(self).keys(), changes  # noqa: S101
        made = object.__new__(Spec)
        vars(made).update(vars(self), **changes)
        return made


@dataclass(frozen=True, eq=False)
class Fault:
    """One small change of a specification, and the bug that it stands for."""

    bug: str
    says: str
    changes: Mapping[str, Any]

    @property
    def field(self) -> str:
        """Give the field that it changes, the first of several."""
        return next(iter(self.changes))

    @property
    def value(self) -> Any:
        """Give what that field becomes."""
        return self.changes[self.field]

    def apply(self, spec: Spec) -> Spec:
        """Change it."""
        return spec.but(**self.changes)


@dataclass(frozen=True, eq=False)
class Rows:
    """What a layer is called with."""

    x: np.ndarray
    calls: tuple[int, ...] = ()
    """Lengths of the calls, where there is a cache."""
    keep: np.ndarray | None = None
    """Which tokens are no padding: (batch, seq)."""
    texts: np.ndarray | None = None
    """To which of the packed texts each token belongs: (seq,)."""
    memory: np.ndarray | None = None
    """What keys and values are made of in cross-attention."""
    through: np.ndarray | None = None
    """What the output is multiplied by where a few sums of its columns are enough; None means nothing."""
    sums: dict[Any, tuple[Any, np.ndarray, np.ndarray | None]] = field(init=False, default_factory=dict)
    """By weights, which it keeps alive: output weights and bias times that."""
    at: np.ndarray | None = None
    """Which rows are looked at; None means all."""
    products: dict[Any, tuple[np.ndarray, np.ndarray]] = field(init=False, default_factory=dict)
    """Rows times weights, which most faults leave alone: computed once."""
    parts: dict[Any, tuple[Spec, tuple[np.ndarray, np.ndarray, np.ndarray]]] = field(
        init=False, default_factory=dict
    )
    """Queries, keys and values by what they depend on: a spec, which keeps its arrays alive, and what it gave."""

    @cached_property
    def starts(self) -> np.ndarray:
        """Give for each row where its call began."""
        calls = self.calls or (self.x.shape[1],)
        return np.repeat(np.cumsum([0, *calls[:-1]]), calls)


Arguments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


def apart(n: int, m: int) -> np.ndarray:
    """Count how far each of n queries, the last of m keys, stands behind each key."""
    return np.arange(m - n, m)[:, None] - np.arange(m)


def visible(spec: Spec, n: int, m: int, given: np.ndarray | None = None) -> np.ndarray | None:
    """Say which of m keys each of n queries, the last of them, may see; None is all."""
    limited = spec.causal or spec.mask != "given" or spec.window is not None or spec.chunk is not None
    if not limited and (given is None or not spec.prefix):
        return given
    see = _limits(spec.mask, spec.causal, spec.window, spec.chunk, n, m)
    if given is not None and "alone" not in spec.mask:
        see = see & given
    return see | (np.arange(m) < spec.prefix) if spec.prefix else see


@lru_cache(maxsize=64)
def _limits(mask: str, causal: bool, window: int | None, chunk: int | None, n: int, m: int) -> np.ndarray:
    """Say so by the rules alone, once: most layers that are simulated share them."""
    far = apart(n, m)
    corner = np.arange(n)[:, None] - np.arange(m)
    see = np.ones((n, m), bool)
    if mask == "not itself":
        see = see & (far != 0)
    if causal or "alone" in mask or mask == "triangle":
        from_corner = "corner" in mask
        reach = {"peeking": -1, "strict": 1, "strict but first": 1}.get(mask, 0)
        past = (corner if from_corner else far) >= reach
        past = far <= 0 if mask == "upper" else past
        if mask == "strict but first":
            past = past | ((np.arange(n) == 0)[:, None] & (np.arange(m) == 0))
        see = see & past
    if window is not None:
        near = corner if mask == "window at the top left" else far
        see = see & ((near if causal or mask == "one side" else np.abs(near)) < window)
    if chunk is not None:
        see = see & (np.arange(m - n, m)[:, None] // chunk == np.arange(m) // chunk)
    see.setflags(write=False)  # whoever asks next gets the same array
    return see


def mix(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, spec: Spec, rnd: Rounding = exact,
    soft: Rounding = exact, bias: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Attend; callers silence numpy. `rnd` rounds what is stored, `soft` what softmax holds on the way."""
    group = q.shape[1] // k.shape[1]
    if spec.match == "swapped":
        k, v = v, k
    if spec.match == "unused" and v.shape == k.shape:
        v = k
    if group != 1:
        k = np.tile(k, (1, group, 1, 1)) if "k" in spec.tiled else np.repeat(k, group, axis=1)
        v = np.tile(v, (1, group, 1, 1)) if "v" in spec.tiled else np.repeat(v, group, axis=1)
    scores = rnd(_products(q, k, v, spec))
    if bias is None and spec.bias is not None:
        bias = spec.bias(scores.shape[-2], scores.shape[-1])
    if spec.relative is not None:
        bias = spec.relative(q, k) + (0.0 if bias is None else bias)
    scores = _capped(scores, bias, mask, spec, rnd)
    scores = _masked(scores, mask, spec)
    weights = rnd(_softmax(scores, spec, soft))
    if spec.fill == "empty":  # a row without keys gives 0
        weights = np.nan_to_num(weights)
    if spec.mask == "after" and mask is not None:
        weights = weights * mask
    return rnd(weights @ v)


def _products(q: np.ndarray, k: np.ndarray, v: np.ndarray, spec: Spec) -> np.ndarray:
    if spec.match == "values" and v.shape == k.shape:
        k = v
    turned = k.swapaxes(-1, -2)
    if spec.match == "reshaped":
        turned = k.reshape(turned.shape)
    if spec.match == "untransposed" and k.shape == turned.shape:
        turned = k
    scores: np.ndarray = q @ turned
    return scores


def _capped(
    scores: np.ndarray, bias: np.ndarray | None, mask: np.ndarray | None, spec: Spec, rnd: Rounding
) -> np.ndarray:
    cap = spec.softcap
    if bias is not None:
        ways: dict[str, Callable[[Any], Any]] = {
            "negated": lambda b: -b,
            "reversed": lambda b: b[..., ::-1, :, :],
            "one head": lambda b: b[..., :1, :, :],
            "turned": lambda b: b.swapaxes(-1, -2) if b.shape[-1] == b.shape[-2] else b,
            "signed": lambda b: (
                np.tril(b, b.shape[-1] - b.shape[-2]) - np.triu(b, b.shape[-1] - b.shape[-2] + 1)
            ),
            "doubled": lambda b: 2 * b,
        }
        bias = ways.get(spec.biased, lambda b: b)(bias)
        if spec.biased == "before scale":
            scores, bias = scores + bias, None
    if cap is not None and spec.capped == "before scale":
        return rnd(cap * np.tanh(scores / cap) * spec.scale)
    scores = rnd(scores * spec.scale)
    if cap is not None:
        if spec.capped == "after mask" and mask is not None:
            scores = np.where(mask, scores, -np.inf)
        if spec.capped == "clipped":
            scores = np.clip(scores, -cap, cap)
        else:
            bent = rnd(np.tanh(scores if spec.capped == "undivided" else scores / cap))
            by = {"not multiplied": 1.0, "by the scores": scores}.get(spec.capped, cap)
            scores = rnd(by * bent)
            if spec.capped == "twice":
                scores = rnd(cap * np.tanh(scores / cap))
    return scores if bias is None else rnd(scores + bias)


def _masked(scores: np.ndarray, mask: Any, spec: Spec) -> Any:
    if mask is None or spec.mask in ("ignored", "after") or spec.capped == "after mask":
        return scores
    if spec.mask == "added":
        return scores + mask
    if spec.mask == "times":
        return scores * mask
    if spec.mask == "inverted":
        mask = ~mask
    if spec.mask == "zero":
        return np.where(mask, scores, 0.0)
    if spec.fill == "added":
        return scores + np.where(mask, 0.0, -1e9)
    return np.where(mask, scores, -1e9 if spec.fill == "finite" else -np.inf)


def _softmax(scores: np.ndarray, spec: Spec, soft: Rounding) -> np.ndarray:
    named: dict[str, Any] = {"keys": -1, "queries": -2, "heads": 1, "batch": 0, "table": (-2, -1)}
    axes = named[spec.axis]
    top = scores.max(axis=axes, keepdims=True)
    if spec.sinks is None:
        raised = soft(np.exp(soft(scores - top)))
        weights: np.ndarray = soft(raised / soft(raised.sum(axis=axes, keepdims=True)))
        return weights
    sinks = spec.sinks[:, None, None]
    if spec.sunk == "logit":
        raised = np.exp(scores)
        weights = raised / (raised.sum(axis=axes, keepdims=True) + sinks)
        return weights
    sinks = {"scaled": sinks * spec.scale, "twice": 2 * sinks, "negated": -sinks}.get(spec.sunk, sinks)
    top = top if spec.sunk == "unshifted" else np.maximum(top, sinks)
    raised = soft(np.exp(soft(scores - top)))
    drain = sinks if spec.sunk == "unshifted" else sinks - top
    weights = soft(raised / soft(raised.sum(axis=axes, keepdims=True) + np.exp(drain)))
    return weights


def turned(
    x: np.ndarray, positions: np.ndarray, rotary: Rotary, rnd: Rounding = exact, part: str = "first"
) -> np.ndarray:
    """Turn (…, seq, d_head) by position."""
    width = x.shape[-1] if rotary.width is None else rotary.width
    if part == "last":
        front = x.shape[-1] - width
        return np.concatenate([x[..., :front], turned(x[..., front:], positions, rotary, rnd)], axis=-1)
    turns, factor = frequencies(rotary, width, int(np.max(positions, initial=0)) + rotary.offset + 1)
    if part == "frequencies of the head":
        turns = rotary.base ** (-np.arange(0, width, 2) / x.shape[-1])
    how: dict[str, Any] = {
        "offset": rotary.offset, "style": rotary.style, "width": width, "base": rotary.base,
        "scaling": rotary.scaling, "frequencies": turns,
    }  # fmt: skip
    if rnd is exact:
        made = rotate(x, positions, **how)
        if factor != 1:
            made[..., :width] *= factor
        return made
    turns = rotary.base ** (-np.arange(0, width, 2) / width) if turns is None else turns
    how["frequencies"] = rounding("float32")(turns)
    # Angles are rounded too, and each product: a vector of ones and zeros tells cosines and sines.
    pairs = slice(0, width, 2), slice(1, width, 2)
    first, second = pairs if rotary.style == "pairs" else (slice(width // 2), slice(width // 2, width))
    unit = np.zeros((*positions.shape, x.shape[-1]))
    unit[..., first] = factor
    angle = rnd(rotate(unit, positions, **how))
    cos, sin, a, b = angle[..., first], angle[..., second], x[..., first], x[..., second]
    made = x.copy()
    made[..., first] = rnd(rnd(a * cos) - rnd(b * sin))
    made[..., second] = rnd(rnd(a * sin) + rnd(b * cos))
    return made


def normed(rows: np.ndarray, role: str, norm: Norm, rnd: Rounding, outside: bool) -> np.ndarray:
    """Norm heads at (batch, heads, seq, d_head), each alone or all as one row; `V` has the gain of queries."""
    over = (1, 3) if norm.over == "all" else (3,)
    gain = norm.q if role in "qV" else norm.k
    if norm.kind == "layer":
        rows = rows - rows.mean(axis=over, keepdims=True)
    below = np.sqrt((rows * rows).mean(axis=over, keepdims=True) + norm.eps * (not outside))
    made = rnd(rows / (below + norm.eps * outside))
    if norm.kind == "unit":
        made = rows / np.sqrt((rows * rows).sum(axis=over, keepdims=True) + norm.eps)
    added = norm.q_bias if role == "q" else norm.k_bias
    made = made if gain is None else rnd(made * _by_head(gain, rows, norm))
    return made if added is None else rnd(made + _by_head(added, rows, norm))


def _by_head(row: Any, rows: np.ndarray, norm: Norm) -> np.ndarray:
    """Lay the numbers of a norm beside heads at (batch, heads, seq, d_head)."""
    heads, d_head = rows.shape[1], rows.shape[3]
    made: np.ndarray = np.asarray(row, np.float64)
    if norm.over == "all" and made.size == heads * d_head:
        return made.reshape(heads, 1, d_head)
    made = np.resize(made, (heads, d_head)) if made.size != d_head else made
    return made[:, None] if made.ndim == 2 else made


def project(
    x: np.ndarray, weights: QKVWeights | LatentWeights, spec: Spec, memory: np.ndarray | None = None,
    rnd: Rounding = exact, products: dict[Any, tuple[np.ndarray, np.ndarray]] | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Give queries, keys and values, heads cut."""
    if isinstance(weights, LatentWeights):
        yield from latent(x, weights, spec.latent, rnd)
        return
    products = {} if products is None else products
    if spec.recut:
        changed: dict[str, Any] = {}
        stored_in, read_in, *also = spec.recut
        for kind in ("W_", "b_") if also else ("W_",):
            flat = {f"{kind}{role}": getattr(weights, f"{kind}{role}") for role in "QKV"}
            if all(part is not None for part in flat.values()):
                made = fuse(list(flat.values()), stored_in)
                widths = [part.shape[-1] for part in flat.values()]
                changed |= dict(zip(flat, split(made, widths, read_in), strict=True))
        weights = replace(weights, **changed)
    for role, source in zip("QKV", spec.sources, strict=True):
        heads = weights.n_heads if role == "Q" else weights.n_kv_heads
        rows = x if memory is None or role == "Q" or role.lower() in spec.stream else memory
        stored = getattr(weights, f"W_{source}") if (own := getattr(spec, f"W_{source}")) is None else own
        weight, bias = rnd(stored), getattr(weights, f"b_{source}")
        if spec.small:
            d = weights.d_head
            yield np.stack([rows[..., h * d : h * d + d] @ weight[:d, :d] for h in range(heads)], -3)
            continue
        for step in spec.permuted.get(role, ()):
            weight = permuted(weight, *step)
            bias = None if bias is None else permuted(bias[None], *step)[0]
        key = source, source in spec.turned, rows is memory, id(stored)
        plain = rnd is exact and not spec.recut and role not in spec.permuted
        if plain and key in products:
            rows, _ = products[key]
        else:
            rows = rnd(rows @ (weight.T if source in spec.turned else weight))
            if plain:
                products[key] = rows, stored  # an id holds while its array does
        rows = rows if bias is None or source in spec.lost else rnd(rows + rnd(bias))
        rows = rows if spec.clip is None else np.clip(rows, -spec.clip, spec.clip)
        part = cut(rows, heads, role.lower() in spec.viewed, role in spec.viewed)
        yield part[:, ::-1] if role in spec.reverse else part


def latent(x: np.ndarray, W: LatentWeights, wrong: str, rnd: Rounding) -> Iterator[np.ndarray]:
    """Give queries, keys and values of latent attention, decompressed."""

    def norm(rows: np.ndarray, gain: np.ndarray | None, over: np.ndarray | None = None) -> np.ndarray:
        if gain is None:
            return rows
        over = rows if over is None else over
        return rnd(rnd(rows / np.sqrt((over * over).mean(-1, keepdims=True) + W.eps)) * rnd(gain))

    short = x
    if W.W_DQ is not None:
        short = rnd(x @ rnd(W.W_DQ))
        short = short if wrong == "queries not normed" else norm(short, W.q_norm)
    q = cut(rnd(short @ rnd(W.W_UQ)), W.n_heads, fast=wrong == "queries by column")
    if wrong == "rotated part first":
        q = np.roll(q, -W.d_rotary, axis=-1)
    down = rnd(x @ rnd(np.concatenate([W.W_DKV, W.W_KR], axis=1)))
    rank = W.W_DKV.shape[1]
    row, shared = down[..., :rank], down[..., rank:]
    if wrong == "latent last":
        shared, row = down[..., : W.d_rotary], down[..., W.d_rotary :]
    if wrong != "latent not normed":
        row = norm(row, W.kv_norm, down if wrong == "normed together" else None)
    up = [rnd(W.W_UK), rnd(W.W_UV)]
    if wrong == "in thirds":
        up = split(fuse(up, W.n_heads), [part.shape[1] for part in up], 1)
    if wrong == "swapped":
        up = split(fuse(up[::-1], W.n_heads), [part.shape[1] for part in up], W.n_heads)
    keys, values = (cut(rnd(row @ weight), W.n_heads) for weight in up)
    yield q
    yield np.concatenate([keys, np.broadcast_to(shared[:, None], (*keys.shape[:3], W.d_rotary))], axis=-1)
    yield values


def fuse(parts: Sequence[np.ndarray], blocks: int) -> np.ndarray:
    """Lay parts side by side, block by block."""
    cut = [part.reshape(*part.shape[:-1], blocks, -1) for part in parts]
    joined = np.concatenate(cut, axis=-1)
    return joined.reshape(*joined.shape[:-2], -1)


def split(fused: np.ndarray, widths: Sequence[int], blocks: int) -> list[np.ndarray]:
    """Cut what was laid out in so many blocks."""
    whole = fused.reshape(*fused.shape[:-1], blocks, -1)
    parts = np.split(whole, np.cumsum([width // blocks for width in widths])[:-1], axis=-1)
    return [part.reshape(*fused.shape[:-1], -1) for part in parts]


def permuted(weight: np.ndarray, heads: int, back: bool) -> np.ndarray:
    """Reorder the columns of each head from halves to pairs, or back."""
    planes = (-1, 2) if back else (2, weight.shape[1] // heads // 2)
    return weight.reshape(len(weight), heads, *planes).swapaxes(-1, -2).reshape(weight.shape)


def cut(rows: np.ndarray, heads: int, viewed: bool = False, fast: bool = False) -> np.ndarray:
    """Cut heads, rightly or in two wrong ways."""
    batch, seq, width = rows.shape
    if viewed:
        return rows.reshape(batch, heads, seq, width // heads)
    if fast:
        return rows.reshape(batch, seq, width // heads, heads).transpose(0, 3, 1, 2)
    return rows.reshape(batch, seq, heads, width // heads).swapaxes(1, 2)


def prepared(rows: Rows, spec: Spec, rnd: Rounding = exact) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give queries, keys and values as they meet: projected, normed, rotated."""
    if rnd is not exact:
        return _prepared(rows, spec, rnd)
    key = tuple(map(id, BEFORE(spec)))
    if key not in rows.parts:
        made = _prepared(rows, spec, rnd)
        if len(rows.parts) * sum(part.nbytes for part in made) > LARGEST:
            rows.parts.clear()
        rows.parts[key] = spec, made
    return rows.parts[key][1]


AFTER = frozenset((
    "scale", "causal", "softcap", "sinks", "window", "chunk", "prefix", "bias", "relative", "gate", "axis", "mask",
    "fill", "tiled", "match", "capped", "sunk", "biased", "corner", "ring", "later", "texts",
))  # fmt: skip
"""What queries, keys and values do not depend on."""
BEFORE = attrgetter(*(name for name in Spec.__dataclass_fields__ if name not in AFTER))
LARGEST = 2**26
"""Bytes of one kind that are kept of what was computed."""


def _prepared(rows: Rows, spec: Spec, rnd: Rounding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    W = spec.weights
    assert W is not None  # noqa: S101  # only layers of known weights come here
    parts = dict(zip("qkv", project(rows.x, W, spec, rows.memory, rnd, rows.products), strict=True))
    starts = rows.starts
    positions = positions_of(rows if spec.keep != "seen and counted" else replace(rows, keep=None))
    if spec.places:
        positions = rounding(spec.places)(positions)
    late = starts > 0 if rows.calls else np.ones(rows.x.shape[1], bool)

    def norm_all() -> None:
        for role in spec.normed if spec.norm else "":
            rows = parts[role.lower()]
            parts[role.lower()] = normed(rows, role, spec.norm, rnd, spec.outside)  # type: ignore[arg-type]

    if spec.norm and spec.norm.when == "before":
        norm_all()
    for role in spec.turned_by if spec.rotary else "":
        shift = {"q": spec.shift_q, "k": spec.shift_k}.get(role, 0)
        at = positions - (starts if role in spec.restart else 0) + shift * late
        if rows.memory is not None and role != "q":
            at = np.arange(parts[role].shape[2])
        at = spec.turns * at + (spec.turns - 1) * spec.rotary.offset  # type: ignore[union-attr]
        parts[role] = turned(parts[role], at, spec.rotary, rnd, spec.part)  # type: ignore[arg-type]
    if spec.norm and spec.norm.when == "after":
        norm_all()
    return parts["q"], parts["k"], parts["v"]


def positions_of(rows: Rows) -> np.ndarray:
    """Count tokens from the start of their text."""
    seq = rows.x.shape[1]
    if rows.texts is not None:
        starts: np.ndarray = np.arange(seq) - np.searchsorted(rows.texts, rows.texts)
        return starts
    if rows.keep is not None:
        counted: np.ndarray = np.maximum(np.cumsum(rows.keep, axis=1) - 1, 0)[:, None]
        return counted
    return np.arange(seq)


@np.errstate(all="ignore")
def layer(rows: Rows, spec: Spec, rnd: Rounding = exact, soft: Rounding = exact) -> np.ndarray:
    """Run a whole layer."""
    W = spec.weights
    assert W is not None  # noqa: S101
    starts = rows.starts
    if spec.later and len(rows.calls) > 1:
        plain = spec.but(later={})
        first, then = layer(rows, plain, rnd, soft), layer(rows, plain.but(**spec.later), rnd, soft)
        late = starts if rows.at is None else starts[rows.at]
        return np.where((late > 0)[:, None], then, first)
    q, k, v = prepared(rows, spec, rnd)
    if spec.empty:
        k, v = (np.concatenate([part[:, :, 1:], 0 * part[:, :, :1]], 2) for part in (k, v))
    n, m = q.shape[2], k.shape[2]
    mask = visible(spec, n, m) if rows.memory is None or spec.mask == "triangle" else None
    if rows.calls and spec.mask == "ignored":  # a call cannot see what comes after it
        ends = starts + np.repeat(rows.calls, rows.calls)
        mask, spec = np.arange(n)[None] < ends[:, None], spec.but(mask="given")
    if spec.corner:  # each call's mask starts in the top left corner
        own = np.arange(n)[None] <= (np.arange(n) - starts)[:, None]
        several = np.repeat(rows.calls, rows.calls)[:, None] > 1 if rows.calls else np.ones((n, 1), bool)
        mask = own if spec.corner == "all" or mask is None else np.where(several, own, mask)
    if spec.ring is not None:
        kept = np.arange(n) >= (starts - spec.ring)[:, None]
        mask = kept if mask is None else mask & kept
    if spec.mask == "ignored" and (rows.texts is not None or rows.keep is not None):
        mask, spec = None, spec.but(mask="given")
    if rows.texts is not None and spec.texts != "joined":
        reads = {"earlier": np.greater_equal, "later": np.less_equal}.get(spec.texts, np.equal)
        own = reads(rows.texts[:, None], rows.texts)
        mask = own if mask is None else mask & own
    if rows.keep is not None and not spec.keep.startswith("seen"):
        batch, heads = q.shape[:2]
        texts = {
            "first": np.zeros((batch, 1), int),
            "tiled": np.arange(batch * heads).reshape(batch, heads) % batch,
        }.get(spec.keep, np.arange(batch)[:, None])
        kept = (rows.keep ^ (spec.keep == "inverted"))[texts][:, :, None]
        mask = kept if mask is None else mask & kept
        spec = spec.but(fill="finite")
    bias = None
    if rows.at is not None:
        q, mask = q[:, :, rows.at], None if mask is None else mask[..., rows.at, :]
        bias = None if spec.bias is None else spec.bias(n, m)[:, rows.at]
    context = mix(q, k, v, mask, spec, rnd, soft, bias)
    if "o" not in spec.viewed:
        context = context.transpose((0, 2, 3, 1) if "O" in spec.viewed else (0, 2, 1, 3))
    merged = context.reshape(q.shape[0], q.shape[2], -1)
    if spec.gate is not None:
        weight, added = spec.gate
        seen = rows.x if rows.at is None else rows.x[:, rows.at]
        opened = 1 / (1 + np.exp(-rnd(rnd(seen @ rnd(weight)) + rnd(added))))
        merged = rnd(merged * rnd(opened))
    if W.W_O is not None:
        out, bias = _out(rows, W, spec)
        merged = rnd(merged @ rnd(out))
        merged = merged if bias is None else rnd(merged + rnd(bias))
    if rows.keep is not None:  # nobody reads what stands at padding
        merged = np.where(rows.keep[..., None], merged, 0.0)
    return merged


def _out(rows: Rows, W: QKVWeights | LatentWeights, spec: Spec) -> tuple[np.ndarray, np.ndarray | None]:
    """Give the output projection and its bias, or what a few sums of their columns are."""
    key = id(W), "O" in spec.turned
    if key not in rows.sums:
        assert W.W_O is not None  # noqa: S101  # it was asked for
        out = W.W_O.T if "O" in spec.turned else W.W_O
        added: np.ndarray | None = getattr(W, "b_O", None)
        if rows.through is not None:
            out, added = out @ rows.through, None if added is None else added @ rows.through
        rows.sums[key] = W, out, added
    _, out, bias = rows.sums[key]
    return out, None if "O" in spec.lost else bias


@np.errstate(all="ignore")
def attend(arguments: Arguments, spec: Spec, rnd: Rounding = exact, soft: Rounding = exact) -> np.ndarray:
    """Run the inner function."""
    q, k, v, given = arguments
    return mix(q, k, v, visible(spec, q.shape[2], k.shape[2], given), spec, rnd, soft)
