# The way back: core weights into any layout that can hold them.

import numpy as np

from qkvdocs.core import QKVWeights
from qkvdocs.errors import LayoutError
from qkvdocs.wild._layout import Layout
from qkvdocs.wild._split import join


def fuse(weights: QKVWeights, layout: Layout) -> dict[str, np.ndarray]:
    """Store a layer in the layout of a family.

    A missing bias and a bias of zeros are the same function: zeros are written where the layout demands a
    bias, and a bias of zeros is left out where it has no place.

    Args:
        weights: The layer, with its `W_O`.
        layout: How it is to be stored.

    Returns:
        Tensor name, counted from the attention module -> array, as the family's file has it.

    Raises:
        LayoutError: If the layout cannot hold the layer; the message names what would be lost.

    Examples:
        >>> one = np.eye(2)
        >>> weights = QKVWeights(W_Q=one, W_K=2 * one, W_V=3 * one, W_O=one, n_heads=1)
        >>> mine = Layout(family="mine", tensors={"qkv.{}": "qkv"}, out=("out.{}",), columns=("qkv.{}",))
        >>> fuse(weights, mine)["qkv.weight"].tolist()
        [[1.0, 0.0, 2.0, 0.0, 3.0, 0.0], [0.0, 1.0, 0.0, 2.0, 0.0, 3.0]]
    """
    parts = {role: getattr(weights, f"W_{role.upper()}", None) for role in "qkvog"}
    _check_room(weights, layout, parts)
    biases = {role: _bias(weights, layout, role) for role in "qkvog"}
    blocks = layout.copies(weights.n_heads, weights.n_kv_heads)
    stored: dict[str, np.ndarray] = {}
    for template, roles in [*layout.tensors.items(), (layout.out[0], "o")]:
        held = {role: part for role in roles if (part := parts[role]) is not None}
        joined = join(held, roles, blocks if len(roles) > 1 else 1)
        heads = {"q": weights.n_heads, "o": weights.n_heads}.get(roles[0], weights.n_kv_heads)
        stored[template.format("weight")] = _oriented(joined, layout, template, heads)
        inline = [role for role in roles if role not in layout.biases]
        if "{}" in template and any(biases[role] is not None for role in inline):
            full = {role: _or_zeros(biases[role], parts[role]) for role in roles}
            stored[template.format("bias")] = join(full, roles, blocks if len(roles) > 1 else 1)
    for role, name in layout.biases.items():
        if (bias := biases[role]) is not None:
            stored[name] = bias
    return stored


def _check_room(weights: QKVWeights, layout: Layout, parts: dict[str, np.ndarray | None]) -> None:
    family = layout.family
    if parts["o"] is None:
        raise LayoutError(f"weights must have a W_O to be stored as {family} does, got None")
    if parts["g"] is not None and not layout.gated:
        raise LayoutError(f"{family} must have a place for a gate, got none: W_G would be lost")
    if parts["g"] is None and layout.gated:
        raise LayoutError(f"weights must have a W_G to be stored as {family} does, got None")
    if weights.n_kv_heads != weights.n_heads and not layout.grouped:
        raise LayoutError(
            f"{family} must have as many key heads as query heads, got {weights.n_kv_heads} for "
            f"{weights.n_heads}: the grouping would be lost. "
            "Repeating the key heads gives the same attention in a larger file"
        )
    width = weights.n_heads * weights.d_head
    if layout.square and width != weights.d_model:
        raise LayoutError(
            f"{family} must have heads as wide together as d_model={weights.d_model}, got {width}"
        )
    if isinstance(layout.blocks, int) and weights.n_kv_heads % layout.blocks:
        raise LayoutError(
            f"n_kv_heads must be a multiple of blocks={layout.blocks} of {family}, got {weights.n_kv_heads}"
        )


def _bias(weights: QKVWeights, layout: Layout, role: str) -> np.ndarray | None:
    bias: np.ndarray | None = getattr(weights, f"b_{role.upper()}", None)
    if role not in layout.bias and role != "g":
        if bias is not None and bias.any():
            raise LayoutError(
                f"{layout.family} must have a place for b_{role.upper()}, got none: the bias would be lost"
            )
        return None
    return _or_zeros(bias, getattr(weights, f"W_{role.upper()}")) if role in layout.always else bias


def _or_zeros(bias: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray:
    if bias is not None:
        return bias
    return np.zeros(0) if weight is None else np.zeros(weight.shape[1], weight.dtype)


def _oriented(joined: np.ndarray, layout: Layout, template: str, heads: int) -> np.ndarray:
    if layout.axes == 3:  # heads on an axis of their own
        rows = joined if template in layout.columns else joined.T
        return rows.reshape(len(rows), heads, -1)
    return joined if template in layout.columns else joined.T
