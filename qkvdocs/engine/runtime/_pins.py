"""The files that make Python run in a browser, each known by its hash and trusted for nothing else."""

import hashlib
import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


# fmt: off
PINS = (
    _core("pyodide.mjs", 17880, "5cfc46f5dcbaf2a16f26e2363f441873eb424762609cc03db00d6a2ace4d00e5", 7130),
    _core("pyodide.asm.mjs", 1249447, "1a9775427ef6e8abaa7db88ece0515422d1886915ae5c9093776410c865dfd8d",
     259792),
    _core("pyodide.asm.wasm", 9596462, "e7f8fac36f8bf11085309cbc5c829b3ec3057c18bf1d73b05a6741612d63cdbf",
     3545591),
    _core("python_stdlib.zip", 2545106, "444c770dfd75a32097fc0a7d5c1413fd3140601f49c3a1f2e9af0376fcd124b4"),
    _core("numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl", 2916023,
     "0cad9c1b91f0082e4f959bc0e0bf5835a2efbba6ab3b1e9d1fe6e7e564cca98e"),
    Pin("jaxtyping-0.3.11-py3-none-any.whl", 56593,
     "8a4bedc4e3f963fa82df41bd13c7ebc2bad925601eb48614c65798f21329d4e3", "jaxtyping==0.3.11"),
    Pin("wadler_lindig-0.1.8-py3-none-any.whl", 20840,
     "8671e8c98449ae3f4e4ba720eccd63a502b3983042f8d112b49a9c6be49e8d92", "wadler_lindig==0.1.8"),
)
# fmt: on
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


@dataclass(frozen=True)
class Pack:
    """A folder of files that pages load beside Python, made out of one file that a package brings."""

    source: Pin
    """What they are made of; kept beside them, so that they can be made again and compared with it."""
    folder: str
    """Their own folder."""
    make: str
    """`module:function` that makes them: from its bytes to theirs, by name."""
    files: tuple[Pin, ...]
    """They, by the folder and their names in it."""
    notice: str
    """What they are, whose, and under which licence."""
    licence: str
    """The file with the licence's text, below the pages."""
    page: str
    """The page that loads them."""

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "Pack":
        """Read a table of a site's settings.

        Args:
            table: `folder`, `package`, `member`, `size`, `sha256`, `make`, `notice`, `licence`, `page`, and
                `files`: for each name, its `size` and `sha256`.

        Returns:
            The pack.

        Raises:
            QKVError: If an entry is missing.
        """
        try:
            name, package = table["folder"], table["package"]
            member = table["member"]
            source = Pin(f"{name}-{Path(member).name}", table["size"], table["sha256"], package, member)
            files = [
                Pin(f"{name}/{file}", facts["size"], facts["sha256"], package)
                for file, facts in table["files"].items()
            ]
            return cls(
                source, name, table["make"], tuple(files), table["notice"], table["licence"], table["page"]
            )
        except KeyError as error:
            raise QKVError(
                f"a table of packs in docs/site.toml must have {error}, got {sorted(table)}"
            ) from None

    def is_there(self, cache: Path) -> bool:
        """Tell whether every file of it has been fetched."""
        return _are_there(cache, self.files)

    def made(self, data: bytes) -> dict[str, bytes]:
        """Make its files of what a package brought.

        Raises:
            QKVError: If that is another file than it should be, or what is made of it is.
        """
        module, _, function = self.make.partition(":")
        files = getattr(importlib.import_module(module), function)(self.source.refuse(data))
        return {pin.name: pin.refuse(files[pin.name.partition("/")[2]]) for pin in self.files}


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
    return _are_there(cache, PINS + LICENCES)


def _are_there(cache: Path, pins: Iterable[Pin]) -> bool:
    paths = ((cache / pin.name, pin.size) for pin in pins)
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def megabytes(besides: int = 0) -> int:
    """Tell what a reader loads before the first run, in MB as sent, rounded up.

    Args:
        besides: Bytes of what else is loaded.

    Returns:
        The sum; this package itself, a fiftieth of it, is not counted.
    """
    return -(-(sum(pin.wire or pin.size for pin in PINS) + besides) // 10**6)
