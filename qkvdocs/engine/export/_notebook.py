"""A lesson as a Jupyter notebook: prose, code, and the outputs that the page shows."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from qkvdocs.engine.export._cells import Cell
from qkvdocs.engine.export._script import SETUP

START = Cell(
    f"# As on the page: four decimals, and what is no number is an error.\n{SETUP.strip()}", code=True
)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(found: Sequence[Cell], address: str = "") -> str:
    """Write a lesson as a notebook.

    Args:
        found: The lesson's cells.
        address: Where it can be read, if that is known.

    Returns:
        JSON of nbformat 4.5, the same for the same lesson.
    """
    where = f" It is [a page of qkvdocs]({address})." if address else ""
    about = Cell(f"*This notebook needs numpy and the package qkvdocs.{where}*")
    made: list[dict[str, Any]] = []
    for cell in [found[0], about, START, *found[1:]]:
        name = hashlib.sha256(f"{len(made)} {cell.text}".encode()).hexdigest()[:8]
        made.append({"id": name, **(_code(cell) if cell.code else _prose(cell))})
    whole = {"cells": made, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _prose(cell: Cell) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": cell.text.splitlines(keepends=True)}


def _code(cell: Cell) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": ["raises-exception"]} if cell.raises else {},
        "outputs": _outputs(cell),
        "source": cell.text.splitlines(keepends=True),
    }


def _outputs(cell: Cell) -> list[dict[str, Any]]:
    printed, _, message = cell.output.rpartition(f"{cell.raises}: ") if cell.raises else (cell.output, "", "")
    made: list[dict[str, Any]] = []
    if printed:
        text = f"{printed.rstrip()}\n".splitlines(keepends=True)
        made.append({"name": "stdout", "output_type": "stream", "text": text})
    if cell.raises:
        trace = [f"{cell.raises}: {message}"]
        made.append({"ename": cell.raises, "evalue": message, "output_type": "error", "traceback": trace})
    return made
