"""Numbers that write down what a page's function does with them, so that the page's script can do the same."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import QKVError, ShapeError

__all__ = ["OPERATIONS", "Recipe", "Traced", "shorten"]

Word = str | float | list[list[float]]
Recipe = list[Word]
"""Operands before operations: `["x", "W_Q", "@"]`. A word that is no text stands for itself."""

OPERATIONS = {
    "@": np.matmul,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "<=": np.less_equal,
}
"""What `assets/qkv-practice.js` can do too; `pick` besides, which takes entries by their places."""


class Traced:
    """A matrix, and the recipe by which it came about."""

    # Let numpy's arrays leave an operation with one of us to us.
    __array_ufunc__ = None

    def __init__(
        self, value: ArrayLike, recipe: Recipe, made: tuple[str, np.ndarray, np.ndarray] | None = None
    ) -> None:
        self.value = np.atleast_2d(np.asarray(value, dtype=float))
        self.recipe = recipe
        self.made = made
        """The last operation, and what it was given."""

    @staticmethod
    def of(value: "Traced | ArrayLike") -> "Traced":
        """Take what may stand in a formula as it is: a number or an array."""
        if isinstance(value, Traced):
            return value
        array = np.atleast_2d(np.asarray(value, dtype=float))
        return Traced(array, [array.item() if array.size == 1 else array.tolist()])

    def __matmul__(self, other: "Traced | ArrayLike") -> "Traced":
        return _do("@", self, other)

    def __rmatmul__(self, other: ArrayLike) -> "Traced":
        return _do("@", other, self)

    def __add__(self, other: "Traced | ArrayLike") -> "Traced":
        return _do("+", self, other)

    def __radd__(self, other: ArrayLike) -> "Traced":
        return _do("+", other, self)

    def __sub__(self, other: "Traced | ArrayLike") -> "Traced":
        return _do("-", self, other)

    def __rsub__(self, other: ArrayLike) -> "Traced":
        return _do("-", other, self)

    def __mul__(self, other: "Traced | ArrayLike") -> "Traced":
        return _do("*", self, other)

    def __rmul__(self, other: ArrayLike) -> "Traced":
        return _do("*", other, self)

    def __truediv__(self, other: "Traced | ArrayLike") -> "Traced":
        return _do("/", self, other)

    def __le__(self, other: "Traced | ArrayLike") -> "Traced":
        return _at_most(self, Traced.of(other))

    def __ge__(self, other: "Traced | ArrayLike") -> "Traced":
        return _at_most(Traced.of(other), self)

    def __abs__(self) -> "Traced":
        return self * ((self >= 0) - (self <= 0))

    @property
    def T(self) -> "Traced":  # noqa: N802 - numpy's name
        """The transpose."""
        return self._pick(self._places.T)

    def reshape(self, *shape: int) -> "Traced":
        """Read the entries row by row into another shape."""
        return self._pick(self._places.reshape(shape))

    def __getitem__(self, key: Any) -> "Traced":
        return self._pick(self._places[key])

    @property
    def _places(self) -> np.ndarray:
        return np.arange(self.value.size).reshape(self.value.shape)

    def _pick(self, places: np.ndarray) -> "Traced":
        if places.ndim != 2:
            raise QKVError(f"an exercise must keep its matrices in 2 axes, got {places.ndim}. Slice: X[1:2]")
        return Traced(self.value.ravel()[places], [*self.recipe, places.tolist(), "pick"])


def _at_most(left: Traced, right: Traced) -> Traced:
    # A single number stands on the right, as everywhere in a recipe.
    return _do("<=", left, right) if left.value.size > 1 else _do("<=", right * -1, left * -1)


def _do(name: str, left: Traced | ArrayLike, right: Traced | ArrayLike) -> Traced:
    a, b = Traced.of(left), Traced.of(right)
    if name != "@" and np.broadcast_shapes(a.value.shape, b.value.shape) != a.value.shape:
        raise ShapeError(
            f"the left side of {name} must have the shape of the result, got {a.value.shape} {name} {b.value.shape}"
        )
    return Traced(OPERATIONS[name](a.value, b.value), [*a.recipe, *b.recipe, name], (name, a.value, b.value))


def shorten(recipe: Recipe, steps: dict[str, Recipe]) -> Recipe:
    """Put the name of a step where a recipe repeats it.

    Args:
        recipe: What is done.
        steps: Recipes of named results, in their order.

    Returns:
        The same in fewer words.
    """
    for name, known in steps.items():
        at, size = 0, len(known)
        while size > 1 and at <= len(recipe) - size:
            if recipe[at : at + size] == known:
                recipe = [*recipe[:at], name, *recipe[at + size :]]
            at += 1
    return recipe
