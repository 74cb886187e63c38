import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import causal_mask, padding_mask, sliding_window_mask

quick = settings(max_examples=30, derandomize=True, deadline=None)
sizes = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: (min(pair), max(pair)))


@quick
@given(sizes)
def test_causal_mask_compares_positions(size):
    """Query i stands at position n_keys - n_queries + i: aligned at the end, not top left."""
    n_queries, n_keys = size

    mask = causal_mask(n_queries, n_keys)

    assert mask.dtype == bool
    assert mask.tolist() == [
        [key <= n_keys - n_queries + query for key in range(n_keys)] for query in range(n_queries)
    ]


@quick
@given(sizes, st.integers(1, 6))
def test_window_counts_the_query_itself(size, window):
    """A key is seen if it is at most window - 1 positions back."""
    n_queries, n_keys = size
    positions = range(n_keys - n_queries, n_keys)

    mask = sliding_window_mask(n_queries, n_keys, window)

    assert mask.dtype == bool
    assert mask.tolist() == [
        [0 <= position - key < window for key in range(n_keys)] for position in positions
    ]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.uint8])
@pytest.mark.parametrize("shape", [(), (4,), (2, 2), (0,)])
def test_padding_hides_what_lies_behind_the_length(shape, dtype):
    """Ready for scores of shape (*batch, n_heads, n_queries, n_keys)."""
    lengths = np.resize(np.array([0, 1, 3, 2], dtype), shape)

    mask = padding_mask(lengths, 3)

    assert mask.shape == (*shape, 1, 1, 3)
    assert mask.dtype == bool
    for index in np.ndindex(*shape):
        assert mask[index].tolist() == [[[key < int(lengths[index]) for key in range(3)]]]


def test_padding_of_nothing():
    """No keys, no columns."""
    assert padding_mask(np.array([0, 0]), 0).shape == (2, 1, 1, 0)


def test_the_widest_window_hides_nothing():
    """The largest size that is no mistake is one."""
    assert (sliding_window_mask(2, 3, 2**31 - 1) == causal_mask(2, 3)).all()
