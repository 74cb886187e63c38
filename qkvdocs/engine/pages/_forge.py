"""The builder's side of the processes that run pages: a warm one, and one a page, forked from it."""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qkvdocs.engine.settings import Settings

KERNEL = Path(__file__).with_name("_kernel.py")
PACKAGE_ROOT = Path(__file__).parents[3]
RUNTIME = "qkvdocs.engine.runtime"
"""Sets a page's process up."""
SURROUNDINGS = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# glibc would hand the memory of each larger array back, and take it anew for the next: half of a page's page faults.
SURROUNDINGS |= {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
ANSWER = 60.0
"""Seconds that the warm process may take to load the package, or to fork."""


@dataclass(frozen=True)
class Limits:
    """What one page may use."""

    seconds: float = 60
    """Wall time of one fence or value."""
    memory: int = 1024 * 2**20
    """Bytes of memory of the whole page, beyond what it starts with."""
    output: int = 100_000
    """Bytes that one fence may print."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Limits":
        """Read them off the extension's settings."""
        own = ((name, type(value)) for name, value in asdict(cls()).items())
        return cls(**{name: kind(given[name]) for name, kind in own if name in given})


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
    """A process is gone; `timed_out` tells whether the builder ended it, `what` which one it was."""

    def __init__(self, timed_out: bool, what: str = "the page's process") -> None:
        super().__init__(f"{what} {'did not answer in time' if timed_out else 'ended by itself'}")
        self.timed_out, self.what = timed_out, what


class Channel:
    """JSON lines over a socket that has one owner; no wait is without a limit."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.rest = connection, b""

    def send(self, message: Any, descriptors: list[int] | None = None) -> None:
        """Send one message, and descriptors with its first byte."""
        line = json.dumps(message).encode() + b"\n"
        self.socket.settimeout(ANSWER)
        if descriptors:
            line = line[socket.send_fds(self.socket, [line], descriptors) :]
        self.socket.sendall(line)

    def receive(self, seconds: float) -> Any:
        """Wait for one message.

        Raises:
            TimeoutError: If it is not there after so many seconds.
            EOFError: If the other end is closed.
        """
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            self.socket.settimeout(max(until - time.monotonic(), 1e-3))
            try:
                chunk = self.socket.recv(2**20)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise EOFError
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Kernel:
    """One page's process."""

    def __init__(self, channel: Channel, pid: int, seconds: float) -> None:
        self.channel, self.pid, self.seconds = channel, pid, seconds

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Send all requests at once, so that no answer waits for the next; wait for each at most `seconds`.

        Raises:
            KernelEndedError: If the process ended, by itself or because the time was up.
        """
        try:
            self.channel.send(requests)
            for _ in requests:
                reply = self.channel.receive(self.seconds)
                yield reply
        except GeneratorExit:  # nobody waits for the rest
            if not reply["failed"]:
                self.kill()
            raise
        except TimeoutError:
            self.kill()
            raise KernelEndedError(timed_out=True) from None
        except (EOFError, OSError):
            raise KernelEndedError(timed_out=False) from None

    def kill(self) -> None:
        """End the process, and those that it has started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Hang up; a process that has answered all ends by itself."""
        self.channel.close()


class Forge:
    """A warm process with numpy and the package loaded, from which pages' processes are forked."""

    def __init__(self, environment: Mapping[str, str], preload: Sequence[str] = ("numpy",)) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the kernel's own folder must not shadow a lesson's imports; -B: leave no .pyc behind.
            words = [
                sys.executable,
                "-P",
                "-B",
                str(KERNEL),
                str(theirs.fileno()),
                json.dumps([*preload, RUNTIME]),
            ]
            self.process = subprocess.Popen(  # noqa: S603
                [*words, str(PACKAGE_ROOT)],
                env={**os.environ, **SURROUNDINGS, **environment},
                pass_fds=[theirs.fileno()],
            )
        self.channel, self.lock = Channel(ours), threading.RLock()
        self._files: dict[str, Stamp] | None = None
        atexit.register(self.close)

    @property
    def files(self) -> dict[str, "Stamp"]:
        """The repository's files that it loaded, as they were when it had.

        Raises:
            KernelEndedError: If it never said so.
        """
        with self.lock:
            if self._files is None:
                self._files = {name: _stamp(name) for name in self._receive()}
            return self._files

    def is_current(self) -> bool:
        """Tell whether the repository's files are still those that were loaded."""
        return self.process.poll() is None and all(_stamp(name) == was for name, was in self.files.items())

    def fork(self, order: Mapping[str, Any]) -> tuple[Channel, int]:
        """Start a page's process; return the way to it and its id.

        Raises:
            KernelEndedError: If the warm process does not do so.
        """
        ours, theirs = socket.socketpair()
        try:
            with self.lock, theirs:
                _ = self.files  # its first message
                self.channel.send(order, [theirs.fileno()])
                return Channel(ours), self._receive()
        except OSError:
            ours.close()
            raise KernelEndedError(timed_out=False, what=WARM) from None
        except KernelEndedError:
            ours.close()
            raise

    def _receive(self) -> Any:
        try:
            return self.channel.receive(ANSWER)
        except (TimeoutError, EOFError) as error:
            self.close()
            raise KernelEndedError(isinstance(error, TimeoutError), WARM) from None

    def close(self) -> None:
        """End the process, even one that was stopped."""
        atexit.unregister(self.close)
        self.channel.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


WARM = "the warm process that starts pages"
Stamp = tuple[int, int] | None
_starting = threading.Lock()
_forges: dict[tuple[Any, ...], Forge] = {}


def warm(root: Path) -> None:
    """Start the warm process of a site now, while the builder is busy with other things.

    Once there is one, `start` sees to it that it is current; to ask here would be to wait until it has loaded.
    """
    if not _forges:
        with _starting:
            _forge(root, {})


def _forge(root: Path, environment: Mapping[str, str]) -> Forge:
    preload = Settings.of(root / "docs").preload
    key = preload, *sorted(environment.items())
    if key in _forges and not _forges[key].is_current():
        _forges.pop(key).close()
    if key not in _forges:
        _forges[key] = Forge(environment, preload)
    return _forges[key]


def start(file: str, root: Path, limits: Limits, mode: Mode) -> Kernel:
    """Start the process of one page.

    Args:
        file: The page's path as messages name it, relative to `root`.
        root: Working directory of the page.
        limits: What it may use.
        mode: How it is run.

    Returns:
        The running process.

    Raises:
        KernelEndedError: If the warm process is gone, or does not answer.
    """
    order = {
        "file": file,
        "root": str(root),
        "limits": {"memory": limits.memory, "output": limits.output},
        "noise": mode.noise,
        "trace": mode.trace,
        "watch": mode.watch,
    }
    with _starting:
        forge = _forge(root, mode.environment)
    return Kernel(*forge.fork(order), limits.seconds)


def _stamp(name: str) -> Stamp:
    try:
        status = os.stat(name)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
