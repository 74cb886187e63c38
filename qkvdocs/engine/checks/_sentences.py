"""A page's prose, sentence by sentence, as it is written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qkvdocs.engine.pages import Value, parse
from qkvdocs.engine.pages._claims import MARKS

MARKED = "\0"
"""Stands for what binds a sentence: a claim beside it, or a word in it that is computed."""
APART = re.compile(rf"(\s+){MARKED}")
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|\\\(.+?\\\)|\]\([^)]*\)|<[^>]*>", re.S)
SENTENCE = re.compile(rf"(?:[^.!?]|[.!?](?![\"”’*_)]*{MARKED}*(?:\s|$)))+[.!?]?[\"”’*_)]*{MARKED}*")
LEFT_OUT = re.compile(r"\s*(?:#{1,6}\s|<|(?:!!!|\?\?\?\+?|===)\s|\*\*Common wrong answer)")
"""Headings, raw HTML, titles of boxes, and what is quoted because it is wrong."""
ITEM = re.compile(r"\s*(?:(?:[-*+]|\d+\.|>|:)\s|\|)")
RULER = re.compile(r"\s*\|?[ :|-]*-{3}[ :|-]*$")
"""The line under the head of a table."""
SECTION = re.compile(r"##\s.*\{[^}]*#([\w-]+)")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page as it is written."""

    line: int
    text: str
    """Without code, formulas and the targets of links."""
    bound: bool
    """Whether it carries a mark or a cited fact."""


def sentences(text: str, skip: frozenset[str] = frozenset()) -> Iterator[Sentence]:
    """Read a page sentence by sentence.

    Args:
        text: The Markdown.
        skip: Anchors of sections to leave out.

    Yields:
        Each sentence of prose, list or table; not those of fences, headings, titles and displayed formulas.
    """
    for first, block in _blocks(text, skip):
        marked = APART.sub(lambda apart: MARKED + "\n" * apart[1].count("\n"), block)
        for found in (
            [re.match(r".*", marked, re.S)] if block.lstrip().startswith("|") else SENTENCE.finditer(marked)
        ):
            assert found  # noqa: S101
            if words := " ".join(CODE.sub(lambda code: "] " if code[0][0] == "]" else "x", found[0]).split()):
                lead = len(found[0]) - len(found[0].lstrip())
                line = first + marked.count("\n", 0, found.start() + lead)
                bound = MARKED in found[0] or "{.cited}" in found[0]
                yield Sentence(line, words.replace(MARKED, ""), bound)


def _marked(value: Value, typed: str) -> str:
    """Put one sign in a mark's place; leave other values alone."""
    computed = value.kind == "python" and value.code.startswith("compare(")
    return MARKED if computed or value.kind in MARKS else typed


def _blocks(text: str, skip: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Give each paragraph, item and table row with its first line, from 1."""
    parts = parse(text)
    lines = [parts.filled(line, at, _marked) for at, line in enumerate(text.split("\n"))]
    inside = {at for fence in parts.fences for at in fence.lines}  # who runs the page names a wrong one
    first, block, skipping, formula = 0, "", False, False
    for at, line in enumerate([*lines, ""]):
        if section := SECTION.match(line) if at not in inside else None:
            skipping = section[1] in skip
        rule = line.strip() == "$$"
        head = at + 1 < len(lines) and RULER.match(lines[at + 1]) and "|" in line
        out = at in inside or skipping or formula or rule or head or not line.strip() or LEFT_OUT.match(line)
        formula ^= rule
        if block and (out or ITEM.match(line)):
            yield first, block
            block = ""
        if not out:
            first, block = (first, f"{block}\n{line}") if block else (at + 1, line)
