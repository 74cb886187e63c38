# The faults that are looked for, each a small change of the specification.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import Any, Literal

import numpy as np

from qkvdocs.clinic._contracts import Norm, Rotary
from qkvdocs.clinic._layer import Fault, Spec, apart, fuse, split
from qkvdocs.clinic._report import UNDECLARED
from qkvdocs.core import QKVWeights

ROLE = {"Q": "queries", "K": "keys", "V": "values", "O": "the output"}


def _ways(bug: str, field: str, says: Mapping[Any, str]) -> list[Fault]:
    """Give a fault for each wrong value of a field."""
    return [Fault(bug, said, {field: value}) for value, said in says.items()]


def scales(
    n_heads: int, n_kv_heads: int, d_head: int, d_model: int, scale: float, d_value: int = 0
) -> list[Fault]:
    """Give the usual wrong scales."""
    values = {
        "1": 1.0,
        "1/d_head": 1 / d_head,
        "1/√d_model": d_model**-0.5,
        "1/√(n_heads · d_head)": (n_heads * d_head) ** -0.5,
        "1/√(n_kv_heads · d_head)": (n_kv_heads * d_head) ** -0.5,
        "1/√n_heads": n_heads**-0.5,
        "1/√d_head": d_head**-0.5,
        "1/√√d_head": d_head**-0.25,
        "√d_head": d_head**0.5,
        "1/d_model": 1 / d_model,
        **({"1/√d_value": d_value**-0.5} if d_value else {}),
        "1/√d_head, squared again,": scale**2,
    }
    seen, faults = {round(scale, 12)}, []
    for name, value in values.items():
        if round(value, 12) not in seen:
            seen.add(round(value, 12))
            times = f"{value / scale:.4g} times what they should be"
            says = f"the scores are multiplied by {name} and are {times}"
            faults.append(Fault("scale", says, {"scale": value}))
    return faults


def axes() -> list[Fault]:
    """Softmax over anything but the keys."""
    return [
        *_ways("softmax-axis", "axis", {
            "queries": "softmax sums over the queries, not over the keys",
            "heads": "softmax sums over the heads, not over the keys",
            "table": "softmax sums over queries and keys together, not over the keys",
        }),
        *_ways("batch-leak", "axis", {"batch": "softmax sums over the batch"}),
    ]  # fmt: skip


def masks(causal: bool) -> list[Fault]:
    """Masks that do something else, or nothing."""
    faults = [
        *_ways("mask-polarity", "mask", {"inverted": "the mask hides what it should show"}),
        *_ways("causality", "mask", {
            "ignored": "the mask has no effect",
            "zero": "hidden scores are set to 0, which is a score like any other",
            "added": "the mask is added as ones and zeros",
            "times": "the scores are multiplied by the mask",
        }),
        *_ways("mask-after-softmax", "mask", {
            "after": "weights are zeroed after softmax and the rows no longer sum to 1",
        }),
    ]  # fmt: skip
    if causal:
        faults += _ways("mask-alignment", "mask", {"corner": "the mask starts in the top left corner"})
        faults += _ways("causality", "mask", {
            "peeking": "each query sees one key of its future",
            "upper": "each query sees its future and not its past",
            "strict": "no query sees its own key",
            "strict but first": "no query but the first sees its own key",
        })  # fmt: skip
    return faults


def blind() -> list[Fault]:
    """Queries of an encoder that do not see themselves."""
    return _ways("causality", "mask", {"not itself": "no query sees its own key"})


def undeclared() -> list[Fault]:
    """What a causal function does that was not said to be one; the first fits layers too."""
    says = "no query sees a later key: is it causal? Then declare causal=True"
    return _ways("equivariance", "mask", dict.fromkeys(("triangle", "triangle alone", "corner alone"), says))


def tiles() -> list[Fault]:
    """Groups dealt out the wrong way."""
    what = {"kv": "key and value heads", "k": "key heads", "v": "value heads"}
    says = {which: f"{heads} are tiled over the query heads, not repeated" for which, heads in what.items()}
    return _ways("kv-head-order", "tiled", says)


def matches() -> list[Fault]:
    """Comparing the wrong things."""
    return [
        *_ways("values-match", "match", {
            "values": "queries are compared with values",
            "swapped": "keys and values have changed places: values are compared, keys are mixed",
            "unused": "keys are mixed, and values never used",
        }),
        *_ways("key-transpose", "match", {
            "reshaped": "K is reshaped where it should be transposed",
            "untransposed": "K is not transposed where n_keys equals d_head",
        }),
    ]  # fmt: skip


def _words(roles: str) -> str:
    names = [ROLE[role] for role in roles]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def subsets(roles: str) -> list[str]:
    """All parts of a string but the empty one, smallest first."""
    return ["".join(part) for size in range(1, len(roles) + 1) for part in combinations(roles, size)]


def sources() -> list[Fault]:
    """Roles made with the matrix of another."""
    faults = []
    for made in map("".join, product("QKV", repeat=3)):
        moved = [(role, got) for role, got in zip("QKV", made, strict=True) if role != got]
        bug = "swapped-projection" if set(made) == set("QKV") else "shared-projection"
        says = " and ".join(f"{ROLE[role]} are made with W_{got}" for role, got in moved)
        faults += [Fault(bug, says, {"sources": made})] * bool(moved)
    return faults


def turns(W: QKVWeights) -> list[Fault]:
    """Square weights read as their transposes."""
    weights = {role: getattr(W, f"W_{role}") for role in "QKVO"}
    square = "".join(
        role for role, weight in weights.items() if weight is not None and len({*weight.shape}) == 1
    )
    says = {part: f"the weight of {_words(part)} is read transposed" for part in subsets(square)}
    return _ways("transposed-weight", "turned", says)


def reshapes(W: QKVWeights, fused: str = "", blocks: int = 1) -> list[Fault]:
    """Weights that are reshaped where they should be transposed, apart and as they are fused, from both storages."""
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "(in, out)": lambda weight: weight.reshape(weight.shape[::-1]).T,
        "(out, in)": lambda weight: weight.T.reshape(weight.shape),
    }
    faults = []
    order = fused.upper() or "QKV"
    parts = [getattr(W, f"W_{role}") for role in order]
    for stored, way in ways.items():
        cut = split(way(fuse(parts, blocks)), [part.shape[1] for part in parts], blocks)
        made = {f"the fused weight, stored {stored}, is": cut}
        if not fused:
            made[f"the weights, stored {stored}, are"] = [way(part) for part in parts]
        for what, some in made.items():
            wrong = {f"W_{role}": part for role, part in zip(order, some, strict=True)}
            faults.append(Fault("transposed-weight", f"{what} reshaped, not transposed", wrong))
    return faults


def losses(biased: str) -> list[Fault]:
    """Biases left out."""
    says = {part: f"the bias of {_words(part)} is left out" for part in subsets(biased)}
    return _ways("key-bias", "lost", says)


def views() -> list[Fault]:
    """Heads cut or merged by a bare reshape."""
    return _ways("head-split", "viewed", {
        **{part.lower(): f"a bare reshape cuts the heads of {_words(part)}" for part in subsets("QKV")},
        "o": "a bare reshape merges the heads",
        "qkvo": "a bare reshape cuts the heads, and one merges them",
        "QKV": "heads are taken from every n-th column",
        "QKVO": "heads are taken from, and merged into, every n-th column",
    })  # fmt: skip


def cuts(W: QKVWeights) -> list[Fault]:
    """Fused weights cut as another family, or another number of ranks, stores them."""
    few = W.n_kv_heads
    ways = [
        ((few, 1), "weights stored head by head are cut in thirds"),
        ((1, few), "weights stored in thirds are cut head by head"),
    ]
    slices = Fault(
        "shared-linear", "each head sees its slice of the row, through one small matrix", {"small": True}
    )
    for ranks in (2, 4, 8):
        if few % ranks == 0 and ranks != few:
            ways.append(((ranks, 1), f"weights of {ranks} ranks are cut as if of one"))
            ways.append(((1, ranks), f"weights are cut as if of {ranks} ranks"))
    faults = [Fault("fused-order", says, {"recut": cut}) for cut, says in ways]
    faults.insert(2, slices)
    if W.b_Q is not None and W.b_K is not None and W.b_V is not None:
        both = [((*cut, 1), says.replace("weights", "weights and biases")) for cut, says in ways]
        faults += [Fault("fused-order", says, {"recut": cut}) for cut, says in both]
    if W.n_heads > 1:
        backwards = {"K": "key heads are in reverse", "V": "value heads are in reverse"}
        faults += _ways("fused-order", "reverse", backwards)
    return faults


def turnings(rotary: Rotary, n_heads: int, n_kv_heads: int, d_head: int) -> list[Fault]:
    """Rotations of the wrong kind, place or subject."""
    other: Literal["pairs", "halves"] = "pairs" if rotary.style == "halves" else "halves"
    faults: list[Fault] = []

    def add(says: str, **changes: Any) -> None:
        faults.append(Fault("rotary-style", says, changes))

    add(f"{other} are rotated where {rotary.style} should be", rotary=replace(rotary, style=other))
    faults += _ways("rotary-offset", "turned_by", {
        "": "nothing is rotated", "q": "only the queries are rotated", "k": "only the keys are rotated",
        "qkv": "values too are rotated",
    })  # fmt: skip
    for who, field in (("queries", "shift_q"), ("keys", "shift_k")):
        says = {1: f"{who} are rotated 1 position too far", -1: f"{who} are rotated 1 position too little"}
        faults += _ways("rotary-offset", field, says)
    faults += _ways("rotary-offset", "turns", {2: "queries and keys are rotated twice"})
    add("queries and keys are rotated backwards: the sine has the wrong sign", turns=-1)
    for base in BASES:
        if base != rotary.base:
            said = f"the base of the rotation is {base:g}, not {rotary.base:g}"
            add(said, rotary=replace(rotary, base=base))
    width = rotary.width or d_head
    for wrong in sorted({d_head // 4, d_head // 2, 3 * d_head // 4, d_head} - {width}):
        if wrong and wrong % 2 == 0:
            add(f"{wrong} entries of each head are rotated, not {width}", rotary=replace(rotary, width=wrong))
    if width < d_head:
        add("the last entries of each head are rotated, not the first", part="last")
        said = "frequencies are those of the whole head, not of the part that is rotated"
        add(said, part="frequencies of the head")
    for scaling in {1.0, 1 / rotary.scaling, 2.0, 4.0, 8.0} - {rotary.scaling}:
        said = f"positions are divided by {scaling:g}, not by {rotary.scaling:g}"
        add(said, rotary=replace(rotary, scaling=scaling))
    if width == d_head and d_head % 2 == 0:
        pairs = rotary.style == "pairs"
        for way, said in ((pairs, "were never reordered"), (not pairs, "were reordered twice")):
            for roles in ("Q", "K", "QK"):
                steps = {role: ((n_heads if role == "Q" else n_kv_heads, way),) for role in roles}
                names = " and ".join(f"W_{role}" for role in roles)
                add(f"the columns of {names} {said}: they are for {other}", permuted=steps)
        if n_heads != n_kv_heads and d_head * n_kv_heads % (2 * n_heads) == 0:
            for way in (False, True):
                said = "W_K's columns were reordered with n_heads where n_kv_heads should be"
                add(said, permuted={"K": ((n_kv_heads, way), (n_heads, not way))})
    return faults


BASES = (1e4, 5e5, 1e6, 1.5e5, 1e5, 1e7)
"""Those that current configs have."""


def restarts() -> list[Fault]:
    """What goes wrong at a second call only."""
    return [
        *_ways("rotary-offset", "restart", {
            "q": "positions of queries start at 0 again with each call",
            "k": "positions of keys start at 0 again with each call",
            "qk": "positions start at 0 again with each call",
        }),
        *_ways("mask-alignment", "corner", {
            "all": "the mask of each later call starts in the top left corner",
            "several": "the mask of each later call of several rows starts in the top left corner",
        }),
        *_ways("cache-differs", "empty", {True: "the oldest key is lost and an empty one is read"}),
    ]  # fmt: skip


def later(spec: Spec) -> list[Fault]:
    """What is lost from the second call on."""
    w = spec.window
    sizes = (0, 1, 2, 3) if w is None else [kept for kept in (0, 1, w - 2, 2, 3) if 0 <= kept < w - 1]
    kept_of = {kept: f"{kept} of the earlier keys" if kept else "the last call alone" for kept in sizes}
    bug = "cache-differs" if w is None else "window"
    faults = [Fault(bug, f"the cache keeps {kept_of[kept]}", {"ring": kept}) for kept in sizes]
    lost: list[tuple[str, str, dict[str, Any]]] = []
    if w is not None:
        lost.append(("window", "forget the window", {"window": None}))
        lost += [
            ("window", f"see {w + by} keys, not {w}", {"window": w + by}) for by in (-1, 1) if w + by > 0
        ]
    if spec.sinks is not None:
        lost.append(("sink", "have no sink", {"sinks": None}))
    if spec.softcap is not None:
        lost.append(("softcap", "do not cap the scores", {"softcap": None}))
    if spec.bias is not None:
        lost.append(("score-bias", "add no bias to the scores", {"bias": None}))
    return faults + [Fault(bug, f"later calls {says}", {"later": changes}) for bug, says, changes in lost]


def _feature(bug: str, lost: str, field: str, how: str, ways: Mapping[str, str]) -> list[Fault]:
    """List a feature that is left out, or computed in a wrong way."""
    return [*_ways(bug, field, {None: lost}), *_ways(bug, how, ways)]


def caps(spec: Spec) -> list[Fault]:
    """Caps on the scores that are not there, or in the wrong place."""
    if spec.softcap is None:
        return []
    return _feature("softcap", f"the scores are not capped at {spec.softcap:g}", "softcap", "capped", {
        "after mask": "the cap comes after the mask, so that hidden scores are not hidden",
        "twice": "the scores are capped twice",
        "before scale": "the scores are capped before they are scaled",
        "undivided": "the scores are not divided by the cap before tanh",
        "not multiplied": "tanh is not multiplied by the cap",
        "by the scores": "tanh is multiplied by the scores, not by the cap",
        "clipped": "the scores are clipped where they should bend",
    })  # fmt: skip


def sinks(spec: Spec) -> list[Fault]:
    """Sinks that are not there, or weigh something else."""
    if spec.sinks is None:
        return []
    logits = spec.sinks
    faults = _feature("sink", "softmax has no sink, or is normalised without it", "sinks", "sunk", {
        "logit": "the sink itself is added to the sum, not its exponential",
        "scaled": "the sink is scaled like a score",
        "twice": "the sink counts twice",
        "negated": "the sink has the wrong sign",
        "unshifted": "the largest score is taken from the scores and not from the sink",
    })  # fmt: skip
    others: dict[str, np.ndarray] = {"every sink is 0": 0 * logits} if np.any(logits) else {}
    if len(np.unique(logits)) > 1:
        others["every head has the mean sink"] = 0 * logits + logits.mean()
        for by in range(1, min(len(logits), 9)):
            others[f"sinks are those of other heads, {by} further on"] = np.roll(logits, -by)
        others["sinks are those of the heads in reverse"] = logits[::-1]
    return faults + [Fault("sink", says, {"sinks": other}) for says, other in others.items()]


def windows(spec: Spec, longest: int) -> list[Fault]:
    """Windows, chunks and prefixes of another size, or none."""
    faults: list[Fault] = []

    def add(says: str, **changes: Any) -> None:
        faults.append(Fault("window", says, changes))

    if (w := spec.window) is not None:
        add(f"the window of {w} keys is left out", window=None)
        for other in (w - 1, w + 1, 2 * w, w // 2):
            if 0 < other < longest and other != w:
                add(f"queries see {other} keys, not {w}", window=other)
        add(f"chunks of {w} keys stand for a window", window=None, chunk=w)
        if spec.causal:
            add("the window starts in the top left corner", mask="window at the top left")
        else:
            add("the window is open to one side", mask="one side")
    if (c := spec.chunk) is not None:
        add(f"the chunks of {c} keys are left out", chunk=None)
        add(f"a window of {c} keys stands for chunks", chunk=None, window=c)
        for other in (c - 1, c + 1, 2 * c):
            if 0 < other < longest:
                add(f"chunks have {other} keys, not {c}", chunk=other)
    for other in dict.fromkeys((0, p - 1, p + 1)) if (p := spec.prefix) else ():
        add(f"{other} first keys are seen by all, not {p}", prefix=other)
    return faults


def biases(spec: Spec, n_heads: int) -> list[Fault]:
    """Biases of the scores that are not there, or another's."""
    if spec.bias is None:
        return []
    faults = _feature("score-bias", "the bias of the scores is left out", "bias", "biased", {
        "before scale": "the bias is scaled with the scores",
        "negated": "the bias has the wrong sign",
        "reversed": "the bias is that of the heads in reverse",
        "one head": "the bias of the first head serves all",
        "turned": "the bias is read from key to query",
        "signed": "the bias has the other sign for later keys",
        "doubled": "the bias is added twice",
    })  # fmt: skip
    right = slopes(n_heads)
    rows: dict[str, np.ndarray] = {
        "slopes follow the rule for powers of two": 2.0 ** (-8 * np.arange(1, n_heads + 1) / n_heads),
        "slopes are the first of the next power of two": slopes(1 << (n_heads - 1).bit_length())[:n_heads],
        "slopes begin at one": 2.0 ** (-8 * np.arange(n_heads) / n_heads),
    }
    if getattr(spec.bias, "alibi", False):
        faults += [
            Fault("score-bias", says, {"bias": alibi(row)})
            for says, row in rows.items()
            if not np.allclose(row, right)
        ]
    return faults


def slopes(n_heads: int) -> np.ndarray:
    """Give ALiBi's slopes: Press et al. 2022, and their code where heads are no power of two."""
    power = 1 << (n_heads.bit_length() - 1)
    first = 2.0 ** (-8 * np.arange(1, power + 1) / power)
    if power == n_heads:
        return first
    return np.concatenate([first, slopes(2 * power)[::2][: n_heads - power]])


def alibi(row: np.ndarray) -> Any:
    """Give the bias that falls with distance, at a slope a head."""

    def bias(n: int, m: int) -> np.ndarray:
        made: np.ndarray = -row[:, None, None] * np.abs(apart(n, m))
        return made

    bias.alibi = True  # type: ignore[attr-defined]
    return bias


def norms(norm: Norm | None) -> list[Fault]:
    """Norms that are not there, or another's."""
    if norm is None:
        return []
    other = "all" if norm.over == "head" else "head"
    over = "over all heads together" if other == "all" else "head by head"
    turned = "after" if norm.when == "before" else "before"
    changes: list[tuple[str, dict[str, Any]]] = [
        ("queries and keys are not normed", {"normed": ""}),
        ("only queries are normed", {"normed": "q"}),
        ("only keys are normed", {"normed": "k"}),
        ("values are normed too", {"normed": "qkv"}),
        ("values are normed too, with the queries' gain", {"normed": "qkV"}),
        ("keys and values are normed, queries are not", {"normed": "kv"}),
        ("keys are normed, and values with the queries' gain, queries are not", {"normed": "kV"}),
        (f"queries and keys are normed {over}", {"norm": altered(norm, over=other)}),
        (f"the norm comes {turned} the rotation", {"norm": altered(norm, when=turned)}),
        ("the norm's gains are left out", {"norm": altered(norm, q=None, k=None)}),
        ("queries have the keys' gain, and keys the queries'", {"norm": altered(norm, q=norm.k, k=norm.q)}),
        ("queries and keys share a gain", {"norm": altered(norm, k=norm.q)}),
        ("the gain is one more than it should be", {"norm": altered(norm, add=1)}),
        ("the gain is one less than it should be", {"norm": altered(norm, add=-1)}),
        ("the norm divides by 1e-2 more below the root", {"norm": altered(norm, eps=norm.eps + 1e-2)}),
    ]
    if norm.eps > 1e-4:  # less is nowhere else either
        changes.append(("eps is added to the root, not below it", {"outside": True}))
    kinds = {"rms": "the root mean square", "layer": "the deviation from the mean", "unit": "the length"}
    changes += [
        (f"queries and keys are divided by {what}", {"norm": altered(norm, kind=kind)})
        for kind, what in kinds.items()
        if kind != norm.kind
    ]
    return [Fault("qk-norm", says, change) for says, change in changes]


def altered(norm: Norm, add: float = 0, **changes: Any) -> Norm:
    """Give another norm."""
    if add:
        changes |= {name: add + (1.0 if (g := getattr(norm, name)) is None else g) for name in "qk"}
    return replace(norm, **changes)


def rows_read(packed: bool, padded: bool, memory: bool) -> list[Fault]:
    """Neighbours, padding or another stream that are read."""
    faults = []
    if packed:
        faults += _ways("batch-leak", "texts", {
            "joined": "a packed text reads its neighbours", "earlier": "a packed text reads those before it",
            "later": "a packed text reads those after it",
        })  # fmt: skip
    if padded:
        says = {"seen": "padding is read", "seen and counted": "padding is read, and counted as positions"}
        faults += _ways("causality", "keep", says)
        faults += _ways("mask-polarity", "keep", {"inverted": "padding is read, and words are hidden"})
        faults += _ways("batch-leak", "keep", {
            "first": "the padding of the first text is hidden in all",
            "tiled": "heads have the padding of other texts: masks are tiled over heads",
        })  # fmt: skip
    if memory:
        what = {"k": "keys", "v": "values", "kv": "keys and values"}
        says = {roles: f"{said} are made of the rows, not of the memory" for roles, said in what.items()}
        faults += _ways("cross-source", "stream", says)
        faults += _ways("causality", "mask", {"triangle": "no query sees a later key of the memory"})
    return faults


def merges(spec: Spec) -> list[Fault]:
    """Adapters merged by halves, or into another's place."""
    W, before = spec.weights, spec.before
    if W is None or before is None:
        return []
    delta = {role: getattr(W, f"W_{role}") - getattr(before, f"W_{role}") for role in "QKV"}
    faults = []

    def add(says: str, **parts: np.ndarray) -> None:
        made = {f"W_{role}": getattr(before, f"W_{role}") + part for role, part in parts.items()}
        faults.append(Fault("adapter-merge", says, made))

    for roles in subsets("QKV"):
        add(f"the adapter of {_words(roles)} is not merged", **{role: 0 * delta[role] for role in roles})
        add(f"the adapter of {_words(roles)} counts twice", **{role: 2 * delta[role] for role in roles})
        if all(delta[role].shape[0] == delta[role].shape[1] for role in roles):
            add(f"the adapter of {_words(roles)} is transposed", **{role: delta[role].T for role in roles})
    for a, b in combinations("QKV", 2):
        if delta[a].shape == delta[b].shape:
            add(f"the adapters of {ROLE[a]} and {ROLE[b]} have changed places", **{a: delta[b], b: delta[a]})
    thirds = [delta[role] for role in "QKV"]
    width = sum(part.shape[1] for part in thirds)
    if W.n_heads != W.n_kv_heads and width % 3 == 0:
        fused = np.zeros((W.d_model, width))
        for i, part in enumerate(thirds):
            part = part[:, : width // 3]
            fused[:, i * width // 3 : i * width // 3 + part.shape[1]] += part
        cut = split(fused, [part.shape[1] for part in thirds], 1)
        add("the adapters are written at thirds of a grouped matrix", **dict(zip("QKV", cut, strict=True)))
    return faults


def beyond(spec: Spec, cached: Iterable[int]) -> list[Fault]:
    """What shows in long texts alone; caches of so many keys where there is one."""
    rings = {size: f"the cache keeps {size} keys of earlier calls" for size in cached}
    said = "positions are rounded to bfloat16, in which those above 256 are not whole numbers"
    places = _ways("dtype-loss", "places", {"bfloat16": said}) if spec.rotary else []
    return _ways("cache-differs", "ring", rings) + places


def reaches(spec: Spec, sizes: Iterable[int]) -> list[Fault]:
    """Windows and chunks that were not declared."""
    if spec.window is not None or spec.chunk is not None:
        return []
    return [
        Fault(UNDECLARED, f"this looks like {looks}: declare {field}={size} if it is meant", {field: size})
        for size in sizes
        for field, looks in (("window", f"a window of {size} keys"), ("chunk", f"chunks of {size} keys"))
        if field == "window" or (spec.causal and size > 1)
    ]


def features(spec: Spec, n_heads: int, d_head: int, longest: int) -> list[Fault]:
    """What a layer may have that was not declared: recognised, not accused."""
    faults: list[Fault] = []

    def add(looks: str, declare: str, **changes: Any) -> None:
        says = f"this looks like {looks}: declare {declare} if it is meant"
        faults.append(Fault(UNDECLARED, says, changes))

    faults += reaches(spec, range(1, longest))
    if spec.causal and not spec.prefix:
        for size in range(1, longest - 1):
            add(f"{size} first keys that all see", f"prefix={size}", prefix=size)
    if spec.sinks is None:
        add("a sink of 0 in each row of softmax", "sinks=0.0", sinks=np.zeros(n_heads))
    if spec.bias is None:
        add("ALiBi", "score_bias='alibi'", bias=alibi(slopes(n_heads)))
    if spec.weights is None:
        return faults
    if spec.norm is None:
        kinds: tuple[Literal["rms", "layer", "unit"], ...] = ("rms", "layer", "unit")
        overs: tuple[Literal["head", "all"], ...] = ("head", "all")
        for norm in (Norm(kind, over) for kind in kinds for over in overs):
            what = {"rms": "a norm", "layer": "a layer norm", "unit": "unit length"}[norm.kind]
            how = "head by head" if norm.over == "head" else "over all heads"
            add(f"{what} of queries and keys, {how}", f"norm=Norm({norm.kind!r}, {norm.over!r})", norm=norm)
    if spec.rotary is None and d_head % 2 == 0:
        styles: tuple[Literal["halves", "pairs"], ...] = ("halves", "pairs")
        for style in styles:
            for base in BASES:
                for width in {d_head, d_head // 2} if d_head % 4 == 0 else {d_head}:
                    rotary = Rotary(style, base, width)
                    add(f"{style} rotated with base {base:g}, {width} entries of each head",
                        f"rotary=Rotary({style!r}, {base:g}, {width})", rotary=rotary)  # fmt: skip
    return faults
