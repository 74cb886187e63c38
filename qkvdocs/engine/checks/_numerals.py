"""No digit that a reader sees is typed by hand.

Each page is there twice: as readers get it, and *blank*, with the letter x for each computed digit and nothing for
each fence's output. A numeral that is still there was typed. That holds wherever it stands: in prose, tables,
formulas, captions, alternative texts, drawings.
"""

import ast
import functools
import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens

from qkvdocs.engine.checks._html import Lines, PageReader, Words, find_line
from qkvdocs.engine.cores import divided
from qkvdocs.engine.export._pages import source_file
from qkvdocs.engine.pages import NUMBER_WORDS, LessonError, fences

NUMERAL = re.compile(r"[\w.\-]*\d[\w.\-]*|[²³¹⁰-⁹₀-₉¼-¾⅐-⅞]+")
TEX_NUMERAL = re.compile(r"[A-Za-z]*_?\d[\d.]*")
IDENTIFIER = re.compile(r"[A-Za-z_][\w.\-/]*$")
"""A whole string of this form names something: a tensor, a file, an encoding."""
DATE = re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b")
RULE = "compute it, cite it, or list it"


@dataclass(frozen=True)
class Allowed:
    """Numerals that are no numbers of ours, published in `docs/numerals.toml`."""

    names: frozenset[str]
    constants: tuple[str, ...]
    unchecked: tuple[str, ...] = ()
    """Folders of pages that are not written but generated, such as the reference."""
    units: tuple[tuple[str, str], ...] = ()
    """What a number word must not count, one and many: “four tokens” is a number that was typed."""

    @classmethod
    def read(cls, docs: Path) -> "Allowed":
        """Read the published list of a site; empty where there is none."""
        path = docs / "numerals.toml"
        table = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        constants = sorted((entry["text"] for entry in table.get("constants", ())), key=len, reverse=True)
        unchecked = tuple(entry["folder"] for entry in table.get("unchecked", ()))
        units = tuple(table.get("units", {}).items())
        return cls(frozenset(table.get("names", ())), tuple(constants), unchecked, units)

    @functools.cached_property
    def counted(self) -> re.Pattern[str]:
        """A number word and what it counts; “token two scores” names a token, and counts nothing."""
        named = "".join(rf"(?<!\b{one} )" for one, _ in self.units)
        many = "|".join(many for _, many in self.units) or "(?!)"
        return re.compile(rf"{named}\b({NUMBER_WORDS})\s+(?:{many})\b", re.I)


def typed(words: Words, allowed: Allowed) -> Iterator[tuple[str, str]]:
    """Sort the numerals of a run of words.

    Args:
        words: From a blank page.
        allowed: The published list.

    Yields:
        Pairs of a kind (`cited`, `name`, `constant`, `typed`, `counted`) and the text.
    """
    text = words.text
    if words.kind in {"cited", "recorded"}:
        yield from ((words.kind, found) for found in NUMERAL.findall(text))
        return
    for constant in allowed.constants:
        yield from (("constant", constant) for _ in range(text.count(constant)))
        text = text.replace(constant, " ")
    pattern = TEX_NUMERAL if words.kind == "tex" else NUMERAL
    for found in pattern.findall(text.replace("{", "").replace("}", "") if words.kind == "tex" else text):
        name = found.strip(".-")
        yield ("name" if name in allowed.names else "typed"), name
    yield from (("counted", found[0]) for found in allowed.counted.finditer(text))
    leftover = pattern.sub("", text)
    yield from (("typed", char) for char in leftover if unicodedata.category(char) in {"Nd", "Nl", "No"})


def typed_in_code(code: str, allowed: Allowed) -> Iterator[tuple[int, str]]:
    """Find digits that a fence carries to the reader as text: in comments and in strings that it may print.

    Args:
        code: The fence's Python.
        allowed: The published list.

    Yields:
        Line of the code, from 1, and the text. Number literals are inputs, and format specifications no text.
    """
    comments = (token for token in generate_tokens(StringIO(code).readline) if token.type == COMMENT)
    texts = [(token.start[0], token.string) for token in comments]
    nodes = [*ast.walk(ast.parse(code))]
    specs = {part for node in nodes if isinstance(node, ast.FormattedValue) and node.format_spec
             for part in ast.walk(node.format_spec)}  # fmt: skip
    texts += [(node.lineno, node.value) for node in nodes
              if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in specs]  # fmt: skip
    for line, text in texts:
        if IDENTIFIER.match(text):
            continue
        yield from ((line, found) for kind, found in typed(Words(text), allowed) if kind == "typed")


def numerals(page: PageReader) -> int:
    """Count the numerals of a page, whatever their kind."""
    return sum(len(NUMERAL.findall(words.text)) for words in page.words)


def check_numerals(
    pages: Mapping[str, str], blank: Path, docs: Path
) -> tuple[dict[str, Counter[str]], list[LessonError]]:
    """Find every typed numeral of a site.

    Args:
        pages: As readers get them, by their paths.
        blank: The folder of blank pages, which the builder was given as `QKVDOCS_BLANK`.
        docs: The Markdown files.

    Returns:
        For each page how many numerals of each kind it has, and the errors.
    """
    allowed = Allowed.read(docs)
    sources = {name: source_file(name, docs) for name in pages if not name.startswith(allowed.unchecked)}
    written = [(name, source) for name, source in sources.items() if source]
    found = divided(lambda page: _on_page(pages[page[0]], blank, *page, docs, allowed), written)
    counts = {name: count for (name, _), (count, _) in zip(written, found, strict=True)}
    return counts, [error for _, errors in found for error in errors]


def _on_page(
    html: str, blank: Path, name: str, source: Path, docs: Path, allowed: Allowed
) -> tuple[Counter[str], list[LessonError]]:
    page, errors = PageReader(html), []
    if not page.has_content:
        errors.append(LessonError(_name(source, docs), 1, "PageError", f"{name} must have an article"))
    kept = blank / f"{_name(source, docs)}.html"
    # What our extension has not converted is typed, all of it.
    blank_page = PageReader(kept.read_text("utf-8")) if kept.exists() else page
    count = Counter({"computed": max(0, numerals(page) - numerals(blank_page))})
    count["recorded"] = sum(words.kind == "recorded" for words in page.words)
    errors += _code_errors(source, docs, allowed)
    lines, drawings = Lines(source), defaultdict[int, list[tuple[str, Words]]](list)
    for words in page.words:
        if words.kind == "cited":
            errors += _bad_citation(words, source, docs)
    for words in blank_page.words:
        for kind, text in typed(words, allowed):
            count[kind] += 1
            if kind in {"typed", "counted"} and words.drawing:
                drawings[words.drawing].append((text, words))
            elif kind in {"typed", "counted"}:
                where = f"is typed in “{_excerpt(text, words)}”"
                way = f"{RULE} in docs/numerals.toml" if kind == "typed" else "compute it with word()"
                message = f"{text!r} {where}: {way}"
                errors.append(_typed(lines.take(text, words.text), message, source, docs))
    errors += (_typed_in_drawing(found, lines, source, docs) for found in drawings.values())
    return count, errors


def _typed_in_drawing(found: list[tuple[str, Words]], lines: Lines, source: Path, docs: Path) -> LessonError:
    """A drawing is made at one place, so it is one error."""
    around = " ".join(words.text for _, words in found)
    line = min(lines.take(text, around) for text, _ in found)
    texts = ", ".join(map(repr, dict.fromkeys(text for text, _ in found)))
    message = (
        f"{texts} typed in a drawing: print its fence from one that runs, or {RULE} in docs/numerals.toml"
    )
    return _typed(line, message, source, docs)


def _typed(line: int, message: str, source: Path, docs: Path) -> LessonError:
    return LessonError(_name(source, docs), line, "TypedNumber", message)


def _excerpt(text: str, words: Words) -> str:
    run = " ".join(words.text.split())
    at = max(0, run.find(text) - 30)
    return run[at : at + 60 + len(text)]


def _code_errors(source: Path, docs: Path, allowed: Allowed) -> list[LessonError]:
    errors = []
    for fence in fences(source.read_text("utf-8")):
        for line, text in typed_in_code(fence.code, allowed) if fence.runs else ():
            message = f"{text!r} is typed in a comment or a string of a fence: compute it"
            errors.append(LessonError(_name(source, docs), fence.line + 1 + line, "TypedNumber", message))
    return errors


def _bad_citation(words: Words, source: Path, docs: Path) -> list[LessonError]:
    link, title = words.attributes.get("href", ""), words.attributes.get("title", "")
    if not link.startswith(("https://", "http://")) or not DATE.search(title):
        message = f"a cited fact must have a link and a title with a date, got {link!r} and {title!r}"
    elif words.worked:
        message = "a cited fact must not stand in a worked section"
    else:
        return []
    line = find_line(source, words.text.strip(), link)
    return [LessonError(_name(source, docs), line, "CitationError", message)]


def _name(source: Path, docs: Path) -> str:
    return source.relative_to(docs.parent).as_posix()
