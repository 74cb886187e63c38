"""The table of rules and of the tests that bite for them is of this code."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.project import ROOT

GUARDS = tomllib.loads((Path(__file__).parent / "guards.toml").read_text("utf-8"))["guard"]
MUTANTS = tomllib.loads((Path(__file__).parent / "core/hand_mutants.toml").read_text("utf-8"))["mutant"]


@pytest.mark.parametrize("guard", [pytest.param(guard, id=guard["rule"]) for guard in GUARDS])
def test_what_is_broken_and_who_should_notice_are_there(guard: dict[str, str]) -> None:
    """`make guards` breaks the line and sees the test fail; it takes minutes."""
    assert (ROOT / guard["file"]).read_text("utf-8").count(guard["old"]) == 1
    file, _, test = guard["test"].partition("::")
    assert not test or re.search(rf"^def {test.partition('[')[0]}\(", (ROOT / file).read_text("utf-8"), re.M)
    assert (ROOT / file).exists()


def test_what_mutants_break_is_there() -> None:
    """`make mutants` stops at the first that is not; it takes minutes."""
    gone = [entry for entry in MUTANTS if (ROOT / entry["file"]).read_text("utf-8").count(entry["old"]) != 1]
    assert not gone
