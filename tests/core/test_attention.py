import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import (
    KVCache,
    QKVWeights,
    attend,
    attention,
    causal_mask,
    padding_mask,
    project_qkv,
    repeat_kv_heads,
    sliding_window_mask,
    softmax,
)
from qkvdocs.errors import DTypeError, ShapeError

quick = settings(max_examples=20, derandomize=True, deadline=None)
counts = st.integers(0, 3)


def integers(seed, *shape):
    return np.random.default_rng(seed).integers(-2, 3, shape)


def layer(seed=0, d_model=6, n_heads=4, n_kv_heads=2, d_head=3, without=(), dtype=float):
    """A layer whose every parameter is drawn, biases too."""
    rng = np.random.default_rng(seed)
    wide, narrow = n_heads * d_head, n_kv_heads * d_head
    shapes = {
        "W_Q": (d_model, wide),
        "W_K": (d_model, narrow),
        "W_V": (d_model, narrow),
        "W_O": (wide, d_model),
    }
    shapes |= {"b_Q": (wide,), "b_K": (narrow,), "b_V": (narrow,), "b_O": (d_model,)}
    arrays = {
        name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items() if name not in without
    }
    return QKVWeights(**arrays, n_heads=n_heads, n_kv_heads=n_kv_heads)


@quick
@given(counts, counts, st.integers(1, 3), counts, st.integers(0, 2**9 - 1))
def test_one_head_agrees_with_exact_fractions(exact, n_queries, n_keys, d_head, d_value, bits):
    """Scores, pattern and context, entry by entry, under any mask: rows without a key included."""
    Q, K, V = integers(0, n_queries, d_head), integers(1, n_keys, d_head), integers(2, n_keys, d_value)
    mask = np.array([bits >> i & 1 for i in range(9)], bool).reshape(3, 3)[:n_queries, :n_keys]

    parts = attend(Q, K, V, mask, scale=0.5)

    for part, wanted in zip(parts, exact.attend(Q, K, V, mask, 0.5), strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-14, atol=1e-15)


@quick
@given(st.lists(counts, max_size=2).map(tuple), st.integers(1, 2), st.integers(0, 3), counts, counts)
def test_heads_are_computed_one_by_one(batch, n_kv_heads, group, n_queries, n_keys):
    """Any batch, any group: each head is what it would be alone."""
    n_heads = n_kv_heads * group
    rng = np.random.default_rng(0)
    Q = rng.normal(size=(*batch, n_heads, n_queries, 2))
    K, V = rng.normal(size=(2, *batch, n_kv_heads, n_keys, 2))
    mask = rng.random((*batch, n_heads, n_queries, n_keys)) < 0.7

    parts = attend(Q, K, V, mask)

    assert parts.context.shape == (*batch, n_heads, n_queries, 2)
    for index in np.ndindex(*batch, n_heads):
        served = (*index[:-1], index[-1] // group)
        for part, alone in zip(parts, attend(Q[index], K[served], V[served], mask[index]), strict=True):
            np.testing.assert_allclose(part[index], alone, rtol=1e-13, atol=1e-15)


def test_parts_are_context_pattern_scaled_scores():
    """The output first. The scores are those before the mask; without one the pattern is their softmax."""
    Q, K, V = (integers(i, 2, 3, 4) for i in range(3))

    context, pattern, scores = attend(Q, K, V)

    np.testing.assert_allclose(scores, Q @ K.mT / 2)
    assert np.array_equal(pattern, softmax(scores))
    assert np.array_equal(context, pattern @ V)
    assert np.array_equal(attend(Q, K, V, causal_mask(3, 3)).scores, scores)
    assert attend(Q, K, V)._fields == ("context", "pattern", "scores")


def test_lesson_numbers():
    """Two tokens worked by hand in lesson 04."""
    X = np.array([[1, 2, 1, 2], [1, 0, 2, 1]])
    W_Q = np.array([[1, 0], [0, 1], [1, 1], [0, 1]])
    W_K = np.array([[1, 1], [1, 0], [0, 1], [1, -1]])
    W_V = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])

    parts = attend(*project_qkv(X, W_Q, W_K, W_V), scale=1.0)

    assert parts.scores.tolist() == [[10, 14], [15, 12]]
    assert parts.pattern[1].round(4).tolist() == [0.9526, 0.0474]


@pytest.mark.parametrize(("n_heads", "n_kv_heads"), [(1, 1), (4, 4), (4, 2), (4, 1), (6, 3)])
@pytest.mark.parametrize("without", [(), ("W_O", "b_O"), ("b_O",), ("b_Q",), ("b_K",), ("b_V",)])
def test_layer_is_a_loop_over_heads(n_heads, n_kv_heads, without):
    """Column block h is head h, key block h // group serves it, and W_O comes last."""
    weights = layer(n_heads=n_heads, n_kv_heads=n_kv_heads, without=without)
    X = np.random.default_rng(1).normal(size=(2, 5, 6))
    Q, K, V = project_qkv(X, weights.W_Q, weights.W_K, weights.W_V, weights.b_Q, weights.b_K, weights.b_V)

    contexts = []
    for h in range(n_heads):
        own, served = (slice(i * 3, i * 3 + 3) for i in (h, h // (n_heads // n_kv_heads)))
        for b in range(2):
            contexts.append(attend(Q[b, :, own], K[b, :, served], V[b, :, served], causal_mask(5, 5)).context)
    wanted = np.array([np.hstack(contexts[b::2]) for b in range(2)])
    if weights.W_O is not None:
        wanted = wanted @ weights.W_O
    if weights.b_O is not None:
        wanted = wanted + weights.b_O

    np.testing.assert_allclose(attention(X, weights, causal_mask(5, 5)), wanted, rtol=1e-12)
    np.testing.assert_allclose(attention(X[0], weights, causal_mask(5, 5)), wanted[0], rtol=1e-12)


def test_layer_takes_scale_and_mask():
    """A scale of 0 looks at all visible keys alike."""
    weights = layer(without=("W_O", "b_O"))
    X = np.random.default_rng(1).normal(size=(2, 3, 6))
    V = np.repeat(weights.project(X)[2].reshape(2, 3, 2, 1, 3), 2, axis=-2).reshape(2, 3, 12)

    np.testing.assert_allclose(attention(X, weights, scale=0.0), np.repeat(V.mean(1, keepdims=True), 3, 1))
    np.testing.assert_allclose(attention(X, weights, np.eye(3, dtype=bool)), V)
    assert not np.allclose(attention(X, weights, scale=1.0), attention(X, weights))


def test_padding_does_not_leak():
    """What stands behind the end of a sequence changes nothing before it."""
    weights, X = layer(), np.random.default_rng(1).normal(size=(2, 4, 6))
    mask = causal_mask(4, 4) & padding_mask(np.array([2, 4]), 4)

    short = attention(X[:1, :2], weights, causal_mask(2, 2))

    np.testing.assert_allclose(attention(X, weights, mask)[:1, :2], short, rtol=1e-12)


@pytest.mark.parametrize("steps", [[1] * 6, [3, 1, 2], [0, 6], [2, 0, 4]])
@pytest.mark.parametrize("window", [6, 2])
@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
def test_cached_equals_uncached_at_every_step(batch, steps, window):
    """One position at a time or several: the rows of one pass over everything."""
    weights, X = layer(), np.random.default_rng(1).normal(size=(*batch, 6, 6))
    whole = attention(X, weights, sliding_window_mask(6, 6, window))
    cache, done = KVCache(), 0

    for step in steps:
        rows = slice(done, done + step)
        done += step
        mask = sliding_window_mask(step, done, window)
        output = attention(X[..., rows, :], weights, mask, cache=cache)

        np.testing.assert_allclose(output, whole[..., rows, :], rtol=1e-12)
        assert len(cache) == done


def test_a_cached_step_without_mask_sees_all():
    """The newest token may look at everything, so it needs no mask."""
    weights, X = layer(), np.random.default_rng(1).normal(size=(3, 6))
    cache = KVCache()
    attention(X[:2], weights, cache=cache)

    np.testing.assert_allclose(
        attention(X[2:], weights, cache=cache), attention(X, weights, causal_mask(3, 3))[2:], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("X", "options", "error"),
    [
        (np.ones((2, 1, 5)), {}, ShapeError),
        (np.ones((3, 1, 6)), {}, ShapeError),
        (np.ones((1, 6)), {}, ShapeError),
        (np.ones((2, 1, 6)), {"mask": np.ones((1, 3), bool)}, ShapeError),
        (np.ones((2, 1, 6)), {"scale": np.nan}, DTypeError),
        (np.ones((2, 1, 6), complex), {}, DTypeError),
    ],
)
def test_a_refused_call_leaves_the_cache_alone(X, options, error):
    """Everything is checked before anything is written."""
    cache = KVCache()
    attention(np.ones((2, 3, 6)), layer(), cache=cache)
    K, V = cache.K, cache.V

    with pytest.raises(error):
        attention(X, layer(), **options, cache=cache)

    assert len(cache) == 3
    assert np.array_equal(cache.K, K)
    assert np.array_equal(cache.V, V)


def test_fully_masked_rows_and_missing_keys_give_zero():
    """Nothing to mix, nothing said; W_O and its bias still follow."""
    Q, K = np.ones((2, 3)), np.ones((4, 3))

    assert not attend(Q, K, K, np.zeros((2, 4), bool)).context.any()
    assert attend(Q, K[:0], K[:0]).context.tolist() == np.zeros((2, 3)).tolist()
    hidden = attention(np.ones((2, 6)), layer(), np.zeros((2, 2), bool))
    assert np.array_equal(hidden, np.broadcast_to(layer().b_O, (2, 6)))


@pytest.mark.parametrize("shape", [(0, 6), (2, 0, 6), (0, 3, 6), (0, 0, 6)])
def test_empty_sequences_and_batches(shape):
    """No rows in, no rows out."""
    assert attention(np.ones(shape), layer()).shape == shape


def test_a_nan_reaches_only_those_that_may_see_it():
    """In a key it stays with the queries that see the key; in a value it reaches every query of the head."""
    Q, K, V = np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 2))
    poisoned = np.array([[1, 1], [1, 1], [1, np.nan]])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_key = attend(Q, poisoned, V, causal_mask(3, 3))
        by_value = attend(Q, K, poisoned, causal_mask(3, 3))

    assert np.isnan(by_key.context).tolist() == [[False] * 2, [False] * 2, [True] * 2]
    assert np.isnan(by_key.scores).tolist() == [[False, False, True]] * 3
    assert np.isnan(by_value.context).tolist() == [[False, True]] * 3
    assert not np.isnan(by_value.pattern).any()


def test_grouped_heads_are_not_copied():
    """Eight query heads on one key head: what is allocated is the scores' size, not eight times the keys'."""
    Q, K = np.ones((8, 1, 64), np.float32), np.ones((1, 4096, 64), np.float32)
    attend(Q, K, K)
    tracemalloc.start()
    attend(Q, K, K)
    grouped = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    attend(Q, repeat_kv_heads(K, 8), repeat_kv_heads(K, 8))
    repeated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert grouped < K.nbytes
    assert repeated > 16 * K.nbytes
