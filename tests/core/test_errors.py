"""Each refusal, word for word: `<argument> must <rule in symbols> = <rule in numbers>, got <value>`."""

import contextlib
import re

import numpy as np
import pytest

from qkvdocs import errors
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
    sliding_window_mask,
    softmax,
    split_heads,
)
from qkvdocs.errors import DTypeError, QKVError, ShapeError

one = np.ones
yes = np.ones((3, 3), bool)
lengths = np.array([1, 2])


def layer(**changes):
    arrays = {"W_Q": one((6, 8)), "W_K": one((6, 4)), "W_V": one((6, 4))}
    return QKVWeights(**{**arrays, "n_heads": 4, "n_kv_heads": 2, **changes})


def cached(K, V):
    cache = KVCache()
    cache.append(one((2, 4, 1, 8)), one((2, 4, 1, 8)))
    return cache.append(K, V)


def late_cached(X, weights):
    cache = KVCache()
    attention(one((2, 1, 6)), weights, cache=cache)
    return attention(X, weights, cache=cache)


# fmt: off
SHAPES = [
    (lambda: project_qkv(one(()), one((4, 2)), one((4, 2)), one((4, 2))),
     "X must have shape (*batch, d_model), got ()"),
    (lambda: project_qkv(one(4), one((3, 2)), one((4, 2)), one((4, 2))),
     "W_Q must have shape (d_model, width) = (4, width), got (3, 2)"),
    (lambda: project_qkv(one(4), one((4, 2)), one(4), one((4, 2))),
     "W_K must have shape (d_model, width) = (4, width), got (4,)"),
    (lambda: project_qkv(one(4), one((4, 2)), one((4, 2)), one((1, 4, 2))),
     "W_V must have shape (d_model, width) = (4, width), got (1, 4, 2)"),
    (lambda: project_qkv(one(4), one((4, 2)), one((4, 3)), one((4, 2)), b_Q=one(1)),
     "b_Q must have shape (width of W_Q,) = (2,), got (1,)"),
    (lambda: project_qkv(one(4), one((4, 2)), one((4, 3)), one((4, 2)), b_K=one(2)),
     "b_K must have shape (width of W_K,) = (3,), got (2,)"),
    (lambda: project_qkv(one(4), one((4, 2)), one((4, 3)), one((4, 2)), b_V=one((1, 2))),
     "b_V must have shape (width of W_V,) = (2,), got (1, 2)"),
    (lambda: split_heads(one(4), 2), "x must have shape (*batch, seq, n_heads * d_head), got (4,)"),
    (lambda: split_heads(one((2, 4)), 3), "the last axis of x must be a multiple of n_heads=3, got 4"),
    (lambda: split_heads(one((2, 4)), 0), "n_heads must be an integer of at least 1, got 0"),
    (lambda: split_heads(one((2, 4)), True), "n_heads must be an integer of at least 1, got True"),
    (lambda: merge_heads(one((2, 4))), "x must have shape (*batch, n_heads, seq, d_head), got (2, 4)"),
    (lambda: repeat_kv_heads(one((2, 4)), 2),
     "x must have shape (*batch, n_kv_heads, seq, d_head), got (2, 4)"),
    (lambda: repeat_kv_heads(one((2, 1, 4)), 3), "n_heads must be a multiple of n_kv_heads=2, got 3"),
    (lambda: repeat_kv_heads(one((2, 1, 4)), -2), "n_heads must be an integer of at least 1, got -2"),
    (lambda: repeat_kv_heads(one((0, 1, 4)), 2), "n_kv_heads must be an integer of at least 1, got 0"),
    (lambda: rotate(one(4)), "x must have shape (*batch, n_heads, seq, d_head), got (4,)"),
    (lambda: rotate(one((2, 3))),
     "d_head must be even where width is None, got 3. Say how wide a part turns"),
    (lambda: rotate(one((2, 6)), width=3), "width must be even and at most d_head = 6, got 3"),
    (lambda: rotate(one((2, 6)), width=8), "width must be even and at most d_head = 6, got 8"),
    (lambda: rotate(one((2, 6)), width=-2), "width must be an integer of at least 0, got -2"),
    (lambda: rotate(one((2, 6)), frequencies=one(6)),
     "frequencies must have shape (width / 2,) = (3,), got (6,)"),
    *(
        (
            lambda shape=shape: rotate(one((2, 4, 3, 6)), one(shape)),
            "positions must have shape (seq,) = (3,) or that of x without d_head = (2, 4, 3), "
            f"each axis but the last possibly 1, got {shape}",
        )
        for shape in ((), (1,), (2, 3), (2, 4, 1), (4, 1, 3), (1, 1, 1, 3))
    ),
    (lambda: causal_mask(3, 2), "n_queries must be at most n_keys=2, got 3"),
    (lambda: causal_mask(-1, 2), "n_queries must be an integer of at least 0, got -1"),
    (lambda: causal_mask(0, -1), "n_keys must be an integer of at least 0, got -1"),
    (lambda: sliding_window_mask(3, 2, 1), "n_queries must be at most n_keys=2, got 3"),
    (lambda: sliding_window_mask(1, 2, 0), "window must be an integer of at least 1, got 0"),
    (lambda: padding_mask(lengths, -1), "n_keys must be an integer of at least 0, got -1"),
    (lambda: padding_mask(lengths, 1), "lengths must be from 0 to n_keys=1, got 2"),
    (lambda: padding_mask(-lengths, 2), "lengths must be from 0 to n_keys=2, got -1"),
    (lambda: attention_scores(one(3), one((2, 3))),
     "Q must have shape (*batch, n_heads, n_queries, d_head), got (3,)"),
    (lambda: attention_scores(one((2, 0)), one((2, 0))), "d_head must be an integer of at least 1, got 0"),
    (lambda: attention_scores(one((2, 3)), one((2, 4))),
     "K must have shape (n_keys, d_head) = (n_keys, 3), got (2, 4)"),
    (lambda: attention_scores(one((2, 3)), one((1, 2, 3))),
     "K must have shape (n_keys, d_head) = (n_keys, 3), got (1, 2, 3)"),
    (lambda: attention_scores(one((4, 2, 3)), one((2, 3))),
     "K must have shape (*batch, n_kv_heads, n_keys, d_head) = (n_kv_heads, n_keys, 3), got (2, 3)"),
    (lambda: attention_scores(one((2, 4, 2, 3)), one((1, 4, 2, 3))),
     "K must have shape (*batch, n_kv_heads, n_keys, d_head) = (2, n_kv_heads, n_keys, 3), " "got (1, 4, 2, 3)"),
    (lambda: attention_scores(one((4, 2, 3)), one((3, 2, 3))),
     "n_heads must be a multiple of n_kv_heads=3, got 4"),
    (lambda: attention_scores(one((4, 2, 3)), one((8, 2, 3))),
     "n_heads must be a multiple of n_kv_heads=8, got 4"),
    (lambda: attention_scores(one((4, 2, 3)), one((0, 2, 3))),
     "n_kv_heads must be an integer of at least 1, got 0"),
    (lambda: softmax(one(())), "scores must have shape (*rows, n_keys), got ()"),
    (
        lambda: softmax(one((2, 4, 3)), yes),
        "mask must have shape (n_queries, n_keys) = (4, 3) or that of scores = (2, 4, 3), "
        "each axis but the last possibly 1, got (3, 3)",
    ),
    (
        lambda: softmax(one((3, 3, 3, 3)), one((3, 3, 3), bool)),
        "mask must have shape (n_queries, n_keys) = (3, 3) or that of scores = (3, 3, 3, 3), "
        "each axis but the last possibly 1, got (3, 3, 3)",
    ),
    (
        lambda: softmax(one((3, 3)), yes[:, :1]),
        "mask must have shape (n_queries, n_keys) = (3, 3) or that of scores = (3, 3), "
        "each axis but the last possibly 1, got (3, 1)",
    ),
    (
        lambda: softmax(one((2, 3, 3)), yes[None, :, :1]),
        "mask must have shape (n_queries, n_keys) = (3, 3) or that of scores = (2, 3, 3), "
        "each axis but the last possibly 1, got (1, 3, 1)",
    ),
    (
        lambda: softmax(one((2, 2, 3, 3)), np.stack([[yes]] * 3)),
        "mask must have shape (n_queries, n_keys) = (3, 3) or that of scores = (2, 2, 3, 3), "
        "each axis but the last possibly 1, got (3, 1, 3, 3)",
    ),
    (
        lambda: softmax(one((3, 3)), yes[0]),
        "mask must have shape (n_queries, n_keys) = (3, 3) or that of scores = (3, 3), "
        "each axis but the last possibly 1, got (3,)",
    ),
    (
        lambda: softmax(one(3), yes),
        "mask must have shape (n_queries, n_keys) = (3,) or that of scores = (3,), "
        "each axis but the last possibly 1, got (3, 3)",
    ),
    (lambda: attend(one((3, 4)), one((3, 4)), one((2, 4))),
     "V must have shape (shape of K up to n_keys, d_value) = (3, d_value), got (2, 4)"),
    (lambda: attend(one((2, 3, 4)), one((2, 3, 4)), one((1, 3, 4))),
     "V must have shape (shape of K up to n_keys, d_value) = (2, 3, d_value), got (1, 3, 4)"),
    (lambda: attend(one((4, 3, 4)), one((2, 3, 4)), one((4, 3, 4))),
     "V must have shape (shape of K up to n_keys, d_value) = (2, 3, d_value), got (4, 3, 4)"),
    (
        lambda: attend(one((4, 2, 4)), one((2, 3, 4)), one((2, 3, 4)), yes),
        "mask must have shape (n_queries, n_keys) = (2, 3) or that of scores = (4, 2, 3), "
        "each axis but the last possibly 1, got (3, 3)",
    ),
    (lambda: attention(one(6), layer()), "X must have shape (*batch, seq, d_model), got (6,)"),
    (lambda: attention(one((3, 5)), layer()), "X must have shape (*batch, d_model) = (3, 6), got (3, 5)"),
    (lambda: layer().project(one((2, 3, 5))),
     "X must have shape (*batch, d_model) = (2, 3, 6), got (2, 3, 5)"),
    (lambda: layer().project(one(())), "X must have shape (*batch, d_model), got ()"),
    (
        lambda: attention(one((2, 6)), layer(), yes),
        "mask must have shape (n_queries, n_keys) = (2, 2) or that of scores = (4, 2, 2), "
        "each axis but the last possibly 1, got (3, 3)",
    ),
    (lambda: late_cached(one((3, 1, 6)), layer()),
     "K must have shape (batch and heads of the cache, n_new, width of K) = (2, 2, n_new, 2), " "got (3, 2, 1, 2)"),
    (lambda: layer(n_heads=0), "n_heads must be an integer of at least 1, got 0"),
    (lambda: layer(n_heads=True), "n_heads must be an integer of at least 1, got True"),
    (lambda: layer(n_kv_heads=0), "n_kv_heads must be an integer of at least 1, got 0"),
    (lambda: layer(n_kv_heads=3), "n_heads must be a multiple of n_kv_heads=3, got 4"),
    (lambda: layer(n_kv_heads=8), "n_heads must be a multiple of n_kv_heads=8, got 4"),
    (lambda: layer(W_Q=one(8)),
     "W_Q must have shape (d_model, n_heads * d_head) = (d_model, n_heads * d_head), got (8,)"),
    (lambda: layer(W_Q=one((6, 6))), "the last axis of W_Q must be a multiple of n_heads=4, got 6"),
    (lambda: layer(W_Q=one((6, 0))), "the last axis of W_Q must be a multiple of n_heads=4, got 0"),
    (lambda: layer(W_Q=one((0, 8))), "d_model must be an integer of at least 1, got 0"),
    (lambda: layer(W_K=one((6, 8))),
     "W_K must have shape (d_model, n_kv_heads * d_head) = (6, 4), got (6, 8)"),
    (lambda: layer(W_V=one((5, 4))),
     "W_V must have shape (d_model, n_kv_heads * d_value) = (6, 4), got (5, 4)"),
    (lambda: layer(W_V=one(8)),
     "W_V must have shape (d_model, n_kv_heads * d_value) = (d_model, n_kv_heads * d_value), got (8,)"),
    (lambda: layer(W_V=one((6, 5))), "the last axis of W_V must be a multiple of n_kv_heads=2, got 5"),
    (lambda: layer(W_V=one((6, 0))), "the last axis of W_V must be a multiple of n_kv_heads=2, got 0"),
    (lambda: layer(W_V=one((6, 6)), W_O=one((8, 6))),
     "W_O must have shape (n_heads * d_value, d_model) = (12, 6), got (8, 6)"),
    (lambda: layer(W_O=one((6, 8))), "W_O must have shape (n_heads * d_value, d_model) = (8, 6), got (6, 8)"),
    (lambda: layer(b_Q=one(1)), "b_Q must have shape (n_heads * d_head,) = (8,), got (1,)"),
    (lambda: layer(b_K=one(8)), "b_K must have shape (n_kv_heads * d_head,) = (4,), got (8,)"),
    (lambda: layer(b_V=one((1, 4))), "b_V must have shape (n_kv_heads * d_value,) = (4,), got (1, 4)"),
    (lambda: layer(W_O=one((8, 6)), b_O=one(8)), "b_O must have shape (d_model,) = (6,), got (8,)"),
    (lambda: layer(b_O=one(6)), "b_O must be None without W_O, got an array of shape (6,)"),
    (lambda: KVCache().K, "cache must hold a position before it is read, got an empty one. Append first"),
    (lambda: KVCache().V, "cache must hold a position before it is read, got an empty one. Append first"),
    (lambda: KVCache().append(one(3), one(3)),
     "K must have shape (*batch, n_kv_heads, n_new, d_head), got (3,)"),
    (lambda: KVCache().append(one((2, 3)), one((1, 3))),
     "V must have shape (shape of K up to n_new, d_value) = (2, d_value), got (1, 3)"),
    (lambda: cached(one((3, 4, 1, 8)), one((3, 4, 1, 8))),
     "K must have shape (batch and heads of the cache, n_new, width of K) = (2, 4, n_new, 8), " "got (3, 4, 1, 8)"),
    (lambda: cached(one((2, 4, 1, 8)), one((2, 4, 1, 6))),
     "V must have shape (batch and heads of the cache, n_new, width of V) = (2, 4, n_new, 8), " "got (2, 4, 1, 6)"),
]
# fmt: on
# fmt: off
DTYPES = [
    (lambda: project_qkv(one(4, complex), *[one((4, 2))] * 3),
     "X must hold integers or floats of at most 64 bits, got dtype complex128"),
    (lambda: project_qkv(one(4), one((4, 2), object), *[one((4, 2))] * 2),
     "W_Q must hold integers or floats of at most 64 bits, got dtype object"),
    (lambda: project_qkv(one(4), *[one((4, 2))] * 3, b_K=one(2, bool)),
     "b_K must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: project_qkv(one(4), one((4, 2)), one((4, 2)), one((4, 2)).astype(str)),
     "W_V must hold integers or floats of at most 64 bits, got dtype <U32"),
    (lambda: project_qkv(np.array([2**53 + 1]), *[one((1, 2))] * 3),
     "X must hold integers of magnitude at most 2**53 = 9007199254740992, got 9007199254740993"),
    (lambda: project_qkv(np.array([1, -(2**63)]), *[one((2, 2))] * 3),
     "X must hold integers of magnitude at most 2**53 = 9007199254740992, got -9223372036854775808"),
    (lambda: project_qkv(np.array([2**64 - 1], np.uint64), *[one((1, 2))] * 3),
     "X must hold integers of magnitude at most 2**53 = 9007199254740992, got 18446744073709551615"),
    (lambda: split_heads(one((2, 4), object), 2),
     "x must hold integers or floats of at most 64 bits, got dtype object"),
    (lambda: merge_heads(one((2, 2, 4), bool)),
     "x must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: repeat_kv_heads(one((2, 2, 4), np.complex64), 2),
     "x must hold integers or floats of at most 64 bits, got dtype complex64"),
    (lambda: padding_mask(one(2), 2), "lengths must hold integers, got dtype float64"),
    (lambda: padding_mask(one(2, bool), 2),
     "lengths must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: attention_scores(one((3, 3), bool), one((3, 3))),
     "Q must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: attention_scores(one((3, 3)), one((3, 3), object)),
     "K must hold integers or floats of at most 64 bits, got dtype object"),
    (lambda: attention_scores(one((3, 3)), one((3, 3)), scale=np.nan),
     "scale must be a finite number, got nan"),
    (lambda: attention_scores(one((3, 3)), one((3, 3)), scale=-np.inf),
     "scale must be a finite number, got -inf"),
    (lambda: attention_scores(one((3, 3)), one((3, 3)), scale=True),
     "scale must be a finite number, got True"),
    (lambda: attend(one((3, 3)), one((3, 3)), one((3, 3)), scale=np.ones(1)),
     "scale must be a finite number, got array([1.])"),
    (lambda: rotate(one((2, 4)), base=0), "base must be above 0, got 0"),
    (lambda: rotate(one((2, 4)), base=np.nan), "base must be a finite number, got nan"),
    (lambda: rotate(one((2, 4)), scaling=-1.0), "scaling must be above 0, got -1.0"),
    (lambda: rotate(one((2, 4)), scaling=True), "scaling must be a finite number, got True"),
    (lambda: rotate(one((2, 4)), offset=np.inf), "offset must be a finite number, got inf"),
    (lambda: rotate(one((2, 4), bool)), "x must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: rotate(one((2, 4)), one(2, bool)),
     "positions must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: rotate(one((2, 4)), frequencies=one(2, bool)),
     "frequencies must hold integers or floats of at most 64 bits, got dtype bool"),
    *(
        (
            lambda given=given: rotate(one((1, 2)), **given),
            "(positions + offset) / scaling * frequencies must be finite numbers, got NaN or inf",
        )
        for given in (
            {"positions": np.array([np.nan])},
            {"frequencies": np.array([np.inf])},
            {"positions": np.array([1e308]), "scaling": 1e-9},
        )
    ),
    (lambda: softmax(one(3, bool)), "scores must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: softmax(one((3, 3)), one((3, 3))),
     "mask must be a bool array, True = may attend, got dtype float64"),
    (lambda: softmax(one((3, 3)), one((3, 3), object)),
     "mask must be a bool array, True = may attend, got dtype object"),
    (lambda: attend(one((3, 3)), one((3, 3)), one((3, 3)), one((3, 3), int)),
     "mask must be a bool array, True = may attend, got dtype int64"),
    (lambda: attend(one((3, 3)), one((3, 3)), one((3, 3), complex)),
     "V must hold integers or floats of at most 64 bits, got dtype complex128"),
    (lambda: attention(one((3, 6), complex), layer()),
     "X must hold integers or floats of at most 64 bits, got dtype complex128"),
    (lambda: attention(one((3, 6)), layer(), one((3, 3), int)),
     "mask must be a bool array, True = may attend, got dtype int64"),
    (lambda: layer().project(one(6, object)),
     "X must hold integers or floats of at most 64 bits, got dtype object"),
    (lambda: layer(b_Q=one(8, bool)), "b_Q must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: layer(W_K=one((6, 4), complex)),
     "W_K must hold integers or floats of at most 64 bits, got dtype complex128"),
    (lambda: KVCache().append(one((1, 2), object), one((1, 2))),
     "K must hold integers or floats of at most 64 bits, got dtype object"),
    (lambda: KVCache().append(one((1, 2)), one((1, 2), bool)),
     "V must hold integers or floats of at most 64 bits, got dtype bool"),
    (lambda: cached(one((2, 4, 1, 8), np.float32), one((2, 4, 1, 8))),
     "K must have the dtype of the cache = float64, got float32"),
    (lambda: cached(one((2, 4, 1, 8)), one((2, 4, 1, 8), np.float32)),
     "V must have the dtype of the cache = float64, got float32"),
    (lambda: split_heads(np.ma.array([[1.0]], mask=[[True]]), 1),
     "x must be a plain numpy array, got MaskedArray"),
    (lambda: softmax(one((3, 3)), np.ma.array(yes, mask=yes)),
     "mask must be a bool array, True = may attend, got MaskedArray"),
    (lambda: attend(one((3, 3)), one((3, 3)), one((3, 3)), np.ma.array(yes)),
     "mask must be a bool array, True = may attend, got MaskedArray"),
]
# fmt: on
# Not of the annotated type at all: under the hook the annotation speaks first.
# fmt: off
KINDS = [
    (lambda: causal_mask(1.0, 2), ShapeError, "n_queries must be an integer of at least 0, got 1.0"),
    (lambda: causal_mask(1, "2"), ShapeError, "n_keys must be an integer of at least 0, got '2'"),
    (lambda: sliding_window_mask(1, 2, 1.5), ShapeError, "window must be an integer of at least 1, got 1.5"),
    (lambda: sliding_window_mask(1, 2, 2**64), ShapeError,
     "window must be an integer of at most 2**31 - 1 = 2147483647, got 18446744073709551616"),
    (lambda: rotate(one((2, 4)), style="half"), DTypeError, "style must be 'halves' or 'pairs', got 'half'"),
    (lambda: attention(one((3, 6)), "layer"), DTypeError, "weights must be a QKVWeights, got str"),
    (lambda: attention(one((3, 6)), layer(), cache=[]), DTypeError, "cache must be a KVCache, got list"),
    (lambda: layer(W_K=None), DTypeError, "W_K must be a plain numpy array, got NoneType"),
    (lambda: layer(W_V=None), DTypeError, "W_V must be a plain numpy array, got NoneType"),
    (lambda: attention_scores(one((1, 1)), one((1, 1)), 10**400), DTypeError,
     f"scale must be a finite number, got {10**400}"),
    (lambda: layer(n_heads=4.0), ShapeError, "n_heads must be an integer of at least 1, got 4.0"),
    (lambda: split_heads([[1, 2]], 2), DTypeError, "x must be a plain numpy array, got list"),
    (lambda: project_qkv([1, 2], *[np.eye(2)] * 3), DTypeError, "X must be a plain numpy array, got list"),
    (lambda: softmax(one(2), [True, False]), DTypeError,
     "mask must be a bool array, True = may attend, got list"),
    (lambda: softmax(one(1), True), DTypeError, "mask must be a bool array, True = may attend, got bool"),
    (lambda: attention_scores(one((1, 1)), one((1, 1)), "1"), DTypeError,
     "scale must be a finite number, got '1'"),
]
# fmt: on
CASES = [(call, ShapeError, message) for call, message in SHAPES] + [
    (call, DTypeError, message) for call, message in DTYPES
]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[message for _, _, message in CASES])
def test_message(call, error, message):
    """A wrong shape or dtype meets our own error, under the import hook too."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.usefixtures("no_hook")
@pytest.mark.parametrize(
    ("call", "error", "message"), CASES + KINDS, ids=[message for _, _, message in CASES + KINDS]
)
def test_message_as_users_see_it(call, error, message):
    """And without the hook, where no annotation is executed."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


ODD = [
    None, "x", 0, -1, 2**62, 2**70, 10**400, 1.5, float("nan"), True, np.float16(1), 1j, [], [[1, 2], [3, 4]],
    np.ma.array(one((2, 2))), np.ma.array(one((2, 2), bool)), one(()), one(0), one((0, 2)), one((2, 0)),
    one((2, 2)), one((2, 2, 2)), one((2, 2), bool), one((2, 2), complex), np.array([[object()]]),
    np.full((2, 2), np.nan), np.full((2, 2), 1e308), np.array([1e308, -1e308]), np.full((2, 2), -np.inf),
    np.full((2, 2), 2**64 - 1, np.uint64), np.zeros((2, 2), [("a", float)]), KVCache(), object(),
]  # fmt: skip
RIGHT = {
    attend: {"Q": one((2, 2)), "K": one((2, 2)), "V": one((2, 2)), "mask": None, "scale": None},
    attention: {"X": one((2, 6)), "weights": layer(), "mask": None, "scale": None, "cache": None},
    attention_scores: {"Q": one((2, 2)), "K": one((2, 2)), "scale": None},
    softmax: {"scores": one((2, 2)), "mask": None},
    causal_mask: {"n_queries": 2, "n_keys": 3},
    sliding_window_mask: {"n_queries": 2, "n_keys": 3, "window": 1},
    padding_mask: {"lengths": lengths, "n_keys": 3},
    project_qkv: {"X": one(2), "W_Q": one((2, 2)), "W_K": one((2, 2)), "W_V": one((2, 2)), "b_Q": None},
    split_heads: {"x": one((2, 4)), "n_heads": 2},
    merge_heads: {"x": one((2, 2, 2))},
    repeat_kv_heads: {"x": one((2, 2, 2)), "n_heads": 4},
    rotate: {
        "x": one((2, 4)),
        "positions": None,
        "offset": 0,
        "style": "pairs",
        "width": 2,
        "base": 1e4,
        "scaling": 1,
        "frequencies": None,
    },
    QKVWeights: {"W_Q": one((4, 4)), "W_K": one((4, 4)), "W_V": one((4, 4)), "W_O": None, "n_heads": 2},
    KVCache().append: {"K": one((2, 2)), "V": one((2, 2))},
}


@pytest.mark.usefixtures("no_hook")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
@pytest.mark.parametrize("told", ["warn", "raise"])
def test_odd_arguments_meet_named_errors(function, told):
    """Whatever stands in for one argument: a result, our own error, or what numpy was told to raise."""
    allowed = (QKVError,) if told == "warn" or function is softmax else (QKVError, FloatingPointError)
    for name in RIGHT[function]:
        for value in ODD:
            with contextlib.suppress(*allowed), np.errstate(all=told):
                function(**{**RIGHT[function], name: value})


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_double_is_refused():
    """Neither the annotations nor the lessons know it."""
    with pytest.raises(DTypeError, match=rf"^x must hold .* 64 bits, got dtype {np.dtype(np.longdouble)}$"):
        split_heads(one((2, 2), np.longdouble), 1)


def test_errors_are_value_errors():
    """Whoever catches ValueError catches ours."""
    assert issubclass(QKVError, ValueError)
    classes = {value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)}
    assert {ShapeError, DTypeError} <= classes
    assert all(issubclass(one, QKVError) for one in classes)
