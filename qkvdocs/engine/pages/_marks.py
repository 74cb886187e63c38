"""Computed text travels through Markdown marked, in characters of the private planes, and becomes itself at the end.

One conversion then gives both what a reader sees and the same text *blank*: what is still a digit there was typed.
"""

import re

NUMBER_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|hundred|thousand|million|billion"
)
"""Words that say a number, as alternatives of a pattern."""
PRIVATE = re.compile("[\U000f0000-\U0010ffff]")
"""Characters that no page may hold itself: they mark what was computed."""
BEGIN, INSTEAD, END = "\U000f0002", "\U000f001f", "\U000f0003"
"""Around what a fence shows; `INSTEAD` comes before what stands in its place on a blank page."""
_PLANES = 0xF0000
_NUMERAL = re.compile(  # Markdown must still see headings and entities, and no emphasis in 1_000_000
    rf"(</?h[1-6]\b|&#?\w+;)|\b(?:{NUMBER_WORDS})\b|(?<=\w)_(?=\w)|[^\W_]", re.I
)
_LEFT = re.compile(f"{BEGIN}|{INSTEAD}[^{END}]*{END}|{END}")
_COMPUTED = re.compile(f"{BEGIN}[^{INSTEAD}{END}]*(?:{INSTEAD}([^{END}]*))?{END}")


def mark(value: str) -> str:
    """Mark what could count as typed: each numeral and number word of a value."""

    def marked(found: re.Match[str]) -> str:
        text = found[0]
        return text if found[1] or (len(text) == 1 and text.isalpha()) else _shift(text, _PLANES)

    return _NUMERAL.sub(marked, value)


def shown(text: str) -> str:
    """Give a text as readers get it."""
    return PRIVATE.sub(lambda char: _shift(char[0], -_PLANES), _LEFT.sub("", text))


def blank(text: str) -> str:
    """Give a text with the letter x for each mark, and without what fences show."""
    return PRIVATE.sub("x", _COMPUTED.sub(r"\1", text))


def _shift(text: str, by: int) -> str:
    return "".join(chr(ord(char) + by) for char in text)
