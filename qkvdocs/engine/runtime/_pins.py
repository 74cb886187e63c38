"""The files that make Python run in a browser, each known by its hash and trusted for nothing else."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from qkvdocs.errors import QKVError

DISTRIBUTOR = "https://cdn.jsdelivr.net/pyodide/v314.0.3/full/"
CARRIER = "open-webui==0.12.4"  # carries the distributor's files unchanged
INSIDE = "open_webui/frontend/pyodide/"


@dataclass(frozen=True)
class Pin:
    """One file."""

    name: str
    size: int
    sha256: str
    package: str
    """The requirement that brings it from a package registry."""
    member: str = ""
    """Where it lies in that package's wheel; empty where it is the wheel."""
    address: str = ""
    """Where its distributor has it."""
    wire: int = 0
    """Bytes as a server sends it, compressed; 0 where that is its size."""

    def refuse(self, data: bytes) -> bytes:
        """Give back the data, if it is the file that is meant.

        Args:
            data: What came.

        Returns:
            The same.

        Raises:
            QKVError: If it is anything else.
        """
        if (got := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise QKVError(f"{self.name} must have sha256 {self.sha256}, got {got}")
        return data


def _core(name: str, size: int, sha256: str, wire: int = 0) -> Pin:
    return Pin(name, size, sha256, CARRIER, INSIDE + name, DISTRIBUTOR + name, wire)


PINS = (
    _core("pyodide.mjs", 17880, "5cfc46f5dcbaf2a16f26e2363f441873eb424762609cc03db00d6a2ace4d00e5", 7130),
    _core(
        "pyodide.asm.mjs",
        1249447,
        "1a9775427ef6e8abaa7db88ece0515422d1886915ae5c9093776410c865dfd8d",
        259792,
    ),
    _core(
        "pyodide.asm.wasm",
        9596462,
        "e7f8fac36f8bf11085309cbc5c829b3ec3057c18bf1d73b05a6741612d63cdbf",
        3545591,
    ),
    _core("python_stdlib.zip", 2545106, "444c770dfd75a32097fc0a7d5c1413fd3140601f49c3a1f2e9af0376fcd124b4"),
    _core(
        "numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
        2916023,
        "0cad9c1b91f0082e4f959bc0e0bf5835a2efbba6ab3b1e9d1fe6e7e564cca98e",
    ),
    Pin(
        "jaxtyping-0.3.11-py3-none-any.whl",
        56593,
        "8a4bedc4e3f963fa82df41bd13c7ebc2bad925601eb48614c65798f21329d4e3",
        "jaxtyping==0.3.11",
    ),
    Pin(
        "wadler_lindig-0.1.8-py3-none-any.whl",
        20840,
        "8671e8c98449ae3f4e4ba720eccd63a502b3983042f8d112b49a9c6be49e8d92",
        "wadler_lindig==0.1.8",
    ),
)
"""What a browser loads."""

LICENCES = (
    Pin(
        "licences/pyodide.txt",
        16726,
        "fab3dd6bdab226f1c08630b1dd917e11fcb4ec5e1e020e2c16f83a0a13863e85",
        "pathspec==1.1.1",
        "pathspec-1.1.1.dist-info/licenses/LICENSE",
    ),
    Pin(
        "licences/python.txt",
        13936,
        "3b2f81fe21d181c499c59a256c8e1968455d6689d269aa85373bfb6af41da3bf",
        "typing_extensions==4.16.0",
        "typing_extensions-4.16.0.dist-info/licenses/LICENSE",
    ),
)
"""The texts of the Mozilla Public License and of Python's own, from packages under the same; wheels bring theirs."""


def folder() -> Path:
    """Tell where the fetched files are kept: `QKVDOCS_RUNTIME`, or a folder that git ignores."""
    return Path(os.environ.get("QKVDOCS_RUNTIME") or Path(".cache", "runtime"))


def is_there(cache: Path) -> bool:
    """Tell whether every file has been fetched. Whether each is the right one is asked when it is placed.

    Args:
        cache: The folder of fetched files.

    Returns:
        False if one is missing or of another size.
    """
    paths = ((cache / pin.name, pin.size) for pin in PINS + LICENCES)
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def megabytes() -> int:
    """Tell what a reader loads before the first run, in MB as sent, rounded up."""
    return -(-sum(pin.wire or pin.size for pin in PINS) // 10**6)
