# Heads are slices of the last axis: head h owns columns [h * d_head, (h + 1) * d_head).

from typing import SupportsIndex

import numpy as np
from jaxtyping import Num

from qkvdocs.core._checks import check_axes, real_array, size
from qkvdocs.errors import ShapeError


def split_heads(
    x: Num[np.ndarray, "*batch seq width"] | np.ndarray, n_heads: SupportsIndex
) -> Num[np.ndarray, "*batch {n_heads} seq d_head"]:
    """Cut the last axis into `n_heads` consecutive slices of equal width.

    Args:
        x: Projected rows, shape `(*batch, seq, n_heads * d_head)`, of any real dtype.
        n_heads: Number of slices; pass `n_kv_heads` for keys and values.

    Returns:
        The slices, shape `(*batch, n_heads, seq, d_head)`: a view of `x` wherever numpy can make one.

    Raises:
        ShapeError: If `n_heads` is not a positive integer that divides the last axis of `x`.
        DTypeError: If `x` is not a plain array of real numbers.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.

    Examples:
        >>> split_heads(np.arange(8).reshape(2, 4), n_heads=2).tolist()
        [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    """
    x = real_array("x", x)
    check_axes("x", x, "(*batch, seq, n_heads * d_head)", 2)
    n_heads = size("n_heads", n_heads, 1)
    *batch, seq, width = x.shape
    if width % n_heads:
        raise ShapeError(f"the last axis of x must be a multiple of n_heads={n_heads}, got {width}")
    return x.reshape(*batch, seq, n_heads, width // n_heads).swapaxes(-2, -3)


def merge_heads(
    x: Num[np.ndarray, "*batch n_heads seq d_head"] | np.ndarray,
) -> Num[np.ndarray, "*batch seq width"]:
    """Undo `split_heads`: lay the heads side by side in the last axis.

    Args:
        x: Head slices, shape `(*batch, n_heads, seq, d_head)`, of any real dtype.

    Returns:
        Joined rows, shape `(*batch, seq, n_heads * d_head)`.

    Raises:
        ShapeError: If `x` has fewer than three axes.
        DTypeError: If `x` is not a plain array of real numbers.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.

    Examples:
        >>> merge_heads(np.array([[[0, 1], [4, 5]], [[2, 3], [6, 7]]])).tolist()
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    """
    x = real_array("x", x)
    check_axes("x", x, "(*batch, n_heads, seq, d_head)", 3)
    *batch, n_heads, seq, d_head = x.shape
    return x.swapaxes(-2, -3).reshape(*batch, seq, n_heads * d_head)


def repeat_kv_heads(
    x: Num[np.ndarray, "*batch n_kv_heads seq d_head"] | np.ndarray, n_heads: SupportsIndex
) -> Num[np.ndarray, "*batch {n_heads} seq d_head"]:
    """Give each query head its own copy of the key or value head that serves it.

    Key head g serves the consecutive query heads `[g * group, (g + 1) * group)`, where `group` is
    `n_heads / n_kv_heads`. `attend` comes to the same result without the copies.

    Args:
        x: Keys or values, shape `(*batch, n_kv_heads, seq, d_head)`, of any real dtype.
        n_heads: Number of query heads.

    Returns:
        A copy, shape `(*batch, n_heads, seq, d_head)`.

    Raises:
        ShapeError: If `n_heads` is not a positive integer and a multiple of `n_kv_heads`.
        DTypeError: If `x` is not a plain array of real numbers.

    Source:
        Ainslie et al. 2023, "GQA: Training Generalized Multi-Query Transformer Models", section 2.2.

    Examples:
        >>> repeat_kv_heads(np.array([[[7]], [[8]]]), n_heads=4).ravel().tolist()
        [7, 7, 8, 8]
    """
    x = real_array("x", x)
    check_axes("x", x, "(*batch, n_kv_heads, seq, d_head)", 3)
    n_heads, n_kv_heads = size("n_heads", n_heads, 1), size("n_kv_heads", x.shape[-3], 1)
    check_groups(n_heads, n_kv_heads)
    return np.repeat(x, n_heads // n_kv_heads, axis=-3)


def check_groups(n_heads: int, n_kv_heads: int) -> None:
    """Refuse query heads that cannot be dealt out evenly."""
    if n_heads % n_kv_heads:
        raise ShapeError(f"n_heads must be a multiple of n_kv_heads={n_kv_heads}, got {n_heads}")
