"""What the search of a site knows: each section's words, without drawings, and formulas as they are typed."""

import functools
import re
from collections.abc import Sequence
from html import unescape

ARTICLE = re.compile(r'<(article)\b[^>]*>(.*)</\1>|<(\w+)\b[^>]*\brole="main"[^>]*>(.*)</\3>', re.S)
HEADING = re.compile(r'<h([1-3])\b(?:[^>]*?\bid="([^"]*)")?[^>]*>(.*?)</h\1>', re.S)
SILENT = re.compile(
    r'<(script|style|button)\b.*?</\1>|<a\b[^>]*\bclass="headerlink".*?</a>|<span class="doc doc-labels">.*?</span>',
    re.S,
)
INLINE = re.compile(r"</?(?:a|abbr|b|code|em|i|kbd|mark|small|span|strong|sub|sup|wbr)\b[^>]*>")


@functools.lru_cache(maxsize=512)
def sections(html: str, classes: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Cut a page into its sections.

    Args:
        html: A built page.
        classes: Of the elements that are not read.

    Returns:
        Anchor, title and words of each; what stands before the first heading with an anchor belongs to the page.

    Examples:
        >>> sections('<article><h1 id="a">A</h1><p>of <b>w</b>ords</p><h2 id="b">B</h2><ul><li>x<li>y</ul></article>')
        [('a', 'A', 'of words'), ('b', 'B', 'x y')]
    """
    found = ARTICLE.search(html)
    text = SILENT.sub("", prose(found[2] or found[4] or "", classes)) if found else ""
    parts = HEADING.split(text)
    made = [("", "", _words(parts[0]))] if _words(parts[0]) else []
    for at in range(1, len(parts), 4):
        made.append((parts[at + 1] or "", _words(parts[at + 2]), _words(parts[at + 3])))
    return made


def _words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", INLINE.sub("", html))).split())


def prose(html: str, classes: Sequence[str]) -> str:
    """Leave what a search should read: words, and short formulas as they are typed.

    Args:
        html: A page's content.
        classes: Of the elements that go.

    Examples:
        >>> prose('<p>Let <math><mi>x</mi><annotation>x_0</annotation></math> be</p>', [])
        '<p>Let x_0 be</p>'
        >>> prose('a<div class="b c"><div>1</div>2</div><math><mo>∑</mo></math>', ["c"])
        'a∑'
    """
    names = "|".join(map(re.escape, classes)) or r"\b\B"
    marked = rf"<(math|svg)\b|<([\w-]+) class=[\"'](?:[^\"']* )?(?:{names})[ \"']"
    kept, end = [], 0
    for found in re.finditer(marked, html):
        if found.start() < end:
            continue
        kept.append(html[end : found.start()])
        depth = 0
        for tag in re.compile(rf"<(/?){found[1] or found[2]}\b[^>]*>").finditer(html, found.start()):
            depth += -1 if tag[1] else 1
            end = tag.end()
            if not depth:
                break
        if found[1] == "math" and 'display="block"' not in html[found.start() : found.start() + 60]:
            drawn, _, rest = html[found.start() : end].partition("<annotation")
            source = rest.partition(">")[2].partition("<")[0]
            kept.append(source if source and "\\" not in source else re.sub(r"<[^>]+>", "", drawn))
    return "".join([*kept, html[end:]])
