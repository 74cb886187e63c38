# True = may attend, so masks are joined with `&`.

from typing import SupportsIndex

import numpy as np
from jaxtyping import Bool, Integer

from qkvdocs.core._checks import real_array, size
from qkvdocs.errors import DTypeError, ShapeError


def causal_mask(n_queries: SupportsIndex, n_keys: SupportsIndex) -> Bool[np.ndarray, "{n_queries} {n_keys}"]:
    """Let each query see its own position and all earlier ones.

    Args:
        n_queries: Rows; the queries are the last `n_queries` of `n_keys` positions.
        n_keys: Columns, counting the keys that a cache already holds.

    Returns:
        Shape `(n_queries, n_keys)`, True where the query may attend to the key.

    Raises:
        ShapeError: If a size is not an integer or negative, or there are more queries than keys.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.3.

    Examples:
        >>> causal_mask(2, 3).tolist()
        [[True, True, False], [True, True, True]]
    """
    n_queries, n_keys = size("n_queries", n_queries, 0), size("n_keys", n_keys, 0)
    if n_queries > n_keys:
        raise ShapeError(f"n_queries must be at most n_keys={n_keys}, got {n_queries}")
    return np.tri(n_queries, n_keys, k=n_keys - n_queries, dtype=bool)


def sliding_window_mask(
    n_queries: SupportsIndex, n_keys: SupportsIndex, window: SupportsIndex
) -> Bool[np.ndarray, "{n_queries} {n_keys}"]:
    """Let each query see the last `window` positions, its own among them.

    Args:
        n_queries: Rows; the queries are the last `n_queries` of `n_keys` positions.
        n_keys: Columns, counting the keys that a cache already holds.
        window: Number of positions in sight; 1 leaves a query alone with itself.

    Returns:
        Shape `(n_queries, n_keys)`, True where the query may attend to the key.

    Raises:
        ShapeError: If a size is not an integer or negative, `window` is 0, or there are more queries than
            keys.

    Source:
        Beltagy et al. 2020, "Longformer", section 3.1, looking back only as in
        Jiang et al. 2023, "Mistral 7B", section 2.

    Examples:
        >>> sliding_window_mask(3, 3, window=2).tolist()
        [[True, False, False], [True, True, False], [False, True, True]]
    """
    mask = causal_mask(n_queries, n_keys)
    rows, columns = mask.shape
    mask &= ~np.tri(rows, columns, k=columns - rows - size("window", window, 1), dtype=bool)
    return mask


def padding_mask(
    lengths: Integer[np.ndarray, "*batch"] | np.ndarray, n_keys: SupportsIndex
) -> Bool[np.ndarray, "*batch 1 1 {n_keys}"]:
    """Hide the padding behind the end of each sequence.

    Args:
        lengths: Real tokens of each sequence, integers of shape `(*batch,)`; padding stands on the right.
        n_keys: Columns: the length to which all sequences were padded.

    Returns:
        Shape `(*batch, 1, 1, n_keys)`, ready for scores of shape `(*batch, n_heads, n_queries, n_keys)`
        and to be joined with a causal mask by `&`. True where the key is a real token.

    Raises:
        ShapeError: If `n_keys` is not an integer or negative, or a length is not from 0 to `n_keys`.
        DTypeError: If `lengths` is not a plain array of integers.

    Source:
        Vaswani et al. 2017 leave padding out; the mask is the one of every batched implementation.

    Examples:
        >>> padding_mask(np.array([3, 1]), n_keys=3)[:, 0, 0].tolist()
        [[True, True, True], [True, False, False]]
    """
    lengths = real_array("lengths", lengths)
    if lengths.dtype.kind == "f":
        raise DTypeError(f"lengths must hold integers, got dtype {lengths.dtype}")
    n_keys = size("n_keys", n_keys, 0)
    wrong = lengths[(lengths < 0) | (lengths > n_keys)]
    if wrong.size:
        raise ShapeError(f"lengths must be from 0 to n_keys={n_keys}, got {wrong[0]}")
    return np.arange(n_keys) < lengths[..., None, None, None]
