"""The table of rules and of the tests that bite for them is of this code."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.project import ROOT

GUARDS = tomllib.loads((Path(__file__).parent / "guards.toml").read_text("utf-8"))["guard"]


@pytest.mark.parametrize("guard", [pytest.param(guard, id=guard["rule"]) for guard in GUARDS])
def test_what_is_broken_and_who_should_notice_are_there(guard: dict[str, str]) -> None:
    """`make guards` breaks the line and sees the test fail; it takes minutes."""
    assert (ROOT / guard["file"]).read_text("utf-8").count(guard["old"]) == 1
    file, _, test = guard["test"].partition("::")
    assert not test or re.search(rf"^def {test.partition('[')[0]}\(", (ROOT / file).read_text("utf-8"), re.M)
    assert (ROOT / file).exists()
