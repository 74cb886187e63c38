from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.clinic._declared import check_choice, refuse
from qkvdocs.core import QKVWeights

FORM = "be a layer with weight and bias, a pair of them, or a matrix"


def weights_from(
    q: Any,
    k: Any,
    v: Any,
    o: Any = None,
    *,
    n_heads: int,
    n_kv_heads: int | None = None,
    stored: str = "out, in",
) -> QKVWeights:
    """Read the weights of linear layers into the layout of `x @ W`.

    Args:
        q: A layer with `weight` and `bias`, as nn.Linear has them; or a pair of arrays; or one array.
        k: The same for keys.
        v: The same for values.
        o: The same for the output projection, or None.
        n_heads: Query heads.
        n_kv_heads: Key heads; None means as many.
        stored: `out, in` as nn.Linear stores weights, or `in, out` as Conv1D does.

    Returns:
        The layer's weights, as float64.

    Raises:
        ContractError: If a role is no matrix of numbers, or `stored` is another word.
        ShapeError: If the shapes do not belong to one layer.

    Examples:
        >>> W = np.arange(8.0).reshape(2, 4)
        >>> weights_from(W, W, W, n_heads=1).W_Q.shape
        (4, 2)
    """
    check_choice("stored", stored, ("out, in", "in, out"))
    arrays = {}
    for role, layer in (("Q", q), ("K", k), ("V", v), ("O", o)):
        if layer is None:
            continue
        weight, bias = _parts(role.lower(), layer)
        arrays[f"W_{role}"] = weight.T if stored == "out, in" else weight
        if bias is not None:
            arrays[f"b_{role}"] = bias
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return QKVWeights(**kept, n_heads=n_heads, n_kv_heads=n_heads if n_kv_heads is None else n_kv_heads)


def _parts(name: str, layer: Any) -> tuple[np.ndarray, np.ndarray | None]:
    weight, bias = layer, None
    if isinstance(layer, tuple) and len(layer) == 2:
        weight, bias = layer
    elif hasattr(layer, "weight"):
        weight, bias = layer.weight, getattr(layer, "bias", None)
    try:
        matrix, row = to_numpy(weight), None if bias is None else to_numpy(bias)
    except Exception:  # what is no array may fail in any way
        raise refuse(name, FORM, layer) from None
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise refuse(name, FORM, layer)
    if row is not None and (row.ndim != 1 or row.dtype.kind not in "fiu"):
        raise refuse(f"the bias of {name}", "be a row of numbers", bias)
    return matrix, row
