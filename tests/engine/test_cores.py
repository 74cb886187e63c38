"""Work on all cores gives what work on one gives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qkvdocs.engine.cores import divided
from qkvdocs.engine.pages import LessonError
from tests.project import ROOT, is_there, until


def test_results_come_in_the_order_of_their_parts() -> None:
    """Whichever is done first, from whatever a process began with."""
    shift = {"by": 3}

    moved = divided(lambda part: time.sleep((5 - part) / 100) or part + shift["by"], range(5))

    assert moved == [3, 4, 5, 6, 7]
    assert divided(str, []) == []


def test_parts_are_done_at_one_time() -> None:
    """By others than this process, which does the first to load what they need."""
    own, *others = divided(lambda _: (time.sleep(0.1), os.getpid())[1], range(9))

    assert own == os.getpid()
    assert os.cpu_count() == 1 or len({*others} - {own}) > 1


def test_parts_that_are_divided_themselves_are_done() -> None:
    """In the process that does them."""
    sums = divided(lambda part: sum(divided(lambda inner: inner * part, range(4))), range(4))

    assert sums == [0, 6, 12, 18]


def test_nobody_outlives_the_process_that_asks(tmp_path: Path) -> None:
    """Not even where it was killed while others work."""
    code = (
        "import os, time\nfrom pathlib import Path\nfrom qkvdocs.engine.cores import divided\n"
        "def work(part):\n    if part:\n        Path(str(os.getpid())).touch()\n        time.sleep(60)\n"
        "divided(work, range(9))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as asking:
        until(lambda: any(tmp_path.iterdir()))
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert all(map(is_there, workers))
        asking.kill()
    until(lambda: not any(map(is_there, workers)))


def test_the_first_error_comes_whole() -> None:
    """With its file and line."""

    def work(part: int) -> int:
        if part > 1:
            raise LessonError("docs/a.md", part, "SomeError", "wrong")
        return part

    with pytest.raises(LessonError, match=r"^docs/a.md:2: SomeError: wrong$"):
        divided(work, range(5))
