"""Work in parts, done on all cores of the machine."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from typing import Any, TypeVar

__all__ = ["divided"]

Part = TypeVar("Part")
Result = TypeVar("Result")
SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl


def divided(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Do work part by part, in processes that begin with all that this one has.

    Args:
        work: What is done with a part. It may use anything: a process inherits it, so only parts and results travel.
        parts: What there is to do.

    Returns:
        One result a part, in their order.

    Raises:
        Exception: The first that a part raises, in their order.

    Examples:
        >>> divided(lambda number: number**2, range(4))
        [0, 1, 4, 9]
    """
    waiting = list(parts)
    done = [work(part) for part in waiting[:1]]  # here, so that what it loads the others find loaded
    if others := waiting[1:]:
        count = min(len(others), os.cpu_count() or 1)
        with ProcessPoolExecutor(count, get_context("fork"), _begin, (work,)) as processes:
            done += processes.map(_one, others)
    return done


_work: Callable[[Any], Any]


def _begin(work: Callable[[Any], Any]) -> None:
    """Keep the work; outlive nobody, for who waits for a part would not see that the one who asks is gone."""
    global _work
    _work = work
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _one(part: Any) -> Any:
    return _work(part)
