"""The one place that rounds and formats numbers: half away from zero, as the page's script does."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from math import ceil, isclose, isinf, isnan, log10
from numbers import Integral, Real

import numpy as np

from qkvdocs.errors import QKVError

__all__ = ["bound", "compare", "factor", "fmt", "plain", "relation", "tex", "word"]

DIGITS = 4
UNTIED = 1e-7
"""Takes a number off the middle between two decimals, where the last place of a float would decide."""
# Enough digits for every double, so that rounding sees the exact binary value.
EXACT = Context(prec=800, rounding=ROUND_HALF_UP)
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *(
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ),
)
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def fmt(value: float, digits: int = DIGITS) -> str:
    """Write one number with at most `digits` decimals, trailing zeros dropped.

    The exact binary value is rounded, ties away from zero; minus zero is written 0.

    Args:
        value: Any real number, numpy scalars included.
        digits: Decimals to keep at most.

    Returns:
        The text, for example `0.9442`, `15`, `NaN` or `-∞`.

    Raises:
        QKVError: If `value` is not a real number or `digits` is negative.

    Examples:
        >>> fmt(2 / 3), fmt(15.0), fmt(0.0625, 3), fmt(-0.00001)
        ('0.6667', '15', '0.063', '0')
    """
    if digits < 0:
        raise QKVError(f"digits must be at least 0, got {digits}")
    if type(value) is not float:
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
            raise QKVError(f"value must be a real number, got {value!r}")
        if isinstance(value, Integral):
            return str(int(value))
    number = float(value)
    if isnan(number):
        return "NaN"
    if isinf(number):
        return "∞" if number > 0 else "-∞"
    # Python's own formatting, ten times as fast, rounds the exact value too, but ties to even. A tie shows: twice the
    # number, in units of the last digit, is odd. As far as these products are exact, that is.
    doubled = number * 2 * 10.0 ** min(digits, 22)
    if digits <= 22 and abs(doubled) < 2**53 and doubled % 2 != 1:
        text = f"{number:.{digits}f}"
    else:
        text = f"{Decimal(number).quantize(Decimal(1).scaleb(-digits), context=EXACT):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def even(number: float, digits: int = 2) -> str:
    """Write every number with the same decimals, so that points stand below one another."""
    whole, _, part = fmt(number, digits).partition(".")
    return f"{whole}.{part:0<{digits}}"


def factor(value: float, digits: int = DIGITS) -> str:
    """Write a number as it stands in a product: a negative one in brackets.

    Args:
        value: Any real number.
        digits: Decimals to keep at most.

    Returns:
        The text.

    Raises:
        QKVError: If `value` is not a real number.

    Examples:
        >>> f"{factor(3)}·{factor(-1.5)}"
        '3·(-1.5)'
    """
    text = fmt(value, digits)
    return f"({text})" if text.startswith("-") else text


def relation(*values: float, digits: int = DIGITS) -> str:
    """Choose the sign between two sides: equal, or about equal where a shown number was rounded.

    A difference below 1e-9 is the processor's, not a rounding that the reader should know of.

    Args:
        *values: Every number that is shown.
        digits: Decimals with which they are shown.

    Returns:
        `=` or `≈`.

    Raises:
        QKVError: If a value is not a real number.

    Examples:
        >>> relation(0.5, 2), relation(0.1 + 0.2), relation(1 / 3)
        ('=', '=', '≈')
    """
    rounded = [abs(float(fmt(value, digits)) - value) > 1e-9 for value in values]
    return "≈" if any(rounded) else "="


def plain(value: object, digits: int = DIGITS) -> str:
    """Write a number, an array or a string as running text.

    Args:
        value: A real number, a string (kept as it is), or an array or sequence of numbers of any depth.
        digits: Decimals to keep at most.

    Returns:
        The text; arrays as nested lists.

    Raises:
        QKVError: If `value` is of another kind, so that a stray `None` never reaches a page.

    Examples:
        >>> plain(np.array([[1.0, 0.5], [0.0, 1 / 3]]))
        '[[1, 0.5], [0, 0.3333]]'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence):
        return f"[{', '.join(plain(item, digits) for item in value)}]"
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        return fmt(float(value) if not isinstance(value, Integral) else int(value), digits)
    raise QKVError(f"value must be a number, an array or a string, got {value!r}")


def tex(value: object, digits: int = DIGITS) -> str:
    r"""Write a number as TeX, a vector as a row, a matrix row by row.

    Args:
        value: A real number, or an array or sequence of them with one or two axes.
        digits: Decimals to keep at most.

    Returns:
        TeX for use inside a formula.

    Raises:
        QKVError: If `value` has more than two axes or is not numeric.

    Examples:
        >>> print(tex(np.array([[1, 0], [0, 0.5]])))
        \begin{bmatrix} 1 & 0 \\ 0 & 0.5 \end{bmatrix}
    """
    array = np.asarray(value)
    if array.ndim == 0:
        return fmt(array.item(), digits).replace("∞", r"\infty").replace("NaN", r"\text{NaN}")
    if array.ndim > 2:
        raise QKVError(f"value must have at most 2 axes, got {array.ndim}")
    rows = r" \\ ".join(" & ".join(tex(cell, digits) for cell in row) for row in np.atleast_2d(array))
    return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"


def word(count: int) -> str:
    """Write a small count as a word.

    Args:
        count: From 0 to 20.

    Returns:
        The English word.

    Raises:
        QKVError: If `count` is not an integer from 0 to 20.

    Examples:
        >>> word(2)
        'two'
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or not 0 <= count < len(WORDS):
        raise QKVError(f"count must be an integer from 0 to {len(WORDS) - 1}, got {count!r}")
    return WORDS[int(count)]


def compare(left: float, right: float, less: str = "smaller", more: str = "larger", tie: str = "") -> str:
    """Choose the word that compares two numbers, so that a sentence turns with them.

    A relative difference below 1e-9 is the processor's: such numbers are equal.

    Args:
        left: A real number.
        right: What it is compared with.
        less: The word for `left < right`.
        more: The word for `left > right`.
        tie: The word for equal numbers; without one they are an error, since no word would be true.

    Returns:
        One of the words.

    Raises:
        QKVError: If a number is NaN or no number, or if both are equal and `tie` is empty.

    Examples:
        >>> compare(15, 12), compare(0.1, 0.3, "lower", "higher")
        ('larger', 'lower')
        >>> compare(0.1 + 0.2, 0.3, "less than", "more than", tie="as much as")
        'as much as'
    """
    for number in (left, right):
        if fmt(number) == "NaN":
            raise QKVError("left and right must be numbers, got NaN")
    if isclose(left, right, rel_tol=1e-9):
        if not tie:
            raise QKVError(
                f"left must differ from right={plain(right)}, got {plain(left)}. Give a word for tie"
            )
        return tie
    return less if left < right else more


def bound(value: float) -> str:
    """Write the smallest power of ten that is not below a positive number.

    Tiny differences vary from processor to processor; a bound on them does not.

    Args:
        value: A positive, finite number.

    Returns:
        For example `10⁻¹²`.

    Raises:
        QKVError: If `value` is not positive and finite.

    Examples:
        >>> bound(1e-12), bound(3e-9)
        ('10⁻¹²', '10⁻⁸')
    """
    if not 0 < value < float("inf"):
        raise QKVError(f"value must be positive and finite, got {value!r}")
    return f"10{str(ceil(round(log10(value), 9))).translate(SUPERSCRIPTS)}"
