# project(x, weights): where each number of Q, K and V comes from.

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Literal, NamedTuple

import numpy as np

from qkvdocs.clinic import _known
from qkvdocs.clinic._arrays import HALVES, Kind, read, settle, to_numpy
from qkvdocs.clinic._contracts import Project, Rotary
from qkvdocs.clinic._declared import kv_heads, raised
from qkvdocs.clinic._explain import Evidence, coarse, explain, findings, hidden, measured
from qkvdocs.clinic._layer import Fault, Rows, Spec, fuse, prepared, turned
from qkvdocs.clinic._precision import Rounding
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import RANDOM, Subject, below, damage, distance, in_place, seen_by
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

WORDS = {"Q": "queries", "K": "keys", "V": "values"}
TRIED = (
    "fused order, head split, shared, swapped and transposed weights, biases, one small layer, "
    "rotary style and offset"
)

SHARE = 0.1
"""An accusation needs this share of a role's numbers, and three times what chance gives."""
MOST = 0.9
"""Above this share a role's numbers count as explained."""
ALL = 0.99
"""A rotation must explain this share: most of a head that is turned in part looks not turned at all."""


class Source(NamedTuple):
    """Where a number comes from: a text and token, and an output column of a role, read in some way."""

    way: str
    batch: int
    token: int
    role: str
    head: int
    entry: int


class Layer(NamedTuple):
    """Weights drawn for one examination."""

    W: dict[str, np.ndarray]
    b: dict[str, np.ndarray]
    heads: dict[str, int]
    d_head: int


def examine_project(contract: Project, report: Report) -> None:
    """Examine one function."""
    rng = np.random.default_rng(13)
    few = kv_heads(contract)
    heads = {"Q": contract.n_heads, "K": few, "V": few}
    d_model, d_head = contract.d_model, contract.d_head
    # Rows and biases of one size: a lost bias shows at any width.
    W = {role: rng.standard_normal((d_model, n * d_head)) / np.sqrt(d_model) for role, n in heads.items()}
    b = {role: rng.standard_normal(heads[role] * d_head) for role in WORDS if role.lower() in contract.bias}
    made = Layer(W, b, heads, d_head)
    x = rng.standard_normal((2, 5, d_model))
    damaged: dict[str, float] = {}

    def call(kind: Kind) -> list[np.ndarray]:
        rows, weights = kind.make(x), stored(contract, made, kind)
        before = {"x": rows, **vars(weights)}
        before = {name: to_numpy(array).copy() for name, array in before.items() if hasattr(array, "shape")}
        result = contract.function(rows, weights)
        for name, old in before.items():
            new = to_numpy(rows if name == "x" else getattr(weights, name))
            if not np.array_equal(old, new):
                damaged[name] = damage(old, new)
        if not hasattr(result, "__iter__"):
            raise ContractError(f"project must return (Q, K, V), got {type(result).__name__}")
        if len(parts := list(result)) != 3:
            raise ContractError(f"project must return (Q, K, V), got {len(parts)} of them")
        return [read(role, part) for role, part in zip(WORDS, parts, strict=True)]

    kind = settle(contract.function, contract.like, call)
    (x,) = seen_by(kind, (x,))
    W = {role: seen_by(kind, (weight,))[0] for role, weight in W.items()}
    b = {role: seen_by(kind, (bias,))[0] for role, bias in b.items()}
    made = Layer(W, b, heads, d_head)
    damaged.clear()
    try:
        got = dict(zip("QKV", call(kind), strict=True))
    except ContractError:
        raise
    except Exception as error:
        raise raised(f"project must return (Q, K, V) for x of shape {x.shape}", error) from error
    for role, again in zip("QKV", call(kind), strict=True):
        if distance(again, got[role]) > max(RANDOM, kind.limit):
            same = f"project must give the same {role} for the same input"
            raise ContractError(f"{same}, got another. Turn dropout off")
    report.tried.append(f"project: {TRIED}")
    report.untested += below("project", kind)
    report.findings += in_place("project", damaged)
    spec = Spec(1.0, rotary=contract.rotary, norm=contract.norm, weights=QKVWeights(
        **{f"W_{role}": weight for role, weight in W.items()}, **{f"b_{role}": bias for role, bias in b.items()},
        n_heads=contract.n_heads, n_kv_heads=few,
    ))  # fmt: skip
    rows = Rows(x)
    wanted = dict(zip("QKV", prepared(rows, spec), strict=True))
    for role, part in got.items():
        if part.shape != wanted[role].shape:
            raise ContractError(
                f"{role} must have shape (batch, heads, seq, d_head) = {wanted[role].shape}, got {part.shape}"
            )
    if strange := [role for role, part in got.items() if not np.isfinite(part).all()]:
        report.findings.append(Finding(UNKNOWN, "project", f"{strange[0]} holds NaN or inf for finite rows"))
        return
    # Role by role, so that each is explained alone.
    evidence = Evidence(
        [got[role] for role in "VKQ"], [(rows, role) for role in "VKQ"], _simulate, spec, kind.dtype
    )
    subject = Subject("project", contract.function, kind, ())
    faults = _faults(contract, spec)
    if evidence.off(spec) <= 1:
        names, better = hidden(evidence, faults) if kind.dtype in HALVES else ([], [])
        report.findings += findings(subject, evidence, better) if better else coarse(subject, names)
        return
    found = list(_diagnose(contract, got, wanted, Table(x, made, kind.dtype), kind))
    if {finding.bug for finding in found} == {UNKNOWN}:
        for some, most in ((faults, 1), (_features(spec), 1), ((), 1), (faults, 2)):
            sets, told = explain(evidence, some, most)
            if not some and (fault := next(measured(evidence, "rotary"), None)):
                sets, told = [(fault,)], len("VKQ")
            if told == len("VKQ"):
                report.findings += findings(subject, evidence, sets)
                return
    report.findings += found


def _simulate(trial: tuple[Rows, str], spec: Spec, rnd: Rounding, soft: Rounding) -> np.ndarray:
    rows, role = trial
    return prepared(rows, spec, rnd)["QKV".index(role)]


def _faults(contract: Project, spec: Spec) -> list[Fault]:
    """List what the numbers of a projection may come from."""
    W = spec.weights
    assert isinstance(W, QKVWeights)  # noqa: S101  # it was made here
    faults = [
        *_known.sources(), *_known.turns(W), *_known.losses(contract.bias.upper()), *_known.views(),
        *_known.cuts(W), *_known.norms(spec.norm), *_known.reshapes(W, contract.fused, contract.blocks),
        *(_known.turnings(contract.rotary, W.n_heads, W.n_kv_heads, W.d_head) if contract.rotary else ()),
    ]  # fmt: skip
    bugs = {"swapped-projection", "shared-projection"} if contract.fused else set[str]()
    return [
        Fault("fused-order", fault.says, fault.changes) if fault.bug in bugs else fault
        for fault in faults
        if not {"o", "O"} & set(str(fault.changes.get("viewed", "")))
    ]


def _features(spec: Spec) -> list[Fault]:
    assert spec.weights is not None  # noqa: S101
    some = _known.features(spec, spec.weights.n_heads, spec.weights.d_head, 0)
    return [fault for fault in some if fault.field in ("norm", "rotary")]


def stored(contract: Project, made: Layer, kind: Kind) -> SimpleNamespace:
    """Lay the weights out as the contract says that they are stored."""

    def turn(weight: np.ndarray) -> np.ndarray:
        return kind.make(weight.T if contract.transposed else weight)  # type: ignore[no-any-return]

    zeros = {role: np.zeros(made.heads[role] * made.d_head) for role in WORDS}
    if not contract.fused:
        weights = {f"W_{role}": turn(weight) for role, weight in made.W.items()}
        return SimpleNamespace(
            **weights, n_heads=contract.n_heads, n_kv_heads=made.heads["K"], d_head=made.d_head,
            **{f"b_{role}": kind.make(made.b[role]) if role in made.b else None for role in WORDS},
        )  # fmt: skip

    def fused(parts: dict[str, np.ndarray]) -> np.ndarray:
        return fuse([parts[role] for role in contract.fused.upper()], contract.blocks)

    return SimpleNamespace(
        W_QKV=turn(fused(made.W)), b_QKV=kind.make(fused({**zeros, **made.b})) if made.b else None,
        n_heads=contract.n_heads, n_kv_heads=made.heads["K"], d_head=made.d_head,
    )  # fmt: skip


def _diagnose(
    contract: Project,
    got: dict[str, np.ndarray],
    wanted: dict[str, np.ndarray],
    table: "Table",
    kind: Kind,
) -> Iterator[Finding]:
    proofs: dict[str, str] = {}
    made_from: dict[str, set[str]] = {}
    for role, rows in got.items():
        made_from[role] = {role}
        if (off := distance(rows, wanted[role])) <= kind.limit:
            continue
        known = len(proofs)
        if contract.rotary and role != "V":
            style, shift, rows, share = _unrotated(rows, contract.rotary, table)
            away = f"off by {fmt(off)} of the largest entry"
            if share < ALL:
                pass
            elif style != contract.rotary.style:
                said = f"{WORDS[role]} are rotated by {style or 'nothing'}, not by {contract.rotary.style}: {away}"
                proofs.setdefault("rotary-style" if style else "rotary-offset", said)
            elif shift:
                said = f"{WORDS[role]} are rotated {shift:+d} position off: {away}"
                proofs.setdefault("rotary-offset", said)
        found = table.look_up(rows)
        enough = max(SHARE, 3 * table.chance(rows)) * rows.size
        counts = Counter(source.role for source in found.values() if source.way != "small")
        made_from[role] = {source for source, count in counts.items() if count >= enough} or {role}
        accused: dict[str, list[tuple[int, ...]]] = {}
        for at, source in found.items():
            for bug in _wrong(contract, at, role, source, rows.shape):
                accused.setdefault(bug, []).append(at)
        # A bare reshape moves numbers in one way, and must account for all that have moved.
        moved = sum(_moved(at, source) for at, source in found.items())
        if "head-split" in accused and len(accused["head-split"]) < MOST * moved:
            accused[UNKNOWN] = accused.pop("head-split")
        for bug, places in accused.items():
            if len(places) >= enough:
                proofs.setdefault(bug, _proof(role, places[0], found[places[0]], off))
        if len(found) < MOST * rows.size or len(proofs) == known == 0:
            strange = f"{rows.size - len(found)} of {rows.size} numbers belong to no column"
            way_out = ". Run it in float32 to have it named" if kind.dtype in HALVES else ""
            said = f"{WORDS[role]} are off by {fmt(off)} of their largest entry: {strange}{way_out}"
            proofs.setdefault(UNKNOWN, said)
    if len(proofs) > 1:
        proofs.pop(UNKNOWN, None)
    also: tuple[str, ...] = ()
    if "roles" in proofs:
        proof = proofs.pop("roles")
        each = all(len(roles) == 1 for roles in made_from.values())
        permuted = each and len(set.union(*made_from.values())) == 3
        bug = "fused-order" if contract.fused else "swapped-projection" if permuted else "shared-projection"
        also = ("swapped-projection",) if contract.fused and permuted else ()
        proofs[bug] = proof
    for bug, proof in proofs.items():
        yield Finding(bug, "project", proof, also if bug == "fused-order" else ())


def _moved(at: tuple[int, ...], source: Source) -> bool:
    return at[1:] != (source.head, source.token, source.entry)


def _wrong(
    contract: Project, at: tuple[int, ...], role: str, source: Source, shape: tuple[int, ...]
) -> Iterator[str]:
    """Name what would bring a number here; `shape` is that of the role."""
    batch, head, token, entry = at
    _, n_heads, seq, d_head = shape
    if source.way == "small":
        yield "shared-linear"
        return
    if source.way == "transposed":
        yield "transposed-weight"
    if source.way in ("no bias", "other bias"):
        yield "key-bias"
    if source.batch != batch:
        yield "batch-leak"
    here, there = (token, head, entry), (source.token, source.head, source.entry)
    if source.role == role and there == here:
        return
    at_token, column = divmod((head * seq + token) * d_head + entry, n_heads * d_head)
    viewed = (at_token, *divmod(column, d_head))
    fast = (token, *divmod(entry * n_heads + head, d_head))
    if there == viewed or (source.role == role and there == fast and not contract.fused):
        yield "head-split" if there != here else "roles"
    elif source.token != token:
        yield UNKNOWN
    elif source.role != role:
        yield "roles"
    else:
        yield "fused-order" if contract.fused else UNKNOWN


def _proof(role: str, at: tuple[int, ...], source: Source, off: float) -> str:
    _, head, token, entry = at
    how = {"right": "", "small": ", from a small corner of the weight", "transposed": " of the transposed weight",
           "no bias": ", without its bias", "other bias": ", with another role's bias"}[source.way]  # fmt: skip
    here = f"head {head}, entry {entry} of token {token} of the {WORDS[role]}"
    there = f"head {source.head}, entry {source.entry} of token {source.token} of the {WORDS[source.role]}"
    return f"{here} holds {there}{how}; off by {fmt(off)} of the largest entry"


class Table:
    """All numbers that a projection of these rows can hold, each with its source."""

    def __init__(self, x: np.ndarray, made: Layer, dtype: str) -> None:
        self.d_head = made.d_head
        self.tolerance = 1e-9 if dtype == "float64" else 1e-6
        self.ways: list[tuple[str, str]] = []
        parts = []
        for role, weight in made.W.items():
            plain = x @ weight
            own = made.b.get(role)
            options = [("right", plain if own is None else plain + own)]
            if own is not None:
                options.append(("no bias", plain))
            options += [
                ("other bias", plain + bias)
                for name, bias in made.b.items()
                if name != role and bias.shape == plain.shape[-1:]
            ]
            if weight.shape[0] == weight.shape[1]:
                options += [
                    ("transposed", x @ weight.T + bias)
                    for bias in (np.zeros(()), *made.b.values())
                    if bias.shape in ((), plain.shape[-1:])
                ]
            slices = [
                x[..., h * self.d_head : (h + 1) * self.d_head] @ weight[: self.d_head, : self.d_head]
                for h in range(made.heads[role])
            ]
            options.append(("small", np.concatenate(slices, -1)))
            for i, (way, values) in enumerate(options):
                if any(np.allclose(values, other, 1e-12, 1e-12) for _, other in options[:i]):
                    continue  # at small sizes two ways are one
                self.ways.append((way, role))
                parts.append(values)
        self.shapes = [part.shape for part in parts]
        self.starts = np.cumsum([0, *(part.size for part in parts)])
        flat = np.concatenate([part.ravel() for part in parts])
        self.order = np.argsort(flat, kind="stable")
        self.sorted = flat[self.order]

    def source(self, at: int) -> Source:
        """Tell what the number at a place of the table is."""
        part = int(np.searchsorted(self.starts, at, side="right")) - 1
        batch, token, column = (int(i) for i in np.unravel_index(at - self.starts[part], self.shapes[part]))
        way, role = self.ways[part]
        return Source(way, batch, token, role, column // self.d_head, column % self.d_head)

    def near(self, rows: np.ndarray) -> np.ndarray:
        """For each number the place of the nearest one in the table, or -1."""
        right = np.clip(np.searchsorted(self.sorted, rows), 1, len(self.sorted) - 1)
        left = right - 1
        nearest = np.where(np.abs(self.sorted[left] - rows) <= np.abs(self.sorted[right] - rows), left, right)
        tolerance = self.tolerance * float(np.abs(rows).max())
        return np.where(np.abs(self.sorted[nearest] - rows) <= tolerance, self.order[nearest], -1)

    def chance(self, rows: np.ndarray) -> float:
        """Give the share of numbers that meet the table by chance: of those moved by a few tolerances."""
        away = 8 * self.tolerance * float(np.abs(rows).max())
        return float(np.mean([self.near(rows + away) >= 0, self.near(rows - away) >= 0]))

    def look_up(self, rows: np.ndarray) -> dict[tuple[int, ...], Source]:
        """Find the source of each number; those of none are left out."""
        return {at: self.source(int(place)) for at, place in np.ndenumerate(self.near(rows)) if place >= 0}


def _unrotated(rows: np.ndarray, rotary: Rotary, table: Table) -> tuple[str, int, np.ndarray, float]:
    """Turn rows back in the way that makes most of them numbers of the table; give that share, less chance."""
    other: Literal["pairs", "halves"] = "pairs" if rotary.style == "halves" else "halves"
    positions = np.arange(rows.shape[2])
    best: tuple[str, int, np.ndarray, float] = ("", 0, rows, -1.0)
    ways: tuple[tuple[Literal["pairs", "halves", ""], int], ...] = (
        (rotary.style, 0), (other, 0), ("", 0), (rotary.style, 1), (rotary.style, -1),
    )  # fmt: skip
    for style, shift in ways:
        back = (
            turned(rows, -(positions + shift + 2 * rotary.offset), replace(rotary, style=style))
            if style
            else rows
        )
        chance = table.chance(back)
        matched = (float((table.near(back) >= 0).mean()) - chance) / (1 - chance) if chance < 1 else 0.0
        if matched > best[3]:
            best = style, shift, back, matched
    return best
