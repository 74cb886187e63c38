# What differs between two checkpoints, matrix by matrix, in the words of the mistakes that people make.

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from qkvdocs.wild._attentions import Attentions, Projections
from qkvdocs.wild._rotary import halves_to_pairs, pairs_to_halves
from qkvdocs.wild._split import join, split

ROUNDED, PACKED = 2**-7, 0.3
"""Norm of the difference, of the norm of the matrix: up to which it is rounding, and up to which quantisation.

bfloat16 keeps eight bits; four bits a weight err by about a tenth, and matrices that have nothing in common by 1.4.
"""
SAMPLE = 4
"""Rows that are looked at before a whole matrix is."""
EQUAL, MISSING, ZEROS = "equal", "missing", "zeros"
PAIRS, HEADS = "rows permuted pairs ↔ halves", "heads in another order"
CUT, TRANSPOSED, EXCHANGED = "fused cut in another order", "transposed", "K and V exchanged"


@dataclass(frozen=True)
class Compared:
    """One attention module beside its counterpart."""

    path: str
    other: str
    """Its counterpart's name; empty where there is none."""
    found: dict[str, str]
    """W_Q, b_Q, … -> `equal`, or what differs."""

    @property
    def equal(self) -> bool:
        """Whether every matrix and bias is the same, to the bit."""
        return bool(self.other) and set(self.found.values()) == {EQUAL}


def differences(ours: Attentions, theirs: Attentions) -> Iterator[Compared]:
    """Compare two checkpoints, which may be of different formats, one module at a time.

    Modules are paired by their names; where those differ, by what they are for and the numbers in their names.

    Args:
        ours: What `read` gave.
        theirs: What it gave for the other file.

    Yields:
        Each module of the first, then those that only the other has.

    Examples:
        >>> from qkvdocs import wild
        >>> gguf, safetensors = wild.read("tests/wild/files/llama.gguf"), wild.read("tests/wild/fixtures/llama")
        >>> [(pair.path, pair.other, pair.equal) for pair in wild.differences(gguf, safetensors)]
        [('blk.0', 'layers.0.self_attn', True)]
    """
    pairs = _pairs(ours, theirs)
    for path, other in pairs.items():
        if not other:
            yield Compared(path, "", {"module": MISSING})
        elif path in ours.latent:
            yield Compared(path, other, _parts(ours.arrays(path), theirs.arrays(other)))
        else:
            a, b = ours[path], theirs[other]
            yield Compared(path, other, {**_module(a, b), **_biases(a, b)})
    for other in (*theirs, *theirs.latent):
        if other not in pairs.values():
            yield Compared("", other, {"module": MISSING})


def _pairs(ours: Attentions, theirs: Attentions) -> dict[str, str]:
    places: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for path in (*theirs, *theirs.latent):
        places[_place(theirs, path)].append(path)
    pairs = {}
    for path in (*ours, *ours.latent):
        near = places[_place(ours, path)]
        pairs[path] = near.pop(near.index(path) if path in near else 0) if near else ""
    return pairs


def _place(attentions: Attentions, path: str) -> tuple[object, ...]:
    return attentions.plan(path).kind, tuple(map(int, re.findall(r"\d{1,9}", path)))


def _close(a: np.ndarray, b: np.ndarray, limit: float = PACKED) -> bool:
    return a.shape == b.shape and bool(_norm(a - b) <= limit * max(_norm(a), _norm(b)))


def _norm(array: np.ndarray) -> float:
    flat = np.asarray(array, "f4").ravel()
    return float(np.sqrt(flat @ flat))


def _plain(a: np.ndarray, b: np.ndarray) -> str:
    """Say whether two matrices are the same, or nearly; an empty text where they are not."""
    if a.shape != b.shape:
        return ""
    if np.array_equal(a, b, equal_nan=True):
        return EQUAL
    if not a.any() or not b.any():
        return ZEROS
    if not _close(a, b):
        return ""
    worst = float(np.max(np.abs(a - b)))
    kind = "rounding" if _close(a, b, ROUNDED) else "quantisation"
    return f"equal to {kind} (largest error {worst:.2g} beside entries up to {float(np.max(np.abs(b))):.2g})"


def _parts(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, str]:
    """Compare the parts of latent attention by name."""
    both = {name: (a.get(name), b.get(name)) for name in {**a, **b}}
    return {
        name: MISSING if x is None or y is None else _plain(x, y) or _different(x, y)
        for name, (x, y) in both.items()
    }


def _different(x: np.ndarray, y: np.ndarray) -> str:
    if x.shape != y.shape:
        return f"another shape: {' × '.join(map(str, x.shape))}, and {' × '.join(map(str, y.shape))}"
    return f"different (largest error {float(np.max(np.abs(x - y))):.2g})"


def _module(a: Projections, b: Projections) -> dict[str, str]:
    matrices = {name: (getattr(a, name), getattr(b, name)) for name in ("W_Q", "W_K", "W_V", "W_O", "W_G")}
    both = {name: pair for name, pair in matrices.items() if pair[0] is not None or pair[1] is not None}
    found = {name: MISSING if x is None or y is None else _plain(x, y) for name, (x, y) in both.items()}
    if not found["W_K"] and not found["W_V"] and _close(a.W_K, b.W_V) and _close(a.W_V, b.W_K):
        found |= {"W_K": EXCHANGED, "W_V": EXCHANGED}
    if not all(found[f"W_{role}"] for role in "QKV") and (told := _recut(a, b)):
        found |= dict.fromkeys(("W_Q", "W_K", "W_V"), told)
    for name in [name for name, told in found.items() if not told]:
        found[name] = _moved(a, b, name)
    return found


def _moved(a: Projections, b: Projections, name: str) -> str:
    x, y = getattr(a, name), getattr(b, name)
    if name[2:] in "QK" and x.shape == y.shape and (a.n_heads, a.n_kv_heads) == (b.n_heads, b.n_kv_heads):
        turns: tuple[Callable[[Projections], Projections], ...] = (pairs_to_halves, halves_to_pairs)
        if a.d_head % 2 == 0 and any(_close(getattr(turn(a), name), y) for turn in turns):
            return PAIRS
    if name[0] == "W" and x.shape == y.shape and _heads_moved(x, y, a, name):
        return HEADS
    if x.shape == y.T.shape and _close(x, y.T):
        return TRANSPOSED
    return _different(x, y)


def _heads_moved(x: np.ndarray, y: np.ndarray, a: Projections, name: str) -> bool:
    """Say whether each head of one is a head of the other."""
    count = a.n_kv_heads if name in ("W_K", "W_V") else a.n_heads
    x, y = (array if name == "W_O" else array.T for array in (x, y))
    mine, theirs = (array.reshape(count, -1) for array in (x, y))
    chosen = [int(np.argmax(theirs @ head)) for head in mine]
    return sorted(chosen) == list(range(count)) and _close(mine, theirs[chosen])


def _recut(a: Projections, b: Projections) -> str:
    """Say whether the outputs are the same three matrices, once they are cut at other places."""
    x, y = (np.concatenate([w.W_Q, w.W_K, w.W_V], -1) for w in (a, b))
    if x.shape != y.shape or _close(x, y):
        return ""
    widths, theirs = ({"q": w.W_Q.shape[1], "k": w.W_K.shape[1], "v": w.W_V.shape[1]} for w in (a, b))
    if widths != theirs:
        return ""
    parts = split(np.arange(x.shape[1]), "qkv", widths)
    fits = [n for n in {1, 2, 4, a.n_heads, a.n_kv_heads} if not any(width % n for width in widths.values())]
    orders = {
        join(parts, "".join(roles), n).tobytes(): ("".join(roles), n)
        for roles, n in product(permutations("qkv"), fits)
    }
    for one, other in permutations(orders.values(), 2):
        stored = join(parts, *one)
        again = split(stored, other[0], widths, other[1])
        order = np.concatenate([again[role] for role in "qkv"])
        if _close(x[:SAMPLE, order], y[:SAMPLE]) and _close(x[:, order], y):
            return CUT
    return ""


def _biases(a: Projections, b: Projections) -> dict[str, str]:
    found = {}
    for role in "QKVOG":
        name = f"b_{role}"
        x, y = getattr(a, name, None), getattr(b, name, None)
        if x is not None and y is not None:
            found[name] = _plain(x, y) or _moved(a, b, name)
        elif (only := y if x is None else x) is not None:  # a bias of zeros and none are the same function
            found[name] = MISSING if only.any() else EQUAL
    return found
