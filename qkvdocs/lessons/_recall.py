"""What the dev server remembers of pages that no edit has touched. A build remembers nothing."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkvdocs.lessons._forge import PACKAGE_ROOT, Limits

MARGIN = 100_000_000
"""Nanoseconds by which the clock of a file system may be behind."""

Reply = dict[str, Any]
Stamp = tuple[int, ...] | None


@dataclass(frozen=True)
class Asked:
    """What a page asks of its process."""

    root: Path
    file: str
    first: int
    text: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True)
class Memory:
    """How a page went, and what that depended on."""

    asked: Asked
    replies: Sequence[Reply]
    seen: dict[str, Stamp]
    """Each file and folder that was looked at, as it was then; None for what was not there."""


class Recall:
    """What pages' processes replied, for as long as nothing has changed that a page looked at."""

    def __init__(self) -> None:
        self.pages: dict[tuple[Path, str], Memory] = {}

    def find(self, asked: Asked) -> Sequence[Reply]:
        """Give the replies to a page, or none if it must run."""
        kept = self.pages.get((asked.root, asked.file))
        return kept.replies if kept and kept.asked == asked and _stamps(kept.seen) == kept.seen else ()

    def keep(self, asked: Asked, replies: Sequence[Reply], began: int) -> None:
        """Remember a page that began to run at `began`, in nanoseconds since the epoch.

        Not kept is one that did what a second look at its files would not tell (it wrote, or asked a process or a
        network), and one that met a file as young as its run.
        """
        self.pages.pop((asked.root, asked.file), None)
        looked = replies[-1]["looked"]
        if looked is None:
            return
        seen = _stamps([*_package(), *looked])
        if all(stamp is None or max(stamp[:2]) < began - MARGIN for stamp in seen.values()):
            self.pages[asked.root, asked.file] = Memory(asked, replies, seen)


def _package() -> Iterator[str]:
    """List the package's folders and files: pages' processes are forked from one that has loaded them."""
    for folder, folders, files in os.walk(PACKAGE_ROOT / "qkvdocs"):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.join(folder, name) for name in ("", *files))  # noqa: PTH118


def _stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
