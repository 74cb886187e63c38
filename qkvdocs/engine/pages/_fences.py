"""What a fence may say, and what it says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qkvdocs.errors import QKVError

OPEN = re.compile(r"^(?P<prefix>[ \t>]*)(?P<ticks>`{3,}|~{3,})[ \t]*(?P<head>[^`]*)$")
HEADER = re.compile(
    r"(?P<language>[\w#.+-]*)(?P<options>(?:[ \t]+[A-Za-z]\w*=(?:\"[^\"]*\"|'[^']*'))*)[ \t]*$"
)
OPTION = re.compile(r"([A-Za-z]\w*)=(?:\"([^\"]*)\"|'([^']*)')")
CONTAINER = re.compile(r"\s*(?:[-*+]|\d+\.|!!!|\?\?\?\+?|===\+?|:|\[\^[^\]]+\]:)\s")
NAME = re.compile(r"[\w.-]+$")

SHOWN = {"title": None, "linenums": None, "hl_lines": None}
RUN = {
    "exec": {"on"},
    "session": NAME,
    "id": NAME,
    "source": {"above", "below", "block", "tabbed-left", "tabbed-right", "console"},
    "result": NAME,
    "html": {"on", "off"},
    "tabs": None,
    "raises": NAME,
    "run": {"on"},
}
"""Options of a fence that runs: markdown-exec's own; `raises`, the error that it must end with; and `run`, whether
a reader can run it too."""


class FenceError(QKVError):
    """A fence's header, or its end, is not what it must be; `line` counts from the first line given."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line

    def __reduce__(self) -> tuple[type["FenceError"], tuple[int, str]]:
        # So that it comes whole out of a process that works beside another.
        return type(self), (self.line, str(self))


@dataclass(frozen=True)
class Fence:
    """One fence as written; lines count from 0 in the text that was given."""

    line: int
    end: int
    prefix: str
    ticks: str
    language: str
    options: dict[str, str]
    code: str

    @property
    def runs(self) -> bool:
        """Whether it is marked to run."""
        return self.options.get("exec") == "on"

    @property
    def lines(self) -> range:
        """Those that it takes, its own two included."""
        return range(self.line, self.end + 1)


def read_fence(lines: Sequence[str], line: int) -> Fence | None:
    """Read the fence that a line opens, if it opens one.

    Raises:
        FenceError: If its header could be read otherwise than it was meant, or if it never closes.
    """
    if not (opening := OPEN.match(lines[line])):
        return None
    prefix, ticks, head = opening["prefix"], opening["ticks"], opening["head"].strip()
    language, options = _read_header(head, line)
    if options.get("exec") == "on" and _in_indented_code(lines, line, prefix):
        raise FenceError(line, "a fence that runs must not stand in indented code")
    for end in range(line + 1, len(lines)):
        if lines[end].rstrip() == prefix + ticks:
            code = "\n".join(_strip(text, prefix) for text in lines[line + 1 : end])
            return Fence(line, end, prefix, ticks, language, options, code)
    raise FenceError(line, f"this fence must end with a line {prefix + ticks!r}, found none")


def _read_header(head: str, line: int) -> tuple[str, dict[str, str]]:
    if head.startswith("{") and not re.search(r"\bexec\b", head):
        return "", {}
    if not (header := HEADER.match(head)):
        raise FenceError(line, f'a fence header must read: language option="value" …, got {head!r}')
    language = header["language"]
    options = {name: double or single for name, double, single in OPTION.findall(header["options"])}
    known = SHOWN | (RUN if "exec" in options else {})
    if unknown := [name for name in options if name not in known and options != {"exec": "no"}]:
        message = f"a fence option must be one of {', '.join(sorted(known))}, got {unknown[0]!r}"
        if unknown[0] in RUN:
            message = f'{unknown[0]} must stand with exec="on", got a fence that does not run'
        raise FenceError(line, message)
    if language in {"python", "py", "pycon"} and "exec" not in options:
        raise FenceError(line, 'a python fence must say exec="on", or exec="no" where it must not run')
    if options.get("exec", "no") == "no":
        return language, options
    if language != "python":
        raise FenceError(line, f"only python fences run, got {language!r}")
    for name, value in options.items():
        rule = known[name]
        if isinstance(rule, set) and value not in rule:
            raise FenceError(line, f"{name} must be one of {', '.join(sorted(rule))}, got {value!r}")
        if isinstance(rule, re.Pattern) and not rule.match(value):
            raise FenceError(line, f"{name} must be a name, got {value!r}")
    shows = options.get("source") == "above" and options.get("result", "text") == "text"
    if "run" in options and not shows and options.get("html") != "on":
        raise FenceError(
            line, 'run must stand with source="above" and result="text", or with a figure\'s html="on"'
        )
    return language, options


def _in_indented_code(lines: Sequence[str], line: int, prefix: str) -> bool:
    """Tell whether an indented fence has no list item, admonition, tab or note above it to belong to."""
    indent = len(prefix.expandtabs(4))
    if indent < 4 or ">" in prefix:
        return False
    for above in reversed([text.expandtabs(4) for text in lines[:line]]):
        if above.strip() and len(above) - len(above.lstrip()) < indent:
            return not CONTAINER.match(above)
    return True


def _strip(text: str, prefix: str) -> str:
    return text[len(prefix) :] if text.startswith(prefix) else text.lstrip(" \t>")
