"""The clinic's pages and its catalogue belong together."""

import re
from pathlib import Path

import pytest

from qkvdocs.clinic import BUGS, SYMPTOMS

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs/clinic").glob("*.md")}


def test_each_bug_has_a_page_in_the_navigation() -> None:
    """And no page stands for a bug that the probes do not know."""
    assert PAGES.keys() - {"index"} == set(BUGS)
    listed = re.findall(r"clinic/([\w-]+)\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    assert sorted(listed) == sorted(PAGES)


def test_the_navigation_is_that_of_the_catalogue() -> None:
    """Symptoms and bugs in the order that the code gives."""
    listed, symptom = {}, ""
    for line in (ROOT / "mkdocs.yml").read_text("utf-8").splitlines():
        if title := re.match(r' {6}- "(.+)":$', line):
            symptom = title[1]
        elif page := re.match(r" {10}- clinic/([\w-]+)\.md$", line):
            listed.setdefault(symptom, []).append(page[1])
    wanted = {s: [bug.name for bug in BUGS.values() if bug.symptom == s] for s in SYMPTOMS}
    assert list(listed.items()) == list(wanted.items())


@pytest.mark.parametrize("name", sorted(BUGS))
def test_a_page_runs_wrong_and_right_and_the_probe(name: str) -> None:
    """With its title from the catalogue, what it costs, and where it happened."""
    page = PAGES[name]
    assert f"# {BUGS[name].title}\n" in page
    assert 'title="✗ wrong' in page
    assert 'title="✓ right"' in page
    assert "examine(" in page
    assert f'BUGS["{name}"].mend' in page
    assert "{#cost}" in page
    assert (f'BUGS["{name}"].where' in page) == bool(BUGS[name].where)


def test_the_practice_page_gathers_every_question() -> None:
    """As many folds and headings as lessons and concepts have, in the ledger of what the page shows."""
    pages = [*(ROOT / "docs/lessons").glob("*.md"), *(ROOT / "docs/concepts").glob("*.md")]
    asked = 0
    for text in (path.read_text("utf-8") for path in pages):
        sections = re.findall(r"^(## [^\n]*\{#(\w+).*?)(?=^## |\Z)", text, re.M | re.S)
        parts = {name: section for section, name in sections}
        asked += len(re.findall(r"^\?\?\? question", parts.get("recall", ""), re.M))
        asked += len(re.findall(r"^### ", parts.get("interview", ""), re.M))
        asked += "apply" in parts
    shown = (ROOT / "tests/ledger/practice.txt").read_text("utf-8")
    assert asked == shown.count('class="practice-card"') > 0


FAULTS = {
    "the cap after the mask": "softcap#kin", "the cap twice": "softcap#kin",
    "the sink dropped": "sink#wrong-and-right", "the sink normalised away": "sink#kin",
    "a window off by one": "window#wrong-and-right", "a window forgotten at decode": "window#kin",
    "slopes where heads are no power of two": "score-bias#wrong-and-right",
    "a norm over the wrong axis": "qk-norm#wrong-and-right", "a norm after the rotation": "qk-norm#kin",
    "the whole head rotated": "rotary-style#kin", "the wrong base": "rotary-style#kin",
    "rows of K permuted with n_heads": "rotary-style#permuted",
    "thirds for heads": "fused-order#wrong-and-right", "gathered ranks": "fused-order#kin",
    "key heads tiled": "kv-head-order#wrong-and-right", "left padding with one position": "rotary-offset#padding",
    "packed neighbours, both ways": "batch-leak#packed", "keys of the wrong stream": "cross-source#wrong-and-right",
    "an adapter in the wrong part": "adapter-merge#wrong-and-right", "softmax in half precision": "dtype-loss#softmax",
    "scores that overflow": "dtype-loss#overflow", "dropout alive": "dropout#wrong-and-right",
    "a query that cannot see itself": "causality#itself",
}  # fmt: skip
"""What goes wrong in the layers of this year, and where a page runs it wrong and right."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_a_section_that_runs_it(fault: str) -> None:
    """Its anchor stands on the page, and code runs below it."""
    page, anchor = FAULTS[fault].split("#")
    (section,) = re.findall(rf"^## [^\n]*{{#{anchor}\b[^\n]*\n(.*?)(?=^## |\Z)", PAGES[page], re.M | re.S)
    assert 'exec="on"' in section
    assert "examine(" in section or anchor in ("wrong-and-right", "padding")
