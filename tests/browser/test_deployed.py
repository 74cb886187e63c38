"""The site works below any address, and says its own where it is told one."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from qkvdocs.engine.pages._site import date_of
from tests.browser.conftest import serve
from tests.conftest import ADDRESS, EDIT
from tests.project import ROOT

SECTION = re.compile(r'<h[23][^>]*\bid="([\w-]+)"(?:(?!</h[23]>).)*<a class="its-lines" href="([^"]+)"')
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]*)">')
BUTTON = re.compile(r'<a href="([^"]*)" title="Edit this page"')


@pytest.fixture
def deployed(grown: Path) -> Path:
    """The site as the workflow builds it, in the folder below which it will be."""
    return grown / "host" / "qkvdocs"


def pages(site: Path) -> Iterator[tuple[str, str]]:
    """Give each page's address below the site's, and its text."""
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":
            yield path.relative_to(site).as_posix().removesuffix("index.html"), path.read_text("utf-8")


def test_each_page_says_its_address(deployed: Path) -> None:
    """In its head, and in the list for search engines."""
    found = {name: CANONICAL.findall(text) for name, text in pages(deployed)}
    assert len(found) > 50
    assert found == {name: [ADDRESS + name] for name in found}
    listed = re.findall("<loc>(.*?)</loc>", (deployed / "sitemap.xml").read_text("utf-8"))
    assert set(listed) == {ADDRESS + name for name in found}


def test_the_list_is_dated_by_the_last_commit(deployed: Path) -> None:
    """Not by the day of the build."""
    dates = re.findall("<lastmod>(.*?)</lastmod>", (deployed / "sitemap.xml").read_text("utf-8"))
    committed = datetime.fromtimestamp(int(date_of(ROOT)), UTC)
    assert len(dates) > 50
    assert set(dates) == {f"{committed:%Y-%m-%d}"}


def test_each_page_leads_to_its_source(deployed: Path) -> None:
    """One button a page, to a file that there is."""
    for name, text in pages(deployed):
        (href,) = BUTTON.findall(text)
        assert href.startswith(EDIT), name
        assert (deployed.parents[1] / "docs" / href.removeprefix(EDIT)).is_file(), name


def test_each_section_leads_to_its_lines(deployed: Path) -> None:
    """Of the commit that was built: there stands the heading, with the name by which the page calls it."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    start = EDIT.replace("/edit/main/", f"/blob/{commit.strip()}/")
    led = 0
    for name, text in pages(deployed):
        for anchor, href in SECTION.findall(text):
            path, line = href.removeprefix(start).split("?plain=1#L")
            source = (deployed.parents[1] / "docs" / path).read_text("utf-8").split("\n")
            assert f"#{anchor}" in source[int(line) - 1], (name, href)
            led += 1
    assert led > 300


def test_a_local_build_knows_no_address(site: Path) -> None:
    """Neither the site's nor a code host's."""
    assert not [
        name
        for name, text in pages(site)
        if CANONICAL.search(text) or BUTTON.search(text) or 'class="its-lines"' in text
    ]


def test_it_works_below_a_path(browser: Browser, deployed: Path) -> None:
    """Nothing is missing and nothing asked elsewhere: on a page, after a click, and at a wrong address."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    with serve(deployed.parent) as host:
        page.goto(f"{host}qkvdocs/")
        page.locator(".tabs").get_by_role("link", name="Lessons").click()
        expect(page.locator("h1")).to_contain_text("exam hall")
        assert page.url.startswith(f"{host}qkvdocs/lessons/")
        wrong = f"{host}qkvdocs/no/such/page/"
        page.goto(wrong)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("getComputedStyle(document.querySelector('.top')).position") == "sticky"
        assert failed == [wrong]
        assert not [url for url in asked if not url.startswith((f"{host}qkvdocs/", "data:"))]
