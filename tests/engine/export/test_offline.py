"""The copy of the site that opens from a folder."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from qkvdocs.engine.export._offline import main, offline


@pytest.fixture(scope="module")
def folder(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the copy, in a folder whose name needs care."""
    folder = tmp_path_factory.mktemp("a folder") / "site-offline"
    offline(site, folder)
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of the browser that hears every request to elsewhere and every complaint."""
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    heard: list[str] = []
    page.on("console", lambda said: said.type == "error" and heard.append(said.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on(
        "request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or heard.append(asked.url)
    )
    yield page
    page.close()
    assert not heard


def test_search_finds_and_leads_there(page: Page, folder: Path) -> None:
    """Words are typed on the home page, and what is found opens."""
    page.goto((folder / "index.html").as_uri())
    page.locator(".find input").fill("parallel graders")
    page.wait_for_selector(".found a")
    links = [link.get_attribute("href") or "" for link in page.locator(".found a").all()]
    assert any("04-qkv-projections/index.html" in link for link in links)
    page.goto(next(link for link in links if "04-qkv-projections" in link))
    assert "Q, K and V projections" in page.title()


def test_a_figure_follows_an_edit_and_formulas_have_their_font(page: Page, folder: Path) -> None:
    """As on the published page, and the address has the numbers."""
    page.goto((folder / "lessons" / "04-qkv-projections" / "index.html").as_uri())
    out = page.locator("#live-query .out td b")
    expect(out.first).to_have_text("3")
    page.locator("#live-query input").first.fill("5")
    page.locator("#live-query input").first.press("Tab")
    expect(out.first).to_have_text("7")
    page.wait_for_function("location.search.includes('my-')")
    page.goto(page.url)
    expect(out.first).to_have_text("7")
    page.evaluate("document.fonts.ready")
    assert "qkvdocs Maths" in page.evaluate(
        "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)"
    )


def test_modules_run(page: Page, folder: Path) -> None:
    """The tables of the atlas sort, and the page that opens a checkpoint shows its form."""
    page.goto((folder / "wild" / "atlas" / "index.html").as_uri())
    page.wait_for_selector("th button")
    page.goto((folder / "wild" / "open" / "index.html").as_uri())
    page.wait_for_selector("#wild-open .wild-found canvas:visible")
    page.locator("input[name=files]").set_input_files(str(folder / "index.html"))
    page.get_by_text("needs a server. The command reads the same files").wait_for()


def test_nothing_is_offered_that_needs_a_server(page: Page, folder: Path) -> None:
    """No button to run Python, and no runtime carried along for nothing."""
    assert not (folder / "runtime").exists()
    assert not [file for file in folder.rglob("*.html") if "<qkv-run" in file.read_text("utf-8")]
    page.goto((folder / "lessons" / "04-qkv-projections" / "index.html").as_uri())
    assert page.locator("qkv-run").count() == 0


def test_no_link_leads_to_a_folder(folder: Path) -> None:
    """A browser would list its files."""
    links = 0
    for file in folder.rglob("*.html"):
        for link in re.findall(r' (?:href|src)="([^":#?]+)(?=["#?])', file.read_text("utf-8")):
            if file.name != "404.html":
                assert (file.parent / link).is_file(), f"{file}: {link}"
                links += 1
    assert links > 1000


def test_the_published_site_does_need_a_server(site: Path) -> None:
    """Otherwise the check above would say nothing."""
    assert re.search(r'href="[^":]+/"', (site / "index.html").read_text("utf-8"))


def test_a_folder_that_is_no_site_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is written."""
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), str(tmp_path / "copy")])
    assert "site must be a built folder" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
