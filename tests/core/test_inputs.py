"""What every function makes of unusual arrays; the refused ones are in test_errors.py."""

import numpy as np
import pytest

from qkvdocs.core import (
    KVCache,
    QKVWeights,
    attend,
    attention,
    attention_scores,
    causal_mask,
    merge_heads,
    padding_mask,
    project_qkv,
    repeat_kv_heads,
    rotate,
    softmax,
    split_heads,
)

X = np.random.default_rng(0).integers(-4, 5, (2, 4, 6))
W = np.random.default_rng(1).integers(-4, 5, (6, 6))
b = np.random.default_rng(2).integers(-4, 5, 6)
H = np.random.default_rng(3).integers(-4, 5, (2, 2, 4, 3))


def layer(x, w, c):
    weights = QKVWeights(W_Q=w, W_K=w, W_V=w, W_O=w, b_Q=c, b_K=c, b_V=c, b_O=c, n_heads=2)
    return attention(x, weights, causal_mask(4, 4))


COMPUTING = {
    "project_qkv": (lambda x, w, c: project_qkv(x, w, w, w, c, c, c), (X, W, b)),
    "attention_scores": (attention_scores, (H, H)),
    "rotate": (lambda x, at, turn: rotate(x, at, width=4, frequencies=turn), (X, b[:4], b[4:])),
    "softmax": (softmax, (H,)),
    "attend": (attend, (H, H, H)),
    "attention": (layer, (X, W, b)),
    "KVCache": (lambda K, V: KVCache().append(K, V), (H, H)),
}
MOVING = {
    "split_heads": (lambda x: split_heads(x, 2), (X,)),
    "merge_heads": (merge_heads, (H,)),
    "repeat_kv_heads": (lambda x: repeat_kv_heads(x, 4), (H,)),
    "padding_mask": (lambda lengths: padding_mask(lengths, 4), (np.array([[1, 3], [0, 4]]),)),
}


def results(function, arguments):
    result = function(*arguments)
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        (np.int8, np.float64),
        (np.int32, np.float64),
        (np.int64, np.float64),
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (">f4", np.float32),
        (">f8", np.float64),
        (">i2", np.float64),
    ],
)
def test_dtypes(name, dtype, computed):
    """Integers become float64, float16 becomes float32, and both are computed there, not rounded there."""
    function, arguments = COMPUTING[name]

    got = results(function, [argument.astype(dtype) for argument in arguments])
    wanted = results(function, [argument.astype(computed) for argument in arguments])

    for part, want in zip(got, wanted, strict=True):
        assert part.dtype == np.dtype(computed)
        assert part.dtype.isnative
        assert np.array_equal(part, want)


@pytest.mark.parametrize("name", COMPUTING)
def test_unsigned(name):
    """Unsigned integers neither wrap nor hinder."""
    function, arguments = COMPUTING[name]
    positive = [abs(argument) for argument in arguments]

    for dtype in (np.uint8, np.uint64):
        for part, want in zip(
            results(function, [p.astype(dtype) for p in positive]), results(function, positive), strict=True
        ):
            assert np.array_equal(part, want)


def strided(x):
    """The same numbers, backwards in memory, every second place, axes in another order."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::-2].T
    wide[...] = x.T
    return wide.T


@pytest.mark.parametrize("name", [*COMPUTING, *MOVING])
def test_memory_layout_does_not_matter(name):
    """Transposed, reversed and strided arrays give the same values."""
    function, arguments = (COMPUTING | MOVING)[name]
    odd = [strided(argument) for argument in arguments]
    assert not any(argument.flags.c_contiguous for argument in odd)

    for part, want in zip(results(function, odd), results(function, arguments), strict=True):
        np.testing.assert_allclose(part, want, rtol=1e-13)


@pytest.mark.parametrize("name", [*COMPUTING, *MOVING])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_arguments_are_never_changed(name, dtype):
    """Not even where the dtype needs no widening: read-only arrays will do."""
    function, arguments = (COMPUTING | MOVING)[name]
    dtype = np.int64 if name == "padding_mask" else dtype
    frozen = [argument.astype(dtype) for argument in arguments]
    before = [argument.copy() for argument in frozen]
    for argument in frozen:
        argument.flags.writeable = False

    for part in results(function, frozen):
        assert name in MOVING or not any(np.shares_memory(part, argument) for argument in frozen)
    for argument, old in zip(frozen, before, strict=True):
        assert np.array_equal(argument, old)


def test_memory_maps_will_do(tmp_path):
    """A weight may stay on disk until it is used."""
    W.astype(np.float32).tofile(tmp_path / "W")
    mapped = np.memmap(tmp_path / "W", np.float32, "r", shape=W.shape)

    q, _, _ = project_qkv(X, mapped, W, W)

    assert np.array_equal(q, X @ W)
    assert type(q) is np.ndarray
    assert type(split_heads(mapped, 2)) is np.ndarray


def test_integers_up_to_the_last_exact_one():
    """2**53 is the last integer before float64 begins to skip."""
    edge = np.array([2**53, -(2**53)])

    assert project_qkv(edge, *[np.eye(2)] * 3)[0].tolist() == edge.tolist()


def test_products_of_integers_do_not_wrap():
    """2**40 * 2**40 is more than int64 holds, and comes out right."""
    big = np.array([[2**40]])

    assert attention_scores(big, big, scale=1.0).tolist() == [[2.0**80]]


def test_mixed_dtypes_follow_numpy():
    """The wider one wins, row by row."""
    q, k, v = project_qkv(X.astype(np.float32), W.astype(np.float16), W, W.astype(np.float32), b_V=b)

    assert (q.dtype, k.dtype, v.dtype) == (np.float32, np.float64, np.float64)
