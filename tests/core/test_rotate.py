"""Rotary positions against the complex numbers of the paper, one entry at a time."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import rotate

quick = settings(max_examples=30, derandomize=True, deadline=None)
styles = st.sampled_from(["halves", "pairs"])
RNG = np.random.default_rng(13)


def by_hand(row, position, style, frequencies):
    """Turn one row: each plane is a complex number, times `exp(i · angle)`."""
    turned, planes = list(row), len(frequencies)
    for i, frequency in enumerate(frequencies):
        a, b = (2 * i, 2 * i + 1) if style == "pairs" else (i, i + planes)
        point = complex(row[a], row[b]) * cmath.exp(1j * position * frequency)
        turned[a], turned[b] = point.real, point.imag
    return turned


@quick
@given(styles, st.integers(0, 4), st.integers(0, 3), st.sampled_from([0.5, 1, 100, 10000.0, 5e5]), st.integers(-9, 9),
       st.sampled_from([0.25, 1, 8]))  # fmt: skip
def test_each_entry(style, planes, rest, base, offset, scaling):
    """Style, width, base, offset and scaling, each on its own and all together."""
    x = RNG.normal(size=(2, 3, 4, 2 * planes + rest))

    turned = rotate(x, offset=offset, style=style, width=2 * planes, base=base, scaling=scaling)

    frequencies = [math.pow(base, -2 * i / (2 * planes)) for i in range(planes)]
    for head in np.ndindex(2, 3):
        for p in range(4):
            wanted = by_hand(x[*head, p].tolist(), (p + offset) / scaling, style, frequencies)
            np.testing.assert_allclose(turned[*head, p], wanted, rtol=0, atol=1e-13)
    assert np.array_equal(turned[..., 2 * planes :], x[..., 2 * planes :])


def test_what_is_left_out():
    """Halves, the whole row, base 10000, positions from 0 on."""
    x = RNG.normal(size=(5, 6))

    turned = rotate(x)

    wanted = [
        by_hand(row, p, "halves", [1, 10000 ** (-1 / 3), 10000 ** (-2 / 3)])
        for p, row in enumerate(x.tolist())
    ]
    np.testing.assert_allclose(turned, wanted, rtol=0, atol=1e-14)


@quick
@given(styles, st.integers(1, 3), st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 1000))
def test_a_score_knows_the_distance_alone(style, planes, at, other, on):
    """Both some places on: the same score. One of them alone: another."""
    q, k = RNG.normal(size=(2, 1, 2 * planes))

    def score(at, other):
        return (rotate(q, offset=at, style=style) @ rotate(k, offset=other, style=style).T).item()

    assert score(at + on, other + on) == pytest.approx(score(at, other), abs=1e-11)
    assert score(at, at) == pytest.approx((q @ k.T).item(), abs=1e-12)
    assert score(at + 1, other) != pytest.approx(score(at, other), abs=1e-6)


@pytest.mark.parametrize("style", ["halves", "pairs"])
def test_lengths_stay(style):
    """Of each row, however far it is turned; and position 0 turns nothing."""
    x = RNG.normal(size=(2, 100, 8))

    turned = rotate(x, style=style, offset=0)

    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-14)
    assert np.array_equal(turned[:, 0], x[:, 0])
    assert np.abs(turned[:, 1:] - x[:, 1:]).max(axis=-1).min() > 1e-3


@pytest.mark.parametrize("style", ["halves", "pairs"])
def test_a_later_call_goes_on_where_the_text_is(style):
    """With a cache: rows 3 and 4 alone, from position 3 on, are rows 3 and 4 of the whole text."""
    x = RNG.normal(size=(2, 3, 5, 6))
    whole = rotate(x, style=style, width=4)

    assert np.array_equal(rotate(x[..., 3:, :], offset=3, style=style, width=4), whole[..., 3:, :])
    assert np.array_equal(rotate(x[..., 3:, :], np.array([3, 4]), style=style, width=4), whole[..., 3:, :])
    assert np.array_equal(
        rotate(x[..., 3:, :], np.array([1, 2]), offset=2, style=style, width=4), whole[..., 3:, :]
    )


@pytest.mark.parametrize("width", [2, 4, 6])
def test_the_styles_differ_by_the_order_of_columns(width):
    """What one does to a row, the other does to the row with its planes laid out anew."""
    x = RNG.normal(size=(3, 5, 6))
    order = [*range(0, width, 2), *range(1, width, 2), *range(width, 6)]

    assert np.array_equal(
        rotate(x, style="pairs", width=width)[..., order], rotate(x[..., order], width=width)
    )
    if width > 2:
        assert np.abs(rotate(x, style="pairs", width=width) - rotate(x, width=width)).max() > 0.1


def test_positions_of_each_sequence():
    """Padding on the left: the shape of the rows, each axis but the last possibly 1."""
    x = RNG.normal(size=(2, 3, 4, 6))
    starts = np.arange(4) - np.array([0, 2])[:, None]

    turned = rotate(x, starts[:, None])

    assert np.array_equal(turned[0], rotate(x[0]))
    assert np.array_equal(turned[1, :, 2:], rotate(x[1, :, 2:]))
    assert np.array_equal(turned, rotate(x, np.broadcast_to(starts[:, None], (2, 3, 4))))


def test_frequencies_of_its_own():
    """For every kind of scaling: a vector of turns instead of the powers of a base."""
    x, own = RNG.normal(size=(5, 6)), np.array([0.7, -0.3])

    for style in ("halves", "pairs"):
        turned = rotate(x, frequencies=own, style=style, width=4, base=3)
        wanted = [by_hand(row, p, style, own.tolist()) for p, row in enumerate(x.tolist())]
        np.testing.assert_allclose(turned, wanted, rtol=0, atol=1e-14)


def test_scaling_is_a_longer_ruler():
    """Position 8 of a text that was stretched eightfold is position 1, and frequencies scale alike."""
    x, own = RNG.normal(size=(9, 4)), np.array([0.7, 0.3])

    np.testing.assert_allclose(rotate(x, scaling=8)[8], rotate(x[8:], offset=1)[0], rtol=1e-14)
    np.testing.assert_allclose(
        rotate(x, frequencies=own, scaling=8), rotate(x, frequencies=own / 8), rtol=1e-13
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_angles_are_not_rounded(dtype):
    """Far out in a text a float32 angle would be wrong in the third digit; rows alone are narrow."""
    x = np.ones((1, 2), dtype)
    far = np.array([200_001.0])

    turned = rotate(x, far, frequencies=np.array([0.1]))

    assert turned.dtype == np.float32
    np.testing.assert_allclose(turned[0], by_hand([1.0, 1.0], 200_001, "pairs", [0.1]), rtol=1e-6)
    narrow = rotate(x, np.array([2**21], np.float32), offset=0.125, frequencies=np.array([1], np.int8))
    np.testing.assert_allclose(narrow[0], by_hand([1.0, 1.0], 2**21 + 0.125, "pairs", [1]), rtol=1e-6)
