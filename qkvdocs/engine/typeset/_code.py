"""Code in its colours, kept by content: to find them is a fifth of all that converting pages takes."""

import functools
from pathlib import Path

import pygments
import pymdownx.highlight
from pygments.formatter import Formatter
from pygments.lexer import Lexer

from qkvdocs.engine.typeset._kept import kept, version


@functools.cache
def keep_colours(cache: Path) -> None:
    """Let all that colours code, of pages and of the reference, ask a folder first.

    Args:
        cache: Where it is kept. Warm equals cold byte for byte.
    """
    makers = [version(name) for name in ("pygments", "pymdown-extensions")]

    def highlight(code: str, lexer: Lexer, formatter: Formatter[str]) -> str:
        asked = [type(lexer), lexer.options, type(formatter), formatter.options, code]
        return kept(
            cache, [*makers, *asked], lambda: pygments.highlight(code, lexer, formatter).encode()
        ).decode()

    pymdownx.highlight.highlight = highlight
