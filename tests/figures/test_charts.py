"""Curves are where their numbers are, and ticks are where the mask is."""

import re

import numpy as np
import pytest

from qkvdocs.core import causal_mask
from qkvdocs.figures import line_chart, ribbons, visibility
from qkvdocs.figures._chart import spread, ticks
from tests.figures.examples import curves


def points(html, kind):
    """Read the corners of each path of a class."""
    paths = re.findall(rf'<path class="{kind} s\d" d="M([^"Z]*)Z?"', html)
    return [np.array([list(map(float, corner.split())) for corner in path.split("L")]) for path in paths]


def grid(html):
    """Read which value each labelled height has, from the drawing alone."""
    found = re.findall(
        r'<path d="M[\d.]+ ([\d.]+)H[\d.]+"></path><text x="[\d.-]+" y="[\d.]+" text-anchor="end">([^<]*)<',
        html,
    )
    return np.array([[float(height), float(label)] for height, label in found])


def test_a_curve_can_be_read_off_the_drawing():
    """Heights are turned back into values with the labels of the axis, and across with its ticks."""
    x, y = np.array([0, 10, 25, 60]), np.array([0.0, 1.5, -0.5, 2.0])
    html = line_chart(x, {"a": y}, low=-1, high=3)
    [corners] = points(html, "curve")
    labels = grid(html)
    slope, start = np.polyfit(labels[:, 0], labels[:, 1], 1)
    assert np.allclose(slope * corners[:, 1] + start, y, atol=0.02)

    below = re.findall(r'class="tick" d="M([\d.]+) \d+v4"></path><text [^>]*>([^<]*)<', html)
    slope, start = np.polyfit(*np.array(below, float).T, 1)
    assert np.allclose(slope * corners[:, 0] + start, x, atol=0.3)


def test_a_band_goes_round_its_curve():
    """Upper edge forth, lower edge back, the curve between them at each place."""
    html = curves()
    for curve, band in zip(points(html, "curve"), points(html, "band"), strict=True):
        over, under = band[: len(curve)], band[len(curve) :][::-1]
        assert np.allclose(over[:, 0], curve[:, 0])
        assert np.allclose(under[:, 0], curve[:, 0])
        assert (over[:, 1] <= curve[:, 1]).all()
        assert (curve[:, 1] <= under[:, 1]).all()
        assert (under[:, 1] - over[:, 1]).max() > 1


def test_the_words_hold_every_curve_and_level():
    """Mean and spread at the ticks, and the last value of each."""
    html = line_chart([0, 1, 2], {"a": [5, 3, 2], "b": [5, 4, 4]}, bands={"a": ([4, 2, 1], [6, 4, 3])},
                      levels={"floor": 1}, low=0)  # fmt: skip
    twin = html.split("This figure in words")[1]

    assert "floor: 1." in twin
    assert re.search(r'<th scope="row">a</th>.*<td>2 \(1 to 3\)</td></tr>', twin)
    assert re.search(r'<th scope="row">b</th>.*<td>4</td></tr>', twin)


@pytest.mark.parametrize("seed", range(200))
def test_ticks_are_round_and_inside(seed):
    """For spans of any size: multiples of 1, 2 or 5 times a power of ten, evenly apart, two at least."""
    rng = np.random.default_rng(seed)
    low = rng.normal() * 10.0 ** rng.integers(-3, 4)
    high = low + rng.uniform(0.5, 9.9) * 10.0 ** rng.integers(-3, 5)
    found = ticks(low, high, most=6)

    assert 2 <= len(found) <= 7
    assert min(found) >= low - 1e-6 * (high - low)
    assert max(found) <= high + 1e-6 * (high - low)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0])
    digit = f"{steps[0]:.3e}"[0:5]
    assert digit in {"1.000", "2.000", "5.000"}


@pytest.mark.parametrize("seed", range(50))
def test_names_never_touch_and_keep_their_order(seed):
    """Six names in the room that the drawing has."""
    heights = sorted(np.random.default_rng(seed).uniform(20, 200, 6).tolist())
    moved = spread(heights, 13, 20, 200)

    assert (np.diff(moved) >= 13 - 1e-9).all()
    assert moved[0] >= 20
    assert moved[-1] <= 200
    assert spread([30.0, 60.0], 13, 20, 200) == [30, 60]


def test_a_mask_is_drawn_as_it_is():
    """Cell by cell, for masks at random and with labels that repeat."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((rng.integers(1, 6), rng.integers(1, 6))) < 0.5
        html = visibility(mask, rows=["the"] * mask.shape[0])
        rows = re.findall(r'<tr><th scope="row">the</th>(.*?)</tr>', html)
        read = [re.findall(r"<td[^>]*>(.)</td>", row) for row in rows]
        assert np.array_equal(np.array(read) == "✓", mask)
        assert np.array_equal(
            ["data-hidden" in cell for row in rows for cell in row.split("</td>")[:-1]], ~mask.ravel()
        )


def test_the_words_of_a_mask():
    """What may be looked at, and what not."""
    html = visibility(causal_mask(2, 2), rows=["the", "cat"], columns=["the", "cat"])
    assert (
        "<li>the may look at: the; not at: cat</li><li>cat may look at: the, cat; not at: nothing</li>"
        in html
    )


def edges(html):
    """Read of each ribbon where it begins and ends: upper and lower edge on both sides."""
    corners = (
        r'<path d="M\d+ ([\d.-]+)C\d+ \S+ \d+ \S+ \d+ ([\d.-]+)V([\d.-]+)C\d+ \S+ \d+ \S+ \d+ ([\d.-]+)Z"'
    )
    return np.array(re.findall(corners, html), float)


def test_a_ribbon_is_as_thick_as_its_weight():
    """On both sides; they fill the word that asks without a gap, and each ends in the middle of its own word."""
    row = np.array([0.1, 0.6, 0.3])
    html = ribbons({"it": (2, row, ["the", "cat", "it"])})
    begin, end, end_below, begin_below = edges(html).T
    heights = [float(y) for y in re.findall(r'<text class="seen" x="\d+" y="([\d.]+)"', html)]
    [asks] = [float(y) for y in re.findall(r'<text class="asks" x="\d+" y="([\d.]+)"', html)]

    thick = begin_below - begin
    assert thick / thick.sum() == pytest.approx(row, abs=1e-3)
    assert html == ribbons({"it": (2, row + np.array([1e-4, -1e-4, 0]), ["the", "cat", "it"])}), (
        "no unseen digit moves it"
    )
    assert end_below - end == pytest.approx(thick, abs=1e-3)
    assert begin[1:] == pytest.approx(begin_below[:-1], abs=1e-3)
    assert (begin[0] + begin_below[-1]) / 2 == pytest.approx(asks)
    assert (end + end_below) / 2 == pytest.approx(heights, abs=1e-3)


def test_what_rounds_to_zero_has_no_ribbon_and_no_number():
    """It recedes in the picture and is not read out."""
    html = ribbons({"it": (1, [0.004, 0.996], ["cat", "it"])})

    assert len(edges(html)) == 1
    assert re.findall(r'class="passed"[^>]*>([^<]*)<', html) == ["cat"]
    assert "it, it asks: it 1.00</li>" in html


def test_words_with_the_same_number_are_read_in_their_order():
    """A digit that nobody sees does not change their places."""
    html = ribbons({"it": (2, [0.2, 0.2001, 0.5999], ["the", "cat", "it"])})
    assert "it, it asks: it 0.60, the 0.20, cat 0.20</li>" in html
