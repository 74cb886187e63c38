"""A new lesson passes everything on its first day, and is refused where there is no place for it."""

import shutil
import sys
from pathlib import Path

import pytest

from qkvdocs.engine.checks._ledger import update
from qkvdocs.engine.checks._new import _in_nav, new_lesson
from qkvdocs.engine.pages import LessonError
from qkvdocs.errors import QKVError
from tests.conftest import NEW as NAME
from tests.conftest import run
from tests.project import ROOT


def files(root: Path) -> dict[str, bytes]:
    """Read all that the command may touch."""
    paths = [root / "mkdocs.yml", *(root / "docs").rglob("*"), *(root / "tests" / "ledger").rglob("*")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_a_new_lesson_passes_every_check(grown: Path) -> None:
    """Build, fences, ledger, and the tests that hold lessons, concepts and the practice page together."""
    assert (grown / "said.txt").read_text().startswith(f"Wrote docs/lessons/{NAME}.md; changed mkdocs.yml, ")
    assert f"lessons/{NAME}/index.html: " in (grown / "built.txt").read_text()

    before, after = files(ROOT), files(grown)
    page = f"docs/lessons/{NAME}.md"
    pages = {page, "docs/concepts/softmax.md"}
    assert {name for name in after if before.get(name) != after[name]} == {
        "mkdocs.yml",
        f"tests/ledger/lessons/{NAME}.txt",
        "tests/ledger/practice.txt",
        *pages,
    }
    assert (
        update(grown, [grown / name for name in (*pages, "docs/practice.md")]) == []
    )  # the ledger is current
    together = [
        "tests/test_concepts.py",
        "tests/clinic/test_pages.py::test_the_practice_page_gathers_every_question",
    ]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", page, *together]
    run(*words, cwd=grown, PYTHONPATH=str(grown))


def test_the_navigation_keeps_every_other_byte() -> None:
    """Tags and comments too; the entry stands behind the last lesson."""
    old = (ROOT / "mkdocs.yml").read_text("utf-8")

    new = _in_nav(old, f"lessons/{NAME}.md")

    lines = new.split("\n")
    at = lines.index(f"      - lessons/{NAME}.md")
    assert "\n".join(lines[:at] + lines[at + 1 :]) == old
    last = max(path.name for path in (ROOT / "docs" / "lessons").glob("*.md"))
    assert last in lines[at - 1]


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("heads", None, "NAME must be a number and words, such as 06-multi-head, got 'heads'"),
        ("7-heads", None, "NAME must be a number and words"),
        ("77-Heads", None, "NAME must be a number and words"),
        ("77-heads-2", None, "NAME must be a number and words"),
        ("../77-heads", None, "NAME must be a number and words"),
        (
            "77-seven-heads",
            None,
            "NAME must count nothing, since no number on a page is typed, got 'Seven heads'",
        ),
        ("04-again", None, "NAME must have a number of its own, got '04-again' beside 04-qkv-projections.md"),
        ("04-qkv-projections", None, "NAME must have a number of its own"),
        (NAME, ("mkdocs.yml", "  - Lessons:\n", "  - Courses:\n"), "mkdocs.yml must have lessons under"),
        (
            NAME,
            ("docs/concepts/softmax.md", "**Used in:**", "Used in"),
            "docs/concepts/softmax.md must have a line",
        ),
    ],
)
def test_what_is_refused_leaves_nothing(
    tmp_path: Path, name: str, spoil: tuple[str, str, str] | None, message: str
) -> None:
    """No file is written or changed."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    if spoil:
        path = tmp_path / spoil[0]
        path.write_text(path.read_text("utf-8").replace(*spoil[1:]), "utf-8")
    before = files(tmp_path)

    with pytest.raises(QKVError) as refused:
        new_lesson(tmp_path, name)

    assert str(refused.value).startswith(message)
    assert files(tmp_path) == before


def test_an_older_number_is_refused(tmp_path: Path) -> None:
    """The navigation goes up."""
    (tmp_path / "docs" / "lessons").mkdir(parents=True)
    (tmp_path / "docs" / "lessons" / "05-last.md").write_text("# Last\n")
    with pytest.raises(QKVError, match=r"^NAME must come after 05-last, got '03-late'$"):
        new_lesson(tmp_path, "03-late")


def test_a_page_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Here the recorded models are not there to be read."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    before = files(tmp_path)

    with pytest.raises(LessonError, match=rf"^docs/lessons/{NAME}\.md:"):
        new_lesson(tmp_path, NAME)

    assert files(tmp_path) == before
