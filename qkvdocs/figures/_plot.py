"""Arrows on two axes. `assets/qkv-live.js` draws the same picture by the same steps, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, sqrt

from qkvdocs.numbers import factor, fmt

__all__ = ["HEIGHT", "WIDTH", "Part", "plot"]

WIDTH, HEIGHT = 340, 300
LANE = 17
"""From one lane beside the axes to the next."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A row of W, weighted."""

    by: float
    row: Point
    step: Point
    """`by` times `row`, as the caller computed it."""


def plot(vectors: Sequence[tuple[str, Point]], parts: Sequence[Part], *, equal: bool) -> str:
    """Draw arrows from the origin, and weighted rows tip to tail.

    Args:
        vectors: Names and tips.
        parts: The weighted rows; beside each axis, a lane a row shows what it adds to that entry.
        equal: Give both axes one scale.

    Returns:
        What stands inside an `<svg>` of `WIDTH` by `HEIGHT`.
    """
    path: list[Point] = [(0.0, 0.0)]
    for part in parts:  # each begins at the tip of the one before
        path.append((path[-1][0] + part.step[0], path[-1][1] + part.step[1]))
    frame = _frame([*path, *(tip for _, tip in vectors)], len(parts), equal=equal)
    axes = "".join(f"{_ticks(frame, k)}{_lanes(frame, path, parts, k)}" for k in (0, 1))
    dashed = "".join(_arrow(frame.place(tail), frame.place(tip)) for tail, tip in pairwise(path))
    solid = []
    for i, (name, tip) in enumerate(vectors):
        x, y = frame.place(tip)
        label = _write((x + (-12 if tip[0] < 0 else 12), y + (-4 if i % 2 else 12)), escape(name))
        solid.append(
            f'<g class="v{i} {name[0].lower()}">{_arrow(frame.place((0.0, 0.0)), (x, y))}{label}</g>'
        )
    return f'{axes}<g class="parts">{dashed}</g>{"".join(solid)}'


@dataclass(frozen=True)
class Frame:
    """From numbers to pixels, for both axes."""

    start: Point
    end: Point
    size: Point
    low: Sequence[float]
    unit: Sequence[float]

    def along(self, k: int, value: float) -> float:
        """Find the place of a number on an axis; the second one grows upwards."""
        return self.start[k] + (-1 if k else 1) * self.unit[k] * (value - self.low[k])

    def place(self, point: Point) -> Point:
        """Find the place of a point."""
        return self.along(0, point[0]), self.along(1, point[1])


def _frame(points: Sequence[Point], lanes: int, *, equal: bool) -> Frame:
    room = LANE * lanes
    size = (256 - room, 246 - room)
    lows, unit = [], []
    for k in (0, 1):
        values = [point[k] for point in points]  # the origin is one of them
        lows.append(1.06 * min(values))
        unit.append(size[k] / (1.06 * max(values) - lows[k] or 1))
    if equal:
        unit = [min(unit)] * 2
    return Frame((40 + room, 258 - room), (296, 12), size, lows, unit)


def _ticks(frame: Frame, k: int) -> str:
    side, end, out = frame.start[1 - k], frame.end[1 - k], []
    step, turns = 1e-4, 0
    while step * frame.unit[k] < (26 if k else 36):  # 1, 2, 5, 10, 20 ...
        step *= 2.5 if turns % 3 == 1 else 2
        turns += 1
    i = ceil(frame.low[k] / step)
    while (i * step - frame.low[k]) * frame.unit[k] < frame.size[k] + 1:
        at = frame.along(k, i * step)
        line = f"M{_at(_turned(at, side, k))}L{_at(_turned(at, end, k))}"
        out.append(f'<path d="{line}"{"" if i else ZERO}></path>')
        out.append(_write((side - 5, at + 4) if k else (at, side + 14), fmt(i * step)))
        i += 1
    return f'<g class="ticks-{k}">{"".join(out)}</g>'


ZERO = ' class="zero"'


def _lanes(frame: Frame, path: Sequence[Point], parts: Sequence[Part], k: int) -> str:
    out = []
    for i, part in enumerate(parts):
        lane = frame.start[1 - k] + (-1 if k else 1) * (33 + LANE * i)
        tail, tip = frame.along(k, path[i][k]), frame.along(k, path[i + 1][k])
        label = (lane, frame.start[1] + 6) if k else (frame.end[0] + 6, lane + 4)
        out.append(_arrow(_turned(tail, lane, k), _turned(tip, lane, k)))
        out.append(_write(label, f"{factor(part.by)}·{factor(part.row[k])}"))
    return f'<g class="lanes-{k}">{"".join(out)}</g>'


def _arrow(tail: Point, tip: Point) -> str:
    x, y = tip[0] - tail[0], tip[1] - tail[1]
    length = sqrt(x * x + y * y)
    head = min(9, length) / (length or 1)

    def wing(side: float) -> str:
        return _at((tip[0] - head * (x + side * y), tip[1] - head * (y - side * x)))

    return f'<path d="M{_at(tail)}L{_at(tip)}L{wing(0.4)}M{_at(tip)}L{wing(-0.4)}"></path>'


def _turned(along: float, across: float, k: int) -> Point:
    return (across, along) if k else (along, across)


def _at(point: Point) -> str:
    return f"{fmt(point[0], 1)} {fmt(point[1], 1)}"


def _write(point: Point, said: str) -> str:
    return f'<text transform="translate({_at(point)})">{said}</text>'
