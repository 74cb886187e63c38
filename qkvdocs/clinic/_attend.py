# attend(q, k, v, mask).

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import Kind
from qkvdocs.clinic._case import Case
from qkvdocs.clinic._contracts import Attend
from qkvdocs.clinic._explain import NUDGE, Evidence
from qkvdocs.clinic._far import LOUD, MANY
from qkvdocs.clinic._judge import judge, length, spec_of, unseen, without
from qkvdocs.clinic._layer import Arguments, Fault, Spec, attend
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import TEXTS, Subject, distance, seen_by
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

NAMES = "q k v mask"
MANY_KEYS = {131: 67, 4099: 5}
"""Queries over so many keys."""
TRIED = (
    "scale", "softmax axis", "what is compared", "mask polarity and alignment", "causality",
    "key head order", "the batch", "damage to the input", "dtype",
)  # fmt: skip


def examine_attend(contract: Attend, report: Report) -> None:
    """Examine one function."""
    trials = list(_trials(contract))
    subject = Subject("attend", contract.function, contract.like, trials[0])
    trials = [seen_by(subject.kind, trial) for trial in trials]
    whole = spec_of(contract, contract.n_heads, contract.d_head, causal=bool(contract.causal))
    spec = without(whole)
    lengths = [n for n in MANY_KEYS if contract.n_heads * MANY_KEYS[n] * n <= MANY]

    def call(trial: Arguments) -> np.ndarray:
        output = subject(NAMES, *trial)
        if output.shape != (wanted := (*trial[0].shape[:-1], trial[2].shape[-1])):
            raise ContractError(
                f"attend must return shape (batch, n_heads, n_queries, d_head) = {wanted}, got {output.shape}"
            )
        return output

    def nudge(evidence: Evidence, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
        at = evidence.widest
        q, k, v, mask = evidence.trials[at]
        nudged = (q * NUDGE, k * NUDGE, v * NUDGE, mask)
        return call(nudged) - evidence.observed[at], attend(nudged, spec) - evidence.simulate(spec, at)

    def longer(n: int) -> Arguments:
        return seen_by(subject.kind, (*_arrays(contract, np.random.default_rng(n), MANY_KEYS[n], n), None))

    def changed(trial: Arguments, n: int) -> Arguments:
        q, k, v, mask = trial
        k, v = k.copy(), v.copy()
        k[:, :, :n], v[:, :, :n] = -k[:, :, :n, ::-1], -v[:, :, :n, ::-1]
        return q, k, v, mask

    report.untested += unseen("attend", contract, lengths[-1])
    judge(
        Case(
            subject, trials, call,
            lambda ran, outputs, known: _behaviour(contract, spec, subject, ran, outputs),
            spec, attend, _faults(contract, spec), _known.features(spec, contract.n_heads, contract.d_head, 8),
            nudge=nudge, tried=[*TRIED, *declared(contract)],
            lengths=lengths, longer=longer, changed=changed, whole=whole, loud=_loud(subject.kind, trials[0]),
        ),
        report,
    )  # fmt: skip


def declared(contract: Any) -> list[str]:
    """Name what is declared beside the usual."""
    names = (
        "relative", "gate", "clip", "softcap", "sinks", "window", "chunk", "prefix", "score_bias", "norm", "padding",
        "packed", "memory",
    )  # fmt: skip
    given = {name.replace("_", " "): getattr(contract, name, None) for name in names}
    return [n for n, value in given.items() if value is not None and (not isinstance(value, int) or value)]


def _arrays(
    contract: Attend, rng: np.random.Generator, n_queries: int, n_keys: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (n_heads, n_kv_heads), d_head = contract.heads, contract.d_head
    few = (2, n_kv_heads, n_keys)
    q = 1.5 * rng.standard_normal((2, n_heads, n_queries, d_head))
    # Where scores are capped they must come near the cap; a scale of its own must not flatten them.
    spread = 2.25 * d_head**0.5 * abs(1 / d_head**0.5 if contract.scale is None else contract.scale)
    if contract.softcap is not None:
        q *= max(1.0, contract.softcap / 3 / spread)
    values = rng.standard_normal((*few, contract.d_value or d_head))
    return q, 1.5 * rng.standard_normal((*few, d_head)), values


def _loud(kind: Kind, trial: Arguments) -> list[Arguments]:
    """Make large scores of all kinds, and none but large negative ones."""
    q, k, v, mask = trial
    by = LOUD.get(kind.dtype, 500.0)
    one = np.broadcast_to(k[:, :, :1], k.shape)
    low = -by * np.repeat(k[:, :, :1], q.shape[1] // k.shape[1], axis=1)
    return [(by * q, k, v, mask), (np.broadcast_to(low, q.shape), one, v, mask)]


def _trials(contract: Attend) -> Iterator[Arguments]:
    rng, d_head, most = np.random.default_rng(7), contract.d_head, length(contract, 6)
    # Each row and each column shows something and hides something.
    mask = (np.arange(5)[:, None] + np.arange(most + 1)) % 3 > 0
    if contract.window is not None:  # whoever sees near keys alone must see some
        mask |= np.arange(most - 4, most + 1)[:, None] == np.arange(most + 1)
    sizes: list[tuple[int, int, np.ndarray | None]] = [
        (5, most + 1, None),
        (5, most + 1, mask),
        (6, 6, np.tri(6, dtype=bool)),
    ]
    if contract.causal:
        sizes = [(most, most, None), (3, most + 1, None)]
    for n_queries, n_keys, given in [*sizes, (d_head, d_head, None)]:
        yield *_arrays(contract, rng, n_queries, n_keys), given


def _faults(contract: Attend, spec: Spec) -> list[Fault]:
    n_heads, n_kv_heads = contract.heads
    return [
        *_known.scales(n_heads, n_kv_heads, contract.d_head, n_heads * contract.d_head, spec.scale,
                       contract.d_value or 0),
        *_known.axes(), *_known.masks(spec.causal), *_known.matches(),
        *(_known.tiles() if n_kv_heads != n_heads else ()),
        *(() if spec.causal else _known.undeclared()),
        *_known.caps(spec), *_known.sinks(spec), *_known.windows(spec, 8), *_known.biases(spec, n_heads),
    ]  # fmt: skip


def _behaviour(
    contract: Attend, spec: Spec, subject: Subject, ran: Sequence[Arguments], outputs: Sequence[np.ndarray]
) -> Iterator[Finding]:
    """Say what can be said where no known fault explains the numbers."""
    q, k, v, mask = ran[1] if len(ran) > 1 and not contract.causal else ran[0]
    base = subject(NAMES, q, k, v, mask)
    if not np.isfinite(base).all():
        yield Finding(UNKNOWN, subject.name, "the output holds NaN or inf for finite input")
        return
    for moving, kept in ((1, 0), (0, 1)):
        other = [array + (np.arange(2) == moving)[:, None, None, None] for array in (q, k, v)]
        if (moved := distance(subject(NAMES, *other, mask)[kept], base[kept])) > subject.limit:
            said = f"changing {TEXTS[moving]} moves {TEXTS[kept]} by {fmt(moved)} of its largest entry"
            yield Finding("batch-leak", subject.name, said)
            return
    doubled = subject(NAMES, q, k, 2 * v, mask)
    if (bent := distance(doubled, 2 * base)) > subject.limit:
        said = f"doubled values do not double the output: it is off by {fmt(bent)} of its largest entry"
        yield Finding(UNKNOWN, subject.name, said)
        return
    hidden = np.tri(q.shape[2], k.shape[2], k.shape[2] - q.shape[2], dtype=bool) if contract.causal else mask
    if hidden is not None and not spec.prefix:
        changed = k.copy(), v.copy()
        at = int(np.argmin(hidden.all(axis=0)))  # a key that somebody must not see
        for array in changed:
            array[:, :, at] += 3.0
        blind = ~hidden[:, at]
        moved = distance(subject(NAMES, q, *changed, mask)[:, :, blind], base[:, :, blind])
        if moved > subject.limit:
            moved_by = f"by {fmt(moved)} of the largest entry"
            said = f"changing key and value {at} moves queries that must not see them, {moved_by}"
            yield Finding("causality", subject.name, said)
            return
    ones = subject(NAMES, q, k, np.ones_like(v), mask)
    if spec.sinks is None and distance(ones, np.ones_like(ones)) > subject.limit:
        low, high = fmt(float(np.nanmin(ones)), 3), fmt(float(np.nanmax(ones)), 3)
        said = f"with values of 1 the output must be 1, and goes from {low} to {high}"
        yield Finding(UNKNOWN, subject.name, f"{said}: the weights of a row do not sum to 1")
