"""How one entry came about, in words. `assets/qkv-live.js` says the same."""

from collections.abc import Sequence
from math import exp, inf, isclose, sqrt

from qkvdocs.errors import QKVError
from qkvdocs.numbers import factor, fmt, relation

__all__ = ["entry", "masked", "product", "scaled", "share"]


def entry(name: str, row: int, column: int, shape: tuple[int, int]) -> str:
    """Name an entry: `y_1` in a single row or column, `Q[0,1]` in a matrix."""
    rows, columns = shape
    if rows == 1:
        return f"{name}_{column}"
    return f"{name}_{row}" if columns == 1 else f"{name}[{row},{column}]"


def product(label: str, left: Sequence[float], right: Sequence[float], result: float) -> str:
    """Say a row times a column, for example `y_0 = 2·1 + 3·0 = 2`."""
    terms = [a * b for a, b in zip(left, right, strict=True)]
    _must_hold(label, sum(terms), result, sum(map(abs, terms)))
    said = " + ".join(f"{factor(a)}·{factor(b)}" for a, b in zip(left, right, strict=True))
    return f"{label} = {said} {relation(*left, *right, result)} {fmt(result)}"


def scaled(label: str, score: float, width: int, result: float) -> str:
    """Say a score divided by the root of the head's width; width 0 leaves it as it is."""
    _must_hold(label, score / sqrt(width or 1), result, abs(score))
    divisor = f"√{width}" if width else "1"
    return f"{label} = {fmt(score)} / {divisor} {relation(score, result)} {fmt(result)}"


def masked(label: str, score: float, *, see: bool) -> str:
    """Say whether the mask lets a score through."""
    return f"{label} = {fmt(score if see else -inf)}, {'visible' if see else 'hidden'}"


def share(label: str, scores: Sequence[float], at: int, result: float) -> str:
    """Say one entry of a softmax: its exponential as a share of its row's."""
    visible = [score for score in scores if score != -inf]
    peak = max(visible, default=0.0)
    raised = [exp(score - peak) for score in scores]
    _must_hold(label, raised[at] / (sum(raised) or 1), result, 1)
    terms = [f"e^{factor(score)}" for score in scores]
    sign = "≈" if len(visible) > 1 and scores[at] != -inf else "="
    return f"{label} = {terms[at]} / ({' + '.join(terms)}) {sign} {fmt(result)}"


def _must_hold(label: str, said: float, shown: float, size: float) -> None:
    # Nothing is computed here, but a sentence that is not true is not printed.
    if not isclose(said, shown, rel_tol=1e-4, abs_tol=1e-4 * size + 1e-12):
        raise QKVError(f"{label} must be what its sum says = {fmt(said)}, got {fmt(shown)}")
