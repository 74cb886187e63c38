"""A claim of the text is held against the page, and leaves no trace for a reader."""

import re

import pytest

from qkvdocs.engine.pages import LessonError, Mode
from tests.project import Project, fence

DATA = fence("import numpy as np\na = np.array([3, 5])\nb = 4")

WRONG = {
    "false": ("It is larger. `{check} b > 5`", r"ClaimError: b > 5 is False: b = \d+"),
    "false, of numpy": (
        "It is larger. `{check} a[0] > b`",
        r"ClaimError: a\[0\] > b is False: a\[0\] = np.int64\(\d+\), b = \d+",
    ),
    "an array": (
        "It is larger. `{check} a > 1`",
        r"ClaimError: a > 1 must be True or False, got ndarray of shape \(2,\)",
    ),
    "an array of one": (
        "It is larger. `{check} a[:1] > 1`",
        r"ClaimError: a\[:1\] > 1 must be True or False, got ndarray of shape \(1,\)",
    ),
    "a number": ("It is larger. `{check} b`", r"ClaimError: b must be True or False, got int"),
    "nothing": ("It is larger. `{check} None`", r"ClaimError: None must be True or False, got NoneType"),
    "a name that is not there": ("It is larger. `{check} c > 1`", r"NameError: name 'c' is not defined"),
    "no expression": ("It is larger. `{check}`", r"ValueError: \{check\} must be followed by an expression"),
    "two lines": ("It is larger. `{check} b >\n1`", r"ValueError: an inline value must end on its line"),
    "asserted by nobody": (
        "It is larger. `{asserted} b > 3`",
        r"ClaimError: no code that this page runs and shows asserts 'b > 3'",
    ),
    "asserted, no expression": ("It is larger. `{asserted} b >`", r"SyntaxError: .* in 'b >'"),
    "another mark": (
        "It is larger. `{chek} b > 3`",
        r"ValueError: an inline value must begin \{python\}, \{check\} or \{asserted\}, or be \{minutes\} "
        r"or \{unfolded\}, got \{chek\}",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_claim_ends_the_page(project: Project, kind: str) -> None:
    """The line of the claim and what is not so stand first."""
    text, message = WRONG[kind]

    with pytest.raises(LessonError, match=rf"\Adocs/index\.md:7: {message}(\n|\Z)"):
        project.run(f"{DATA}\n{text}\n")


HIDDEN = {
    "not shown": fence("b = 4\nassert b > 3"),
    "may not be reached": fence(
        "b = 4\n1 / 0\nassert b > 3", 'exec="on" source="above" raises="ZeroDivisionError"'
    ),
    "not run": fence("assert b > 3", 'exec="no"'),
    "a string": fence("print('assert b > 3')", 'exec="on" source="above"'),
    "one of two": fence("b = 4\nassert b > 3 or b > 5", 'exec="on" source="above"'),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_only_an_assertion_that_runs_and_is_shown_counts(project: Project, kind: str) -> None:
    """Whoever reads the claim must be able to find what bears it out."""
    with pytest.raises(LessonError, match=r"ClaimError: no code that this page runs and shows"):
        project.run(f"{HIDDEN[kind]}\nIt is larger. `{{asserted}} b > 3`\n")


def test_a_claim_is_held_against_the_state_above_it(project: Project) -> None:
    """As a value is: true here, no longer true there."""
    one, two = (fence(code, 'exec="on" session="s"') for code in ("x = 1", "x = 2"))
    project.run(f"{one}\nIt is one. `{{check}} x == 1`\n\n{two}\nTwo. `{{check}} x == 2`\n")

    with pytest.raises(LessonError, match=r"\Adocs/index\.md:11: ClaimError: x == 1 is False"):
        project.run(f"{one}\nIt is one.\n\n{two}\nOne. `{{check}} x == 1`\n")


def test_an_assertion_may_stand_anywhere_on_the_page(project: Project) -> None:
    """Before the claim, after it, alone or joined by `and`, written with other spaces."""
    claims = "Larger. `{asserted} a.max()>b`\n`{asserted} ( a.min() < b )`"
    shown = fence(
        "import numpy as np\na, b = np.array([3, 5]), 4\nassert a.max() > b and a.min() < b",
        'exec="on" source="above"',
    )

    assert [entry.kind for entry in project.run(f"{claims}\n\n{shown}\n{claims}\n").entries] == ["value"]


def test_a_mark_leaves_no_trace(project: Project) -> None:
    """Neither in the sentence, nor in a table, nor as an empty line that would cut a paragraph in two."""
    marked = f"""\
{DATA}
First. `{{check}} a[0] < b` `{{check}} b < 5`
`{{check}} b == 4`
Second, `{{check}} b > 3` and **third**. `{{check}} b > 3`

- item
  `{{check}} b > 3`
  goes on

| a | b |
|---|---|
| c | d `{{check}} b > 3` |
"""
    plain = re.sub(r"^ *(`\{check\}[^`]*` ?)+\n", "", marked, flags=re.M)
    plain = re.sub(r" *`\{check\}[^`]*`", "", plain)
    project.write(marked)
    with_marks = project.html().split("MkDocs version")[0]  # the time of the build follows
    project.write(plain)

    assert "check" not in plain
    assert with_marks == project.html().split("MkDocs version")[0]
    assert "<p>First.\nSecond, and <strong>third</strong>.</p>" in with_marks


def test_checks_are_entries_of_the_page(project: Project) -> None:
    """So the ledger lists them, and noise is tried on them."""
    page = project.run(f"{DATA}\nLarger. `{{check}} b > 3`\n")

    assert [(entry.code, entry.text) for entry in page.entries if entry.kind == "check"] == [
        ("b > 3", "True")
    ]


def test_a_claim_that_hangs_on_the_last_place_fails_under_noise(project: Project) -> None:
    """Equality of floats is no claim that another processor must bear out."""
    text = f"{fence('import numpy as np')}\nEqual. `{{check}} np.sqrt(2.0) * np.sqrt(2.0) == 2.0000000000000004`\n"
    project.run(text)

    def disturb() -> None:
        for seed in range(20):
            project.run(text, Mode(noise=seed))

    with pytest.raises(LessonError, match="ClaimError"):
        disturb()
