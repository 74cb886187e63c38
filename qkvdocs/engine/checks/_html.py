"""What a reader gets of a built page: its words, and the lines of the source that they come from."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from qkvdocs.engine.pages import Value, fences, parse

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
INLINE = {"a", "abbr", "b", "code", "data", "del", "em", "i", "kbd", "mark", "small", "span", "strong", "sub", "sup", "tspan"}  # fmt: skip # noqa: E501
WORD = re.compile(r"\w+")
DRAWINGS = {"figure", "svg"}
HIDDEN = {"script", "style", "template"}
PLAIN = re.compile(r'<span class="[\w-]{1,3}">([^<]*)</span>')
"""A span with nothing but a class that colours code: half of all elements, and nothing that a reader gets."""
MARKED = ("cited", "recorded")
SPOKEN = ("alt", "title", "aria-label", "placeholder")


@dataclass(frozen=True)
class Words:
    """A run of text that a reader sees or hears as one."""

    text: str
    kind: str = "prose"
    """`prose`, `tex`, or the class `cited` or `recorded` of the element that holds it."""
    worked: bool = False
    """Whether it stands in a section whose heading has the class `worked`."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Of the element that gave it its kind."""
    drawing: int = 0
    """The number of the drawing that holds it, from 1; 0 outside of drawings."""


class State(NamedTuple):
    """What an open element is, and is inside of."""

    tag: str = ""
    content: bool = False
    hidden: bool = False
    math: bool = False
    drawing: int = 0
    kind: str = "prose"
    attributes: dict[str, str] = {}  # noqa: RUF012


class PageReader(HTMLParser):
    """Read one built page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[Words] = []
        self.has_content = False
        """Whether there is an article, or an element in the role of one: without it no words are found."""
        self._open = [State()]
        self._run = ""
        self._worked = False
        self._drawings = 0
        self.feed(PLAIN.sub(r"\1", text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what kind of words follow; a block ends the run of words before it."""
        found = {name: value or "" for name, value in attrs}
        classes = found.get("class", "").split()
        marked = next((kind for kind in MARKED if kind in classes), None)
        if tag not in INLINE or marked:
            self._end_run()
        if tag == "h2":
            self._worked = "worked" in classes
        around = self._open[-1]
        if tag in DRAWINGS and not around.drawing:
            self._drawings += 1
        here = State(
            tag,
            around.content or tag == "article" or found.get("role") == "main",
            around.hidden or tag in HIDDEN,
            around.math or tag == "math",
            self._drawings if tag in DRAWINGS or around.drawing else 0,
            *(("tex", found) if tag == "annotation" else (marked, found) if marked else around[-2:]),
        )
        if tag not in VOID:
            self._open.append(here)
        if (here.content and tag not in VOID) or around.content:
            self.has_content = True
            spoken = (found[name] for name in SPOKEN if name in found and marked != "cited")
            self.words.extend(Words(text, worked=self._worked, drawing=here.drawing) for text in spoken)

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and what was left open inside it."""
        if tag not in INLINE or self._open[-1].kind != "prose":
            self._end_run()
        for at in range(len(self._open) - 1, 0, -1):
            if self._open[at].tag == tag:
                del self._open[at:]
                break

    def handle_data(self, data: str) -> None:
        """Add to the run of words, if a reader gets it."""
        here = self._open[-1]
        if here.content and not here.hidden and (not here.math or here.tag == "annotation"):
            self._run += data

    def _end_run(self) -> None:
        if self._run.strip():
            here = self._open[-1]
            self.words.append(Words(self._run, here.kind, self._worked, here.attributes, here.drawing))
        self._run = ""

    def close(self) -> None:
        """Take the last words too."""
        super().close()
        self._end_run()


class Lines:
    """The lines of a Markdown file, to find those that hold what a reader saw."""

    def __init__(self, source: Path) -> None:
        self.text = source.read_text("utf-8")
        lines = self.text.split("\n")
        if source.suffix == ".md":
            parts = parse(self.text)
            run = {at for fence in fences(self.text) if fence.runs for at in fence.lines}
            lines = ["" if at in run else parts.filled(line, at, _blank) for at, line in enumerate(lines)]
        self.written = "\n".join(lines)
        """The text without what is computed, line by line as long as it."""

    def find(self, needle: str, around: str = "") -> int:
        """Find the line that most likely holds a text.

        Args:
            needle: What it must hold.
            around: Words that stand near it on the page.

        Returns:
            The line, from 1; 1 if none holds it.
        """
        place = self._place(self.text, needle, around)
        return self.text.count("\n", 0, place[0]) + 1 if place else 1

    def take(self, needle: str, around: str = "") -> int:
        """Find a line by what is typed there, and never the same place again.

        Returns:
            As `find` does.
        """
        place = self._place(self.written, needle, around)
        if place is None:
            return self.find(needle, around)
        start, end = place
        line = self.written.count("\n", 0, start) + 1
        self.written = self.written[:start] + re.sub(r".", " ", self.written[start:end]) + self.written[end:]
        return line

    @staticmethod
    def _place(text: str, needle: str, around: str) -> tuple[int, int] | None:
        """Prefer a whole word to a part of one, then the place with the most of the words around it."""
        pattern = r"\s+".join(map(re.escape, needle.split()))
        near = set(WORD.findall(around))
        for edge in (r"(?<![\w.-])%s(?![\w-])", "%s"):
            places = [found.span() for found in re.finditer(edge % pattern, text)] if pattern else []
            if places:
                return max(places, key=lambda place: len(near & set(WORD.findall(_nearby(text, *place)))))
        return None


def _blank(_: Value, typed: str) -> str:
    return " " * len(typed)


def _nearby(text: str, start: int, end: int, reach: int = 120) -> str:
    return text[max(0, start - reach) : end + reach]


def find_line(source: Path, needle: str, around: str = "") -> int:
    """Find the line of a Markdown file that most likely holds a text, as `Lines.find` does."""
    return Lines(source).find(needle, around)
