"""The command line: each command belongs to a layer and is loaded when it is asked for."""

import difflib
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from qkvdocs.errors import WAYS, QKVError, printable

COMMANDS = {
    "artefacts": ("engine.export._artefacts", "test", "make of a built folder what is handed out beside it"),
    "build": ("engine.checks._build", "site", "build the checked site"),
    "check": ("engine.checks._check", "site", "check a built folder: numerals, claims, links, anchors"),
    "changes": ("engine.review._changes", "test", "show what a reader would see changed between two sites"),
    "claims": ("engine.checks._claims", "site", "say how many comparisons the check of claims sees"),
    "ledger": ("engine.checks._ledger", "site", "compare every shown value with the ledger, or update it"),
    "lesson": ("engine.checks._new", "site", "write a new lesson that passes every check"),
    "noise": ("engine.checks._noise", "site", "find shown digits that a last-place error could flip"),
    "runtime": ("engine.runtime._fetch", "site", "fetch the Python that runs in a reader's browser"),
    "offline": (
        "engine.export._offline",
        "site",
        "make a copy of a built folder that opens without a server",
    ),
    "wild": ("wild._command", "remote", "show where a checkpoint keeps its projections"),
}
"""Name, module with `main(arguments) -> int`, the extra that it may need, and what it does."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; those of the process if None.

    Returns:
        The exit code: 0 for success, 1 for a failed check, 2 for a wrong call.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--version"]:
        print(f"qkvdocs {_version()}")  # noqa: T201
        return 0
    if not words or words[0] not in COMMANDS:
        return _usage(words)
    module, extra, _ = COMMANDS[words[0]]
    try:
        command = importlib.import_module(f"qkvdocs.{module}")
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] == "qkvdocs":
            raise
        way = f"pip install '.[{extra}]' in a copy of the repository, or 'qkvdocs-….whl[{extra}]'"
        print(f"{words[0]} needs {missing.name}: {way}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        code = int(command.main(words[1:]))
        sys.stdout.flush()
    except QKVError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        if error.errno not in WAYS:
            raise
        if way := WAYS[error.errno]:
            where = f": {error.filename}" if error.filename else ""
            print(f"{words[0]}: {os.strerror(error.errno)}{where}: {way}", file=sys.stderr)  # noqa: T201
        _let_go()
        return 1
    return code


def _version() -> str:
    try:
        return version("qkvdocs")
    except PackageNotFoundError:
        return "from a folder that is not installed"


def _usage(words: list[str]) -> int:
    """Say what commands there are; first of all, what a word that is none may have meant."""
    asked = words[:1] in (["-h"], ["--help"])
    lines = [f"  {name:10}{what}" for name, (_, _, what) in COMMANDS.items()]
    lines = ["usage: qkvdocs COMMAND …, or qkvdocs --version", *lines]
    if words and not asked:
        near = difflib.get_close_matches(words[0], COMMANDS, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        lines.insert(0, f"COMMAND must be one of those below, got {printable(words[0])!r}{meant}")
    print(*lines, sep="\n", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _let_go() -> None:
    """Write what is left nowhere, where standard output takes no more: the interpreter would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
