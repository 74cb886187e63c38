# One browser, and one runtime, for all tests that need one.

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from qkvdocs.runtime import folder, is_there

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def chromium() -> str | None:
    """Find the machine's own Chromium."""
    names = (os.environ.get("QKVDOCS_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, filter(None, names))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; without one, tests that need it are skipped, or fail where that is asked for."""
    program = chromium()
    if program is None:
        missing = "no Chromium found: install your system's chromium package, or set QKVDOCS_CHROMIUM to one"
        if os.environ.get("QKVDOCS_NO_SKIP") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def fetched() -> Path:
    """The fetched runtime; without one, tests that need it are skipped, or fail where that is asked for."""
    if not is_there(ROOT / folder()):
        missing = "no runtime found: make runtime"
        if os.environ.get("QKVDOCS_NO_SKIP") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return ROOT / folder()
