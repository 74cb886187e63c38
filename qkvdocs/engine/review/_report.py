"""What changed, as a page with pictures and as a short text for a review."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from qkvdocs.engine.review._values import Value

TITLE = "What a reader would see changed"
MOST = 20
"""Values that the short text tells one by one."""
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h2 { border-top: 1px solid; margin-top: 2.5rem; overflow-wrap: anywhere; padding-top: 0.5rem; }
table { border-collapse: collapse; }
td, th { border: 1px solid; padding: 0.3rem 0.6rem; text-align: start; vertical-align: top; }
td { max-width: 30rem; overflow-wrap: anywhere; white-space: pre-wrap; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.pictures > div { min-width: 0; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: bold; overflow-wrap: anywhere; }
img { border: 1px solid; max-width: 100%; }
"""
POLICY = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Drawn:
    """A figure that changed, came or went, and the files that show it."""

    page: str
    name: str
    kind: str
    """`changed`, `added` or `removed`."""
    pictures: dict[str, str]
    """What each picture shows, and its path."""


@dataclass(frozen=True)
class Changes:
    """Everything that a reader would see changed."""

    values: list[Value]
    figures: list[Drawn]
    pages: dict[str, str]
    """Pages that were `added` or `removed`."""

    def places(self) -> list[str]:
        """List the pages that anything is said about."""
        named = [one.page for one in self.values] + [one.page for one in self.figures]
        return sorted({*named, *self.pages})


def as_markdown(changes: Changes) -> str:
    """Write the short text.

    Args:
        changes: What was found.

    Returns:
        Markdown in which no word of a page is more than a word.
    """
    if not changes.places():
        return f"# {TITLE}\n\nNothing.\n"
    lines = [f"# {TITLE}", "", "| page | values | figures |", "|---|---|---|"]
    for page in changes.places():
        values = _tally(_kind(one) for one in changes.values if one.page == page)
        figures = _tally(one.kind for one in changes.figures if one.page == page)
        lines.append(f"| {_plain(page)}{_new(changes, page)} | {values} | {figures} |")
    if changes.values:
        lines += ["", "| page | value | before | after |", "|---|---|---|---|"]
        for value in changes.values[:MOST]:
            words = (value.page, value.name, *value.shown())
            lines.append(f"| {' | '.join(_plain(word[:120]) for word in words)} |")
        left = len(changes.values) - MOST
        lines += ["", f"And {left} more."] if left > 0 else []
    if changes.figures:
        lines += ["", "The pictures, before and after, are in index.html, beside this text."]
    return "\n".join([*lines, ""])


def as_html(changes: Changes) -> str:
    """Write the page.

    Args:
        changes: What was found.

    Returns:
        A page that runs nothing and shows nothing from elsewhere.
    """
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{TITLE}</title><style>{STYLE}</style></head><body><main><h1>{TITLE}</h1>"
    ]
    if not changes.places():
        parts.append("<p>Nothing.</p>")
    for page in changes.places():
        parts.append(f"<h2>{html.escape(page)}{_new(changes, page)}</h2>")
        values = [one for one in changes.values if one.page == page]
        if values:
            rows = (
                "".join(f"<td>{html.escape(word)}</td>" for word in (one.name, *one.shown()))
                for one in values
            )
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            parts.append(f"<table><tr><th>value<th>before<th>after</tr>{body}</table>")
        parts += [_figure(one) for one in changes.figures if one.page == page]
    return "\n".join([*parts, "</main></body></html>\n"])


def _figure(one: Drawn) -> str:
    name = html.escape(one.name or "without a name")
    pictures = "".join(
        f'<div>{what}<br><img alt="{name}, {what}" src="{quote(path)}"></div>'
        for what, path in one.pictures.items()
    )
    return (
        f'<figure><figcaption>{name}: {one.kind}</figcaption><div class="pictures">{pictures}</div></figure>'
    )


def _kind(value: Value) -> str:
    return "added" if value.old is None else "removed" if value.new is None else "changed"


def _tally(kinds: Iterable[str]) -> str:
    found = list(kinds)
    counts = ((found.count(kind), kind) for kind in ("changed", "added", "removed"))
    return ", ".join(f"{count} {kind}" for count, kind in counts if count)


def _new(changes: Changes, page: str) -> str:
    return f" ({changes.pages[page]})" if page in changes.pages else ""


def _plain(text: str) -> str:
    """Write each sign by its number that Markdown, HTML or the code host could read as more than a sign."""
    return re.sub(
        r"[]\\`*_{}[<>&|~@:#^$!]|(?<=www)\.", lambda sign: f"&#{ord(sign[0])};", " ".join(text.split())
    )
