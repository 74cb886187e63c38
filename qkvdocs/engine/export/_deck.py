"""The questions of a site as a deck for Anki, with pictures of its figures."""

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from html import escape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import genanki
from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.engine.export._book import address
from qkvdocs.engine.export._questions import Question
from qkvdocs.engine.export._zip import put

CLEAR = "selector => document.querySelectorAll(selector).forEach(part => part.remove())"
FIELDS = ("Question", "Answer", "Picture", "From")
CSS = """
.card { font: 18px/1.45 sans-serif; margin: auto; max-width: 40em; text-align: left; }
.from { color: #777; font-size: 14px; }
pre { background: rgba(127, 127, 127, 0.12); font-size: 14px; padding: 0.6em; white-space: pre-wrap; }
.filename { display: block; font-size: 14px; font-weight: bold; }
table { border-collapse: collapse; } td, th { border: 1px solid #999; padding: 0.2em 0.6em; }
img { background: #fff; max-width: 100%; }
"""


def photographs(
    browser: Browser, site: Path, asked: Sequence[Question], controls: Sequence[str]
) -> dict[str, bytes]:
    """Photograph the figures that belong to questions.

    Args:
        browser: Chromium.
        site: The built folder, as it opens without a server.
        asked: The questions.
        controls: CSS selectors of what only a browser can use.

    Returns:
        PNG files by name.
    """
    left_out = ", ".join(("figure details", *controls))
    taken = {}
    page = browser.new_page(
        java_script_enabled=False, viewport={"width": 760, "height": 900}, device_scale_factor=2
    )
    for name, of_page in itertools.groupby(asked, key=lambda question: question.page):
        wanted = {question.picture: question.figure for question in of_page if question.figure is not None}
        if wanted:
            page.goto((site / name).as_uri())
            page.evaluate(CLEAR, left_out)
        for file, at in wanted.items():
            image = Image.open(BytesIO(page.locator("article figure").nth(at).screenshot()))
            small = BytesIO()
            image.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
            taken[file] = small.getvalue()
    page.close()
    return taken


def deck(
    file: Path, name: str, asked: Sequence[Question], taken: Mapping[str, bytes], moment: int, base: str = ""
) -> None:
    """Write a deck that Anki imports; a later one of the same name brings its cards up to date.

    Args:
        file: The `.apkg` file.
        name: Of the deck.
        asked: The questions.
        taken: Their pictures.
        moment: When the site was last changed, in seconds; the same bytes for the same moment and questions.
        base: The site's address, if known.
    """
    model = genanki.Model(
        _number(f"{name}: question and answer"),
        f"{name}: question and answer",
        fields=[{"name": field} for field in FIELDS],
        templates=[
            {
                "name": "Card",
                "qfmt": '<p class="from">{{From}}</p>{{Question}}',
                "afmt": "{{FrontSide}}<hr id=answer>{{Answer}}{{Picture}}",
            }
        ],
        css=CSS,
    )
    made = genanki.Deck(_number(name), name)
    for question in asked:
        image = f'<img src="{question.picture}">' if question.picture in taken else ""
        link = address("", question.page, (), base)
        title = escape(question.title)
        where = f'<a href="{link}#{question.anchor}">{title}</a>' if link else title
        fields = [question.asked, question.answer, image, f"{where} · {question.kind}"]
        made.add_note(genanki.Note(model, fields, guid=genanki.guid_for(question.key), tags=[question.kind]))
    with TemporaryDirectory() as folder:
        stored = Path(folder) / "collection.anki2"
        with closing(sqlite3.connect(stored)) as connection:
            genanki.Package(made).write_to_db(connection.cursor(), moment, itertools.count(moment * 1000))
            connection.commit()
        names = {str(at): picture for at, picture in enumerate(sorted(taken))}
        with ZipFile(file, "w") as packed:
            put(packed, "collection.anki2", stored.read_bytes())
            put(packed, "media", json.dumps(names).encode())
            for at, picture in names.items():
                put(packed, at, taken[picture])


def _number(name: str) -> int:
    """Make the number by which Anki knows a deck or a kind of note: the same in every build."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) | 1 << 30
