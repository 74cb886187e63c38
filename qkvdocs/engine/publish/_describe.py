"""What a search engine shows below a page's title: the page's own first sentences."""

import html
import re
from pathlib import Path

FIRST = re.compile(r"</h1>.*?<p\b[^>]*>(.*?)</p>", re.S)
META = re.compile(r'<meta name="description" content="[^"]*">')
LENGTH = 160
"""Characters; about as many are shown."""


def describe(site: Path) -> None:
    """Put each page's beginning into its head, in place of the site's own description.

    Args:
        site: A built folder, changed in place.
    """
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        found = FIRST.search(text)
        if found and (said := beginning(found[1])):
            meta = f'<meta name="description" content="{html.escape(said)}">'
            head = META.search(text)
            path.write_text(text.replace(head[0], meta, 1) if head else text, "utf-8")


def beginning(paragraph: str) -> str:
    """Take as many whole sentences as are shown.

    Args:
        paragraph: HTML.

    Returns:
        Plain text of at most `LENGTH` characters; a longer first sentence ends at a word, with an ellipsis.
    """
    plain = html.unescape(re.sub(r"<annotation.*?</annotation>|<[^>]+>", "", paragraph, flags=re.S))
    words = re.sub(r"\s+", " ", plain).strip()
    if len(words) <= LENGTH:
        return words
    ends = [found.start() + 1 for found in re.finditer(r"[.!?](?= )", words[: LENGTH + 1])]
    return words[: ends[-1]] if ends else f"{words[: LENGTH - 1].rsplit(' ', 1)[0]}…"
