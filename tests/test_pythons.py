"""The command that tries other Pythons finds them, and sees a difference."""

import sys
from pathlib import Path

from tests.pythons import PROBE, ROOT, differences, found, promised, told


def program(folder: Path, name: str, version: str) -> Path:
    """Write a program that says that it is a Python."""
    path = folder / name
    path.write_text(f'#!/bin/sh\n[ "$3" = "{PROBE}" ] && echo {version}\n')
    path.chmod(0o755)
    return path


def test_the_oldest_and_the_newest_are_found(tmp_path: Path) -> None:
    """In order, the first of each version; none that is not promised, not final, broken or no Python."""
    versions = {
        "python3.13": "3.13.1",
        "python3": "3.11.2",
        "python": "3.13.0",
        "python3.10": "3.10.9",
        "python3.14": "3.14.0rc1",
        "python3.99": "3.99.0",
        "python3.12": "",
        "python3.11-config": "3.12.0",
    }
    programs = [program(tmp_path, name, version) for name, version in versions.items()]

    assert found([*programs, tmp_path / "python3.12"]) == {
        (3, 11): tmp_path / "python3",
        (3, 13): tmp_path / "python3.13",
    }


def test_this_python_is_promised() -> None:
    """And the Makefile says the same versions as `requires-python`."""
    inside = [minor for minor in range(30) if promised().contains(f"3.{minor}.0")]

    assert sys.version_info.minor in inside
    assert f"Python 3.{min(inside)} to 3.{max(inside)}:" in (ROOT / "Makefile").read_text("utf-8")


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """Of one byte, of a file that is not there; and of nothing else."""
    for site in ("one", "other"):
        (tmp_path / site / "page").mkdir(parents=True)
        (tmp_path / site / "page" / "index.html").write_text("text")
        (tmp_path / site / "same.css").write_text("same")
    one, other = tmp_path / "one", tmp_path / "other"
    assert told(differences(one, other), "3.11") == "the site of 3.11"

    (other / "page" / "index.html").write_text("test")
    (other / "more.html").write_text("")

    assert differences(one, other) == ["more.html", "page/index.html"]
    assert told(differences(one, other), "3.11") == "2 files unlike those of 3.11: more.html, page/index.html"
