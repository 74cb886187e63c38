"""Running one page: its fences and inline values, in the order in which they stand."""

import ast
import functools
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qkvdocs.engine.pages._claims import MARKS, NOTHING, asserted, normal, without_marks
from qkvdocs.engine.pages._errors import LessonError, read_utf8
from qkvdocs.engine.pages._fences import Fence, FenceError
from qkvdocs.engine.pages._forge import KernelEndedError, Limits, Mode, start
from qkvdocs.engine.pages._layout import lay_out
from qkvdocs.engine.pages._marks import BEGIN, END, PRIVATE, mark, shown
from qkvdocs.engine.pages._parts import SPAN, Value, parse
from qkvdocs.engine.pages._reading import reading_minutes
from qkvdocs.engine.pages._runnable import element
from qkvdocs.engine.runtime import folder, is_there, tidy

UNREAD = re.compile(r"`\{(?:python|check|asserted)\}")
PRINTED = re.compile(r"^[ \t>]*(?:`{3,}|~{3,}).*\bexec=", re.M)
HEADING = re.compile(r"#{1,6}\s")
ANCHOR = re.compile(r"""(<[^<>]*?\s(?:id|name)=)("[^"]*"|'[^']*')""")
"""In HTML that is typed: MkDocs reads it before Markdown does."""

Reply = dict[str, Any]
"""What a page's process answers to one fence or value."""


@dataclass(frozen=True)
class Entry:
    """What one fence printed, or what one inline value is."""

    line: int
    """Line of the file, from 1."""
    code: str
    text: str
    fence: Fence | None = None
    """None for an inline value or a check."""
    kind: str = "value"
    """`value`, or `check` for a claim of the text that was held against the page's state."""


@dataclass
class Page:
    """A page's text, and what running it gave."""

    file: str
    """As messages name it, relative to `root`."""
    root: Path
    source: list[str]
    first: int = 1
    """Line of the file on which `source` begins: front matter comes before."""
    lines: list[str] = field(default_factory=list)
    """The source with values filled in and each fence that ran replaced by what it shows."""
    origins: list[int] = field(default_factory=list)
    """For each of `lines` the line of the file that it comes from."""
    entries: list[Entry] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    """Lines of fences that did not run, where `Mode.trace` asked for them."""

    def error(self, line: int, kind: str, message: str, way: str = "") -> LessonError:
        """Make the error that names a line of the file."""
        return LessonError(self.file, line, kind, message, way)

    def write(self, at: int, *lines: str) -> None:
        """Add lines that come from line `at` of the source."""
        self.lines += lines
        self.origins += [self.first + at] * len(lines)


def run_page(path: Path, root: Path, limits: Limits | None = None, mode: Mode | None = None) -> Page:
    """Run a page without rendering it.

    Args:
        path: The Markdown file.
        root: The folder that messages are relative to, and in which the page runs.
        limits: What it may use.
        mode: How it is run.

    Returns:
        The page with one entry a fence and a value, in their order.

    Raises:
        LessonError: If anything on the page fails.
    """
    page = Page(path.relative_to(root).as_posix(), root, read_utf8(path, root).split("\n"))
    if page.source[0].rstrip() == "---" and "---" in page.source[1:]:
        page.first = page.source.index("---", 1) + 2
        page.source = page.source[page.first - 1 :]
    run(page, limits, mode)
    return page


def run(
    page: Page,
    limits: Limits | None = None,
    mode: Mode | None = None,
    *,
    marked: bool = False,
    stash: Callable[[str], str] = str,
    known: Iterable[Reply] | None = None,
) -> None:
    """Run a page's fences and values, and write its lines as a reader is to get them.

    Args:
        page: The page; its lines and entries are filled in.
        limits: What it may use.
        mode: How it is run.
        marked: Mark what was computed, for a conversion that takes the marks away.
        stash: Keeps HTML out of Markdown's way; gives what to write in its place.
        known: What the page's process replies, where that is known; else the page is run.

    Raises:
        LessonError: If anything on the page fails.
    """
    with closing(ask(page, limits or Limits(), mode or Mode())) as replies:
        Walk(page, marked, stash, iter(replies if known is None else known)).down()


def ask(page: Page, limits: Limits, mode: Mode) -> Generator[Reply]:
    """Run a page in a process of its own.

    Args:
        page: The page.
        limits: What it may use.
        mode: How it is run.

    Yields:
        The reply to each of its requests, as far as the first error that is not expected; the end of the process, by
        itself or because a request took too long, is one too.
    """
    requests = [replace(each, line=page.first + each.line) for each in parse("\n".join(page.source)).requests]
    kernel = None
    try:
        if requests:
            kernel = start(page.file, page.root, limits, mode)
            yield from kernel.ask([asdict(request) for request in requests])
    except KernelEndedError as death:
        kind, said = "KernelDied", str(death)
        if death.timed_out and kernel:
            kind, said = "TimeLimit", f"a fence or value may take {limits.seconds:g} s"
        yield {"died": kind, "message": said, "looked": None}
    finally:
        if kernel:
            kernel.close()


class Walk:
    """One walk down a page."""

    def __init__(
        self, page: Page, marked: bool, stash: Callable[[str], str], replies: Iterator[Reply]
    ) -> None:
        self.page, self.marked, self.stash, self.replies = page, marked, stash, replies
        self.mark: Callable[[str], str] = mark if marked else str
        self.in_comment = False
        self.parts = parse("\n".join(page.source))

    def down(self) -> None:
        """Go through the lines in order; write what each fence shows, fill in each value."""
        for line, text in enumerate(self.page.source, self.page.first):
            if found := PRIVATE.search(text):
                message = f"a page must hold no private character, got {found[0]!r}"
                raise self.page.error(line, "EncodingError", message)
        at = 0
        for fence in self.parts.fences:
            self.prose(at, fence.line)
            if fence.runs:
                self.page.write(fence.line, *(fence.prefix + line for line in self.run_fence(fence)))
            else:
                self.copy(fence)
            at = fence.end + 1
        self.prose(at, self.parts.wrong.line if self.parts.wrong else len(self.page.source))
        self.whole()

    def whole(self) -> None:
        """Refuse a page with a wrong fence, wherever it stands."""
        if wrong := self.parts.wrong:
            raise self.page.error(self.page.first + wrong.line, "FenceError", str(wrong))

    def prose(self, start: int, end: int) -> None:
        """Fill in the values of the lines between two fences."""
        for at in range(start, end):
            if (filled := self.fill(self.page.source[at], at)) is not None:
                self.page.write(at, filled)

    def copy(self, fence: Fence) -> None:
        """Pass on a fence that does not run; a diagram gets its values, and the line for its errors."""
        for at in fence.lines:
            line = self.page.source[at]
            if fence.language == "mermaid":
                line = (
                    self.fill(line, at) or ""
                    if at > fence.line
                    else f'{line.rstrip()} line="{self.page.first + at}"'
                )
            elif at == fence.line:
                line = re.sub(r"\s+exec=([\"'])no\1", "", line)
            self.page.write(at, line)

    def run_fence(self, fence: Fence) -> list[str]:
        """Give the lines that take a fence's place."""
        line = self.page.first + fence.line
        if self.in_comment:
            raise self.page.error(line, "FenceError", "a fence inside a comment must not run")
        reply = self.reply(line, fence.options.get("raises"))
        text = tidy(reply["stdout"])
        if PRINTED.search(text):
            raise self.page.error(line, "FenceError", "a fence must not print a fence that runs")
        if UNREAD.search(SPAN.sub(lambda span: "" if len(span[1]) > 1 else span[0], text)):
            raise self.page.error(
                line, "FenceError", "a fence must not print a value or a mark: nobody reads it"
            )
        number = sum(entry.fence is not None for entry in self.page.entries)
        self.page.entries.append(Entry(line, fence.code, text, fence))
        button = ""
        if "run" in fence.options and is_there(self.page.root / folder()):
            button = element(self.page.file.partition("/")[2], number)
        try:
            laid = lay_out(text, fence, line, self.stash, button)
        except FenceError as error:
            raise self.page.error(error.line, "FenceError", str(error)) from None
        return ["", BEGIN, *laid, END, ""] if self.marked and any(laid) else laid

    def fill(self, text: str, at: int) -> str | None:
        """Put the values of a line in their places; None if the line held marks of claims only."""
        line = self.page.first + at
        self.watch_comments(text)

        def write(value: Value, _: str) -> str:
            if value.kind in {"minutes", "unfolded"}:
                self.whole()
                unfolded = value.kind == "unfolded"
                minutes = str(reading_minutes("\n".join(self.page.source), unfolded=unfolded))
                self.page.entries.append(Entry(line, "reading minutes", minutes))
                return self.mark(minutes)
            if value.kind in MARKS:
                self.hold(value.kind, value.code, line)
                return NOTHING
            if value.kind != "python":
                message = (
                    "an inline value must begin {python}, {check} or {asserted}, or be {minutes} "
                    "or {unfolded}, "
                    f"got {{{value.kind}}}"
                )
                raise self.page.error(line, "ValueError", message)
            if HEADING.match(text) and "{#" not in text:
                raise self.page.error(
                    line, "ValueError", "a heading with a value must have an anchor {#name}"
                )
            reply = self.reply(line)
            self.page.entries.append(Entry(line, value.code, reply["text"]))
            return self.mark(reply["text"])

        filled = ANCHOR.sub(lambda anchor: anchor[1] + shown(anchor[2]), self.parts.filled(text, at, write))
        if re.search(r"`{3,}.*\bexec\b", SPAN.sub("", text)):
            raise self.page.error(line, "FenceError", "a fence must begin its line")
        if UNREAD.search(SPAN.sub("", text)):
            raise self.page.error(line, "ValueError", "an inline value must end on its line")
        return without_marks(filled)

    @functools.cached_property
    def asserted(self) -> set[str]:
        """What the page's shown code asserts."""
        self.whole()
        return asserted(self.parts.fences)

    def hold(self, kind: str, claim: str, line: int) -> None:
        """Hold a claim of the text against the state of the page, or against its assertions."""
        if not claim:
            raise self.page.error(line, "ValueError", f"{{{kind}}} must be followed by an expression")
        if kind == "check":
            reply = self.reply(line)
            self.page.entries.append(Entry(line, claim, reply["text"], kind="check"))
            return
        try:
            found = normal(claim) in self.asserted
        except SyntaxError as error:
            raise self.page.error(line, "SyntaxError", f"{error.msg} in {claim!r}") from None
        if not found:
            raise self.page.error(
                line, "ClaimError", f"no code that this page runs and shows asserts {claim!r}"
            )

    def watch_comments(self, text: str) -> None:
        """Remember whether an HTML comment is open at the end of a line."""
        for end in re.findall(r"<!--|-->", SPAN.sub("", text)):
            self.in_comment = end == "<!--"

    def reply(self, line: int, raises: str | None = None) -> Reply:
        """Take the next reply of the page's process; turn a failure into an error with its line."""
        reply = next(self.replies)
        if died := reply.get("died"):
            raise self.page.error(line, died, reply["message"])
        self.page.missed = reply["missed"]
        kind, message = reply.get("error"), reply.get("message", "")
        if kind is None and reply["stderr"]:
            kind, message = "StderrError", f"a page must not write to stderr, got {reply['stderr'].strip()!r}"
        if raises is not None:
            if kind != raises:
                found = f"{kind}: {message}" if kind else "no error"
                raise self.page.error(
                    reply.get("line", line), "FenceError", f"must raise {raises}, got {found}"
                )
            return {**reply, "stdout": f"{reply['stdout']}{kind}: {message}"}
        if kind is not None:
            message += self.way_out(reply, line)
            raise self.page.error(reply.get("line", line), kind, message, reply.get("way", ""))
        if re.search(r"\bnp\.(?:u?int|float|bool|complex|str)\w*\(", reply["stdout"]):
            raise self.page.error(line, "OutputError", "a bare numpy scalar was printed: print it with fmt()")
        return reply

    def way_out(self, reply: Reply, line: int) -> str:
        """Say where the page has a name that was not found, and what to do."""
        if not (name := reply.get("name")):
            return ""
        if owners := [owner for owner in reply["owners"] if owner]:
            own = f'session="{owners[0]}"'
            return f". Session {owners[0]!r} has it: let this fence, or the one above this value, say {own}"
        for fence in self.parts.fences:
            if name not in names_set(fence.code):
                continue
            at = self.page.first + fence.line
            if not fence.runs and fence.language == "python":
                return f'. The fence on line {at} sets it, and does not run: let it say exec="on"'
            if fence.runs and at > line:
                return f". The fence on line {at} sets it, below: a fence or value sees what stands above it"
            if fence.runs and "session" not in fence.options:
                return f". The fence on line {at} sets it, and has no session: only the values below it see its names"
        return ""


def names_set(code: str) -> set[str]:
    """Tell which names code sets; none if it is no Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    found = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
    return found
