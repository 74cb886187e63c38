# One browser for all tests that need one.

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

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
