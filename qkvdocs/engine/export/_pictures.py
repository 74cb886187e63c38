"""A preview picture of each page, for those who share a link: its title, and numbers that the page computed."""

import base64
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from posixpath import dirname
from typing import Any

from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.engine.export._pages import Built, listed, pages
from qkvdocs.engine.settings import Settings
from qkvdocs.engine.typeset import subset

FOLDER = "assets/previews"
SIZE = {"width": 1200, "height": 630}
META = re.compile(r'<meta (?:property="og:|name="twitter:)[^>]*>')


def pictures(browser: Browser, site: Path, settings: dict[str, Any], parts: Settings, base: str) -> int:
    """Draw a picture of each page and, where the site's address is known, name it in the page.

    Args:
        browser: Chromium.
        site: The built folder.
        settings: Those of the builder.
        parts: Those of the site.
        base: The site's address, or nothing.

    Returns:
        How many there are.
    """
    found, name = pages(site, parts), settings["site_name"]
    sections: dict[str, str] = {}
    for section, file in listed(settings.get("nav") or []):
        sections.setdefault(file.split("/")[0], section)
    template = files("qkvdocs.engine").joinpath("export", "assets", "preview.html").read_text("utf-8")
    letters = set("".join(page.title + page.summary for page in found.values()) + name + "0123456789.,-−…")
    font = base64.b64encode(subset({ord(letter) for letter in letters})).decode()
    (site / FOLDER).mkdir(parents=True, exist_ok=True)
    view = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    view.set_content(template.replace("FONT", font))
    view.evaluate("document.fonts.ready")
    for page in found.values():
        view.evaluate("fill", facts(page, name, sections, parts.previews))
        file = f"{FOLDER}/{(dirname(page.name) or 'home').replace('/', '-')}.png"
        # Few colours are in use: as a palette the file is a third of the size.
        Image.open(BytesIO(view.screenshot())).convert("RGB").quantize(64).save(site / file, optimize=True)
        if base:
            named(site / page.name, page, f"{base.rstrip('/')}/{file}", base)
    view.close()
    return len(found)


def facts(page: Built, name: str, sections: dict[str, str], tables: Sequence[str]) -> dict[str, Any]:
    """Gather what a picture says: words, and the page's first small result."""
    number = re.search(r"/(\d+)-", page.name)
    section = " · ".join(filter(None, (sections.get(page.name.split("/")[0]), number and number[1])))
    words = {"site": name, "section": section, "title": page.title, "summary": page.summary}
    article = BeautifulSoup(page.html, "html.parser") if tables else page.tree
    for table in article.select(", ".join(tables)) if tables else ():
        rows = [
            [str(cell.find(string=True) or "") for cell in row.find_all("td")] for row in table.find_all("tr")
        ]
        rows = [row for row in rows if row]
        if (
            rows
            and len(rows) <= 4
            and 2 <= len(rows[0]) <= 4
            and all(len(cell) <= 6 for row in rows for cell in row)
        ):
            return {**words, "rows": rows, "name": table.caption.decode_contents() if table.caption else ""}
    return {**words, "rows": [], "name": ""}


def named(path: Path, page: Built, picture: str, base: str) -> None:
    """Put the picture's address into a page, in place of an older one."""
    address = f"{base.rstrip('/')}/{page.name.removesuffix('index.html')}"
    said = {"og:type": "article", "og:title": page.title, "og:description": page.summary, "og:url": address}
    said |= {
        "og:image": picture,
        "og:image:width": str(SIZE["width"]),
        "og:image:height": str(SIZE["height"]),
    }
    tags = "".join(f'<meta property="{name}" content="{escape(text)}">' for name, text in said.items())
    tags += '<meta name="twitter:card" content="summary_large_image">'
    html = META.sub("", path.read_text("utf-8"))
    path.write_text(html.replace("</head>", f"{tags}</head>", 1), "utf-8")
