"""Running one fence in the reader's browser as the build ran it, and printing what it printed."""

import io
import linecache
import re
import sys
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

OWN, ABOVE = "this block", "a block above"
OUTPUT = 100_000


def settle() -> None:
    """Make numpy print, and complain, as on every page: both where a page is built and where it is read."""
    import numpy as np  # not at the top: the builder, which runs nothing, needs `tidy`

    np.set_printoptions(precision=4, suppress=True, linewidth=88)
    np.seterr(all="raise", under="ignore")
    warnings.simplefilter("error")


def tidy(text: str) -> str:
    r"""Drop white space at the end of each line, and of the whole.

    Args:
        text: What a fence printed.

    Returns:
        What the page shows of it.

    Examples:
        >>> tidy("[1. \n 2.]\n\n")
        '[1.\n 2.]'
    """
    return re.sub(r"[ \t]+$", "", text.rstrip(), flags=re.M)


def run_fence(fences: Sequence[Mapping[str, str]], number: int, code: str) -> dict[str, str]:
    """Run a reader's version of a fence, after the fences above it, in a namespace of its own.

    Args:
        fences: The fences of the page that run, in order: `code`, and where they have them `session` and
            `raises`.
        number: Which of them it is, from 0.
        code: What the reader made of it.

    Returns:
        The `text` to show, and the `error` that ended it, empty if none did.
    """
    import numpy as np

    fence = fences[number]
    module = sys.modules["__lesson__"] = types.ModuleType("__lesson__")  # dataclasses look it up
    output = Output()
    with (
        redirect_stdout(output),
        redirect_stderr(output),
        np.printoptions(),
        np.errstate(),
        warnings.catch_warnings(),
    ):
        settle()
        try:
            # A reader has no file of the repository. What reads one is passed over, and so is what needs its names.
            lost: tuple[type[Exception], ...] = (FileNotFoundError,)
            for earlier in fences[:number] if fence.get("session") else ():
                if earlier.get("session") == fence["session"]:
                    try:
                        execute(earlier["code"], ABOVE, module)
                    except Exception as error:
                        if not earlier.get("raises") and not isinstance(error, lost):
                            raise
                        lost += (NameError,) if isinstance(error, FileNotFoundError) else ()
            output.clear()
            execute(code, OWN, module)
        except BaseException as error:
            return describe(error, output.getvalue(), fence.get("raises", ""))
    return {"text": tidy(output.getvalue()), "error": ""}


def execute(code: str, name: str, module: types.ModuleType) -> None:
    """Run code whose lines a traceback can show."""
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    exec(compile(code, name, "exec"), vars(module))  # noqa: S102


def describe(error: BaseException, printed: str, expected: str) -> dict[str, str]:
    """Show an error: as the build does where it was expected, else with the way to it through the reader's code."""
    kind, message = type(error).__name__, str(error) or "no message"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in {OWN, ABOVE}]
    lines = [frame.lineno for frame in frames if frame.filename == OWN]
    way = "".join(traceback.format_list(frames))
    if isinstance(error, SyntaxError) and error.filename == OWN:
        message, lines = error.msg, [error.lineno]
        way = "".join(traceback.format_exception_only(error)[:-1])
    if kind == expected:
        way = ""
    where = f" in line {lines[-1]}" if lines else ""
    return {"text": tidy(f"{printed}{way}{kind}: {message}"), "error": kind + where}


class Output(io.StringIO):
    """What was printed; more than a page may print is an error, not a full memory."""

    def write(self, text: str) -> int:
        """Take some more.

        Raises:
            OverflowError: If it is too much.
        """
        if self.tell() + len(text) > OUTPUT:
            raise OverflowError(f"a block may print {OUTPUT} characters")
        return super().write(text)

    def clear(self) -> None:
        """Forget what was printed."""
        self.seek(0)
        self.truncate()


def answer(request: Any) -> str:
    """Run what the page's script asks for.

    Args:
        request: The three arguments of `run_fence`, as JSON.

    Returns:
        Its result, as JSON.
    """
    import json

    return json.dumps(run_fence(*json.loads(request)))
