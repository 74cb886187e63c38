"""Reading behind an address: by ranges, and only from servers that mean them."""

# one case a line

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError
from qkvdocs.wild import _remote
from tests.wild import test_torch
from tests.wild.conftest import CONFIG, FIXTURES, Make, llama, package, random

fsspec = pytest.importorskip("fsspec")
INDEX = "model.safetensors.index.json"
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Server(BaseHTTPRequestHandler):
    """Serves one folder, honestly or not."""

    folder: ClassVar[Path]
    manner: ClassVar[str] = "honest"
    sent: ClassVar[list[tuple[str, int]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send what the manner says."""
        path, manner = self.folder / self.path.partition("?")[0].lstrip("/"), self.manner
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert asked
        status, first, last = 206, int(asked[1]), min(int(asked[2]), len(data) - 1)
        part = data[first : last + 1]
        later = first > 0 and path.suffix != ".json"
        told = f"bytes {first}-{last}/{len(data)}"
        if manner == "ignores ranges":
            status, part, told = 200, data, ""
        elif manner == "breaks":
            status, part = 500, b""
        elif manner == "sends on":
            status, told = 302, ""
        elif manner == "no range told":
            told = ""
        elif manner == "another status":
            status = 203
        elif manner == "sends less" and later:
            part = part[:-1]
        elif manner == "another range" and later:
            told = f"bytes {first + 8}-{last + 8}/{len(data) + 8}"
        elif manner == "another range of JSON" and last > 31:
            told = f"bytes 0-31/{len(data)}"
        elif manner == "another size" and later:
            told = f"bytes {first}-{last}/{len(data) + 1}"
        self.send_response(status)
        if manner == "sends on":
            self.send_header("Location", f"file://{path}")
        if told:
            self.send_header("Content-Range", told)
        if manner == "packs":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("ETag", '"two"' if manner == "another tag" and later else '"one"')
        self.send_header("Last-Modified", "later" if manner == "another date" and later else "once")
        if manner == "drips in the header":
            self.drip(b"X-Drip: " + b"x" * 10**6)
        if manner in ("no size", "sends more"):
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.sent.append((path.name, len(part)))
        if manner == "drips":
            self.drip(part)
        with contextlib.suppress(OSError):
            self.wfile.write(part)
            for _ in range(10_000 if manner == "sends more" else 0):
                self.wfile.write(bytes(1 << 16))  # 650 MB, unless the reader leaves

    def drip(self, data: bytes) -> None:
        """Send one byte now and then."""
        with contextlib.suppress(OSError):
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.02)

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
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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


@pytest.mark.parametrize("query", ["", "?download=true"])
def test_a_file_by_its_address(serve: Callable[..., str], query: str) -> None:
    """With the config beside it; also with a query, as sites give them for downloads."""
    address = f"{serve(FIXTURES / 'gpt2')}/model.safetensors{query}"
    assert wild.read(address)["h.0.attn"].layout.family == "GPT-2"


UNTRUE = {
    "ignores ranges": "with status 206 and its Content-Range, got status 200 .* Download the file",
    "another status": "with status 206 and its Content-Range, got status 203",
    "no range told": "with status 206 and its Content-Range, got status 206",
    "another range": r"must answer the range \d+-\d+, got the range",
    "another size": r"must stay as it was when it was opened = \d+, \"one\", once, got \d+",
    "another tag": r'must stay as it was when it was opened = \d+, "one", once, got \d+, "two", once',
    "another date": r'must stay as it was .* got \d+, "one", later',
    "packs": "must answer with the file's own bytes, got them in 'gzip'",
    "sends less": r"must answer range requests, got (EOFError|IncompleteRead)",
    "sends on": "must answer range requests, got (HTTPError|URLError)",
    "breaks": "must answer range requests, got HTTPError: HTTP Error 500",
}  # fmt: skip


@pytest.mark.parametrize("manner", UNTRUE)
def test_a_server_that_does_not_mean_ranges_is_refused(
    make: Make, serve: Callable[..., str], manner: str
) -> None:
    """By its address, and without fetching the file: four megabytes here, three hundred gigabytes elsewhere."""
    folder = make({"embed.weight": random(1000, 1000), **llama()}, CONFIG)
    address = serve(folder, manner)
    with pytest.raises(CheckpointError, match=UNTRUE[manner]):
        wild.read(address + "/model.safetensors")["layers.0.self_attn"]


@pytest.mark.parametrize("manner", ["sends more", "no size"])
def test_a_body_that_is_longer_than_asked_is_cut_off(
    make: Make, serve: Callable[..., str], manner: str
) -> None:
    """Only what was asked is taken, and nobody waits for the rest."""
    folder, start = make(llama(), CONFIG), time.perf_counter()
    weights = wild.read(serve(folder, manner))["layers.0.self_attn"]
    assert np.array_equal(weights.W_Q, wild.read(folder)["layers.0.self_attn"].W_Q)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("manner", ["drips", "drips in the header"])
def test_a_server_that_drips_has_a_limit(
    make: Make, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    """Each byte comes in time, and all of them never would."""
    monkeypatch.setattr(_remote, "PATIENCE", 0.3)
    folder = make({**llama(), "x" * 9999: random(1)}, {**CONFIG, "x": "x" * 999})
    with pytest.raises(CheckpointError, match=r"must answer \d+ bytes within \d+ s, got .* Try again"):
        wild.read(serve(folder, manner))
    until = time.monotonic() + 2
    while any(thread.name == "wild" for thread in threading.enumerate()):
        assert time.monotonic() < until, "nobody goes on waiting"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/secret.safetensors", "a/b.safetensors", "..", "a::b"]
)
def test_an_index_that_points_outside_is_refused(make: Make, serve: Callable[..., str], name: str) -> None:
    """Before it is asked for; over http, and by any other scheme."""
    folder = make(llama(), CONFIG)
    (folder / "in").mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).rename(folder / "in" / file)
    (folder / "in" / "model.safetensors").rename(folder / "secret.safetensors")
    (folder / "in" / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    address = serve(folder)
    memory = fsspec.filesystem("memory")
    for file in (INDEX, "config.json"):
        memory.pipe_file(f"/in/{file}", (folder / "in" / file).read_bytes())
    for place in (address + "/in", "memory://in"):
        with pytest.raises(CheckpointError, match="must be a plain name inside the folder"):
            wild.read(place)
    assert not [name for name, _ in serve.sent if "secret" in name]  # type: ignore[attr-defined]


def test_a_name_of_an_index_is_no_address(make: Make, serve: Callable[..., str]) -> None:
    """What a server would decode is sent as the characters that it is."""
    folder = make(llama(), CONFIG, "%2e%2e%2fm?x#y.safetensors")
    weight_map = dict.fromkeys(llama(), "%2e%2e%2fm?x#y.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match="no such file"):  # this server decodes nothing
        wild.read(serve(folder))


def test_a_file_address_is_a_path(make: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Under the rules of a folder on disk: no link leads out, and a pipe is refused at once."""
    folder = make(llama(), CONFIG)
    assert len(wild.read(folder.as_uri())) == len(wild.read(f"{folder.as_uri()}/model.safetensors")) == 1
    secret = tmp_path_factory.mktemp("out") / "secret.safetensors"
    (folder / "model.safetensors").rename(secret)
    (folder / "model.safetensors").symlink_to(secret)
    with pytest.raises(CheckpointError, match="must stay inside the folder"):
        wild.read(folder.as_uri())
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="must be a regular file"):
        wild.read(folder.as_uri())
    with pytest.raises(CheckpointError, match="must be file:/// and an absolute path"):
        wild.read("file://elsewhere/x")
    with pytest.raises(CheckpointError, match="must be one address, got a chain"):
        wild.read("simplecache::memory://m")


def test_other_file_systems_of_fsspec(make: Make) -> None:
    """Memory stands for s3 and gs, which are untried: they go through the same three calls.

    A file that changes is refused there, too: the second is not read by the first one's header.
    """
    memory = fsspec.filesystem("memory")
    folder = make(llama(), CONFIG)
    for name in ("model.safetensors", "config.json"):
        memory.pipe_file(f"/changing/{name}", (folder / name).read_bytes())
    attentions = wild.read("memory://changing")
    assert attentions["layers.0.self_attn"].n_kv_heads == 2
    memory.pipe_file("/changing/model.safetensors", (folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="must stay as it was when it was opened"):
        attentions["layers.0.self_attn"]


def test_nothing_there(serve: Callable[..., str], tmp_path: Path) -> None:
    """A folder without a checkpoint, a file that is missing, a scheme that nobody knows."""
    with pytest.raises(CheckpointError, match=r"must hold a checkpoint, got none"):
        wild.read(serve(tmp_path))
    told = r"model.safetensors must be a file that can be read, got: no such file"
    with pytest.raises(CheckpointError, match=told):
        wild.read(serve(tmp_path) + "/model.safetensors")
    with pytest.raises(CheckpointError, match="must be an address that fsspec opens"):
        wild.read("gopher://x/model.safetensors")


def test_the_message_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: the base install says how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(CheckpointError, match=r"needs fsspec: pip install 'fsspec>=2025\.1'"):
        wild.read("s3://example/model.safetensors")


@pytest.mark.parametrize("address", ["http://[::1/x.safetensors", "https://[/folder"])
def test_what_is_no_address_is_named(address: str) -> None:
    """By its own words, before anybody is asked."""
    with pytest.raises(CheckpointError, match="must be an address, got: Invalid IPv6 URL"):
        wild.read(address)


def test_what_is_wrong_with_an_answer_is_told_as_such(make: Make, serve: Callable[..., str]) -> None:
    """And not as a fault of the JSON that it was to be."""
    folder = make(llama(), json.dumps({**CONFIG, "x": "x" * 99}))
    with pytest.raises(CheckpointError, match=r"^http://\S+/config.json must answer the range"):
        wild.read(serve(folder, "another range of JSON"))


def write_gguf(path: Path) -> None:
    """Write one where the package is that writes it."""
    package("gguf")
    from tests.wild import test_gguf

    test_gguf.write(path, {**test_gguf.stored(), "before": random(500, 500)})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("model.gguf", write_gguf),
        ("model.pt", lambda path: test_torch.save(path, {"before": random(500, 500), **llama()})),
        ("model.npz", lambda path: np.savez(path, before=random(500, 500), **llama())),
    ],
)
def test_other_formats_come_by_their_ranges_too(
    tmp_path: Path, serve: Callable[..., str], name: str, write: Callable[[Path], object]
) -> None:
    """The same arrays as from disk; what is not asked for stays there."""
    write(tmp_path / name)
    heads = {} if name == "model.gguf" else {"n_heads": 4, "n_kv_heads": 2}
    attentions, local = wild.read(f"{serve(tmp_path)}/{name}", **heads), wild.read(tmp_path / name, **heads)
    for path, weights in local.items():
        for letter in ("W_Q", "W_K", "W_V", "W_O"):
            assert np.array_equal(getattr(attentions[path], letter), getattr(weights, letter))
    sent = sum(size for _, size in serve.sent)  # type: ignore[attr-defined]
    whole = (tmp_path / name).stat().st_size
    assert sent < whole - 900_000 or name == "model.gguf"


@pytest.mark.parametrize("manner", sorted(set(UNTRUE) - {"another range of JSON"}))
def test_a_torch_file_from_a_server_that_lies_is_refused(
    tmp_path: Path, serve: Callable[..., str], manner: str
) -> None:
    """The same answers, in the same words, as for safetensors."""
    test_torch.save(tmp_path / "model.pt", llama())
    with pytest.raises(CheckpointError, match=UNTRUE[manner]):
        wild.read(f"{serve(tmp_path, manner)}/model.pt", n_heads=4, n_kv_heads=2)["layers.0.self_attn"]
