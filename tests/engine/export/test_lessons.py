"""Each lesson as a script and as a notebook: both run, and say what the page says."""

import asyncio
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from qkvdocs.engine.export._script import SETUP
from qkvdocs.engine.pages import run_page
from qkvdocs.engine.runtime import tidy
from tests.project import ROOT, Project, fence

LESSONS = sorted(path.stem for path in (ROOT / "docs" / "lessons").glob("*.md"))
SITE_ONLY = {"markdown", "markdown_exec", "mkdocs", "bs4", "markdownify", "math_core", "fontTools"}


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_script_prints_what_the_page_prints(site: Path, lesson: str, tmp_path: Path) -> None:
    """In a fresh interpreter, with the base install; every shown output in its order, and exit code zero."""
    page = run_page(ROOT / "docs" / "lessons" / f"{lesson}.md", ROOT)
    expected = [entry.text for entry in page.entries if entry.fence and entry.fence.options.get("source")]
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__');"
        f"print(*{SITE_ONLY!r} & set(sys.modules), file=sys.stderr, end='')"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(site / "lessons" / f"{lesson}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert not done.stderr, "it loads what only the site needs"
    assert tidy(done.stdout) == "\n".join(text for text in expected if text)


def outputs(notebook: Any) -> list[list[tuple[str, ...]]]:
    """List what each code cell put out."""
    return [
        [
            (out.ename, out.evalue)
            if out.output_type == "error"
            else (out.output_type, tidy(out.get("text", "")))
            for out in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def executed(notebook: Any, folder: Path) -> Any:
    """Run a notebook as a reader would."""
    fresh = copy.deepcopy(notebook)
    NotebookClient(
        fresh, timeout=120, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return fresh


@pytest.fixture(autouse=True)
def _own_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep Jupyter from writing into the reader's folders, and its loop from being the browser's."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    asyncio.set_event_loop_policy(None)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_notebook_gives_what_it_stores(site: Path, lesson: str, tmp_path: Path) -> None:
    """It is a valid notebook, and running it changes no output."""
    stored = nbformat.reads((site / "lessons" / f"{lesson}.ipynb").read_text("utf-8"), as_version=4)
    nbformat.validate(stored)
    assert (stored.nbformat, stored.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in stored.cells}) == len(stored.cells)
    assert any(outputs(stored))

    assert outputs(executed(stored, tmp_path)) == outputs(stored)


@pytest.mark.filterwarnings("default")
def test_a_wrong_output_would_be_seen(tmp_path: Path) -> None:
    """The comparison above can fail: on a value, on an error's message, and on a value that is not stored."""
    code = nbformat.v4.new_code_cell
    printed = nbformat.v4.new_output("stream", name="stdout", text="2\n")
    raised = nbformat.v4.new_output("error", ename="ValueError", evalue="other", traceback=[])
    tags = {"tags": ["raises-exception"]}
    notebook = nbformat.v4.new_notebook(
        cells=[
            code("print(1)", outputs=[printed]),
            code("raise ValueError('x')", outputs=[raised], metadata=tags),
            code("3"),
            code("print(2)", outputs=[printed]),
        ]
    )

    found = zip(outputs(executed(notebook, tmp_path)), outputs(notebook), strict=True)

    assert [now == then for now, then in found] == [False, False, False, True]


@pytest.mark.parametrize("lesson", LESSONS)
def test_notebook_and_script_hold_all_shown_code(site: Path, lesson: str) -> None:
    """Every fence that the page shows, folded or not, in its order."""
    page = (ROOT / "docs" / "lessons" / f"{lesson}.md").read_text("utf-8")
    shown = [
        tidy(dedent(body))
        for body in re.findall(r"^ *```python[^\n]*source=[^\n]*\n(.*?)^ *```", page, re.M | re.S)
    ]
    notebook = json.loads((site / "lessons" / f"{lesson}.ipynb").read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    at = 0
    assert len(shown) > 5
    for body in shown:
        at = code.index(body, at) + 1
    script = (site / "lessons" / f"{lesson}.py").read_text("utf-8")
    for body in shown:
        lines = [line.strip() for line in body.split("\n") if line.strip()]
        assert all(line in script for line in lines)


def test_figures_and_formulas_leave_their_code_behind(site: Path) -> None:
    """What only draws is no part of the script, so neither are its imports."""
    code = (site / "lessons" / "04-qkv-projections.py").read_text("utf-8")
    assert "qkvdocs.figures" not in code
    assert "worked_product" not in code
    assert "def signed" not in code


def test_scripts_settle_numpy_as_pages_do() -> None:
    """The lines that a reader gets are the ones that ran."""
    settings = []
    for start in (SETUP, "from qkvdocs.engine.runtime import settle; settle()"):
        code = f"{start}\nimport numpy as np; print(np.get_printoptions(), np.geterr())"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        settings.append(done.stdout)
    assert settings[0] == settings[1]
    assert "'precision': 4" in settings[0]


ABOVE, BELOW = (f'exec="on" session="a" source="{where}" result="text"' for where in ("above", "below"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            fence("1", ABOVE) + fence("2", ABOVE.replace('"a"', '"b"')),
            "1: FenceError: a lesson's code must share one session, so that it runs as a script, got ['a', 'b']",
        ),
        (
            fence("print('a')", BELOW),
            "3: FenceError: a lesson's code must stand above what it prints, so that it fits a notebook, got 'below'",
        ),
    ],
)
def test_a_lesson_that_is_no_script_is_refused(project: Project, code: str, message: str) -> None:
    """In two sessions, or with its code below: a notebook cannot say that."""
    project.write(f"# Page\n\n{code}", "lessons/two.md")
    project.write("# Home\n")

    done = project.command("qkvdocs", "build")

    assert done.returncode == 1
    assert done.stderr == f"docs/lessons/two.md:{message}\n"
