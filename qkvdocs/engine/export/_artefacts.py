"""What is handed out beside the site: lessons and questions as PDF, a deck for Anki, preview pictures, and zips."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mkdocs.utils.yaml import yaml_load
from playwright.sync_api import Browser

from qkvdocs.engine.export._book import book
from qkvdocs.engine.export._browser import chromium
from qkvdocs.engine.export._deck import deck, photographs
from qkvdocs.engine.export._offline import offline
from qkvdocs.engine.export._pictures import FOLDER as PREVIEWS
from qkvdocs.engine.export._pictures import pictures
from qkvdocs.engine.export._questions import questions
from qkvdocs.engine.export._sheet import sheet
from qkvdocs.engine.export._zip import pack
from qkvdocs.engine.pages import date_of
from qkvdocs.engine.settings import Settings

FOOTER = (
    '<div style="color:#666;display:flex;font-family:serif;font-size:8pt;justify-content:space-between;'
    'margin:0 18mm;width:100%"><span>{}</span><span class="pageNumber"></span></div>'
)


def artefacts(browser: Browser, site: Path, folder: Path, root: Path) -> None:
    """Make them all.

    Args:
        browser: Chromium.
        site: The built folder; its pages get their pictures.
        folder: Where to put the rest.
        root: The folder that holds `mkdocs.yml`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = os.environ.get("SITE_URL", "")
    with (root / "mkdocs.yml").open(encoding="utf-8") as file:
        settings: dict[str, Any] = yaml_load(file)
    parts = Settings.of(root / "docs")
    copy, zips = folder / "qkvdocs", (folder / "qkvdocs-site.zip", folder / "qkvdocs-offline.zip")
    say("the site for a folder …")
    offline(site, copy)
    say("all lessons as one PDF …")
    write_pdf(
        browser, write_book(copy, settings, parts, root, base), folder / "qkvdocs-lessons.pdf", settings
    )
    if asked := questions(site, base):
        say("all questions as a deck and as a sheet …")
        title = parts.book or settings["site_name"]
        taken = photographs(browser, copy, asked, parts.controls)
        deck(folder / "qkvdocs-questions.apkg", title, asked, taken, int(date_of(root)), base)
        made = copy / "questions.html"
        made.write_text(sheet(copy, title, asked, colophon(settings, root, base)), "utf-8")
        write_pdf(browser, made, folder / "qkvdocs-questions.pdf", settings)
    say("preview pictures …")
    say(f"  {pictures(browser, site, settings, parts, base)} in {site / PREVIEWS}")
    say("zips …")
    pack(site, zips[0])
    pack(copy, zips[1], copy.name)
    for path in sorted(folder.glob("qkvdocs-*.*")):
        say(f"  {path} {path.stat().st_size / 1e6:.1f} MB")


def say(line: str) -> None:
    """Show how far it is."""
    print(line, flush=True)  # noqa: T201


def write_pdf(browser: Browser, made: Path, file: Path, settings: dict[str, Any]) -> None:
    """Print a page that for that time lies in the folder whose style sheets it uses."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(made.as_uri())
    page.emulate_media(media="print", color_scheme="light")
    page.pdf(
        path=str(file),
        prefer_css_page_size=True,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER.format(settings["site_name"]),
        outline=True,
        tagged=True,
    )
    page.close()
    made.unlink()


def write_book(site: Path, settings: dict[str, Any], parts: Settings, root: Path, base: str) -> Path:
    """Put the page with all lessons into the folder whose style sheets it uses."""
    lessons = [path.relative_to(site).as_posix() for path in sorted(site.glob("lessons/*/index.html"))]
    path = site / "lessons.html"
    title, foot = parts.book or settings["site_name"], colophon(settings, root, base)
    text = book(site, lessons, title, settings["site_description"], foot, base, parts.drawings)
    path.write_text(text, "utf-8")
    return path


def colophon(settings: dict[str, Any], root: Path, base: str) -> list[str]:
    """Say where a print is from, and of which day."""
    day = datetime.fromtimestamp(int(date_of(root)), UTC).date().isoformat()
    return [f"{base or 'Made from the repository'}, as of {day}.", str(settings.get("copyright", ""))]


def main(arguments: list[str]) -> int:
    """Run it as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs artefacts", description=__doc__)
    parser.add_argument("site", type=Path, nargs="?", default=Path("site"), help="the built folder")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("artefacts"), help="where to put them")
    given = parser.parse_args(arguments)
    if not (given.site / "index.html").is_file():
        parser.error(f"site must be a built folder, got {given.site}: build it first")
    with chromium() as browser:
        artefacts(browser, given.site.absolute(), given.folder.absolute(), Path.cwd())
    return 0
