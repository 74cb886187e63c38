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
from qkvdocs.errors import QKVError, printable
from qkvdocs.wild._attentions import look
from qkvdocs.wild._report import report
from tests.wild.conftest import CONFIG, FIXTURES, KINDS, header_of, llama, random, raw
from tests.wild.test_accounts import cut, layers
from tests.wild.test_header import HOSTILE
from tests.wild.test_layout import layer

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, Request

DOCS = Path(__file__).parents[2] / "docs" / "wild"
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


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """Give the browser's tab, which keeps nothing of one page for the next."""
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.fixture
def page(tab: Page, address: str) -> Iterator[Page]:
    """Open the page; afterwards, nothing was sent and nothing went wrong."""
    requests, problems = [], []

    def failed(error: object) -> None:
        problems.append(str(error))

    def asked(request: Request) -> None:
        requests.append(request.url)

    tab.on("pageerror", failed)
    tab.goto(address)
    tab.wait_for_selector("#wild-open:not([hidden])")
    tab.on("request", asked)
    yield tab
    tab.remove_listener("pageerror", failed)
    tab.remove_listener("request", asked)
    assert not problems
    assert not requests


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
            const { plans, refused, layers } = await findModules(tensors, config, atlas)
            return { plans, refused: [...refused.keys()], layers }
        }""",
        config,
    )


def nested(depth: int) -> dict[str, Any]:
    """Give a config of parts within parts."""
    return {**CONFIG, "text_config": nested(depth - 1)} if depth else CONFIG


def assert_alike(found: dict[str, Any], folder: Path) -> None:
    """Compare with the command line's report."""
    known = report(look(folder))
    by_path = {plan["path"]: plan for plan in found["plans"]}
    assert set(by_path) == {module["module"] for module in known["modules"]}
    assert set(found["refused"]) == {refused["module"] for refused in known["refused"]}
    told = [(layers["stem"], layers["what"]) for layers in found["layers"] if layers["numbers"]]
    assert told == [
        (o["stack"], o["what"]) for o in known["other_layers"] if "not in the file" not in o["what"]
    ]
    missing = [layers["what"].split()[0] for layers in found["layers"] if not layers["numbers"]]
    assert missing == [str(o["count"]) for o in known["other_layers"] if "not in the file" in o["what"]]
    for module in known["modules"]:
        plan = by_path[module["module"]]
        assert plan["row"]["family"] == module["layout"]
        for key in ("biases", "n_heads", "n_kv_heads", "d_head", "d_model"):
            assert plan[key] == module[key], key
        assert plan["kind"] == module["kind"]
        assert plan["cache"] == module["cache_bytes_per_token"]
        assert plan["source"] == module["cache_bytes_per_source_token"]
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
        {**CONFIG, "num_attention_heads": [4]}, {**CONFIG, "num_key_value_heads": [[2]]}, {**CONFIG, "attn_config": {"kv_n_heads": 2}},
        {f"part{n}_config": CONFIG for n in range(65)}, {"text_config": {"llm_config": {"text_config": CONFIG}}},
        {**CONFIG, "num_hidden_layers": 3}, {**CONFIG, "is_encoder_decoder": True}, {**CONFIG, "model_type": "modernbert"},
        {"text_config": CONFIG}, nested(7), nested(8), {"vision_config": {"num_heads": 2, "hidden_size": 4}, "text_config": CONFIG},
    ],
)  # fmt: skip
def test_configs(page: Page, make: Make, config: dict[str, object]) -> None:
    """What one reads the other reads, and what one refuses the other refuses."""
    folder = make(llama(), config)
    assert_alike(plans(page, folder), folder)


@pytest.mark.parametrize(
    "tensors",
    [
        {name: a for name, a in layers(0, 1).items() if ".1.self_attn.v" not in name},
        {name: a for name, a in layers(0, 1).items() if ".1.self_attn" not in name},
        {**layers(0, 3), "model.layers.1.linear_attn.in_proj_qkvz.weight": random(2, 2)},
        {"layers.0.self_attn.qkv_proj.qweight": random(2, 2), **layers(1)},
        {
            "layers.0.attn.c_attn.lora_A.weight": random(2, 2),
            ".q_proj.weight": random(2, 2),
            "." * 5000: random(1),
        },
        {"layers.0.attn.c_attn.weight": random(2, 6), "layers.0.attn.c_proj.weight": random(2, 2)},
        cut(0),
        {
            **layers(0, 1), "v.0.attn.projection.weight": random(2, 2), "v.1.cross_attn.a.b.weight": random(2, 2),
            "v.2.attn1.to_q.weight": random(2), "v.relative_attention_bias.weight": random(2, 2),
            "model.layers.0.self_attn.inner_attn.x.weight": random(2, 2), "attn": random(2, 2), "attn.w": random(2, 2),
        },
    ],
)  # fmt: skip
def test_what_is_not_whole(page: Page, make: Make, tensors: dict[str, np.ndarray]) -> None:
    """Modules in part, layers of another kind or missing, what is quantised, added, or a rank of a cut model."""
    folder = make(tensors, {**CONFIG, "num_hidden_layers": 2})
    assert_alike(plans(page, folder), folder)


@pytest.mark.parametrize(
    "config",
    [
        "[]", "{", '"x"', "[" * 9999, "\ufeff{}", '{"x": NaN}', '{"x": 1.}', '{"x": 01}',
        '{"num_attention_heads": 4.0, "num_key_value_heads": 2}', '{"num_attention_heads": 4e0}',
    ],
)  # fmt: skip
def test_broken_configs(page: Page, make: Make, config: str) -> None:
    """Refused by the command, and here."""
    folder = make(llama(), config)
    with pytest.raises(QKVError):
        wild.read(folder)
    text = choose(page, folder / "config.json", folder / "model.safetensors")
    assert "Refused" in text or "0 attention modules read" in text


LARGE = {
    "modules": ([f"layers.{n}.self_attn.{role}_proj.weight" for n in range(25_000) for role in "qkvo"],
                "0 attention modules read, 25000 refused"),
    "layers without attention": ([*(f"layers.0.self_attn.{role}_proj.weight" for role in "qkvo"),
                                  *(f"layers.{n}.moe.weight" for n in range(1, 150_000))], "1 refused"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_file_does_not_freeze_the_page(page: Page, tmp_path: Path, kind: str) -> None:
    """The page answers all the while, and lists a few hundred."""
    names, shown = LARGE[kind]
    header = {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(names)
    }
    (tmp_path / "model.safetensors").write_bytes(raw(header, bytes(len(names))))
    page.evaluate(
        """() => {
            const start = performance.now()
            let last = start, longest = 0
            setInterval(() => { const now = performance.now(); longest = Math.max(longest, now - last); last = now }, 5)
            window.share = () => longest / (performance.now() - start)
        }"""
    )
    page.set_default_timeout(60_000)
    text = choose(page, tmp_path / "model.safetensors")
    assert f"{len(names)} tensors, " in text
    assert shown in text
    assert page.locator("#wild-open li").count() <= 2 * 300 + 2
    assert page.evaluate("window.share()") < 0.4, "of all the time that it took"


def test_what_a_file_says_is_spelt_out(page: Page, make: Make) -> None:
    """The same characters as on a terminal, in the same way."""
    texts = [*map(chr, range(0x300)), *map(chr, range(0x2000, 0x2070)), "\ufeff\ue000\U000e0041é漢😀\\ x"]
    shown = page.evaluate("async texts => texts.map((await import('/reader.js')).printable)", texts)
    assert shown == [printable(text) for text in texts]
    folder = make(llama(at="a\u202e\x9b\nb.self_attn"), CONFIG)
    text = choose(page, folder / "config.json", folder / "model.safetensors")
    assert "a\\u202e\\x9b\\nb.self_attn" in page.locator("select").inner_html()
    assert "\u202e" not in text + page.content()


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_headers(page: Page, tmp_path: Path, name: str) -> None:
    """The same files as for the Python reader: refused with a reason, never a crash."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name][0])
    assert "Refused:" in choose(page, path)


def test_what_only_the_command_reads_is_refused_by_name(page: Page, tmp_path: Path) -> None:
    """Without a look inside, and with the next step."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    text = choose(page, tmp_path / "pytorch_model.bin")
    assert "a file of PyTorch" in text
    assert "qkvdocs wild FILE" in text


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


@pytest.mark.parametrize(("name", "tensors"), [("gpt2", 2), ("llama", 4)])
def test_a_sample_needs_no_file(page: Page, name: str, tensors: int) -> None:
    """Made in the page and read as any other file is; nothing is asked for."""
    page.locator(f"button[name={name}]").click()
    page.wait_for_function(f"document.querySelectorAll('canvas').length === {tensors}")
    assert "4 tensors, 1 attention modules read, 0 refused" in page.locator("#wild-open output").inner_text()


def test_a_file_is_dropped(page: Page) -> None:
    """The place shows that it would take it; what was dropped is read."""
    drag = """kind => {
        const data = new DataTransfer();
        data.items.add(new File(["\\x80\\x04."], "pytorch_model.bin"));
        const event = new DragEvent(kind, { dataTransfer: data, cancelable: true });
        document.querySelector("#wild-open").dispatchEvent(event);
        return [document.querySelector("#wild-open").className.includes("over"), event.defaultPrevented];
    }"""
    assert page.evaluate(drag, "dragover") == [True, True]
    assert page.evaluate(drag, "drop") == [False, True]
    page.wait_for_function("document.querySelector('#wild-open output').textContent.includes('Refused')")


def test_a_file_without_attention_is_no_dead_end(page: Page, make: Make) -> None:
    """Its first names are told, and what to try."""
    text = choose(page, make({"some.weight": random(4, 4)}) / "model.safetensors")
    assert "some.weight" in text
    assert "try the next one" in text
