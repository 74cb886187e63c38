"""Curves over one axis: axes, names at the ends of lines, and the places of all of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

import numpy as np

from qkvdocs.numbers import UNTIED, fmt

__all__ = ["HEIGHT", "WIDTH", "Chart"]

WIDTH, HEIGHT, TOP, BOTTOM = 360, 240, 24, 38
LETTER, LINE = 6.2, 13
"""About the width of a letter, and the height of a line."""


class Chart:
    """From numbers to places in the drawing."""

    def __init__(
        self, x: np.ndarray, span: tuple[float, float], write: Callable[[float], str], names: Sequence[str]
    ) -> None:
        self.x, self.span, self.write = x, span, write
        self.y_ticks = ticks(*span, most=6)
        self.left = 10 + LETTER * max(len(write(tick)) for tick in self.y_ticks)
        self.right = WIDTH - 10 - LETTER * max(map(len, names))
        self.x_ticks = ticks(float(x[0]), float(x[-1]), most=max(2, int((self.right - self.left) / 45)))
        self.ends: list[tuple[float, str, str]] = []
        """Height, class and name of each line that is named on the right."""

    def across(self, value: float) -> float:
        """Find the place of a number on the axis below."""
        return float(self.left + (self.right - self.left) * (value - self.x[0]) / (self.x[-1] - self.x[0]))

    def up(self, value: float) -> float:
        """Find the place of a number on the upright axis."""
        low, high = self.span
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low)

    def path(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
        """Join points by straight lines."""
        points = (
            f"{fmt(self.across(a) + UNTIED, 1)} {fmt(self.up(b) + UNTIED, 1)}"
            for a, b in zip(x, y, strict=True)
        )
        return "M" + "L".join(points)

    def axes(self, x_label: str, y_label: str) -> str:
        """Draw a faint line at each tick of the upright axis, and name both axes."""
        out = []
        for tick in self.y_ticks:
            height = self.up(tick)
            out.append(f'<path d="M{fmt(self.left, 1)} {fmt(height, 1)}H{fmt(self.right, 1)}"></path>')
            out.append(text(self.left - 5, height + 4, self.write(tick), "end"))
        for tick in self.x_ticks:
            place, floor = self.across(tick), HEIGHT - BOTTOM
            out.append(f'<path class="tick" d="M{fmt(place, 1)} {floor}v4"></path>')
            out.append(text(place, floor + 16, fmt(tick), "middle"))
        out.append(text((self.left + self.right) / 2, HEIGHT - 6, x_label, "middle"))
        out.append(text(2, 11, y_label, "start"))
        return f'<g class="axes">{"".join(out)}</g>'

    def levels(self, levels: Mapping[str, float]) -> str:
        """Draw what curves are compared with."""
        out = []
        for name, value in levels.items():
            out.append(f'<path d="{self.path(self.x[[0, -1]], [value, value])}"></path>')
            self.ends.append((self.up(value), "level", name))
        return f'<g class="level">{"".join(out)}</g>'

    def curves(
        self,
        curves: Mapping[str, np.ndarray],
        edges: Mapping[str, tuple[np.ndarray, np.ndarray]],
        wrong: Collection[str] = (),
    ) -> str:
        """Draw bands below, then curves, then all names."""
        below, above = [], []
        for number, (name, values) in enumerate(curves.items()):
            kind = ("wrong" if name in wrong else "right") if wrong else f"s{number}"
            if name in edges:
                under, over = edges[name]
                outline = self.path(
                    np.concatenate([self.x, self.x[::-1]]), np.concatenate([over, under[::-1]])
                )
                below.append(f'<path class="band {kind}" d="{outline}Z"></path>')
            above.append(f'<path class="curve {kind}" d="{self.path(self.x, values)}"></path>')
            self.ends.append((self.up(values[-1]), kind, name))
        return "".join([*below, *above, *self._names()])

    def _names(self) -> list[str]:
        """Write each name at the end of its line, moved where names would overlap, and then led back to it."""
        ends = sorted(self.ends)
        heights = spread([height for height, *_ in ends], LINE, TOP, HEIGHT - BOTTOM)
        out = []
        for (end, kind, name), height in zip(ends, heights, strict=True):
            if abs(end - height) > 1:
                lead = f"M{fmt(self.right + 1, 1)} {fmt(end, 1)}L{fmt(self.right + 6, 1)} {fmt(height, 1)}"
                out.append(f'<path class="lead" d="{lead}"></path>')
            out.append(text(self.right + 8, height + 4, name, "start", f"name {kind}"))
        return out


def text(x: float, y: float, said: str, anchor: str, kind: str = "") -> str:
    """Write into the drawing."""
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{fmt(x, 1)}" y="{fmt(y, 1)}" text-anchor="{anchor}">{escape(said)}</text>'


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Choose round numbers within a span: multiples of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** floor(log10((high - low) / most))
    while (high - low) / step > most:
        step *= 2 if round(step / 10.0 ** floor(log10(step) + 1e-9)) != 2 else 2.5
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def spread(heights: Sequence[float], apart: float, top: float, bottom: float) -> list[float]:
    """Move sorted heights so that neighbours do not touch, as little as going down and then up again allows."""
    out: list[float] = []
    for height in heights:
        out.append(max(height, out[-1] + apart if out else top))
    limit = bottom
    for at in reversed(range(len(out))):
        out[at] = min(out[at], limit)
        limit = out[at] - apart
    return out
