"""How a fence that ran is shown: Markdown in its place, laid out by markdown-exec's own functions.

Because it is Markdown of the page itself, and not HTML converted apart, printed headings enter the table of
contents, printed links are followed and checked, and no fence costs a second conversion.
"""

from collections.abc import Callable

from qkvdocs.engine.pages._fences import SHOWN, Fence, FenceError
from qkvdocs.engine.pages._runnable import beside_figure


def lay_out(output: str, fence: Fence, line: int, stash: Callable[[str], str], button: str = "") -> list[str]:
    """Write what a fence shows.

    Args:
        output: What it printed.
        fence: The fence and its options.
        line: Its line in the file, for errors in a printed diagram.
        stash: Keeps HTML out of Markdown's way; gives what to write in its place.
        button: HTML that lets a reader run it; empty for none.

    Returns:
        Lines of Markdown, with an empty one before and after.

    Raises:
        FenceError: If there is a button, and the output is neither text nor a figure with code.
    """
    from markdown_exec import add_source, code_block, default_tabs  # slow to load; pages run while it does

    asked = fence.options
    where, result = asked.get("source", ""), asked.get("result", "")
    if button and output and not result and asked.get("html") != "on":
        raise FenceError(line, 'a fence with run must have result="text", or print nothing')
    if button and asked.get("html") == "on":
        output, button = beside_figure(output, button, line), ""
    if output and asked.get("html") == "on":
        output = stash(output)
    elif output and result and where != "console":
        output = code_block(result, output, **({"line": str(line)} if result == "mermaid" else {}))
    if where:
        left, _, right = asked.get("tabs", "|".join(default_tabs)).partition("|")
        output = add_source(
            source=fence.code,
            location=where if output else "above",
            output=output,
            language="python",
            tabs=(left, right),
            result=result,
            **{name: asked[name] for name in SHOWN if name in asked},
        )
    return ["", *output.split("\n"), *(["", stash(button)] if button else []), ""]
