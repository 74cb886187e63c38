"""The exam hall: desks with words, a student's three cards, graders who ask, and a wall that keeps cards."""

from collections.abc import Mapping, Sequence
from html import escape

from numpy.typing import ArrayLike

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures._frame import frame
from qkvdocs.figures._ribbons import MANY, NOTHING, evens, heard, shares
from qkvdocs.numbers import fmt

__all__ = ["hall"]

ROLES = {"query": "asks", "key": "advertises", "value": "delivers"}
NARROW, GAP, LETTER, LEAST, DEEP = 310, 8, 7.3, 38, 26
"""Width on a telephone, between desks, about of a letter, of the smallest desk, and the depth of a desk."""
ROOM, SEAT, BELOW, EMPTY = 46, 24, 30, 12
"""Above a student for cards or ribbons, from head to desk, below a desk for shares, and where there is nothing."""
THICK = 14
"""Of a ribbon of weight one."""


def hall(
    words: Sequence[str],
    *,
    at: int,
    cards: Mapping[str, str] | None = None,
    graders: Mapping[str, ArrayLike] | None = None,
    wall: int = 0,
    caption: str = "",
) -> str:
    """Draw the exam hall: a desk for each word, and one student who is picked.

    Args:
        words: The word on each desk, at most 48.
        at: The place of the student who is picked.
        cards: What the picked student's `query`, `key` and `value` say; without graders or a wall they are drawn.
        graders: A row of attention weights of the picked word under each grader's name: the same hall once for
            each, with a ribbon to each word as thick as its weight.
        wall: How many words have their key and value pinned to the wall, as a cache holds them; students after
            the picked one have not come yet.
        caption: HTML of the caption.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If there is no word or too many, or a row does not have a weight for each word.
        DTypeError: If a weight is not a finite number.
        QKVError: If a place or the wall is beyond the words, weights are not shares of one, or a card is unknown.

    Examples:
        >>> html = hall(["the", "cat", "it"], at=2, cards={"query": "who?", "key": "a pronoun", "value": "it"})
        >>> "it asks (query): who?" in html
        True
    """
    if not 1 <= len(words) <= MANY:
        raise ShapeError(f"words must be from 1 to {MANY}, got {len(words)}")
    if not 0 <= at < len(words) or not 0 <= wall <= len(words):
        raise QKVError(f"at and wall must be within the words = {len(words)}, got {at} and {wall}")
    if unknown := {*(cards or {})} - {*ROLES}:
        raise QKVError(f"cards must be of {', '.join(ROLES)}, got {sorted(unknown)}")
    said = f"<p>Desks in a row: {escape(', '.join(words))}. Picked: {escape(words[at])}.</p>"
    halls, items = [], []
    for title, row in (graders or {}).items():
        shown = evens(shares(title, row, len(words)))
        halls.append(f"<p>{escape(title)}</p>{_drawn(words, at, shown, 0, title)}")
        items.append(f"{escape(title)}, {escape(words[at])} asks: {heard(words, shown)}")
    if not halls:
        halls.append(_drawn(words, at, [], wall, "wall" if wall else "cards"))
    if wall:
        pinned = escape(", ".join(words[:wall]))
        items.append(f"on the wall, key and value of: {pinned}; no query is kept")
    legend = ""
    for role, text in (cards or {}).items():
        items.append(f"{escape(words[at])} {ROLES[role]} ({role}): {escape(text)}")
        legend += f'<li><b class="{role[0]}">{role}</b> {ROLES[role]}: {escape(text)}</li>'
    body = "".join(f"<div>{one}</div>" for one in halls) + (f"<ul>{legend}</ul>" if legend else "")
    twin = f"{said}<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
    figure = frame(
        f'<div class="qkv-body">{body}</div>',
        caption or f"The student at <em>{escape(words[at])}</em> is picked.",
        twin,
        "qkv-hall",
    )
    return f'<div class="qkv">{figure}</div>'


def _drawn(words: Sequence[str], at: int, shown: Sequence[str], wall: int, what: str) -> str:
    """Draw the hall in one row, and once more in rows that a telephone shows, where one does not fit."""
    label = escape(f"The hall, {words[at]} picked: {what}")
    wide = Hall(words, at, shown, wall, 10**6)
    if wide.broad <= NARROW:
        return wide.picture(label)
    narrow = Hall(words, at, shown, wall, NARROW).picture(label)
    return f'<div class="at-desk">{wide.picture(label)}</div><div class="on-phone">{narrow}</div>'


class Hall:
    """Where everything stands, within a width."""

    def __init__(self, words: Sequence[str], at: int, shown: Sequence[str], wall: int, width: int) -> None:
        self.words, self.at, self.shown, self.wall = words, at, shown, wall
        self.desks: list[tuple[float, int, float]] = []
        """Middle, row and breadth of each desk."""
        x, row, self.broad = 0.0, 0, 0.0
        for word in words:
            broad = max(LEAST, LETTER * len(word) + 14)
            if x and x + broad > width:
                x, row = 0.0, row + 1
            self.desks.append((x + broad / 2, row, broad))
            x += broad + GAP
            self.broad = max(self.broad, x - GAP)
        self.seats: list[int] = []
        """The height of heads in each row."""
        y = 0
        for line in range(row + 1):
            y += ROOM if shown or wall or line == self.desks[at][1] else EMPTY
            self.seats.append(y)
            y += SEAT + DEEP + (BELOW if shown else EMPTY)
        self.high = y

    def picture(self, label: str) -> str:
        """Draw ribbons behind students, and words and cards before them."""
        back, others, front = "", "", ""
        for i, ((x, row, broad), word) in enumerate(zip(self.desks, self.words, strict=True)):
            seat, absent = self.seats[row], bool(self.wall) and i > self.at
            drawn = _student(x, seat) + _desk(x, seat + SEAT, broad)
            kind = "picked" if i == self.at else "absent" if absent else "word"
            if i == self.at:
                front += f'<path class="picked" d="{drawn}"></path>'
            elif not absent:
                others += drawn
            front += _text(x, seat + SEAT + 17, escape(word), kind)
            if i < self.wall:
                long = fmt(broad + GAP, 1)
                pins = f"M{fmt(x - broad / 2, 1)} {seat - 42}h{long}m0 34h-{long}"
                back += f'<path class="wall" d="{pins}"></path>'
                front += _card("k", x - 10, seat - 36) + _card("v", x + 10, seat - 36)
            if self.shown and self.shown[i] != NOTHING:
                front += _text(x, seat + SEAT + DEEP + 19, self.shown[i], "share")
                back += self._ribbon(x, row, float(self.shown[i])) if i != self.at else ""
        x, row, _ = self.desks[self.at]
        if self.wall:
            front += _card("q", x + 25, self.seats[row] - 1)
        elif not self.shown:
            front += "".join(
                _card(role, x + 22 * (n - 1), self.seats[row] - 34) for n, role in enumerate("qkv")
            )
        return (
            f'<svg viewBox="0 0 {fmt(self.broad, 1)} {self.high}" role="img" aria-label="{label}"'
            f' style="--w:{fmt(self.broad, 1)}">{back}<path class="people" d="{others}"></path>{front}</svg>'
        )

    def _ribbon(self, to: float, other: int, weight: float) -> str:
        """Arch over the heads of a row, or go between the rows to another one."""
        x, row, _ = self.desks[self.at]
        begin = self.seats[row] - 3
        if row == other:
            end, bend = begin, begin - min(ROOM * 1.2, 14 + abs(to - x) / 4)
        else:
            foot = SEAT + DEEP + BELOW - 6
            begin, end = (
                (begin, self.seats[other] + foot) if other < row else (begin + foot, self.seats[other] - 3)
            )
            bend = (begin + end) / 2
        along = f"{fmt(x, 1)} {fmt(bend, 1)} {fmt(to, 1)} {fmt(bend, 1)} {fmt(to, 1)} {end}"
        thick = fmt(max(1, weight * THICK), 1)
        return f'<path class="asks" d="M{fmt(x, 1)} {begin}C{along}" style="stroke-width:{thick}"></path>'


def _student(x: float, y: int) -> str:
    return f"M{fmt(x - 6, 1)} {y + 6}a6 6 0 1 1 12 0a6 6 0 1 1 -12 0M{fmt(x - 12, 1)} {y + SEAT}c0 -14 24 -14 24 0"


def _desk(x: float, y: int, broad: float) -> str:
    wide, legs = fmt(broad, 1), fmt(broad - 12, 1)
    return f"M{fmt(x - broad / 2, 1)} {y}h{wide}v{DEEP}h-{wide}zm6 {DEEP}v6m{legs} -6v6"


def _text(x: float, y: int, said: str, kind: str) -> str:
    return f'<text class="{kind}" x="{fmt(x, 1)}" y="{y}">{said}</text>'


def _card(role: str, x: float, y: int) -> str:
    return (
        f'<g class="{role}"><rect x="{fmt(x - 9, 1)}" y="{y}" width="18" height="22" rx="2"></rect>'
        f"{_text(x, y + 16, role, 'card')}</g>"
    )
