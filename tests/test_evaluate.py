"""What was evaluated whole is recorded, of the files as they are."""

import json
from pathlib import Path

import pytest

from tests import evaluate
from tests.evaluate import EVALUATIONS, Evaluation, digest, stale


def test_nothing_is_older_than_what_it_is_about() -> None:
    """Else `make evaluate`."""
    assert stale() == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one file, and one thing to evaluate."""
    evaluate.subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "code.py").write_text("print('all seven passed')\n")
    monkeypatch.setattr(evaluate, "ROOT", tmp_path)
    monkeypatch.setattr(evaluate, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(evaluate, "EVALUATIONS", {"it": Evaluation(("code.py",), ("code",))})
    return tmp_path


def test_what_passed_is_recorded_until_it_changes(checkout: Path) -> None:
    """With what it said last."""
    assert stale() == ["it"]
    assert evaluate.main([]) == 0
    assert stale() == []
    assert json.loads((checkout / "record.json").read_text())["it"]["said"] == "all seven passed"

    (checkout / "code.py").write_text("raise SystemExit('six passed')\n")

    assert stale() == ["it"]
    assert evaluate.main([]) == 1
    assert stale() == ["it"]


def test_a_name_that_is_none_is_refused(checkout: Path) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit, match=r"^evaluations must be among it, got that$"):
        evaluate.main(["that"])


@pytest.mark.parametrize("name", EVALUATIONS)
def test_it_is_about_files_that_there_are(name: str) -> None:
    """A folder that was renamed would never be old."""
    for path in EVALUATIONS[name].about:
        assert evaluate.files([path])
        assert digest([path]) != digest([])
