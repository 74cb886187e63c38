from collections.abc import Callable, Collection, Mapping
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures._chart import HEIGHT, WIDTH, Chart
from qkvdocs.figures._frame import frame, scrolling
from qkvdocs.numbers import fmt

__all__ = ["line_chart"]

MOST, POINTS = 4, 2000
"""As many series as the stylesheet can tell apart, each by a colour and a dash."""


def line_chart(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    levels: Mapping[str, float] | None = None,
    wrong: Collection[str] = (),
    low: float | None = None,
    high: float | None = None,
    x_label: str = "x",
    y_label: str = "y",
    write: Callable[[float], str] = fmt,
    caption: str = "",
) -> str:
    """Draw curves over one axis, each named at its end, with the spread of its runs as a band.

    Args:
        x: Increasing places, shape `(points,)`.
        series: A curve for each name, shape `(points,)`; from 1 to 4.
        bands: For some of these names, the lower and the upper edge of a band around the curve.
        levels: Named values to compare with, drawn as dotted lines.
        wrong: Names of curves of what is done wrong: they are dashed, and the others whole, as in the bug clinic.
        low: Where the upright axis begins; at the least of all values if left out.
        high: Where it ends; at the greatest of all values if left out.
        x_label: What stands below the axis.
        y_label: What stands above the upright axis.
        write: How a value of the upright axis is written.
        caption: HTML of the caption.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If there are too few or too many curves or points, or a curve does not fit to `x`.
        DTypeError: If a value is not a finite number.
        QKVError: If `x` does not increase, a band misses its curve or has none, a wrong one is none of them, or a
            value is outside of the axis.

    Examples:
        >>> html = line_chart([0, 1, 2], {"falls": [4, 2, 1]}, bands={"falls": ([3, 1, 0], [5, 3, 2])}, low=0)
        >>> "<td>2 (1 to 3)</td>" in html
        True
    """
    if unknown := {*wrong} - {*series}:
        raise QKVError(f"wrong must name curves = {', '.join(series)}, got {sorted(unknown)}")
    if not 1 <= len(series) <= MOST:
        raise ShapeError(f"series must be from 1 to {MOST}, got {len(series)}")
    places = _curve("x", x)
    if not 2 <= len(places) <= POINTS or not (np.diff(places) > 0).all():
        raise QKVError(f"x must hold 2 to {POINTS} increasing numbers, got {len(places)}: {x!r:.60}")
    curves = {name: _curve(name, values, len(places)) for name, values in series.items()}
    edges: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (under, over) in (bands or {}).items():
        if name not in curves:
            raise QKVError(f"a band must have the name of a curve = {', '.join(curves)}, got {name!r}")
        pair = (
            _curve(f"lower edge of {name}", under, len(places)),
            _curve(f"upper edge of {name}", over, len(places)),
        )
        if not ((pair[0] <= curves[name] + SLACK) & (curves[name] <= pair[1] + SLACK)).all():
            raise QKVError(f"the band of {name} must hold its curve everywhere")
        edges[name] = pair
    compared = _curve("levels", [*(levels or {}).values()]) if levels else np.array([])
    every = np.concatenate([*curves.values(), *(edge for pair in edges.values() for edge in pair), compared])
    low, high = every.min() if low is None else low, every.max() if high is None else high
    if not low < high:
        raise QKVError(f"low must be below high = {fmt(high)}, got {fmt(low)}")
    if every.min() < low - SLACK or every.max() > high + SLACK:
        got = f"{fmt(every.min())} to {fmt(every.max())}"
        raise QKVError(f"values must be from low to high = {fmt(low)} to {fmt(high)}, got {got}")
    chart = Chart(places, (float(low), float(high)), write, [*curves, *(levels or {})])
    drawn = chart.axes(x_label, y_label) + chart.levels(levels or {}) + chart.curves(curves, edges, wrong)
    names = ", ".join(curves)
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{y_label} over {x_label}: {names}")}">{drawn}</svg>'
    )
    twin = _words(chart, curves, edges, levels or {}, (x_label, y_label))
    return f'<div class="qkv">{frame(svg, caption or escape(y_label), twin, "qkv-lines")}</div>'


SLACK = 1e-9
"""Rounding of a mean may carry it past the least and the greatest of equal runs."""


def _curve(name: str, values: ArrayLike, points: int = 0) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise DTypeError(f"{name} must hold finite real numbers, got {array.dtype}")
    if array.ndim != 1 or (points and len(array) != points):
        wanted = f"({points},)" if points else "(points,)"
        raise ShapeError(f"{name} must have shape {wanted}, got {array.shape}")
    return array.astype(float)


BAND = " ({} to {})"


def _words(
    chart: Chart,
    curves: Mapping[str, np.ndarray],
    edges: Mapping[str, tuple[np.ndarray, np.ndarray]],
    levels: Mapping[str, float],
    labels: tuple[str, str],
) -> str:
    """Give the values at the ticks of the axis below, as a table."""
    chosen = sorted({int(np.abs(chart.x - tick).argmin()) for tick in chart.x_ticks} | {len(chart.x) - 1})
    head = "".join(f'<th scope="col">{fmt(chart.x[at])}</th>' for at in chosen)
    body = ""
    for name, values in curves.items():
        cells = ""
        for at in chosen:
            around = [_write(chart, edge[at].item()) for edge in edges.get(name, ())]
            cells += f"<td>{_write(chart, values[at].item())}{BAND.format(*around) if around else ''}</td>"
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    lines = "".join(f" {escape(name)}: {_write(chart, level)}." for name, level in levels.items())
    spread_of = ", in brackets the band around it" if edges else ""
    table = f'<table class="qkv-values"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    return (
        f"<p>{escape(labels[1])}{spread_of}, by {escape(labels[0])}.{lines}</p>{scrolling(table, labels[1])}"
    )


def _write(chart: Chart, value: float) -> str:
    return escape(chart.write(value))
