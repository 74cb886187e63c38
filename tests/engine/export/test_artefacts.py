"""What is handed out beside the site, made once for all tests here."""

import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import IndirectObject

from qkvdocs.__main__ import main
from qkvdocs.engine.export._artefacts import artefacts
from qkvdocs.engine.export._questions import questions
from qkvdocs.engine.export._zip import pack
from tests.project import ROOT

ADDRESS = "https://example.org/docs/"
LESSONS = sorted(path.stem for path in (ROOT / "docs" / "lessons").glob("*.md"))
CONTROLS = (
    "button, input, select, .qkv-bar, .qkv-hint, .lesson-files, .headerlink, header, .md-sidebar, .md-footer"
)


@pytest.fixture(scope="module")
def made(browser: Browser, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make everything for a site whose address is known; the folder `site` is the one with pictures."""
    folder = tmp_path_factory.mktemp("handed out")
    copy = shutil.copytree(site, folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SITE_URL", ADDRESS)
        artefacts(browser, copy, folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def pdf(made: Path) -> PdfReader:
    """Read the PDF."""
    return PdfReader(made / "qkvdocs-lessons.pdf")


@pytest.fixture(scope="module")
def texts(pdf: PdfReader) -> list[str]:
    """Its words, page by page; some fonts of a machine draw two letters as one sign."""
    joined = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"})
    return [page.extract_text().translate(joined) for page in pdf.pages]


@pytest.fixture(scope="module")
def printed(texts: list[str]) -> str:
    """All its words without white space, which a PDF does not keep, and without the foot that may part a sentence."""
    return re.sub(r"\s", "", "".join(re.sub(r"qkvdocs\s*\d+\s*$", "", text) for text in texts))


def test_the_pdf_has_every_lesson_in_order(pdf: PdfReader) -> None:
    """As bookmarks that lead to pages, after a title and the contents."""
    tops = [entry for entry in pdf.outline if not isinstance(entry, list)]
    titles = [(ROOT / "docs" / "lessons" / f"{name}.md").read_text("utf-8") for name in LESSONS]
    expected = [re.search(r"^# (.+?)(?: \{.*)?$", text, re.M)[1] for text in titles]  # type: ignore[index]
    found = [str(entry.title) for entry in tops]
    assert [title for title in found if title in expected] == expected
    pages = [pdf.get_destination_page_number(entry) for entry in tops]
    assert pages == sorted(pages)
    assert pages[-1] > 20


def test_the_pdf_has_every_sum_and_every_answer(printed: str, site: Path) -> None:
    """Paper cannot be pointed at or unfolded."""
    for name in LESSONS:
        html = (site / "lessons" / name / "index.html").read_text("utf-8")
        for sums in re.findall(r'<ul class="qkv-sums">(.*?)</ul>', html, re.S):
            for said in re.findall(r"<li>([^<]*)</li>", sums):
                assert re.sub(r"\s", "", said) in printed, f"{name}: {said}"
    assert "q2_0=1·1+0·0+2·1+1·0=3" in printed
    page = (ROOT / "docs/lessons/04-qkv-projections.md").read_text("utf-8")
    folded = [
        line for box in re.findall(r"^\?\?\?.*\n\n((?:    .*\n)+)", page, re.M) for line in box.split("\n")
    ]
    plain = [line.strip() for line in folded if re.fullmatch(r"    [\w ,.;:’]+", line)]
    assert len(plain) > 3
    assert [line for line in plain if re.sub(r"\s", "", line) not in printed] == []


def test_the_pdf_has_no_control_and_its_links_lead_out_or_within(pdf: PdfReader, printed: str) -> None:
    """No word of a button, no address of the machine that made it."""
    assert "Pointatanentryofk2" not in printed
    assert "Takeitalong" not in printed
    addresses, inside = [], 0
    for page in pdf.pages:
        for note in page.get("/Annots") or []:
            note = note.get_object() if isinstance(note, IndirectObject) else note
            action = note.get("/A", {})
            inside += "/URI" not in action
            addresses += [str(action["/URI"])] if "/URI" in action else []
    assert inside > 50
    assert all(address.startswith("https://") for address in addresses)
    assert any(address.startswith(f"{ADDRESS}concepts/") for address in addresses)


def test_the_pdf_says_where_it_is_from_and_numbers_its_pages(texts: list[str]) -> None:
    """The site's address and the date of the last commit; a number at each page's foot."""
    assert re.search(rf"{ADDRESS}, as of 20\d\d-\d\d-\d\d\.", texts[0])
    for number, text in enumerate(texts, 1):
        assert re.search(rf"\b{number}\b", text), number


def test_the_sheet_and_the_deck_ask_every_question(made: Path, site: Path) -> None:
    """On paper first all questions, in their order, then the answers; in the deck one card each."""
    sheet = PdfReader(made / "qkvdocs-questions.pdf")
    text = re.sub(r"\s|qkvdocs\d+(?=\s)", "", "".join(page.extract_text() for page in sheet.pages))
    asked = questions(site)
    at = 0
    for question in asked:
        words = [
            word
            for word in re.findall(r"[A-Za-z]{4,}", re.sub("<[^>]*>", " ", question.asked))
            if "f" not in word
        ]
        for word in words:
            at = text.index(word, at)
    assert "Answers" in text[at:]
    with zipfile.ZipFile(made / "qkvdocs-questions.apkg") as packed:
        names = packed.namelist()
    assert len(names) > 7
    assert names[:2] == ["collection.anki2", "media"]


def test_a_page_that_is_printed_shows_no_control(browser: Browser, site: Path) -> None:
    """The reader's own print: nothing to press, and all unfolded but the answers to what is to be solved on paper."""
    page = browser.new_page()
    page.goto((site / "lessons" / "04-qkv-projections" / "index.html").as_uri())
    page.emulate_media(media="print")
    seen = "parts => parts.filter(part => part.checkVisibility()).map(part => part.outerHTML.slice(0, 90))"
    assert page.locator(f":is({CONTROLS}):not(.qkv-m input)").evaluate_all(seen) == []
    assert len(page.locator("details").evaluate_all(seen)) > 10
    hidden = "parts => parts.filter(part => !part.checkVisibility({contentVisibilityAuto: true})).length"
    assert page.locator("details:not(qkv-practice details) > :not(summary)").evaluate_all(hidden) == 0
    page.close()


def test_each_page_has_a_picture_that_its_head_names(made: Path, site: Path) -> None:
    """Of the size that previews have, light enough for them, each its own."""
    pictures = sorted((made / "site" / "assets" / "previews").glob("*.png"))
    pages = [path for path in (made / "site").rglob("*.html") if path.name != "404.html"]
    assert len(pictures) == len(pages)
    assert len({path.read_bytes() for path in pictures}) == len(pictures)
    for picture in pictures:
        assert picture.stat().st_size < 60_000, picture
        with Image.open(picture) as image:
            assert image.size == (1200, 630)
            assert len(image.convert("RGB").getcolors() or []) > 8
    for page in pages:
        found = re.findall(r'<meta property="og:image" content="([^"]+)">', page.read_text("utf-8"))
        assert len(found) == 1
        assert (made / "site" / found[0].removeprefix(ADDRESS)).is_file()
    assert "og:image" not in (site / "index.html").read_text("utf-8")


def test_the_zips_hold_the_site_and_the_folder(made: Path) -> None:
    """All files, pictures included; and the copy that opens without a server, in a folder of its own."""
    files = {
        path.relative_to(made / "site").as_posix() for path in (made / "site").rglob("*") if path.is_file()
    }
    with zipfile.ZipFile(made / "qkvdocs-site.zip") as packed:
        assert set(packed.namelist()) == files
        assert packed.testzip() is None
    with zipfile.ZipFile(made / "qkvdocs-offline.zip") as packed:
        names = packed.namelist()
    assert {"qkvdocs/index.html", "qkvdocs/search/index.js"} <= set(names)
    assert not [name for name in names if name == "qkvdocs/engine/pages.html" or "previews" in name]


def test_a_zip_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    """Whenever the files were written."""
    for name in ("one", "two"):
        for file in ("b.txt", "a.txt") if name == "one" else ("a.txt", "b.txt"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(file)
    os.utime(tmp_path / "one" / "a.txt", (1e9, 1e9))
    pack(tmp_path / "one", tmp_path / "one.zip")
    pack(tmp_path / "two", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert zipfile.ZipFile(io.BytesIO((tmp_path / "one.zip").read_bytes())).namelist() == ["a.txt", "b.txt"]


def test_without_a_browser_it_says_so(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 1, nothing half made."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("QKVDOCS_CHROMIUM", raising=False)
    assert main(["artefacts", str(site), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("no Chromium found: install")
    assert not (tmp_path / "out").exists()
