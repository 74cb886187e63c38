"""What the workflow would do is done here, in its order, and can be undone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import workflow
from tests.workflow import FLOW, ROOT, Runner, StepError, back

PUSH = "github.event_name == 'push'"
STEPS: dict[str, Any] = {
    "env": {"KIND": "x"},
    "jobs": {
        "check": {
            "steps": [
                {"uses": "actions/checkout@1"},
                {"run": 'mkdir site; echo "$KIND $AT" >site/index.html', "env": {"AT": "${{ vars.SITE_URL }}"}},
                {"uses": "actions/upload-pages-artifact@1", "with": {"path": "site"}, "if": PUSH},
            ]
        },
        "proposals": {"if": "github.event_name == 'pull_request'", "steps": [{"run": "exit 1"}]},
        "publish": {"needs": ["check"], "steps": [{"uses": "actions/deploy-pages@1"}]},
    },
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "source"
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (
        ["init", "-q", str(folder)],
        ["-C", str(folder), *who, "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *words], check=True)
    return folder


def test_jobs_run_in_order_and_can_be_taken_back(source: Path, tmp_path: Path) -> None:
    """With the workflow's environment and the repository's variables; a proposal's job is left out."""
    into = tmp_path / "into"
    for address in ("https://one", "https://two"):
        Runner(STEPS, source, into, {"SITE_URL": address}).run()
    page = into / "published" / "index.html"
    assert page.read_text() == "x https://two\n"

    back(into)
    assert page.read_text() == "x https://one\n"
    back(into)
    assert page.read_text() == "x https://two\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"run": "exit 3"}, r"check, step 2: exit 3 ended with 3"),
        ({"uses": "someone/else@1"}, r"check, step 2: someone/else is not known here"),
        ({"uses": "actions/upload-pages-artifact@1", "with": {"path": "none"}}, r"none/ must have been made"),
        ({"run": "true", "if": "always()"}, r"a condition must compare a name with a text, got 'always\(\)'"),
        (
            {"uses": "actions/setup-python@1", "with": {"python-version": "3.1"}},
            r"python3\.1 must be on the path",
        ),
    ],
)
def test_a_failure_publishes_nothing(
    step: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    """The first one ends it, and what was published stays."""
    steps = yaml.safe_load(yaml.safe_dump(STEPS))
    steps["jobs"]["check"]["steps"].insert(1, step)
    (tmp_path / "published").mkdir()
    with pytest.raises(StepError, match=message):
        Runner(steps, source, tmp_path, {}).run("publish")
    assert list((tmp_path / "published").iterdir()) == []


def test_nothing_before_cannot_be_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    assert workflow.main(["--back", "--into", str(tmp_path)]) == 1
    assert "must hold the site before, got none" in capsys.readouterr().err


def test_the_real_one_publishes_and_can_be_taken_back(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its jobs, steps and actions, with a `make` that writes down what it is asked for."""
    programs, ran, into = tmp_path / "bin", tmp_path / "ran", tmp_path / "into"
    page = into / "published" / "index.html"
    for folder in (programs, page.parent):
        folder.mkdir(parents=True)
    page.write_text("before")
    (programs / "python3.11").symlink_to(sys.executable)
    (programs / "make").write_text(
        f'#!/bin/sh\necho "$1" >>{ran}\n[ "$1" = artefacts ] || exit 0\nmkdir site artefacts\n'
        'echo "$SITE_URL" | tee site/index.html >artefacts/x\n'
    )
    (programs / "make").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    flow = yaml.safe_load((ROOT / FLOW).read_text("utf-8"))
    Runner(flow, source, into, {"SITE_URL": "https://one"}).run()
    asked = ran.read_text().split()
    assert {"runtime", "test", "browsers", "audit", "check", "artefacts", "pythons", "parity"} == {*asked}
    assert asked.index("browsers") < asked.index("audit") < asked.index("artefacts")
    assert page.read_text() == "https://one\n"
    assert (into / "artefacts" / "artefacts" / "x").exists()

    assert workflow.main(["--into", str(into), "--back"]) == 0
    assert page.read_text() == "before"
