"""What takes long to make, kept in a folder by all that it is made of."""

import functools
import hashlib
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

version = functools.cache(importlib.metadata.version)
"""Of an installed package: part of what decides what is made."""
DAYS = 30
"""For so long is kept what no build asks for."""


def kept(folder: Path | None, parts: Iterable[object], make: Callable[[], bytes]) -> bytes:
    """Give what was made of the same parts before, or else make it.

    Args:
        folder: Where it is kept, if files can be written there; None to make it anew.
        parts: All that decides what is made: the versions of what makes it, and what that is given.
        make: Makes it.

    Returns:
        The same bytes in either case.
    """
    if folder is None:
        return make()
    path = folder / hashlib.sha256(repr([*parts]).encode()).hexdigest()
    with suppress(OSError):
        made = path.read_bytes()
        os.utime(path)
        return made
    made = make()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with NamedTemporaryFile(dir=folder, delete=False) as part:
            part.write(made)
        Path(part.name).replace(path)
    return made


@functools.cache  # once a build
def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - DAYS * 86400:
            path.unlink()
