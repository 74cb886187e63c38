# The independent definitions: plain loops over exact fractions, one number at a time.

import sys
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from jaxtyping import config, install_import_hook

# Ours only where pytest's own option cannot be given: mutmut runs pytest many times in one process.
if "qkvdocs.core" not in sys.modules:
    install_import_hook("qkvdocs.core", "beartype.beartype")


class Exact:
    """Attention as a pupil would do it on paper, without numpy's help and without rounding."""

    @staticmethod
    def fractions(matrix):
        """Rows of exact numbers."""
        return [[Fraction(entry) for entry in row] for row in matrix.tolist()]

    @classmethod
    def product(cls, left, right):
        """Row times column."""
        return np.array(
            [
                [
                    float(sum(a * row[j] for a, row in zip(entries, cls.fractions(right), strict=True)))
                    for j in range(right.shape[1])
                ]
                for entries in cls.fractions(left)
            ]
        ).reshape(left.shape[0], right.shape[1])

    @staticmethod
    def exp(x):
        """The series, until its terms are below 1e-30 of the sum; only for x <= 0, by squaring 64th parts."""
        part, term, total = Fraction(x) / 64, Fraction(1), Fraction(1)
        for n in range(1, 24):
            term *= part / n
            total += term
        rounded = Fraction(round(total * 10**60), 10**60)
        for _ in range(6):
            rounded = Fraction(round(rounded * rounded * 10**60), 10**60)
        return rounded

    @classmethod
    def softmax(cls, row, visible):
        """Weights of one row; zeros if nothing is visible."""
        seen = [Fraction(score) for score, see in zip(row, visible, strict=True) if see]
        raised = [
            cls.exp(Fraction(s) - max(seen)) if see else Fraction(0)
            for s, see in zip(row, visible, strict=True)
        ]
        total = sum(raised)
        return [entry / total if total else Fraction(0) for entry in raised]

    @classmethod
    def attend(cls, Q, K, V, mask, scale):
        """One head: context, pattern and scores, entry by entry."""
        scores = [
            [
                sum((Fraction(a) * Fraction(b) for a, b in zip(q, k, strict=True)), Fraction(0))
                * Fraction(scale)
                for k in K.tolist()
            ]
            for q in Q.tolist()
        ]
        pattern = [cls.softmax(row, see) for row, see in zip(scores, mask.tolist(), strict=True)]
        context = [
            [
                sum((w * Fraction(v[j]) for w, v in zip(row, V.tolist(), strict=True)), Fraction(0))
                for j in range(V.shape[1])
            ]
            for row in pattern
        ]
        return tuple(
            np.array(part, dtype=float).reshape(len(Q), width)
            for part, width in ((context, V.shape[1]), (pattern, len(K)), (scores, len(K)))
        )


@pytest.fixture(scope="session")
def exact() -> type[Exact]:
    return Exact


@pytest.fixture
def no_hook() -> Iterator[None]:
    """The package as users have it: annotations are not executed."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
