# The fewest faults that give the same numbers.

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from qkvdocs.clinic._arrays import HALVES
from qkvdocs.clinic._faults import Fault, Ways
from qkvdocs.clinic._report import TOO_COARSE, Finding
from qkvdocs.clinic._subject import LOOSE, Subject, distance
from qkvdocs.numbers import fmt

Simulate = Callable[[Ways, int], np.ndarray]
NUDGE = 1 + 3e-5
"""An input is multiplied by it: less than a half keeps, far more than float32 rounds."""
JUMP = 0.1
"""Above this share of the move, what is left is rounding."""


class Evidence(NamedTuple):
    """What a function returned, and how to compute what it should or might have."""

    observed: Sequence[np.ndarray]
    simulate: Simulate
    limit: float

    def off(self, ways: Ways, enough: float = float("inf")) -> float:
        """How far from the observed outputs some way of computing is; more than `enough` is not told exactly."""
        worst = 0.0
        for i, got in enumerate(self.observed):
            try:
                worst = max(worst, distance(got, self.simulate(ways, i)))
            except (ValueError, IndexError):  # this way does not fit these shapes
                return float("inf")
            if worst > enough:
                break
        return worst


def explain(evidence: Evidence, faults: Sequence[Fault], most: int = 2) -> list[tuple[Fault, ...]]:
    """Find all smallest sets of faults that give the observed outputs; none if no set does.

    A set must also explain three quarters of what is off: where little is off, anything small fits.

    Args:
        evidence: The outputs.
        faults: What may be wrong.
        most: Largest size of a set.

    Returns:
        Sets of one size.
    """
    enough = min(evidence.limit, evidence.off(Ways()) / 4)
    for size in range(1, most + 1):
        found = [
            chosen
            for chosen in combinations(faults, size)
            if len({fault.field for fault in chosen}) == size
            and any(evidence.off(ways, enough) <= enough for ways in _variants(chosen))
        ]
        if found:
            return found
    return []


def _variants(chosen: Sequence[Fault]) -> Iterator[Ways]:
    ways = Ways()
    for fault in chosen:
        ways = fault.apply(ways)
    yield ways
    if {"mask", "axis", "corner"} & {fault.field for fault in chosen}:  # where whole rows may be hidden
        for fill in ("finite", "added", "empty"):
            yield Fault("", "", "fill", fill).apply(ways)


def chosen_ways(evidence: Evidence, chosen: Sequence[Fault]) -> Ways:
    """Give the variant of a set that explains best."""
    return min(_variants(chosen), key=evidence.off)


def findings(subject: Subject, evidence: Evidence, sets: Sequence[tuple[Fault, ...]]) -> Iterator[Finding]:
    """Put an explanation into words: one finding a bug, with those that cannot be told apart from it."""
    first = sets[0]
    off = evidence.off(Ways())
    top = max(float(np.nanmax(np.abs(got))) for got in evidence.observed)
    how_far = f"the output is off by {fmt(off * top, 3)} where its largest entry is {fmt(top, 3)}"
    if not np.isfinite(off):
        how_far = "the output has NaNs in other places"
    said: dict[str, list[str]] = {}
    for fault in first:
        said.setdefault(fault.bug, []).append(fault.says)
    for bug, says in said.items():
        own = {fault for fault in first if fault.bug == bug}
        also = {
            fault.bug
            for other in sets[1:]
            for fault in other
            if {f.field for f in other if f.bug not in said} and set(other) - own <= set(first) | {fault}
        }
        also -= said.keys()
        alone = how_far if len(said) == 1 else f"with the other bugs, {how_far}"
        yield Finding(bug, subject.name, f"{' and '.join(says)}; {alone}", tuple(sorted(also)))


def measured(evidence: Evidence) -> Fault | None:
    """Find the factor on the scale that explains the outputs, if one does."""
    grid = np.geomspace(0.02, 50, 60)
    errors = [evidence.off(Ways(scale=float(factor))) for factor in grid]
    at = int(np.argmin(errors))
    low, high = np.log(grid[max(at - 1, 0)]), np.log(grid[min(at + 1, len(grid) - 1)])
    for _ in range(60):
        thirds = low + (high - low) / 3, high - (high - low) / 3
        better = evidence.off(Ways(scale=float(np.exp(thirds[0])))) < evidence.off(
            Ways(scale=float(np.exp(thirds[1])))
        )
        low, high = (low, thirds[1]) if better else (thirds[0], high)
    factor = float(np.exp((low + high) / 2))
    # One number is fitted, so it must explain more than a fault that was known beforehand.
    if not evidence.off(Ways(scale=factor)) <= min(evidence.limit, evidence.off(Ways()) / 10):
        return None
    return Fault("scale", f"the scores are {fmt(factor)} times what they should be", "scale", factor)


def hidden(evidence: Evidence, faults: Sequence[Fault], twin: Simulate | None = None) -> list[str]:
    """Name the bugs whose numbers fit outputs that fit the right ones.

    Args:
        evidence: Outputs that are right.
        faults: What may be wrong.
        twin: The same computation with other weights. What moves neither is no bug at all under the contract;
            what moves only the twin is hidden by the weights.

    Returns:
        Names, in the order of the faults.
    """
    names: dict[str, None] = {}
    for fault in faults:
        ways = fault.apply(Ways())
        if fault.bug in names or evidence.off(ways, evidence.limit) > evidence.limit:
            continue
        if any(
            distance(simulate(ways, at), simulate(Ways(), at)) > least
            for simulate, least in ((evidence.simulate, 1e-9), *(((twin, 1e-3),) if twin else ()))
            for at in range(len(evidence.observed))
        ):
            names[fault.bug] = None
    return list(names)


def coarse(subject: Subject, bugs: Sequence[str]) -> Iterator[Finding]:
    """Say that nothing can be said, and what to do."""
    if bugs:
        kind = subject.kind
        below = (
            f"in {kind.dtype} these would hide below {kind.limit:g} of the largest entry: {', '.join(bugs)}"
        )
        way_out = "run it in float32" if kind.dtype in HALVES else "draw weights and biases at random first"
        yield Finding(TOO_COARSE, subject.name, f"{below}. To tell, {way_out}")


def imprecise(
    evidence: Evidence, faults: Sequence[Fault], nudge: Callable[[Ways], tuple[np.ndarray, np.ndarray]]
) -> tuple[Fault, ...] | None:
    """Find what explains the outputs but for lost precision: nothing, or one fault.

    A function that loses precision answers a nudge of its input in jumps; a function that is another one, such
    as a cap on the scores, answers it smoothly.

    Args:
        evidence: The outputs.
        faults: What may be wrong.
        nudge: How the first output moved when its input was nudged, and how it should have.

    Returns:
        The faults, or None where precision is not what was lost.
    """
    for chosen in ((), *((fault,) for fault in faults)):
        for ways in _variants(chosen):
            if evidence.off(ways, LOOSE) <= LOOSE and distance(*nudge(ways)) > JUMP:
                return chosen
    return None
