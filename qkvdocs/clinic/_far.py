# What a few tokens cannot show: windows, blocks and caches that fill up, positions that run out, scores that overflow.

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import HALVES
from qkvdocs.clinic._case import Case
from qkvdocs.clinic._explain import Evidence, coarse, explain, findings, hidden, measured
from qkvdocs.clinic._report import TOO_COARSE, UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

LONG = (131, 521)
"""Tokens of longer texts: past the usual windows, blocks and caches, and multiples of nothing."""
MANY = 2**23
"""Scores in one call, over all heads, are no more than this."""
LOUD = {"float16": 50.0, "bfloat16": 50.0}
"""By what scores grow so that their exponentials overflow, in halves; by five hundred elsewhere."""
FAINT = 0.2
"""What half precision may do to a long text: BLOOM's distances and frequencies cast by `model.to` are rounded so."""
SLOW = 0.2
"""Seconds: whoever needs more for a text is given no longer one."""


def far(case: Case, report: Report) -> Iterator[Finding]:
    """Look at longer texts, and at large scores."""
    name = case.subject.name
    for n in case.lengths:
        started = time.monotonic()
        try:
            trial = case.longer(n)
            output = case.call(trial)
        except ContractError as error:
            report.untested.append(f"{name}: texts of {n} tokens, since it refuses them: {error}")
            break
        slow = time.monotonic() - started > SLOW
        if found := list(_judged(case, trial, output, n)):
            yield from found
            return
        report.tried.append(f"{name}: a text of {n} tokens")
        if slow and n != case.lengths[-1]:
            report.untested.append(f"{name}: texts of more than {n} tokens, since that one took too long")
            break
    for trial in case.loud:
        try:
            finite = np.isfinite(case.call(trial)).all()
        except ContractError:
            continue
        if not finite:
            said = "large scores give NaN or inf: take the largest score of each row away before exp"
            yield Finding("dtype-loss", name, said)
            return


def _judged(case: Case, trial: Any, output: np.ndarray, n: int) -> Iterator[Finding]:
    subject = case.subject
    if case.spec is None or case.simulate is None:
        wanted = output if case.right is None else case.right(trial)
        off = distance(output, wanted) if np.isfinite(output).all() else float("inf")
        if off > subject.limit:
            yield _strange(case, n, off)
        return
    spec = case.whole or case.spec
    evidence = Evidence([output], [trial], case.simulate, spec, subject.kind.dtype)
    half = subject.kind.dtype in HALVES
    if not half and replace(evidence, quick=True).off(spec) <= 1:
        return
    if evidence.off(spec) > 1 and not (half and evidence.share() <= subject.limit):
        faults = [*_faults(case, evidence, n), *(case.faults if n < 2**8 else ())]
        sets, told = explain(evidence, faults, 1)
        if not told and (fault := next(measured(evidence, "rotary"), None)):
            sets, told = [(fault,)], 1
        if told:
            yield from findings(subject, evidence, sets)
        else:
            yield _strange(case, n, evidence.share())
    elif half:
        yield from coarse(subject, hidden(evidence, _known.windows(spec, n))[0])


def _strange(case: Case, n: int, off: float) -> Finding:
    said = f"a text of {n} tokens is off by {fmt(off)} of its largest entry, shorter ones are right"
    if case.subject.kind.dtype in HALVES and off < FAINT:
        why = "rounded frequencies or distances do that far from the start, and other bugs too"
        return Finding(TOO_COARSE, case.subject.name, f"{said}: {why}. To tell, run it in float32")
    return Finding("cache-differs" if case.partly else UNKNOWN, case.subject.name, said)


def _faults(case: Case, evidence: Evidence, n: int) -> list[Any]:
    """List what may be wrong with a long text, or be undeclared: with the usual sizes, and the one that is measured."""
    usual, reach = {2**k + by for k in range(3, 13) for by in (-1, 0, 1)}, _reach(case, evidence, n)
    spec, kept = evidence.spec, usual | {reach - evidence.trials[0].calls[-1]} if case.partly else set()
    return [
        *_known.windows(spec, n), *_known.beyond(spec, sorted(kept)),
        *_known.reaches(spec, sorted(size for size in usual | {reach} if size < n)),
    ]  # fmt: skip


def _reach(case: Case, evidence: Evidence, n: int) -> int:
    """Measure how many of the last tokens move the last output."""
    (trial,), (output,) = evidence.trials, evidence.observed
    low, high = 0, n - 1  # how many first ones do not
    while low < high:
        middle = (low + high + 1) // 2
        moved = distance(case.call(case.changed(trial, middle))[..., -1:, :], output[..., -1:, :])
        low, high = (low, middle - 1) if moved > case.subject.limit else (middle, high)
    return n - low
