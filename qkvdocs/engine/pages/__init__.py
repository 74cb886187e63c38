"""The Markdown side: runs the fences of a page, fills in its values, checks what it shows."""

from typing import Any

from qkvdocs.engine.pages._errors import LessonError, read_utf8
from qkvdocs.engine.pages._extension import Lessons, accept, draw
from qkvdocs.engine.pages._fences import Fence, FenceError
from qkvdocs.engine.pages._forge import Limits, Mode
from qkvdocs.engine.pages._marks import NUMBER_WORDS, PRIVATE
from qkvdocs.engine.pages._page import Entry, Page, run_page
from qkvdocs.engine.pages._parts import Parts, Value, fences, parse
from qkvdocs.engine.pages._site import date_of, finish

__all__ = [
    "NUMBER_WORDS",
    "PRIVATE",
    "Entry",
    "Fence",
    "FenceError",
    "LessonError",
    "Lessons",
    "Limits",
    "Mode",
    "Page",
    "Parts",
    "Value",
    "accept",
    "date_of",
    "draw",
    "fences",
    "finish",
    "parse",
    "read_utf8",
    "run_page",
]


def makeExtension(**settings: Any) -> Lessons:  # noqa: N802
    """Make the Markdown extension, as Python-Markdown asks for it."""
    return Lessons(**settings)
