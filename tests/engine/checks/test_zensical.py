"""All pages, word for word, under Material's successor: checked and published as they are under MkDocs."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks.builders import compare, differences, report, words
from tests.conftest import run
from tests.project import Project


@pytest.fixture(scope="module")
def theirs(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site by Zensical, checked and published as ours is."""
    made = tmp_path_factory.mktemp("zensical") / site.name
    words = (sys.executable, "-m", "qkvdocs", "build", "-q", "--builder", "zensical", "-d", str(made))
    assert run(*words) == ""
    return made


def test_every_page_has_the_same_words(site: Path, theirs: Path) -> None:
    """In the same order."""
    found = compare(site, theirs)

    assert {page.relative_to(site) for page in site.rglob("*.html")} == {
        page.relative_to(theirs) for page in theirs.rglob("*.html")
    }
    assert sum(count for count, _ in found.values()) > 100_000
    assert report({name: of for name, of in found.items() if of[1]}) == ""


def test_what_zensical_cannot_do_is_known(project: Project) -> None:
    """What we go round; each entry that no longer holds is work that we can drop: strike it here and there."""
    project.write('# Page\n\n<a href="../">up</a>\n', "sub/page.md")
    settings = project.root / "mkdocs.yml"
    settings.write_text(re.sub(r"^theme:.*\n", "", settings.read_text("utf-8"), flags=re.M))
    (project.root / ".cache").mkdir()
    kept = project.root / ".cache" / "ours"
    kept.write_text("x")
    (project.root / "elsewhere").symlink_to(project.root / "docs")

    assert project.command("zensical", "build", "--clean").returncode == 0

    html = (project.root / "site" / "sub" / "page" / "index.html").read_text("utf-8")
    settings.write_text(settings.read_text("utf-8") + f"site_dir: {project.root.parent / 'out'}\n")
    cannot = {
        "leave the links of a page's own HTML as they are": 'href="../../"' in html,
        "share .cache": not kept.exists(),
        "build outside of its folder": project.command("zensical", "build").returncode != 0,
    }
    assert all(cannot.values()), [what for what, still in cannot.items() if not still]


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
