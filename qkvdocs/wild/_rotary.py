# Meta's checkpoints turn neighbours (2i, 2i + 1), those of Hugging Face turn halves (i, i + d/2). The two are
# one rotation under another order of the outputs of W_Q and W_K, so both orders give the same scores.

from dataclasses import replace
from typing import TypeVar

import numpy as np

from qkvdocs.core import QKVWeights
from qkvdocs.errors import ShapeError

Weights = TypeVar("Weights", bound=QKVWeights)


def pairs_to_halves(weights: Weights, d_rotary: int | None = None) -> Weights:
    """Reorder W_Q, W_K and their biases from Meta's order to that of Hugging Face.

    Queries are reordered in `n_heads` heads and keys in `n_kv_heads`. Values are not rotated and stay. A norm on q
    or k that has a weight for each entry of a head must be reordered alike; it is not among these weights.

    Args:
        weights: A layer that is rotated in pairs.
        d_rotary: How many entries of each head are rotated, from the first on; None means all.

    Returns:
        The layer that gives the same scores when it is rotated in halves.

    Raises:
        ShapeError: If `d_rotary` is odd, or not from 0 to `d_head`.

    Source:
        Su et al. 2021, "RoFormer", section 3.4.2, for the pairs; the conversion script of transformers
        (`convert_llama_weights_to_hf.py`, `permute`) for the halves.

    Examples:
        >>> W = np.array([[0, 1, 2, 3]])
        >>> weights = QKVWeights(W_Q=W, W_K=W, W_V=W, n_heads=1)
        >>> pairs_to_halves(weights).W_Q.tolist()
        [[0.0, 2.0, 1.0, 3.0]]
    """
    size = _even(d_rotary, weights.d_head)
    return _reordered(weights, np.arange(size).reshape(-1, 2).T.ravel())


def halves_to_pairs(weights: Weights, d_rotary: int | None = None) -> Weights:
    """Reorder W_Q, W_K and their biases from the order of Hugging Face to Meta's.

    Args:
        weights: A layer that is rotated in halves.
        d_rotary: How many entries of each head are rotated, from the first on; None means all.

    Returns:
        The layer that gives the same scores when it is rotated in pairs.

    Raises:
        ShapeError: If `d_rotary` is odd, or not from 0 to `d_head`.

    Examples:
        >>> W = np.array([[0, 2, 1, 3]])
        >>> weights = QKVWeights(W_Q=W, W_K=W, W_V=W, n_heads=1)
        >>> halves_to_pairs(weights).W_Q.tolist()
        [[0.0, 1.0, 2.0, 3.0]]
    """
    size = _even(d_rotary, weights.d_head)
    return _reordered(weights, np.arange(size).reshape(2, -1).T.ravel())


def _even(d_rotary: int | None, d_head: int) -> int:
    size = d_head if d_rotary is None else d_rotary
    if type(size) is not int or not 0 <= size <= d_head or size % 2:
        raise ShapeError(f"d_rotary must be even and from 0 to d_head={d_head}, got {size!r}")
    return size


def _reordered(weights: Weights, order: np.ndarray) -> Weights:
    within = np.concatenate([order, np.arange(len(order), weights.d_head)]).astype(int)
    changed = {}
    for letter, count in (("Q", weights.n_heads), ("K", weights.n_kv_heads)):
        columns = (np.arange(count)[:, None] * weights.d_head + within).ravel()
        for name in (f"W_{letter}", f"b_{letter}"):
            if (array := getattr(weights, name)) is not None:
                changed[name] = array[..., columns]
    return replace(weights, **changed)
