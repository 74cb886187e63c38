"""The hooks that run before a commit are those of `make check`, in the same versions, and they bite."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"
HOOKS: dict[str, dict[str, Any]] = {
    hook["id"]: hook for repo in yaml.safe_load(CONFIG.read_text("utf-8"))["repos"] for hook in repo["hooks"]
}


def pinned() -> dict[str, str]:
    """Read the versions of what `make check` runs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    return dict(line.split("==") for line in extras["check"] if "==" in line)


def strangers(hooks: dict[str, dict[str, Any]], versions: dict[str, str]) -> list[str]:
    """List what a hook installs in another version than `make check` has."""
    asked = [each for hook in hooks.values() for each in hook.get("additional_dependencies", ())]
    return [
        each for each in asked if each not in {f"{name}=={version}" for name, version in versions.items()}
    ]


def run(hook: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Run a hook's own command on files, in the environment of the tests."""
    command, *options = shlex.split(HOOKS[hook]["entry"])
    words = [sys.executable, "-m", Path(command).name, *options, *map(str, files)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)


def test_the_file_is_what_pre_commit_reads(tmp_path: Path) -> None:
    """By its own validator, which refuses a wrong one."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(CONFIG.read_text("utf-8").replace("language: system", "tongue: system"), "utf-8")
    for path, code in ((CONFIG, 0), (wrong, 1)):
        words = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
        assert subprocess.run(words, capture_output=True, check=False).returncode == code


def test_the_versions_are_those_of_the_project() -> None:
    """A new ruff in one place only is noticed."""
    assert [each for hook in HOOKS.values() for each in hook.get("additional_dependencies", ())]
    assert strangers(HOOKS, pinned()) == []
    assert strangers(HOOKS, {**pinned(), "ruff": "0.0.1"}) == [f"ruff=={pinned()['ruff']}"] * 2


def test_the_commands_are_those_of_make_check() -> None:
    """None of them is missing."""
    recipe = re.search(r"^check:.*\n(\t.*)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert recipe
    for command in re.findall(r"\$\(BIN\)/([a-z]+(?: [a-z]+)?)", recipe[1]):
        assert any(re.search(rf"(^|/){command}\b", hook["entry"]) for hook in HOOKS.values()), command


def test_the_python_hooks_bite(tmp_path: Path) -> None:
    """A badly set file is put in form, an unused import stops the commit."""
    path = tmp_path / "module.py"
    path.write_text("import os\nx = [1,2]\n")
    assert run("format", path).returncode == 0
    assert path.read_text() == "import os\n\nx = [1, 2]\n"
    done = run("lint", path)
    assert done.returncode == 1
    assert "F401" in done.stdout


@pytest.mark.parametrize(("code", "outcome"), [("assert 1 + 1 == 2", 0), ("assert 1 + 1 == 3", 1)])
def test_the_lesson_hook_bites(tmp_path: Path, code: str, outcome: int) -> None:
    """It is handed lessons only, and runs their fences."""
    pattern = HOOKS["lessons"]["files"]
    assert re.search(pattern, "docs/lessons/04-qkv-projections.md")
    assert not re.search(pattern, "docs/reference/core.md")

    (tmp_path / "docs" / "lessons").mkdir(parents=True)
    page = tmp_path / "docs" / "lessons" / "90-page.md"
    page.write_text(f'# Page\n\n```python exec="on"\n{code}\n```\n')
    command, *options = shlex.split(HOOKS["lessons"]["entry"])
    own = ["-p", "qkvdocs.engine.checks.pytest_plugin", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    words = [sys.executable, "-m", Path(command).name, *options, *own, str(page)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == outcome, done.stdout + done.stderr
