# Whoever is examined, called with fresh arrays of its own kind.

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import Kind, dtype_of, settle, to_numpy
from qkvdocs.clinic._report import Finding, Report
from qkvdocs.numbers import fmt

LOOSE = 5e-3
"""Below this share of the largest entry a difference may be lost precision and no other bug."""
RANDOM = 0.02
"""Above this share two runs on one input differ by more than rounding."""


class Subject:
    """A function under examination, and what its calls left behind."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        like: Any,
        trial: Sequence[Any],
        pick: Callable[[Any], Any],
    ) -> None:
        self.name, self.function, self.pick = name, function, pick
        self.damaged: dict[str, float] = {}
        self.returned = ""
        self.kind: Kind = settle(function, like, lambda kind: to_numpy(pick(function(*given(kind, trial)))))

    @property
    def limit(self) -> float:
        """The share of the largest entry by which a right answer may be off."""
        return max(1e-5, 200 * self.kind.eps)

    def __call__(self, names: str, *arguments: Any) -> np.ndarray:
        """Call it; `names` are those of the arguments, for the record of damage."""
        handed = given(self.kind, arguments)
        before = [None if item is None else to_numpy(item).copy() for item in handed]
        result = self.pick(self.function(*handed))
        for name, old, item in zip(names.split(), before, handed, strict=True):
            if old is not None and not np.array_equal(old, new := to_numpy(item)):
                self.damaged[name] = float(np.abs(old.astype(float) - new.astype(float)).max())
        self.returned = dtype_of(result)
        return to_numpy(result)

    def conduct(self, report: Report) -> None:
        """Report damage to the input and a dtype that changed."""
        for name, amount in self.damaged.items():
            report.findings.append(Finding(
                "in-place", self.name, f"the call changes its argument {name}, by up to {fmt(amount)}"
            ))  # fmt: skip
        order = ("float64", "float32", "bfloat16", "float16")
        known = any(finding.bug == "dtype-loss" for finding in report.findings)
        if not known and self.returned in order and self.kind.dtype in order[: order.index(self.returned)]:
            said = f"{self.kind.dtype} goes in and {self.returned} comes out"
            report.findings.append(Finding("dtype-loss", self.name, said))


def given(kind: Kind, arguments: Sequence[Any]) -> list[Any]:
    """Make fresh arrays; None stays None."""
    return [kind.make(item) if isinstance(item, np.ndarray) else item for item in arguments]


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference as a share of the largest entry; NaN counts as equal to NaN."""
    if got.shape != wanted.shape or (np.isnan(got) != np.isnan(wanted)).any():
        return float("inf")
    if not wanted.size or np.isnan(wanted).all():
        return 0.0
    top = np.nanmax(np.abs(wanted))
    return float(np.nanmax(np.abs(got - wanted)) / (top or 1.0))
