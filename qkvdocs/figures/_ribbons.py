from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures._frame import frame
from qkvdocs.numbers import UNTIED, even, fmt

__all__ = ["ribbons"]

MANY, LINE, THICK, DIGITS = 48, 22, 18, 2
"""Words at most, the height of a line, the thickness of a ribbon of weight one, and decimals of a weight."""
LEFT, RIGHT, WORD, WIDTH = 88, 182, 224, 312
"""Where ribbons begin and end, where the words begin that they lead to, and how wide it all is: no wider than a
telephone."""


def ribbons(asked: Mapping[str, tuple[int, ArrayLike, Sequence[str]]], *, caption: str = "") -> str:
    """Draw whom a word asks: a ribbon to each word, as thick as its weight.

    Args:
        asked: A picture under each title: the place of the word that asks, its row of attention weights, and
            the words, at most 48. Pictures stand side by side where there is room.
        caption: HTML of the caption; what a ribbon means follows it.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If nothing is to be drawn, or a row does not have a weight for each word.
        DTypeError: If a weight is not a finite number.
        QKVError: If weights are not shares of one, or a place is not that of a word.

    Examples:
        >>> html = ribbons({"the first head": (1, [0.75, 0.25], ["cat", "it"])})
        >>> "the first head, it asks: cat 0.75, it 0.25" in html
        True
    """
    if not asked:
        raise ShapeError("asked must hold at least one picture, got none")
    pictures, said = "", ""
    for title, (at, row, words) in asked.items():
        weights = shares(title, row, len(words))
        if not 0 <= at < len(words):
            raise QKVError(f"{title} must ask from a place of 0 to {len(words) - 1}, got {at}")
        shown = evens(weights + UNTIED)
        pictures += f"<div><p>{escape(title)}</p>{_picture(title, at, shown, words)}</div>"
        said += f"<li>{escape(title)}, {escape(words[at])} asks: {heard(words, shown)}</li>"
    caption = f"{caption} The thicker a ribbon, the larger the weight at its end.".strip()
    figure = frame(f'<div class="qkv-body">{pictures}</div>', caption, f"<ul>{said}</ul>", "qkv-ribbons")
    return f'<div class="qkv">{figure}</div>'


def shares(title: str, row: ArrayLike, count: int) -> np.ndarray:
    """Read a row of attention weights; refuse what is none."""
    weights = np.asarray(row)
    if weights.dtype.kind not in "iuf" or not np.isfinite(weights).all():
        raise DTypeError(f"weights of {title} must hold finite real numbers, got {weights.dtype}")
    if weights.shape != (count,) or not 1 <= count <= MANY:
        raise ShapeError(
            f"weights of {title} must have shape (words,) = ({count},), at most {MANY}, got {weights.shape}"
        )
    if weights.min() < 0 or not np.isclose(weights.sum(), 1, atol=1e-4):
        got = f"least {fmt(weights.min().item())}, sum {fmt(weights.sum().item())}"
        raise QKVError(f"weights of {title} must be shares of one, got {got}")
    return weights.astype(float)


def evens(numbers: np.ndarray, digits: int = DIGITS) -> list[str]:
    """Do so for many at once, ten times as fast; a tie, which Python would round to even, takes the longer way."""
    doubled = np.abs(numbers.astype(float)) * (2 * 10.0**digits)
    if ((doubled % 2 == 1) | (doubled >= 2.0**53)).any():
        return [even(number, digits) for number in numbers.tolist()]
    return [f"{number:z.{digits}f}" for number in numbers.tolist()]


NOTHING = even(0.0)


def by_weight(shown: Sequence[str]) -> list[int]:
    """Give the places of the weights that are not shown as nothing, largest first."""
    order = np.argsort([-float(text) for text in shown], kind="stable").tolist()
    return [to for to in order if shown[to] != NOTHING]


def heard(words: Sequence[str], shown: Sequence[str]) -> str:
    """Say whom a word listens to, and how much."""
    return ", ".join(f"{escape(words[to])} {shown[to]}" for to in by_weight(shown))


def _picture(title: str, at: int, shown: Sequence[str], words: Sequence[str]) -> str:
    """Stand the words on both sides; the ribbons leave the one that asks side by side, in their order.

    A ribbon is as thick as the number beside it, so that digits which nobody sees move nothing.
    """
    row = [float(text) for text in shown]
    drawn, begin = "", _middle(at) - sum(row) * THICK / 2
    for to, (weight, text) in enumerate(zip(row, shown, strict=True)):
        y, word, thick = _middle(to), escape(words[to]), weight * THICK
        drawn += f'<text class="{"asks" if to == at else "from"}" x="{LEFT - 6}" y="{fmt(y)}">{word}</text>'
        found = text != NOTHING
        if found:
            drawn += f'<path d="{ribbon(begin, y - thick / 2, thick)}"></path>'
            drawn += f'<text class="share" x="{WORD - 8}" y="{fmt(y)}">{text}</text>'
        drawn += f'<text class="{"seen" if found else "passed"}" x="{WORD}" y="{fmt(y)}">{word}</text>'
        begin += thick
    label = escape(f"{title}: whom {words[at]} asks, and how much")
    return f'<svg viewBox="0 0 {WIDTH} {len(row) * LINE}" role="img" aria-label="{label}">{drawn}</svg>'


def _middle(at: int) -> float:
    return (at + 0.5) * LINE


def ribbon(
    begin: float, end: float, thick: float, *, left: int = LEFT, right: int = RIGHT, digits: int = 4
) -> str:
    """Go along the upper edge and back along the lower one."""
    half = (left + right) // 2
    a, b, c, d = (fmt(y, digits) for y in (begin, end, begin + thick, end + thick))
    return f"M{left} {a}C{half} {a} {half} {b} {right} {b}V{d}C{half} {d} {half} {c} {left} {c}Z"
