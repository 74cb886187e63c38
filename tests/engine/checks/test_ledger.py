"""A changed number is seen in review, and an update never writes what is false."""

from pathlib import Path

import pytest

from qkvdocs.engine.checks._ledger import check, update
from qkvdocs.engine.pages import LessonError
from tests.project import ROOT, Project, fence

TEXT = f"""# Page

{fence("x = 2", 'exec="on" session="a"')}
Twice: `{{python}} 2 * x`.

{fence("print('square', x * x)", 'exec="on" session="a"')}
Again: `{{python}} 2 * x`, and `{{python}} 7`.
"""
LEDGER = """\
value 2 * x
    4

fence print('square', x * x)
    square 4

value 2 * x (2)
    4

value 7
    7
"""


def tree(root: Path) -> dict[str, str]:
    """Read all ledger files."""
    return {path.name: path.read_text("utf-8") for path in (root / "tests").rglob("*.txt")}


def test_the_ledger_holds_every_output_and_value(project: Project) -> None:
    """In the order of the page, without line numbers."""
    project.write(TEXT)
    update(project.root)

    assert tree(project.root) == {"index.txt": LEDGER}


def test_updating_twice_changes_nothing(project: Project) -> None:
    """And what was updated is current."""
    project.write(TEXT)

    assert update(project.root) == ["tests/ledger/index.txt"]
    assert update(project.root) == []
    assert check(project.root) == []


@pytest.mark.parametrize(
    ("old", "new", "affected"),
    [
        ("x = 2", "x = 3", ["7: value 2 * x", "9: fence print('square', x * x)", "13: value 2 * x (2)"]),
        ("x * x)", "x ** 3)", ["9: fence print('square', x ** 3)"]),
        ("`{python} 7`", "`{python} 8`", ["13: value 8"]),
        ("Again", "A new paragraph.\n\nAgain", []),
    ],
)
def test_the_diff_names_exactly_what_changed(
    project: Project, old: str, new: str, affected: list[str]
) -> None:
    """Blocks that the edit did not touch are not named, even where lines moved."""
    project.write(TEXT)
    update(project.root)
    project.write(TEXT.replace(old, new))

    found = check(project.root)

    named = [line for text in found for line in text.split("\n") if line.startswith("docs/")]
    assert named == [f"docs/index.md:{block}" for block in affected]
    assert bool(found) == bool(affected)
    if found:
        assert "--- ledger/index.txt\n+++ docs/index.md\n@@" in found[0]


def test_a_removed_value_is_seen(project: Project) -> None:
    """Nothing is left of it but the diff."""
    project.write(TEXT)
    update(project.root)
    project.write(TEXT.replace(", and `{python} 7`", ""))

    assert "-value 7" in check(project.root)[0]


def test_an_update_refuses_a_false_claim(project: Project) -> None:
    """Of two pages with new numbers neither is written when one of them fails."""
    project.write(TEXT)
    update(project.root)
    before = tree(project.root)
    project.write(TEXT.replace("x = 2", "x = 3"))
    project.write(fence("assert 1 == 2"), "other.md")

    with pytest.raises(LessonError):
        update(project.root)

    assert tree(project.root) == before


def test_a_page_that_is_gone_leaves_the_ledger(project: Project) -> None:
    """`check` says so, `update` removes it."""
    project.write(TEXT, "gone.md").unlink()
    project.write(TEXT, "gone.md")
    update(project.root)
    (project.root / "docs" / "gone.md").unlink()

    assert check(project.root) == ["tests/ledger/gone.txt: its page is gone"]
    update(project.root)
    assert tree(project.root) == {}


def test_the_command_tells_by_its_exit_code(project: Project) -> None:
    """0 when current, 1 with the diff when not."""
    project.write(TEXT)

    assert project.command("qkvdocs", "ledger").returncode == 1
    assert project.command("qkvdocs", "ledger", "--update").returncode == 0
    assert project.command("qkvdocs", "ledger").returncode == 0


def test_a_figure_is_its_words(project: Project) -> None:
    """Numbers and captions, without HTML; and no line is too long to read."""
    figure = "print(heatmap(np.full((2, 2), 0.5), rows='ab', columns='cd', name='M', caption='All of M is one half.'))"
    project.write(
        fence(f"import numpy as np\nfrom qkvdocs.figures import heatmap\n{figure}", 'exec="on" html="on"')
    )
    project.write(fence("print('long ' * 100)"), "long.md")
    update(project.root)

    texts = tree(project.root)
    assert "All of M is one half." in texts["index.txt"]
    assert "<" not in texts["index.txt"].partition("\n")[2]
    lines = (ROOT / "tests" / "ledger").rglob("*.txt")
    assert max(len(line) for text in texts.values() for line in text.split("\n")) < 200
    assert [path.name for path in lines if max(map(len, path.read_text("utf-8").split("\n"))) > 200] == []


def test_every_ledger_has_a_page() -> None:
    """That each page shows what its ledger says is a test of that page, by the plugin."""
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    ledger = ROOT / "tests" / "ledger"
    assert {path.relative_to(ledger).with_suffix("") for path in ledger.rglob("*.txt")} <= pages
