"""Numbers as they are shown, and the word that compares two of them."""

from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qkvdocs.errors import QKVError
from qkvdocs.numbers import compare, fmt

NUMBERS = (-np.inf, -2.5, -1e-12, 0, 1e-12, Fraction(1, 3), np.float32(0.5), 1, True + 1, np.inf)

EXACT = Context(prec=1200, rounding=ROUND_HALF_UP)


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**56), 2**56).map(lambda n: n / 2**9),
    st.integers(0, 30),
)
@example(0.125, 2)
@example(-2.5, 0)
@example((2**50 + 1) / 2**5, 4)
@example(2.0**-24, 23)
@example(1e300, 400)
def test_rounding_is_exact_and_half_away_from_zero(number: float, digits: int) -> None:
    """Against decimal arithmetic on the number's exact binary value."""
    exact = Decimal(number).quantize(Decimal(1).scaleb(-digits), context=EXACT)
    assert Decimal(fmt(number, digits)) == exact
    assert fmt(number, digits) != "-0"


@pytest.mark.parametrize("left", NUMBERS)
@pytest.mark.parametrize("right", NUMBERS)
def test_the_word_follows_the_order(left: float, right: float) -> None:
    """For every pair of the list, which is sorted."""
    order = NUMBERS.index(left) - NUMBERS.index(right)

    assert compare(left, right, "less", "more", tie="as much") == ["as much", "more", "less"][np.sign(order)]


def test_a_difference_of_the_last_place_is_none() -> None:
    """Another processor could turn it, and the word with it."""
    assert compare(0.1 + 0.2, 0.3, tie="equal") == "equal"
    assert compare(0.3 + 1e-8, 0.3, tie="equal") == "larger"


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (2, 2.0, r"^left must differ from right=2, got 2\. Give a word for tie$"),
        (np.nan, 1, r"^left and right must be numbers, got NaN$"),
        (1, np.nan, r"^left and right must be numbers, got NaN$"),
        (True, 1, r"^value must be a real number, got True$"),
        (np.ones(2), 1, r"^value must be a real number, got array"),
    ],
)
def test_no_word_where_none_is_true(left: float, right: float, message: str) -> None:
    """Equal numbers, no numbers, and arrays."""
    with pytest.raises(QKVError, match=message):
        compare(left, right)
