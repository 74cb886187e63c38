"""The builder's side of the processes that run pages."""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedRWPair
from pathlib import Path
from typing import Any, BinaryIO, cast

KERNEL = Path(__file__).with_name("_kernel.py")
PACKAGE_ROOT = Path(__file__).parents[2]
# What lessons import, and what numpy loads on first use; a page that imports the same gets it at once.
PRELOAD = (
    *("jaxtyping", "numpy", "numpy.linalg", "numpy.ma", "numpy.random"),
    *(f"qkvdocs.{name}" for name in ("core", "numbers", "figures", "wild", "clinic", "runtime")),
)
SURROUNDINGS = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True)
class Limits:
    """What one page may use."""

    seconds: float = 60
    """Wall time of one fence or value."""
    memory: int = 1024 * 2**20
    """Bytes of memory of the whole page, beyond what it starts with."""
    output: int = 100_000
    """Bytes that one fence may print."""


@dataclass(frozen=True)
class Mode:
    """How a page is run, beyond the ordinary way."""

    noise: int | None = None
    """Seed of a disturbance in the last place of every inexact number; None for none."""
    trace: bool = False
    """Record which lines ran."""
    watch: bool = False
    """Record what the page looks at: files, and folders."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the process's environment, for example another BLAS kernel."""


class KernelEndedError(Exception):
    """The process is gone; `timed_out` tells whether the builder ended it."""

    def __init__(self, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "ended by itself")
        self.timed_out = timed_out


class Kernel:
    """One page's process."""

    def __init__(
        self, channel: BinaryIO, pid: int, seconds: float, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.channel, self.pid, self.seconds, self.process = channel, pid, seconds, process

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for the reply, at most `seconds`.

        Raises:
            KernelEndedError: If the process ended, by itself or because the time was up.
        """
        late = threading.Event()

        def end() -> None:
            late.set()
            os.kill(self.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

        timer = threading.Timer(self.seconds, end)
        timer.start()
        try:
            self.channel.write(json.dumps(request).encode() + b"\n")
            self.channel.flush()
            reply = self.channel.readline()
        except OSError:
            reply = b""
        finally:
            timer.cancel()
        if not reply:
            raise KernelEndedError(late.is_set())
        return cast("dict[str, Any]", json.loads(reply))

    def close(self) -> None:
        """Hang up; the process then ends by itself."""
        with contextlib.suppress(OSError):
            self.channel.close()
        if self.process:
            self.process.wait()


class Forge:
    """A warm process with numpy and the package loaded, from which pages' processes are forked."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.control, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603
                _command(str(theirs.fileno())), env=_environment(environment), pass_fds=[theirs.fileno()]
            )
        self.replies = self.control.makefile("rb")
        self.lock = threading.Lock()
        atexit.register(self.close)

    @functools.cached_property
    def files(self) -> dict[str, tuple[int, int] | None]:
        """The repository's files that it loaded, as they were when it had."""
        return {name: _stamp(name) for name in json.loads(self.replies.readline())}

    def is_current(self) -> bool:
        """Tell whether the repository's files are still those that were loaded."""
        return self.process.poll() is None and all(_stamp(name) == was for name, was in self.files.items())

    def fork(self, order: Mapping[str, Any]) -> tuple[BinaryIO, int]:
        """Start a page's process; return the way to it and its id."""
        ours, theirs = socket.socketpair()
        with self.lock, theirs:
            _ = self.files  # its first reply
            socket.send_fds(self.control, [json.dumps(order).encode()], [theirs.fileno()])
            pid = json.loads(self.replies.readline())
        channel = cast("BinaryIO", ours.makefile("rwb"))
        ours.close()  # the file keeps it open
        return channel, pid

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self.replies.close()
        self.control.close()
        self.process.wait()


def warm() -> None:
    """Start the warm process now, while the builder is busy with other things."""
    if hasattr(os, "fork") and () not in _forges:
        _forges[()] = Forge({})


def start(file: str, root: Path, limits: Limits, mode: Mode) -> Kernel:
    """Start the process of one page.

    Args:
        file: The page's path as messages name it, relative to `root`.
        root: Working directory of the page.
        limits: What it may use.
        mode: How it is run.

    Returns:
        The running process.
    """
    order = {
        "file": file,
        "root": str(root),
        "limits": {"memory": limits.memory, "output": limits.output},
        "noise": mode.noise,
        "trace": mode.trace,
        "watch": mode.watch,
    }
    if not hasattr(os, "fork"):
        channel, process = _spawn(order, mode.environment)
        return Kernel(channel, process.pid, limits.seconds, process)
    key = tuple(sorted(mode.environment.items()))
    with _starting:
        if key in _forges and not _forges[key].is_current():
            _forges.pop(key).close()
        if key not in _forges:
            _forges[key] = Forge(mode.environment)
        forge = _forges[key]
    return Kernel(*forge.fork(order), limits.seconds)


_starting = threading.Lock()
_forges: dict[tuple[tuple[str, str], ...], Forge] = {}


def _spawn(
    order: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[BinaryIO, subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603
        _command("spawn", json.dumps(order)),
        env=_environment(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    channel = BufferedRWPair(cast("Any", process.stdout), cast("Any", process.stdin))
    return cast("BinaryIO", channel), process


def _command(mode: str, *rest: str) -> list[str]:
    # -P: the kernel's own folder must not shadow a lesson's imports; -B: leave no .pyc behind.
    return [sys.executable, "-P", "-B", str(KERNEL), mode, json.dumps(PRELOAD), str(PACKAGE_ROOT), *rest]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **SURROUNDINGS, **extra}


def _stamp(name: str) -> tuple[int, int] | None:
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
