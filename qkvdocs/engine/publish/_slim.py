"""Bytes that no reader needs: rules that match nothing, comments in scripts, idle ones in pages."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import tinycss2
from rjsmin import jsmin
from tinycss2.ast import Declaration, Node, QualifiedRule

from qkvdocs.engine.publish._policy import INLINE

NAME = re.compile(r"[.#]([\w-]+)")
CHOICE = re.compile(r"\[(dir|role|data-md-[\w-]+)=[\"']?([\w-]+)[\"']?\]")
"""Attributes whose values are words of a page or a script: what is written for another value can go."""
SHEET = re.compile(r'<link rel="stylesheet" href="([./]*|/.*?)(assets/[^"]*\.css)">')
STYLE = "assets/style.css"
VARIABLE = re.compile(r"var\((--[\w-]+)|[\"'](--[\w-]+)")
KEPT = re.compile(r"<(pre|code|script|textarea)\b.*?</\1>", re.S)
IDLE = re.compile(r'<span class="[nopw]">([^<]*)</span>')
"""Marks of names, signs, brackets and blanks in code, which look as code does without them."""
BLOCKS = ("footnote", "gh-", "md-annotation", "md-source", "md-tag", "md-version", "tabbed")
"""Parts of the theme whose scripts find something to do only where a page has one of them."""
TOOLTIPS = "content.tooltips"
"""The theme's feature that makes tooltips, as a page's settings name it."""
UNREAD = "--md-mermaid"
"""Variables that a script of the theme reads to draw what is drawn here when the site is built."""
UNSEEN = re.compile(
    r'<annotation\b.*?</annotation>|<meta name="generator"[^>]*>|<link rel="(?:prev|next)"[^>]*>'
    r'|(?<=<svg) xmlns="[^"]*"',
    re.S,
)
"""The source of a formula, which the checks have read; who built the page; its neighbours, which Firefox would load
unasked; and what only a file of its own needs."""


TAG = re.compile(r"""<[a-zA-Z](?:[^<>"']|"[^"]*"|'[^']*')*>""")
CHOSEN = re.compile(r"""\s(?:class|id|dir|role|data-[\w-]+)=(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""")
"""An attribute by whose value a style sheet could choose an element."""


def slim(site: Path, pages: Collection["Used"]) -> None:
    """Cut style sheets and scripts down to what is in use, and make the style sheets one.

    A rule stays if each class and id in its selector is on some page or may be made by a script: if it stands in
    a string there, or begins with a string that ends in a hyphen or an underscore.

    Args:
        site: A built folder, changed in place but for its pages.
        pages: What each of them asks for. All must link the same style sheets.
    """
    scripts = [path.read_text("utf-8") for path in sorted(site.rglob("*.js"))]
    scripts += sorted(set().union(*(page.scripts for page in pages)))
    (linked,) = {page.sheets for page in pages}
    sheets = [site / name for name in linked]
    known, stems = _names(pages, scripts)
    rules = tinycss2.parse_stylesheet("".join(sheet.read_text("utf-8") for sheet in sheets), True, True)
    style = _rules(rules, known, stems)
    read = set().union(*map(_variables_in, (style, *scripts)), *(page.variables for page in pages))
    for sheet in sheets:
        sheet.unlink()
        if not any(sheet.parent.iterdir()):
            sheet.parent.rmdir()
    (site / STYLE).write_text(_tighten(_variables(style, read)), "utf-8")
    for path in (site / "assets").glob("*.js"):
        path.write_text(jsmin(path.read_text("utf-8")), "utf-8")


@dataclass(frozen=True)
class Used:
    """What a page asks of style sheets and scripts."""

    sheets: tuple[str, ...]
    scripts: frozenset[str]
    names: frozenset[str]
    """Classes, ids and other values by which a style sheet could choose an element."""
    variables: frozenset[str]
    tooltips: bool

    @classmethod
    def by(cls, page: str) -> "Used":
        """Read a page."""
        chosen = (value for tag in set(TAG.findall(page)) for value in CHOSEN.findall(tag))
        names = (name for value in chosen for name in unescape("".join(value)).split())
        sheets = tuple(name for _, name in SHEET.findall(page))
        scripts, variables = frozenset(INLINE.findall(page)), frozenset(_variables_in(page))
        return cls(sheets, scripts, frozenset(names), variables, TOOLTIPS in page)


def _variables_in(text: str) -> set[str]:
    return {name for pair in VARIABLE.findall(text) for name in pair if not name.startswith(UNREAD)}


def light(page: str) -> str:
    """Link the one style sheet, and leave out what nobody sees."""
    first, *others = (found[0] for found in SHEET.finditer(page))
    for link in others:
        page = page.replace(link, "", 1)
    page = page.replace(first, SHEET.sub(rf'<link rel="stylesheet" href="\1{STYLE}">', first), 1)
    return UNSEEN.sub("", IDLE.sub(r"\1", _fold(page)))


def _fold(page: str) -> str:
    """Make each run of blanks one, where a browser shows it as one."""
    folded, end = [], 0
    for kept in KEPT.finditer(page):
        folded += [re.sub(r"\s+", " ", page[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*folded, re.sub(r"\s+", " ", page[end:])])


def _tighten(sheet: str) -> str:
    """Leave out blanks between rules and declarations."""
    parts = re.split(r"(\"[^\"]*\"|'[^']*')", sheet)  # every second one is quoted, and kept
    return "".join(
        part if at % 2 else re.sub(r"\s*([{};])\s*", r"\1", re.sub(r"\s+", " ", part))
        for at, part in enumerate(parts)
    )


def _names(pages: Collection[Used], scripts: list[str]) -> tuple[set[str], tuple[str, ...]]:
    found = set().union(*(page.names for page in pages))
    absent = tuple(block for block in BLOCKS if not any(name.startswith(block) for name in found))
    if not any(page.tooltips for page in pages):
        absent += ("md-tooltip",)
    written = {word for text in scripts for word in _strings(text) if not word.startswith(absent)}
    return found | written, tuple(word for word in written if len(word) > 4 and word[-1] in "-_")


def _strings(text: str) -> Iterator[str]:
    for quoted in re.finditer(r"\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`", text):
        yield from re.findall(r"[\w-]+", quoted[0])


def _rules(rules: list[Node], known: set[str], stems: tuple[str, ...]) -> str:
    kept = []
    for rule in rules:
        if isinstance(rule, QualifiedRule):
            selectors = [one for one in _selectors(rule.prelude) if _used(one, known, stems)]
            if selectors:
                kept.append(f"{','.join(selectors)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.at_keyword in {"media", "supports"}:
            inner = _rules(tinycss2.parse_rule_list(rule.content, True, True), known, stems)
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        else:
            kept.append(rule.serialize())
    return "".join(kept)


def _selectors(prelude: list[Node]) -> Iterator[str]:
    part: list[Node] = []
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            yield tinycss2.serialize(part).strip()
            part = []
        else:
            part.append(token)
    yield tinycss2.serialize(part).strip()


def _used(selector: str, known: set[str], stems: tuple[str, ...]) -> bool:
    if any(value not in known or value == "rtl" for _, value in CHOICE.findall(selector)):
        return False
    bare = re.sub(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)", "", re.sub(r"\[[^]]*\]", "", selector))
    return all(name in known or name.startswith(stems) for name in NAME.findall(bare.replace("\\", "")))


def _variables(sheet: str, used: set[str]) -> str:
    """Leave out variables that nothing reads, most of them pictures."""
    kept = []
    for rule in tinycss2.parse_stylesheet(sheet):
        content = tinycss2.parse_blocks_contents(rule.content) if isinstance(rule, QualifiedRule) else []
        if content and all(isinstance(one, Declaration) for one in content):
            lines = [one.serialize() for one in content if not one.name.startswith("--") or one.name in used]
            kept += [f"{tinycss2.serialize(rule.prelude)}{{{';'.join(lines)}}}"] if lines else []
        else:
            kept.append(rule.serialize())
    return "".join(kept)
