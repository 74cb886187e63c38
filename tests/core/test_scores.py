import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs.core import attention_scores, repeat_kv_heads, softmax

quick = settings(max_examples=20, derandomize=True, deadline=None)
counts = st.integers(1, 3)


def integers(seed, *shape):
    return np.random.default_rng(seed).integers(-4, 5, shape)


@quick
@given(st.integers(0, 3), st.integers(0, 3), counts)
def test_scores_are_dot_products(exact, n_queries, n_keys, d_head):
    """With scale 1.0 each score is the exact dot product, query by key."""
    Q, K = integers(0, n_queries, d_head), integers(1, n_keys, d_head)

    assert np.array_equal(attention_scores(Q, K, scale=1.0), exact.product(Q, K.T))


def test_default_scale_is_one_over_root_d_head():
    """Not √d_model, not √n_heads, not twice, not none."""
    Q, K = integers(0, 2, 3, 4, 9), integers(1, 2, 3, 5, 9)

    assert np.array_equal(attention_scores(Q, K), attention_scores(Q, K, scale=1.0) * (1 / 3))
    assert np.array_equal(attention_scores(Q, K), attention_scores(Q, K, scale=np.float64(1 / 3)))


@pytest.mark.parametrize("scale", [np.float64(2), np.float32(2), np.int64(2), 2])
def test_scale_does_not_widen(scale):
    """A numpy scalar is a number like any other: float32 stays float32."""
    Q = np.ones((2, 4), np.float32)

    scores = attention_scores(Q, Q, scale=scale)

    assert scores.dtype == np.float32
    assert np.array_equal(scores, np.full((2, 2), 8))


@quick
@given(st.lists(st.integers(0, 2), max_size=2).map(tuple), counts, counts, st.integers(0, 2))
def test_grouped_scores_are_those_of_repeated_heads(exact, batch, n_kv_heads, group, n_keys):
    """Each key head serves a consecutive group of query heads."""
    n_heads = n_kv_heads * group
    Q, K = integers(0, *batch, n_heads, 2, 3), integers(1, *batch, n_kv_heads, n_keys, 3)

    scores = attention_scores(Q, K, scale=1.0)

    assert np.array_equal(scores, attention_scores(Q, repeat_kv_heads(K, n_heads), scale=1.0))
    for index in np.ndindex(*batch, n_heads):
        assert np.array_equal(scores[index], exact.product(Q[index], K[*index[:-1], index[-1] // group].T))


def test_no_heads_on_either_side():
    """An empty batch of heads is a batch like any other."""
    assert attention_scores(np.ones((0, 2, 3)), np.ones((0, 4, 3))).shape == (0, 2, 4)


@quick
@given(
    st.lists(st.integers(-30, 30), min_size=1, max_size=5).flatmap(
        lambda row: st.tuples(st.just(row), st.lists(st.booleans(), min_size=len(row), max_size=len(row)))
    )
)
def test_softmax_agrees_with_the_series(exact, case):
    """Against exact fractions, to the last digits of float64."""
    row, visible = case

    weights = softmax(np.array(row), np.array(visible))

    wanted = [float(weight) for weight in exact.softmax(row, visible)]
    np.testing.assert_allclose(weights, wanted, rtol=2e-15, atol=0)
    assert not weights[~np.array(visible)].any()


def test_softmax_goes_along_the_last_axis(exact):
    """Each row sums to one; not each column, which no shape check would see."""
    scores = integers(0, 2, 3, 3)

    weights = softmax(scores)

    for index in np.ndindex(2, 3):
        wanted = [float(weight) for weight in exact.softmax(scores[index].tolist(), [True] * 3)]
        np.testing.assert_allclose(weights[index], wanted, rtol=2e-15)


def test_softmax_of_huge_scores_is_stable():
    """Subtracting the peak keeps exp from overflowing, and hidden peaks do not count."""
    assert softmax(np.array([1e300, 1e300, -1e300])).tolist() == [0.5, 0.5, 0.0]
    assert softmax(np.array([-1e300, 1e300]), np.array([True, False])).tolist() == [1.0, 0.0]
    assert softmax(np.array([0.0, 800.0]), np.array([True, False])).tolist() == [1.0, 0.0]


def test_underflow_to_zero_is_no_error():
    """Even where numpy was told to raise: a weight of 0 is the right answer, rounded."""
    with np.errstate(all="raise"):
        weights = softmax(np.array([[0.0, -800.0, -745.0], [0.0, -708.5, 0.0]]))
        assert softmax(np.array([1e308, -1e308])).tolist() == [1, 0]  # a gap beyond the largest float
    assert weights[0, 0] == 1
    assert 0 < weights[1, 1] < 1e-300


def test_softmax_takes_a_mask_for_all_rows_or_for_each():
    """Two axes serve every head and sequence; the full rank may have axes of 1."""
    scores = integers(0, 2, 3, 4, 4)
    causal = np.tri(4, dtype=bool)
    padding = np.array([[True, True, False, True], [True] * 4]).reshape(2, 1, 1, 4)

    full = np.broadcast_to(causal & padding, scores.shape)

    assert np.array_equal(softmax(scores, causal), softmax(scores, np.broadcast_to(causal, scores.shape)))
    assert np.array_equal(softmax(scores, causal & padding), softmax(scores, full))
    assert np.array_equal(
        softmax(scores, padding[0, 0]), softmax(scores, np.repeat(padding[0, 0], 4, axis=0))
    )
    assert np.array_equal(softmax(scores[0, 0, 0], causal[0]), softmax(scores, causal)[0, 0, 0])


def test_a_fully_masked_row_is_zero():
    """And its neighbours do not notice; no warning either."""
    scores = integers(0, 2, 3)

    weights = softmax(scores, np.array([[False] * 3, [True] * 3]))

    assert weights[0].tolist() == [0, 0, 0]
    assert np.array_equal(weights[1], softmax(scores[1]))


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2), (3, 0, 0)])
def test_empty_rows(shape):
    """Nothing in, nothing out."""
    assert softmax(np.zeros(shape)).shape == shape
    assert softmax(np.zeros(shape), np.zeros(shape, bool)).shape == shape


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf])
def test_hidden_scores_are_never_looked_at(hidden):
    """Masked by replacing, not by adding: NaN + -inf would be NaN."""
    scores = np.array([hidden, 1.0, 2.0])

    assert np.array_equal(softmax(scores, np.array([False, True, True]))[1:], softmax(scores[1:]))
    assert softmax(scores, np.array([False, True, True]))[0] == 0


def test_visible_nan_and_infinities():
    """NaN and +inf turn their own row into NaN, -inf is as good as hidden; also where numpy is told to raise."""
    with np.errstate(all="raise"):
        weights = softmax(
            np.array([[np.nan, 0.0], [np.inf, 0.0], [-np.inf, 0.0], [-np.inf, -np.inf], [0.0, 0.0]])
        )

    assert np.isnan(weights[:2]).all()
    assert weights[2:].tolist() == [[0, 1], [0, 0], [0.5, 0.5]]


def test_weights_of_float32_are_float32():
    """The peak, the mask and the total do not widen it."""
    scores = integers(0, 3, 4).astype(np.float32)

    weights = softmax(scores, np.ones((3, 4), bool))

    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, softmax(scores.astype(float)), rtol=1e-6)
