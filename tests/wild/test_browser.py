"""The page that opens a checkpoint: the command's own answer, in a real browser, and nothing is sent."""

# ruff: noqa: E501  # scripts, and one case a line

import base64
import contextlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qkvdocs.wild import Opened
from tests.wild import test_adapters, test_cases, test_gguf, test_header, test_npz, test_quantised, test_torch
from tests.wild.conftest import CONFIG, FIXTURES, Make, file_of, header_of, llama, random, raw

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Page, Request

from qkvdocs.engine.runtime import place
from tests.browser.conftest import serve

DOCS = Path(__file__).parents[2] / "docs" / "wild"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, fetched: Path) -> Iterator[str]:
    """Serve the page's own form and scripts, and Python, without the rest of the site."""
    folder = tmp_path_factory.mktemp("page")
    text = (DOCS / "open.md").read_text("utf-8")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for code in re.findall(r"^```python exec.*?\n(.*?)^```", text, re.M | re.S):
            exec(code, {})
    (folder / "wild" / "open").mkdir(parents=True)
    (folder / "wild" / "open" / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8">{out.getvalue()}<script type="module" src="../wild.js"></script>',
        "utf-8",
    )
    for script in DOCS.glob("*.*js"):
        (folder / "wild" / script.name).write_bytes(script.read_bytes())
    (folder / "under").mkdir()
    (folder / "under" / "404.html").write_text("")
    place(fetched, folder / "runtime")
    with serve(folder) as host:
        yield f"{host}wild/open/"


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """One reader whose Python is warm from the first file; all that was asked for came from here, unasked nothing."""
    opened = browser.new_page()
    opened.set_default_timeout(60_000)
    requests: list[Request] = []
    problems: list[str] = []
    opened.on("request", lambda asked: requests.append(asked))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#wild-open:not([hidden])")
    assert not [asked.url for asked in requests if "runtime" in asked.url], "before a file is given"
    yield opened
    assert not problems
    assert {asked.method for asked in requests} == {"GET"}
    assert all(asked.url.startswith((address.removesuffix("wild/open/"), "data:")) for asked in requests)
    opened.close()


BATCH = """async cases => {
    const form = document.getElementById('wild-open'), answers = []
    for (const files of cases) {
        const data = new DataTransfer()
        for (const [name, text] of files) data.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name))
        form.elements.files.files = data.files
        form.elements.files.dispatchEvent(new Event('change', { bubbles: true }))
        while (form.ariaBusy !== 'false') await new Promise(done => setTimeout(done))
        answers.push(form.querySelector('.wild-answer').textContent)
    }
    return answers
}"""


def answers(page: Page, folders: list[Path]) -> list[str]:
    """Give each folder's files to the page, one folder after the other."""
    return page.evaluate(
        BATCH,
        [
            [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in sorted(folder.iterdir())]
            for folder in folders
        ],
    )


def expected(folder: Path) -> str:
    """Say what the command says of the same files."""
    single = [path for path in folder.iterdir() if path.suffix != ".json"]
    opened = Opened(single[0] if len(single) == 1 else folder)
    return opened.text.replace(str(folder), "/given")


def corpus(folder: Path) -> list[Path]:
    """Write what is read and what is refused: every hostile file, every format, every case of the command's tests."""

    def new() -> Path:
        return folder / str(len(list(folder.iterdir())))

    def fresh() -> Path:
        made = new()
        made.mkdir()
        return made

    for content, _ in test_header.HOSTILE.values():
        (fresh() / "model.safetensors").write_bytes(content)
    for how, _ in test_gguf.HOSTILE.values():
        path = fresh() / "a.gguf"
        if "raw" in how:
            path.write_bytes(how["raw"])
        else:
            test_gguf.made(path, **{"infos": [], "data": bytes(32), **how})
    for told, _ in test_torch.HOSTILE.values():
        test_torch.archive(fresh() / "a.pt", told, {"0": bytes(8)})
    for content, _ in test_npz.HOSTILE.values():
        with zipfile.ZipFile(fresh() / "a.npz", "w") as file:
            file.writestr("a.npy", content)
    for tensors, config, *_ in test_cases.CASES.values():
        test_cases.put(fresh(), tensors, config)
    for make, config, _ in test_quantised.FORMATS.values():
        stored, _ = test_quantised.module(
            make, {"q_proj": test_quantised.D, "k_proj": 16, "v_proj": 16, "o_proj": 32}
        )
        test_quantised.write(fresh(), stored, {**test_quantised.CONFIG, **config})
    for arrays, config, _ in test_adapters.BROKEN.values():
        test_adapters.adapter(new(), arrays, **config)
    for fixture in FIXTURES.iterdir():
        copy = fresh()
        for name in ("model.safetensors", "config.json"):
            (copy / name).write_bytes((fixture / name).read_bytes())
    test_torch.save(fresh() / "model.pt", llama())
    np.savez_compressed(fresh() / "model.npz", **llama())
    test_gguf.write(fresh() / "model.gguf", test_gguf.stored(), "Q8_0")
    return sorted(folder.iterdir(), key=lambda path: int(path.name))


def test_one_corpus_for_the_command_and_the_page(page: Page, tmp_path: Path) -> None:
    """Word for word, of all that is read and all that is refused."""
    folders = corpus(tmp_path)
    assert len(folders) > 150
    for folder, answer in zip(folders, answers(page, folders), strict=True):
        assert answer == expected(folder)


def chosen(page: Page, name: str, *paths: Path) -> str:
    """Choose files as a reader does, and give the answer."""
    page.locator(f"input[name={name}]").set_input_files([str(path) for path in paths])
    page.wait_for_function("document.getElementById('wild-open').ariaBusy === 'false'")
    return page.locator(".wild-answer").inner_text()


def drawn(page: Page, opened: Opened, number: int = 0) -> None:
    """Compare what is painted with what there is to paint: in each cell its role's colour, as strong as its entry."""
    strengths = page.evaluate(
        """() => [...document.querySelectorAll('.wild-found canvas')].map(canvas => {
            const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
            return [width, [...data].filter((_, at) => at % 4 === 3)]
        })"""
    )
    pictures = json.loads(opened.pictures(number))
    assert len(strengths) == len(pictures)
    for (width, alpha), picture in zip(strengths, pictures, strict=True):
        cells = np.array(picture["cells"])
        step = width // cells.shape[1]
        shown = np.array(alpha).reshape(-1, width)[::step, ::step]
        assert np.abs(shown - 255 * (0.15 + 0.85 * cells / 255)).max() <= 2


def test_a_folder_of_shards_is_chosen(page: Page, tmp_path: Path) -> None:
    """All of it, index and config too; the chosen module is drawn, another one when it is picked."""
    at = [f"layers.{n}.self_attn" for n in range(2)]
    weight_map = {}
    for n, module in enumerate(at):
        name = f"model-0000{n + 1}-of-00002.safetensors"
        arrays = {key: random(*array.shape, seed=n) for key, array in llama(at=module).items()}
        (tmp_path / name).write_bytes(file_of(arrays))
        weight_map |= dict.fromkeys(arrays, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    opened = Opened(tmp_path)
    assert chosen(page, "folder", tmp_path) == opened.text
    assert "2 modules read" in opened.text
    for number, module in enumerate(at):
        page.locator("select[name=module]").select_option(module)
        page.wait_for_function("document.querySelectorAll('.wild-found canvas').length === 4")
        page.wait_for_function(f"document.querySelector('.wild-found').textContent.includes('{module}.')")
        drawn(page, opened, number)


def test_options_are_those_of_the_command(page: Page, tmp_path: Path) -> None:
    """What is typed holds for the files that are there, and a wrong word is said."""
    path = tmp_path / "a.pt"
    test_torch.save(path, llama())
    assert "n_heads must be known" in chosen(page, "files", path)
    for words in ("--n-heads 4 --n-kv-heads 2 --tokens 9", "--wrong", "'"):
        page.locator("input[name=options]").fill(words)
        page.locator("input[name=options]").press("Enter")
        page.wait_for_function("document.getElementById('wild-open').ariaBusy === 'false'")
        assert page.locator(".wild-answer").inner_text() == Opened(path, words).text.rstrip()
    page.locator("input[name=options]").fill("")


def test_files_and_folders_are_dropped(page: Page, make: Make) -> None:
    """By the browser's own hand: the place shows that it would take them."""
    folder = make(llama(), CONFIG)
    session = page.context.new_cdp_session(page)
    box = page.locator(".wild-drop").bounding_box()
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {"type": kind, "x": box["x"] + 9, "y": box["y"] + 9, "data": {"items": [], "files": [str(folder)], "dragOperationsMask": 1}},
        )  # fmt: skip
        assert page.evaluate("document.querySelector('#wild-open').classList.contains('over')") == (
            kind == "dragOver"
        )
    page.wait_for_function("document.querySelector('.wild-answer').textContent.startsWith('1 layer ·')")
    assert page.locator(".wild-answer").inner_text() == Opened(folder).text


def test_a_file_larger_than_four_gigabytes(page: Page, tmp_path: Path) -> None:
    """Sparse, bfloat16, the module behind the fourth gigabyte: only its rows are read. Then the file changes."""
    gap = 5_000_000_000
    small = {name: (array.view("<u4") >> 16).astype("<u2") for name, array in llama().items()}
    path = tmp_path / "model.safetensors"
    before = {"dtype": "U8", "shape": [gap], "data_offsets": [0, gap]}
    text = raw({"before": before, **header_of(small, at=gap)})
    with path.open("wb") as file:
        file.write(text)
        file.seek(len(text) + gap)
        file.write(b"".join(array.tobytes() for array in small.values()))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    opened = Opened(tmp_path)
    assert chosen(page, "files", path, tmp_path / "config.json") == opened.text
    page.wait_for_selector(".wild-found canvas")
    drawn(page, opened)
    path.write_bytes(b"")
    page.evaluate("document.querySelector('select[name=module]').onchange()")
    page.wait_for_function("document.querySelector('.wild-found').textContent.includes('I/O error')")


def test_samples_need_nothing(page: Page) -> None:
    """Answers that were given when the page was made, of files that others wrote."""
    for name, count, words in (
        ("fused", 2, "fused qkv"),
        ("grouped", 4, "4 query heads on 2"),
        ("two", 4, "cross"),
    ):
        page.locator(f"button[name={name}]").click()
        page.wait_for_function(f"document.querySelectorAll('.wild-found canvas').length === {count}")
        assert words in page.locator(".wild-answer").inner_text()


def test_what_a_file_says_is_spelt_out(page: Page, make: Make) -> None:
    """The same characters as on a terminal, and markup is text."""
    folder = make(llama(at="a\u202e\x9b\nb<img src=x>.self_attn"), CONFIG)
    text = chosen(page, "files", folder / "config.json", folder / "model.safetensors")
    assert "1 modules read" in text
    assert "\u202e" not in page.locator(".wild-found").inner_text()
    assert "a\\u202e\\x9b\\nb<img src=x>" in page.locator(".wild-found").inner_text()
    assert page.locator("#wild-open img").count() == 0


def test_a_large_file_does_not_freeze_the_page(page: Page, tmp_path: Path) -> None:
    """Four hundred thousand tensors: the page answers all the while, says how far it is, and can be asked other things."""
    names = [f"layers.{n}.mlp.experts.{e}.up_proj.weight" for n in range(100) for e in range(4000)]
    entry = '"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}}'
    header = ",".join(entry.format(name, at, at + 1) for at, name in enumerate(names))
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(f"{{{header}}}".encode(), bytes(len(names))))
    page.evaluate(
        """() => {
            let last = performance.now()
            window.longest = 0
            setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now }, 5)
        }"""
    )  # fmt: skip
    page.locator("input[name=files]").set_input_files(str(path))
    page.wait_for_timeout(1500)
    assert page.evaluate("document.getElementById('wild-open').ariaBusy") == "true"
    assert page.locator("[role=status]").inner_text()
    assert page.evaluate("window.longest") < 500
    page.locator("button[name=two]").click()
    page.wait_for_selector(".wild-found canvas")
