"""The Markdown extension: what a page computes stands where it was asked for."""

import html
import os
import re
from pathlib import Path
from typing import Any

import markdown_exec
from markdown import Extension, Markdown
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from qkvdocs.errors import QKVError
from qkvdocs.lessons import _maths, _mermaid
from qkvdocs.lessons._forge import Limits
from qkvdocs.lessons._page import Page, run

MARK = re.compile(r"<!--fence (\d+)-->\n?")
MATHS = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


class Lessons(Extension):
    """Run the fences of a page, fill in its values, draw its diagrams and set its formulas."""

    def __init__(self, **kwargs: Any) -> None:
        limits = Limits()
        self.config = {
            "seconds": [limits.seconds, "Wall time of one fence or value"],
            "memory": [limits.memory, "Bytes that a page may use"],
            "output": [limits.output, "Bytes that one fence may print"],
            "cache": ["", "Folder for drawn diagrams; empty for none"],
        }
        super().__init__(**kwargs)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register before superfences (25), which then finds every fence run, and after all that writes HTML."""
        md.registerExtension(self)
        md.preprocessors.register(RunPage(md, self), "qkvdocs", 26)
        md.treeprocessors.register(Last(md), "qkvdocs", -1000)
        md.postprocessors.register(Finish(md), "qkvdocs", 1)


class RunPage(Preprocessor):
    """Run the page that is being converted."""

    def __init__(self, md: Markdown, extension: Lessons) -> None:
        super().__init__(md)
        get = extension.getConfig
        self.limits = Limits(float(get("seconds")), int(get("memory")), int(get("output")))
        self.cache = Path(get("cache")) if get("cache") else None
        self.blank = os.environ.get("QKVDOCS_BLANK") == "1"
        self.page: Page | None = None
        self.whole = False

    def run(self, lines: list[str]) -> list[str]:
        """Give back the lines with values filled in and fences marked."""
        if (source := source_of(self.md)) is None:
            return lines
        path, docs = source
        written, body = path.read_text("utf-8").rstrip(), "\n".join(lines).rstrip()
        first = 1 + written.count("\n") - body.count("\n")
        self.page = Page(path.relative_to(docs.parent).as_posix(), docs.parent, list(lines), first)
        run(self.page, self.limits, blank=self.blank)
        return self.page.lines


class Last(Treeprocessor):
    """Know when postprocessors get the page: before that, headings are put through them one by one."""

    def run(self, root: object) -> None:
        """Note that the tree is done."""
        runner_of(self.md).whole = not hasattr(self.md, "_original_md")


class Finish(Postprocessor):
    """Set the formulas; see that every fence that ran is on the page."""

    def run(self, text: str) -> str:
        """Give back the finished HTML."""
        runner = runner_of(self.md)
        page = runner.page
        text = MATHS.sub(lambda found: self.formula(found, page), text)
        if page is None or not runner.whole:
            return text
        shown = {int(key) for key in MARK.findall(text)}
        for key, entry in enumerate(page.entries):
            if entry.fence and key not in shown:
                raise page.error(entry.line, "FenceError", "this fence ran, but the page does not show it as one")
        return MARK.sub("", text)

    def formula(self, found: re.Match[str], page: Page | None) -> str:
        """Set one formula, or name the line on which it stands."""
        source = html.unescape(found[3]).strip()
        try:
            return _maths.mathml(source, display=found[2] == "[")
        except QKVError as error:
            if page is None:
                raise
            here = [at for at, line in enumerate(page.lines, page.first) if source.split("\n")[0].strip() in line]
            raise page.error(here[0] if here else page.rendering, type(error).__name__, str(error)) from None


def validator(language: str, inputs: dict[str, str], options: dict[str, Any], attrs: object, md: Markdown) -> bool:
    """Tell superfences whether a python fence is ours: those that run, and no others."""
    if inputs.get("exec") != "on":
        inputs.pop("exec", None)
        return False
    page = runner_of(md).page
    if page is None:
        raise SystemExit("<markdown>: FenceError: a fence runs only on a page of the site")
    if "key" not in inputs:
        raise page.error(page.rendering, "FenceError", "a fence must not print a fence that runs")
    if markdown_exec.markdown_config.exts is None:
        raise page.error(1, "ConfigError", "plugins must list markdown-exec with languages: []")
    options["key"] = int(inputs.pop("key"))
    return True


def formatter(source: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **_: Any) -> str:
    """Show what a fence printed, and its source where that was asked for."""
    runner = runner_of(md)
    assert runner.page is not None and (fence := runner.page.entries[options["key"]].fence)  # noqa: S101, PT018
    entry, asked = runner.page.entries[options["key"]], fence.options
    mark = f"<!--fence {options['key']}-->\n"
    if runner.blank:
        return mark
    runner.page.rendering = entry.line
    where = asked.get("source", "")
    html_block = markdown_exec.base_format(
        language="python",
        run=lambda *_, **__: entry.text,
        code=entry.code,
        md=md,
        html=asked.get("html") == "on",
        source=where if entry.text or not where else "above",
        result=asked.get("result", "") if entry.text else "",
        tabs=tuple(asked.get("tabs", "Source|Result").split("|", 1)),  # type: ignore[arg-type]
        id=asked.get("id", ""),
        id_prefix=f"{asked.get('id') or 'fence-' + str(options['key'])}-",
        extra={name: asked[name] for name in ("title", "linenums", "hl_lines") if name in asked},
    )
    return mark + str(html_block)


def draw(source: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **_: Any) -> str:
    """Draw a mermaid fence."""
    runner = runner_of(md)
    try:
        return _mermaid.diagram(source, cache=runner.cache)
    except _mermaid.MermaidError as error:
        if runner.page is None:
            raise
        line = int(options["line"]) + error.line if "line" in options else runner.page.rendering
        raise runner.page.error(line, "MermaidError", str(error)) from None


def accept(language: str, inputs: dict[str, str], options: dict[str, Any], attrs: object, md: Markdown) -> bool:
    """Take every mermaid fence, with the line that the page's run put there."""
    options.update(inputs)
    return True


def runner_of(md: Markdown) -> RunPage:
    """Find the page's own run, also from the conversion of a fence's output."""
    outer = getattr(md, "_original_md", md)  # markdown-exec's name for the page's instance
    runner = outer.preprocessors["qkvdocs"]
    assert isinstance(runner, RunPage)  # noqa: S101
    return runner


def source_of(md: Markdown) -> tuple[Path, Path] | None:
    """Find the file that is being converted and the folder of all pages; None inside another conversion."""
    if hasattr(md, "_original_md"):
        return None
    if "relpath" in md.treeprocessors:  # MkDocs
        file = md.treeprocessors["relpath"].file  # type: ignore[attr-defined]
        path = Path(file.abs_src_path)
        return path, Path(str(path)[: -len(file.src_uri)])
    if "rendering_context" in md.preprocessors:  # Zensical
        context = md.preprocessors["rendering_context"]
        docs = Path(context.config["docs_dir"]).absolute()  # type: ignore[attr-defined]
        return docs / context.page.path, docs  # type: ignore[attr-defined]
    return None
