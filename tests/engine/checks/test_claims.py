"""A sentence that compares is bound to code."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from qkvdocs.engine.checks._claims import Claims, check_claims, main, measure_claims
from tests.project import ROOT

LIST = 'words = ["larger", "sums to"]\nidioms = ["larger than life"]\nsections = ["apply"]\n'

UNBOUND = {
    "a sentence": "This is larger.",
    "another case": "Larger it is.",
    "the second of a line": "Small. This is larger. Small.",
    "over two lines": "The row sums\nto one.",
    "a list": "- first\n- this is larger",
    "a table": "| a | b |\n|---|---|\n| c | larger |",
    "a box": '!!! note "Title"\n\n    This is larger.',
    "inside a link": "See [what is larger](x.md).",
    "emphasis": "It is **larger**.",
    "its neighbour is bound": "Small. `{check} a < b`\nThis is larger.",
    "a mark before it": "`{check} a < b`\n\nThis is larger.",
    "another computed value": "This is larger: `{python} a`, `{python} fmt(compare)`.",
    "quoted syntax is no mark": "This is larger: `` `{check} a` ``.",
    "a quotation": "> This is larger.",
    "after a formula": "$$\na\n$$\nThis is larger.",
    "after a section left out": "## A {#apply}\n\nx\n\n## B {#b}\n\nThis is larger.",
}

BOUND = {
    "a mark": "This is larger. `{check} a > b`",
    "two marks": "This is larger. `{check} a > b` `{asserted} a > c`",
    "a mark on the next line": "This is larger.\n`{check} a > b`\nSmall.",
    "a mark inside": "This is larger `{check} a > b` than that.",
    "a mark in a table": "| a | b |\n|---|---|\n| c | larger `{check} a > b` |",
    "a computed word": "This is `{python} compare(a, b)` and larger.",
    "a cited fact": 'This is [larger](https://x.org "seen 2026-11-21"){.cited}.',
    "part of a word": "An enlargerment.",
    "an idiom": "He was larger than life.",
    "code": "Call `larger` or\n\n```text\nThis is larger.\n```",
    "a formula": r"So \(larger\).",
    "a displayed formula": "$$\n\\text{larger}\n$$",
    "a heading": "## Larger {#l}",
    "a title": '??? question "Is this larger?"\n\n    No.',
    "head of a table": "| larger | b |\n|---|---|\n| c | d |",
    "a wrong answer": "**Common wrong answer:** “This is larger.”",
    "a section left out": "## Apply now {.worked #apply}\n\nThis is larger.",
    "the target of a link": "See [this](larger.md).",
}


def site(tmp_path: Path, text: str, listed: str = LIST, name: str = "lessons/page.md") -> Path:
    """Write a site of one page and its list; give the folder of its pages."""
    page = tmp_path / "docs" / name
    page.parent.mkdir(parents=True)
    page.write_text(f"# Page\n\n{text}\n", "utf-8")
    (tmp_path / "docs" / "claims.toml").write_text(listed, "utf-8")
    return tmp_path / "docs"


@pytest.mark.parametrize("kind", UNBOUND)
def test_an_unbound_claim_is_found(tmp_path: Path, kind: str) -> None:
    """Wherever it stands."""
    _, errors = check_claims(site(tmp_path, UNBOUND[kind]))

    assert [error.kind for error in errors] == ["UnboundClaim"]


@pytest.mark.parametrize("kind", BOUND)
def test_other_sentences_pass(tmp_path: Path, kind: str) -> None:
    """A mark, a source, and what is no claim."""
    assert check_claims(site(tmp_path, BOUND[kind]))[1] == []


def test_the_error_names_line_word_and_sentence(tmp_path: Path) -> None:
    """The line is that on which the sentence begins."""
    _, errors = check_claims(site(tmp_path, "Small.\nSmall. `{check} a`\nThe row `q` sums\nto one."))

    assert [str(error) for error in errors] == [
        "docs/lessons/page.md:5: UnboundClaim: 'sums to' makes a claim in “The row x sums to one.”: "
        "add {check} or {asserted}, cite it, or list it in docs/claims.toml"
    ]


@pytest.mark.parametrize("name", ["index.md", "clinic/page.md", "wild/deeper/page.md"])
def test_every_page_is_read(tmp_path: Path, name: str) -> None:
    """Not the lessons alone."""
    [error] = check_claims(site(tmp_path, "This is larger.", name=name))[1]

    assert error.file == f"docs/{name}"


EXEMPT = '[[exempt]]\npage = "lessons/page.md"\ntext = "is larger"\nreason = "A definition."\n'


def test_an_exempt_sentence_passes(tmp_path: Path) -> None:
    """With its reason, and it is counted."""
    report, errors = check_claims(site(tmp_path, "This is larger.", LIST + EXEMPT))

    assert errors == []
    assert report == "claims: 0 bound to code or source, 1 exempt with a reason"


@pytest.mark.parametrize(
    "text",
    ["This is smaller.", "This is larger. `{check} a > b`", "```text\nThis is larger.\n```"],
    ids=["gone", "bound by now", "in code by now"],
)
def test_a_stale_exemption_is_found(tmp_path: Path, text: str) -> None:
    """What is no longer needed goes."""
    _, errors = check_claims(site(tmp_path, text, LIST + EXEMPT))

    assert [str(error) for error in errors] == [
        "docs/claims.toml:1: StaleExemption: 'is larger' must exempt one unbound claim of lessons/page.md, "
        "it exempts 0"
    ]


def test_an_exemption_of_two_sentences_is_too_wide(tmp_path: Path) -> None:
    """A reason is given for one claim; another must not slip in under it."""
    _, errors = check_claims(site(tmp_path, "This is larger.\nThat is larger.", LIST + EXEMPT))

    assert [error.kind for error in errors] == ["WideExemption"]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ('word = ["larger"]', "must have entries from .* got 'word'"),
        ('pages = ["lessons/"]', "must have entries from .* got 'pages'"),
        ('[[exempt]]\npage = "a"\ntext = "b"', "must have page, text and reason, got"),
        ('[[exempt]]\npage = "a"\ntext = "b"\nreason = ""', "must have page, text and reason, got"),
        (
            '[[exempt]]\npage = "a"\ntext = "b"\nreason = "c"\nline = 3',
            "must have page, text and reason, got",
        ),
        ("words = larger", "Invalid value"),
    ],
)
def test_a_wrong_list_is_an_error(tmp_path: Path, listed: str, message: str) -> None:
    """A misspelt entry must not pass for an empty list."""
    [error] = check_claims(site(tmp_path, "x", listed))[1]

    assert error.kind == "ClaimError"
    assert error.file == "docs/claims.toml"
    assert re.search(message, error.message)


def test_the_pages_are_bound() -> None:
    """All of them: no unbound claim."""
    report, errors = check_claims(ROOT / "docs")

    assert [str(error) for error in errors] == []
    assert int(report.split()[1]) > 200


FLOORS = {"written": (0.95, 0.06), "found": (0.80, 0.10)}


@pytest.mark.parametrize("name", FLOORS)
def test_the_list_sees_comparisons_and_little_else(name: str) -> None:
    """Measured on sentences of known kind; `found` was not looked at while the list was made."""
    (seen, comparisons), (alarms, plain) = (
        measure_claims(ROOT / "docs")[name][kind] for kind in ("comparisons", "plain")
    )

    assert seen / comparisons >= FLOORS[name][0]
    assert alarms / plain <= FLOORS[name][1]


def test_the_list_is_measured_on_enough() -> None:
    """Each sentence once, at least eighty comparisons and a hundred plain ones of our own, and the found ones."""
    sets = tomllib.loads((ROOT / "docs" / "sentences.toml").read_text("utf-8"))
    texts = [text for kinds in sets.values() for group in kinds.values() for text in group]

    assert set(sets) == set(FLOORS)
    assert len(set(texts)) == len(texts)
    assert len(sets["written"]["comparisons"]) >= 80
    assert len(sets["written"]["plain"]) >= 100
    assert len(sets["found"]["plain"]) >= 100


def test_the_command_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares and counts of each set, with the list of the same folder."""
    (tmp_path / "claims.toml").write_text('words = ["larger"]')
    (tmp_path / "sentences.toml").write_text(
        '[mine]\ncomparisons = ["A is larger. Small.", "A exceeds B."]\n'
        'plain = ["`larger` is a word.", "This is larger.", "A.", "B."]\n'
    )

    assert main(["--docs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "mine: recall 0.500 (1 of 2), false alarms 0.250 (1 of 4)\n"


@pytest.mark.parametrize("word", Claims.read(ROOT / "docs").words)
def test_each_word_of_the_list_is_found_in_a_lesson(tmp_path: Path, word: str) -> None:
    """With the real list: planted in a page, the word is seen."""
    listed = (ROOT / "docs" / "claims.toml").read_text("utf-8").split("[[exempt]]")[0]
    planted = word.replace("*", "s").replace("…", "the")
    text = f"Here the one {planted} the other."

    assert [error.kind for error in check_claims(site(tmp_path, text, listed))[1]] == ["UnboundClaim"]


def test_lessons_without_their_marks_fail(tmp_path: Path) -> None:
    """It is the marks that the check rests on: strike out any one, and its sentence is named."""
    docs = Path(shutil.copytree(ROOT / "docs", tmp_path / "docs"))
    page = docs / "lessons" / "02-causal-mask.md"
    text = page.read_text("utf-8")
    marks = list(re.finditer(r" ?`\{(?:check|asserted)\}[^`]*`", text))
    named = set()
    for mark in marks:
        page.write_text(text[: mark.start()] + text[mark.end() :], "utf-8")
        named.update(error.line for error in check_claims(docs)[1])

    assert len(marks) > 15
    assert len(named) > 10
