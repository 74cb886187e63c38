import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import merge_heads, repeat_kv_heads, split_heads

quick = settings(max_examples=20, derandomize=True, deadline=None)
batches = st.lists(st.integers(0, 2), max_size=2).map(tuple)
counts = st.integers(1, 3)


@quick
@given(batches, st.integers(0, 3), counts, st.integers(0, 3))
def test_head_h_is_column_block_h(batch, seq, n_heads, d_head):
    """Not every n-th column, and not a run of rows: the silent bug of `view(B, H, T, d)`."""
    x = np.arange(np.prod((*batch, seq, n_heads * d_head), dtype=int)).reshape(*batch, seq, n_heads * d_head)

    heads = split_heads(x, n_heads)

    assert heads.shape == (*batch, n_heads, seq, d_head)
    for h in range(n_heads):
        assert np.array_equal(heads[..., h, :, :], x[..., h * d_head : (h + 1) * d_head])


@quick
@given(batches, st.integers(0, 3), counts, st.integers(0, 3))
def test_merge_undoes_split(batch, seq, n_heads, d_head):
    """Both ways round."""
    x = np.random.default_rng(0).normal(size=(*batch, seq, n_heads * d_head))
    heads = np.random.default_rng(1).normal(size=(*batch, n_heads, seq, d_head))

    assert np.array_equal(merge_heads(split_heads(x, n_heads)), x)
    assert np.array_equal(split_heads(merge_heads(heads), n_heads), heads)


@quick
@given(batches, counts, counts)
def test_a_kv_head_serves_neighbours(batch, n_kv_heads, group):
    """Query head h reads key head h // group: repeated, not tiled."""
    x = np.random.default_rng(0).normal(size=(*batch, n_kv_heads, 2, 3))

    repeated = repeat_kv_heads(x, n_kv_heads * group)

    assert repeated.shape == (*batch, n_kv_heads * group, 2, 3)
    for h in range(n_kv_heads * group):
        assert np.array_equal(repeated[..., h, :, :], x[..., h // group, :, :])


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float16, np.float32, np.dtype(">f8")])
def test_moving_data_keeps_its_dtype(dtype):
    """Nothing is computed, so nothing is widened."""
    x = np.ones((2, 4), dtype)

    assert {f.dtype for f in (split_heads(x, 2), merge_heads(x[None]), repeat_kv_heads(x[None], 2))} == {
        np.dtype(dtype)
    }


def test_split_heads_is_a_view():
    """No copy where none is needed."""
    x = np.ones((2, 3, 4))

    assert np.shares_memory(split_heads(x, 2), x)
    assert not np.shares_memory(repeat_kv_heads(x, 2), x)


def test_numpy_sizes_are_sizes():
    """`lengths.max()` is a numpy integer and must do."""
    assert split_heads(np.ones((2, 4)), np.int8(2)).shape == (2, 2, 2)
