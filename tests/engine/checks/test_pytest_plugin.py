"""One test for each fence: named, selectable, and red when its fence is."""

import pytest

from qkvdocs.engine.checks._ledger import update
from tests.project import Project, fence

STEP = fence("def f():\n    return 2\nx += 1", 'exec="on" session="a"')
TEXT = f"""# Page

{fence("x = 1", 'exec="on" session="a"')}
{STEP}
`{{python}} x`

{fence("y = f()", 'exec="on" session="a"')}
"""


def outcomes(project: Project, *words: str) -> tuple[list[str], str]:
    """Run pytest in the project; give one line a test, and all it printed."""
    done = project.command(
        "pytest",
        "-p",
        "qkvdocs.engine.checks.pytest_plugin",
        "-rA",
        "-q",
        "--rootdir=.",
        *(words or ("docs",)),
    )
    lines = [line for line in done.stdout.split("\n") if line.startswith(("PASSED", "FAILED", "ERROR"))]
    return [line.split(" - ")[0] for line in lines], done.stdout


def test_each_fence_is_a_test(project: Project) -> None:
    """By the name that messages use."""
    project.write(TEXT)

    assert outcomes(project)[0] == [f"PASSED docs/index.md:{line}" for line in (3, 7, 15)]


def test_a_fence_can_be_asked_for(project: Project) -> None:
    """By that name, and only it is run as a test."""
    project.write(TEXT)

    assert outcomes(project, "docs/index.md:7")[0] == ["PASSED docs/index.md:7"]


@pytest.mark.parametrize(
    ("old", "new", "lines", "said"),
    [
        (
            "x += 1", "x += z", ["PASSED 3", "FAILED 7", "FAILED 15"],
            ["10: NameError: name 'z' is not defined", "15: never ran: the page stopped at line 10"],
        ),
        ("`{python} x`", "`{python} nothing`", ["PASSED 3", "FAILED 7", "FAILED 15"], ["13: NameError"]),
        ("y = f()", "y = f", ["PASSED 3", "PASSED 15", "FAILED 7"], ["7: these lines of the file never ran: [9]"]),
    ],
    ids=["fence", "value", "line that nobody runs"],
)  # fmt: skip
def test_what_fails_fails_its_fence_and_those_below(
    project: Project, old: str, new: str, lines: list[str], said: list[str]
) -> None:
    """Those above passed; those below never ran, and say why. A value belongs to the fence above it."""
    project.write(TEXT.replace(old, new))

    found, text = outcomes(project)

    assert found == [line.replace(" ", " docs/index.md:") for line in lines]
    for words in said:
        assert f"docs/index.md:{words}" in text


def test_a_malformed_fence_fails(project: Project) -> None:
    """It could not be collected, so the page is an error."""
    project.write(TEXT.replace('session="a"', "session=a", 1))

    assert "docs/index.md:3: FenceError" in outcomes(project)[1]


def test_a_value_that_moved_fails_the_ledger(project: Project) -> None:
    """With what the ledger has beside what came."""
    project.write(TEXT)
    update(project.root)
    assert outcomes(project)[0] == [f"PASSED docs/index.md:{name}" for name in (3, 7, 15, ":ledger")]
    project.write(TEXT.replace("x += 1", "x += 2"))

    lines, text = outcomes(project, "docs/index.md")

    assert [line for line in lines if line.startswith("FAILED")] == ["FAILED docs/index.md::ledger"]
    assert "docs/index.md:13: value x\n" in text
    assert "\n-    2\n+    3\n" in text
