"""The Markdown extension: what a page computes stands where it was asked for."""

import html
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from qkvdocs.engine.pages._errors import LessonError
from qkvdocs.engine.pages._forge import Limits, warm
from qkvdocs.engine.pages._marks import BEGIN, END, INSTEAD, blank, shown
from qkvdocs.engine.pages._page import Page, Reply, run
from qkvdocs.engine.pages._recall import Asked
from qkvdocs.engine.settings import Settings
from qkvdocs.engine.typeset import MermaidError, diagram, keep_colours, mathml
from qkvdocs.errors import QKVError

NAME = re.compile(r"(?<!<pre>)<(code|strong)>([^<]{1,60})</\1>")
MATHS = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


replies: Callable[[Asked], Sequence[Reply]] | None = None
"""Knows what pages' processes reply, where the builder tells in time which pages there are: see `_hooks`."""


forgiving = False
"""Whether a wrong page shows its error, as in the dev server, and does not end the build."""


class Lessons(Extension):
    """Run the fences of a page, fill in its values, draw its diagrams and set its formulas."""

    def __init__(self, **kwargs: Any) -> None:
        limits = Limits()
        self.config = {
            "seconds": [limits.seconds, "Wall time of one fence or value"],
            "memory": [limits.memory, "Bytes that a page may use"],
            "output": [limits.output, "Bytes that one fence may print"],
            "cache": ["", "Folder for drawn diagrams, beside it one for coloured code; empty for none"],
        }
        super().__init__(**kwargs)
        warm(Path.cwd())
        self.role = Settings.of(Path.cwd() / "docs").role
        if cache := self.getConfig("cache"):
            keep_colours(Path(cache).with_name("code"))

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register before superfences (25), which then finds plain fences only, and after all that writes HTML."""
        md.preprocessors.register(RunPage(md, self), "qkvdocs", 26)
        md.treeprocessors.register(Unmark(md), "qkvdocs", 6)  # attr_list (8) is done, toc (5) is to come
        md.postprocessors.register(Finish(md, self.role), "qkvdocs", 0)
        if forgiving:
            md.convert = forgive(md.convert)  # type: ignore[method-assign, assignment]


def forgive(convert: Callable[[str], str]) -> Callable[[str], str]:
    """Convert a page; show the error of one that cannot be."""

    def shown(text: str) -> str:
        try:
            return convert(text)
        except LessonError as error:
            print(error, file=sys.stderr)  # noqa: T201
            title, _, way = str(error).partition("\n")
            return (
                '<div class="admonition failure"><p class="admonition-title">This page cannot be built</p>'
                f"<p><code>{html.escape(title)}</code></p><pre>{html.escape(way)}</pre></div>"
            )

    return shown


class RunPage(Preprocessor):
    """Run the page that is being converted."""

    def __init__(self, md: Markdown, extension: Lessons) -> None:
        super().__init__(md)
        cache = extension.getConfig("cache")
        self.limits, self.cache = Limits.of(extension.getConfigs()), Path(cache) if cache else None
        self.role, self.blank = extension.role, os.environ.get("QKVDOCS_BLANK", "")
        self.page: Page | None = None

    def run(self, lines: list[str]) -> list[str]:
        """Give back the lines with values filled in and fences replaced by what they show."""
        if (source := source_of(self.md)) is None:
            return lines
        asked = asked_by(*source, lines, self.limits)
        self.page = asked.page()
        known = replies(asked) if replies else None
        run(self.page, self.limits, marked=True, stash=self.md.htmlStash.store, known=known)
        return self.page.lines


class Unmark(Treeprocessor):
    """Leave no mark where another extension, or the builder, looks for more than text."""

    def run(self, root: Element) -> None:
        """Mend addresses; make plain text of the paragraphs around what a fence shows."""
        for parent in root.iter():
            for name in {"href", "src", "id"} & parent.attrib.keys():
                parent.set(name, shown(parent.attrib[name]))
            before = None
            for child in list(parent):
                char = (child.text or "").strip()
                if child.tag != "p" or char not in {BEGIN, END}:
                    before = child
                    continue
                parent.remove(child)
                if before is None:
                    parent.text = (parent.text or "") + char
                else:
                    before.tail = (before.tail or "") + char


class Finish(Postprocessor):
    """Set formulas, colour names, give what was computed to readers; keep a page without it, if asked for one."""

    def __init__(self, md: Markdown, role: Callable[[str], str]) -> None:
        super().__init__(md)
        self.role = role

    def run(self, text: str) -> str:
        """Give back the finished HTML."""
        text, runner = NAME.sub(self.name, MATHS.sub(self.formula, text)), runner_of(self.md)
        if runner.blank and runner.page:  # each heading was finished before, for the contents
            kept = Path(runner.blank, f"{runner.page.file}.html")
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(f"<article>{blank(text)}</article>", "utf-8")
        return shown(text)

    def name(self, found: re.Match[str]) -> str:
        """Give a name in running text its colour."""
        role = self.role(html.unescape(shown(found[2])))
        return f'<{found[1]} class="{role}">{found[2]}</{found[1]}>' if role else found[0]

    def formula(self, found: re.Match[str]) -> str:
        """Set one formula, or name the line on which it stands."""
        source = html.unescape(found[3]).strip()
        try:
            made = mathml(shown(source), display=found[2] == "[", role=self.role)
        except QKVError as error:
            if (page := runner_of(self.md).page) is None:
                raise
            start = source.split("\n")[0].strip()
            lines = (origin for line, origin in zip(page.lines, page.origins, strict=True) if start in line)
            raise page.error(next(lines, page.first), type(error).__name__, str(error)) from None
        # Its annotation, which comes last, keeps the marks.
        return html.escape(source, quote=False).join(made.rsplit(html.escape(shown(source), quote=False), 1))


def draw(source: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **_: Any) -> str:
    """Draw a mermaid fence, as superfences asks for it."""
    runner = runner_of(md)
    try:
        drawn = diagram(shown(source), cache=runner.cache, role=runner.role)
        if runner.blank and blank(source) != source:
            head, drawn = drawn.split(">", 1)  # a block of HTML must begin with its tag
            instead = diagram(blank(source), cache=runner.cache).split(">", 1)[1]
            drawn = f"{head}>{BEGIN}{drawn}{INSTEAD}{instead}{END}"
        return drawn
    except MermaidError as error:
        if runner.page is None:
            raise
        raise runner.page.error(int(options["line"]) + error.line, "MermaidError", str(error)) from None


def accept(
    language: str, inputs: dict[str, str], options: dict[str, Any], attrs: object, md: Markdown
) -> bool:
    """Take every mermaid fence, with the line that the page's run put there."""
    options.update(inputs)
    return True


def asked_by(path: Path, docs: Path, lines: Sequence[str], limits: Limits) -> Asked:
    """Say what the page in a file asks for, whose text without front matter is `lines`."""
    written, body = path.read_text("utf-8").rstrip(), "\n".join(lines).rstrip()
    first = 1 + written.count("\n") - body.count("\n")
    return Asked(docs.parent, path.relative_to(docs.parent).as_posix(), first, tuple(lines), limits)


def runner_of(md: Markdown) -> RunPage:
    """Find the run of the page that is being converted."""
    runner = md.preprocessors["qkvdocs"]
    assert isinstance(runner, RunPage)  # noqa: S101
    return runner


def source_of(md: Markdown) -> tuple[Path, Path] | None:
    """Find the file that is being converted and the folder of all pages; None for a docstring."""
    if "mkdocstrings_headings" in md.treeprocessors:
        return None
    if "relpath" in md.treeprocessors:  # MkDocs
        processor: Any = md.treeprocessors["relpath"]
        file = processor.file
        path = Path(file.abs_src_path)
        return path, Path(str(path)[: -len(file.src_uri)])
    if "rendering_context" in md.preprocessors:  # Zensical
        context: Any = md.preprocessors["rendering_context"]
        docs = Path(context.config["docs_dir"]).absolute()
        return docs / context.page.path, docs
    return None
