"""Every question with its answer: read off built pages, as a deck for Anki, as a sheet."""

import json
import re
import sqlite3
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.engine.export._deck import deck, photographs
from qkvdocs.engine.export._questions import Question, questions
from qkvdocs.engine.export._sheet import sheet

ADDRESS = "https://example.org/docs/"
PAGE = """<!doctype html><html><head><link rel="stylesheet" href="../../assets/one.css"></head><body><article>
<h1 id="t">Lengths<a class="headerlink" href="#t">¶</a></h1>
<h2 id="see">See it</h2><p>Look.</p><div><figure><svg width="40" height="20">
<rect width="40" height="20" fill="red"/></svg>
<details><summary>In words</summary></details></figure></div>
<h2 id="other">Another</h2><figure><svg width="40" height="20"><rect width="40" height="20" fill="blue"/></svg></figure>
<h2 id="recall">Pause and recall</h2><p>Answer aloud.</p>
<details class="question"><summary>How long is <code>q</code>?</summary><p id="v">It is 4.2426.</p></details>
<h2 id="interview">Interview</h2><p>Each has a good answer.</p>
<h3 id="interview-long">Why long?<a class="headerlink" href="#interview-long">¶</a></h3>
<p>See <a href="#other">there</a> and <a href="../two/#part">the next lesson</a>, <a href="https://example.org/x">source</a>.</p>
<pre><code>print(1 &lt; 2)</code></pre>
<h3 id="interview-short">Why short?</h3><details class="question"><summary>Unfold</summary><p>Because.</p></details>
<h2 id="bridge">Bridge</h2><p>Not an answer.</p>
</article></body></html>"""
ALONE = """<html><head></head><body><article><h1>Heads</h1><h2 id="worked">By hand</h2>
<figure><svg width="9" height="9"><rect width="9" height="9"/></svg></figure>
<h2 id="interview">Interview question</h2><h3 id="interview-one">Only one?</h3><p>Yes.</p></article></body></html>"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A site of three pages, one of them without questions."""
    none = "<html><body><article><h1>Nothing</h1><p>Text.</p></article></body></html>"
    for name, html in {"concepts/heads": ALONE, "lessons/one": PAGE, "lessons/two": none}.items():
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "index.html").write_text(html, "utf-8")
    return tmp_path / "site"


def test_questions_come_with_their_answers_lessons_first(built: Path) -> None:
    """A fold of the one section, a heading of the other; the answer ends where the next begins."""
    found = questions(built)
    assert [(one.title, one.kind, one.anchor, one.asked) for one in found] == [
        ("Lengths", "recall", "recall", "How long is <code>q</code>?"),
        ("Lengths", "interview", "interview-long", "Why long?"),
        ("Lengths", "interview", "interview-short", "Why short?"),
        ("Heads", "interview", "interview-one", "Only one?"),
    ]
    assert found[0].answer == "<p>It is 4.2426.</p>"
    assert "print(1 &lt; 2)" in found[1].answer
    assert found[2].answer == "<p>Because.</p>"


def test_links_lead_back_to_the_site_where_its_address_is_known(built: Path) -> None:
    """Else they are words; those to other hosts stay."""
    known, unknown = (questions(built, base)[1].answer for base in (ADDRESS, ""))
    assert re.findall('href="([^"]*)"', known) == [
        f"{ADDRESS}lessons/one/#other",
        f"{ADDRESS}lessons/two/#part",
        "https://example.org/x",
    ]
    assert re.findall('href="([^"]*)"', unknown) == ["https://example.org/x"]
    assert "See there and the next lesson" in unknown


def test_a_figure_belongs_to_the_answer_that_leads_to_it_or_to_the_only_question(built: Path) -> None:
    """The second figure of the lesson, and the first of the page with one question."""
    assert [one.picture for one in questions(built)] == ["", "lessons-one-1.png", "", "concepts-heads-0.png"]


def opened(file: Path) -> tuple[list[tuple[str, list[str]]], dict[str, str], ZipFile]:
    """Read a deck as Anki would: identity and fields of each note, names of pictures, and the zip."""
    packed = ZipFile(BytesIO(file.read_bytes()))
    stored = file.with_suffix(".db")
    stored.write_bytes(packed.read("collection.anki2"))
    base = sqlite3.connect(stored)
    notes = [
        (guid, fields.split("\x1f"))
        for guid, fields in base.execute("select guid, flds from notes order by id")
    ]
    cards = base.execute("select count(*), count(distinct nid) from cards").fetchone()
    assert cards == (len(notes), len(notes))
    base.close()
    return notes, json.loads(packed.read("media")), packed


def test_a_deck_holds_a_card_for_each_question(built: Path, tmp_path: Path) -> None:
    """Question, answer with the page's number, picture, and where it is from."""
    taken = {"lessons-one-1.png": b"one", "concepts-heads-0.png": b"two"}
    deck(tmp_path / "a.apkg", "Lengths", questions(built, ADDRESS), taken, 1_700_000_000, ADDRESS)
    notes, media, packed = opened(tmp_path / "a.apkg")
    assert [fields[0] for _, fields in notes] == [
        "How long is <code>q</code>?",
        "Why long?",
        "Why short?",
        "Only one?",
    ]
    assert notes[0][1][1:] == [
        "<p>It is 4.2426.</p>",
        "",
        f'<a href="{ADDRESS}lessons/one/#recall">Lengths</a> · recall',
    ]
    assert notes[1][1][2] == '<img src="lessons-one-1.png">'
    assert {name: packed.read(at) for at, name in media.items()} == taken


def test_a_deck_is_the_same_bytes_and_a_changed_answer_the_same_card(built: Path, tmp_path: Path) -> None:
    """So a learner's progress survives the next build, and only a new question is a new card."""
    asked = questions(built)
    first, again, changed = (tmp_path / f"{name}.apkg" for name in ("first", "again", "changed"))
    for file in (first, again):
        deck(file, "Lengths", asked, {}, 1_700_000_000)
    assert first.read_bytes() == again.read_bytes()
    page = built / "lessons/one/index.html"
    page.write_text(
        page.read_text("utf-8").replace("4.2426", "5").replace("Why short?", "Why so short?"), "utf-8"
    )
    deck(changed, "Lengths", questions(built), {}, 1_700_000_001)
    before, after = opened(first)[0], opened(changed)[0]
    assert [guid for guid, _ in before] == [guid for guid, _ in after]
    assert len({guid for guid, _ in before}) == len(before)
    assert "5" in after[0][1][1]
    assert "Why so short?" in after[2][1][0]


def test_a_sheet_asks_everything_before_it_answers(built: Path) -> None:
    """Numbers lead from one to the other, and style sheets are those of a page."""
    html = sheet(built, "Lengths & more", questions(built), ["As of today."])
    front, back = html.split("<h1>Answers</h1>")
    assert "<title>Lengths &amp; more</title>" in html
    assert 'href="assets/one.css"' in front
    for number, question in enumerate(questions(built), 1):
        assert f'<li value="{number}">{question.asked}</li>' in front
        assert f"<h3>{number}. {question.asked}</h3>{question.answer}" in back
        assert question.answer not in front
    assert "As of today." in back


def test_figures_are_photographed(built: Path, browser: Browser) -> None:
    """The right ones: the lesson's second is blue."""
    taken = photographs(browser, built, questions(built), [".bar"])
    assert sorted(taken) == ["concepts-heads-0.png", "lessons-one-1.png"]
    with Image.open(BytesIO(taken["lessons-one-1.png"])) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors() or []}
    assert (0, 0, 255) in colours
    assert (255, 0, 0) not in colours


def test_every_question_of_the_site_is_found(site: Path) -> None:
    """Counted in the pages' own text, with another parser than the deck is made with."""
    count = 0
    for page in site.rglob("index.html"):
        html = page.read_text("utf-8")
        for anchor, mark in {"recall": '<details class="question">', "interview": "<h3 "}.items():
            section = re.search(rf'<h2 [^>]*id="{anchor}".*?(?=<h2 |</article>)', html, re.S)
            count += section[0].count(mark) if section else 0
    found: list[Question] = questions(site)
    assert len(found) == count > 50
    assert len({one.key for one in found}) == count
    assert all(one.answer for one in found)
