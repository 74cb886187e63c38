"""Meta's order and that of Hugging Face give the same scores, with the right head count for the keys."""

import numpy as np
import pytest

from qkvdocs.core import QKVWeights, attention_scores, rotate, split_heads
from qkvdocs.errors import ShapeError
from qkvdocs.wild import halves_to_pairs, pairs_to_halves


def layer(d_head: int = 6) -> QKVWeights:
    """Four query heads, two key heads, all biases."""
    noise = np.random.default_rng(0).standard_normal
    widths = {"Q": 4 * d_head, "K": 2 * d_head, "V": 2 * d_head}
    arrays = {f"W_{r}": noise((8, w)) for r, w in widths.items()} | {
        f"b_{r}": noise(w) for r, w in widths.items()
    }
    return QKVWeights(n_heads=4, n_kv_heads=2, **arrays)


def scores(weights: QKVWeights, style: str, size: int) -> np.ndarray:
    """Rotate, and compare queries with keys."""
    X = np.random.default_rng(1).standard_normal((5, 8))
    Q, K, _ = weights.project(X)
    q, k = split_heads(Q, weights.n_heads), split_heads(K, weights.n_kv_heads)
    return attention_scores(*(rotate(rows, style=style, width=size) for rows in (q, k)))


@pytest.mark.parametrize("size", [0, 2, 4, 6])
def test_the_scores_are_the_same(size: int) -> None:
    """Also where only the first part of a head is rotated; biases go along."""
    weights = layer()
    right = scores(weights, "pairs", size)
    assert np.abs(scores(pairs_to_halves(weights, size), "halves", size) - right).max() < 1e-12
    if size > 2:  # one plane is the same in both orders
        assert np.abs(scores(weights, "halves", size) - right).max() > 1


def test_there_and_back_is_exact() -> None:
    """A permutation and its inverse; values stay as they are."""
    weights = layer()
    back = halves_to_pairs(pairs_to_halves(weights))
    for name in ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V"):
        assert np.array_equal(getattr(back, name), getattr(weights, name))
    assert pairs_to_halves(weights).W_V is weights.W_V
    assert not np.array_equal(pairs_to_halves(weights).W_K, weights.W_K)


def test_the_keys_are_not_permuted_with_the_query_head_count() -> None:
    """The mistake of llama.cpp #2376: right shape, scores as wrong as without any permutation."""
    weights = layer(d_head=8)
    wrong = weights.W_K.reshape(8, 4, 2, 2).swapaxes(-1, -2).reshape(8, 16)
    assert not np.array_equal(pairs_to_halves(weights).W_K, wrong)


@pytest.mark.parametrize("size", [3, -2, 8, 2.0])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    """Odd, negative, wider than a head."""
    for function in (pairs_to_halves, halves_to_pairs):
        with pytest.raises(ShapeError, match=r"d_rotary must be even and from 0 to d_head=6, got"):
            function(layer(), size)
