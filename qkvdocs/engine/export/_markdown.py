"""A built article as Markdown: what a reader of text wants of it, and nothing that only a browser could use."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bs4 import BeautifulSoup, Tag
from markdownify import MarkdownConverter

from qkvdocs.engine.settings import Settings

ARTICLE = re.compile(r"<article\b.*?</article>", re.S)
PLAIN = (
    (re.compile(r"<svg\b.*?</svg>", re.S), ""),
    (re.compile(r"(<math\b[^>]*>).*?<annotation[^>]*>(.*?)</annotation>.*?</math>", re.S), r"\1\2</math>"),
    (re.compile(r"(?<=<pre>).*?(?=</pre>)", re.S), lambda code: re.sub(r"<(?!/?code\b)[^>]+>", "", code[0])),
)
"""Drawings go, formulas become their TeX, code loses its colours: before parsing, of which they are the larger part."""
CONTROLS = {"button", "form", "input", "label", "script", "style"}
MARKS = {"headerlink", "linenos"}
DIAGRAM = ".diagram-box"


def parsed(html: str, *, plain: bool = False) -> Tag | None:
    """Read a page's article, if there is one; if plain, without drawings, typeset formulas and colours of code."""
    found = ARTICLE.search(html)
    text = found[0] if found else html
    for pattern, instead in PLAIN if plain else ():
        text = pattern.sub(instead, text)
    return BeautifulSoup(text, "html.parser").select_one("article, [role=main]")


def article(html: str, settings: Settings) -> Tag | None:
    """Read a page's article, without controls, drawings and typeset formulas.

    Args:
        html: The built page.
        settings: What parts the site's figures have.

    Returns:
        Its elements; formulas hold their TeX, figures their captions and words. None if there is no article.
    """
    tree = parsed(html, plain=True)
    if tree is None:
        return None
    for part in [part for part in _elements(tree) if _for_browsers(part)]:
        part.decompose()
    for part in _chosen(tree, settings.controls):
        part.decompose()
    for numbered in tree.find_all("table", class_="highlighttable"):
        numbered.replace_with(*numbered.find_all("pre"))
    for figure in tree.find_all("figure"):
        for part in _chosen(figure, (*settings.drawings, DIAGRAM)) if figure.find("details") else ():
            if not part.find_parent("details"):
                part.decompose()
    return tree


def _for_browsers(part: Tag) -> bool:
    return part.name in CONTROLS or not MARKS.isdisjoint(part.get("class") or ())


def _elements(tree: Tag) -> Iterator[Tag]:
    return (part for part in tree.descendants if isinstance(part, Tag))


def _chosen(tree: Tag, selectors: Sequence[str]) -> Sequence[Tag]:
    """Select, but ask for no class that is not there: most selectors of most pages, and each costs a walk."""
    there = {name for part in _elements(tree) for name in part.get("class") or ()}
    asked = [selector for selector in selectors if there >= {*re.findall(r"\.([\w-]+)", selector)}]
    return tree.select(", ".join(asked)) if asked else ()


def markdown(tree: Tag, follow: Callable[[str], str]) -> str:
    """Write an article as Markdown.

    Args:
        tree: As `article` reads it.
        follow: Gives for a link's address the address to write.

    Returns:
        The text, with one line break at its end.
    """
    links = [
        (element, name, str(element[name]))
        for element in _elements(tree)
        for name in ("href", "src")
        if name in element.attrs
    ]
    for element, name, link in links:
        element[name] = follow(link)
    text = Writer().convert_soup(tree)
    for element, name, link in links:  # the tree is written more than once
        element[name] = link
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text, flags=re.M)).strip() + "\n"


Converter: Any = MarkdownConverter  # its types say nothing of the methods that it has


class Writer(Converter):  # type: ignore[misc]
    """Markdown for what these pages have beside plain HTML; markdownify calls a method by an element's name."""

    class Options:
        """See markdownify."""

        heading_style = "atx"
        bullets = "-"
        newline_style = "backslash"
        escape_underscores = False
        sub_symbol = "_"
        strip_pre = None

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Keep a bracket from opening an element and a sign from opening a formula."""
        if "math" in parent_tags:
            return text
        text = str(super().escape(text, parent_tags))
        return re.sub(r"\$|<(?=[A-Za-z/!])", r"\\\g<0>", text)

    def convert_math(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write the TeX, as most readers of Markdown know it."""
        text = text.strip()
        if {"td", "th"} & parent_tags:
            text = text.replace("|", r"\vert ")
        return f"\n\n$$\n{text}\n$$\n\n" if el.get("display") else f"${text}$"

    def convert_sub(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write W_Q."""
        return f"_{text}"

    def convert_sup(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Write d^2; a footnote's mark is a link and needs no sign."""
        return text if el.find("a") else f"^{text}"

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Fence code with its language, its title above it."""
        box = el.find_parent(class_="highlight")
        classes = " ".join(box.get_attribute_list("class")) if box else ""
        language = re.search(r"\blanguage-([\w+-]+)", classes)
        ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`{3,}", text)), default=0))
        return f"\n\n{ticks}{language[1] if language else ''}\n{text.strip(chr(10))}\n{ticks}\n\n"

    def convert_span(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Set a fence's title bold."""
        return f"\n\n**{text}**\n\n" if "filename" in el.get_attribute_list("class") else text

    def convert_div(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Quote an admonition."""
        if "admonition" in el.get_attribute_list("class"):
            return self.quoted(el, text)
        return str(super().convert_div(el, text, parent_tags))

    def convert_p(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Set an admonition's title bold."""
        if "admonition-title" in el.get_attribute_list("class"):
            return f"\n\n**{text.strip()}**\n\n"
        return str(super().convert_p(el, text, parent_tags))

    def convert_details(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Quote what can be unfolded, unless a figure quotes it already."""
        return f"\n\n{text.strip()}\n\n" if el.find_parent("figure") else self.quoted(el, text)

    def convert_summary(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Say bold what is folded there."""
        return f"\n\n**{' '.join(text.split())}**\n\n"

    def convert_figure(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Quote a figure's caption and words."""
        return self.quoted(el, text)

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep a bar in a cell from ending it."""
        return str(super().convert_td(el, re.sub(r"(?<!\\)\|", r"\\|", text), parent_tags))

    def convert_th(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Keep a bar in a cell from ending it."""
        return str(super().convert_th(el, re.sub(r"(?<!\\)\|", r"\\|", text), parent_tags))

    def convert_caption(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Set a table's caption above it."""
        return f"{text.strip()}\n\n"

    def quoted(self, el: Tag, text: str) -> str:
        """Quote a block."""
        text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
        return "\n\n" + "\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n\n" if text else ""
