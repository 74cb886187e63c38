"""A named matrix, and its table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from re import sub

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.numbers import DIGITS, fmt, plain, relation
from qkvdocs.roles import role

__all__ = ["LIMIT", "MOST", "Matrix", "check_labels", "pretty", "read", "table"]

MOST = 8
"""Rows or columns that the stylesheet can mark."""
LIMIT = 999
"""Largest number, without its sign, that the script takes from a reader."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Numbers with a name, always in rows."""

    name: str
    values: np.ndarray
    flat: bool = False
    """Whether it was given as one vector, and is to be written as one."""
    rows: Sequence[str] = ()
    """A label for each row, or none."""
    columns: Sequence[str] = ()
    """A label for each column, or none."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.values.shape
        return rows, columns

    @property
    def text(self) -> str:
        """All entries, as code writes them."""
        return plain(self.values.ravel() if self.flat else self.values)

    @property
    def live(self) -> str:
        """The same as HTML, which the script keeps up to date."""
        flat = ' data-flat="1"' if self.flat else ""
        return f'<span data-py="{self.name}"{flat}>{self.text}</span>'

    @property
    def turned(self) -> "Matrix":
        """The transpose, under the name of one."""
        return Matrix(f"{self.name}.T", self.values.T, self.flat, self.columns, self.rows)


def read(
    name: str,
    values: ArrayLike,
    *,
    column: bool = False,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    most: int = MOST,
    editable: bool = False,
) -> Matrix:
    """Take a vector or a matrix of finite numbers.

    Args:
        name: What the page calls it: a letter, then letters, digits and underscores.
        values: One or two axes.
        column: Stand a vector upright.
        rows: A label for each row, or none.
        columns: A label for each column, or none.
        most: Rows or columns at most.
        editable: A reader can change the numbers, so that they must be within `LIMIT` and shown in full.

    Returns:
        The matrix.

    Raises:
        ShapeError: If it has more than two axes, is empty or too large, or the labels do not fit.
        DTypeError: If an entry is not a finite real number.
        QKVError: If the name is not one, or an entry is beyond `LIMIT` or not shown in full.
    """
    if not name.isidentifier():
        raise QKVError(f"a matrix must be named like a variable, got {name!r}")
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise DTypeError(f"{name} must hold finite real numbers, got {array.dtype}: {array.tolist()}")
    if array.ndim not in (1, 2) or not array.size or max(array.shape) > most:
        raise ShapeError(f"{name} must have 1 or 2 axes of 1 to {most} entries, got shape {array.shape}")
    if editable and np.abs(array).max() > LIMIT:
        raise QKVError(f"entries of {name} must be from -{LIMIT} to {LIMIT}, got {plain(array)}")
    if editable and relation(*array.ravel().tolist()) != "=":
        got = array.ravel().tolist()
        raise QKVError(
            f"entries of {name} must have at most {DIGITS} decimals, got {got}. Round them, or edit=False"
        )
    flat = array.ndim == 1
    if flat:
        array = array[:, None] if column else array[None, :]
    check_labels(f"rows of {name}", rows, array.shape[0])
    check_labels(f"columns of {name}", columns, array.shape[1])
    return Matrix(name, array.astype(float), flat, rows, columns)


def check_labels(what: str, labels: Sequence[str], count: int) -> None:
    """Refuse labels that do not stand one to one."""
    if labels and len(labels) != count:
        raise ShapeError(f"{what} must have as many labels as entries = {count}, got {len(labels)}")


def pretty(name: str) -> str:
    """Write a name as mathematics does: `W_Q` with a subscript, `K.T` with a raised T."""
    name = escape(name)
    name = sub(r"\.T$", "<sup>T</sup>", name)
    return sub(r"^([A-Za-z]+)_([A-Za-z]+)", r"\1<sub>\2</sub>", name)


def table(
    matrix: Matrix,
    place: str,
    *,
    editable: bool = False,
    sums: Sequence[Sequence[str]] | None = None,
    recipe: str = "",
    caption: str = "",
    write: Callable[[float], str] = fmt,
    attributes: Callable[[int, int], str] = lambda row, column: "",
    parts: Sequence[str] = (),
) -> str:
    """Write a matrix as a table, its numbers aligned by their points.

    Args:
        matrix: What to write.
        place: Classes: `lhs`, `rhs` or `each` for an operand, `out` for a result.
        editable: Let the script turn the entries into fields.
        sums: For a result, how each entry came about.
        recipe: For a result, the attributes from which the script computes it.
        caption: What stands above; its name if left out.
        write: How an entry is written.
        attributes: More attributes of a cell, from its row and column.
        parts: What each row is called where it stands alone on the page, so that an edit of one shows in both.

    Returns:
        A `<table>`.
    """
    texts = [[write(value) for value in values] for values in matrix.values.tolist()]
    pads = list(zip(*(_pads(column) for column in zip(*texts, strict=True)), strict=True))
    head = ""
    if matrix.columns:
        labels = "".join(f'<th scope="col">{escape(label)}</th>' for label in matrix.columns)
        head = f"<thead><tr>{'<td></td>' if matrix.rows else ''}{labels}</tr></thead>"
    body = []
    for row, written in enumerate(texts):
        label = f'<th scope="row">{escape(matrix.rows[row])}</th>' if matrix.rows else ""
        cells = []
        for column, text in enumerate(written):
            at = f'data-r="{row}" data-k="{column}"{attributes(row, column)}'
            if pads[row][column]:
                at += f' data-pad="{pads[row][column]}"'
            if sums is not None:
                why = escape(sums[row][column], quote=False)
                cells.append(f'<td {at} tabindex="0"><b>{text}</b><span class="qkv-why">{why}</span></td>')
            else:
                cells.append(f"<td {at}>{text}</td>")
        part = f' data-m="{parts[row]}"' if parts else ""
        body.append(f"<tr{part}>{label}{''.join(cells)}</tr>")
    limit = f' data-edit="{LIMIT}"' if editable else ""
    kinds = " ".join(f"qkv-m {place} {role(matrix.name)} {'labelled' if matrix.rows else ''}".split())
    return (
        f'<table class="{kinds}" data-m="{escape(matrix.name)}"{limit}{recipe}>'
        f"<caption>{caption or pretty(matrix.name)}</caption>{head}<tbody>{''.join(body)}</tbody></table>"
    )


def _pads(column: Sequence[str]) -> list[str]:
    """Give for each number the decimals that it lacks beside the longest of its column, which keep their room."""
    ends = [len(text) - f"{text}.".index(".") for text in column]
    return [f".{'0' * (max(ends) - 1)}"[end : max(ends)] for end in ends]
