import functools
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.project import project

collect_ignore = ["smallest_webkit.py"]  # the system's own Python runs it

__all__ = ["project"]

COMPRESSED = {".css", ".html", ".js", ".json", ".md", ".mjs", ".svg", ".txt", ".wasm", ".xml"}


@functools.cache
def packed(path: Path, _changed: int) -> bytes:
    """Compress a file, once for each of its versions."""
    return gzip.compress(path.read_bytes(), 6)


class Host(SimpleHTTPRequestHandler):
    """Serve as a usual host does, compressed, without a word."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send a file, or the page for wrong addresses."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        found = path.is_file()
        path = path if found else Path(self.directory, "under", "404.html")
        if not path.is_file():
            return self.send_error(404)
        zipped = path.suffix in COMPRESSED
        body = packed(path, path.stat().st_mtime_ns) if zipped else path.read_bytes()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", self.guess_type(path))
        if zipped:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None


@contextmanager
def serve(folder: Path, host: type[Host] = Host) -> Iterator[str]:
    """Serve a folder and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(host, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def violations(page: Page, context: str | None = None, **options: object) -> list[str]:
    """Ask axe."""
    found = Axe().run(page, context, {"resultTypes": ["violations"], **options}).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]


@pytest.fixture(autouse=True)
def _closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what a test opens in the browser, however it ends."""
    browser = request.getfixturevalue("browser") if "browser" in request.fixturenames else None
    before = browser.contexts if browser else []
    yield
    for context in browser.contexts if browser else ():
        if context not in before:
            context.close()


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site under a folder, as many hosts do."""
    with serve(site.parent / "serving") as host:
        yield f"{host}under/"


@pytest.fixture(scope="session")
def raw_address(raw: Path) -> Iterator[str]:
    """Serve what the builder left."""
    with serve(raw) as host:
        yield host


@pytest.fixture(scope="session")
def addresses(site: Path, address: str) -> list[str]:
    """List every page."""
    pages = (path.relative_to(site) for path in sorted(site.rglob("*.html")) if path.name != "404.html")
    return [address + str(path).removesuffix("index.html") for path in pages]
