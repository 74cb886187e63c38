"""No test changes what the next one finds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import warm
from tests.browser.engines import program
from tests.conftest import absent, left_as_found, pytest_collection_modifyitems
from tests.warm import ROOT


def test_a_variable_left_behind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test once dated every later build of its process so, where chance put the two together."""
    with pytest.raises(AssertionError, match=r"'SOURCE_DATE_EPOCH': '0'"), left_as_found():
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


def test_a_folder_left_behind_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative paths mean something else from there."""
    with pytest.raises(AssertionError, match="the folder"), left_as_found():
        monkeypatch.chdir(tmp_path)


def test_what_is_put_back_passes(tmp_path: Path) -> None:
    """A fixture's own undoing counts."""
    with left_as_found(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        patch.chdir(tmp_path)


def test_a_command_that_hangs_is_run_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm process that started it is given up, and a new one answers."""
    words, env = [sys.executable, "-m", "http.server", "0"], {**os.environ, "PYTHONPATH": str(ROOT)}
    monkeypatch.setattr(warm, "SECONDS", 0.5)
    warm.server.cache_clear()
    assert warm.run(words, tmp_path, env) is None
    monkeypatch.setattr(warm, "SECONDS", 60)
    done = warm.run([*words, "--help"], tmp_path, env)
    assert done is not None
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("fixtures", "marks"), [(["tmp_path", "browser"], ["site"]), (["site"], ["site"]), ([], [])]
)
def test_what_needs_a_browser_or_the_site_is_audited(fixtures: list[str], marks: list[str]) -> None:
    """And nothing else: `make test` leaves out what has the mark."""
    given: list[str] = []
    pytest_collection_modifyitems([SimpleNamespace(fixturenames=fixtures, add_marker=given.append)])
    assert given == marks


def test_a_missing_browser_is_skipped_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that says what to do."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        LookupError, match=r"^no Firefox found: make browsers, or set QKVDOCS_FIREFOX to one$"
    ) as missing:
        program("Firefox", "firefox-esr", "firefox")
    for said, outcome in (("0", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv("QKVDOCS_NO_SKIP", said)
        with pytest.raises(outcome, match="make browsers"):
            absent(str(missing.value))


def test_missing_browsers_are_installed(tmp_path: Path) -> None:
    """Those that are not found, and no other; where all are found, nothing is asked for."""
    for name in ("id", "make", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")

    def asked(*found: str) -> str:
        for name, script in {"apt-get": 'echo "$@" >>asked', **dict.fromkeys(found, "")}.items():
            (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (tmp_path / "sudo").chmod(0o755)
        (tmp_path / "asked").write_text("")
        words = ["make", "-s", "-C", str(ROOT), "browsers"]
        subprocess.run(words, check=True, env={"PATH": str(tmp_path)})
        return (tmp_path / "asked").read_text()

    assert asked().endswith(" chromium firefox-esr webkit2gtk-driver xvfb gir1.2-webkit2-4.1 python3-gi\n")
    assert asked("google-chrome", "firefox").endswith(
        "--no-install-recommends webkit2gtk-driver xvfb gir1.2-webkit2-4.1 python3-gi\n"
    )
