"""A built folder is checked with what was added to it meanwhile."""

from functools import partial
from pathlib import Path

import pytest

from qkvdocs.engine.checks import check
from qkvdocs.engine.pages import LessonError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A page as it was built, blank, and written."""
    made = tuple(tmp_path / name for name in ("site", "blank", "docs"))
    for folder, file, text in zip(
        made, ("index.html", "docs/index.md.html", "index.md"), 3 * ("a",), strict=True
    ):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(f"<article>{text}</article>")
    return made


def link(page: Path, address: str) -> None:
    """Add a link, as the export of a page does."""
    page.write_text(f'{page.read_text()}<a href="{address}">b</a>')


def fail() -> None:
    """Be unable to export."""
    raise LessonError("docs/index.md", 3, "FenceError", "must be a script", "line 3\n")


def test_a_link_that_was_added_is_followed(folders: tuple[Path, Path, Path]) -> None:
    """As those are that the builder left."""
    page = folders[0] / "index.html"

    assert check(*folders, partial(link, page, "index.html"))[1] == []
    (error,) = check(*folders, partial(link, page, "gone&amp;lost.md"))[1]
    assert (
        str(error) == "docs/index.md:1: LinkError: 'gone&lost.md' leads to gone&lost.md, which does not exist"
    )


def test_what_cannot_be_added_ends_the_check(folders: tuple[Path, Path, Path]) -> None:
    """With its own message, whole."""
    with pytest.raises(LessonError) as ended:
        check(*folders, fail)

    assert str(ended.value) == "docs/index.md:3: FenceError: must be a script\nline 3"
    assert (ended.value.line, ended.value.kind) == (3, "FenceError")
