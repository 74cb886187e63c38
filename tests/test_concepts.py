"""Concept pages and lessons know of each other."""

import re

import pytest

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
