"""All lessons, word for word, under Material's successor.

What differs is listed and fails nothing: Zensical is young. That nothing can be compared does fail.
"""

from pathlib import Path

import pytest

from benchmarks.builders import build_with, compare, differences, report, words
from tests.project import ROOT


def test_every_lesson_has_the_same_words(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lessons are built with both; a difference is printed, past pytest's silence."""
    found = compare(raw, *build_with(tmp_path, "zensical", pages="lessons/"), "lessons/")

    assert [name.removeprefix("lessons/") for name in found] == sorted(
        path.stem for path in (ROOT / "docs" / "lessons").glob("*.md")
    )
    assert all(count > 1000 for count, _ in found.values())
    if any(differ for _, differ in found.values()):
        with capsys.disabled():
            print(f"\nZensical and MkDocs differ (this fails nothing):\n{report(found)}")


def test_a_difference_is_listed(tmp_path: Path) -> None:
    """The comparison can see: a word too much, too few, another; in code, a formula, a drawing, a fold."""
    article = (
        "<body>out<article class='x'><h1>A page</h1><p>of words</p><pre>x = 1</pre><style>none</style>"
        "<math><mn>2</mn></math><svg><text>box</text></svg><details><p>fold</p></details></article>out"
    )
    for name, html in (
        ("one", article),
        ("other", article.replace("box", "bag").replace("of words", "of more words")),
    ):
        page = tmp_path / name / "lessons" / "a" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(html, "utf-8")

    found = compare(tmp_path / "one", tmp_path / "other", "lessons/")

    assert found["lessons/a"] == (
        10,
        ["after 'of': 'nothing' became 'more'", "after '2': 'box' became 'bag'"],
    )
    assert "lessons/a: 10 words, 2 differences\n    after 'of'" in report(found)
    assert words(tmp_path / "one" / "lessons" / "a" / "index.html")[-1] == "fold"
    assert differences(["a"], ["b", "a"]) == ["at the start: 'nothing' became 'b'"]
    assert "the same in both" in report(compare(tmp_path / "one", tmp_path / "one"))


def test_a_page_that_is_missing_is_no_page_that_agrees(tmp_path: Path) -> None:
    """Nor is one without an article."""
    for name, html in (("one", "<article>x</article>"), ("other", "<main>x</main>")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(html, "utf-8")
    with pytest.raises(ValueError, match="must have an article, got none"):
        compare(tmp_path / "one", tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        compare(tmp_path / "one", tmp_path)
