# step(x, cache): each step must give what a run without a cache gives.

from collections.abc import Iterator
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._attention import (
    check_rows,
    diagnose,
    evidence_of,
    faults_of,
    first,
    rows_for,
    twin_of,
)
from qkvdocs.clinic._contracts import Step
from qkvdocs.clinic._explain import chosen_ways, coarse, explain, findings, hidden
from qkvdocs.clinic._faults import Ways
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import RANDOM, Subject, distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

SCHEDULES: tuple[tuple[int, ...], ...] = ((1, 1, 1, 1, 1, 1), (3, 1, 1, 1), (2, 3, 1))


def examine_step(contract: Step, report: Report) -> None:
    """Examine one layer with a cache."""
    x = rows_for(contract)[0]
    weights = contract.weights
    like = (
        contract.function
        if contract.like is None and hasattr(contract.function, "parameters")
        else contract.like
    )
    subject = Subject(
        "step", lambda rows: contract.function(rows, _start(contract)), like, [x[:, :1]], _output
    )

    def whole(x: np.ndarray) -> np.ndarray:
        return _run(contract, subject, x, (x.shape[1],))

    once = whole(x)
    if distance(whole(x), once) > max(RANDOM, subject.limit):
        raise ContractError(
            "step must give the same output for the same input, got another. Turn dropout off"
        )
    runs = [_run(contract, subject, x, calls) for calls in SCHEDULES]
    report.tried.append(
        "step: the first call, then cached against uncached: " + ", ".join(map(str, SCHEDULES))
    )
    wanted = _uncached(contract, subject, x, report)
    if not all(np.isfinite(output).all() for output in (once, *runs)):
        report.findings.append(Finding(UNKNOWN, subject.name, "the output holds NaN or inf for finite rows"))
        subject.conduct(report)
        return
    base = Ways()
    if wanted is None and weights is not None:
        evidence = evidence_of(contract, weights, [x], [once], subject.limit)
        faults = faults_of(contract, weights)
        if evidence.off(base) > evidence.limit:
            report.findings += diagnose(contract, weights, subject, evidence, [], x, whole)
            sets = explain(evidence, faults)
            base = chosen_ways(evidence, sets[0]) if sets else base
        else:
            report.findings += coarse(subject, hidden(evidence, faults, twin_of(contract, weights)))
    elif wanted is not None and (off := distance(once, wanted)) > subject.limit:
        said = f"the first call, with an empty cache, is off by {fmt(off)} of the largest entry"
        report.findings.append(Finding("cache-differs", subject.name, said))
    report.findings += _later(contract, subject, x, runs, once if wanted is None else wanted, base)
    subject.conduct(report)


def _start(contract: Step) -> Any:
    try:
        return contract.start()
    except Exception as error:
        raise ContractError(
            f"start must give the cache of an empty text, it raised {type(error).__name__}: {error}"
        ) from error


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


def _later(
    contract: Step, subject: Subject, x: np.ndarray, runs: list[np.ndarray], reference: np.ndarray, base: Ways
) -> Iterator[Finding]:
    wrong = _first_wrong(runs, reference, subject.limit)
    weights = contract.weights
    if weights is not None:
        evidence = evidence_of(
            contract, weights, [x] * len(SCHEDULES), runs, subject.limit, lambda at: SCHEDULES[at],
            lambda ways: base.joined(ways),
        )  # fmt: skip
        faults = _known.restarts()
        if contract.rotary:
            faults += [
                fault for fault in _known.turnings(contract.rotary.style) if fault.field.startswith("shift")
            ]
        if evidence.off(Ways()) <= evidence.limit:
            if wrong is None and base == Ways():
                twin = twin_of(contract, weights, SCHEDULES)
                yield from coarse(subject, hidden(evidence, faults, twin))
            return  # else what was wrong with the first call explains the later ones
        if wrong and (sets := explain(evidence, faults)):
            yield from findings(subject, evidence, sets)
            return
    if wrong is not None:
        schedule, at, off = wrong
        said = f"calls of {schedule} rows differ from one call from step {at} on, by {fmt(off)} of the largest entry"
        yield Finding("cache-differs", subject.name, said)


def _first_wrong(
    runs: list[np.ndarray], reference: np.ndarray, limit: float
) -> tuple[tuple[int, ...], int, float] | None:
    top = float(np.abs(reference).max()) or 1.0
    for schedule, output in zip(SCHEDULES, runs, strict=True):
        at = 0
        for step, n in enumerate(schedule):
            off = float(np.abs(output - reference)[:, at : at + n].max()) / top
            if not off <= limit:
                return schedule, step, off
            at += n
    return None
