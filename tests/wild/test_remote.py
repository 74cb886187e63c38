"""Reading behind an address: by ranges, and only from servers that mean them."""

# one case a line

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError
from tests.wild.conftest import CONFIG, FIXTURES, llama, random

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
Make = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Server(BaseHTTPRequestHandler):
    """Serves one folder, honestly or not."""

    folder: ClassVar[Path]
    manner: ClassVar[str] = "honest"
    sent: ClassVar[list[tuple[str, int]]] = []
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Answer with the size, unless that is what is being left out."""
        self.answer(body=False)

    def do_GET(self) -> None:
        """Answer with a range."""
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        """Send what the manner says."""
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        status, first, last = 200, 0, len(data) - 1
        if asked and self.manner != "ignores ranges":
            status, first, last = 206, int(asked[1]), min(int(asked[2]), len(data) - 1)
        part = data[first : last + 1]
        if status == 206 and body and self.manner == "sends less":
            part = part[:-1]
        if status == 206 and body and self.manner == "sends more":
            part = data[first:]
        if self.manner == "breaks" and body:
            status, part = 500, b""
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        if self.manner != "ignores ranges":
            self.send_header("Accept-Ranges", "bytes")
        if self.manner == "no size":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.sent.append((path.name, len(part)))
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[[Path, str], str]]:
    """Start a server on this machine; it ends with the test."""
    servers = []

    def start(folder: Path, manner: str = "honest") -> str:
        handler = type("Handler", (Server,), {"folder": folder, "manner": manner, "sent": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        start.sent = handler.sent  # type: ignore[attr-defined]
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_one_module_without_the_rest(make: Make, serve: Callable[..., str]) -> None:
    """The same arrays as from disk, and little more than their bytes over the wire."""
    folder = make({**llama(), "embed.weight": random(1000, 1000)}, CONFIG)
    attentions = wild.read(serve(folder))
    sent = serve.sent  # type: ignore[attr-defined]
    assert sum(size for _, size in sent) < 2000
    sent.clear()
    weights, local = attentions["layers.0.self_attn"], wild.read(folder)["layers.0.self_attn"]
    assert sum(size for _, size in sent) == sum(array.nbytes for array in llama().values())
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        assert np.array_equal(getattr(weights, name), getattr(local, name))


def test_a_file_by_its_address(serve: Callable[..., str]) -> None:
    """With the config beside it."""
    address = serve(FIXTURES / "gpt2") + "/model.safetensors"
    assert wild.read(address)["h.0.attn"].layout.family == "GPT-2"


@pytest.mark.parametrize("manner", ["ignores ranges", "sends less", "sends more", "no size", "breaks"])
def test_a_server_that_does_not_mean_ranges_is_refused(
    make: Make, serve: Callable[..., str], manner: str
) -> None:
    """By its address, and without fetching the file: three megabytes here, three hundred gigabytes elsewhere."""
    folder = make({"embed.weight": random(1000, 1000), **llama()}, CONFIG)
    address = serve(folder, manner)
    with pytest.raises(CheckpointError, match=r"http://127.0.0.1:\d+/\S+ must (answer|tell)"):
        wild.read(address + "/model.safetensors")["layers.0.self_attn"]


def test_nothing_there(serve: Callable[..., str], tmp_path: Path) -> None:
    """A folder without a checkpoint, a file that is missing, a scheme that nobody knows."""
    with pytest.raises(CheckpointError, match=r"must hold a .safetensors file, got none"):
        wild.read(serve(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"model.safetensors must be a file that can be read, got: no such file"
    ):
        wild.read(serve(tmp_path) + "/model.safetensors")
    with pytest.raises(CheckpointError, match="must be an address that fsspec opens"):
        wild.read("gopher://x/model.safetensors")


def test_other_file_systems_of_fsspec(make: Make) -> None:
    """Memory stands for s3 and gs, which are untried: they go through the same three calls."""
    memory = fsspec.filesystem("memory")
    folder = make(llama(), CONFIG)
    for name in ("model.safetensors", "config.json"):
        memory.pipe_file(f"/m/{name}", (folder / name).read_bytes())
    assert wild.read("memory://m")["layers.0.self_attn"].n_kv_heads == 2


def test_the_message_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: the base install says how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(CheckpointError, match=r"needs fsspec: pip install 'qkvdocs\[remote\]'"):
        wild.read("https://example.org/model.safetensors")
