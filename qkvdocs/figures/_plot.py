"""Arrows on two axes of one scale. `assets/qkv-live.js` draws the same picture by the same steps, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, sqrt

from qkvdocs.numbers import factor, fmt, plain

__all__ = ["HEIGHT", "WIDTH", "Frame", "Part", "Point", "at", "plot", "write"]

WIDTH, HEIGHT = 310, 290
SIZE, BESIDE, START = (204, 200), 140, (58, 240)
"""Room from the least to the greatest of all points, its breadth where words stand beside it, and its lower left."""
MARGIN, INSIDE, LABELS = 24, 20, 20
"""How far the grid reaches beyond the points, up to where it still has lines, and room for the numbers below."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A row of W, weighted."""

    by: float
    row: Point
    step: Point
    """`by` times `row`, as the caller computed it."""


class Frame:
    """From numbers to pixels, alike on both axes."""

    def __init__(self, points: Sequence[Point], size: tuple[int, int] = SIZE) -> None:
        self.low = [min(point[k] for point in points) for k in (0, 1)]
        self.span = [max(point[k] for point in points) - self.low[k] for k in (0, 1)]
        self.unit = min(room / (span or 1) for room, span in zip(size, self.span, strict=True))
        self.start = [START[k] + (-1 if k else 1) * (size[k] - self.unit * self.span[k]) / 2 for k in (0, 1)]

    @property
    def view(self) -> tuple[float, float]:
        """The top of what is drawn, and its height."""
        high = self.unit * self.span[1] + 2 * MARGIN + LABELS
        return self.start[1] + MARGIN + LABELS - high, high

    def along(self, k: int, value: float) -> float:
        """Find the place of a number on an axis; the second one grows upwards."""
        return self.start[k] + (-1 if k else 1) * self.unit * (value - self.low[k])

    def place(self, point: Point) -> Point:
        """Find the place of a point."""
        return self.along(0, point[0]), self.along(1, point[1])


def plot(vectors: Sequence[tuple[str, Point]], parts: Sequence[Part]) -> str:
    """Draw arrows from the origin, and weighted rows tip to tail.

    Args:
        vectors: Names and tips.
        parts: The weighted rows, each with its sum beside it.

    Returns:
        What stands inside an `<svg>` of `WIDTH` by `HEIGHT`.
    """
    path: list[Point] = [(0.0, 0.0)]
    for part in parts:  # each begins at the tip of the one before
        path.append((path[-1][0] + part.step[0], path[-1][1] + part.step[1]))
    frame = Frame([*path, *(tip for _, tip in vectors)], (BESIDE, SIZE[1]) if parts else SIZE)
    dashed = ""
    for part, ends in zip(parts, pairwise(path), strict=True):
        tail, tip = map(frame.place, ends)
        middle = ((tail[0] + tip[0]) / 2 + 8, (tail[1] + tip[1]) / 2 + 4)
        dashed += _arrow(tail, tip) + write(middle, f"{factor(part.by)} · {plain(part.row)}")
    root, tips = frame.place((0.0, 0.0)), [frame.place(tip) for _, tip in vectors]
    solid = ""
    for i, ((name, _), tip) in enumerate(zip(vectors, tips, strict=True)):
        result = bool(parts) and i == len(tips) - 1
        spot = (tip[0] - 12, tip[1] + 5) if result else _spot(root, tip, tips)
        solid += f'<g class="v{i} {name[0].lower()}">{_arrow(root, tip)}{write(spot, escape(name))}</g>'
    return f'{_ticks(frame, 0)}{_ticks(frame, 1)}<g class="parts">{dashed}</g>{solid}'


def _ticks(frame: Frame, k: int) -> str:
    other, out = 1 - k, []
    edges = (frame.low[other], frame.low[other] + frame.span[other])
    start, end = (
        frame.along(other, edge + side * MARGIN / frame.unit)
        for edge, side in zip(edges, (-1, 1), strict=True)
    )
    step, turns = 1e-4, 0
    while step * frame.unit < 30:  # 1, 2, 5, 10, 20 ...
        step *= 2.5 if turns % 3 == 1 else 2
        turns += 1
    i = ceil((frame.low[k] - INSIDE / frame.unit) / step)
    while i * step < frame.low[k] + frame.span[k] + INSIDE / frame.unit:
        along = frame.along(k, i * step)
        line = f"M{at(_turned(along, start, k))}L{at(_turned(along, end, k))}"
        out.append(f'<path d="{line}"{"" if i else ZERO}></path>')
        out.append(write((start - 5, along + 4) if k else (along, start + 15), fmt(i * step)))
        i += 1
    return f'<g class="ticks-{k}">{"".join(out)}</g>'


ZERO = ' class="zero"'


def _arrow(tail: Point, tip: Point) -> str:
    """Draw an arrow; one of no length is a dot."""
    x, y = tip[0] - tail[0], tip[1] - tail[1]
    length = sqrt(x * x + y * y)
    if length < 0.5:
        return f'<circle cx="{fmt(tip[0], 1)}" cy="{fmt(tip[1], 1)}" r="4"></circle>'
    head = min(10 / length, 0.5)

    def wing(side: float) -> str:
        return at((tip[0] - head * (x + side * y), tip[1] - head * (y - side * x)))

    return f'<path d="M{at(tail)}L{at(tip)}L{wing(0.4)}M{at(tip)}L{wing(-0.4)}"></path>'


def _spot(root: Point, tip: Point, tips: Sequence[Point]) -> Point:
    """Place a name beyond its tip, or beside it where a longer arrow goes on in the same direction."""
    x, y = tip[0] - root[0], tip[1] - root[1]
    length = sqrt(x * x + y * y) or 1
    u, v = x / length, y / length
    further = [(u * (a - tip[0]) + v * (b - tip[1]), u * (b - tip[1]) - v * (a - tip[0])) for a, b in tips]
    if any(ahead > 1 and abs(aside) < 9 for ahead, aside in further):
        return tip[0] - 14 * v, tip[1] + 14 * u + 5
    return tip[0] + 14 * u, tip[1] + 12 * v + 5


def _turned(along: float, across: float, k: int) -> Point:
    return (across, along) if k else (along, across)


def at(point: Point) -> str:
    """Write a place."""
    return f"{fmt(point[0], 1)} {fmt(point[1], 1)}"


def write(point: Point, said: str, kind: str = "") -> str:
    """Write into the drawing."""
    return f'<text x="{fmt(point[0], 1)}" y="{fmt(point[1], 1)}"{kind}>{said}</text>'
