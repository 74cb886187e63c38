"""The word that compares two numbers."""

from fractions import Fraction

import numpy as np
import pytest

from qkvdocs.errors import QKVError
from qkvdocs.numbers import compare

NUMBERS = (-np.inf, -2.5, -1e-12, 0, 1e-12, Fraction(1, 3), np.float32(0.5), 1, True + 1, np.inf)


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
