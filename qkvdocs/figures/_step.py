"""A result of a figure: how the script recomputes it, and each entry's sum in words."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

from qkvdocs.errors import ShapeError
from qkvdocs.figures import _words
from qkvdocs.figures._matrix import Matrix, pretty, table

__all__ = ["Step", "product", "sums_of"]


@dataclass(frozen=True)
class Step:
    """A result, and the recipe by which the script recomputes it."""

    result: Matrix
    sums: list[list[str]]
    operation: str
    """What the script does: product, turn, scale, mask or softmax."""
    operands: tuple[str, ...]
    said: str
    """The right side in words and letters."""
    kind: str = ""
    """A class of the table: `heat` shades it."""
    attributes: Callable[[int, int], str] = field(default=lambda row, column: "")

    def table(self, caption: str = "") -> str:
        """Write the result, its entries ready to explain themselves."""
        recipe = f' data-op="{self.operation}" data-from="{" ".join(self.operands)}"'
        place = f"out {self.kind}".strip()
        return table(
            self.result, place, sums=self.sums, recipe=recipe, caption=caption, attributes=self.attributes
        )

    def twin(self) -> str:
        """Say the equation and all its sums."""
        said = "".join(f"<li>{escape(text, quote=False)}</li>" for row in self.sums for text in row)
        name = pretty(self.result.name)
        return f'<p>{name} = {self.said} = {self.result.live}</p><ul class="qkv-sums">{said}</ul>'


def product(left: Matrix, right: Matrix, result: Matrix) -> Step:
    """Say a matrix product.

    Args:
        left: First operand.
        right: Second operand.
        result: What the caller computed.

    Returns:
        The step.

    Raises:
        ShapeError: If the shapes are not those of a product.
        QKVError: If an entry is not the sum that would be said of it.
    """
    if left.shape[1] != right.shape[0]:
        rows = f"({left.shape[1]}, columns)"
        raise ShapeError(
            f"{right.name} must have shape (columns of {left.name}, columns) = {rows}, got {right.shape}"
        )
    if result.shape != (left.shape[0], right.shape[1]):
        must = f"(rows of {left.name}, columns of {right.name}) = {(left.shape[0], right.shape[1])}"
        raise ShapeError(f"{result.name} must have shape {must}, got {result.shape}")
    sums = sums_of(
        result,
        lambda label, i, j: _words.product(
            label, left.values[i].tolist(), right.values[:, j].tolist(), float(result.values[i, j])
        ),
    )
    said = f"{pretty(left.name)} × {pretty(right.name)}"
    return Step(result, sums, "product", (left.name, right.name), said)


def sums_of(result: Matrix, say: Callable[[str, int, int], str]) -> list[list[str]]:
    """Say every entry of a result."""
    rows, columns = result.shape
    return [
        [say(_words.entry(result.name, i, j, result.shape), i, j) for j in range(columns)]
        for i in range(rows)
    ]
