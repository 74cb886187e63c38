"""What decides a score: the shadow of each vector on the line of a query, in the drawing, in a table and in words."""

from collections.abc import Mapping
from math import acos, atan2, cos, degrees, hypot, radians, sin

from qkvdocs.figures._matrix import pretty
from qkvdocs.figures._plot import Frame, Point, at, write
from qkvdocs.numbers import even, fmt
from qkvdocs.roles import role

__all__ = ["Shadows"]

LANE, FIRST, ARC = 9, 8, 26
"""From one shadow to the next, from the query to the first, and from the origin to the first angle, in pixels."""


class Shadows:
    """The shadows of vectors on a query that is not zero, measured off the arrows."""

    def __init__(self, query: str, tips: Mapping[str, Point]) -> None:
        self.query, self.tips = query, tips
        self.q = tips[query]
        self.long = hypot(*self.q)
        self.rows = [
            (name, hypot(*tip), _angle(self.q, tip), _dot(self.q, tip) / self.long, _dot(self.q, tip))
            for name, tip in tips.items()
            if name != query
        ]
        """Name, length, angle, shadow and score."""

    def drawn(self) -> str:
        """Draw the angle to each vector, a line down from its tip, and there a bar as long as its shadow.

        The bars lie on that side of the query where fewer tips are.
        """
        frame = Frame([(0.0, 0.0), *self.tips.values()])
        root = frame.place((0.0, 0.0))
        u, v = self.q[0] / self.long, -self.q[1] / self.long  # downwards is positive on a screen
        left = [_cross(self.q, self.tips[name]) > 0 for name, *_ in self.rows]
        side = -1 if sum(left) * 2 > len(left) else 1
        out = ""
        for lane, (name, _, angle, shadow, _) in enumerate(self.rows):
            tip, aside = frame.place(self.tips[name]), side * (FIRST + LANE * lane)
            begin = (root[0] + v * aside, root[1] - u * aside)
            end = (begin[0] + u * shadow * frame.unit, begin[1] + v * shadow * frame.unit)
            out += (
                f'<g class="shadow {role(name)}">{_arc(root, (u, v), angle, turn=1 if left[lane] else -1, far=lane)}'
                f'<path class="fall" d="M{at(tip)}L{at(end)}"></path>'
                f'<path class="bar" d="M{at(begin)}L{at(end)}"></path></g>'
            )
        return out

    def caption(self) -> str:
        """Say how to read it."""
        q = pretty(self.query)
        return (
            f"Each thick bar is a shadow: how far an arrow reaches along {q}, its length times the cosine of the angle."
            f" The longest shadow wins, since a score is the shadow times {fmt(self.long, 2)}, the length of {q}."
        )

    def table(self) -> str:
        """Give lengths, angles, shadows and scores, a row each."""
        q = pretty(self.query)
        head = "".join(
            f'<th scope="col">{title}</th>'
            for title in ("length", f"angle to {q}", f"shadow on {q}", "score")
        )
        body = "".join(
            f'<tr><th scope="row" class="{role(name)}">{pretty(name)}</th><td>{even(length)}</td>'
            f"<td>{fmt(angle, 0)}°</td><td>{even(shadow)}</td><td><b>{fmt(score, 2)}</b></td></tr>"
            for name, length, angle, shadow, score in self.rows
        )
        return (
            f'<table class="qkv-values"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
        )

    def words(self) -> str:
        """Say the same in sentences."""
        return "".join(
            f"<li>{name} has the length {fmt(length, 2)} and stands at {fmt(angle, 0)}° to {self.query};"
            f" its shadow there is {fmt(shadow, 2)}, its score {fmt(score, 2)}</li>"
            for name, length, angle, shadow, score in self.rows
        )


def _dot(one: Point, other: Point) -> float:
    return one[0] * other[0] + one[1] * other[1]


def _angle(one: Point, other: Point) -> float:
    lengths = hypot(*one) * hypot(*other)
    return degrees(acos(max(-1.0, min(1.0, _dot(one, other) / lengths)))) if lengths else 0.0


def _cross(one: Point, other: Point) -> float:
    return one[0] * other[1] - one[1] * other[0]


def _arc(root: Point, along: Point, angle: float, *, turn: int, far: int) -> str:
    """Draw an angle that can be seen, with its size in the middle."""
    if not 12 < angle < 178:
        return ""
    start, radius = atan2(along[1], along[0]), ARC + 12 * far

    def spot(share: float, out: float) -> Point:
        direction = start - turn * share * radians(angle)
        return root[0] + (radius + out) * cos(direction), root[1] + (radius + out) * sin(direction)

    said = write((spot(0.5, 15)[0], spot(0.5, 13)[1] + 4), f"{fmt(angle, 0)}°")
    bow = f"M{at(spot(0, 0))}A{radius} {radius} 0 0 {int(turn < 0)} {at(spot(1, 0))}"
    return f'<path class="angle" d="{bow}"></path>{said}'
