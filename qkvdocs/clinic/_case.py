# What is needed to judge a function.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qkvdocs.clinic._explain import Evidence, Simulate
from qkvdocs.clinic._layer import Fault, Spec
from qkvdocs.clinic._report import Finding
from qkvdocs.clinic._subject import Subject


@dataclass
class Case:
    """A function, what it is tried with, and what must come of it."""

    subject: Subject
    trials: Sequence[Any]
    call: Callable[[Any], np.ndarray]
    """Call the function on a trial, and hold it to its shape."""
    behave: Callable[[Sequence[Any], Sequence[np.ndarray], bool], Iterator[Finding]]
    """Watch what needs no reference: trials, outputs, and whether something else is known already."""
    spec: Spec | None = None
    simulate: Simulate | None = None
    faults: Sequence[Fault] = ()
    features: Sequence[Fault] = ()
    twin: Callable[[], tuple[Evidence, Sequence[Fault]]] | None = None
    nudge: Callable[[Evidence, Spec], tuple[np.ndarray, np.ndarray]] | None = None
    optional: Sequence[Any] = ()
    """Trials that the function may refuse."""
    partly: bool = False
    """Whether an explanation of the first trials stands, and behaviour tells of the later ones."""
    tried: list[str] = field(default_factory=list)
    lengths: Sequence[int] = ()
    """Of longer texts, which are looked at where short ones are right."""
    longer: Callable[[int], Any] = field(default=lambda n: n)
    """Make a trial of so many tokens."""
    changed: Callable[[Any, int], Any] = field(default=lambda trial, n: trial)
    """Give a trial other first tokens, so many."""
    whole: Spec | None = None
    """The spec with the sizes that short texts do not show."""
    right: Callable[[Any], np.ndarray] | None = None
    """What must come of a trial where there is no spec."""
    loud: Sequence[Any] = ()
    """Trials with large scores."""
