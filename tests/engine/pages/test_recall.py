"""What the dev server remembers is what running the page again would give, after any edit."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qkvdocs.engine.pages import LessonError, _forge, _page, _recall
from qkvdocs.engine.pages._page import run
from tests.project import LIMITS, ROOT, Project, fence

READS = fence("""from pathlib import Path
from qkvdocs.core import VERSION
data, more = Path("data.txt"), Path("more")
print(VERSION, data.read_text() if data.exists() else "nothing", sorted(path.name for path in more.glob("*")))""")
CALLS = {
    "writes": "open('made.txt', 'w').close()",
    "removes": "import os\nopen('gone.txt', 'w').close()\nos.remove('gone.txt')",
    "makes a folder": "import os\nos.makedirs('made', exist_ok=True)",
    "asks a process": "import subprocess\nprint(subprocess.run(['date'], capture_output=True, text=True).stdout)",
    "asks a network": "import socket\nsocket.socket().close()",
    "sees the system": "from pathlib import Path\nprint(Path('/proc/self/stat').read_text())",
}


@pytest.fixture
def package(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the project a package of its own; return a module of it."""
    shutil.copytree(ROOT / "qkvdocs", project.root / "qkvdocs", ignore=shutil.ignore_patterns("__pycache__"))
    for module in (_forge, _recall):
        monkeypatch.setattr(module, "PACKAGE_ROOT", project.root)
    monkeypatch.setattr(_forge, "_forges", {})
    core = project.root / "qkvdocs" / "core" / "__init__.py"
    core.write_text(core.read_text("utf-8") + "\nfrom qkvdocs.core._heads import VERSION\n", "utf-8")
    deeper = core.with_name("_heads.py")
    deeper.write_text(deeper.read_text("utf-8") + "\nVERSION = 1\n", "utf-8")
    (project.root / "more").mkdir()
    return deeper


def outcome(project: Project, recall: _recall.Recall | None) -> object:
    """Run the page; tell what it gave, or how it failed."""
    text = (project.root / "docs" / "index.md").read_text("utf-8")
    asked = _recall.Asked(project.root, "docs/index.md", 1, tuple(text.split("\n")), LIMITS)
    page = asked.page()
    try:
        run(page, LIMITS, known=recall.replies(asked) if recall else None)
    except LessonError as error:
        return str(error)
    return page.entries


def settle() -> None:
    """Wait until files are older than the run that meets them."""
    time.sleep(1.5 * _recall.MARGIN / 1e9)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no page be run."""
    monkeypatch.setattr(_page, "start", lambda *_: pytest.fail("the page was run again"))


def test_a_page_that_nothing_touched_is_not_run_again(
    project: Project, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that reads files, lists folders, imports what was not loaded, and ends in an error on purpose."""
    project.write(
        READS
        + fence("import textwrap\nprint(textwrap.dedent(' x'))")
        + fence("1 / 0", 'exec="on" raises="ZeroDivisionError"')
    )
    settle()
    recall = _recall.Recall()
    first = outcome(project, recall)
    forbid(monkeypatch)

    assert outcome(project, recall) == first
    assert "1 nothing []" in str(first)


def test_without_a_memory_a_page_is_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of the test above bites, and a build remembers nothing."""
    project.write(fence("print(1)"))
    settle()
    outcome(project, _recall.Recall())
    forbid(monkeypatch)

    with pytest.raises(pytest.fail.Exception):
        outcome(project, None)


def test_a_wrong_page_is_not_remembered(project: Project, package: Path) -> None:
    """It fails each time, until what was wrong is mended elsewhere."""
    project.write(fence("from pathlib import Path\nprint(Path('data.txt').read_text())"))
    settle()
    recall = _recall.Recall()
    assert "FileNotFoundError" in str(outcome(project, recall))
    assert "FileNotFoundError" in str(outcome(project, recall))
    (project.root / "data.txt").write_text("there")

    assert "there" in str(outcome(project, recall))


@pytest.mark.parametrize("call", CALLS)
def test_what_a_second_look_would_not_tell_is_run_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A page that writes must write again, and the answer of a process or a network may be another."""
    project.write(fence(CALLS[call]))
    settle()
    recall = _recall.Recall()
    outcome(project, recall)

    started, real = [], _page.start
    monkeypatch.setattr(_page, "start", lambda *words: (started.append(words), real(*words))[1])

    assert not isinstance(outcome(project, recall), str)
    assert started


def test_an_edit_that_keeps_date_and_size_is_seen(project: Project, package: Path) -> None:
    """As a tool writes that sets a file's date itself."""
    data = project.root / "data.txt"
    project.write(READS)
    recall = _recall.Recall()
    for word in ("aaa", "bbb"):
        data.write_text(word)
        os.utime(data, (1, 1))
        settle()
        assert word in str(outcome(project, recall))
    assert recall.pages


def test_fifty_edits_in_any_order(project: Project, package: Path) -> None:
    """Of the page, its data, a module behind a module; coming, going, moving, back again: as if run anew each time."""
    data, more, page = project.root / "data.txt", project.root / "more", project.root / "docs" / "index.md"
    source = package.read_text("utf-8")
    kept = project.root / "kept.txt"
    kept.write_text("old")

    def rewrite_with_old_date() -> None:
        data.write_text(random_word())
        os.utime(data, (1, 1))

    rng = random.Random(4)

    def random_word() -> str:
        return rng.choice(["aaa", "bbb"])

    edits: list[Callable[[], object]] = [
        *[lambda: None] * 6,
        lambda: page.write_text(READS, "utf-8"),
        lambda: page.write_text(READS + "\nIt is `{python} VERSION`.\n", "utf-8"),
        lambda: page.write_text("# More above\n\n" + READS, "utf-8"),
        lambda: data.write_text(random_word()),
        rewrite_with_old_date,
        lambda: data.unlink(missing_ok=True),
        lambda: shutil.copy2(kept, data),
        lambda: (more / random_word()).touch(),
        lambda: [path.unlink() for path in more.iterdir()],
        lambda: package.write_text(
            source.replace("VERSION = 1", f"VERSION = {rng.randrange(1, 4)}"), "utf-8"
        ),
        lambda: package.write_text(source.replace("VERSION = 1", "VERSION = ="), "utf-8"),
    ]
    page.write_text(READS, "utf-8")
    recall, recalled = _recall.Recall(), 0
    for step in range(50):
        edits[step % len(edits) if step < len(edits) else rng.randrange(len(edits))]()
        if step % 3:
            settle()
        asked = recall.pages.get((project.root, "docs/index.md"))
        warm = outcome(project, recall)
        recalled += asked is not None and recall.pages.get((project.root, "docs/index.md")) is asked
        assert warm == outcome(project, None), step
    assert recalled > 3
