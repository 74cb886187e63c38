# One browser, one runtime and one built site for all tests that need them; and no test that leaves a mark on the next.

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

from qkvdocs.engine.runtime import folder, is_there

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


THEIRS = {"TORCHINDUCTOR_CACHE_DIR"}
"""Set by a library for itself, when it loads a part."""


@contextmanager
def left_as_found() -> Iterator[None]:
    """Refuse what leaves the process's environment or folder changed: which tests follow it is left to chance."""

    def now() -> dict[str, str]:
        return {**os.environ, "the folder": str(Path.cwd()), "PYTEST_CURRENT_TEST": ""}

    before = now()
    yield
    after = now()
    names = {*before, *after} - THEIRS
    changed = {name: after.get(name) for name in names if before.get(name) != after.get(name)}
    assert changed == {}, "must be put back"


@pytest.fixture(autouse=True)
def _left_as_found() -> Iterator[None]:
    with left_as_found():
        yield


def chromium() -> str | None:
    """Find the machine's own Chromium."""
    names = (os.environ.get("QKVDOCS_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, filter(None, names))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; without one, tests that need it are skipped, or fail where that is asked for."""
    program = chromium()
    if program is None:
        missing = "no Chromium found: install your system's chromium package, or set QKVDOCS_CHROMIUM to one"
        if os.environ.get("QKVDOCS_NO_SKIP") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def fetched() -> Path:
    """The fetched runtime; without one, tests that need it are skipped, or fail where that is asked for."""
    if not is_there(ROOT / folder()):
        missing = "no runtime found: make runtime"
        if os.environ.get("QKVDOCS_NO_SKIP") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return ROOT / folder()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def site(shared: Path) -> Path:
    """Build the site as it is published, once for all processes; or take the one in `QKVDOCS_SITE`, just built."""
    folder = shared / "published" / "site"
    with FileLock(shared / "published.lock"):
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            if built := os.environ.get("QKVDOCS_SITE"):
                shutil.copytree(ROOT / built, folder)
            else:
                words = [sys.executable, "-m", "qkvdocs", "build", "-q", "-d", str(folder)]
                done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            (folder.parent / "serving").mkdir()
            (folder.parent / "serving" / "under").symlink_to(folder)
    return folder


@pytest.fixture(scope="session")
def raw(shared: Path) -> Path:
    """Build the site as the builder leaves it."""
    folder = shared / "raw"
    with FileLock(shared / "raw.lock"):
        if not folder.exists():
            words = [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(folder)]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return folder
