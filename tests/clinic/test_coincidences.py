"""Wrong functions that no bug of the catalogue describes get no name, and nothing is healthy that could not be seen."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import Attend, Attention, Project, Rotary, Step, assert_healthy, examine
from qkvdocs.clinic._report import TOO_COARSE, UNDECLARED, UNKNOWN
from qkvdocs.core import QKVWeights
from tests.clinic import bugs_held_out, bugs_open, bugs_reports, right
from tests.clinic.bugs_open import cut, out, paste, roles, rotate, sdpa, softmax, tril
from tests.clinic.cases import Case
from tests.clinic.run import half, score, weights
from tests.sample import tenth

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
name = pytest.mark.parametrize
NO_NAME = {UNKNOWN, TOO_COARSE, UNDECLARED}


def shared(q: np.ndarray, *keys: np.ndarray) -> Iterator[np.ndarray]:
    """Give each query head its key head."""
    return (np.repeat(array, q.shape[1] // array.shape[1], 1) for array in keys)


def scored(
    change: Callable[[np.ndarray], np.ndarray], weigh: Callable[..., Any] = softmax
) -> Callable[..., Any]:
    """Attend with scores that were changed, or weighed in another way."""

    def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> Any:
        k, v = shared(q, k, v)
        scores = change(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
        return weigh(scores if mask is None else np.where(mask, scores, -np.inf)) @ v

    return attend


def after(change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """Attend rightly and change the output."""
    return lambda q, k, v, mask: change(sdpa(q, *shared(q, k, v), mask))


def distant(scores: np.ndarray) -> np.ndarray:
    """Give how far each key is away."""
    return np.abs(np.arange(scores.shape[-2])[:, None] - np.arange(scores.shape[-1]))


def sunk(scores: np.ndarray) -> np.ndarray:
    """Softmax with a sink of 0.3 in each row."""
    return softmax(np.concatenate([scores, np.full((*scores.shape[:-1], 1), 0.3)], -1))[..., :-1]


def unit(rows: np.ndarray) -> np.ndarray:
    """Divide rows by their root mean square."""
    return rows / np.sqrt((rows**2).mean(-1, keepdims=True) + 1e-6)


MASKLESS = {"causality"}  # a mask that has no effect is one, whatever the function is
ATTEND: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "zeros": (lambda q, k, v, mask: np.zeros(q.shape), set()),
    "ones": (lambda q, k, v, mask: np.ones(q.shape), set()),
    "nearly nothing": (lambda q, k, v, mask: np.full(q.shape, 1e-300), set()),
    "the queries": (lambda q, k, v, mask: q.copy(), set()),
    "the queries and one": (lambda q, k, v, mask: q + 1, set()),
    "mean of the values": (lambda q, k, v, mask: 0 * q + next(shared(q, v)).mean(2, keepdims=True), MASKLESS),
    "first value": (lambda q, k, v, mask: 0 * q + next(shared(q, v))[:, :, :1], MASKLESS),
    "sigmoid": (scored(lambda s: s, lambda s: 1 / (1 + np.exp(-s))), set()),
    "sigmoid over the sum": (
        scored(lambda s: s, lambda s: (p := 1 / (1 + np.exp(-s))) / p.sum(-1, keepdims=True)), set()),
    "sink": (scored(lambda s: s, sunk), set()),
    "hardest": (scored(lambda s: s, lambda s: softmax(1e6 * s)), set()),
    "squares": (scored(lambda s: s, lambda s: (p := np.where(s > -1e9, s, 0) ** 2) / p.sum(-1, keepdims=True)), set()),
    "one kept back": (scored(lambda s: s, lambda s: 0.9 * softmax(s)), set()),
    "cap of 2": (scored(lambda s: 2 * np.tanh(s / 2)), set()),
    "cap of 5": (scored(lambda s: 5 * np.tanh(s / 5)), set()),
    "cap of 20": (scored(lambda s: 20 * np.tanh(s / 20)), set()),
    "cap of 50": (scored(lambda s: 50 * np.tanh(s / 50)), set()),
    "cap of 300": (scored(lambda s: 300 * np.tanh(s / 300)), set()),
    "ALiBi": (scored(lambda s: s - 0.1 * distant(s)), set()),
    "weak ALiBi": (scored(lambda s: s - 0.001 * distant(s)), set()),
    "window": (scored(lambda s: np.where(distant(s) < 3, s, -np.inf)), set()),
    "heads of their own scale": (
        lambda q, k, v, mask: sdpa(q * np.linspace(0.9, 1.1, q.shape[1])[:, None, None], *shared(q, k, v), mask),
        set()),
    "query-key norm": (lambda q, k, v, mask: sdpa(unit(q), *shared(q, unit(k), v), mask), set()),
    "rolled": (after(lambda o: np.roll(o, 1, -1)), set()),
    "heads reversed": (after(lambda o: o[:, ::-1]), set()),
    "negated": (after(np.negative), set()),
    "a percent too much": (after(lambda o: 1.01 * o), set()),
    "a thousandth more": (after(lambda o: o + 1e-3), set()),
    "sine": (after(np.sin), set()),
    "clipped": (after(lambda o: np.clip(o, -0.5, 0.5)), set()),
    "rectified": (after(lambda o: np.maximum(o, 0)), set()),
    "noise": (lambda q, k, v, mask: np.random.default_rng(1).standard_normal(q.shape), set()),
}  # fmt: skip


@name(("sizes", "dtype"), [((4, 2, 4), "float64"), ((2, 2, 2), "float32")], ids=str)
def test_attention_that_is_none_gets_no_name(sizes: tuple[int, int, int], dtype: str) -> None:
    """Or one that it earns; the first line of the report says which."""
    n_heads, n_kv_heads, d_head = sizes
    for what, (function, earned) in tenth(ATTEND.items()):
        like = np.zeros(1, dtype)
        same = lambda *a, f=function: f(*a).astype(a[0].dtype)  # noqa: E731
        report = examine(Attend(same, n_heads, n_kv_heads, d_head, like=like))
        assert not report.healthy, what
        assert {finding.bug for finding in report.findings} <= NO_NAME | earned, f"{what}: {report}"


def turned(q: np.ndarray, k: np.ndarray, base: float, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rotate by another base."""
    return rotate(q, shift, base=base), rotate(k, shift, base=base)


def cuts(x: np.ndarray, W: Any) -> list[np.ndarray]:
    """Project and cut the heads."""
    n = x.shape[-1] // W.d_head
    return [cut(x @ w + (0 if b is None else b), n) for w, b in zip(
        (W.W_Q, W.W_K, W.W_V), (W.b_Q, W.b_K, W.b_V), strict=True)]  # fmt: skip


def half_turned(q: np.ndarray, width: int) -> np.ndarray:
    """Rotate the first entries of each head."""
    return np.concatenate([rotate(q[..., :width]), q[..., width:]], -1)


PROJECT: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "another base": (lambda q, k, v: (*turned(q, k, 500000.0), v), {"rotary-style"}),
    "a nearer base": (lambda q, k, v: (*turned(q, k, 9000.0), v), {"rotary-style"}),
    "twice the positions": (
        lambda q, k, v: (*(rotate(rotate(a)) for a in (q, k)), v), {"rotary-offset", "rotary-style"}),
    "half of each head": (
        lambda q, k, v: (*(half_turned(a, a.shape[-1] // 2) for a in (q, k)), v), {"rotary-style"}),
    "all but two of each head": (
        lambda q, k, v: (*(half_turned(a, a.shape[-1] - 2) for a in (q, k)), v), {"rotary-style"}),
    "normed": (lambda q, k, v: (*turned(unit(q), unit(k), 1e4), v), set()),
    "zeros": (lambda q, k, v: (0 * q, 0 * k, 0 * v), set()),
    "ones": (lambda q, k, v: (0 * q + 1, 0 * k + 1, 0 * v + 1), set()),
    "noise": (lambda q, k, v: np.random.default_rng(2).standard_normal((3, *q.shape)), set()),
    "values negated": (lambda q, k, v: (*turned(q, k, 1e4), -v), set()),
    "values reversed": (lambda q, k, v: (*turned(q, k, 1e4), v[:, :, ::-1]), set()),
    "values rolled": (lambda q, k, v: (*turned(q, k, 1e4), np.roll(v, 1, -1)), set()),
    "heads of values reversed": (lambda q, k, v: (*turned(q, k, 1e4), v[:, ::-1]), {"fused-order"}),
    "one value changed": (
        lambda q, k, v: (*turned(q, k, 1e4), np.where(np.arange(v.size).reshape(v.shape) == 7, 9.0, v)), set()),
    "one value of the other text": (
        lambda q, k, v: (*turned(q, k, 1e4), np.where(np.arange(v.size).reshape(v.shape) == 7, v[::-1], v)), set()),
}  # fmt: skip


PAIR = {
    "another base",
    "a nearer base",
    "half of each head",
    "all but two of each head",
    "heads of values reversed",
}


@name("sizes", [(4, 8), (1, 2), (2, 4), (8, 16), (16, 32)], ids=str)
@name("dtype", ["float64", "float32"])
@name("bias", ["", "qkv"])
def test_a_projection_that_is_none_gets_no_name(sizes: tuple[int, int], dtype: str, bias: str) -> None:
    """One number of a thousand is no evidence: the wrong base alone was called batch-leak and head-split."""
    for what, (function, earned) in tenth(PROJECT.items()):
        if (sizes == (16, 32) and what != "another base") or (sizes == (1, 2) and what in PAIR):
            continue  # large sizes are about chance; one pair of numbers in one head makes some of these right
        project = Project(
            lambda x, W, f=function: tuple(a.astype(x.dtype) for a in f(*cuts(x, W))),
            n_heads=sizes[0], d_head=sizes[1], bias=bias, rotary=Rotary(), like=np.zeros(1, dtype),
        )  # fmt: skip
        report = examine(project)
        assert not report.healthy, what
        assert {finding.bug for finding in report.findings} <= NO_NAME | earned, f"{what}: {report}"


def of(n_heads: int, *, d_model: int = 8, **changes: np.ndarray) -> QKVWeights:
    """Random weights, some of them replaced."""
    rng = np.random.default_rng(4)
    drawn = {f"W_{role}": rng.standard_normal((d_model, d_model)) / 3 for role in "QKVO"}
    return QKVWeights(**(drawn | changes), n_heads=n_heads)


def encode(x: np.ndarray, W: QKVWeights, **how: Any) -> Any:
    """Run an encoder's layer."""
    return out(paste(sdpa(*(cut(a, W.n_heads) for a in roles(x, W)), **how)), W)


ZERO, ONE = np.zeros((8, 8)), np.eye(8)
BLIND = {
    "queries of 0": of(2, W_Q=ZERO),
    "keys of 0": of(2, W_K=ZERO),
    "output of 0": of(2, W_O=ZERO),
    "all 0": of(2, W_Q=ZERO, W_K=ZERO, W_V=ZERO, W_O=ZERO),
    "identities": of(2, W_Q=ONE, W_K=ONE, W_V=ONE, W_O=ONE),
    "symmetric": of(1, W_Q=np.diag(np.arange(1.0, 9.0))),
    "queries too small": of(2, W_Q=ONE * 1e-30),
    "a value bias too small": of(2, b_V=np.full(8, 1e-12)),
    "an output bias too large": of(2, b_O=np.full(8, 1e9)),
}


@name("what", BLIND)
def test_weights_that_hide_a_bug_are_not_healthy(what: str) -> None:
    """Nothing that the layer did wrong would show."""
    W = BLIND[what]
    for function in (lambda x: encode(x, W), lambda x: encode(x, W, scale=1.0)):
        report = examine(Attention(function, W))
        assert not report.healthy
        assert {finding.bug for finding in report.findings} <= {TOO_COARSE, "scale"}, str(report)
    assert "draw weights and biases at random first" in str(examine(Attention(lambda x: encode(x, W), W)))


@name("n_heads", [1, 8])
def test_a_layer_that_is_none_gets_no_name(n_heads: int) -> None:
    """With known weights, with one head, and with heads of one entry."""
    W = of(n_heads)
    functions: dict[str, Callable[..., Any]] = {
        "input": lambda x: x,
        "zeros": lambda x: 0 * x,
        "ones": lambda x: 0 * x + 1,
        "noise": lambda x: np.random.default_rng(3).standard_normal(x.shape),
        "negated": lambda x: -encode(x, W),
        "a residual": lambda x: x + encode(x, W),
        "mean": lambda x: 0 * x + x.mean(1, keepdims=True),
        "layer of others": lambda x: encode(x, of(n_heads, W_V=ONE)),
        "normed": lambda x: encode(unit(x), W),
    }
    for what, function in tenth(functions.items()):
        report = examine(Attention(function, W))
        assert not report.healthy, what
        # Noise by place is an order that counts.
        earned = {"equivariance"} if what == "noise" else set()
        assert {finding.bug for finding in report.findings} <= NO_NAME | earned, f"{what}: {report}"


def test_a_bug_that_hides_in_half_precision_is_not_healthy() -> None:
    """A small bias in float16: lost or not, the numbers agree; float32 tells."""
    W = replace(weights(4, 4, 8, bias=False), b_V=np.full(32, 5e-6))
    lost = weights(4, 4, 8, bias=False)
    for kept in (W, lost):
        half = Attention(lambda x, kept=kept: encode(x, kept), W, like=np.zeros(1, np.float16))
        told = r"\ntoo coarse to judge \(attention\): in float16 .* below what rounding alone"
        with pytest.raises(AssertionError, match=told):
            assert_healthy(half)
        report = examine(half)
        assert not report.healthy
        assert "healthy" not in str(report)
        assert "key-bias. To tell, run it in float32" in str(report)
    single = np.zeros(1, np.float32)
    assert examine(Attention(lambda x: encode(x, W), W, like=single)).healthy
    found = examine(Attention(lambda x: encode(x, lost), W, like=single)).findings
    assert [finding.bug for finding in found] == ["key-bias"]


@name(
    ("dtype", "cases"),
    [
        ("float16", [*bugs_open.CASES, *bugs_reports.CASES]),
        ("bfloat16", [*bugs_held_out.CASES, *bugs_reports.CASES, *right.CASES]),
    ],
    ids=["float16", "bfloat16"],
)
def test_half_precision_hides_no_bug_and_names_no_other(dtype: str, cases: list[Case]) -> None:
    """The limit was 0.2 and 1.58 of the largest entry: no scale, a mask ignored, all were healthy."""
    hits = told = 0
    for case in tenth(cases):
        if case.kind not in ("attend", "attention", "step", "project"):
            continue
        report = examine(half(case, dtype))
        bugs = case.bugs - {"dtype-loss"}  # which half precision is
        named = {bug for finding in report.findings for bug in finding.names} - NO_NAME
        assert named <= bugs, f"{case.name}: {report}"
        assert report.healthy == (not bugs), f"{case.name}: {report}"
        assert any("run it in float32" in line for line in report.untested)
        if case.kind != "project":
            told, hits = told + bool(bugs), hits + score(case, report)[0]
    assert hits >= 0.97 * told


LAYER = weights(4, 4, 8, bias=True)


def decode(x: np.ndarray, change: Callable[..., Any] = lambda q, k, v: (q, k, v)) -> Any:
    """Run a decoder's layer with changed queries, keys and values."""
    q, k, v = change(*(cut(a, 4) for a in roles(x, LAYER)))
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), LAYER)


def stepping(grow: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """Run a step whose cache grows in some way."""

    def step(x: np.ndarray, cache: Any) -> Any:
        q, k, v = (cut(a, 4) for a in roles(x, LAYER))
        if cache is not None:
            k, v = grow(cache[0], k), grow(cache[1], v)
        return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), LAYER), (k, v)

    return step


def projecting(change: Callable[..., Any]) -> Callable[..., Any]:
    """Project and change what came."""
    return lambda x, W: change(*(cut(x @ getattr(W, f"W_{r}") + getattr(W, f"b_{r}"), 4) for r in "QKV"))


UNSEEN: dict[str, tuple[Any, set[str]]] = {
    "softmax twice": (Attend(scored(lambda s: s, lambda s: softmax(softmax(s)))), {"causality"}),
    "no mask in the last head": (
        Attend(lambda q, k, v, mask: np.concatenate([sdpa(q, k, v, mask)[:, :3], sdpa(q, k, v)[:, 3:]], 1)),
        {"causality"}),
    "groups off by one": (
        Attend(lambda q, k, v, mask: sdpa(q, *(np.roll(np.repeat(a, 2, 1), 1, 1) for a in (k, v)), mask),
               n_kv_heads=2), set()),
    "eight-bit cache": (
        Attend(lambda q, k, v, mask: sdpa(q, np.round(k * 30) / 30, np.round(v * 30) / 30, mask)), set()),
    "exponential cut short": (
        Attend(scored(lambda s: s, lambda s: (
            e := np.where(np.isfinite(s), 1 + s + s * s / 2, 0)) / e.sum(-1, keepdims=True))), set()),
    "values one token late": (
        Attention(lambda x: decode(x, lambda q, k, v: (q, k, np.roll(v, 1, 2))), LAYER, causal=True), {"causality"}),
    "output bias twice": (Attention(lambda x: decode(x) + LAYER.b_O, LAYER, causal=True), set()),
    "mean of the batch off": (Attention(lambda x: decode(x - x.mean((0, 1))), LAYER, causal=True), {"batch-leak"}),
    "rotated backwards": (
        Attention(lambda x: decode(x, lambda q, k, v: (*(rotate(a[:, :, ::-1])[:, :, ::-1] for a in (q, k)), v)),
                  LAYER, causal=True, rotary=Rotary()), {"rotary-style"}),
    "last key overwritten": (
        Step(stepping(lambda old, new: np.concatenate([old[:, :, :-1], new], 2)), LAYER), {"cache-differs"}),
    "cache that decays": (
        Step(stepping(lambda old, new: np.concatenate([0.9 * old, new], 2)), LAYER), {"cache-differs"}),
    "cache grown in front": (
        Step(stepping(lambda old, new: np.concatenate([new, old], 2)), LAYER), {"cache-differs"}),
    "a head twice": (
        Project(projecting(lambda q, k, v: (np.concatenate([q[:, :3], q[:, :1]], 1), k, v))), set()),
    "queries scaled early": (Project(projecting(lambda q, k, v: (q / 8**0.5, k, v))), set()),
}  # fmt: skip


@name("what", tenth(UNSEEN))
def test_bugs_written_after_the_probes_get_only_names_they_earn(what: str) -> None:
    """None is in the corpus; what is seen is said, and the rest is unexplained."""
    contract, earned = UNSEEN[what]
    report = examine(contract)
    assert not report.healthy
    assert {finding.bug for finding in report.findings} <= {UNKNOWN} | earned, str(report)
