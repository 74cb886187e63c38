"""The numbers on the pages are those of this run, up to rounding; mistakes are as wrong as they say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parity import recorded
from tests.parity.compare import LIMITS


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Measure everything again."""
    return recorded.rounded(recorded.measurements(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def kept(fresh: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Read what is committed; with --record, write it first."""
    if request.config.getoption("--record", default=False):
        recorded.write(fresh)
    return json.loads(Path(recorded.FILE).read_text("utf-8"))


def test_versions(fresh: dict[str, Any], kept: dict[str, Any]) -> None:
    """Of the libraries that were compared with."""
    assert kept["versions"] == fresh["versions"]


def facts(row: dict[str, Any]) -> dict[str, Any]:
    """Give all of a row but its errors."""
    return {key: value for key, value in row.items() if key != "errors"}


def test_facts(fresh: dict[str, Any], kept: dict[str, Any]) -> None:
    """Names, shapes, biases, heads, and what is compared."""
    assert [facts(row) for row in kept["variants"]] == [facts(row) for row in fresh["variants"]]
    assert [set(row["errors"]) for row in kept["variants"]] == [
        set(row["errors"]) for row in fresh["variants"]
    ]


def test_parity_errors(fresh: dict[str, Any], kept: dict[str, Any]) -> None:
    """All within the limit that the pages state."""
    for found in (fresh, kept):
        for row in [*found["variants"], *found["latent"]]:
            assert max(row["errors"].values()) <= LIMITS["float32"], row


def test_mistakes(fresh: dict[str, Any], kept: dict[str, Any]) -> None:
    """The same to two per cent; rounding errors below the limit count as none."""
    for mine, theirs in zip(fresh["mistakes"], kept["mistakes"], strict=True):
        assert mine["name"] == theirs["name"]
        for key, value in mine["errors"].items():
            assert value == pytest.approx(theirs["errors"][key], rel=0.06, abs=LIMITS["float32"]), (
                mine["name"],
                key,
            )


def test_every_mistake_is_one(kept: dict[str, Any]) -> None:
    """Each moves something far beyond rounding."""
    for row in kept["mistakes"]:
        assert max(v for k, v in row["errors"].items() if k in "qkv" or k in ("weights", "output")) > 1e-2, (
            row["name"]
        )


def test_coverage(fresh: dict[str, Any], kept: dict[str, Any]) -> None:
    """Every model type of the pinned library, with the same answer."""
    assert kept["coverage"] == fresh["coverage"]
