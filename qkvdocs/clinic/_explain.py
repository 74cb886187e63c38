# The fewest faults that give the same numbers, as closely as this precision can tell.

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import HALVES
from qkvdocs.clinic._layer import LARGEST, Fault, Spec
from qkvdocs.clinic._precision import Rounding, exact, rounding, shifted
from qkvdocs.clinic._report import TOO_COARSE, UNDECLARED, Finding
from qkvdocs.clinic._subject import LOOSE, Subject, distance
from qkvdocs.numbers import fmt

Simulate = Callable[[Any, Spec, Rounding, Rounding], np.ndarray]
NUDGE = 1 + 3e-5
"""An input is multiplied by it: less than a half keeps, far more than float32 rounds."""
JUMP = 0.1
"""Above this share of the move, what is left is rounding."""
ROOM = {"float16": 2.2, "bfloat16": 2.2}
"""How many times the measured rounding a right answer may be off by, in halves."""
SINGLE = 60.0
"""In single precision nothing else is that small, so sums may be taken in any order."""
SEPARATE = 10.0
"""By how many times its rounding two answers must differ, over all numbers, to be told apart."""
PATIENCE = 2.0
"""Seconds after which somebody at a terminal is told that the search goes on."""
FEW = 16
"""Sums of an output's columns that are looked at first."""
STEEP = 10.0
"""How many times steeper an error may fall close to the number that explains it than on the way there."""
BEAM = 10
"""How many beginnings of a longer explanation are followed."""


@dataclass(eq=False)
class Evidence:
    """What a function returned for some trials, and how to compute what it should or might have."""

    observed: Sequence[np.ndarray]
    trials: Sequence[Any]
    run: Simulate
    spec: Spec
    dtype: str
    quick: bool = False
    """Whether rounding is measured in one way only. That is less than in all, so outputs that fit it are right."""
    refuted: dict[Any, float] = field(init=False, default_factory=dict)
    """By faults and trial: how far a set that does not explain it was off."""
    made: dict[Any, tuple[Spec, np.ndarray]] = field(init=False, default_factory=dict)
    """What was computed, by trial and spec, which keeps its fields alive."""

    def simulate(self, spec: Spec, at: int) -> np.ndarray:
        """Compute one trial without rounding; a search comes to the same spec by several ways."""
        key = at, *map(id, vars(spec).values())
        if key not in self.made:
            made = self.run(self.trials[at], spec, exact, exact)
            if len(self.made) * made.nbytes > LARGEST:
                self.made.clear()
            self.made[key] = spec, made
        return self.made[key][1]

    def tried(self, spec: Spec, at: int) -> np.ndarray | None:
        """Do so where this way fits these shapes."""
        try:
            return self.simulate(spec, at)
        except (ValueError, IndexError):
            return None

    @cached_property
    def right(self) -> list[np.ndarray]:
        """What should have come, as far as float64 tells."""
        return [self.simulate(self.spec, at) for at in range(len(self.trials))]

    @property
    def widest(self) -> int:
        """The trial with most numbers."""
        return max(range(len(self.observed)), key=lambda at: (self.observed[at].size, at))

    @cached_property
    def noise(self) -> list[tuple[float, float]]:
        """Rounding in this dtype, measured: root mean square and largest, of the coarsest of several ways."""
        rnd = rounding(self.dtype)
        found = []
        for at, right in enumerate(self.right):
            ways = [(rnd, rnd)] if self.quick else [(rnd, rnd), (rnd, exact), (exact, exact)]
            if self.dtype in HALVES:  # near the edge of a softmax, how errors fall matters
                ways += [(other, other) for by in (0.013, 0.029, 0.047) for other in [shifted(rnd, by)]]
            off = [np.abs(rnd(self.run(self.trials[at], self.spec, *way)) - right) for way in ways]
            off = [np.where(np.isfinite(o), o, 0.0) for o in off]
            tiny = 1e-7 * float(np.nanmax(np.abs(right), initial=0.0)) or 1e-100
            found.append((
                max(tiny, *(float(np.sqrt((o * o).mean())) for o in off)), max(tiny, *(float(o.max()) for o in off))
            ))  # fmt: skip
        return found

    @property
    def room(self) -> float:
        """How many times that a right answer may be off by."""
        return ROOM.get(self.dtype, SINGLE)

    @cached_property
    def few(self) -> "Evidence":
        """The same, with a few sums of the output's columns in their place: it refutes as surely, and costs less."""
        width = self.observed[0].shape[-1]
        if self.dtype in HALVES or not hasattr(self.trials[0], "through") or width < 4 * FEW:
            return self
        sums = np.random.default_rng(23).standard_normal((width, FEW))
        if (weights := self.spec.weights) is None or weights.W_O is None:
            return self
        trials = [replace(trial, through=sums) for trial in self.trials]
        return Evidence([got @ sums for got in self.observed], trials, self.run, self.spec, self.dtype)

    def miss(self, spec: Spec, at: int) -> float:
        """How far one trial is off, in units of what rounding explains: above 1 it does not."""
        wanted = self.right[at] if spec is self.spec else self.tried(spec, at)
        return self.gap(self.observed[at], wanted, at)

    @np.errstate(all="ignore")
    def gap(self, got: np.ndarray, wanted: np.ndarray | None, at: int) -> float:
        """Compare two arrays of one trial, in the same unit."""
        if wanted is None or got.shape != wanted.shape:
            return float("inf")
        off = got - wanted
        if np.isnan(whole := float(np.vdot(off, off))):
            if (np.isnan(got) != np.isnan(wanted)).any():
                return float("inf")
            off = np.where(np.isnan(off), 0.0, off)
            whole = float(np.vdot(off, off))
        rms, most = self.noise[at]
        mean, worst = float((whole / max(off.size, 1)) ** 0.5), float(np.abs(off).max(initial=0.0))
        return max(mean / rms, worst / most) / self.room

    def off(self, spec: Spec, enough: float = float("inf")) -> float:
        """How far the worst trial is off; more than `enough` is not told exactly. The last show most."""
        worst = 0.0
        for at in reversed(range(len(self.trials))):
            if (worst := max(worst, self.miss(spec, at))) > enough:
                break
        return worst

    def share(self) -> float:
        """How far the worst trial is off, as a share of its largest entry."""
        return max(map(distance, self.observed, self.right))

    def enough(self, first: int | None = None) -> float:
        """What an explanation may miss by: a quarter of what is off, where little is off."""
        off = self.off(self.spec) if first is None else self.miss(self.spec, first)
        return 1.0 if off <= 1 else min(1.0, max(off / 4, 0.7 if self.dtype in HALVES else 0.2))

    def closer(self, spec: Spec) -> tuple[float, float]:
        """Give how far from the right one a spec is, in units of rounding, and how far the outputs are on the way."""
        apart = along = 0.0
        for at, (right, got) in enumerate(zip(self.right, self.observed, strict=True)):
            if (made := self.tried(spec, at)) is None or made.shape != right.shape:
                return float("inf"), 0.0
            way = made - right
            if not np.isfinite(way).all() or not np.isfinite(got - right).all():
                return float("inf"), float(self.miss(spec, at) <= 1)
            rms = self.noise[at][0]
            apart += float(np.vdot(way, way)) / rms**2
            along += float(np.vdot(way, got - right)) / rms**2
        return apart**0.5, along / apart if apart else 0.0


Set = tuple[Fault, ...]


def explain(evidence: Evidence, faults: Sequence[Fault], most: int = 3) -> tuple[list[Set], int]:
    """Find the smallest sets of faults, of at most so many, that give the observed outputs, trial by trial.

    They come with the number of trials that they explain: all, or fewer where nothing explains all.
    """
    found: list[Set] = [()]
    if not any(map(np.any, evidence.observed)):  # zeros fit whatever lets no query see a key
        return found, 0
    for at in range(len(evidence.trials)):
        enough = [evidence.enough(i) for i in range(at + 1)]

        def fits(chosen: Set, places: Sequence[int], enough: list[float] = enough) -> bool:
            key = frozenset(map(id, chosen)), places[0]
            if (known := evidence.refuted.get(key)) is not None and known > enough[places[0]]:
                return False
            least = float("inf")
            for spec in variants(evidence.spec, chosen):
                off = evidence.few.miss(spec, places[0])
                if off <= enough[places[0]] and evidence.few is not evidence:
                    off = evidence.miss(spec, places[0])
                if off <= enough[places[0]] and all(evidence.miss(spec, i) <= enough[i] for i in places[1:]):
                    return True
                least = min(least, off)
                if enough[places[0]] < off < float("inf") and spec.fill == "infinite":
                    break  # no row is hidden as a whole, so how it would be hidden makes no difference
            evidence.refuted[key] = least
            return False

        if kept := [chosen for chosen in found if fits(chosen, [at])]:
            found = kept
            continue
        extended: list[Set] = []
        started, told = time.monotonic(), not sys.stderr.isatty()
        usable: list[tuple[Set, list[Fault]]] = []
        for size in range(1, most + 1):
            if (
                size == 1
            ):  # nearly all are refuted at once: whether one is usable is asked of the few that fit
                extended = [
                    (*begun, fault)
                    for begun in found[:BEAM]
                    if len(begun) < most
                    for fault in faults
                    if _apart((*begun, fault)) and fits((*begun, fault), [at, *range(at)])
                    if _usable(evidence, begun, [fault], at)
                ]
            else:
                usable = usable or [(begun, _usable(evidence, begun, faults, at)) for begun in found[:BEAM]]
                extended = [
                    chosen
                    for begun, some in usable
                    if len(begun) + size <= most
                    for chosen in _longer(evidence, begun, some, size, at)
                    if fits(chosen, [at, *range(at)])
                ]
            if not told and time.monotonic() - started > PATIENCE:
                told = True
                sys.stderr.write(
                    f"{len(faults)} known faults, {size} at a time, explain nothing; looking on …\n"
                )
            if extended:
                break
        if not extended:
            return found, at
        least = min(map(len, extended))
        unique = {frozenset(map(id, chosen)): chosen for chosen in extended if len(chosen) == least}
        found = list(unique.values())
    return _closest(evidence, found), len(evidence.trials)


def _usable(evidence: Evidence, begun: Set, faults: Sequence[Fault], at: int) -> list[Fault]:
    """Leave out faults that break a trial already explained, and those that this one cannot show."""
    base = applied(evidence.spec, begun)
    plain = [evidence.simulate(base, i) for i in range(at + 1)]
    some = []
    for fault in faults:
        if not _apart((*begun, fault)):
            continue
        for spec in variants(base, (fault,)):
            if all(evidence.gap(plain[i], evidence.tried(spec, i), i) <= 1 for i in range(at)):
                made = evidence.tried(spec, at)
                if made is not None and not np.array_equal(made, plain[at], equal_nan=True):
                    some.append(fault)
                break
    return some


def _longer(evidence: Evidence, begun: Set, faults: Sequence[Fault], size: int, at: int) -> Iterator[Set]:
    """Add so many faults; three only to the pairs that come closest."""
    if size < 3:
        for more in combinations(faults, size):
            if _apart(chosen := (*begun, *more)):
                yield chosen
        return
    near: list[Set] = [begun]
    for _ in range(size - 1):
        longer = {frozenset(map(id, chosen)): chosen for chosen in _with_one_more(near, faults)}
        near = sorted(longer.values(), key=lambda some: evidence.few.miss(applied(evidence.spec, some), at))
        near = near[:BEAM]
    yield from _with_one_more(near, faults)


def _with_one_more(sets: Sequence[Set], faults: Sequence[Fault]) -> Iterator[Set]:
    return (chosen for some in sets for fault in faults if _apart(chosen := (*some, fault)))


def _apart(chosen: Set) -> bool:
    """Whether no two change the same."""
    fields = [field for fault in chosen for field in fault.changes]
    return len(set(fields)) == len(fields)


def _closest(evidence: Evidence, sets: list[Set]) -> list[Set]:
    """Keep what fits about as well as the best: half precision lets more fit than is true."""
    if len(sets) < 2 or evidence.dtype not in HALVES:
        return sets
    off = [evidence.off(chosen_spec(evidence, chosen)) for chosen in sets]
    return [chosen for chosen, miss in zip(sets, off, strict=True) if miss <= 1.25 * min(off)]


def applied(spec: Spec, chosen: Iterable[Fault]) -> Spec:
    """Give the spec with faults."""
    for fault in chosen:
        spec = fault.apply(spec)
    return spec


def variants(spec: Spec, chosen: Set) -> Iterator[Spec]:
    """Give a spec with faults; where whole rows may be hidden, in each way of hiding."""
    wrong = applied(spec, chosen)
    yield wrong
    if {"mask", "axis", "corner", "window", "keep"} & {field for fault in chosen for field in fault.changes}:
        for fill in ("finite", "added", "empty"):
            yield wrong.but(fill=fill)


def chosen_spec(evidence: Evidence, chosen: Set) -> Spec:
    """Give the variant of a set that explains best."""
    return min(variants(evidence.spec, chosen), key=evidence.off)


def findings(subject: Subject, evidence: Evidence, sets: Sequence[Set]) -> Iterator[Finding]:
    """Put an explanation into words: one finding a bug, with those that cannot be told apart from it."""
    first = sets[0]
    off = evidence.share()
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


def fitted(evidence: Evidence, bug: str, says: Callable[[float], str], field: str, make: Callable[[float], Any],
           low: float, high: float) -> Fault | None:  # fmt: skip
    """Find the one number that explains the outputs, if one does, better than a fault known beforehand must."""

    def off(log: float, enough: float = float("inf")) -> float:
        return evidence.few.off(evidence.spec.but(**{field: make(float(np.exp(log)))}), enough)

    grid = np.linspace(np.log(low), np.log(high), 60)
    at, least = -1, evidence.few.off(evidence.spec)
    for i, log in enumerate(grid):
        if (error := off(log, least)) < least:
            at, least = i, error
    if at < 0:
        return None
    left, right = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    steep = STEEP * max(off(left), off(right)) / (right - left)
    for _ in range(50):
        thirds = left + (right - left) / 3, right - (right - left) / 3
        error = off(thirds[0])
        other = off(thirds[1], error)
        if min(error, other) > 1 + steep * (right - left):
            return None  # nothing in between explains it
        left, right = (left, thirds[1]) if error < other else (thirds[0], right)
    number = float(np.exp((left + right) / 2))
    least = min(1.0, max(evidence.off(evidence.spec) / 10, 0.6 if evidence.dtype in HALVES else 0.05))
    fault = Fault(bug, says(number), {field: make(number)})
    return fault if evidence.off(fault.apply(evidence.spec)) <= least else None


def measured(evidence: Evidence, *only: str) -> Iterator[Fault]:
    """Measure what one number tells: the scale, a cap, a sink, the base of a rotation."""
    spec = evidence.spec

    def ask(what: str, declare: str, declared: Any) -> str:
        if declared is not None:
            return f"it has {what}"
        return f"this looks like {what}: declare {declare} if it is meant"

    def bug(name: str, declared: Any) -> str:
        return UNDECLARED if declared is None else name

    kinds: dict[str, tuple[str, Callable[[float], str], Callable[[float], Any], float, float]] = {
        "scale": (
            "scale", lambda x: f"the scores are {fmt(x)} times what they should be", lambda x: x * spec.scale, 0.02, 50,
        ),
        "softcap": (
            bug("softcap", spec.softcap), lambda x: ask(f"a softcap of {fmt(x)}", f"softcap={fmt(x)}", spec.softcap),
            float, 0.3, 600,
        ),
        "sinks": (
            bug("sink", spec.sinks),
            lambda x: ask(f"a sink of {fmt(np.log(x))} in each row", f"sinks={fmt(np.log(x))}", spec.sinks),
            lambda x: np.full(1, np.log(x)), 0.003, 400,
        ),
    }  # fmt: skip
    if (rotary := spec.rotary) is not None:
        kinds["rotary"] = (
            "rotary-style", lambda x: f"the base of the rotation is {fmt(x)}, not {rotary.base:g}",
            lambda x: replace(rotary, base=x), 20, 1e8,
        )  # fmt: skip
    if (W := spec.before) is not None:
        delta = {role: getattr(spec.weights, f"W_{role}") - getattr(W, f"W_{role}") for role in "QKV"}
        kinds["weights"] = (
            "adapter-merge", lambda x: f"the adapter counts {fmt(x)} times",
            lambda x: replace(W, **{f"W_{role}": getattr(W, f"W_{role}") + x * delta[role] for role in "QKV"}),
            0.02, 50,
        )  # fmt: skip
    for what, (name, says, make, low, high) in kinds.items():
        if (not only or what in only) and (fault := fitted(evidence, name, says, what, make, low, high)):
            yield fault
    if not only and spec.weights is None and (found := sinks_of(evidence)) is not None:
        said = ", ".join(fmt(sink, 3) for sink in found)
        told = ask(f"sinks of {said}", f"sinks=[{said}]", spec.sinks)
        yield Fault(bug("sink", spec.sinks), told, {"sinks": found})


def sinks_of(evidence: Evidence) -> np.ndarray | None:
    """Measure a sink for each head, whose output tells nothing of the others."""
    spec = evidence.spec
    heads = evidence.observed[0].shape[1]

    def off(sinks: np.ndarray) -> np.ndarray:
        made = spec.but(sinks=sinks)
        each = [got - evidence.simulate(made, at) for at, got in enumerate(evidence.observed)]
        whole: np.ndarray = np.sum([np.einsum("bhnd,bhnd->h", one, one) for one in each], axis=0)
        return whole

    grid = np.linspace(-6, 8, 57)
    errors, each = np.array([off(np.full(heads, sink)) for sink in grid]), np.arange(heads)
    chosen = np.argmin(errors, axis=0)
    best, least = grid[chosen], errors[chosen, each]
    step = grid[1] - grid[0]
    steep = STEEP * max(evidence.off(spec.but(sinks=best + by)) for by in (-step, step)) / step
    for _ in range(40):
        ways = np.array([best - step, best, best + step])
        errors = np.array([off(ways[0]), least, off(ways[2])])
        chosen = np.argmin(errors, axis=0)
        best, least = ways[chosen, each], errors[chosen, each]
        if evidence.off(spec.but(sinks=best), bound := 1 + steep * step) > bound:
            return None  # nothing close explains it
        step = step / 2
    return best if evidence.off(spec.but(sinks=best)) <= 1 else None


def hidden(
    evidence: Evidence, faults: Sequence[Fault], twin: Evidence | None = None, twins: Sequence[Fault] = ()
) -> tuple[list[str], list[Set]]:
    """Look for faults whose numbers fit outputs that fit the right ones, as far as rounding tells.

    The `twin` is the same computation with other weights, `twins` are its faults. What moves neither is no bug at all
    under the contract; what moves only the twin is hidden by the weights. Given are the names of bugs that cannot be
    told from what is right, and the faults that fit clearly better than what is right.
    """
    other = {fault.says: fault for fault in twins}
    names: dict[str, None] = {}
    better: list[Set] = []
    half = evidence.dtype in HALVES
    for fault in faults:
        if fault.bug == UNDECLARED:
            continue
        spec = fault.apply(evidence.spec)
        if half:
            apart, along = evidence.closer(spec)
            if apart >= SEPARATE and along > 0.6 and evidence.off(spec, 1.0) <= 1.0:
                better.append((fault,))
            hides = apart < SEPARATE or along > 0.4
        else:  # rounding is far smaller than any bug, so only one that fits too can hide
            hides = evidence.off(spec, 1.0) <= 1.0
            if hides:
                apart, along = evidence.closer(spec)
                if apart >= 3 * SEPARATE and along > 0.8:
                    better.append((fault,))
                hides = not (apart >= 3 * SEPARATE and along < 0.2)
        if not hides or fault.bug in names:
            continue
        moves = any(
            distance(evidence.simulate(spec, at), evidence.right[at]) > 1e-9
            for at in range(len(evidence.trials))
        )
        if moves or (twin and fault.says in other and _moved(twin, other[fault.says])):
            names[fault.bug] = None
    return list(names), _closest(evidence, better)


def softened(evidence: Evidence) -> float:
    """Compare the outputs with softmax kept in half precision, and in single: below 1 they are more like the former."""
    rnd = rounding(evidence.dtype)

    def off(stored: Rounding, soft: Rounding) -> float:
        runs = zip(evidence.observed, evidence.trials, evidence.noise, strict=True)
        each = [
            float(np.nanmean((got - rnd(evidence.run(trial, evidence.spec, stored, soft))) ** 2)) / rms**2
            for got, trial, (rms, _) in runs
        ]
        return max(float(np.sqrt(np.mean(each))), 1e-3)

    return min(off(rnd, rnd), off(exact, rnd)) / min(off(rnd, exact), off(exact, exact))


def _moved(twin: Evidence, fault: Fault) -> bool:
    spec = fault.apply(twin.spec)
    return any(distance(twin.simulate(spec, at), twin.right[at]) > 1e-3 for at in range(len(twin.trials)))


def coarse(subject: Subject, bugs: Sequence[str]) -> Iterator[Finding]:
    """Say that nothing can be said, and what to do."""
    if bugs:
        kind = subject.kind
        below = f"in {kind.dtype} these would hide below what rounding alone does: {', '.join(bugs)}"
        way_out = "run it in float32" if kind.dtype in HALVES else "draw weights and biases at random first"
        yield Finding(TOO_COARSE, subject.name, f"{below}. To tell, {way_out}")


def imprecise(
    evidence: Evidence, faults: Sequence[Fault], nudge: Callable[[Spec], tuple[np.ndarray, np.ndarray]]
) -> Set | None:
    """Find what explains the outputs but for lost precision: nothing, or one fault.

    A function that loses precision answers a nudge of its input in jumps; a function that is another one, such
    as a cap on the scores, answers it smoothly. `nudge` says how an output moved when its input was nudged, and how it
    should have. Where precision is not what was lost, None is given.
    """
    if evidence.dtype in HALVES:
        return None
    for chosen in ((), *((fault,) for fault in faults if fault.bug != UNDECLARED)):
        for spec in variants(evidence.spec, chosen):
            if _loose(evidence, spec) and distance(*nudge(spec)) > JUMP:
                return chosen
    return None


def _loose(evidence: Evidence, spec: Spec) -> bool:
    for at, got in enumerate(evidence.observed):
        if (made := evidence.tried(spec, at)) is None or distance(got, made) > LOOSE:
            return False
    return True
