import numpy as np
from jaxtyping import Float, Num

from qkvdocs.core._checks import check_axes, check_shape, float_array


def project(
    X: Float[np.ndarray, "*batch d_model"],
    weight: Float[np.ndarray, "d_model width"],
    bias: Float[np.ndarray, " width"] | None,
) -> Float[np.ndarray, "*batch width"]:
    """One projection, its arguments checked before."""
    rows: np.ndarray = X @ weight
    return rows if bias is None else rows + bias


def project_qkv(
    X: Num[np.ndarray, "*batch d_model"] | np.ndarray,
    W_Q: Num[np.ndarray, "d_model q_width"] | np.ndarray,
    W_K: Num[np.ndarray, "d_model k_width"] | np.ndarray,
    W_V: Num[np.ndarray, "d_model v_width"] | np.ndarray,
    b_Q: Num[np.ndarray, " q_width"] | np.ndarray | None = None,
    b_K: Num[np.ndarray, " k_width"] | np.ndarray | None = None,
    b_V: Num[np.ndarray, " v_width"] | np.ndarray | None = None,
) -> tuple[
    Float[np.ndarray, "*batch q_width"],
    Float[np.ndarray, "*batch k_width"],
    Float[np.ndarray, "*batch v_width"],
]:
    """Give each token row its three roles: `Q = X @ W_Q + b_Q`, and so for keys and values.

    Integers are computed in float64 and float16 in float32; float32 and float64 stay. So nothing
    overflows
    unseen: an integer that float64 does not hold exactly is refused.

    Args:
        X: One row, shape `(d_model,)`, or rows of any batch shape, `(*batch, d_model)`.
        W_Q: Query weight, shape `(d_model, n_heads * d_head)`.
        W_K: Key weight, shape `(d_model, n_kv_heads * d_head)`.
        W_V: Value weight, shape `(d_model, n_kv_heads * d_head)`.
        b_Q: Query bias, shape `(n_heads * d_head,)`, or None.
        b_K: Key bias, shape `(n_kv_heads * d_head,)`, or None.
        b_V: Value bias, shape `(n_kv_heads * d_head,)`, or None.

    Returns:
        `(Q, K, V)`, each in the batch shape of `X`, with the width of its weight.

    Raises:
        ShapeError: If a weight has not `d_model` rows, or a bias not the width of its weight.
        DTypeError: If an argument is not a plain array of real numbers, or holds an integer beyond 2**53.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.

    Examples:
        >>> x = np.array([1, 0, 2, 1])
        >>> W_Q = np.array([[1, 0], [0, 1], [1, 1], [0, 1]])
        >>> W_K = np.array([[1, 1], [1, 0], [0, 1], [1, -1]])
        >>> W_V = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])
        >>> q, k, v = project_qkv(x, W_Q, W_K, W_V)
        >>> q.tolist(), k.tolist(), v.tolist()
        ([3.0, 3.0], [2.0, 2.0], [3.0, 3.0])
    """
    X = float_array("X", X)
    check_axes("X", X, "(*batch, d_model)", 1)
    d_model = X.shape[-1]
    rows = []
    for letter, weight, bias in (("Q", W_Q, b_Q), ("K", W_K, b_K), ("V", W_V, b_V)):
        weight = float_array(f"W_{letter}", weight)
        check_shape(f"W_{letter}", weight, "(d_model, width)", (d_model, "width"))
        if bias is not None:
            bias = float_array(f"b_{letter}", bias)
            check_shape(f"b_{letter}", bias, f"(width of W_{letter},)", weight.shape[1:])
        rows.append(project(X, weight, bias))
    return rows[0], rows[1], rows[2]
