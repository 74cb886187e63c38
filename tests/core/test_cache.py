import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import KVCache, QKVWeights, attention
from qkvdocs.errors import DTypeError, ShapeError

quick = settings(max_examples=20, derandomize=True, deadline=None)


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@quick
@given(
    st.lists(st.integers(0, 2), max_size=2).map(tuple), st.lists(st.integers(0, 4), min_size=1, max_size=5)
)
def test_cache_is_concatenation(batch, steps):
    """Appending is concatenating along the positions, for keys and values of different width."""
    keys = [rows(i, *batch, n, 3) for i, n in enumerate(steps)]
    values = [rows(9 + i, *batch, n, 2) for i, n in enumerate(steps)]
    cache = KVCache()

    for n in range(1, len(steps) + 1):
        K, V = cache.append(keys[n - 1], values[n - 1])
        for got in (K, cache.K):
            assert np.array_equal(got, np.concatenate(keys[:n], axis=-2))
        for got in (V, cache.V):
            assert np.array_equal(got, np.concatenate(values[:n], axis=-2))
        assert len(cache) == sum(steps[:n])


def test_append_is_amortised_constant():
    """A buffer is left only when full, for one twice as large: n appends copy fewer than 2 n old rows."""
    cache, copied, moves = KVCache(), 0, []
    before = cache.append(rows(0, 1, 2), rows(0, 1, 2))[0]
    for n in range(2, 1000):
        K, _ = cache.append(rows(n, 1, 2), rows(n, 1, 2))
        if not np.shares_memory(K, before):
            copied += len(before)
            moves.append(len(before))
        before = K

    assert moves == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert copied < 2 * len(cache)


def test_a_long_append_gets_the_room_it_needs():
    """Doubling is the least growth, not the most; the keys and values move alike."""
    cache = KVCache()
    cache.append(rows(0, 2, 3), rows(1, 2, 3))

    K, V = cache.append(rows(2, 7, 3), rows(3, 7, 3))

    assert K.base.shape == V.base.shape == (9, 3)


def test_results_outlive_later_appends():
    """What was handed out stays as it was, and cannot be used to change the cache."""
    cache, handed = KVCache(), []
    for n in range(9):
        K, V = cache.append(rows(n, 2, 1, 3), rows(n, 2, 1, 3))
        handed.append((K, K.copy(), V, V.copy()))
        with pytest.raises(ValueError, match="read-only"):
            K[0, 0, 0] = 7
        with pytest.raises(ValueError, match="read-only"):
            cache.V[0, 0, 0] = 7

    for K, keys, V, values in handed:
        assert np.array_equal(K, keys)
        assert np.array_equal(V, values)


def test_inputs_are_copied():
    """The caller may reuse its arrays."""
    cache, row = KVCache(), np.ones((1, 3))
    cache.append(row, row)
    row[:] = 7

    assert cache.K.tolist() == cache.V.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("fork", [copy.copy, copy.deepcopy])
def test_a_copy_goes_its_own_way(fork):
    """Two caches on one buffer would write their next rows into the same place."""
    cache = KVCache()
    for n in range(3):
        cache.append(rows(n, 1, 2), rows(n, 1, 2))
    other = fork(cache)
    mine, _ = cache.append(np.zeros((1, 2)), np.zeros((1, 2)))
    theirs, _ = other.append(np.ones((1, 2)), np.ones((1, 2)))

    assert mine[3].tolist() == [0, 0]
    assert theirs[3].tolist() == [1, 1]
    assert np.array_equal(mine[:3], theirs[:3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8])
def test_cache_keeps_the_computed_dtype(dtype):
    """The first append settles it, after the usual widening."""
    K, V = KVCache().append(np.ones((1, 2), dtype), np.ones((1, 2)))

    assert K.dtype == {np.float32: np.float32, np.float16: np.float32}.get(dtype, np.float64)
    assert V.dtype == np.float64


@pytest.mark.parametrize(
    ("K", "V", "error"),
    [
        (np.ones((2, 1, 3)), np.ones((2, 1, 5)), ShapeError),
        (np.ones((2, 1, 4)), np.ones((2, 1, 3)), ShapeError),
        (np.ones((3, 1, 3)), np.ones((3, 1, 3)), ShapeError),
        (np.ones((1, 1, 3)), np.ones((1, 1, 3)), ShapeError),
        (np.ones((1, 3)), np.ones((1, 3)), ShapeError),
        (np.ones((2, 1, 3)), np.ones((2, 2, 3)), ShapeError),
        (np.ones((2, 1, 3)), np.ones((2, 1, 3), np.float32), DTypeError),
        (np.ones((2, 1, 3), np.float32), np.ones((2, 1, 3)), DTypeError),
    ],
)
def test_a_refused_append_changes_nothing(K, V, error):
    """Half an append would be worse than none."""
    cache = KVCache()
    cache.append(rows(0, 2, 2, 3), rows(1, 2, 2, 3))

    with pytest.raises(error):
        cache.append(K, V)

    assert len(cache) == 2
    assert np.array_equal(cache.K, rows(0, 2, 2, 3))
    assert np.array_equal(cache.V, rows(1, 2, 2, 3))


@pytest.mark.parametrize("held", [0, 1, 2])
def test_a_failed_attention_changes_nothing(held):
    """Also where numpy raises after the keys were appended: in an empty cache, with room and without."""
    eye = np.eye(2)
    weights = QKVWeights(W_Q=eye, W_K=eye, W_V=eye, n_heads=1)
    cache, fresh = KVCache(), rows(0, 1, 2)
    for _ in range(held):
        attention(fresh, weights, cache=cache)
    view = cache.K.copy() if held else None

    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        attention(np.full((1, 2), 1e200), weights, cache=cache)

    assert len(cache) == held
    if held:
        assert np.array_equal(cache.K, view)
    else:  # not even the width is settled
        cache.append(np.ones((3, 5)), np.ones((3, 5)))
