"""Python commands in processes forked from a warm one, which has everything loaded: a start costs next to nothing.

A command has its own process, folder, environment, arguments, streams and exit code, as ever; so have the builders
that it starts. They share the loaded modules, which nobody changes, and the warm process that starts pages.
"""

import atexit
import importlib
import json
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from qkvdocs.engine.pages import _forge

ROOT = Path(__file__).parents[1]
MODULES = (
    "mkdocs.commands.build", "mkdocs.config.defaults", "mkdocs.livereload", "pytest",
    "qkvdocs.engine.checks._build", "qkvdocs.engine.checks._ledger",
    "markdown.extensions.admonition", "markdown.extensions.attr_list", "markdown.extensions.md_in_html",
    "markdown.extensions.tables", "markdown.extensions.toc", "pymdownx.arithmatex", "pymdownx.highlight",
    "pymdownx.superfences", "pymdownx.tabbed", "qkvdocs.engine.pages._hooks",
)  # fmt: skip
SECONDS = 60
Started = subprocess.Popen


class Forked(Started):  # type: ignore[type-arg]
    """Fork instead of starting an interpreter, where `python -m MODULE` is asked for."""

    def __init__(self, args: Any, **more: Any) -> None:
        if list(args[:2]) == [sys.executable, "-m"]:
            more["preexec_fn"] = lambda: become(args[2:], more.get("env") or {**os.environ})
        super().__init__(args, **more)


def become(words: list[str], environment: dict[str, str]) -> NoReturn:
    """Be that command, in the process just forked for it."""
    kept = [forge.channel.socket.fileno() for forge in _forge._forges.values()]
    for low, high in zip([2, *kept], [*kept, 4096], strict=True):
        os.closerange(low + 1, high)
    atexit._clear()
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv, code = words, 0
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # as the interpreter would
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(number: int, seconds: float) -> None:
    """Run commands, one after the other, until nobody asks any more, or one hangs."""
    for name in MODULES:
        importlib.import_module(name)
    _forge.warm(ROOT)
    for forge in _forge._forges.values():
        _ = forge.files
        forge.lock = multiprocessing.RLock()  # type: ignore[assignment]
        forge.process.poll = lambda: None  # type: ignore[method-assign] # not a child of those who ask
    subprocess.Popen = Forked  # type: ignore[assignment, misc]
    asked = socket.socket(fileno=number).makefile("rw", encoding="utf-8")
    for order in asked:
        try:
            done = subprocess.run(
                **json.loads(order), capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return
        asked.write(json.dumps([done.returncode, done.stdout, done.stderr]) + "\n")
        asked.flush()


@cache
def server() -> Any:
    """Start the warm process of this one; it ends with it."""
    ours, theirs = socket.socketpair()
    with theirs:
        code = f"from tests.warm import serve; serve({theirs.fileno()}, {SECONDS})"
        words = [sys.executable, "-c", code]
        started = subprocess.Popen(words, cwd=ROOT, pass_fds=[theirs.fileno()])
    asked = ours.makefile("rw", encoding="utf-8")

    def end() -> None:
        with suppress(OSError):  # it has ended
            ours.shutdown(socket.SHUT_RDWR)
            asked.close()
        ours.close()
        started.wait()

    atexit.register(end)
    return asked


def run(words: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Run a command as `subprocess.run` would; None if it hung, which a lock can do that a killed build held."""
    asked = server()
    asked.write(json.dumps({"args": words, "cwd": str(cwd), "env": env}) + "\n")
    asked.flush()
    if answer := asked.readline():
        return subprocess.CompletedProcess(words, *json.loads(answer))
    server.cache_clear()
    return None
