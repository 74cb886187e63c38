"""Work on all cores gives what work on one gives."""

import os
import time

import pytest

from qkvdocs.engine.cores import divided
from qkvdocs.engine.pages import LessonError


def test_results_come_in_the_order_of_their_parts() -> None:
    """Whichever is done first, from whatever a process began with."""
    shift = {"by": 3}

    assert divided(lambda part: time.sleep((5 - part) / 100) or part + shift["by"], range(5)) == [
        3,
        4,
        5,
        6,
        7,
    ]
    assert divided(str, []) == []


def test_parts_are_done_at_one_time() -> None:
    """By others than this process, which does the first to load what they need."""
    own, *others = divided(lambda _: (time.sleep(0.1), os.getpid())[1], range(9))

    assert own == os.getpid()
    assert len({*others} - {own}) == min(os.cpu_count() or 1, 8)


def test_the_first_error_comes_whole() -> None:
    """With its file and line."""

    def work(part: int) -> int:
        if part > 1:
            raise LessonError("docs/a.md", part, "SomeError", "wrong")
        return part

    with pytest.raises(LessonError, match=r"^docs/a.md:2: SomeError: wrong$"):
        divided(work, range(5))
