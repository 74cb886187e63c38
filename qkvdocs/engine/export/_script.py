"""A lesson's code as one plain script that prints what the page prints."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from qkvdocs.engine.export._cells import Cell

SETUP = """\
import numpy as np

np.seterr(all="raise", under="ignore")
np.set_printoptions(precision=4, suppress=True, linewidth=88)
"""
"""What `qkvdocs.engine.runtime.settle` does for a page; written out, since a reader owns the script."""
HEADING = re.compile(r"^#+ (.+)$", re.M)


def script(found: Sequence[Cell], title: str, address: str = "") -> str:
    """Write a lesson's code in its order, under its headings.

    Args:
        found: The lesson's cells.
        title: Its title.
        address: Where it can be read, if that is known.

    Returns:
        Python for a fresh interpreter with numpy and qkvdocs.
    """
    where = f": {address}" if address else ""
    needs = "It needs numpy and qkvdocs, and prints what the page prints."
    head = f'"""The code of the lesson “{title}”{where}\n\n{needs}\n"""'
    return "\n\n".join([head, SETUP.strip(), *_parts(found)]) + "\n"


def _parts(found: Sequence[Cell]) -> Iterator[str]:
    for cell in found:
        if not cell.code:
            yield from (f"# %% {heading}" for heading in HEADING.findall(cell.text))
            continue
        title = f"# {cell.title}\n" if cell.title else ""
        yield title + (_caught(cell.text) if cell.raises else cell.text)


def _caught(code: str) -> str:
    """Run code that must fail, and go on."""
    printed = 'print(f"{type(error).__name__}: {error}")'
    return f"try:\n{textwrap.indent(code, '    ')}\nexcept Exception as error:\n    {printed}"
