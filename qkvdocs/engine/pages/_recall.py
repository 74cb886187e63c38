"""What the dev server remembers of pages that no edit has touched. A build remembers nothing."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qkvdocs.engine.pages._forge import PACKAGE_ROOT, Limits, Mode
from qkvdocs.engine.pages._page import Page, Reply, ask

MARGIN = 100_000_000
"""Nanoseconds by which the clock of a file system may be behind."""

Stamp = tuple[int, ...] | None


@dataclass(frozen=True)
class Asked:
    """What a page asks of its process."""

    root: Path
    file: str
    first: int
    text: tuple[str, ...]
    limits: Limits

    def page(self) -> Page:
        """Give the page that asks."""
        return Page(self.file, self.root, list(self.text), self.first)

    def run(self, mode: Mode | None = None) -> list[Reply]:
        """Run the page; return what its process replied."""
        return list(ask(self.page(), self.limits, mode or Mode()))


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

    def is_fresh(self, asked: Asked) -> bool:
        """Tell whether the page would be what it was."""
        kept = self.pages.get((asked.root, asked.file))
        return bool(kept and kept.asked == asked and stamps(kept.seen) == kept.seen)

    def replies(self, asked: Asked) -> Sequence[Reply]:
        """Give the replies to a page: those of last time, or else run it.

        Not remembered is one that did what a second look at its files would not tell (it wrote, or asked a process or
        a network), one that met a file as young as its run, and one whose process failed.
        """
        place = asked.root, asked.file
        kept = self.pages.get(place)
        if kept and self.is_fresh(asked):
            return kept.replies
        self.pages.pop(place, None)
        began = time.time_ns()
        replies = asked.run(Mode(watch=True))
        looked = replies[-1]["looked"] if replies else []
        if looked is not None:
            seen = stamps([*_package(), *looked])
            if all(stamp is None or max(stamp[:2]) < began - MARGIN for stamp in seen.values()):
                self.pages[place] = Memory(asked, replies, seen)
        return replies


def _package() -> Iterator[str]:
    """List the package's folders and files: pages' processes are forked from one that has loaded them."""
    for folder, folders, files in os.walk(PACKAGE_ROOT / "qkvdocs"):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.join(folder, name) for name in ("", *files))  # noqa: PTH118


def stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    """Tell of each path when it was last written; None for what is not there."""
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
