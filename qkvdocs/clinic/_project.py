# project(x, weights): where each number of Q, K and V comes from.

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from qkvdocs.clinic._arrays import Kind, settle, to_numpy
from qkvdocs.clinic._contracts import Project, Rotary
from qkvdocs.clinic._faults import rotated
from qkvdocs.clinic._report import UNKNOWN, Finding, Report
from qkvdocs.clinic._subject import distance
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

WORDS = {"Q": "queries", "K": "keys", "V": "values"}
TRIED = (
    "fused order, head split, shared, swapped and transposed weights, biases, one small layer, "
    "rotary style and offset"
)


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
    few = contract.n_kv_heads or contract.n_heads
    heads = {"Q": contract.n_heads, "K": few, "V": few}
    d_model, d_head = contract.d_model, contract.d_head
    W = {role: rng.standard_normal((d_model, n * d_head)) for role, n in heads.items()}
    b = {role: rng.standard_normal(heads[role] * d_head) for role in WORDS if role.lower() in contract.bias}
    made = Layer(W, b, heads, d_head)
    x = rng.standard_normal((2, 5, d_model))

    def call(kind: Kind) -> list[np.ndarray]:
        return [to_numpy(part) for part in contract.function(kind.make(x), stored(contract, made, kind))]

    kind = settle(contract.function, contract.like, call)
    try:
        got = dict(zip("QKV", call(kind), strict=True))
    except Exception as error:
        raise ContractError(
            f"project must give (Q, K, V), it raised {type(error).__name__}: {error}"
        ) from error
    limit = max(1e-5, 200 * kind.eps)
    report.tried.append(f"project: {TRIED}")
    wanted = {role: _wanted(x, made, role, contract.rotary) for role in WORDS}
    for role, rows in got.items():
        if rows.shape != wanted[role].shape:
            raise ContractError(
                f"{role} must have shape (batch, heads, seq, d_head) = {wanted[role].shape}, got {rows.shape}"
            )
    if all(distance(got[role], wanted[role]) <= limit for role in WORDS):
        return
    report.findings += _diagnose(contract, got, wanted, made, x, limit)


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

    def fuse(parts: dict[str, np.ndarray]) -> np.ndarray:
        cut = {role: part.reshape(*part.shape[:-1], contract.blocks, -1) for role, part in parts.items()}
        joined = np.concatenate([cut[role] for role in contract.fused.upper()], axis=-1)
        return joined.reshape(*joined.shape[:-2], -1)

    return SimpleNamespace(
        W_QKV=turn(fuse(made.W)), b_QKV=kind.make(fuse({**zeros, **made.b})) if made.b else None,
        n_heads=contract.n_heads, n_kv_heads=made.heads["K"], d_head=made.d_head,
    )  # fmt: skip


def _wanted(x: np.ndarray, made: Layer, role: str, rotary: Rotary | None) -> np.ndarray:
    rows = x @ made.W[role] + made.b.get(role, 0.0)
    rows = rows.reshape(*x.shape[:2], made.heads[role], made.d_head).swapaxes(1, 2)
    return rotated(rows, np.arange(x.shape[1]), rotary) if rotary and role != "V" else rows


def _diagnose(
    contract: Project,
    got: dict[str, np.ndarray],
    wanted: dict[str, np.ndarray],
    made: Layer,
    x: np.ndarray,
    limit: float,
) -> Iterator[Finding]:
    table = Table(x, made)
    proofs: dict[str, str] = {}
    made_from: dict[str, set[str]] = {}
    for role, rows in got.items():
        off = distance(rows, wanted[role])
        if contract.rotary and role != "V" and off > limit:
            style, shift, turned_back = _unrotated(rows, contract.rotary, table, limit)
            away = f"off by {fmt(off)} of the largest entry"
            if style != contract.rotary.style:
                said = f"{WORDS[role]} are rotated by {style or 'nothing'}, not by {contract.rotary.style}: {away}"
                proofs.setdefault("rotary-style" if style else "rotary-offset", said)
            elif shift:
                proofs.setdefault(
                    "rotary-offset", f"{WORDS[role]} are rotated {shift:+d} position off: {away}"
                )
            rows = turned_back
        elif contract.rotary and role != "V":
            made_from[role] = {role}
            continue
        found = table.look_up(rows, limit)
        made_from[role] = {source.role for source in found.values() if source.way != "small"} or {role}
        for at, source in found.items():
            for bug in _wrong(contract, at, role, source):
                proofs.setdefault(bug, _proof(role, at, source, off))
        if len(found) < 0.9 * rows.size and off > limit:
            strange = f"{rows.size - len(found)} of {rows.size} numbers belong to no column"
            proofs.setdefault(
                UNKNOWN, f"{WORDS[role]} are off by {fmt(off)} of their largest entry: {strange}"
            )
    if len(proofs) > 1:
        proofs.pop(UNKNOWN, None)
    also: tuple[str, ...] = ()
    if "roles" in proofs:
        proof = proofs.pop("roles")
        permuted = (
            all(len(roles) == 1 for roles in made_from.values()) and len(set.union(*made_from.values())) == 3
        )
        bug = "fused-order" if contract.fused else "swapped-projection" if permuted else "shared-projection"
        also = ("swapped-projection",) if contract.fused and permuted else ()
        proofs[bug] = proof
    for bug, proof in proofs.items():
        yield Finding(bug, "project", proof, also if bug == "fused-order" else ())


def _wrong(contract: Project, at: tuple[int, ...], role: str, source: Source) -> Iterator[str]:
    batch, head, token, entry = at
    if source.way == "small":
        yield "shared-linear"
        return
    if source.way == "transposed":
        yield "transposed-weight"
    if source.way in ("no bias", "other bias"):
        yield "key-bias"
    if source.batch != batch:
        yield "batch-leak"
    if source.token != token:
        yield "head-split"
    elif source.role != role:
        yield "roles"
    elif (source.head, source.entry) != (head, entry):
        yield "fused-order" if contract.fused else "head-split"


def _proof(role: str, at: tuple[int, ...], source: Source, off: float) -> str:
    _, head, token, entry = at
    how = {"right": "", "small": ", from a small corner of the weight", "transposed": " of the transposed weight",
           "no bias": ", without its bias", "other bias": ", with another role's bias"}[source.way]  # fmt: skip
    here = f"head {head}, entry {entry} of token {token} of the {WORDS[role]}"
    there = (
        f"head {source.head}, entry {source.entry} of token {source.token} of the {WORDS[source.role]}{how}"
    )
    return f"{here} holds {there}; off by {fmt(off)} of the largest entry"


class Table:
    """All numbers that a projection of these rows can hold, each with its source."""

    def __init__(self, x: np.ndarray, made: Layer) -> None:
        self.d_head = made.d_head
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
            for way, values in options:
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

    def near(self, rows: np.ndarray, limit: float) -> np.ndarray:
        """For each number the place of the nearest one in the table, or -1."""
        tolerance = min(limit, 1e-6) * float(np.abs(rows).max())
        right = np.clip(np.searchsorted(self.sorted, rows), 1, len(self.sorted) - 1)
        left = right - 1
        nearest = np.where(np.abs(self.sorted[left] - rows) <= np.abs(self.sorted[right] - rows), left, right)
        return np.where(np.abs(self.sorted[nearest] - rows) <= tolerance, self.order[nearest], -1)

    def look_up(self, rows: np.ndarray, limit: float) -> dict[tuple[int, ...], Source]:
        """Find the source of each number; those of no source, or of a rare one, are left out."""
        found = {
            at: self.source(int(place)) for at, place in np.ndenumerate(self.near(rows, limit)) if place >= 0
        }
        counts: dict[tuple[str, str], int] = {}
        for source in found.values():
            counts[source.way, source.role] = counts.get((source.way, source.role), 0) + 1
        common = {key for key, count in counts.items() if count >= 0.03 * rows.size}
        return {at: source for at, source in found.items() if (source.way, source.role) in common}


def _unrotated(rows: np.ndarray, rotary: Rotary, table: Table, limit: float) -> tuple[str, int, np.ndarray]:
    """Turn rows back in the way that makes them numbers of the table."""
    other = "pairs" if rotary.style == "halves" else "halves"
    positions = np.arange(rows.shape[2])
    best: tuple[int, str, int, np.ndarray] = (-1, "", 0, rows)
    for style, shift in ((rotary.style, 0), (other, 0), ("", 0), (rotary.style, 1), (rotary.style, -1)):
        back = rotated(rows, -(positions + shift), rotary, style) if style else rows
        matched = int((table.near(back, limit) >= 0).sum())
        if matched > best[0]:
            best = matched, style, shift, back
    return best[1:]
