"""From a heading of a published page to the line of its source, where an address of the sources is given."""

import re
import subprocess
from html import escape
from pathlib import Path

from qkvdocs.engine.pages import fences

HEADING = re.compile(r'(<h[23]\b[^>]*\bid="([^"]+)"[^>]*>(?:(?!</h[23]>).)*)(?=</h[23]>)', re.S)
NAMED = re.compile(r"#{2,3}\s.*\{[^}]*#([\w-]+)[^}]*\}\s*$")


def view(edit: str, root: Path) -> str:
    """Say where sources are read, from where they are edited: of the commit that was built, since lines move.

    Args:
        edit: As in `EDIT_URI`, `https://…/edit/main/docs/`.
        root: A folder of the repository; outside of one, the branch is named.

    Returns:
        An address to which a page's path is added; empty if `edit` has another form.

    Examples:
        >>> view("https://example.org/x/edit/main/docs/", Path("/"))
        'https://example.org/x/blob/main/docs/'
        >>> view("", Path("/"))
        ''
    """
    found = re.fullmatch(r"(https?://.+)/edit/([^/]+)/(.*)", edit)
    if not found:
        return ""
    words = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    return f"{found[1]}/blob/{done.stdout.strip() if not done.returncode else found[2]}/{found[3]}"


def sourced(html: str, text: str, address: str) -> str:
    r"""Add to each heading that is named in the source a link to its line.

    Args:
        html: The page.
        text: Its source.
        address: Where that is read.

    Returns:
        The page.

    Examples:
        >>> sourced('<h2 id="a">A</h2>', "# Page\n\n## A {#a}", "https://example.org/page.md")
        '<h2 id="a">A<a class="its-lines" href="https://example.org/page.md?plain=1#L3">Source of this section</a></h2>'
    """
    code = {at for fence in fences(text) for at in fence.lines}
    places = {
        found[1]: at
        for at, line in enumerate(text.split("\n"), 1)
        if at - 1 not in code and (found := NAMED.match(line))
    }

    def lead(found: re.Match[str]) -> str:
        line = places.get(found[2])
        link = f'<a class="its-lines" href="{escape(address)}?plain=1#L{line}">Source of this section</a>'
        return f"{found[1]}{link}" if line else found[1]

    return HEADING.sub(lead, html)
