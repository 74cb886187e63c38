"""Concept pages and lessons know of each other."""

import re
from collections.abc import Iterator

import pytest

from qkvdocs.engine.pages._reading import reading_minutes
from tests.project import ROOT

DOCS = ROOT / "docs"
CONCEPTS = sorted(
    path.name for path in (DOCS / "concepts").glob("*.md") if path.name not in {"index.md", "glossary.md"}
)


def lessons_that_link_to(concept: str) -> set[str]:
    """Read every lesson for a link to the page."""
    return {
        path.name
        for path in (DOCS / "lessons").glob("*.md")
        if re.search(rf"\]\(\.\./concepts/{re.escape(concept)}[#)]", path.read_text("utf-8"))
    }


def lessons_named_by(concept: str) -> set[str]:
    """Read the line that says where the concept is used."""
    [line] = re.findall(r"^\*\*Used in:\*\* .*$", (DOCS / "concepts" / concept).read_text("utf-8"), re.M)
    return set(re.findall(r"\.\./lessons/([\w-]+\.md)", line))


@pytest.mark.parametrize("concept", CONCEPTS)
def test_links_go_both_ways(concept: str) -> None:
    """A lesson that links to a concept is named by it, and a lesson that is named links back."""
    assert lessons_that_link_to(concept) == lessons_named_by(concept) != set()


def test_every_lesson_uses_a_concept() -> None:
    """None of the lessons stands alone, and all concept pages are looked at."""
    assert len(CONCEPTS) >= 15
    assert set().union(*map(lessons_named_by, CONCEPTS)) == {
        path.name for path in (DOCS / "lessons").glob("*.md")
    }


REFUTED = re.compile(
    r"^ *\*\*Common wrong answer:\*\* “[^\n]+”\n\n"
    r' *```python exec="on"[^\n]* title="refuted: [^\n]+\n(?:(?! *```)[^\n]*\n)*?\s*assert ',
    re.M,
)


def faults(text: str) -> Iterator[str]:
    """Hold a page that asks what interviewers ask to its minutes, and its wrong answer to a run."""
    if not 3 <= (minutes := reading_minutes(text)) <= 6:
        yield f"{minutes} minutes, from 3 to 6"
    if not REFUTED.search(text.partition("{#interview")[2]):
        yield "its wrong answer must be refuted by code that asserts it"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=concept)
        for concept in CONCEPTS
        if "{#interview" in (text := (DOCS / "concepts" / concept).read_text("utf-8"))
    ],
)
def test_an_interview_question_is_short_and_its_wrong_answer_refuted(text: str) -> None:
    """Reading three to six minutes, and an assertion below the answer that is common and wrong."""
    assert list(faults(text)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("assert", "print", "its wrong answer must be refuted by code that asserts it"),
        ("**Common wrong answer:**", "Some say:", "its wrong answer must be refuted by code that asserts it"),
        ("word", "word " * 4, "13 minutes, from 3 to 6"),
    ],
)
def test_what_is_missing_is_named(old: str, new: str, fault: str) -> None:
    """Each rule bites."""
    text = "word " * 600 + (
        "\n## Interview question {#interview}\n\n**Common wrong answer:** “No.”\n\n"
        '```python exec="on" source="above" title="refuted: yes"\nx = 1\nassert x\n```\n'
    )
    assert list(faults(text)) == []
    assert list(faults(text.replace(old, new))) == [fault]
