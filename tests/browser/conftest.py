import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as it is published."""
    folder = tmp_path_factory.mktemp("published") / "site"
    words = [sys.executable, "-m", "qkvdocs", "build", "-q", "-d", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serve without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site under a folder, as many hosts do."""
    serving = site.parent / "serving"
    serving.mkdir(exist_ok=True)
    (serving / "under").symlink_to(site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(serving)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/under/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def addresses(site: Path, address: str) -> list[str]:
    """List every page."""
    pages = (path.relative_to(site) for path in sorted(site.rglob("*.html")) if path.name != "404.html")
    return [address + str(path).removesuffix("index.html") for path in pages]
