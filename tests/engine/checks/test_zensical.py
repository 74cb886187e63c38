"""All pages, word for word, under Material's successor: checked and published as they are under MkDocs."""

import difflib
import re
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tests.conftest import run
from tests.project import THEME, Project


def words(page: Path) -> list[str]:
    """Read the words of an article, what is folded too; where a bracket folds a line is no word."""
    article = re.search(r"<article\b.*</article>", page.read_text("utf-8"), re.S)
    assert article, f"{page} must have an article"
    tree = BeautifulSoup(article[0], "html.parser")
    for unread in tree(["annotation", "script", "style"]):
        unread.decompose()
    for piece in tree("span"):  # code is cut into them, and stays one
        piece.unwrap()
    tree.smooth()
    return re.sub(r"(?<=[(\[{])\s+|\s+(?=[)\]}])", "", tree.get_text(" ")).split()


def differences(one: list[str], other: list[str]) -> list[str]:
    """List what stands in one and not in the other, with the word before."""
    return [
        f"after {' '.join(one[a - 1 : a])!r}: {' '.join(one[a:b])!r} became {' '.join(other[c:d])!r}"
        for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        if kind != "equal"
    ]


@pytest.fixture(scope="module")
def theirs(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site by Zensical, checked and published as ours is."""
    made = tmp_path_factory.mktemp("zensical") / site.name
    words = (sys.executable, "-m", "qkvdocs", "build", "-q", "--builder", "zensical", "-d", str(made))
    assert run(*words) == ""
    return made


def test_every_page_has_the_same_words(site: Path, theirs: Path) -> None:
    """In the same order."""
    count = 0
    pages = sorted(page.relative_to(site) for page in site.rglob("*.html"))
    assert pages == sorted(page.relative_to(theirs) for page in theirs.rglob("*.html"))
    for page in pages:
        if page.name == "index.html":
            here, there = words(site / page), words(theirs / page)
            assert differences(here, there) == [], page
            count += len(here)
    assert count > 100_000


def test_what_zensical_cannot_do_is_known(project: Project) -> None:
    """What we go round; each entry that no longer holds is work that we can drop: strike it here and there."""
    project.write('# Page\n\n<a href="../">up</a>\n', "sub/page.md")
    project.set("", without=THEME)
    (project.root / ".cache").mkdir()
    kept = project.root / ".cache" / "ours"
    kept.write_text("x")
    (project.root / "elsewhere").symlink_to(project.root / "docs")

    assert project.command("zensical", "build", "--clean").returncode == 0

    html = (project.root / "site" / "sub" / "page" / "index.html").read_text("utf-8")
    project.set(f"site_dir: {project.root.parent / 'out'}\n")
    cannot = {
        "leave the links of a page's own HTML as they are": 'href="../../"' in html,
        "share .cache": not kept.exists(),
        "build outside of its folder": project.command("zensical", "build").returncode != 0,
    }
    assert all(cannot.values()), [what for what, still in cannot.items() if not still]


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """A word too much, too few, another; in code, a formula, a drawing, a fold."""
    article = (
        "<body>out<article class='x'><h1>A page</h1><p>of words</p><pre><span>x</span><span>1</span></pre>"
        "<style>none</style><math><mn>2</mn></math><svg><text>box</text></svg><details><p>fold</p></details>"
        "</article>out"
    )
    pages = tmp_path / "one", tmp_path / "other"
    for page, html in zip(
        pages, (article, article.replace("box", "bag").replace("of", "of more")), strict=True
    ):
        page.write_text(html, "utf-8")
    one, other = map(words, pages)

    assert one == ["A", "page", "of", "words", "x1", "2", "box", "fold"]
    assert differences(one, other) == ["after 'of': '' became 'more'", "after '2': 'box' became 'bag'"]
    assert differences(["a"], ["b", "a"]) == ["after '': '' became 'b'"]
