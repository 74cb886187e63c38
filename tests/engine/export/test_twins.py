"""The Markdown twin of each page, and the list of them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from qkvdocs.engine.export._pages import headings
from qkvdocs.engine.export._pages import pages as built
from qkvdocs.engine.settings import Settings
from tests.project import ROOT, Project, fence

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
INLINE = {
    "a",
    "abbr",
    "annotation",
    "b",
    "code",
    "em",
    "i",
    "math",
    "semantics",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
}
CONTROLS = {"script", "style", "button", "label", "form", "output", "svg"}
ASIDE = {"headerlink", "lesson-files", "linenos", "qkv-hint", "qkv-bar", "qkv-status"}
DRAWN = {"qkv-body", "qkv-scroll", "qkv-flow", "qkv-scale", "diagram-box"}
SWITCHED = {
    "masked": ("if-unmasked", "if-masked"),
    "scaled": ("if-unscaled", "if-scaled"),
    "shared": ("if-separate", "if-shared"),
}
ENGINE = re.compile(
    r"\{python\}|\{minutes\}|\bexec=|\{[#.:]\s?\w|^\s*(?:!!!|\?\?\?|:::)|<(?:div|span|p|table|svg|math|details|figure)\b",
    re.M,
)


class Reader(HTMLParser):
    """What a reader sees of an article: its words, a formula as its TeX, a figure as its caption and words."""

    def __init__(self, html: str, figures_in_words: set[int]) -> None:
        super().__init__()
        self.text, self.open, self.figures, self.in_words = (
            "",
            list[tuple[str, bool, bool]](),
            -1,
            figures_in_words,
        )
        self.scopes: list[dict[str, str]] = [{}]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what hides its content."""
        if tag in VOID:
            self.text += " "
            return
        found = {name: value or "" for name, value in attrs}
        self.text += "" if tag in INLINE else " "
        classes = set(found.get("class", "").split())
        self.figures += tag == "figure"
        scope = {
            **self.scopes[-1],
            **{name: found[f"data-{name}"] for name in SWITCHED if f"data-{name}" in found},
        }
        self.scopes.append(scope)
        off = {SWITCHED[name][1 - int(value)] for name, value in scope.items()}
        names = {name for name, *_ in self.open}
        inside = "figure" in names and "details" not in names and self.figures in self.in_words
        hidden = (
            tag in CONTROLS
            or bool(classes & (ASIDE | off))
            or "hidden" in found
            or bool(inside and classes & DRAWN)
        )
        self.open.append((tag, hidden, tag == "math"))

    def handle_endtag(self, tag: str) -> None:
        """Close an element; a block ends a word."""
        while self.open:
            name = self.open.pop()[0]
            self.scopes.pop()
            if name == tag:
                break
        self.text += (
            "" if tag in {"span", "b", "i", "em", "strong", "code", "a", "sub", "sup", "small"} else " "
        )

    def handle_data(self, data: str) -> None:
        """Take the words, of a formula only its TeX."""
        typeset = any(maths for *_, maths in self.open) and self.open[-1][0] != "annotation"
        if not typeset and not any(hidden for _, hidden, _ in self.open):
            self.text += data


def seen(html: str) -> list[str]:
    """List the words of a built page's article."""
    article = re.search(r"<article.*?</article>", html, re.S)
    assert article
    figures = re.findall(r"<figure.*?</figure>", article[0], re.S)
    return words(Reader(article[0], {at for at, figure in enumerate(figures) if "<details" in figure}).text)


def words(text: str) -> list[str]:
    """List words; a low line joins letters where a page sets the second one low."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=\w)[_^](?=\w)|\\(?=[*$<])|[`*]", "", text))


CODE = re.compile(r"^((?:> ?| )*)(`{3,})[^\n]*\n.*?^\1\2$", re.M | re.S)
ADDRESS = re.compile(r"(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?: \"[^\"]*\")?\)")


def plain(twin: str) -> list[str]:
    """List the words of a twin without the addresses of its links."""
    text, end = "", 0
    for code in CODE.finditer(twin):
        text += ADDRESS.sub(" ", twin[end : code.start()]) + code[0]
        end = code.end()
    return words(text + ADDRESS.sub(" ", twin[end:]))


def missing(page: list[str], twin: list[str]) -> list[str]:
    """List the words of a page that its twin does not have in their place."""
    rest = iter(twin)
    return (
        [] if all(word in rest for word in page) else [word for word in page if word not in twin] or ["order"]
    )


def pages(site: Path) -> Iterator[tuple[Path, Path]]:
    """Pair each page with its twin."""
    for page in sorted(site.rglob("*.html")):
        if page.name != "404.html":
            yield page, page.with_suffix(".md")


def test_every_word_of_a_page_is_in_its_twin(site: Path) -> None:
    """In the page's order, computed numbers included; read with another parser than the twin was made with."""
    lacking = {}
    for page, twin in pages(site):
        found = seen(page.read_text("utf-8"))
        assert len(found) > 20, page
        if lost := missing(found, plain(twin.read_text("utf-8"))):
            lacking[str(page.relative_to(site))] = lost[:20]
    assert not lacking


def test_a_figure_in_words_brings_its_values(site: Path) -> None:
    """A chart's are a table, in a box that scrolls as drawings do."""
    twin = (site / "lessons/05-why-separate-projections/index.md").read_text("utf-8")
    chart = twin.split("in brackets the band around it")[1]
    assert re.match(r", by steps of training\.\n>\n> \|[\d| ]+\|\n> \|[-| ]+\n> \| separate \|", chart), (
        chart[:400]
    )


def test_a_lost_or_moved_word_would_be_seen(site: Path) -> None:
    """The comparison above can fail."""
    page, twin = site / "lessons/02-causal-mask/index.html", site / "lessons/02-causal-mask/index.md"
    found, text = seen(page.read_text("utf-8")), plain(twin.read_text("utf-8"))
    assert not missing(found, text)
    at = text.index("triangle")
    assert missing(found, [word for word in text if word != "triangle"]) == ["triangle"] * found.count(
        "triangle"
    )
    assert missing(found, text[: at - 50] + text[at:])


def outside_code(twin: str) -> str:
    """Leave out code blocks and code spans."""
    text = CODE.sub("", twin)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)


def test_no_twin_has_a_placeholder_or_a_word_of_the_engine(site: Path) -> None:
    """No unfilled value, no option of a fence, no attribute list, no HTML."""
    for _, twin in pages(site):
        text = twin.read_text("utf-8")
        assert not ENGINE.search(outside_code(text)), twin
        if not twin.is_relative_to(site / "reference"):
            assert "{python}" not in text, twin
            assert 'exec="on"' not in text, twin


def test_a_left_over_would_be_seen() -> None:
    """The pattern above knows them all."""
    for text in (
        "`` ` `` {python} x",
        "# A {#b}",
        "x{ .c }"[0:0] + "p {.c}",
        "!!! note",
        "::: x",
        "<div class='a'>",
        "??? q",
    ):
        assert ENGINE.search(text), text


def slugs(twin: Path) -> set[str]:
    """List the anchors that readers of Markdown give to headings."""
    text = CODE.sub("", twin.read_text("utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        base = re.sub(r"[^\w\s-]", "", re.sub(r"[`*$\\]", "", heading).lower()).strip().replace(" ", "-")
        found.add(next(name for n in range(99) if (name := f"{base}-{n}" if n else base) not in found))
    return found


def test_every_link_of_a_twin_leads_somewhere(site: Path) -> None:
    """To a twin and one of its headings, or to a file."""
    seen_links = 0
    for _, twin in pages(site):
        for link in re.findall(r"\]\(<?([^()\s>]+)", outside_code(twin.read_text("utf-8"))):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (twin.parent / unquote(parts.path)).resolve() if parts.path else twin
            assert target.is_file(), f"{twin}: {link}"
            assert target.suffix != ".html", f"{twin}: {link}"
            assert not parts.fragment or unquote(parts.fragment) in slugs(target), f"{twin}: {link}"
            seen_links += 1
    assert seen_links > 200


def test_the_list_names_every_page_once(site: Path) -> None:
    """`llms.txt`: a title, a summary, sections, and a line for each page, in the order of the navigation."""
    text = (site / "llms.txt").read_text("utf-8")
    assert text.startswith("# qkvdocs\n\n> How a token embedding becomes a query")
    links = re.findall(r"^- \[.+?\]\((.+?)\): \S.*$", text, re.M)
    assert sorted(links) == sorted(twin.relative_to(site).as_posix() for _, twin in pages(site))
    lessons = [link for link in links if link.startswith("lessons/")]
    assert lessons == sorted(lessons)
    assert re.findall(r"^## (.+)$", text, re.M)[:3] == ["Start", "Lessons", "Concepts"]


def test_each_page_names_its_twin_and_a_lesson_what_can_be_taken_along(site: Path) -> None:
    """In the head for machines; below a lesson's title for people."""
    for page, twin in pages(site):
        html = page.read_text("utf-8")
        assert html.count(f'<link rel="alternate describedby" type="text/markdown" href="{twin.name}">') == 1
        links = re.findall(r'href="([^"]+)"(?: download)?>(?:notebook|script|Markdown)<', html)
        assert len(links) == (3 if page.is_relative_to(site / "lessons") else 0)
        assert all((page.parent / link).is_file() for link in links)


def test_with_an_address_the_list_and_the_notebooks_lead_back(project: Project) -> None:
    """What leaves the site takes whole addresses along; twins stay as they are."""
    code = fence("x = 'a'", 'exec="on" session="a" source="above"')
    project.write(
        "# One\n\nText and [two](two.md#part-two), [home](../index.md).\n\n"
        f'<a href="../two/?all#part-two">all</a>\n\n{code}',
        "lessons/one.md",
    )
    project.write("# Two\n\nText.\n\n## Part {#part-two}\n", "lessons/two.md")
    project.write("# Home\n")
    project.set("nav: [index.md, {Lessons: [lessons/one.md, lessons/two.md]}]\n")

    done = project.command("qkvdocs", "build", SITE_URL="https://example.org/docs/")

    assert done.returncode == 0, done.stderr
    site = project.root / "site"
    assert (
        "(https://example.org/docs/lessons/one/index.md): Text and two, home."
        in (site / "llms.txt").read_text()
    )
    notebook = (site / "lessons/one.ipynb").read_text()
    assert "[two](https://example.org/docs/lessons/two/#part-two)" in notebook
    assert "[all](https://example.org/docs/lessons/two/#part-two)" in notebook
    assert "[home](https://example.org/docs/)" in notebook
    assert "https://example.org/docs/lessons/one/" in (site / "lessons/one.py").read_text()
    assert (
        "[two](../two/index.md#part), [home](../../index.md)" in (site / "lessons/one/index.md").read_text()
    )


CONVERTED = {
    "an admonition": ('!!! note "More exactly"\n\n    Text.\n', "> **More exactly**\n>\n> Text."),
    "code in it": (
        '!!! note "A"\n\n'
        + "\n".join("    " + line for line in fence("x = 'y'", 'exec="on" source="above"').split("\n")),
        "> **A**\n>\n> ```\n> x = 'y'\n> ```",
    ),
    "a bar in a cell": ("| a |\n|---|\n| `x \\| y` |\n", "| a |\n| --- |\n| `x \\| y` |"),
    "a signed formula": ("\\(a < b\\) costs $5 or <5\n", "$a < b$ costs \\$5 or <5"),
    "a low letter": ("<p>W<sub>Q</sub> d<sup>2</sup></p>", "W_Q d^2"),
    "code with fences": ("````text\n```python\n```\n````\n", "````\n```python\n```\n````"),
    "a list in a list": ("- a\n    - b\n\nText.\n\n1. c\n2. d\n", "- a\n  - b\n\nText.\n\n1. c\n2. d"),
}


def test_what_markdown_becomes(project: Project) -> None:
    """Plain Markdown again."""
    (project.root / "docs" / "numerals.toml").write_text('[[unchecked]]\nfolder = ""\nreason = "x"\n')
    project.write("# Home\n")
    for at, (text, _) in enumerate(CONVERTED.values()):
        project.write(f"# Page\n\n{text}", f"p{at}.md")

    done = project.command("qkvdocs", "build")

    assert done.returncode == 0, done.stderr
    twins = [
        (project.root / "site" / f"p{at}" / "index.md").read_text("utf-8") for at in range(len(CONVERTED))
    ]
    assert twins == [f"# Page\n\n{expected}\n" for _, expected in CONVERTED.values()]


def test_headings_read_alone_are_those_of_the_whole_page(raw: Path) -> None:
    """To learn where links lead, a process need not read all pages."""
    found = built(raw, Settings.of(ROOT / "docs"))

    assert len(found) > 80
    assert {name: page.headings for name, page in found.items()} == {
        name: headings(page.tree) for name, page in found.items()
    }
