"""No wait between the builder and its processes is without a limit, and no message is read by the wrong one."""

import contextlib
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkvdocs.engine.pages import LessonError, Mode, _forge, _page
from qkvdocs.engine.settings import Settings
from tests.project import LIMITS, ROOT, Project, fence, until

ORDER = {
    "file": "docs/index.md",
    "root": str(ROOT),
    "limits": {"memory": LIMITS.memory, "output": LIMITS.output},
    "noise": None,
    "trace": False,
    "watch": False,
}


@pytest.fixture
def forge(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[_forge.Forge]:
    """A warm process of its own, that the pages of this test are started from."""
    preload = Settings.of(project.root / "docs").preload
    started = _forge.Forge({}, preload)
    monkeypatch.setattr(_forge, "_forges", {(preload,): started})
    yield started
    started.close()


def test_threads_that_start_pages_at_once_all_get_them(forge: _forge.Forge) -> None:
    """Nobody has asked for the first message yet: each thread may be the one that does."""
    got: list[int] = []

    def work(number: int) -> None:
        if number % 2:
            assert forge.is_current()
        channel, pid = forge.fork(ORDER)
        got.append(pid)
        channel.close()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(set(got)) == 8


@pytest.mark.parametrize("signal_", [signal.SIGSTOP, signal.SIGKILL])
def test_a_page_that_stops_or_kills_its_parent_ends_in_a_message(
    forge: _forge.Forge, project: Project, monkeypatch: pytest.MonkeyPatch, signal_: signal.Signals
) -> None:
    """The next page is told, with its line; the one after that runs."""
    assert forge.files
    monkeypatch.setattr(_forge, "ANSWER", 0.5)
    code = f"import os\nos.kill(os.getppid(), {int(signal_)})"
    with contextlib.suppress(LessonError):  # a page whose parent is dead may die too
        project.run(fence(code))
    if signal_ == signal.SIGKILL:  # it is found dead, and replaced
        forge.process.wait(5)
    else:
        with pytest.raises(LessonError, match=r"index\.md:1: KernelDied: the warm process .* did not answer"):
            project.run(fence("print(1)"))
    monkeypatch.setattr(_forge, "ANSWER", 60)

    assert project.run(fence("print(2)")).entries[0].text == "2"
    _forge._forge(project.root, {}).close()


def test_a_channel_reads_whole_messages_and_no_longer_than_it_may() -> None:
    """A message may come in pieces, two in one; a dripping one ends at the limit."""
    ours, theirs = _forge.socket.socketpair()
    channel = _forge.Channel(ours)
    for piece in (b'{"a"', b": 1}\n", b"2\n3\n", b"4"):
        theirs.sendall(piece)

    assert [channel.receive(1) for _ in range(3)] == [{"a": 1}, 2, 3]
    with pytest.raises(TimeoutError):
        channel.receive(0.05)
    theirs.close()
    with pytest.raises(EOFError):
        channel.receive(1)
    channel.close()


def test_a_page_that_ends_itself_is_told_from_one_that_is_late(forge: _forge.Forge, project: Project) -> None:
    """And its whole group is gone."""
    kernel = _forge.start("docs/index.md", project.root, _forge.Limits(seconds=0.5), Mode())
    with pytest.raises(_forge.KernelEndedError, match="did not answer in time"):
        next(
            kernel.ask([{"kind": "run", "code": "while True: pass", "line": 1, "session": "", "raises": ""}])
        )
    kernel.close()
    for _ in range(100):
        try:
            os.kill(kernel.pid, 0)
        except ProcessLookupError:
            break
        threading.Event().wait(0.02)
    with pytest.raises(ProcessLookupError):
        os.kill(kernel.pid, 0)


def test_what_is_compiled_is_read_for_its_own_source_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an edit of the same length within the same second; what cannot be compiled is left alone."""
    kept, module = tmp_path / "kept", tmp_path / "made.py"
    monkeypatch.setattr(sys, "pycache_prefix", str(kept))
    keep_compiled = runpy.run_path(str(_forge.KERNEL))["keep_compiled"]
    (tmp_path / "broken.py").write_text("x =")

    def imported(value: int) -> tuple[str, bool]:
        module.write_text(f"print({value})")
        os.utime(module, (1e9, 1e9))
        words = [sys.executable, "-B", "-v", "-X", f"pycache_prefix={kept}", "-c", "import made"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout, bool(re.search(r"made\S*\.pyc matches", done.stderr))

    assert imported(1) == ("1\n", False)
    keep_compiled([str(tmp_path / name) for name in ("broken.py", "gone.py", "made.py")])
    assert imported(1) == ("1\n", True)
    assert imported(2) == ("2\n", False)
    keep_compiled([str(module)])
    assert imported(2) == ("2\n", True)


def test_what_nobody_waits_for_ends(project: Project) -> None:
    """A page that is refused for what it printed has more below that would run on."""
    page = fence("import numpy as np\nprint([np.float64(1)])") + fence("while True:\n    pass")
    started: list[int] = []
    real = _forge.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_page, "start", lambda *words: (kernel := real(*words), started.append(kernel.pid))[0])
        with pytest.raises(LessonError, match="OutputError"):
            project.run(page)

    until(lambda: not Path(f"/proc/{started[0]}").exists())


def test_nothing_runs_below_what_failed(project: Project) -> None:
    """An error that is not expected, or a word on standard error."""
    for code in ("1 / 0", "import sys\nsys.stderr.write('no')"):
        marker = project.root / "ran"
        with pytest.raises(LessonError):
            project.run(fence(code) + fence(f"open({str(marker)!r}, 'w').close()"))
        threading.Event().wait(0.1)
        assert not marker.exists()
