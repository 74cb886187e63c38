# Whoever is examined, called with fresh arrays of its own kind.

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import HALVES, Kind, dtype_of, read, settle, to_numpy
from qkvdocs.clinic._declared import raised
from qkvdocs.clinic._report import Finding, Report
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

LOOSE = 5e-3
"""Below this share of the largest entry a difference may be lost precision and no other bug."""
RANDOM = 0.02
"""Above this share two runs on one input differ by more than rounding."""
TEXTS = ("the first text", "the second text")


class Subject:
    """A function under examination, and what its calls left behind."""

    def __init__(
        self, name: str, function: Callable[..., Any], like: Any, trial: Sequence[Any],
        pick: Callable[[Any], Any] = lambda result: result,
    ) -> None:  # fmt: skip
        self.name, self.function, self.pick = name, function, pick
        self.damaged: dict[str, float] = {}
        self.returned = ""
        self.kind: Kind = settle(function, like, lambda kind: to_numpy(pick(function(*given(kind, trial)))))

    @property
    def limit(self) -> float:
        """The share of the largest entry by which a right answer may be off."""
        return self.kind.limit

    def __call__(self, names: str, *arguments: Any) -> np.ndarray:
        """Call it; `names` are those of the arguments, for the record of damage."""
        handed = given(self.kind, arguments)
        before = [None if item is None else to_numpy(item).copy() for item in handed]
        try:
            result = self.pick(self.function(*handed))
        except ContractError:
            raise
        except Exception as error:  # somebody's code may raise anything
            form = ", ".join(map(_form, names.split(), arguments))
            raise raised(f"{self.name} must take {form}", error) from error
        output = read(self.name, result)
        for name, old, item in zip(names.split(), before, handed, strict=True):
            if old is not None and not np.array_equal(old, new := to_numpy(item)):
                self.damaged.setdefault(name, damage(old, new))
        self.returned = dtype_of(result)
        return output

    def conduct(self, report: Report) -> None:
        """Report damage to the input and a dtype that changed."""
        report.findings += in_place(self.name, self.damaged)
        wider = {"float32": ("float64",), "bfloat16": ("float64", "float32")}.get(
            self.returned, () if self.returned == "float64" else ("float64", "float32", "bfloat16", "float16")
        )
        known = any(finding.bug == "dtype-loss" for finding in report.findings)
        if not known and self.kind.dtype in wider and self.kind.dtype != self.returned:
            said = f"{self.kind.dtype} goes in and {self.returned} comes out"
            report.findings.append(Finding("dtype-loss", self.name, said))
        report.untested += below(self.name, self.kind)


def damage(old: np.ndarray, new: np.ndarray) -> float:
    """Say by how much an argument was changed, if it kept its shape."""
    same = old.shape == new.shape
    return float(np.abs(old.astype(float) - new.astype(float)).max()) if same else float("inf")


def in_place(name: str, damaged: Mapping[str, float]) -> Iterator[Finding]:
    """Say which arguments a call changes."""
    for argument, amount in damaged.items():
        said = f"the call changes its argument {argument}, by up to {fmt(amount)}"
        yield Finding("in-place", name, said)


def _form(name: str, argument: Any) -> str:
    return f"{name} of shape {argument.shape}" if isinstance(argument, np.ndarray) else f"{name} {argument}"


def below(name: str, kind: Kind) -> list[str]:
    """Say what half precision cannot show."""
    if kind.dtype not in HALVES:
        return []
    share = f"what moves the output by less than {kind.limit:g} of its largest entry, lost precision too"
    return [f"{name}: {share}, since {kind.dtype} keeps no more: run it in float32"]


def seen_by(kind: Kind, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Round arrays as whoever is examined gets them."""
    return tuple(
        to_numpy(kind.make(item)) if isinstance(item, np.ndarray) and item.dtype.kind == "f" else item
        for item in arguments
    )


def given(kind: Kind, arguments: Sequence[Any]) -> list[Any]:
    """Make fresh arrays; None stays None."""
    return [kind.make(item) if isinstance(item, np.ndarray) else item for item in arguments]


@np.errstate(all="ignore")
def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference as a share of the largest entry; NaN counts as equal to NaN."""
    if got.shape != wanted.shape:
        return float("inf")
    if wanted.size and not np.isnan(worst := np.abs(got - wanted).max()):
        return float(worst / (np.abs(wanted).max() or 1.0))
    if (np.isnan(got) != np.isnan(wanted)).any():
        return float("inf")
    if not wanted.size or np.isnan(wanted).all():
        return 0.0
    top = np.nanmax(np.abs(wanted))
    return float(np.nanmax(np.abs(got - wanted)) / (top or 1.0))
