# One file behind an address, read by ranges: over http with the standard library, which shows each answer's own
# words about the file; by any other scheme through fsspec, an optional extra that is loaded on first use.

import http.client
import queue
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from urllib import request
from urllib.error import HTTPError

import numpy as np

from qkvdocs.errors import CheckpointError

PATIENCE = 30.0
"""Seconds for an answer of any length to begin and end, beside the time that its bytes may take."""
SLOWEST = 50_000
"""Bytes a second below which a server only drips."""
WEB = ("http://", "https://")
RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})\Z")
EMPTY = re.compile(r"bytes \*/0\Z")
FIRST = 32
"""Bytes that are asked for when a file is opened; they tell most formats apart."""
State = tuple[Any, ...]
"""Size, and what tells one content from another: ETag and date."""
Got = TypeVar("Got")


class RemoteFile:
    """A file on a server that answers ranges, in one state: each answer must speak of the file first seen."""

    def __init__(self, address: str) -> None:
        self.name = address
        self._fetch = _web if address.startswith(WEB) else _other
        self._start, self._state = self._fetch(address, 0, FIRST, None)
        self.size = self._state[0]

    def read(self, start: int, stop: int) -> bytes:
        """Ask for the bytes from `start` up to `stop`, and for no others."""
        if stop <= len(self._start):
            return self._start[start:stop]
        if start >= stop:
            return b""
        return self._fetch(self.name, start, stop, self._state)[0]

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Fetch the values that begin at byte `start`."""
        count = int(np.prod(shape, dtype=object))
        data = self.read(start, start + count * np.dtype(dtype).itemsize)
        return np.frombuffer(data, dtype).reshape(shape)


def _web(address: str, start: int, stop: int, known: State | None) -> tuple[bytes, State]:
    opened: list[http.client.HTTPConnection] = []

    def hang_up() -> None:
        for connection in opened:
            if connection.sock:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def get() -> tuple[bytes, State]:
        words = {"Range": f"bytes={start}-{stop - 1}", "User-Agent": "qkvdocs"}
        asked = request.Request(address, headers=words)  # noqa: S310  # the opener has no file:
        until = time.monotonic() + PATIENCE + (stop - start) / SLOWEST
        try:
            answer = _opener(opened).open(asked, timeout=PATIENCE)
        except HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise FileNotFoundError from None
            if error.code == 416 and EMPTY.match(error.headers.get("Content-Range", "")):
                return b"", (0,)
            raise
        with answer:
            state = _state(address, answer, start, stop)
            _check_same(address, known, state)
            return _body(answer, min(stop, state[0]) - start, until), state

    return _answered(address, stop - start, get, hang_up)


def _opener(opened: list[http.client.HTTPConnection]) -> request.OpenerDirector:
    """Open http and https alone, not file: and ftp:, to which a server could send us on; note each connection."""

    def connect(
        by: type[http.client.HTTPConnection], *args: Any, **kwargs: Any
    ) -> http.client.HTTPConnection:
        opened.append(by(*args, **kwargs))
        return opened[-1]

    class Web(request.AbstractHTTPHandler):
        def http_open(self, asked: request.Request) -> http.client.HTTPResponse:
            return self.do_open(partial(connect, http.client.HTTPConnection), asked)

        def https_open(self, asked: request.Request) -> http.client.HTTPResponse:
            return self.do_open(partial(connect, http.client.HTTPSConnection), asked)

        http_request = https_request = request.AbstractHTTPHandler.do_request_

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler, Web, request.HTTPRedirectHandler, request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor, request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _state(address: str, answer: Any, start: int, stop: int) -> State:
    told = answer.headers.get("Content-Range", "")
    if answer.status != 206 or not (found := RANGE.match(told)):
        got = f"status {answer.status} " + (f"and {told[:60]!r}" if told else "without a Content-Range")
        raise CheckpointError(
            f"{address} must answer the range {start}-{stop - 1} with status 206 and its Content-Range, "
            f"got {got}. Does the server ignore ranges? Download the file"
        )
    first, last, total = map(int, found.groups())
    if (first, last) != (start, min(stop, total) - 1):
        raise CheckpointError(
            f"{address} must answer the range {start}-{stop - 1}, got the range {first}-{last} of {total} bytes"
        )
    if (coded := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise CheckpointError(f"{address} must answer with the file's own bytes, got them in {coded[:60]!r}")
    return total, *((answer.headers.get(name) or "")[:200] for name in ("ETag", "Last-Modified"))


def _check_same(address: str, known: State | None, found: State) -> None:
    if known and known != found:
        raise CheckpointError(
            f"{address} must stay as it was when it was opened = {', '.join(map(str, known))}, "
            f"got {', '.join(map(str, found))}"
        )


def _body(answer: Any, want: int, until: float) -> bytes:
    data = bytearray()
    while len(data) < want:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(data)} of {want} bytes")
        more = answer.read1(min(want - len(data), 1 << 20))
        if not more:
            raise EOFError(f"{len(data)} of {want} bytes")
        data += more
    return bytes(data)


def _other(address: str, start: int, stop: int, known: State | None) -> tuple[bytes, State]:
    system = _filesystem(address)

    def state() -> State:
        system.invalidate_cache()
        told = system.info(address)
        if told.get("type", "file") != "file":
            raise FileNotFoundError
        if type(told.get("size")) is not int:
            raise CheckpointError(f"{address} must tell its size, got {told.get('size')}")
        return told["size"], str(system.ukey(address))

    def get() -> tuple[bytes, State]:
        before = known or state()
        want = min(stop, before[0]) - start
        data = bytes(system.cat_file(address, start=start, end=start + want))
        _check_same(address, before, state())
        if len(data) != want:
            raise EOFError(f"{len(data)} of {want} bytes")
        return data, before

    return _answered(address, stop - start, get)


def find(address: str) -> RemoteFile | None:
    """Open a file, or say that there is none."""
    try:
        return RemoteFile(address)
    except CheckpointError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _filesystem(address: str) -> Any:
    if "::" in address:
        raise CheckpointError(f"{address} must be one address, got a chain")
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise CheckpointError(f"{address} needs fsspec: pip install 'fsspec>=2025.1'") from None
    try:
        return url_to_fs(address)[0]
    except (ImportError, ValueError) as error:
        raise CheckpointError(f"{address} must be an address that fsspec opens, got: {error}") from None


def _answered(
    address: str, size: int, get: Callable[[], Got], hang_up: Callable[[], None] = lambda: None
) -> Got:
    """Wait for an answer in another thread: a slow name or a header that drips has no limit of its own."""
    replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            replies.put((get(), None))
        except BaseException as error:  # handed over
            replies.put((None, error))

    threading.Thread(target=work, name="wild", daemon=True).start()
    limit = PATIENCE + size / SLOWEST
    try:
        found, error = replies.get(timeout=limit + 1)
    except queue.Empty:
        hang_up()
        found, error = None, TimeoutError("no whole answer")
    if error is None:
        return found  # type: ignore[no-any-return]
    if isinstance(error, CheckpointError):
        raise error
    if isinstance(error, FileNotFoundError):
        raise CheckpointError(f"{address} must be a file that can be read, got: no such file") from error
    if isinstance(error, TimeoutError):
        raise CheckpointError(
            f"{address} must answer {size} bytes within {limit:.0f} s, got {error}. Try again, or download the file"
        ) from error
    reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0][:200]
    raise CheckpointError(
        f"{address} must answer range requests, got {reason}. If it cannot, download the file"
    ) from error
