"""The process that runs one page: a warm parent, the forge, forks it and sets its limits.

Run as a script with only the standard library at the top, so that nothing of the site's own tooling is visible
to a lesson. Requests and replies are JSON lines.
"""

import ast
import contextlib
import ctypes
import gc
import importlib.util
import json
import os
import py_compile
import re
import resource
import runpy
import signal
import socket
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

MEGABYTE = 2**20
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\U000f0000-\U0010ffff]")
"""What no page can show: control characters but tab and newline, and the private ones in which `_marks` marks."""
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl


class ClaimError(Exception):
    """What the text says is not so."""


class OutputError(Exception):
    """What was printed cannot be shown, or not be told from what another fence prints."""


class Page:
    """The namespaces of one page, and the way from an exception to a line of its file."""

    def __init__(self, order: dict[str, Any], transform: Callable[[ast.AST], ast.AST] | None) -> None:
        self.file, self.root, self.limits = order["file"], order["root"], order["limits"]
        self.trace, self.transform = order["trace"], transform
        self.sessions: dict[str, types.ModuleType] = {}
        self.tree = ast.Module([], [])
        self.enter("")
        self.possible: set[int] = set()
        self.lines: set[int] = set()

    def enter(self, session: str) -> None:
        """Give each session one module, and a fence without a session a fresh one."""
        if session not in self.sessions or not session:
            self.sessions[session] = types.ModuleType("__lesson__")
        self.module = sys.modules["__lesson__"] = self.sessions[session]  # dataclasses look it up

    def run(self, code: str, line: int, session: str) -> dict[str, Any]:
        """Run a fence whose header stands on `line`."""
        self.enter(session)
        tree = self.tree = ast.parse("\n" * line + code, self.file)
        if self.trace:
            self.possible |= code_lines(compile(tree, self.file, "exec"))
            sys.settrace(self.note)
        try:
            exec(self.compiled(tree, "exec"), vars(self.module))  # noqa: S102
        finally:
            sys.settrace(None)
        return {}

    def value(self, code: str, line: int) -> dict[str, Any]:
        """Evaluate an inline value against the state after the fence above it."""
        from qkvdocs.numbers import plain

        text = plain(self.evaluated(code, line))
        refuse_control(text, "a value")
        return {"text": text}

    def check(self, code: str, line: int) -> dict[str, Any]:
        """Hold a claim of the text against the state after the fence above it."""
        found = self.evaluated(code, line)
        if type(found).__name__ not in {"bool", "bool_"}:  # numpy may not be there
            shape = getattr(found, "shape", None)
            kind = type(found).__name__ + (f" of shape {shape}" if shape is not None else "")
            raise ClaimError(f"{code} must be True or False, got {kind}")
        if not found:
            raise ClaimError(
                f"{code} is False{values_in(ast.parse(f'({code})', mode='eval').body, vars(self.module))}"
            )
        return {"text": "True"}

    def evaluated(self, code: str, line: int) -> Any:
        """Evaluate an expression that changes no name of the page."""
        tree = ast.parse("\n" * (line - 1) + f"({code}\n)", self.file, "eval")
        if self.trace:
            sys.settrace(self.note)
        return eval(self.compiled(tree, "eval"), dict(vars(self.module)))  # noqa: S307

    def compiled(self, tree: ast.AST, mode: str) -> types.CodeType:
        """Compile, disturbed where that was asked for."""
        code: types.CodeType = compile(self.transform(tree) if self.transform else tree, self.file, mode)  # type: ignore[call-overload]
        return code

    def note(self, frame: types.FrameType, event: str, _: object) -> Any:
        """Remember which lines of the page ran."""
        if frame.f_code.co_filename != self.file:
            return None
        if event == "line":
            self.lines.add(frame.f_lineno)
        return self.note

    def describe(self, error: BaseException, line: int) -> dict[str, Any]:
        """Name the lesson's own line first, then the way the error took."""
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename != __file__ and not frame.filename.startswith("<frozen")
        ]
        here = [frame.lineno or line for frame in frames if frame.filename == self.file]
        text = str(error) or "no message"
        if isinstance(error, SyntaxError) and error.filename == self.file:
            line, text, frames = error.lineno or line, error.msg, []
        elif here:
            line = here[-1]
        if isinstance(error, AssertionError) and not str(error) and here:
            text = self.false_assertion(error) or text
        if isinstance(error, SystemExit):
            text = f"a lesson must not end the build (sys.exit({error.code!r}))"
        if isinstance(error, MemoryError):
            text = f"{text} (a page may use {self.limits['memory'] // MEGABYTE} MB)"
        way = "".join(traceback.format_list(frames)).replace(self.root + os.sep, "")
        name = error.name if isinstance(error, NameError) else None
        owners = [session for session, module in self.sessions.items() if name in vars(module)]
        return {
            "error": type(error).__name__,
            "message": text,
            "line": line,
            "way": way,
            "name": name,
            "owners": owners,
        }

    def false_assertion(self, error: AssertionError) -> str:
        """Say what an assertion of the page holds, and what its operands were."""
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            if frame.f_code.co_filename == self.file:
                for node in ast.walk(self.tree):
                    if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or line):
                        names = {**frame.f_globals, **frame.f_locals}
                        return f"{ast.unparse(node.test)} is False{values_in(node.test, names)}"
        return ""


def values_in(test: ast.expr, names: dict[str, Any]) -> str:
    """Give the operands of a condition that was false, with what they were."""
    found: dict[str, str] = {}
    for node in ast.walk(test):
        operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        operands += node.args if isinstance(node, ast.Call) else []
        for operand in operands:
            if not isinstance(operand, ast.Constant | ast.Starred):
                with contextlib.suppress(Exception):
                    value = eval(compile(ast.Expression(operand), "", "eval"), dict(names))  # noqa: S307
                    found.setdefault(ast.unparse(operand), " ".join(repr(value).split())[:80])
    return ": " + ", ".join(f"{name} = {value}" for name, value in found.items()) if found else ""


def refuse_control(text: str, what: str) -> None:
    """Refuse what no page can show."""
    if found := CONTROL.search(text):
        raise OutputError(
            f"{what} must hold no control or private character but tab and newline, got {found[0]!r}"
        )


def code_lines(code: types.CodeType) -> set[int]:
    """All lines that a code object and the functions inside it can run."""
    inner = (code_lines(const) for const in code.co_consts if isinstance(const, types.CodeType))
    return {line for *_, line in code.co_lines() if line}.union(*inner)


class Watch:
    """What a page looked at outside of itself, by Python's audit events."""

    LOOKS = frozenset({"open", "os.listdir", "os.scandir"})
    FOLLOWED = ("open", "os.", "shutil.", "socket.", "subprocess.", "urllib.")
    CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    HARMLESS = frozenset({"os.putenv", "os.unsetenv", "os.walk", "os.fwalk"})
    SYSTEM = ("/dev/", "/proc/", "/sys/")

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.lost = False
        """It did what a second look at these paths would not tell."""

    def start(self) -> None:
        """Watch from now on; asking whether a file is there raises no event."""
        sys.addaudithook(self.note)
        os.stat, os.lstat = self.noting(os.stat), self.noting(os.lstat)

    def noting(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        """Note the path first."""

        def noted(path: Any, *rest: Any, **more: Any) -> Any:
            self.look(path)
            return ask(path, *rest, **more)

        return noted

    def look(self, path: Any) -> None:
        """Note a path; a descriptor was opened before, and noted then."""
        if not isinstance(path, int):
            path = os.path.abspath(os.fsdecode(path or "."))  # noqa: PTH100
            self.paths.add(path)
            self.lost = self.lost or path.startswith(
                self.SYSTEM
            )  # other words each time, under the same date

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take one event."""
        if not event.startswith(self.FOLLOWED) or event in self.HARMLESS:
            return
        if event in self.LOOKS:
            self.look(arguments[0])
        if event not in self.LOOKS or (event == "open" and (arguments[2] or 0) & self.CHANGES):
            self.lost = True


class Capture:
    """Both output streams, caught at their file descriptors, in files of limited size."""

    def __init__(self) -> None:
        self.files: dict[str, IO[bytes]] = {}
        self.streams: dict[str, Any] = {}
        for number, name in ((1, "stdout"), (2, "stderr")):
            self.files[name] = tempfile.TemporaryFile()  # noqa: SIM115
            os.dup2(self.files[name].fileno(), number)
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            self.streams[name] = stream
            setattr(sys, name, stream)

    def take(self, name: str) -> str:
        """Read what was written since the last time."""
        with contextlib.suppress(
            OSError, ValueError
        ):  # a full file says so by its size, a closed stream in `hold`
            self.streams[name].flush()
        file = self.files[name]
        file.seek(0)
        text = file.read().decode(errors="replace")
        file.seek(0)
        file.truncate()
        return text

    def hold(self) -> None:
        """Refuse a fence after which output would go elsewhere, or come from what is still running.

        Raises:
            OutputError: If that is so.
        """
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = self.streams[name]
            try:
                there = os.path.sameopenfile(number, self.files[name].fileno())
            except OSError:
                there = False
            if getattr(sys, name) is not stream or stream.closed or not there:
                raise OutputError(f"a fence must leave sys.{name} and descriptor {number} as they were")
        if others := [
            thread.name for thread in threading.enumerate() if thread is not threading.current_thread()
        ]:
            raise OutputError(
                f"a fence must wait for the threads that it starts, got {', '.join(others)} still running"
            )
        if has_children():
            end_children()
            raise OutputError("a fence must wait for the processes that it starts, got some still there")


def has_children() -> bool:
    """Tell whether a process that this one started is still there, or was not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> Iterator[int]:
    """Give this process's children, orphans of its children among them."""
    for path in Path("/proc/self/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def end_children() -> None:
    """Kill them all, and those that they leave behind."""
    while found := list(children()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def refuse_fork() -> NoReturn:
    """Stand in for `os.fork`: two processes would answer for one page."""
    raise OutputError("a page must not fork its process: use subprocess, and wait for it")


def answer(page: Page, capture: Capture, watch: Watch, request: dict[str, Any]) -> dict[str, Any]:
    """Run one fence or value; whatever happens becomes a reply."""
    kind, code, line = request["kind"], request["code"], request["line"]
    try:
        try:
            if kind == "run":
                reply = page.run(code, line, request["session"])
            else:
                reply = page.value(code, line) if kind == "value" else page.check(code, line)
        finally:
            sys.settrace(None)
        capture.hold()
    except BaseException as error:
        reply = page.describe(error, line)
    reply["missed"] = sorted(page.possible - page.lines) if page.trace else []
    reply["stdout"], reply["stderr"] = capture.take("stdout"), capture.take("stderr")
    if len(reply["stdout"].encode()) >= page.limits["output"]:
        reply |= {"error": "OutputLimit", "message": f"a fence may print {page.limits['output']} bytes"}
        reply.setdefault("line", line)
    elif "error" not in reply:
        try:
            refuse_control(reply["stdout"], "what a fence prints")
        except OutputError as error:
            reply |= page.describe(error, line)
    failed = ("error" in reply or reply["stderr"]) and not request["raises"]
    reply["failed"] = bool(failed)
    reply["looked"] = None if watch.lost or failed else sorted(watch.paths)
    return reply


def apply_limits(memory: int, output: int) -> None:
    """Let the system refuse what is too much; the error then stands at the line that asked for it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def tell_kernel(option: int, value: int) -> None:
    """Ask Linux for something; nothing happens elsewhere."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)


def serve(connection: socket.socket, order: dict[str, Any]) -> None:
    """Answer all that the page asks, as far as the first error that it does not expect."""
    os.setpgid(0, 0)
    tell_kernel(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    tell_kernel(SET_CHILD_SUBREAPER, 1)
    os.nice(5)  # pages run ahead, and the builder that converts them comes first
    os.chdir(order["root"])
    transform = None
    if order["noise"] is not None:
        # By its path: the package would bring the site's own tooling along.
        transform = runpy.run_path(str(Path(__file__).with_name("_disturb.py")))["noisy"](order["noise"])
    page, capture, watch = Page(order, transform), Capture(), Watch()
    apply_limits(**order["limits"])
    os.fork = os.forkpty = refuse_fork
    warnings.simplefilter("error")
    with contextlib.suppress(Exception):  # a page that needs what is broken will say so, with its line
        from qkvdocs.engine.runtime import settle

        settle()
    if order["watch"]:
        watch.start()
    own = os.getpid()
    for request in json.loads(connection.makefile("rb").readline() or "[]"):
        reply = answer(page, capture, watch, request)
        if os.getpid() != own:  # a copy that a library made: it has no say
            os._exit(1)
        with contextlib.suppress(ConnectionError):  # the builder has hung up
            connection.sendall(json.dumps(reply).encode() + b"\n")
            if not reply["failed"]:
                continue
        break  # what comes after it is of no use to anybody
    if has_children():
        end_children()
    os._exit(0)


def preload(names: list[str], root: str) -> list[str]:
    """Import what every lesson imports; tell which files of the repository that brought in."""
    sys.path.insert(0, root)
    for name in names:
        if name.startswith("qkvdocs"):
            # A file edited twice within a second can leave a .pyc that looks current: read those of `keep_compiled`.
            sys.pycache_prefix = os.path.join(root, ".cache", "compiled")  # noqa: PTH118
        try:
            importlib.import_module(name)
        except BaseException:  # the lesson that imports it will say so, with its line
            for loaded in [key for key in sys.modules if key.split(".")[0] == "qkvdocs"]:
                del sys.modules[loaded]
            break
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [file for file in files if file and file.startswith(root + os.sep) and "site-packages" not in file]


def keep_compiled(files: list[str]) -> None:
    """Compile for the next start what is new, beside a hash of its source, by which Python knows it again."""
    for file in files:
        source, compiled = Path(file), Path(importlib.util.cache_from_source(file))
        with contextlib.suppress(OSError):
            known = compiled.read_bytes()[8:16] if compiled.exists() else b""
            if known != importlib.util.source_hash(source.read_bytes()):
                mode = py_compile.PycInvalidationMode.CHECKED_HASH
                py_compile.compile(file, invalidation_mode=mode, quiet=2)  # what cannot be is left out


def forge(control: socket.socket, names: list[str], root: str) -> None:
    """Stay small and single-threaded; fork a page's process for each socket that arrives."""
    with contextlib.suppress(
        BrokenPipeError
    ):  # the builder ended meanwhile, and the first order will not come
        control.sendall(json.dumps(files := preload(names, root)).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork() == 0:
        control.close()
        tell_kernel(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        os.nice(19)
        keep_compiled(files)
        os._exit(0)
    gc.freeze()  # what all pages share, none needs to look through
    while True:
        try:
            order, descriptors, *_ = socket.recv_fds(control, 65536, 1)
        except ConnectionResetError:  # the builder ended without having asked for a page
            return
        if not order:
            return
        with socket.socket(fileno=descriptors[0]) as connection:
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                serve(connection, json.loads(order))
        control.sendall(json.dumps(pid).encode() + b"\n")


if __name__ == "__main__":
    descriptor, names, root = sys.argv[1:]
    forge(socket.socket(fileno=int(descriptor)), json.loads(names), root)
    os._exit(0)  # the builder waits for it, and nothing is left to tidy up
