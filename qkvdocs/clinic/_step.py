# step(x, cache): each step must give what a run without a cache gives.

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._attend import declared
from qkvdocs.clinic._attention import (
    check_rows,
    faults_of,
    features_of,
    first,
    grow,
    layer_spec,
    lengths_for,
    long_rows,
    nudge,
    other_start,
    rows_for,
    twin_of,
    whole_spec,
)
from qkvdocs.clinic._case import Case
from qkvdocs.clinic._contracts import Step
from qkvdocs.clinic._declared import raised
from qkvdocs.clinic._explain import Evidence, explain, findings
from qkvdocs.clinic._judge import judge, unseen
from qkvdocs.clinic._layer import Fault, Rows, Spec, layer
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import Subject, distance, seen_by
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt


def schedules(seq: int) -> list[tuple[int, ...]]:
    """Give the lengths of calls: row by row, a text and then rows, pieces."""
    return [(1,) * seq, (seq // 2, *(1,) * (seq - seq // 2)), (2, seq - 3, 1)]


def examine_step(contract: Step, report: Report) -> None:
    """Examine one layer with a cache."""
    x = rows_for(contract)[0].x
    like, function = contract.like, contract.function
    if like is None and hasattr(function, "parameters"):
        like = function
    subject = Subject("step", lambda rows: function(rows, _start(contract)), like, [x[:, :1]], _output)
    (x,) = seen_by(subject.kind, (x,))
    seq = x.shape[1]
    plans = schedules(seq)
    trials = [Rows(x, calls) for calls in ((seq,), *plans)]
    against = ", ".join(map(str, [*plans, *declared(contract)]))
    report.tried.append(f"step: the first call, then cached against uncached: {against}")
    lengths = lengths_for(contract)
    report.untested += unseen("step", contract, lengths[-1])
    wanted = _uncached(contract, subject, x, report)
    spec = None if contract.weights is None else layer_spec(contract, contract.weights)

    def call(rows: Rows) -> np.ndarray:
        output = _run(contract, subject, rows.x, rows.calls)
        return output if rows.at is None else output[:, rows.at]

    def behave(ran: Sequence[Rows], outputs: Sequence[np.ndarray], known: bool) -> Iterator[Finding]:
        return _behaviour(contract, subject, ran, outputs, wanted, spec, known)

    alone = Rows(x[:, :1], (1,))
    case = Case(
        subject, [*trials, alone], call, behave, partly=True, optional=[alone], lengths=lengths,
        longer=lambda n: long_rows(subject, x, n, (n - 6, 1, 1, 1, 3)), changed=other_start,
        loud=[Rows(x * grow(subject, x), (seq,))],
    )  # fmt: skip
    if contract.weights is None or spec is None or wanted is not None:
        case.right = lambda rows: _at_once(contract, subject, rows, report)
    else:
        case.spec, case.simulate, case.nudge = spec, layer, partial(nudge, call)
        case.whole = whole_spec(contract, contract.weights)
        case.faults = [*faults_of(contract, spec), *later_faults(contract, spec)]
        case.features = features_of(contract, spec)
        case.twin = lambda: _twin(contract, trials)
    judge(case, report)


def _at_once(contract: Step, subject: Subject, rows: Rows, report: Report) -> np.ndarray:
    """Run without a cache, or in one call where that is all there is."""
    wanted = _uncached(contract, subject, rows.x, report) if contract.uncached else None
    wanted = _run(contract, subject, rows.x, (rows.x.shape[1],)) if wanted is None else wanted
    return wanted[:, rows.at]


def _twin(contract: Step, trials: Sequence[Rows]) -> tuple[Evidence, Sequence[Fault]]:
    evidence, faults = twin_of(contract, trials)
    return evidence, [*faults, *later_faults(contract, evidence.spec)]


def later_faults(contract: Step, spec: Spec) -> list[Fault]:
    """List what may be wrong from the second call on."""
    faults = [*_known.restarts(), *_known.later(spec)]
    return faults if contract.rotary else [fault for fault in faults if fault.field != "restart"]


def _start(contract: Step) -> Any:
    try:
        return contract.start()
    except Exception as error:
        raise raised("start must give the cache of an empty text", error) from error


def _output(result: Any) -> Any:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ContractError(f"step must return (output, cache), got {type(result).__name__}")
    return result[0]


def _run(contract: Step, subject: Subject, x: np.ndarray, calls: tuple[int, ...]) -> np.ndarray:
    cache, at, outputs = _start(contract), 0, []

    def step(rows: Any) -> Any:
        nonlocal cache
        result = contract.function(rows, cache)
        _output(result)
        cache = result[1]
        return result

    subject.function = step
    for n in calls:
        rows = x[:, at : at + n]
        output = subject("x", rows)
        check_rows(subject.name, output, rows.shape, contract.weights)
        outputs.append(output)
        at += n
    return np.concatenate(outputs, axis=1)


def _uncached(contract: Step, subject: Subject, x: np.ndarray, report: Report) -> np.ndarray | None:
    if contract.uncached is not None:
        plain = Subject("uncached", contract.uncached, subject.kind, [x], first)
        wanted = plain("x", x)
        check_rows(plain.name, wanted, x.shape, contract.weights)
        if not np.isfinite(wanted).all():
            raise ContractError("uncached must return finite numbers, got NaN or inf")
        return wanted
    if contract.weights is None:
        report.untested.append("step: the first call itself, since neither weights nor uncached are given")
    return None


def _behaviour(
    contract: Step, subject: Subject, ran: Sequence[Rows], outputs: Sequence[np.ndarray],
    wanted: np.ndarray | None, spec: Spec | None, known: bool,
) -> Iterator[Finding]:  # fmt: skip
    """Compare calls of several lengths with one call, and that with a run without a cache."""
    if not all(np.isfinite(output).all() for output in outputs):
        yield Finding(UNKNOWN, subject.name, "the output holds NaN or inf for finite rows")
        return
    once = outputs[0]
    if wanted is not None and (off := distance(once, wanted)) > subject.limit:
        said = f"the first call, with an empty cache, is off by {fmt(off)} of the largest entry"
        yield Finding("cache-differs", subject.name, said)
        known = True
    if wanted is None and spec is not None and not known:
        return
    whole = [i for i, rows in enumerate(ran) if i and rows.x.shape == ran[0].x.shape]
    plans, runs = [ran[i].calls for i in whole], [outputs[i] for i in whole]
    wrong = _first_wrong(plans, runs, once if wanted is None else wanted, subject.limit)
    if wrong is None:
        return
    if spec is not None and wanted is not None:
        evidence = Evidence(runs, [ran[i] for i in whole], layer, spec, subject.kind.dtype)
        sets, told = explain(evidence, later_faults(contract, spec), 1)
        if told == len(evidence.trials) and sets[0]:
            yield from findings(subject, evidence, sets)
            return
    schedule, at, off = wrong
    said = f"calls of {schedule} rows differ from one call from step {at} on, by {fmt(off)}"
    yield Finding("cache-differs", subject.name, f"{said} of the largest entry")


def _first_wrong(
    plans: Sequence[tuple[int, ...]], runs: Sequence[np.ndarray], reference: np.ndarray, limit: float
) -> tuple[tuple[int, ...], int, float] | None:
    top = float(np.abs(reference).max()) or 1.0
    for schedule, output in zip(plans, runs, strict=True):
        at = 0
        for step, n in enumerate(schedule):
            off = float(np.abs(output - reference)[:, at : at + n].max()) / top
            if not off <= limit:
                return schedule, step, off
            at += n
    return None
