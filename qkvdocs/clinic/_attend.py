# attend(q, k, v, mask).

from collections.abc import Callable, Iterator

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._contracts import Attend
from qkvdocs.clinic._declared import scale_of
from qkvdocs.clinic._explain import NUDGE, Evidence, coarse, explain, findings, hidden, imprecise, measured
from qkvdocs.clinic._faults import Fault, Ways, mix
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import LOOSE, RANDOM, TEXTS, Subject, distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

NAMES = "q k v mask"
TRIED = (
    "scale", "softmax axis", "what is compared", "mask polarity and alignment", "causality",
    "key head order", "the batch", "damage to the input", "dtype",
)  # fmt: skip
Arguments = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


def examine_attend(contract: Attend, report: Report) -> None:
    """Examine one function."""
    trials = list(_trials(contract))
    subject = Subject("attend", contract.function, contract.like, trials[0], lambda result: result)
    scale = scale_of(contract, contract.d_head)
    ran, outputs, failures = [], [], []
    for trial in trials:
        try:
            output = subject(NAMES, *trial)
        except ContractError as error:
            failures.append(error)
            continue
        ran.append(trial)
        outputs.append(output)
    if not ran:
        raise failures[0]
    report.findings += [Finding(UNKNOWN, "attend", str(failure)) for failure in failures[:1]]
    if np.isfinite(outputs[0]).all() and distance(subject(NAMES, *ran[0]), outputs[0]) > max(
        RANDOM, subject.limit
    ):
        raise ContractError(
            "attend must give the same output for the same input, got another. Turn dropout off"
        )
    for trial, output in zip(ran, outputs, strict=True):
        if output.shape != (wanted := (*trial[0].shape[:-1], trial[2].shape[-1])):
            raise ContractError(
                f"attend must return shape (batch, n_heads, n_queries, d_head) = {wanted}, got {output.shape}"
            )

    def simulate(trial: Arguments, ways: Ways) -> np.ndarray:
        q, k, v, mask = trial
        if contract.causal:
            mask = np.tri(q.shape[2], k.shape[2], k.shape[2] - q.shape[2], dtype=bool)
        return mix(q, k, v, mask, scale, ways)

    evidence = Evidence(outputs, lambda ways, at: simulate(ran[at], ways), subject.limit)
    report.tried.append(f"attend: {', '.join(TRIED)}")
    report.findings += _diagnose(contract, subject, evidence, ran, scale, simulate)
    if evidence.off(Ways()) <= evidence.limit:
        report.findings += coarse(subject, hidden(evidence, _faults(contract, scale)))
    subject.conduct(report)


def _trials(contract: Attend) -> Iterator[Arguments]:
    rng = np.random.default_rng(7)
    n_heads, n_kv_heads = contract.heads
    d_head = contract.d_head

    def arrays(n_queries: int, n_keys: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        few = (2, n_kv_heads, n_keys, d_head)
        q = 1.5 * rng.standard_normal((2, n_heads, n_queries, d_head))
        return q, 1.5 * rng.standard_normal(few), rng.standard_normal(few)

    if contract.causal:
        for n_queries, n_keys in ((6, 6), (3, 7), (d_head, d_head)):
            yield *arrays(n_queries, n_keys), None
        return
    yield *arrays(5, 7), None
    # Each row and each column shows something and hides something.
    mask = (np.arange(5)[:, None] + np.arange(7)) % 3 > 0
    yield *arrays(5, 7), mask
    yield *arrays(6, 6), np.tri(6, dtype=bool)
    yield *arrays(d_head, d_head), None


def _faults(contract: Attend, scale: float) -> list[Fault]:
    n_heads, n_kv_heads = contract.heads
    return [
        *_known.scales(n_heads, n_kv_heads, contract.d_head, n_heads * contract.d_head, scale),
        *_known.axes(), *_known.masks(contract.causal), *_known.matches(),
        *(_known.tiles() if n_kv_heads != n_heads else ()),
        *(() if contract.causal else _known.undeclared()),
    ]  # fmt: skip


def _diagnose(
    contract: Attend,
    subject: Subject,
    evidence: Evidence,
    ran: list[Arguments],
    scale: float,
    simulate: Callable[[Arguments, Ways], np.ndarray],
) -> Iterator[Finding]:
    off = evidence.off(Ways())
    if off <= evidence.limit:
        return
    faults = _faults(contract, scale)

    def nudge(ways: Ways) -> tuple[np.ndarray, np.ndarray]:
        q, k, v, mask = ran[0]
        nudged = (q * NUDGE, k * NUDGE, v * NUDGE, mask)
        return subject(NAMES, *nudged) - evidence.observed[0], simulate(nudged, ways) - evidence.simulate(
            ways, 0
        )

    if sets := explain(evidence, faults):
        yield from findings(subject, evidence, sets)
    elif fault := measured(evidence):
        yield from findings(subject, evidence, [(fault,)])
    elif (chosen := imprecise(evidence, faults, nudge)) is not None:
        if chosen:
            yield from findings(subject, evidence, [chosen])
        said = (
            f"the output agrees with a run in float64 only to {fmt(min(off, LOOSE), 4)} of its largest entry"
        )
        yield Finding("dtype-loss", subject.name, said)
    else:
        yield from _behaviour(contract, subject, ran, off)


def _behaviour(contract: Attend, subject: Subject, ran: list[Arguments], off: float) -> Iterator[Finding]:
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
    if hidden is not None:
        changed = k.copy(), v.copy()
        at = int(np.argmin(hidden.all(axis=0)))  # a key that somebody must not see
        for array in changed:
            array[:, :, at] += 3.0
        blind = ~hidden[:, at]
        if (
            moved := distance(subject(NAMES, q, *changed, mask)[:, :, blind], base[:, :, blind])
        ) > subject.limit:
            moved_by = f"by {fmt(moved)} of the largest entry"
            said = f"changing key and value {at} moves queries that must not see them, {moved_by}"
            yield Finding("causality", subject.name, said)
            return
    ones = subject(NAMES, q, k, np.ones_like(v), mask)
    if distance(ones, np.ones_like(ones)) > subject.limit:
        low, high = fmt(float(np.nanmin(ones)), 3), fmt(float(np.nanmax(ones)), 3)
        said = f"with values of 1 the output must be 1, and goes from {low} to {high}"
        yield Finding(UNKNOWN, subject.name, f"{said}: the weights of a row do not sum to 1")
        return
    yield Finding(
        UNKNOWN,
        subject.name,
        f"the output is off by {fmt(off)} of its largest entry, and no known bug explains it",
    )
