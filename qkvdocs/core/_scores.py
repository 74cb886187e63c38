from typing import SupportsFloat

import numpy as np
from jaxtyping import Bool, Float, Num

from qkvdocs.core._checks import check_axes, check_mask, check_shape, float_array, scale_factor, size
from qkvdocs.core._heads import check_groups


def attention_scores(
    Q: Num[np.ndarray, "*heads n_queries d_head"] | np.ndarray,
    K: Num[np.ndarray, "*kv_heads n_keys d_head"] | np.ndarray,
    scale: SupportsFloat | None = None,
) -> Float[np.ndarray, "*heads n_queries n_keys"]:
    """Compare each query with each key: `Q Kᵀ * scale`.

    Two axes are one head. From three axes on the third from the end counts heads, and `K` may have fewer
    of them than `Q`: each then serves a consecutive group of query heads. All axes before it must agree.

    Args:
        Q: Queries, shape `(n_queries, d_head)` or `(*batch, n_heads, n_queries, d_head)`.
        K: Keys, shape `(n_keys, d_head)` or `(*batch, n_kv_heads, n_keys, d_head)`.
        scale: Factor on the dot products; None means `1/√d_head`, 1.0 leaves them as they are.

    Returns:
        Shape `(n_queries, n_keys)` or `(*batch, n_heads, n_queries, n_keys)`. Integers are computed in
        float64, float16 in float32.

    Raises:
        ShapeError: If the shapes disagree, `n_kv_heads` does not divide `n_heads`, or `d_head` is 0.
        DTypeError: If an argument is not a plain array of real numbers, or `scale` not a finite number.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.

    Examples:
        >>> Q, K = np.array([[2, 5], [3, 3]]), np.array([[5, 0], [2, 2]])
        >>> attention_scores(Q, K, scale=1.0).tolist()
        [[10.0, 14.0], [15.0, 12.0]]
    """
    Q, K = checked_pair(Q, K)
    return scores_of(Q, K, scale_factor(scale, Q.shape[-1]))


def softmax(
    scores: Num[np.ndarray, "*rows n_keys"] | np.ndarray,
    mask: Bool[np.ndarray, "..."] | np.ndarray | None = None,
) -> Float[np.ndarray, "*rows n_keys"]:
    """Turn each row of scores into weights that sum to one, over the keys that the mask lets through.

    The largest visible score is subtracted first, so that no `exp` overflows. What is hidden is never
    looked at, NaN and inf included, and gets weight 0.

    - A row without any visible key gets weight 0 everywhere: it has nothing to mix, and one padded row
      should not spoil a batch. PyTorch's `scaled_dot_product_attention` answers alike. By hand such a row
      becomes NaN (hidden scores replaced by -inf) or the mean of all values (by a finite number).
    - A visible -inf counts as hidden. A visible NaN or +inf turns its own row into NaN and no other.
    - A row without keys is an empty row.

    Args:
        scores: Shape `(*rows, n_keys)`; integers are computed in float64, float16 in float32.
        mask: True = may attend. Shape of `scores`, each axis but the last possibly 1, or `(n_queries,
            n_keys)` for all heads of all sequences alike. None hides nothing.

    Returns:
        The attention weights, in the shape of `scores`.

    Raises:
        ShapeError: If `scores` has no axis or `mask` does not fit.
        DTypeError: If `scores` is not a plain array of real numbers, or `mask` not one of bool.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1;
        Goodfellow et al. 2016, "Deep Learning", section 4.1, on subtracting the maximum.

    Examples:
        >>> softmax(np.array([2, 4, 6]), np.array([True, True, False])).round(4).tolist()
        [0.1192, 0.8808, 0.0]
    """
    scores = float_array("scores", scores)
    check_axes("scores", scores, "(*rows, n_keys)", 1)
    if mask is not None:
        check_mask(mask, scores.shape)
    return softmax_of(scores, mask)


def scores_of(
    Q: Float[np.ndarray, "*heads n_queries d_head"],
    K: Float[np.ndarray, "*kv_heads n_keys d_head"],
    scale: float,
) -> Float[np.ndarray, "*heads n_queries n_keys"]:
    """Scaled dot products, the arguments checked before."""
    scores = by_groups(Q, K.mT)
    scores *= scale
    return scores


def softmax_of(
    scores: Float[np.ndarray, "*rows n_keys"], mask: Bool[np.ndarray, "..."] | None
) -> Float[np.ndarray, "*rows n_keys"]:
    """Stable softmax, the arguments checked before."""
    visible = scores if mask is None else np.where(mask, scores, -np.inf)
    peak = visible.max(axis=-1, keepdims=True, initial=-np.inf)
    # A tiny weight may vanish, a gap between scores be infinite, and a NaN stay one,
    # also for callers who let numpy raise.
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        raised: np.ndarray = visible - np.where(peak == -np.inf, 0, peak)
        np.exp(raised, out=raised)
        total = raised.sum(axis=-1, keepdims=True)
        raised /= np.where(total == 0, 1, total)
    return raised


def by_groups(
    left: Float[np.ndarray, "*heads rows inner"], right: Float[np.ndarray, "*kv_heads inner columns"]
) -> Float[np.ndarray, "*heads rows columns"]:
    """Multiply head by head; a right head serves its group of left heads without being copied."""
    heads = left.shape[:-2]
    if heads != right.shape[:-2]:
        *batch, n_kv_heads = right.shape[:-2]
        left = left.reshape(*batch, n_kv_heads, heads[-1] // n_kv_heads, *left.shape[-2:])
        right = right[..., None, :, :]
    product: np.ndarray = left @ right
    return product.reshape(*heads, *product.shape[-2:])


def checked_pair(Q: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Refuse queries and keys that do not belong together."""
    Q, K = float_array("Q", Q), float_array("K", K)
    check_axes("Q", Q, "(*batch, n_heads, n_queries, d_head)", 2)
    *batch, _, d_head = Q.shape
    size("d_head", d_head, 1)
    if len(batch) == 0:
        check_shape("K", K, "(n_keys, d_head)", ("n_keys", d_head))
        return Q, K
    *batch, n_heads = batch
    symbols = "(*batch, n_kv_heads, n_keys, d_head)"
    check_shape("K", K, symbols, (*batch, "n_kv_heads", "n_keys", d_head))
    if n_heads != K.shape[-3]:
        check_groups(n_heads, size("n_kv_heads", K.shape[-3], 1))
    return Q, K
