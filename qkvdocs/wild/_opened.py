# What the page that opens a checkpoint shows of it: the command's own answer, and pictures of matrices.

import io
import json
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from math import prod
from os import PathLike, fspath
from typing import Any

import numpy as np

from qkvdocs.errors import QKVError, printable
from qkvdocs.wild._command import Progress, run
from qkvdocs.wild._plan import Piece, Plan
from qkvdocs.wild._split import split
from qkvdocs.wild._tensor import Tensor

LINES, MODULES, CELLS = 400, 300, 96
"""Lines and modules that are shown, and cells of a picture each way."""


class Opened:
    """A checkpoint, as the page on opening one shows it; the page's script calls this in the reader's browser.

    Args:
        address: A file or a folder.
        options: Of the command `qkvdocs wild`, as they are typed.
        tell: Given a line about how far it is, now and then.

    Examples:
        >>> opened = Opened("tests/wild/fixtures/gpt2")
        >>> opened.code, opened.modules
        (0, ['h.0.attn'])
    """

    def __init__(
        self,
        address: str | PathLike[str],
        options: str = "",
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            try:
                words = shlex.split(options)
            except ValueError as error:
                words = [f"--{error}"]
            self.code, self._found = run([fspath(address), *words], Progress(tell))
        lines = said.getvalue().rstrip().split("\n")
        more = [f"and {len(lines) - LINES} lines more"] * (len(lines) > LINES)
        self.text = "\n".join([*lines[:LINES], *more])
        """What the command says, or its first lines."""
        self._paths = list(self._found or ())[:MODULES]
        self.modules = list(map(printable, self._paths))
        """Attention modules of which there are pictures."""

    def answer(self) -> str:
        """Give `code`, `text`, and the `modules`, as JSON."""
        return json.dumps({"code": self.code, "text": self.text, "modules": self.modules})

    def pictures(self, number: int) -> str:
        """Give a picture of each matrix of a module as it is stored, as JSON.

        Args:
            number: Which of `modules`.

        Returns:
            A list of pictures: what to say of it as `line`, its `roles`; and rows of `cells`, from 0 to 255 by size,
            with the role that each row or column belongs to in `owners`, and whether it is columns; or `why` there
            is none.
        """
        assert self._found is not None  # noqa: S101  # for the type checker
        plan = self._found.plans[self._paths[number]]
        return json.dumps([self._picture(plan, piece) for piece in plan.pieces if piece.letter == "W"])

    def _picture(self, plan: Plan, piece: Piece) -> dict[str, Any]:
        turned = "(in, out)" if piece.columns else "(out, in)"
        shape = " × ".join(map(str, piece.shape))
        told = {"line": printable(f"{piece.name}, {shape} {turned}, {piece.dtype}"), "roles": piece.roles}
        width, height = prod(piece.shape[1:]), piece.shape[0]
        down, right = -(-height // CELLS), -(-width // CELLS)
        try:
            seen = np.abs(self._rows(piece.name, down)[:, ::right].astype("f4"))
        except (QKVError, OSError, MemoryError) as error:
            return told | {"why": printable(str(error) or type(error).__name__)}
        seen[~np.isfinite(seen)] = 0
        cells = np.rint(255 * seen / (seen.max(initial=0) or 1)).astype(int)
        outputs, step = (width, right) if piece.columns else (height, down)
        owners = np.full(outputs, piece.roles[0])
        if len(piece.roles) > 1:
            for role, places in split(np.arange(outputs), piece.roles, plan.widths, piece.blocks).items():
                owners[places] = role
        return told | {"cells": cells.tolist(), "owners": "".join(owners[::step]), "columns": piece.columns}

    def _rows(self, name: str, step: int) -> np.ndarray:
        """Give every so manyth row of a matrix; of one that lies row by row in its file, nothing else is read."""
        assert self._found is not None  # noqa: S101  # for the type checker
        source, tensor = self._found.checkpoint.place(name)
        height = tensor.shape[0]
        if type(tensor) is not Tensor:
            return tensor.load(source, name).reshape(height, -1)[::step]
        size = (tensor.end - tensor.begin) // height
        starts = range(tensor.begin, tensor.end, size * step)
        rows = [replace(tensor, shape=tensor.shape[1:], begin=at, end=at + size) for at in starts]
        return np.stack([row.load(source, name).reshape(-1) for row in rows])
