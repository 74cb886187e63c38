# One local file, memory-mapped. Each access opens it anew and makes sure that it is still the file it was.

import os
import stat
import sys
from math import prod
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from qkvdocs.errors import CheckpointError

# Without O_NONBLOCK a named pipe would wait for somebody to write to it; with O_NOFOLLOW a link that takes the
# file's place after it was followed is an error.
FLAGS = os.O_RDONLY
for flag in ("O_NONBLOCK", "O_BINARY", "O_NOFOLLOW"):
    FLAGS |= getattr(os, flag, 0)


class Source(Protocol):
    """A file of known size, of which ranges can be had."""

    name: str
    size: int

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from `start` up to `stop`."""

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Give the values that begin at byte `start`, read-only."""


class _Nowhere:
    name, size = "memory", 0

    def read(self, start: int, stop: int) -> bytes:
        raise CheckpointError(
            f"{self.name} must be a file to be read from, got bytes {start} to {stop} asked"
        )

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        raise CheckpointError(
            f"{self.name} must be a file to be read from, got {dtype} {shape} asked at {start}"
        )


NOWHERE: Source = _Nowhere()
"""What stands in for a file where tensors are held in memory."""


class LocalFile:
    """A regular file on disk; `path` must not be a link."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._stamp: tuple[int, ...] = ()
        with self._open() as file:
            self._stamp = _stamp(file)
            self.size = os.fstat(file.fileno()).st_size

    def read(self, start: int, stop: int) -> bytes:
        with self._open() as file:
            file.seek(start)
            data = file.read(stop - start)
            self._check(file)
            return data

    def array(self, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """Map the values that begin at byte `start`; what is never looked at is never read."""
        if 0 in shape:
            return np.empty(shape, dtype)
        if sys.platform == "emscripten":  # in a browser nothing can be mapped
            stop = start + prod(shape) * np.dtype(dtype).itemsize
            return np.frombuffer(self.read(start, stop), dtype).reshape(shape)
        with self._open() as file:
            return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)

    def _open(self) -> BinaryIO:
        try:
            descriptor = os.open(self.path, FLAGS)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(f"{self.name} must be a file that can be read, got: {reason}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise CheckpointError(f"{self.name} must be a regular file, got a folder, pipe or device")
        file = os.fdopen(descriptor, "rb", buffering=0)
        try:
            self._check(file)
        except CheckpointError:
            file.close()
            raise
        return file  # unbuffered, so a read asks for exactly its bytes

    def _check(self, file: BinaryIO) -> None:
        if self._stamp and self._stamp != _stamp(file):
            raise CheckpointError(f"{self.name} must stay as it was when it was opened, got a changed file")


def _stamp(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
