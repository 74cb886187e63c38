# attention(x), with weights that are known or without.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._contracts import Attention, Step
from qkvdocs.clinic._declared import scale_of
from qkvdocs.clinic._explain import (
    NUDGE,
    Evidence,
    Simulate,
    coarse,
    explain,
    findings,
    hidden,
    imprecise,
    measured,
)
from qkvdocs.clinic._faults import Fault, Ways, layer
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import LOOSE, RANDOM, TEXTS, Subject, distance
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

TRIED = (
    "shared, swapped and transposed weights", "biases", "head split and merge", "scale", "softmax axis",
    "rotary style and offset", "key head order",
)  # fmt: skip
LARGEST = 1000.0
"""Rows are not made larger, so that float16 holds what comes of them."""


def examine_attention(contract: Attention, report: Report) -> None:
    """Examine one layer."""
    inputs = rows_for(contract)
    subject = Subject("attention", contract.function, contract.like, inputs[:1], first)
    outputs = [run(subject, x) for x in inputs]
    for x, output in zip(inputs, outputs, strict=True):
        check_rows(subject.name, output, x.shape, contract.weights)
    if distance(run(subject, inputs[0]), outputs[0]) > max(RANDOM, subject.limit):
        raise ContractError(
            "attention must give the same output for the same input, got another. Turn dropout off"
        )
    if not all(np.isfinite(output).all() for output in outputs):
        behaviour = [Finding(UNKNOWN, "attention", "the output holds NaN or inf for finite rows")]
    else:
        behaviour = list(_behaviour(contract, subject, inputs[0], outputs[0]))
    plain = "causality" if contract.causal else "equivariance" if contract.rotary is None else ""
    report.tried.append(
        f"attention: {', '.join(filter(None, ('the batch', plain, 'damage to the input', 'dtype')))}"
    )
    if contract.weights is None:
        report.untested.append(
            "attention: projections, heads, scale and softmax, since its weights are not known"
        )
        report.findings += behaviour
    else:
        report.tried[-1] += f", {', '.join(TRIED)}"
        report.untested += blind_spots(contract.weights, contract.rotary is not None)
        evidence = evidence_of(contract, contract.weights, inputs, outputs, subject.limit)
        if evidence.off(Ways()) > evidence.limit:
            report.findings += diagnose(
                contract, contract.weights, subject, evidence, behaviour, inputs[0], lambda x: run(subject, x)
            )
        else:
            faults = faults_of(contract, contract.weights)
            report.findings += coarse(subject, hidden(evidence, faults, twin_of(contract, contract.weights)))
    subject.conduct(report)


def first(result: object) -> object:
    """Take the output where more comes back, as from nn.MultiheadAttention."""
    return result[0] if isinstance(result, tuple) else result


def run(subject: Subject, x: np.ndarray) -> np.ndarray:
    """Call a layer and hold it to its shape."""
    output = subject("x", x)
    check_rows(subject.name, output, x.shape)
    return output


def check_rows(
    name: str, output: np.ndarray, shape: tuple[int, ...], weights: QKVWeights | None = None
) -> None:
    """Hold an output to one row a token, of the width that the weights say."""
    symbols, width = "d_model", shape[-1]
    if weights is not None and weights.W_O is None:
        symbols, width = "n_heads * d_head", weights.n_heads * weights.d_head
    elif weights is None and output.ndim == 3:
        width = output.shape[-1]
    if output.shape != (wanted := (*shape[:2], width)):
        raise ContractError(
            f"{name} must return shape (batch, seq, {symbols}) = {wanted}, got {output.shape}"
        )


@np.errstate(all="ignore")
def rows_for(contract: Attention | Step) -> list[np.ndarray]:
    """Make token rows that are large enough for scores to differ."""
    rng = np.random.default_rng(11)
    weights = contract.weights
    d_model = contract.d_model if weights is None else weights.d_model
    assert d_model is not None  # noqa: S101  # the contract holds to it
    inputs = [rng.standard_normal(shape) for shape in ((2, 6, d_model), (3, 4, d_model))]
    if weights is not None:
        scale = scale_of(contract, weights.d_head)
        for _ in range(4):  # biases make the growth uneven, so this is repeated
            Q, K, _ = weights.project(inputs[0])
            d = weights.d_head
            spread = float(np.std(Q[..., :d] @ K[..., :d].swapaxes(-1, -2))) * abs(scale)
            factor = min(30.0, max(0.05, np.sqrt(2.0 / max(spread, 1e-9))))
            inputs = [x * min(factor, LARGEST / np.abs(inputs[0]).max()) for x in inputs]
    return inputs


def blind_spots(weights: QKVWeights, rotary: bool) -> list[str]:
    """Say what these weights cannot show."""
    spots = []
    if not rotary and weights.b_K is not None:
        spots.append(
            "attention: the key bias, since no output of plain attention depends on it: compare keys with Project"
        )
    if any(
        bias is not None and not np.any(bias) for bias in (weights.b_Q, weights.b_K, weights.b_V, weights.b_O)
    ):
        spots.append(
            "attention: biases that are 0 here, for a lost one would not be seen: draw them at random first"
        )
    if weights.n_heads == 1:
        spots.append("attention: heads, since there is one")
    return spots


def evidence_of(
    contract: Attention | Step, weights: QKVWeights, inputs: list[np.ndarray], outputs: list[np.ndarray],
    limit: float, calls: Callable[[int], tuple[int, ...]] = lambda _: (),
    base: Callable[[Ways], Ways] = lambda ways: ways,
) -> Evidence:  # fmt: skip
    """Tie outputs to what computes them."""
    causal = isinstance(contract, Step) or contract.causal
    scale = scale_of(contract, weights.d_head)

    def simulate(ways: Ways, at: int) -> np.ndarray:
        return layer(
            inputs[at],
            weights,
            base(ways),
            causal=causal,
            rotary=contract.rotary,
            scale=scale,
            calls=calls(at),
        )

    return Evidence(outputs, simulate, limit)


def twin_of(
    contract: Attention | Step, weights: QKVWeights, calls: Sequence[tuple[int, ...]] = ()
) -> Simulate:
    """Compute the layer with weights and biases drawn at random, biases of 0 left as they are."""
    rng = np.random.default_rng(17)
    drawn: dict[str, Any] = {
        name: rng.standard_normal(array.shape) * (weights.d_model**-0.5 if name.startswith("W") else 1.0)
        for name, array in vars(weights).items()
        if isinstance(array, np.ndarray) and (name.startswith("W") or array.any())
    }
    other = QKVWeights(**drawn, n_heads=weights.n_heads, n_kv_heads=weights.n_kv_heads)
    inputs = rows_for(replace(contract, weights=other))
    if calls:
        inputs = [inputs[0]] * len(calls)
    return evidence_of(contract, other, inputs, [], 0.0, lambda at: calls[at] if calls else ()).simulate


def faults_of(contract: Attention | Step, weights: QKVWeights) -> list[Fault]:
    """List what may be wrong with a layer."""
    causal = isinstance(contract, Step) or contract.causal
    scale = scale_of(contract, weights.d_head)
    named = {"Q": weights.W_Q, "K": weights.W_K, "V": weights.W_V, "O": weights.W_O}
    square = "".join(
        role for role, weight in named.items() if weight is not None and weight.shape[0] == weight.shape[1]
    )
    biases = {"Q": weights.b_Q, "K": weights.b_K, "V": weights.b_V, "O": weights.b_O}
    biased = "".join(role for role, bias in biases.items() if bias is not None and np.any(bias))
    masks = _known.masks(causal) if causal else _known.undeclared()[:1]
    return [
        *_known.scales(weights.n_heads, weights.n_kv_heads, weights.d_head, weights.d_model, scale),
        *_known.axes(), *masks, *_known.matches()[:1], *_known.matches()[2:], *_known.sources(),
        *_known.turns(square), *_known.losses(biased),
        *(_known.views() if weights.n_heads > 1 else ()),
        *(_known.cuts() if weights.n_heads > 1 else ()),
        *(_known.tiles() if weights.n_kv_heads != weights.n_heads else ()),
        *(_known.turnings(contract.rotary.style) if contract.rotary else ()),
    ]  # fmt: skip


def diagnose(
    contract: Attention | Step,
    weights: QKVWeights,
    subject: Subject,
    evidence: Evidence,
    behaviour: list[Finding],
    x: np.ndarray,
    again: Callable[[np.ndarray], np.ndarray],
) -> Iterator[Finding]:
    """Explain outputs that are wrong."""
    faults = faults_of(contract, weights)

    def nudge(ways: Ways) -> tuple[np.ndarray, np.ndarray]:
        nudged = evidence_of(contract, weights, [x * NUDGE], [], evidence.limit).simulate(ways, 0)
        return again(x * NUDGE) - evidence.observed[0], nudged - evidence.simulate(ways, 0)

    if sets := explain(evidence, faults):
        yield from findings(subject, evidence, sets)
    elif fault := measured(evidence):
        yield from findings(subject, evidence, [(fault,)])
    elif behaviour:
        yield from behaviour
    elif (chosen := imprecise(evidence, faults, nudge)) is not None:
        if chosen:
            yield from findings(subject, evidence, [chosen])
        off = fmt(min(evidence.off(Ways()), LOOSE))
        said = f"the output agrees with a run in float64 only to {off} of its largest entry"
        yield Finding("dtype-loss", subject.name, said)
    else:
        off = fmt(evidence.off(Ways()))
        yield Finding(
            UNKNOWN,
            subject.name,
            f"the output is off by {off} of its largest entry, and no known bug explains it",
        )


def _behaviour(contract: Attention, subject: Subject, x: np.ndarray, base: np.ndarray) -> Iterator[Finding]:
    """Test what needs no weights."""
    step = float(np.std(x))
    for changed, kept in ((1, 0), (0, 1)):
        other = x.copy()
        other[changed] += step
        if (moved := distance(run(subject, other)[kept], base[kept])) > subject.limit:
            said = f"changing {TEXTS[changed]} moves the output of {TEXTS[kept]} by {fmt(moved)} of its largest entry"
            yield Finding("batch-leak", subject.name, said)
            return
    for at in range(1, x.shape[1]):
        later = x.copy()
        later[:, at] += step
        if (moved := distance(run(subject, later)[:, :at], base[:, :at])) > subject.limit:
            if contract.causal:
                said = f"changing token {at} moves earlier outputs by {fmt(moved)} of their largest entry"
                yield Finding("causality", subject.name, said)
                return
            break
    else:
        earlier = x.copy()
        earlier[:, 0] += step
        if not contract.causal and distance(run(subject, earlier)[:, 1:], base[:, 1:]) > subject.limit:
            yield Finding("equivariance", subject.name, _known.undeclared()[0].says)
            return
    if not contract.causal and contract.rotary is None:
        order = np.random.default_rng(3).permutation(x.shape[1])
        if (moved := distance(run(subject, x[:, order]), base[:, order])) > subject.limit:
            said = f"the tokens in another order give other outputs: off by {fmt(moved)} of the largest entry"
            yield Finding("equivariance", subject.name, said)
