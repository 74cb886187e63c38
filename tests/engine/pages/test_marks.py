"""What was computed is marked on its way through Markdown, and one conversion gives a page with it and without it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mkdocs.structure.files import get_files
from mkdocs.structure.pages import Page as MkDocsPage

from qkvdocs.engine.checks._check import check
from qkvdocs.engine.checks._html import PageReader
from qkvdocs.engine.checks._numerals import Allowed, typed
from qkvdocs.engine.pages import PRIVATE, LessonError
from qkvdocs.engine.pages._marks import blank, mark, shown
from tests.engine.pages.test_values import PLACES
from tests.project import ROOT, Project, configured, fence

START = fence("from qkvdocs.numbers import tex, word; x = 7")
ALLOWED = Allowed(frozenset(), (), (), (("token", "tokens"),))

VALUES = {
    "3 of four": "x of xxxx",
    "Twenty": "xxxxxx",
    "fourteen": "fourteen",
    "-1.5e-07": "-x.xe-xx",
    "1_000": "xxxxx",
    "_2_": "_x_",
    "x_1 d_model": "xxx dxmodel",
    "m² ½ ① Ⅳ \u0661 \U0001d7cf": "mx x x x x x",
    '<h2 title="3">4 &#39; &frac12;</h2>': '<h2 title="x">x &#39; &frac12;</h2>',
    "x1<x2": "xx<xx",
}


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_marked_and_comes_back(value: str) -> None:
    """Each numeral and number word, whatever its script; what Markdown must see as it is stays."""
    assert blank(mark(value)) == VALUES[value]
    assert shown(mark(value)) == value


@dataclass
class Rendered:
    """What one conversion gave."""

    html: str
    title: str
    toc: list[str]
    anchors: set[str]
    blank: str

    @property
    def typed(self) -> list[str]:
        """What counts as typed there."""
        return [text for words in PageReader(self.blank).words for _, text in typed(words, ALLOWED)]


@pytest.fixture
def render(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Rendered]:
    """Convert a page as MkDocs does, in this process; no mark is left wherever a reader sees what it gave."""

    def rendered(text: str, asked: bool = True) -> Rendered:
        path = project.write(text)
        monkeypatch.setenv("QKVDOCS_BLANK", str(tmp_path / "blank") if asked else "")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        config = configured(project.root, monkeypatch, site_dir=str(tmp_path / "site"))
        page = MkDocsPage(None, get_files(config).get_file_from_path(path.name), config)
        page.read_source(config)
        page.render(config, get_files(config))
        anchors = page.present_anchor_ids or set()
        toc = [f"{item.id} {item.title}" for top in page.toc for item in (top, *top.children)]
        kept = tmp_path / "blank" / "docs" / f"{path.name}.html"
        assert kept.exists() == asked
        found = Rendered(
            str(page.content), str(page.title), toc, anchors, kept.read_text("utf-8") if asked else ""
        )
        assert not PRIVATE.search("".join([found.html, found.title, found.blank, *toc, *anchors]))
        return found

    return rendered


@pytest.mark.parametrize("place", PLACES)
def test_a_blank_page_has_what_was_typed(render: Callable[[str], Rendered], place: str) -> None:
    """Nothing of a value, which readers have in whatever place it stands; but a digit that is typed there."""
    text, expected = PLACES[place]
    assert "{python}" in text

    page = render(f"# Page\n\n{START}\n{text}\n")
    assert expected in page.html
    assert "{python}" not in page.html
    assert page.typed == []
    assert page.blank.count("<figure") == page.blank.count("</figure>") == page.html.count("<figure")

    typed_there = text.replace("`{python} x`", "8 `{python} x`", 1)
    if typed_there != text:
        assert "8" in "".join(render(f"# Page\n\n{START}\n{typed_there}\n").typed)


def test_a_number_word_counts_where_it_is_typed(render: Callable[[str], Rendered]) -> None:
    """And not where it was computed."""
    page = render(
        f"{START}\nSay `{{python}} word(x - 3)` tokens, `{{python}} word(x)` tokens.\n\nTwo tokens."
    )

    assert "Say four tokens, seven tokens." in page.html
    assert page.typed == ["Two tokens"]


def test_headings_titles_and_links_have_the_value(render: Callable[[str], Rendered]) -> None:
    """Also where MkDocs and the table of contents read them before the page is finished."""
    page = render(
        f"# Page `{{python}} 40 + 2` {{#page}}\n\n{START}\n"
        "## Part `{python} x` {#part-`{python} x`}\n\n[there](#part-`{python} x`) ![a](b`{python} x`.png)\n"
    )

    assert (page.title, page.toc) == ("Page 42", ["page Page 42", "part-7 Part 7"])
    assert '<h2 id="part-7">Part 7</h2>' in page.html
    assert '<a href="#part-7">there</a> <img alt="a" src="b7.png" />' in page.html
    assert page.typed == []


def test_anchors_in_html_have_the_value(render: Callable[[str], Rendered]) -> None:
    """MkDocs looks for them in the text; what else a tag says is read on the blank page."""
    tags = (
        f"""<{tag} title='`{{python}} x` or 8' id="{tag}`{{python}} x`">a</{tag}>""" for tag in ("p", "b")
    )
    page = render(f"{START}\n{next(tags)}\n\nSay {next(tags)}.\n")

    assert {"p7", "b7"} <= page.anchors
    assert page.typed == ["8", "8"]


def test_html_in_a_value_stays_html(render: Callable[[str], Rendered]) -> None:
    """Inline and as a block: tags, entities, attributes that are seen and those that are not."""
    html = '<h3 title="3 rows" style="top: 4px">5 &#39;</h3>'
    page = render(f"{START}\n`{{python}} {html!r}`\n\nSay `{{python}} '<b title=\"3\">6</b>'`, typed 9.\n")

    assert html in page.html
    assert '<p>Say <b title="3">6</b>, typed 9.</p>' in page.html
    assert page.typed == ["9"]


PRINTED = {
    "text": ("print('It is 15.')", "<p>It is 15.</p>"),
    "a list": ("print('1. one\\n2. two 15')", "<ol>\n<li>one</li>\n<li>two 15</li>\n</ol>"),
    "a heading": ("print('## Part 15')", '<h2 id="part-15">Part 15</h2>'),
    "a table": ("print('| a |\\n|---|\\n| 15 |')", "<td>15</td>"),
    "HTML": ("print('<div><p>15</p></div>')", "<div><p>15</p></div>"),
    "a formula": (r"print(r'\(x = 15\)')", "<mn>15</mn>"),
    "a diagram": ("print('````mermaid line=\"1\"\\nflowchart LR\\n  a[15] --> b[c]\\n````')", ">15</text>"),
}
AROUND = {"alone": "{}", "in a list": "- item 8\n\n{}", "in a box": '!!! note "a"\n\n{}'}


@pytest.mark.parametrize("kind", PRINTED)
@pytest.mark.parametrize("around", AROUND)
def test_what_a_fence_shows_is_not_on_the_blank_page(
    render: Callable[[str], Rendered], kind: str, around: str
) -> None:
    """Whatever it prints and wherever it stands; what is typed before and after it is."""
    code, expected = PRINTED[kind]
    ran = fence(f"y = 16\n{code}", 'exec="on" source="above"')
    indent = "" if around == "alone" else "    "
    text = AROUND[around].format("".join(f"{indent}{line}\n" for line in ran.splitlines()))
    page = render(f"Before 1 is\n\n{text}\nafter 2.\n")

    assert expected in page.html
    assert ">16<" in page.html
    assert "<p></p>" not in page.html.replace("\n", "")
    assert page.typed == ["1", *(["8"] if around == "in a list" else []), "2"]


def test_a_printed_title_is_the_title(render: Callable[[str], Rendered]) -> None:
    """MkDocs looks at the very first element."""
    assert render(fence("print('# Title 15')")).title == "Title 15"


def test_only_a_builder_that_asks_gets_blank_pages(render: Callable[..., Rendered]) -> None:
    """All others write nothing, and give readers the same."""
    text = f"# Page\n\n{START}\nIt is `{{python}} x`.\n"

    assert render(text, asked=False).html == render(text).html


FOREIGN = {
    "typed": "text \U000f0031",
    "in code": fence("x = '\U000f0031'"),
    "printed": fence("print(chr(0xF0031))"),
    "a value": "`{python} chr(0xF0031)`",
}


@pytest.mark.parametrize("where", FOREIGN)
def test_no_page_holds_a_mark_of_its_own(project: Project, where: str) -> None:
    """Else it would become something else."""
    with pytest.raises(LessonError, match=r"^docs/index\.md:[34]: \w+: .*private character"):
        project.run(f"# Page\n\n{FOREIGN[where]}")


@pytest.mark.parametrize("name", ["index.html", "search/index.json", "index.md", "sitemap.xml", "llms.txt"])
def test_a_mark_that_is_left_fails_the_build(tmp_path: Path, name: str) -> None:
    """In any file with words."""
    (tmp_path / "docs").mkdir()
    path = tmp_path / "site" / name
    path.parent.mkdir(parents=True)
    for text, count in (("7", 0), (mark("7"), 1)):
        path.write_text(json.dumps({"text": text}, ensure_ascii=False), "utf-8")
        errors = check(tmp_path / "site", tmp_path / "blank", tmp_path / "docs")[1]
        assert [error.kind for error in errors] == ["MarkError"] * count
