"""Names that are code stay names: in every figure, on a page, and in the checkpoint that a reader opens."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from qkvdocs import figures
from qkvdocs.core import split_heads
from qkvdocs.errors import QKVError
from tests.figures.examples import attention
from tests.project import ROOT, Project, fence

BAD = "</script><img src=x onerror=window.struck=1> \"'><svg onload=window.struck=1>&amp;"
UNQUOTED = "<img src=x onerror=window.struck=1>"
ONE, TWO = np.array([[1, 2]]), np.eye(2, dtype=int)
FIGURES: dict[str, Callable[[], str]] = {
    "cache": lambda: figures.cache([(ONE, ONE)], tokens=[BAD]),
    "consult": lambda: figures.consult(
        [BAD], Q=ONE, K=ONE, V=ONE, scores=[[5 / 2**0.5]], pattern=[[1]], context=ONE, at=0, name="a"
    ),
    "hall": lambda: figures.hall([BAD], at=0, graders={BAD: [1]}, cards={"key": BAD}),
    "heads": lambda: figures.heads(np.eye(2), {BAD: lambda x: split_heads(x, 1)}, tokens=[BAD, "b"]),
    "heatmap": lambda: figures.heatmap(TWO, rows=[BAD, "b"], columns=[BAD, "b"]),
    "line_chart": lambda: figures.line_chart(
        [0, 1], {BAD: [0, 1]}, levels={BAD + "2": 1}, x_label=BAD, y_label=BAD, write=lambda _: BAD
    ),
    "ribbons": lambda: figures.ribbons({BAD: (0, [1], [BAD])}),
    "shape_flow": lambda: figures.shape_flow([(BAD, (1, 2), "seq d_model")]),
    "stored_matrix": lambda: figures.stored_matrix({BAD: [0], "k": [1]}, inputs=2, name=BAD),
    "visibility": lambda: figures.visibility(TWO.astype(bool), rows=[BAD, "b"], columns=[BAD, "b"], name=BAD),
}
STRUCK = """() => new Promise(done => setTimeout(() => done([
    window.struck ?? null, document.querySelectorAll("img, svg[onload]").length]), 60))"""


def strike(browser: Browser, html: str) -> tuple[object, str]:
    """Open a page of our own, with the figures' script and no policy, and see what runs and what is read."""
    page = browser.new_page()
    page.set_content(f"<!doctype html><body>{html}</body>")
    page.add_script_tag(path=str(ROOT / "qkvdocs" / "figures" / "assets" / "qkv-live.js"))
    return page.evaluate(STRUCK), page.evaluate("document.body.textContent")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_the_name(browser: Browser, name: str) -> None:
    """As it was written, and as nothing but text."""
    html = FIGURES[name]()
    found, text = strike(browser, html)
    assert found == [None, 0]
    assert BAD in text


REFUSED: dict[str, Callable[[], str]] = {
    "heatmap": lambda: figures.heatmap(TWO, name=BAD),
    "vectors_on_axes": lambda: figures.vectors_on_axes({BAD: [1, 2]}, scales="equal"),
    "worked_product": lambda: figures.worked_product(ONE, TWO, ONE @ TWO, names=(BAD, "W", "y")),
    "attention_steps": lambda: attention(name=BAD),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_name_of_a_matrix_is_a_name(name: str) -> None:
    """It stands in code and in addresses, so it may not be anything else."""
    with pytest.raises(QKVError, match="must be"):
        REFUSED[name]()


def test_every_figure_is_tried() -> None:
    """A new one belongs above; the labels of a flow are drawn by the engine, which is tried below."""
    assert set(figures.__all__) - set(FIGURES) - set(REFUSED) <= {"exercise", "flow"}


def test_the_strike_would_be_felt(browser: Browser) -> None:
    """The same name, put into a page as it is."""
    assert strike(browser, f"<p>{BAD}</p>")[0][0] == 1


def test_values_and_diagrams_of_a_page(browser: Browser, project: Project) -> None:
    """In prose, in tables, printed, and in a drawn flowchart."""
    project.write(
        "# Page\n\n" + fence(f"bad = {UNQUOTED!r}", 'exec="on" session="a"')
        + "\nValue `{python} bad`.\n\n| a |\n|---|\n| `{python} bad` |\n\n"
        + fence("print(bad)", 'exec="on" session="a" source="above" result="text"') + "\n"
        + fence("print(bad)", 'exec="on" session="a"') + "\n"
    )  # fmt: skip
    html = project.html().split('role="main">')[1].split("<footer")[0]
    found, text = strike(browser, html)
    assert found == [None, 0]
    assert text.count(UNQUOTED) == 4


def test_a_diagram_refuses_it(project: Project) -> None:
    """Mermaid would draw a picture of it; what is not shown as written ends the build."""
    project.write(f"# Page\n\n```mermaid\nflowchart LR\n  A[{UNQUOTED}] --> B[b]\n```\n")
    done = project.command("mkdocs", "build", "-q")
    assert done.returncode == 1
    assert "docs/index.md:5: MermaidError: box A must show <img" in done.stderr


def test_the_checkpoint_page(browser: Browser, address: str, tmp_path: Path, fetched: Path) -> None:
    """Names of files, tensors and model types, read and refused alike."""
    names = [f"{UNQUOTED.replace('/', '')}.attn.{role}_proj.weight" for role in "qkvo"]
    header, begin = {}, 0
    for name in names:
        header[name] = {"dtype": "F32", "shape": [4, 4], "data_offsets": [begin, begin + 64]}
        begin += 64
    text = json.dumps(header).encode()
    path = tmp_path / f"{UNQUOTED.replace('/', '')}.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(begin))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": UNQUOTED, "num_attention_heads": 2, "hidden_size": 4}))
    page = browser.new_page(bypass_csp=True)
    page.goto(f"{address}wild/open/")
    page.locator("input[name=files]").set_input_files([str(config), str(path)])
    shown = page.locator("#wild-open .wild-found canvas").nth(3)
    shown.wait_for(timeout=60_000)
    assert UNQUOTED.replace("/", "") in page.locator("#wild-open").evaluate("e => e.textContent")
    assert page.evaluate("window.struck ?? null") is None
    assert page.locator("article img").count() == 0
