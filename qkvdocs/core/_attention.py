from contextlib import nullcontext
from typing import NamedTuple, SupportsFloat

import numpy as np
from jaxtyping import Bool, Float, Num

from qkvdocs.core._cache import KVCache
from qkvdocs.core._checks import (
    check_axes,
    check_mask,
    check_shape,
    check_type,
    float_array,
    scale_factor,
)
from qkvdocs.core._heads import merge_heads, split_heads
from qkvdocs.core._projection import project
from qkvdocs.core._scores import by_groups, checked_pair, scores_of, softmax_of
from qkvdocs.core._weights import QKVWeights


class AttentionParts(NamedTuple):
    """What attention gives, and what it computed on its way: the result first."""

    context: Float[np.ndarray, "*heads n_queries d_head"]
    """The values, mixed by the pattern."""
    pattern: Float[np.ndarray, "*heads n_queries n_keys"]
    """Attention weights, after mask and softmax."""
    scores: Float[np.ndarray, "*heads n_queries n_keys"]
    """Scaled dot products, before the mask."""


def attend(
    Q: Num[np.ndarray, "*heads n_queries d_head"] | np.ndarray,
    K: Num[np.ndarray, "*kv_heads n_keys d_head"] | np.ndarray,
    V: Num[np.ndarray, "*kv_heads n_keys d_value"] | np.ndarray,
    mask: Bool[np.ndarray, "..."] | np.ndarray | None = None,
    scale: SupportsFloat | None = None,
) -> AttentionParts:
    """Let each query mix the values by how well their keys match: `softmax(Q Kᵀ * scale) V`.

    Heads are counted as in `attention_scores`, masks are read as in `softmax`. Without keys, and in a row
    that is masked throughout, the context is 0. A NaN or inf in `V` reaches every query of its head, also
    those from which it is hidden, because 0 · NaN is NaN.

    Args:
        Q: Queries, shape `(n_queries, d_head)` or `(*batch, n_heads, n_queries, d_head)`.
        K: Keys, shape `(n_keys, d_head)` or `(*batch, n_kv_heads, n_keys, d_head)`.
        V: Values, in the shape of `K`; only the last axis may differ.
        mask: True = may attend. Shape `(n_queries, n_keys)`, or that of the scores with each axis but the
            last possibly 1.
        scale: Factor on the dot products; None means `1/√d_head`.

    Returns:
        Context, pattern and scores. Integers are computed in float64, float16 in float32.

    Raises:
        ShapeError: If the shapes disagree, or `n_kv_heads` does not divide `n_heads`.
        DTypeError: If an argument is not a plain array of real numbers, `mask` not one of bool, or `scale`
            not a finite number.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1;
        Ainslie et al. 2023, "GQA", section 2.2, for fewer key heads.

    Examples:
        >>> Q, K, V = np.array([[2, 5], [3, 3]]), np.array([[5, 0], [2, 2]]), np.array([[5, 2], [3, 3]])
        >>> attend(Q, K, V).context.round(4).tolist()
        [[3.1116, 2.9442], [4.7859, 2.107]]
    """
    Q, K = checked_pair(Q, K)
    V = float_array("V", V)
    check_shape("V", V, "(shape of K up to n_keys, d_value)", (*K.shape[:-1], "d_value"))
    factor = scale_factor(scale, Q.shape[-1])
    if mask is not None:
        check_mask(mask, (*Q.shape[:-1], K.shape[-2]))
    scores = scores_of(Q, K, factor)
    pattern = softmax_of(scores, mask)
    return AttentionParts(by_groups(pattern, V), pattern, scores)


def attention(
    X: Num[np.ndarray, "*batch seq d_model"] | np.ndarray,
    weights: QKVWeights,
    mask: Bool[np.ndarray, "..."] | np.ndarray | None = None,
    *,
    scale: SupportsFloat | None = None,
    cache: KVCache | None = None,
) -> Float[np.ndarray, "*batch seq width"]:
    """Run one whole layer: project, split, attend, merge, and project back if the layer has a `W_O`.

    With a cache, the rows of `X` are the newest positions of their sequences: their keys and values are
    appended, and the queries look at all that the cache then holds. A call that fails, for whatever reason,
    leaves the cache as it was.

    Args:
        X: Token rows, shape `(*batch, seq, d_model)`.
        weights: The layer.
        mask: True = may attend. Shape `(seq, n_keys)`, or `(*batch, n_heads, seq, n_keys)` with each axis
            but the last possibly 1; `n_keys` is `seq` plus what the cache held before. None hides nothing:
            for a causal layer pass `causal_mask(seq, n_keys)`.
        scale: Factor on the dot products; None means `1/√d_head`.
        cache: Keys and values of the rows before, changed by the call.

    Returns:
        The output, shape `(*batch, seq, d_model)`; without `W_O` the merged contexts,
        `(*batch, seq, n_heads * d_head)`.

    Raises:
        ShapeError: If `X`, `mask` or `cache` does not fit.
        DTypeError: If `X` is not a plain array of real numbers, `mask` not one of bool, `scale` not a
            finite number, `weights` or `cache` of another class, or the cache of another dtype.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.

    Examples:
        >>> one = np.eye(2)
        >>> weights = QKVWeights(W_Q=one, W_K=one, W_V=one, n_heads=1)
        >>> attention(np.array([[1, 2], [3, 4]]), weights, np.eye(2, dtype=bool)).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    X = float_array("X", X)
    check_axes("X", X, "(*batch, seq, d_model)", 2)
    check_type("weights", weights, QKVWeights)
    if cache is not None:
        check_type("cache", cache, KVCache)
    Q, K, V = weights.project(X)
    Q = split_heads(Q, weights.n_heads)
    K, V = split_heads(K, weights.n_kv_heads), split_heads(V, weights.n_kv_heads)
    factor = scale_factor(scale, weights.d_head)
    if mask is not None:
        check_mask(mask, (*Q.shape[:-1], K.shape[-2] + (0 if cache is None else len(cache))))
    with nullcontext() if cache is None else cache.undone_on_failure():
        if cache is not None:
            K, V = cache.append(K, V)
        context = merge_heads(attend(Q, K, V, mask, factor).context)
        return context if weights.W_O is None else project(context, weights.W_O, weights.b_O)
