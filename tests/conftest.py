# One browser, one runtime and one built site for all tests that need them; and no test that leaves a mark on the next.

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock
from playwright.sync_api import Browser

from qkvdocs.engine.export._browser import chromium
from qkvdocs.engine.runtime import folder, is_there
from qkvdocs.errors import QKVError

ROOT = Path(__file__).parents[1]


THEIRS = {"TORCHINDUCTOR_CACHE_DIR"}
"""Set by a library for itself, when it loads a part."""


READERS = {"browser", "site", "raw", "grown", "elsewhere"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser or the built site: `make audit` runs it, `make test` all else."""
    for item in items:
        if READERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker("site")


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


def absent(missing: str) -> NoReturn:
    """Skip what cannot be tried on this machine, or fail where that is asked for."""
    if os.environ.get("QKVDOCS_NO_SKIP") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; without one, tests that need it are skipped, or fail where that is asked for."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(chromium())
        except QKVError as missing:
            absent(str(missing))
        yield started


def needed(path: Path, there: bool | None = None) -> Path:
    """Give what `make runtime` brings; without it, tests that need it are skipped, or fail where that is asked for."""
    if not (path.exists() if there is None else there):
        absent(f"no {path.name} found: make runtime")
    return path


@pytest.fixture(scope="session")
def fetched() -> Path:
    """The fetched runtime."""
    return needed(ROOT / folder(), is_there(ROOT / folder()))


@pytest.fixture(scope="session")
def packed() -> Path:
    """The folder of the packed model."""
    return needed(ROOT / folder() / "minilm")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


def run(*words: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command that must succeed; give what it said."""
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


ELSEWHERE = {"PYTHONHASHSEED": "77", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}


def copied(root: Path) -> dict[str, str]:
    """Copy the project, with its drawings; give what commands there must be told."""
    skipped = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("docs", "qkvdocs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=skipped)
    if (drawn := ROOT / ".cache" / "diagrams").exists():
        shutil.copytree(drawn, root / ".cache" / "diagrams")
    for name in ("mkdocs.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / ".git").symlink_to(ROOT / ".git")  # pages are dated by commits
    return surroundings(root)


def surroundings(root: Path) -> dict[str, str]:
    """Give what commands in a copy must be told: its package, and the runtime that was fetched."""
    return {"PYTHONPATH": str(root), "QKVDOCS_RUNTIME": str(ROOT / folder())}


@pytest.fixture(scope="session")
def raw(shared: Path) -> Path:
    """The site as the builder leaves it, elsewhere: in another folder, hash seed, locale and time zone."""
    root = shared / "a copy"
    with FileLock(shared / "raw.lock"):
        if not root.exists():
            said = (
                copied(root) | ELSEWHERE | {"NO_MKDOCS_2_WARNING": "1", "QKVDOCS_BLANK": str(root / "blank")}
            )
            words = (sys.executable, "-m", "mkdocs", "build", "-d", str(root / "raw"))
            (root / "raw.log").write_text(run(*words, cwd=root, **said))
    return root / "raw"


# The checked build, of the pages that the builder has just built.
CHECKED = """
import sys
from pathlib import Path
from qkvdocs.engine.checks._build import build
sys.exit(build(Path.cwd(), Path(sys.argv[1]), ["sh", "-c", sys.argv[2]], quiet=True))
"""
BUILDER = 'cp -r blank "$QKVDOCS_BLANK" && cp -r raw "$1" && cat raw.log'


@pytest.fixture(scope="session")
def elsewhere(raw: Path) -> Path:
    """The site as it is published there."""
    root = raw.parent
    with FileLock(root / "published.lock"):
        if not (root / "site").exists():
            words = (sys.executable, "-c", CHECKED, str(root / "site"), BUILDER)
            run(*words, cwd=root, **surroundings(root), **ELSEWHERE)
    return root / "site"


@pytest.fixture(scope="session")
def site(shared: Path) -> Path:
    """The site as it is published, once for all processes; or the one in `QKVDOCS_SITE`, just built."""
    folder = shared / "published" / "site"
    with FileLock(shared / "published.lock"):
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            if there := os.environ.get("QKVDOCS_SITE"):
                shutil.copytree(ROOT / there, folder)
            else:
                run(sys.executable, "-m", "qkvdocs", "build", "-q", "-d", str(folder))
            (folder.parent / "serving").mkdir()
            (folder.parent / "serving" / "under").symlink_to(folder)
    return folder


NEW = "77-more-heads"
ADDRESS = "https://example.org/qkvdocs/"
EDIT = "https://example.org/code/edit/main/docs/"


@pytest.fixture(scope="session")
def grown(shared: Path) -> Path:
    """A copy of the project with a new lesson, built in `host/qkvdocs` as the workflow does for an address."""
    root = shared / "grown"
    with FileLock(shared / "grown.lock"):
        if not root.exists():
            said = copied(root)
            as_ever = (sys.executable, "-m", "qkvdocs")
            (root / "said.txt").write_text(run(*as_ever, "lesson", NEW, cwd=root, **said))
            said |= {"SITE_URL": ADDRESS.rstrip("/"), "EDIT_URI": EDIT}
            (root / "built.txt").write_text(run(*as_ever, "build", "-d", "host/qkvdocs", cwd=root, **said))
            # Where the server looks for the page for wrong addresses.
            (root / "host" / "under").symlink_to(root / "host" / "qkvdocs")
    return root
