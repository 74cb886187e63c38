"""The page that opens a checkpoint says what the command line says, in a real browser, and sends nothing."""

# ruff: noqa: E501  # one case a line

import contextlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.wild._report import report
from tests.wild.conftest import CONFIG, FIXTURES, KINDS, header_of, llama, random, raw
from tests.wild.test_header import HOSTILE
from tests.wild.test_layout import layer

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page

DOCS = Path(__file__).parents[2] / "docs" / "wild"
BLIND = {
    "a name twice": "JSON.parse keeps the last of two",
    "a name twice, once escaped": "JSON.parse keeps the last of two",
    "a key twice": "JSON.parse keeps the last of two",
    "metadata twice": "JSON.parse keeps the last of two",
    "metadata of another form": "metadata is not looked at",
    "a key too many": "unknown keys are not looked at",
    "fractional offset": "JavaScript has one kind of number, and 4.0 is 4",
    "a lone surrogate in metadata": "JavaScript strings may hold one",
    "minus zero": "JavaScript reads -0 as an integer",
    "lone surrogate": "JavaScript strings may hold one",
}
"""What the browser's own JSON parser lets through; the file is still tiled exactly, so no byte is misread."""
Make = Callable[..., Path]


class Quiet(SimpleHTTPRequestHandler):
    """Serve without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page's own form and scripts, without the rest of the site."""
    folder = tmp_path_factory.mktemp("page")
    text = (DOCS / "open.md").read_text("utf-8")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for code in re.findall(r"^```python exec.*?\n(.*?)^```", text, re.M | re.S):
            exec(code, {})
    (folder / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8">{out.getvalue()}<script type="module" src="wild.js"></script>',
        "utf-8",
    )
    for script in DOCS.glob("*.js"):
        (folder / script.name).write_bytes(script.read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Open the page; afterwards, nothing was sent and nothing went wrong."""
    opened = browser.new_page()
    requests, problems = [], []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#wild-open:not([hidden])")
    opened.on("request", lambda request: requests.append(request.url))
    yield opened
    assert not problems
    assert not requests
    opened.close()


def choose(page: Page, *files: Path) -> str:
    """Choose files as a reader does, and wait for the answer."""
    page.evaluate("document.querySelector('#wild-open output').replaceChildren()")
    for path in sorted(files, key=lambda path: path.suffix != ".json"):
        page.locator(f"input[name={'config' if path.suffix == '.json' else 'file'}]").set_input_files(
            str(path)
        )
    page.wait_for_function("/Refused|tensors,/.test(document.querySelector('#wild-open output').textContent)")
    return page.locator("#wild-open output").inner_text()


def plans(page: Page, folder: Path) -> dict[str, Any]:
    """Ask the page's own reader for its plans."""
    page.locator("input[name=file]").set_input_files(str(folder / "model.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    return page.evaluate(
        """async config => {
            const { readHeader, findModules } = await import('/reader.js')
            const atlas = JSON.parse(document.getElementById('wild-atlas').textContent)
            const tensors = await readHeader(document.querySelector('input[name=file]').files[0], atlas)
            const { plans, refused } = findModules(tensors, config, atlas)
            return { plans, refused: [...refused.keys()] }
        }""",
        config,
    )


def assert_alike(found: dict[str, Any], folder: Path) -> None:
    """Compare with the command line's report."""
    known = report(wild.read(folder))
    by_path = {plan["path"]: plan for plan in found["plans"]}
    assert set(by_path) == {module["module"] for module in known["modules"]}
    assert set(found["refused"]) == {refused["module"] for refused in known["refused"]}
    for module in known["modules"]:
        plan = by_path[module["module"]]
        assert plan["row"]["family"] == module["layout"]
        for key in ("biases", "n_heads", "n_kv_heads", "d_head", "d_model"):
            assert plan[key] == module[key], key
        assert plan["cache"] == module["cache_bytes_per_token"]
        shapes = {f"W_{r.upper()}": [plan["rows"][r], width] for r, width in plan["widths"].items()}
        assert shapes == {name: shape for name, shape in module["shapes"].items() if name.startswith("W")}


@pytest.mark.parametrize("name", sorted(folder.name for folder in FIXTURES.iterdir()))
def test_the_five_families(page: Page, name: str) -> None:
    """Files that transformers wrote: the same report as on the command line."""
    assert_alike(plans(page, FIXTURES / name), FIXTURES / name)
    text = choose(page, FIXTURES / name / "model.safetensors", FIXTURES / name / "config.json")
    assert "attention modules read, 0 refused" in text
    page.wait_for_function("document.querySelectorAll('canvas').length >= 2")


def test_every_row_of_the_atlas(page: Page, make: Make) -> None:
    """Generated files of all families, grouped heads and biases where they have a place."""
    for row in wild.ATLAS:
        weights = layer(n_kv_heads=1 if row.grouped else 4, bias=row.bias, gate=row.gated)
        stored = {f"at.{name}": array for name, array in wild.fuse(weights, row).items()}
        config = {
            "model_type": row.models[0] if row.models else "x",
            "num_attention_heads": 4,
            "multi_query": row.grouped,
            "num_key_value_heads": weights.n_kv_heads,
            "hidden_size": 8,
            "new_decoder_architecture": False,
        }
        folder = make(stored, config)
        assert_alike(plans(page, folder), folder)


@pytest.mark.parametrize(
    "config",
    [
        {}, {"model_type": "llama"}, {**CONFIG, "hidden_size": 16}, {**CONFIG, "head_dim": 4}, {**CONFIG, "num_attention_heads": 0},
        {**CONFIG, "num_key_value_heads": 1}, {**CONFIG, "num_attention_heads": 10**30}, {**CONFIG, "num_attention_heads": 2.5},
        {"text_config": CONFIG}, {"vision_config": {"num_heads": 2, "hidden_size": 4}, "text_config": CONFIG},
    ],
)  # fmt: skip
def test_configs(page: Page, make: Make, config: dict[str, object]) -> None:
    """What one reads the other reads, and what one refuses the other refuses."""
    folder = make(llama(), config)
    assert_alike(plans(page, folder), folder)


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - set(BLIND)))
def test_hostile_headers(page: Page, tmp_path: Path, name: str) -> None:
    """The same files as for the Python reader: refused with a reason, never a crash."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name][0])
    assert "Refused:" in choose(page, path)


def test_a_pickle_is_refused_by_name(page: Page, tmp_path: Path) -> None:
    """Without a look inside."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "a pickle, which is never opened" in choose(page, tmp_path / "pytorch_model.bin")


def test_a_file_larger_than_two_gigabytes(page: Page, tmp_path: Path) -> None:
    """Sparse, bfloat16, the module behind the fourth gigabyte: only its rows are read."""
    gap = 5_000_000_000
    small = {name: (array.view("<u4") >> 16).astype("<u2") for name, array in llama().items()}
    header: dict[str, object] = {"before": {"dtype": "U8", "shape": [gap], "data_offsets": [0, gap]}}
    for name, entry in header_of(small).items():
        header[name] = {**entry, "data_offsets": [gap + at for at in entry["data_offsets"]]}
    path = tmp_path / "model.safetensors"
    text = raw(header)
    with path.open("wb") as file:
        file.write(text)
        file.seek(len(text) + gap)
        file.write(b"".join(array.tobytes() for array in small.values()))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    text = choose(page, path, tmp_path / "config.json")
    assert "1 attention modules read" in text
    page.wait_for_selector("canvas")
    assert_alike(plans(page, tmp_path), tmp_path)
    path.unlink()


@pytest.mark.parametrize("kind", ["<f4", "<f8", "<f2", "<u2"])
def test_values_are_read_as_python_reads_them(page: Page, make: Make, kind: str) -> None:
    """Bit by bit, all half and bfloat16 patterns included."""
    array = np.arange(1 << 16, dtype="<u2") if kind in ("<f2", "<u2") else random(1 << 12)
    array = array.view("<f2") if kind == "<f2" else array if kind == "<u2" else array.astype(kind)
    folder = make({"a": array})
    page.locator("input[name=file]").set_input_files(str(folder / "model.safetensors"))
    bits = page.evaluate(
        """async dtype => {
            const { floats } = await import('/reader.js')
            const file = document.querySelector('input[name=file]').files[0], buffer = await file.arrayBuffer()
            const start = 8 + Number(new DataView(buffer).getBigUint64(0, true))
            return [...new Uint32Array(floats(buffer.slice(start), dtype).buffer)]
        }""",
        KINDS[kind],
    )
    theirs, ours = np.array(bits, "<u4").view("<f4"), wild.Checkpoint(folder)["a"].astype("<f4")
    assert np.array_equal(theirs, ours, equal_nan=True)


def test_the_picture_colours_what_is_cut(page: Page) -> None:
    """The owner of every output, as `split` says."""
    blocks, widths = 2, {"q": 8, "k": 4, "v": 4}
    owners = page.evaluate(
        """async ([blocks, widths]) => {
            const { owner } = await import('/reader.js')
            const piece = { roles: 'qkv', total: 16, blocks }
            return Array.from({ length: 16 }, (_, n) => owner(piece, widths, n))
        }""",
        [blocks, widths],
    )
    for role, places in wild.split(np.arange(16), "qkv", widths, blocks).items():
        assert [owners[place] for place in places] == [role] * len(places)
