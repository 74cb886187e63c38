# step(x, cache): each step must give what a run without a cache gives.

from collections.abc import Iterator

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.clinic._attention import diagnose, evidence_of, faults_of, rows_for
from qkvdocs.clinic._contracts import Step
from qkvdocs.clinic._explain import chosen_ways, explain, findings
from qkvdocs.clinic._faults import Ways
from qkvdocs.clinic._report import Finding, Report
from qkvdocs.clinic._subject import Subject, distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

SCHEDULES = ((1, 1, 1, 1, 1, 1), (3, 1, 1, 1), (2, 3, 1))


def examine_step(contract: Step, report: Report) -> None:
    """Examine one layer with a cache."""
    x = rows_for(contract)[0]
    subject = Subject(
        "step", contract.function, contract.like, [x[:, :1], contract.start()], lambda result: result[0]
    )
    whole = np.concatenate(list(_outputs(contract, subject, x, (x.shape[1],))), axis=1)
    report.tried.append(
        "step: the first call, then cached against uncached: " + ", ".join(map(str, SCHEDULES))
    )
    wanted = _uncached(contract, subject, x, report)
    base = Ways()
    if wanted is None and contract.weights is not None:
        evidence = evidence_of(contract, contract.weights, [x], [whole], subject.limit)
        if evidence.off(base) > evidence.limit:
            report.findings += diagnose(contract, contract.weights, subject, evidence, [])
            sets = explain(evidence, faults_of(contract, contract.weights))
            base = chosen_ways(evidence, sets[0]) if sets else base
    elif wanted is not None and (off := distance(whole, wanted)) > subject.limit:
        said = f"the first call, with an empty cache, is off by {fmt(off)} of the largest entry"
        report.findings.append(Finding("cache-differs", subject.name, said))
    report.findings += _later(contract, subject, x, whole if wanted is None else wanted, base)
    subject.conduct(report)


def _outputs(contract: Step, subject: Subject, x: np.ndarray, calls: tuple[int, ...]) -> Iterator[np.ndarray]:
    cache, at = contract.start(), 0
    for n in calls:
        rows = subject.kind.make(x[:, at : at + n])
        before = to_numpy(rows).copy()
        try:
            output, cache = contract.function(rows, cache)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ContractError(
                f"step must take {n} rows after {at} and give (output, cache), it raised {said}"
            ) from error
        if not np.array_equal(before, to_numpy(rows)):
            subject.damaged["x"] = float(np.abs(before - to_numpy(rows)).max())
        yield to_numpy(output)
        at += n


def _uncached(contract: Step, subject: Subject, x: np.ndarray, report: Report) -> np.ndarray | None:
    if contract.uncached is not None:
        result = contract.uncached(subject.kind.make(x))
        return to_numpy(result[0] if isinstance(result, tuple) else result)
    if contract.weights is None:
        report.untested.append("step: the first call itself, since neither weights nor uncached are given")
    return None


def _later(
    contract: Step, subject: Subject, x: np.ndarray, reference: np.ndarray, base: Ways
) -> Iterator[Finding]:
    runs = [list(_outputs(contract, subject, x, calls)) for calls in SCHEDULES]
    wrong = _first_wrong(runs, reference, subject.limit)
    if wrong is None:
        return
    schedule, step, off = wrong
    if contract.weights is not None:
        evidence = evidence_of(
            contract, contract.weights, [x] * len(SCHEDULES), [np.concatenate(outputs, axis=1) for outputs in runs],
            subject.limit, lambda at: SCHEDULES[at], lambda ways: base.joined(ways),
        )  # fmt: skip
        if (
            evidence.off(Ways()) <= evidence.limit
        ):  # what was wrong with the first call explains the later ones
            return
        faults = _known.restarts()
        if contract.rotary:
            faults += [
                fault for fault in _known.turnings(contract.rotary.style) if fault.field.startswith("shift")
            ]
        if sets := explain(evidence, faults):
            yield from findings(subject, evidence, sets)
            return
    said = f"calls of {schedule} rows differ from one call from step {step} on, by {fmt(off)} of the largest entry"
    yield Finding("cache-differs", subject.name, said)


def _first_wrong(
    runs: list[list[np.ndarray]], reference: np.ndarray, limit: float
) -> tuple[tuple[int, ...], int, float] | None:
    top = float(np.abs(reference).max())
    for schedule, outputs in zip(SCHEDULES, runs, strict=True):
        at = 0
        for step, output in enumerate(outputs):
            n = output.shape[1]
            off = float(np.abs(output - reference[:, at : at + n]).max()) / top
            if not off <= limit:
                return schedule, step, off
            at += n
    return None
