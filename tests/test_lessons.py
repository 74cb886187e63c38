"""Each lesson is short, asks before it shows, and says what its deeper parts need."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkvdocs.engine.pages._reading import reading_minutes
from tests.project import ROOT

LESSONS = sorted((ROOT / "docs" / "lessons").glob("*.md"))
TEMPLATE = ROOT / "qkvdocs" / "engine" / "checks" / "lesson.md"
LONGER = {"04-qkv-projections": (12, 25), "05-why-separate-projections": (12, 25)}
GUESS = re.compile(r'\?\?\? question "Guess first: |print\(exercise\(')
TWO_SCREENS = 2
"""In minutes of reading."""


def faults(text: str, folded: int = 10, unfolded: int = 16) -> Iterator[str]:
    """Hold a lesson to its minutes, and to three predictions that come before the exercise at its end."""
    lines = text.split("\n")
    if (minutes := reading_minutes(text)) > folded:
        yield f"{minutes} minutes, at most {folded}"
    if (minutes := reading_minutes(text, unfolded=True)) > unfolded:
        yield f"{minutes} minutes with folds, at most {unfolded}"
    end = next((at for at, line in enumerate(lines) if re.search(r"\{#(recall|apply)\b", line)), len(lines))
    guesses = [at for at, line in enumerate(lines[:end]) if GUESS.match(line)]
    if len(guesses) < 3:
        yield f"{len(guesses)} predictions, at least 3"
    if guesses and reading_minutes("\n".join(lines[: guesses[0]])) > TWO_SCREENS:
        yield "the first prediction comes after two screens"
    for line in lines:
        if re.match(r'\?\?\? \w+ "Going deeper', line) and not re.search(r': .+ \(needs\b.+\)"$', line):
            yield f"must say what it needs: {line}"
    if not re.search(r"`\{minutes\}` minutes, `\{unfolded\}` with everything", text):
        yield "must tell both reading times"


@pytest.mark.parametrize("path", [*LESSONS, TEMPLATE], ids=lambda path: path.stem)
def test_a_lesson_is_short_and_asks_first(path: Path) -> None:
    """The budgets of the main line and of all folds; three guesses, the first of them early."""
    assert list(faults(path.read_text("utf-8").replace("@NUMBER@", "06"), *LONGER.get(path.stem, ()))) == []


GUESSED = '??? question "Guess first: what?"\n\n    This.\n\n'
TOLD = "*About `{minutes}` minutes, `{unfolded}` with everything that is folded.*\n\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TOLD + 3 * GUESSED, ""),
        (TOLD + 2 * GUESSED + "```text\nprint(exercise(\n```\n", ""),
        (TOLD + 2 * GUESSED, "2 predictions, at least 3"),
        (TOLD + 2 * GUESSED + "## Recall {#recall}\n" + GUESSED, "2 predictions, at least 3"),
        (TOLD + "word " * 400 + "\n" + 3 * GUESSED, "the first prediction comes after two screens"),
        (TOLD + 3 * GUESSED + "word " * 2000, "11 minutes, at most 10"),
        (TOLD + 3 * GUESSED + "    " + "word " * 3190, "17 minutes with folds, at most 16"),
        (
            TOLD + 3 * GUESSED + '??? note "Going deeper: why"\n',
            'must say what it needs: ??? note "Going deeper: why"',
        ),
        (TOLD + 3 * GUESSED + '??? note "Going deeper: why (needs rank)"\n', ""),
        (3 * GUESSED, "must tell both reading times"),
    ],
)
def test_what_is_missing_is_named(text: str, fault: str) -> None:
    """The test above can fail, for each of its reasons."""
    assert list(faults(text)) == [fault] * bool(fault)
