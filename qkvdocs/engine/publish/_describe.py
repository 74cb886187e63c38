"""What a search engine shows below a page's title: the page's own first sentences."""

import html
import re

FIRST = re.compile(r"</h1>.*?<p\b[^>]*>(.*?)</p>", re.S)
META = re.compile(r'<meta name="description" content="[^"]*">')
LENGTH = 160
"""Characters; about as many are shown."""


def described(page: str) -> str:
    """Put a page's beginning into its head, in place of the site's own description."""
    found, head = FIRST.search(page), META.search(page)
    if not head or not found or not (said := beginning(found[1])):
        return page
    return page.replace(head[0], f'<meta name="description" content="{html.escape(said)}">', 1)


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
