"""The buggy implementations run, return the right shape, and are many."""

import ast
from pathlib import Path

import pytest

from tests.clinic import bugs_blind, bugs_hard, bugs_held_out, bugs_open, bugs_reports, right, right_features

HALVES = {"held out": bugs_held_out.CASES, "open": bugs_open.CASES}
ALL = [
    case
    for module in (bugs_held_out, bugs_open, bugs_reports, bugs_hard, right, right_features)
    for case in module.CASES
] + [*bugs_blind.SINGLE, *bugs_blind.HARD, *bugs_blind.RIGHT]


def test_there_are_many() -> None:
    """At least twenty a half, each name once."""
    assert min(map(len, HALVES.values())) >= 20
    names = [case.name for case in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "file",
    ["bugs_held_out.py", "bugs_open.py", "bugs_reports.py", "bugs_blind.py", "right_features.py", "cases.py"],
)
def test_they_know_nothing_of_the_probes(file: str) -> None:
    """They import numpy and their own list, nothing of the package."""
    tree = ast.parse(Path(__file__).with_name(file).read_text("utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("qkvdocs")]
