"""The machine's own Chromium, for what only a browser can make."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from qkvdocs.errors import QKVError

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def program() -> str:
    """Find it: the one in the variable `QKVDOCS_CHROMIUM`, or a usual one.

    Returns:
        Its path.

    Raises:
        QKVError: If there is none.
    """
    names = filter(None, (os.environ.get("QKVDOCS_CHROMIUM"), *NAMES))
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    raise QKVError(
        "no Chromium found: install your system's chromium package, or set QKVDOCS_CHROMIUM to one"
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it, and end it.

    Yields:
        The browser.

    Raises:
        QKVError: If there is none.
    """
    path = program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
