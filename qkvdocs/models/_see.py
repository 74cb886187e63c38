"""All heads of one layer at work, right or with one of the bugs that nothing reports."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from qkvdocs.core import QKVWeights, attend, causal_mask, merge_heads, split_heads
from qkvdocs.errors import QKVError

SILENT = (
    "scale",
    "shared-projection",
    "swapped-projection",
    "head-split",
    "key-transpose",
    "transposed-weight",
    "equivariance",
)
"""Bugs that `see` can make, by the names that they have in the clinic; `equivariance` is a causal mask where none
belongs."""


class Heads(NamedTuple):
    """What all heads of a layer compute."""

    Q: Float[np.ndarray, "heads seq d_head"]
    """Queries."""
    K: Float[np.ndarray, "heads seq d_head"]
    """Keys."""
    V: Float[np.ndarray, "heads seq d_head"]
    """Values."""
    scores: Float[np.ndarray, "heads seq seq"]
    """Scaled dot products."""
    pattern: Float[np.ndarray, "heads seq seq"]
    """Attention weights."""
    context: Float[np.ndarray, "heads seq d_head"]
    """The values, mixed by the weights."""
    output: Float[np.ndarray, "seq d_model"]
    """What leaves the layer of attention."""


def see(X: Float[np.ndarray, "seq d_model"], weights: QKVWeights, bug: str = "") -> Heads:
    """Run the attention of one layer and keep all that its heads compute.

    Args:
        X: The rows that enter, shape `(seq, d_model)`.
        weights: The layer, with as many key heads as query heads, and an output projection.
        bug: The name of a bug to make, one of `SILENT`; empty for none.

    Returns:
        Everything, head by head, and the output.

    Raises:
        QKVError: If there is no such bug.

    Examples:
        >>> from qkvdocs.core import attention
        >>> layer = QKVWeights(**{f"W_{r}": np.eye(4) + i for i, r in enumerate("QKVO")}, n_heads=2)
        >>> X = np.arange(12.0).reshape(3, 4)
        >>> bool(np.allclose(see(X, layer).output, attention(X, layer)))
        True
        >>> bool(np.allclose(see(X, layer, "equivariance").output, attention(X, layer, causal_mask(3, 3))))
        True
    """
    if bug and bug not in SILENT:
        raise QKVError(f"bug must be one of {', '.join(SILENT)}, got {bug!r}")
    W = _weights(weights, bug)
    rows = W.project(X)
    if (
        bug == "head-split"
    ):  # a bare reshape: each head gets a stretch of the text instead of a slice of each row
        Q, K, V = (part.reshape(W.n_heads, len(X), W.d_head) for part in rows)
    else:
        Q, K, V = (split_heads(part, W.n_heads) for part in rows)
    if bug == "key-transpose":  # Kᵀ by a reshape
        K = K.reshape(W.n_heads, W.d_head, len(X)).mT
    mask = causal_mask(len(X), len(X)) if bug == "equivariance" else None
    context, pattern, scores = attend(Q, K, V, mask, 1.0 if bug == "scale" else None)
    output = merge_heads(context) @ W.W_O
    return Heads(Q, K, V, scores, pattern, context, output if W.b_O is None else output + W.b_O)


def _weights(W: QKVWeights, bug: str) -> QKVWeights:
    if bug == "shared-projection":
        return replace(W, W_K=W.W_Q, b_K=W.b_Q)
    if bug == "swapped-projection":
        return replace(W, W_K=W.W_V, b_K=W.b_V, W_V=W.W_K, b_V=W.b_K)
    if bug == "transposed-weight":
        return replace(W, W_Q=W.W_Q.T, W_K=W.W_K.T, W_V=W.W_V.T)
    return W
