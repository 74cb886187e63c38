# The one path that every examination of arrays takes: run it, compare, explain, recognise, watch its behaviour.

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import HALVES
from qkvdocs.clinic._case import Case
from qkvdocs.clinic._declared import numbers, raised
from qkvdocs.clinic._explain import (
    Evidence,
    coarse,
    explain,
    findings,
    hidden,
    imprecise,
    measured,
    softened,
)
from qkvdocs.clinic._far import far
from qkvdocs.clinic._layer import Spec
from qkvdocs.clinic._precision import exact
from qkvdocs.clinic._report import TOO_COARSE, UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import LOOSE, RANDOM, distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

LONGEST = 64
"""The longest text in which every bug is looked for."""
RUNS = 64
"""Runs of a function that answers differently each time."""


def judge(case: Case, report: Report) -> None:
    """Examine a function."""
    ran, outputs, failures = [], [], []
    for trial in case.trials:
        try:
            output = case.call(trial)
        except ContractError as error:
            if not any(trial is other for other in case.optional):
                failures.append(error)
            continue
        ran.append(trial)
        outputs.append(output)
    if failures and len(failures) == len(case.trials) - len(case.optional):
        raise failures[0]
    subject = case.subject
    by = distance(case.call(ran[0]), outputs[0]) if np.isfinite(outputs[0]).all() else 0.0
    if by > max(RANDOM, subject.limit):
        report.findings.append(_random(case, ran[0], by))
        subject.conduct(report)
        return
    if case.tried:
        report.tried.append(f"{subject.name}: {', '.join(case.tried)}")
    found: list[Finding] = []
    if case.spec is None or case.simulate is None:
        found += case.behave(ran, outputs, False)
    else:
        # What shows least comes first: it is explained by few, and narrows down what explains the rest.
        order = sorted(range(len(ran)), key=lambda i: not any(ran[i] is other for other in case.optional))
        given, made = [ran[i] for i in order], [outputs[i] for i in order]
        evidence = Evidence(made, given, case.simulate, case.spec, subject.kind.dtype)
        if evidence.off(case.spec) > 1:
            found += diagnose(case, evidence, lambda known: case.behave(ran, outputs, known))
        else:
            names, better = hidden(evidence, case.faults, *(case.twin() if case.twin else ()))
            if subject.kind.dtype in HALVES and not better and (share := softened(evidence)) < 0.9:
                said = f"softmax is kept in {subject.kind.dtype}: that fits {fmt(1 / share)} times as well as float32"
                names += ["dtype-loss"]
                found += [Finding("dtype-loss", subject.name, said)] if share < 0.5 else []
            if better:
                found += findings(subject, evidence, better)
            elif not found:
                found += coarse(subject, names)
    if failures and not found:
        found.append(Finding(UNKNOWN, subject.name, str(failures[0])))
    if {finding.bug for finding in found} <= {TOO_COARSE}:
        found = list(far(case, report)) or found
    report.findings += found
    subject.conduct(report)


def _random(case: Case, trial: Any, by: float) -> Finding:
    """Say of a function whose answers differ whether dropout is on: their mean is then the right one."""
    name = case.subject.name
    if case.spec is not None and case.simulate is not None:
        right = case.simulate(trial, case.spec, exact, exact)
        runs = np.stack([case.call(trial) for _ in range(RUNS)])
        off, one = distance(runs.mean(axis=0), right), np.median([distance(run, right) for run in runs])
        if off < one / 2:
            said = f"two runs on one input differ by {fmt(by)} of the largest entry; one is off by {fmt(float(one))}"
            return Finding("dropout", name, f"{said}, the mean of {RUNS} by {fmt(off)}")
    raise ContractError(f"{name} must give the same output for the same input, got another. Turn dropout off")


def diagnose(
    case: Case, evidence: Evidence, behave: Callable[[bool], Iterator[Finding]]
) -> Iterator[Finding]:
    """Explain outputs that are wrong."""
    subject = case.subject
    sets, told = explain(evidence, case.faults, 1)
    whole = len(evidence.trials)
    if told < whole:
        sets, told = explain(evidence, case.features, 1)
    if told < whole and (fault := next(measured(evidence), None)):
        sets, told = [(fault,)], whole
    if told < whole:
        sets, told = explain(evidence, case.faults)
    if told < whole and not case.partly:
        sets, told = explain(evidence, [*case.faults, *case.features], 2)
    if told == whole:
        yield from findings(subject, evidence, sets)
        return
    chosen = imprecise(evidence, case.faults, partial(case.nudge, evidence)) if case.nudge else None
    if chosen is not None:
        if chosen:
            yield from findings(subject, evidence, [chosen])
        off = fmt(min(evidence.share(), LOOSE), 4)
        said = f"the output agrees with a run in float64 only to {off} of its largest entry"
        yield Finding("dtype-loss", subject.name, said)
        return
    known = case.partly and told > len(case.optional) and bool(sets[0])
    behaviour = list(behave(known or told > len(case.optional)))
    if known:
        told_of = {finding.bug for finding in behaviour}
        yield from (finding for finding in findings(subject, evidence, sets) if finding.bug not in told_of)
    yield from behaviour
    if not behaviour and not known:
        off = fmt(evidence.share())
        way_out = ". Run it in float32 to have it named" if subject.kind.dtype in HALVES else ""
        said = f"the output is off by {off} of its largest entry, and no known bug explains it{way_out}"
        yield Finding(UNKNOWN, subject.name, said)


def spec_of(contract: Any, n_heads: int, d_head: int, **more: Any) -> Spec:
    """Read what a contract declares."""
    bias = contract.score_bias
    if bias is not None and not callable(bias):
        named = isinstance(bias, str)
        row = _known.slopes(n_heads) if named else numbers("score_bias", bias, [n_heads], "be right")
        bias = _known.alibi(row)
    sinks = None if contract.sinks is None else numbers("sinks", contract.sinks, [n_heads], "be right")
    scale = float(d_head**-0.5 if contract.scale is None else contract.scale)
    return Spec(
        scale=scale, softcap=contract.softcap, sinks=sinks, window=contract.window, chunk=contract.chunk,
        prefix=int(contract.prefix), bias=bias if bias is None else checked(bias, n_heads),
        relative=contract.relative, **more,
    )  # fmt: skip


def checked(bias: Callable[[int, int], Any], n_heads: int) -> Callable[[int, int], np.ndarray]:
    """Hold a bias to its form."""

    def run(n: int, m: int) -> np.ndarray:
        try:
            return np.broadcast_to(np.asarray(bias(n, m), np.float64), (n_heads, n, m))
        except Exception as error:  # somebody's code may raise anything
            shape = f"(n_heads, n, m) = {(n_heads, n, m)}"
            raise raised(f"score_bias must give shape {shape}", error) from error

    run.alibi = getattr(bias, "alibi", False)  # type: ignore[attr-defined]
    return run


def length(contract: Any, least: int) -> int:
    """How long a text must be for windows, chunks and prefixes to show."""
    sizes = (contract.window or 0) + 2, (contract.chunk or 0) + 3, contract.prefix + 2
    return max(least, *(size for size in sizes if size <= LONGEST))


def unseen(name: str, contract: Any, longest: int) -> list[str]:
    """Name the sizes that no text which is tried can show."""
    return [
        f"{name}: a {kind} of {size} tokens, since texts of at most {longest} are tried"
        for kind in ("window", "chunk", "prefix")
        if (size := getattr(contract, kind)) and size + 2 > longest
    ]


def without(spec: Spec) -> Spec:
    """Leave out what only long texts can show."""
    return replace(
        spec,
        window=None if spec.window and spec.window + 2 > LONGEST else spec.window,
        chunk=None if spec.chunk and spec.chunk + 3 > LONGEST else spec.chunk,
    )
