"""What a page is made of: fences, in the lines between them values and marks, and else text."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qkvdocs.engine.pages._fences import Fence, FenceError, read_fence

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
"""Code in a line, with as many backticks behind as before."""
VALUE = re.compile(r"\{(\w+)\}\s*(.*)")
ASKED = {"python": "value", "check": "check"}
"""Kinds of values that the page's process evaluates, and what it is asked for."""


@dataclass(frozen=True)
class Value:
    """What stands between single backticks and begins with a word in braces; columns count from 0."""

    start: int
    end: int
    kind: str
    """`python`, `minutes`, `unfolded`, `check`, `asserted`; or a word that was meant for one."""
    code: str


@dataclass(frozen=True)
class Request:
    """What a page asks of its process: to run a fence, or to evaluate what stands in the text."""

    kind: str
    """`run`, `value` or `check`."""
    code: str
    line: int
    """From 0, that of a fence's header."""
    session: str = ""
    raises: str = ""
    """The error that a fence is to end with; none otherwise."""


@dataclass(frozen=True)
class Parts:
    """A page, taken apart once for all who ask; lines count from 0."""

    fences: tuple[Fence, ...]
    wrong: FenceError | None
    """The fault of the next fence, if its header could be read otherwise than it was meant, or if it never closes."""
    values: Mapping[int, Sequence[Value]]
    """Those of each line that has some: of text, and of diagrams."""

    @property
    def requests(self) -> list[Request]:
        """All that the page asks of its process, in order."""
        run = [
            Request(
                "run",
                fence.code,
                fence.line,
                fence.options.get("session", ""),
                fence.options.get("raises", ""),
            )
            for fence in self.fences
            if fence.runs
        ]
        asked = [
            Request(ASKED[value.kind], value.code, line)
            for line, values in self.values.items()
            for value in values
            if value.kind in ASKED
        ]
        return sorted(run + asked, key=lambda request: request.line)

    def filled(self, line: str, at: int, write: Callable[[Value, str], str]) -> str:
        """Write line `at` of the page with something else for each value, which is given as it is typed too."""
        made, end = "", 0
        for value in self.values.get(at, ()):
            made += line[end : value.start] + write(value, line[value.start : value.end])
            end = value.end
        return made + line[end:]


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Parts:
    """Take a page apart, as far as its first wrong fence."""
    lines, fences, at = text.split("\n"), list[Fence](), 0
    values, wrong = dict[int, Sequence[Value]](), None
    while at < len(lines):
        try:
            fence = read_fence(lines, at)
        except FenceError as error:
            wrong = error
            break
        if fence:
            fences.append(fence)
        drawn = fence is not None and fence.language == "mermaid"
        for line in fence.lines if fence else (at,):
            if (fence is None or (drawn and line > at)) and (found := values_in(lines[line])):
                values[line] = found
        at = fence.end + 1 if fence else at + 1
    return Parts(tuple(fences), wrong, MappingProxyType(values))


def values_in(line: str) -> tuple[Value, ...]:
    """Find the values of a line."""
    spans = ((span, VALUE.match(span[2])) for span in SPAN.finditer(line) if len(span[1]) == 1)
    return tuple(Value(*span.span(), value[1], value[2]) for span, value in spans if value)


def fences(text: str) -> tuple[Fence, ...]:
    """Give all fences of a page.

    Raises:
        FenceError: If one of them is wrong.
    """
    parts = parse(text)
    if parts.wrong:
        raise parts.wrong
    return parts.fences
