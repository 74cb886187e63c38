"""Work in parts, done on all cores of the machine."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

__all__ = ["divided"]

Part = TypeVar("Part")
Result = TypeVar("Result")
_work: Callable[[Any], Any] = str


def divided(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Do a work part by part, in processes that begin with all that this one has.

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
    global _work
    _work, waiting = work, list(parts)
    done = [work(part) for part in waiting[:1]]  # here, so that what it loads the others find loaded
    if others := waiting[1:]:
        with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as processes:
            done += processes.map(_one, others)
    return done


def _one(part: Any) -> Any:
    return _work(part)
