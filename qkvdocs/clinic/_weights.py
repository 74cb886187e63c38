from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.core import QKVWeights


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
        ShapeError: If the shapes do not belong to one layer.

    Examples:
        >>> W = np.arange(8.0).reshape(2, 4)
        >>> weights_from(W, W, W, n_heads=1).W_Q.shape
        (4, 2)
    """
    arrays = {}
    for role, layer in (("Q", q), ("K", k), ("V", v), ("O", o)):
        if layer is None:
            continue
        weight, bias = _parts(layer)
        arrays[f"W_{role}"] = to_numpy(weight).T if stored == "out, in" else to_numpy(weight)
        if bias is not None:
            arrays[f"b_{role}"] = to_numpy(bias)
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return QKVWeights(**kept, n_heads=n_heads, n_kv_heads=n_kv_heads or n_heads)


def _parts(layer: Any) -> tuple[Any, Any]:
    if isinstance(layer, tuple):
        return layer[0], layer[1]
    if hasattr(layer, "weight"):
        return layer.weight, getattr(layer, "bias", None)
    return layer, None
