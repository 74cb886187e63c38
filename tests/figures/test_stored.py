"""The picture of a stored matrix: every output once, in the right place, with its letter."""

import re

import numpy as np
import pytest

from qkvdocs.errors import QKVError
from qkvdocs.figures import stored_matrix


def strips(html: str) -> list[tuple[str, str]]:
    """Read the letters and the words."""
    letters = re.findall(r"<text x=[^>]*>([A-Z])</text>", html)
    words = re.findall(r"<li>(\w+ \d+ to \d+: [A-Z])</li>", html)
    return list(zip(letters, words, strict=True))


def test_neighbours_of_one_role_are_one_strip() -> None:
    """The drawing and the words say the same."""
    assert strips(stored_matrix({"q": [0, 1, 3], "k": [2]}, inputs=5)) == [
        ("Q", "rows 0 to 1: Q"), ("K", "rows 2 to 2: K"), ("Q", "rows 3 to 3: Q"),
    ]  # fmt: skip


def test_outputs_may_be_columns() -> None:
    """Stored (in, out), the strips stand side by side."""
    html = stored_matrix({"q": np.arange(4), "k": np.arange(4, 6)}, inputs=5, columns=True, name="c")
    assert strips(html) == [("Q", "columns 0 to 3: Q"), ("K", "columns 4 to 5: K")]
    assert "6 outputs as columns, 5 inputs" in html


@pytest.mark.parametrize("outputs", [{}, {"q": [0, 0]}, {"q": [1]}, {"q": [0], "k": [0]}])
def test_outputs_must_cover_the_axis(outputs: dict[str, list[int]]) -> None:
    """A gap or an overlap would draw a cut that does not exist."""
    with pytest.raises(QKVError, match="outputs must cover"):
        stored_matrix(outputs, inputs=2)


def test_too_many_strips_are_refused() -> None:
    """Nobody could see them."""
    with pytest.raises(QKVError, match="outputs must change role at most 96 times, got 100"):
        stored_matrix({"q": range(0, 100, 2), "k": range(1, 100, 2)}, inputs=2)
