import dataclasses

import numpy as np
import pytest

from qkvdocs.core import QKVWeights, attention, project_qkv


def weights(**changes):
    sizes = {"W_Q": (6, 12), "W_K": (6, 6), "W_V": (6, 6), "W_O": (12, 6)}
    sizes |= {"b_Q": (12,), "b_K": (6,), "b_V": (6,), "b_O": (6,)}
    arrays = {
        name: np.random.default_rng(i).normal(size=shape) for i, (name, shape) in enumerate(sizes.items())
    }
    return QKVWeights(**{**arrays, "n_heads": 4, "n_kv_heads": 2, **changes})


@pytest.mark.usefixtures("no_hook")
def test_sizes():
    """Width of a row, width of a head; heads as plain integers."""
    layer = weights(n_heads=np.int64(4), n_kv_heads=np.int64(2))

    assert (layer.d_model, layer.d_head, layer.n_heads, layer.n_kv_heads) == (6, 3, 4, 2)
    assert {type(layer.n_heads), type(layer.n_kv_heads)} == {int}


def test_values_of_another_width():
    """A head's values need not be as wide as its keys: a loop over heads and tokens gives the same."""
    rng = np.random.default_rng(9)
    layer = weights(W_V=rng.normal(size=(6, 10)), b_V=rng.normal(size=10), W_O=rng.normal(size=(20, 6)))
    X = rng.normal(size=(3, 6))
    Q, K, V = (X @ getattr(layer, f"W_{r}") + getattr(layer, f"b_{r}") for r in "QKV")
    rows = []
    for q in Q:
        heads = []
        for h in range(4):
            raised = np.exp([q[3 * h : 3 * h + 3] @ k[3 * (h // 2) : 3 * (h // 2) + 3] / 3**0.5 for k in K])
            heads.append(raised / raised.sum() @ V[:, 5 * (h // 2) : 5 * (h // 2) + 5])
        rows.append(np.concatenate(heads) @ layer.W_O + layer.b_O)

    assert (layer.d_head, layer.d_value) == (3, 5)
    np.testing.assert_allclose(attention(X, layer), rows, rtol=1e-10)


def test_as_many_key_heads_as_query_heads():
    """Unless told otherwise."""
    square = np.ones((6, 12))

    assert QKVWeights(W_Q=square, W_K=square, W_V=square, n_heads=3).n_kv_heads == 3


def test_d_head_is_read_off_the_weight():
    """It need not be d_model / n_heads (Qwen3-4B: 2560 -> 4096)."""
    wide = np.ones((2, 12))

    assert QKVWeights(W_Q=wide, W_K=wide, W_V=wide, n_heads=3).d_head == 4


def test_project_uses_all_parameters():
    """Each weight and each bias in its place, for one row and for many."""
    layer, X = weights(), np.random.default_rng(9).normal(size=(2, 3, 6))

    wanted = project_qkv(X, layer.W_Q, layer.W_K, layer.W_V, layer.b_Q, layer.b_K, layer.b_V)

    for got, row, want in zip(layer.project(X), layer.project(X[0, 0]), wanted, strict=True):
        assert np.array_equal(got, want)
        np.testing.assert_allclose(row, want[0, 0])


def test_arrays_are_kept_without_a_copy():
    """A checkpoint in memory is not doubled; what must be widened is."""
    W_Q = np.ones((6, 12), np.float32)
    layer = weights(W_Q=W_Q, b_Q=np.ones(12, np.float16), b_K=np.ones(6, int))

    assert layer.W_Q is W_Q or np.shares_memory(layer.W_Q, W_Q)
    assert layer.W_Q.dtype == layer.b_Q.dtype == np.float32
    assert layer.b_K.dtype == np.float64


def test_frozen_and_keyword_only():
    """Checked once means checked for good."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        weights().n_heads = 2
    with pytest.raises(TypeError):
        QKVWeights(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), n_heads=1)


def test_absent_stays_absent():
    """None is not turned into zeros."""
    layer = weights(W_O=None, b_O=None, b_K=None)

    assert (layer.W_O, layer.b_O, layer.b_K) == (None, None, None)


def test_layers_compare_by_identity():
    """Arrays have no single truth value, so neither has the comparison of two layers."""
    layer = weights()

    assert layer == layer
    assert layer != weights()
