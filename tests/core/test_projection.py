import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import project_qkv

quick = settings(max_examples=20, derandomize=True, deadline=None)
counts = st.integers(0, 3)


def draw(seed, *shape):
    return np.random.default_rng(seed).integers(-4, 5, shape)


@quick
@given(counts, counts, st.tuples(counts, counts, counts), st.booleans())
def test_projection_is_row_times_column(exact, seq, d_model, widths, biased):
    """Each entry is the exact sum of products, plus the bias of its column; widths are free."""
    X = draw(0, seq, d_model)
    weights = [draw(1 + i, d_model, width) for i, width in enumerate(widths)]
    biases = [draw(5 + i, width) if biased else None for i, width in enumerate(widths)]

    projected = project_qkv(X, *weights, *biases)

    for rows, weight, bias in zip(projected, weights, biases, strict=True):
        wanted = exact.product(X, weight)
        if bias is not None:
            wanted = wanted + np.array(bias.tolist())
        assert np.array_equal(rows, wanted)
        assert rows.dtype == np.float64


@pytest.mark.parametrize("present", ["Q", "K", "V"])
def test_each_bias_moves_its_own_rows_only(present):
    """A bias left out counts as zeros, whatever the others are."""
    X, weight, bias = draw(0, 3, 4), draw(1, 4, 2), np.array([10, 20])

    plain = project_qkv(X, weight, weight, weight)
    moved = project_qkv(X, weight, weight, weight, **{f"b_{present}": bias})

    for letter, before, after in zip("QKV", plain, moved, strict=True):
        assert np.array_equal(after, before + (letter == present) * bias)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)])
def test_batch_shape_is_kept(batch):
    """A row is projected alike alone and in any batch."""
    X = draw(0, *batch, 4)
    weights = draw(1, 4, 2), draw(2, 4, 2), draw(3, 4, 2)

    for index in np.ndindex(*batch):
        alone = project_qkv(X[index], *weights)
        for row, rows in zip(alone, project_qkv(X, *weights), strict=True):
            assert np.array_equal(row, rows[index])
    assert all(rows.shape == (*batch, 2) for rows in project_qkv(X, *weights))
