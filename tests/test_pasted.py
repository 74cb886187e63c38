"""Every block that a page shows runs in an empty session, after the blocks shown above it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from qkvdocs.engine.pages import fences
from qkvdocs.engine.pages._reading import folded
from tests.pasted import PRELOAD, Block, failures
from tests.project import ROOT

PAGES = sorted((ROOT / "docs").rglob("*.md"))
LESSONS = sorted(path.stem for path in (ROOT / "docs" / "lessons").glob("*.md"))
TRAINED = "01-opening-failure"
"""Its code trains two models: too long for the main line, and what stands there says that it uses the folds."""
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(PRELOAD)


def shown(page: Path, *, folds: bool = True) -> list[Block]:
    """Read the blocks that run and are shown, with those in folds or without."""
    text = page.read_text("utf-8")
    left_out = set() if folds else folded(text.split("\n"))
    return [
        (fence.line + 1, fence.code, fence.options.get("raises", ""))
        for fence in fences(text)
        if fence.runs and "source" in fence.options and fence.line not in left_out
    ]


def pasted(blocks: list[Block]) -> list[str]:
    """Run them in a process of their own; tell what goes wrong."""
    with ProcessPoolExecutor(1, WARM) as pool:
        return pool.submit(failures, blocks).result()


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=lambda page: page.stem)
def test_what_is_shown_runs_when_pasted(page: Path) -> None:
    """Nothing that it needs is hidden."""
    assert pasted(shown(page)) == []


@pytest.mark.parametrize("name", [name for name in LESSONS if name != TRAINED])
def test_a_reader_may_leave_folds_closed(name: str) -> None:
    """What stands outside them needs nothing that stands inside."""
    page = ROOT / "docs" / "lessons" / f"{name}.md"
    assert len(shown(page, folds=False)) < len(shown(page))
    assert pasted(shown(page, folds=False)) == []


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([(1, "a = 2", ""), (5, "print(a)", "")], []),
        ([(5, "print(a)", "")], ["5: NameError: name 'a' is not defined"]),
        ([(1, "1 / 0", "ZeroDivisionError"), (5, "a = 2", "ZeroDivisionError")], ["5: no ZeroDivisionError"]),
        ([(1, "import numpy as np; np.exp(np.array([800.0]))", "FloatingPointError")], []),
    ],
)
def test_what_is_hidden_is_missed(blocks: list[Block], told: list[str]) -> None:
    """The test above can fail."""
    assert pasted(blocks) == told
