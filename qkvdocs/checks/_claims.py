"""A sentence that compares is bound to code: `larger`, `equals` and `sums to one` must be true when the site is built.

The words that make a claim are published in `docs/claims.toml`. A sentence with one of them carries a mark,
`{check} expression` or `{asserted} condition`, or a cited fact, or stands in the same file with a reason.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkvdocs.errors import QKVError
from qkvdocs.lessons import LessonError, fences

SPAN = re.compile(r"\s*(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
MARK = re.compile(r"\{(?:check|asserted)\}")
MARKED = "\0"
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


@dataclass(frozen=True)
class Exempt:
    """A claim that no code can bear out, and why."""

    page: str
    text: str
    reason: str


@dataclass(frozen=True)
class Claims:
    """The published list."""

    pages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    idioms: tuple[str, ...] = ()
    """Phrases that hold one of the words and compare nothing."""
    sections: frozenset[str] = frozenset()
    """Sections that are not read."""
    exempt: tuple[Exempt, ...] = field(default=())

    @classmethod
    def read(cls, docs: Path) -> "Claims":
        """Read the list of a site; empty where there is none.

        Raises:
            QKVError: If an entry is unknown or lacks its reason.
        """
        path = docs / "claims.toml"
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        known = set(cls.__dataclass_fields__)
        if unknown := sorted(set(table) - known):
            raise QKVError(f"docs/claims.toml must have entries from {sorted(known)}, got {unknown[0]!r}")
        entries = table.pop("exempt", [])
        for entry in entries:
            if set(entry) != {"page", "text", "reason"} or not all(entry.values()):
                raise QKVError(f"an exempt claim must have page, text and reason, got {entry}")
        lists = {name: tuple(table.pop(name, ())) for name in ("pages", "words", "idioms")}
        sections = frozenset(table.pop("sections", ()))
        return cls(**lists, sections=sections, exempt=tuple(Exempt(**entry) for entry in entries))


def sentences(text: str, skip: frozenset[str] = frozenset()) -> Iterator[Sentence]:
    """Read a page sentence by sentence.

    Args:
        text: The Markdown.
        skip: Anchors of sections to leave out.

    Yields:
        Each sentence of prose, list or table; not those of fences, headings, titles and displayed formulas.
    """
    for first, block in _blocks(text.split("\n"), skip):
        marked = SPAN.sub(_marked, block)
        for found in (
            [re.match(r".*", marked, re.S)] if block.lstrip().startswith("|") else SENTENCE.finditer(marked)
        ):
            assert found  # noqa: S101
            if words := " ".join(CODE.sub(lambda code: "] " if code[0][0] == "]" else "x", found[0]).split()):
                lead = len(found[0]) - len(found[0].lstrip())
                line = first + marked.count("\n", 0, found.start() + lead)
                bound = MARKED in found[0] or "{.cited}" in found[0]
                yield Sentence(line, words.replace(MARKED, ""), bound)


def _marked(span: re.Match[str]) -> str:
    """Put one sign in a mark's place, and keep its lines; leave other code alone."""
    is_mark = len(span[1]) == 1 and MARK.match(span[2])
    return MARKED + "\n" * span[0].count("\n") if is_mark else span[0]


def _blocks(lines: list[str], skip: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Give each paragraph, item and table row with its first line, from 1."""
    inside = {at for fence in fences(lines) for at in range(fence.line, fence.end + 1)}
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


def check_claims(docs: Path) -> tuple[str, list[LessonError]]:
    """Find the claims of a site that are bound to nothing.

    Args:
        docs: The Markdown files.

    Returns:
        A line of a report, and the errors.
    """
    try:
        claims = Claims.read(docs)
    except (QKVError, tomllib.TOMLDecodeError) as error:
        return "", [LessonError("docs/claims.toml", 1, "ClaimError", str(error))]
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, claims.words))})\b", re.I)
    idiom = re.compile("|".join(map(re.escape, claims.idioms)), re.I)
    used: set[Exempt] = set()
    bound, errors = 0, []
    for path in sorted(docs.rglob("*.md")) if claims.words else ():
        name = path.relative_to(docs).as_posix()
        if not name.startswith(claims.pages):
            continue
        for sentence in sentences(path.read_text("utf-8"), claims.sections):
            text = idiom.sub(" ", sentence.text) if claims.idioms else sentence.text
            if not (found := word.search(text)):
                continue
            reasons = [entry for entry in claims.exempt if entry.page == name and entry.text in sentence.text]
            bound += sentence.bound
            if not sentence.bound:
                used.update(reasons)
                if not reasons:
                    errors.append(_unbound(f"docs/{name}", sentence, found[0]))
    errors += [_stale(entry) for entry in claims.exempt if entry not in used]
    return f"claims: {bound} bound to code or source, {len(claims.exempt)} exempt with a reason", errors


def _unbound(file: str, sentence: Sentence, word: str) -> LessonError:
    message = (
        f"{word!r} makes a claim in “{sentence.text}”: "
        "add {check} or {asserted}, cite it, or list it in docs/claims.toml"
    )
    return LessonError(file, sentence.line, "UnboundClaim", message)


def _stale(entry: Exempt) -> LessonError:
    message = f"{entry.text!r} is exempt, but {entry.page} makes no unbound claim with it: take the entry out"
    return LessonError("docs/claims.toml", 1, "StaleExemption", message)
