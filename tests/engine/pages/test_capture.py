"""Captured means captured: whatever writes to standard output reaches the page, and nothing else does."""

import threading
import time
from pathlib import Path

import pytest

from qkvdocs.engine.pages import LessonError
from tests.project import Project, fence

WAYS = {
    "print": "print('out')",
    "print with sep": "print('o', 'ut', sep='')",
    "sys.stdout.write": "import sys; sys.stdout.write('out')",
    "pprint": "import pprint; pprint.pprint({'a': 1}) or print('out')",
    "file descriptor": "import os; os.write(1, b'out')",
    "imported function": "import this_module; this_module.shout()",
    "child process": "import subprocess; subprocess.run(['echo', 'out'], check=True)",
}


@pytest.mark.parametrize("way", WAYS)
def test_output_reaches_the_page(project: Project, way: str) -> None:
    """Each way of writing ends in the entry."""
    code = WAYS[way].replace(
        "import this_module",
        "import types; this_module = types.ModuleType('m'); exec('def shout(): print(\"out\")', vars(this_module))",
    )

    assert project.run(fence(code)).entries[0].text.endswith("out")


def test_output_is_that_of_its_own_fence(project: Project) -> None:
    """What one fence printed is not printed again by the next."""
    page = project.run(fence("print('a')") + fence("print('b')") + fence("x = 1"))

    assert [entry.text for entry in page.entries] == ["a", "b", ""]


def test_no_output_leaves_nothing_behind(project: Project) -> None:
    """A silent fence is no empty box and no empty paragraph."""
    silent = fence("x = 1", 'exec="on" source="block" result="text"')
    project.write(f"# Page\n\n{silent}\n{fence('y = 1')}")

    html = project.html()

    assert '<div class="result">' not in html
    assert "<p></p>" not in html


# fmt: off
LOST = {
    "fork": ("import os\nos.fork()", r":4: OutputError: a page must not fork"),
    "closed stream": ("import sys\nsys.stdout.close()",
        r":2: OutputError: .*leave sys.stdout and descriptor 1"),
    "closed descriptor": ("import os\nos.close(2)", r":2: OutputError: .*leave sys.stderr and descriptor 2"),
    "other descriptor": ("import os\nos.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        r":2: OutputError: .*leave sys.stdout"),
    "other stream": ("import io, sys\nsys.stdout = io.StringIO()", r":2: OutputError: .*leave sys.stdout"),
    "thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(1,), daemon=True).start()",
        r":2: OutputError: .*wait for the threads that it starts, got Thread-"),
    "process": ("import subprocess\nsubprocess.Popen(['sleep', '9'])",
        r":2: OutputError: .*wait for the processes"),
    "orphan": ("import subprocess\nsubprocess.run('sleep 9 & echo', shell=True)",
        r":2: OutputError: .*wait for the processes"),
    "NUL": ("print('a\\0b')",
        r":2: OutputError: .*no control or private character but tab and newline, got '.x00'"),
    "escape": ("print('\\33[2J')", r":2: OutputError: .*got '.x1b'"),
}
# fmt: on


@pytest.mark.parametrize("way", LOST)
def test_output_that_could_be_lost_or_strange_ends_the_build(project: Project, way: str) -> None:
    """Else the next fence would show it, or nobody would."""
    code, message = LOST[way]

    with pytest.raises(LessonError, match=rf"^docs/index\.md{message}"):
        project.run("\n" + fence(code) + fence("print('next')"))


def test_what_a_fence_ends_itself_is_no_fault(project: Project) -> None:
    """The guard's other side."""
    code = """import contextlib, io, subprocess, threading
with contextlib.redirect_stdout(io.StringIO()):
    print("elsewhere")
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
done = subprocess.run("true & wait", shell=True)
print("here")"""

    assert project.run(fence(code)).entries[0].text == "thread\nhere"


def test_a_value_holds_no_control_character(project: Project) -> None:
    """A NUL in prose is as bad as in an output."""
    with pytest.raises(LessonError, match=r"^docs/index\.md:1: OutputError: a value must hold no control"):
        project.run("`{python} 'a' + chr(0)`\n")


def test_a_process_that_was_left_behind_is_ended(project: Project) -> None:
    """It does not outlive its page."""
    with pytest.raises(LessonError):
        project.run(fence("import subprocess\np = subprocess.Popen(['sleep', '77.7'])"))

    until = time.monotonic() + 5
    while b"77.7" in b"".join(_commands()) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert b"77.7" not in b"".join(_commands())


def _commands() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:  # it has just ended
            continue
    return found


def test_a_false_assertion_shows_its_values(project: Project) -> None:
    """A writer need not run the page again to see how far off it is."""
    with pytest.raises(LessonError, match=r":3: AssertionError: x == y is False: x = 1, y = 2\n"):
        project.run(fence("x, y = 1, 2\nassert x == y"))
