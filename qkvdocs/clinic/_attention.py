# attention(x), with weights that are known or without.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import HALVES
from qkvdocs.clinic._attend import declared
from qkvdocs.clinic._case import Case
from qkvdocs.clinic._contracts import Attention, Step
from qkvdocs.clinic._declared import gate_of
from qkvdocs.clinic._explain import NUDGE, Evidence
from qkvdocs.clinic._far import LONG, LOUD, MANY
from qkvdocs.clinic._judge import LONGEST, judge, length, spec_of, unseen, without
from qkvdocs.clinic._known_rare import rare
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._layer import Fault, Rows, Spec, layer, prepared
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import TEXTS, Subject, distance, seen_by
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

TRIED = (
    "shared, swapped and transposed weights", "biases", "head split and merge", "scale", "softmax axis",
    "rotary style and offset", "key head order",
)  # fmt: skip
WIDE = 128
"""Texts of one token that are asked for what was added to a weight."""
LARGEST = 1000.0
"""Rows are not made larger, so that float16 holds what comes of them."""


def examine_attention(contract: Attention, report: Report) -> None:
    """Examine one layer."""
    trials = rows_for(contract)
    subject = Subject("attention", contract.function, contract.like, arguments(trials[0])[1], first)
    trials = [rounded(subject, rows) for rows in [*trials, faint(subject, trials[1])]]
    spec = None if contract.weights is None else layer_spec(contract, contract.weights)
    plain = "causality" if contract.causal else "equivariance" if orderless(contract) else ""
    usual = ("the batch", plain, "damage to the input", "dtype", *(TRIED if spec else ()))
    tried = [*filter(None, usual), *declared(contract)]

    def call(rows: Rows) -> np.ndarray:
        return run(subject, rows, contract.weights)

    def behave(ran: Sequence[Rows], outputs: Sequence[np.ndarray], known: bool) -> Iterator[Finding]:
        if not all(np.isfinite(output).all() for output in outputs):
            yield Finding(UNKNOWN, "attention", "the output holds NaN or inf for finite rows")
            return
        found = list(_behaviour(contract, subject, ran[0], outputs[0]))
        yield from found
        if not found and spec is not None and subject.kind.dtype not in HALVES:
            yield from added(contract, spec, call, ran[0].x)

    if spec is None:
        report.untested.append(
            "attention: projections, heads, scale and softmax, since its weights are not known"
        )
    else:
        report.untested += blind_spots(contract, spec)
    plain_rows = not (contract.packed or contract.padding or contract.memory)
    lengths = lengths_for(contract) if plain_rows else []
    report.untested += unseen("attention", contract, max(lengths, default=LONGEST))
    loud = replace(trials[0], x=trials[0].x * grow(subject, trials[0].x))
    judge(
        Case(
            subject, trials, call, behave, spec, layer,
            faults_of(contract, spec) if spec else (), features_of(contract, spec) if spec else (),
            twin=lambda: twin_of(contract, trials), nudge=partial(nudge, call), optional=trials[2:], tried=tried,
            lengths=lengths, longer=lambda n: long_rows(subject, trials[0].x, n), changed=other_start,
            whole=None if contract.weights is None else whole_spec(contract, contract.weights), loud=[loud],
        ),
        report,
    )  # fmt: skip


def nudge(
    call: Callable[[Rows], np.ndarray], evidence: Evidence, wrong: Spec
) -> tuple[np.ndarray, np.ndarray]:
    """Say how an output moves when its rows are nudged, and how it should."""
    at = evidence.widest
    moved = replace(evidence.trials[at], x=evidence.trials[at].x * NUDGE)
    return call(moved) - evidence.observed[at], layer(moved, wrong) - evidence.simulate(wrong, at)


def orderless(contract: Attention) -> bool:
    """Say whether tokens in another order must give the same outputs in that order."""
    ordered = contract.rotary, contract.score_bias, contract.relative, contract.window, contract.chunk
    return not contract.causal and all(feature is None for feature in ordered)


def faint(subject: Subject, rows: Rows) -> Rows:
    """Make rows so small that all scores are nearly one: they show values and masks, not queries and keys."""
    return replace(rows, x=rows.x * (0.1 if subject.kind.dtype in HALVES else 1e-3))


def grow(subject: Subject, x: np.ndarray) -> float:
    """Say by what rows grow so that the exponentials of scores overflow."""
    return float(min(LOUD.get(subject.kind.dtype, 500.0) ** 0.5, LARGEST / np.abs(x).max()))


def lengths_for(contract: Attention | Step) -> list[int]:
    """Give the lengths of longer texts that fit into memory."""
    if contract.relative is not None:  # what some rows add is not a part of what all add
        return []
    n_heads = 1 if contract.weights is None else contract.weights.n_heads
    return [n for n in LONG if n_heads * n * n <= MANY]


def long_rows(subject: Subject, x: np.ndarray, n: int, calls: tuple[int, ...] = ()) -> Rows:
    """Make a longer text of rows as large, of which some are looked at."""
    made = np.random.default_rng(n).standard_normal((1, n, x.shape[2])) * float(x.std())
    (made,) = seen_by(subject.kind, (made,))
    return Rows(made, calls, at=np.unique([*range(0, n, n // 32), n - 3, n - 2, n - 1]))


def other_start(rows: Rows, n: int) -> Rows:
    """Change the first tokens."""
    x = rows.x.copy()
    x[:, :n] = -x[:, :n, ::-1]
    return replace(rows, x=x)


def rounded(subject: Subject, rows: Rows) -> Rows:
    """Round rows as the function gets them."""
    x, memory = seen_by(subject.kind, (rows.x, rows.memory))
    return replace(rows, x=x, memory=memory)


def first(result: object) -> object:
    """Take the output where more comes back, as from nn.MultiheadAttention."""
    return result[0] if isinstance(result, tuple) else result


def arguments(rows: Rows) -> tuple[str, tuple[Any, ...]]:
    """Give what a layer is called with, and its names."""
    given = {name: getattr(rows, name) for name in ("x", "keep", "texts", "memory")}
    named = {name: part for name, part in given.items() if part is not None}
    return " ".join(named), tuple(named.values())


def run(subject: Subject, rows: Rows, weights: QKVWeights | LatentWeights | None = None) -> np.ndarray:
    """Call a layer and hold it to its shape."""
    names, handed = arguments(rows)
    output = subject(names, *handed)
    check_rows(subject.name, output, rows.x.shape, weights)
    output = output if rows.at is None else output[:, rows.at]
    return output if rows.keep is None else np.where(rows.keep[..., None], output, 0.0)


def check_rows(
    name: str, output: np.ndarray, shape: tuple[int, ...], weights: QKVWeights | LatentWeights | None = None
) -> None:
    """Hold an output to one row a token, of the width that the weights say."""
    symbols, width = "d_model", shape[-1]
    if weights is not None and weights.W_O is None:
        symbols, width = "n_heads * d_value", weights.n_heads * weights.d_value
    elif weights is None and output.ndim == 3:
        width = output.shape[-1]
    if output.shape != (wanted := (*shape[:2], width)):
        raise ContractError(
            f"{name} must return shape (batch, seq, {symbols}) = {wanted}, got {output.shape}"
        )


def whole_spec(contract: Attention | Step, weights: QKVWeights | LatentWeights) -> Spec:
    """Describe a layer of known weights."""
    held = {name: array for name, array in vars(weights).items() if isinstance(array, np.ndarray)}
    wide: dict[str, Any] = {name: array.astype(np.float64, copy=False) for name, array in held.items()}
    weights = replace(weights, **wide)  # once, and not in each of thousands of products
    spec = spec_of(
        contract, weights.n_heads, weights.d_head, rotary=contract.rotary, norm=contract.norm, weights=weights,
        before=contract.before, causal=isinstance(contract, Step) or bool(contract.causal), clip=contract.clip,
    )  # fmt: skip
    if contract.gate is not None:
        gate = gate_of(contract.gate, (weights.d_model, weights.n_heads * weights.d_value))
        spec = replace(spec, gate=gate)
    if isinstance(weights, LatentWeights) and spec.rotary is not None:
        spec = replace(spec, rotary=replace(spec.rotary, width=weights.d_rotary), part="last")
    return spec


def layer_spec(contract: Attention | Step, weights: QKVWeights | LatentWeights) -> Spec:
    """Leave out what short texts do not show."""
    return without(whole_spec(contract, weights))


@np.errstate(all="ignore")
def rows_for(contract: Attention | Step) -> list[Rows]:
    """Make token rows that are large enough for scores to differ: two trials, and one token alone."""
    rng = np.random.default_rng(11)
    weights = contract.weights
    d_model = contract.d_model if weights is None else weights.d_model
    assert d_model is not None  # noqa: S101  # the contract holds to it
    seq = length(contract, 6)
    inputs = [rng.standard_normal(shape) for shape in ((2, seq, d_model), (3, 4, d_model))]
    if weights is not None and contract.norm is None:
        spec = layer_spec(contract, weights)
        wanted = 2.0 if spec.softcap is None else max(2.0, spec.softcap / 3)
        for _ in range(4):  # biases make the growth uneven, so this is repeated
            q, k, _ = prepared(Rows(inputs[0]), spec)
            spread = float(np.std(q[:, :1] @ k[:, :1].swapaxes(-1, -2))) * abs(spec.scale)
            factor = min(30.0, max(0.05, np.sqrt(wanted / max(spread, 1e-9))))
            inputs = [x * min(factor, LARGEST / np.abs(inputs[0]).max()) for x in inputs]
    if isinstance(contract, Step):
        return [Rows(x) for x in inputs]
    if contract.packed:
        texts = np.repeat(np.arange(3), (seq - seq // 2 - 1, seq // 2, 2)), np.repeat(np.arange(2), 2)
        return [
            Rows(np.concatenate([inputs[0], inputs[0][:, :1] * 0.5], 1)[:1], texts=texts[0]),
            Rows(inputs[1][:1], texts=texts[1]),
        ]
    if contract.padding:
        kept = []
        for x in inputs:
            n = x.shape[1]
            full = n - np.array([1, 0, 2])[: len(x), None]  # the first mask must not be that of all
            at = np.arange(n)[None]
            kept.append(at < full if contract.padding == "right" else at >= n - full)
        return [Rows(x, keep=keep) for x, keep in zip(inputs, kept, strict=True)]
    if contract.memory:
        memory = [rng.permuted(inputs[0], axis=1), rng.permuted(np.concatenate([inputs[1]] * 2, 1), axis=1)]
        return [Rows(x, memory=other) for x, other in zip(inputs, memory, strict=True)]
    return [*map(Rows, inputs), Rows(inputs[1][:, :1])]


def blind_spots(contract: Attention | Step, spec: Spec) -> list[str]:
    """Say what these weights cannot show."""
    spots = []
    weights = spec.weights
    assert weights is not None  # noqa: S101
    plain = spec.rotary is None and spec.norm is None and spec.softcap is None and spec.sinks is None
    biases = [getattr(weights, f"b_{role}", None) for role in "QKVO"]
    if plain and spec.clip is None and spec.relative is None and biases[1] is not None:
        spots.append(
            "the key bias, since no output of plain attention depends on it: compare keys with Project"
        )
    if any(bias is not None and not np.any(bias) for bias in biases):
        spots.append("biases that are 0 here, for a lost one would not be seen: draw them at random first")
    if weights.n_heads == 1:
        spots.append("heads, since there is one")
    return [f"attention: {spot}" for spot in spots]


def twin_of(contract: Attention | Step, trials: Sequence[Rows]) -> tuple[Evidence, Sequence[Fault]]:
    """Compute the layer with weights and biases drawn at random; biases of 0, and weights that are one, stay so."""
    rng = np.random.default_rng(17)
    weights = contract.weights
    assert weights is not None  # noqa: S101
    drawn: dict[str, Any] = {
        name: rng.standard_normal(array.shape) * (weights.d_model**-0.5 if name.startswith("W") else 1.0)
        for name, array in vars(weights).items()
        if isinstance(array, np.ndarray) and (name.startswith("W") or array.any())
    }
    for a, b in (("W_Q", "W_K"), ("W_Q", "W_V"), ("W_K", "W_V")) if isinstance(weights, QKVWeights) else ():
        if np.array_equal(one := getattr(weights, a), getattr(weights, b)) and one.any() and not _simple(one):
            drawn[b] = drawn[a]
    other = replace(weights, **drawn)
    contract = replace(contract, weights=other, before=None)
    spec, inputs = layer_spec(contract, other), rows_for(contract)
    grown = [
        replace(rows, x=(inputs[0].x if rows.x.shape == inputs[0].x.shape else inputs[-1].x))
        for rows in trials
        if rows.memory is None and rows.texts is None
    ] or inputs  # fmt: skip
    grown = [rows for rows in grown if not rows.calls or sum(rows.calls) == rows.x.shape[1]]
    evidence = Evidence([], grown, layer, spec, "float64")
    return evidence, faults_of(contract, spec)


def _simple(weight: np.ndarray) -> bool:
    """Whether a weight is an identity, which says nothing of what was meant to be one."""
    return weight.shape[0] == weight.shape[1] and not np.any(weight - np.diag(np.diag(weight)))


def faults_of(contract: Attention | Step, spec: Spec) -> list[Fault]:
    """List what may be wrong with a layer."""
    weights = spec.weights
    assert weights is not None  # noqa: S101
    causal, n_heads, n_kv_heads, d_head = spec.causal, weights.n_heads, weights.n_kv_heads, weights.d_head
    masks = _known.masks(causal) if causal else [*_known.undeclared()[:1], *_known.blind()]
    others = []
    if isinstance(contract, Attention):
        others = _known.rows_read(contract.packed, bool(contract.padding), contract.memory)
        masks = [] if contract.memory else masks  # a triangle is a bug there, and no question
    width = d_head if isinstance(weights, QKVWeights) else weights.d_rotary
    turnings = _known.turnings(spec.rotary, n_heads, n_kv_heads, width) if spec.rotary else []
    return [
        *_known.scales(n_heads, n_kv_heads, d_head, weights.d_model, spec.scale,
                       weights.d_value if weights.d_value != d_head else 0),
        *_known.axes(), *masks, *_known.matches()[:1], *_known.matches()[3:],
        *(_projections(spec, weights, turnings) if isinstance(weights, QKVWeights) else
          [fault for fault in turnings if fault.field != "permuted"]),
        *_known.caps(spec), *_known.sinks(spec), *_known.windows(spec, 64), *_known.biases(spec, n_heads),
        *_known.norms(spec.norm), *rare(spec), *others,
    ]  # fmt: skip


def _projections(spec: Spec, weights: QKVWeights, turnings: list[Fault]) -> list[Fault]:
    """List what may be wrong with queries, keys and values that are each made by one matrix."""
    biases = {"Q": weights.b_Q, "K": weights.b_K, "V": weights.b_V, "O": weights.b_O}
    biased = "".join(role for role, bias in biases.items() if bias is not None and np.any(bias))
    many = weights.n_heads > 1
    return [
        *_known.sources(), *_known.turns(weights), *_known.reshapes(weights), *_known.losses(biased),
        *(_known.views() if many else ()), *(_known.cuts(weights) if many else ()),
        *(_known.tiles() if weights.n_kv_heads != weights.n_heads else ()),
        *turnings, *_known.merges(spec),
    ]  # fmt: skip


def features_of(contract: Attention | Step, spec: Spec) -> list[Fault]:
    """List what a layer may have that is not declared."""
    assert spec.weights is not None  # noqa: S101
    return _known.features(spec, spec.weights.n_heads, spec.weights.d_head, 6)


def added(
    contract: Attention, spec: Spec, call: Callable[[Rows], np.ndarray], x: np.ndarray
) -> Iterator[Finding]:
    """Ask texts of one token, which see values alone, for a matrix of low rank that was added to a weight."""
    W = spec.weights
    if not isinstance(W, QKVWeights) or contract.packed or contract.padding or contract.memory:
        return
    size = min(W.d_model, WIDE)
    rows = Rows(np.random.default_rng(19).standard_normal((size, 1, W.d_model)) * float(x.std()))
    off = (call(rows) - layer(rows, spec))[:, 0]
    off = off - off.mean(axis=0)  # a bias is no adapter
    shares = np.linalg.svd(off, compute_uv=False)
    rank = int(np.sum(shares > 1e-3 * shares[0])) if shares[0] > 1e-3 * np.abs(layer(rows, spec)).max() else 0
    if 0 < rank <= min(size // 8, W.d_head - 1):  # as many as a head has may be a head
        said = f"values are off by a matrix of rank {rank} of {W.d_model}: is an adapter merged? Then declare before=…"
        yield Finding("adapter-merge", "attention", said)


def _behaviour(contract: Attention, subject: Subject, rows: Rows, base: np.ndarray) -> Iterator[Finding]:
    """Test what needs no weights."""
    x, step = rows.x, float(np.std(rows.x))

    def moved(changed: np.ndarray, kept: Any) -> float:
        return distance(run(subject, replace(rows, x=changed))[kept], base[kept])

    if rows.texts is not None:
        for text in np.unique(rows.texts):
            own = rows.texts == text
            if (by := moved(x + step * own[None, :, None], (slice(None), ~own))) > subject.limit:
                said = f"changing packed text {text} moves the others by {fmt(by)} of their largest entry"
                yield Finding("batch-leak", subject.name, said)
                return
        return
    for changed, kept in ((1, 0), (0, 1)):
        other = x.copy()
        other[changed] += step
        if (by := moved(other, kept)) > subject.limit:
            said = f"changing {TEXTS[changed]} moves the output of {TEXTS[kept]} by {fmt(by)} of its largest entry"
            yield Finding("batch-leak", subject.name, said)
            return
    if contract.prefix or rows.memory is not None or rows.keep is not None:
        return
    for at in range(1, x.shape[1]):
        later = x.copy()
        later[:, at] += step
        if (by := moved(later, (slice(None), slice(at)))) > subject.limit:
            if contract.causal:
                said = f"changing token {at} moves earlier outputs by {fmt(by)} of their largest entry"
                yield Finding("causality", subject.name, said)
                return
            break
    else:
        earlier = x.copy()
        earlier[:, 0] += step
        if not contract.causal and moved(earlier, (slice(None), slice(1, None))) > subject.limit:
            yield Finding("equivariance", subject.name, _known.undeclared()[0].says)
            return
    if orderless(contract):
        order = np.random.default_rng(3).permutation(x.shape[1])
        if (by := distance(run(subject, replace(rows, x=x[:, order])), base[:, order])) > subject.limit:
            said = f"the tokens in another order give other outputs: off by {fmt(by)} of the largest entry"
            yield Finding("equivariance", subject.name, said)
