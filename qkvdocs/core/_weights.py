from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Num

from qkvdocs.core._checks import check_axes, check_shape, float_array, size
from qkvdocs.core._heads import check_groups
from qkvdocs.core._projection import project_qkv
from qkvdocs.errors import ShapeError


@dataclass(frozen=True, kw_only=True, eq=False)
class QKVWeights:
    """The weights of one attention layer, in the layout of `X @ W`, checked when they are put together.

    Column block h of a weight belongs to head h. Integers are kept as float64 and float16 as float32;
    other arrays are kept as they are, without a copy.

    Raises:
        ShapeError: If a shape contradicts the others, a number of heads is not a positive integer, or
            `b_O` comes without `W_O`.
        DTypeError: If an array is not a plain one of real numbers.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2;
        Ainslie et al. 2023, "GQA", section 2.2, for `n_kv_heads`.

    Examples:
        >>> W_Q, W_K, W_V = np.eye(4), np.ones((4, 2)), np.ones((4, 2))
        >>> weights = QKVWeights(W_Q=W_Q, W_K=W_K, W_V=W_V, n_heads=2, n_kv_heads=1)
        >>> weights.d_model, weights.d_head
        (4, 2)
    """

    W_Q: Num[np.ndarray, "d_model q_width"] | np.ndarray
    """Query weight, shape `(d_model, n_heads * d_head)`."""
    W_K: Num[np.ndarray, "d_model kv_width"] | np.ndarray
    """Key weight, shape `(d_model, n_kv_heads * d_head)`."""
    W_V: Num[np.ndarray, "d_model v_width"] | np.ndarray
    """Value weight, shape `(d_model, n_kv_heads * d_value)`; d_value is d_head in most layers."""
    W_O: Num[np.ndarray, "o_width d_model"] | np.ndarray | None = None
    """Output weight, shape `(n_heads * d_value, d_model)`; None leaves the merged heads as they are."""
    b_Q: Num[np.ndarray, " q_width"] | np.ndarray | None = None
    """Query bias, shape `(n_heads * d_head,)`."""
    b_K: Num[np.ndarray, " kv_width"] | np.ndarray | None = None
    """Key bias, shape `(n_kv_heads * d_head,)`."""
    b_V: Num[np.ndarray, " v_width"] | np.ndarray | None = None
    """Value bias, shape `(n_kv_heads * d_value,)`."""
    b_O: Num[np.ndarray, " d_model"] | np.ndarray | None = None
    """Output bias, shape `(d_model,)`."""
    n_heads: int
    """Query heads."""
    n_kv_heads: int = field(default=None)  # type: ignore[assignment]  # read as an int, so typed as one
    """Key and value heads; left out, as many as query heads."""

    def __post_init__(self) -> None:
        n_heads = size("n_heads", self.n_heads, 1)
        n_kv_heads = n_heads if self.n_kv_heads is None else size("n_kv_heads", self.n_kv_heads, 1)
        check_groups(n_heads, n_kv_heads)
        arrays = {
            name: float_array(name, array)
            for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
            if (array := getattr(self, name)) is not None or name in ("W_Q", "W_K", "W_V")
        }
        check_shape("W_Q", arrays["W_Q"], "(d_model, n_heads * d_head)", ("d_model", "n_heads * d_head"))
        d_model, width = arrays["W_Q"].shape
        size("d_model", d_model, 1)
        if width % n_heads or not width:
            raise ShapeError(f"the last axis of W_Q must be a multiple of n_heads={n_heads}, got {width}")
        sizes = {"d_model": d_model, "n_heads * d_head": width}
        sizes["n_kv_heads * d_head"] = width // n_heads * n_kv_heads
        check_shape("W_V", arrays["W_V"], "(d_model, n_kv_heads * d_value)", AXES["W_V"])
        values = arrays["W_V"].shape[1]
        if values % n_kv_heads or not values:
            raise ShapeError(
                f"the last axis of W_V must be a multiple of n_kv_heads={n_kv_heads}, got {values}"
            )
        sizes |= {"n_kv_heads * d_value": values, "n_heads * d_value": values // n_kv_heads * n_heads}
        for name, array in arrays.items():
            axes = AXES[name]
            symbols = f"({', '.join(axes)}{',' * (len(axes) == 1)})"
            check_shape(name, array, symbols, tuple(sizes[axis] for axis in axes))
        if self.b_O is not None and self.W_O is None:
            raise ShapeError(f"b_O must be None without W_O, got an array of shape {arrays['b_O'].shape}")
        for name, value in {**arrays, "n_heads": n_heads, "n_kv_heads": n_kv_heads}.items():
            object.__setattr__(self, name, value)

    @property
    def d_model(self) -> int:
        """Width of a token row."""
        return int(self.W_Q.shape[0])

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return int(self.W_Q.shape[1]) // self.n_heads

    @property
    def d_value(self) -> int:
        """Width of one head's values."""
        return int(self.W_V.shape[1]) // self.n_kv_heads

    def project(
        self, X: Num[np.ndarray, "*batch d_model"] | np.ndarray
    ) -> tuple[
        Float[np.ndarray, "*batch q_width"],
        Float[np.ndarray, "*batch kv_width"],
        Float[np.ndarray, "*batch v_width"],
    ]:
        """Project rows with this layer, as `project_qkv` does.

        Args:
            X: One row, shape `(d_model,)`, or rows of any batch shape, `(*batch, d_model)`.

        Returns:
            `(Q, K, V)`, heads still side by side: `n_heads * d_head`, `n_kv_heads * d_head` and
            `n_kv_heads * d_value` wide.

        Raises:
            ShapeError: If the last axis of `X` is not `d_model`.
            DTypeError: If `X` is not a plain array of real numbers.

        Examples:
            >>> weights = QKVWeights(W_Q=np.eye(2), W_K=2 * np.eye(2), W_V=3 * np.eye(2), n_heads=1)
            >>> [row.tolist() for row in weights.project(np.array([1, 0]))]
            [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
        """
        X = float_array("X", X)
        check_axes("X", X, "(*batch, d_model)", 1)
        batch = X.shape[:-1]
        check_shape("X", X, "(*batch, d_model)", (*batch, self.d_model))
        return project_qkv(X, self.W_Q, self.W_K, self.W_V, self.b_Q, self.b_K, self.b_V)


AXES = {
    "W_Q": ("d_model", "n_heads * d_head"),
    "W_K": ("d_model", "n_kv_heads * d_head"),
    "W_V": ("d_model", "n_kv_heads * d_value"),
    "W_O": ("n_heads * d_value", "d_model"),
    "b_Q": ("n_heads * d_head",),
    "b_K": ("n_kv_heads * d_head",),
    "b_V": ("n_kv_heads * d_value",),
    "b_O": ("d_model",),
}
