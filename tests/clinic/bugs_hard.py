"""Where the probes end: nastier bugs, written after them, and no probe was tuned on them."""

import numpy as np

from tests.clinic.bugs_open import cut, out, paste, roles, rotate, sdpa, softmax, tril
from tests.clinic.cases import Case, collector

CASES: list[Case] = []
bug = collector(CASES)


@bug("attention", "head-split", "scale", "transposed-weight", causal=True)
def three_at_once(x, W):
    view = lambda a: a.reshape(len(a), W.n_heads, x.shape[1], -1)  # noqa: E731
    q, k, v = (view(a) for a in (x @ W.W_Q.T + W.b_Q, x @ W.W_K + W.b_K, x @ W.W_V + W.b_V))
    return out(paste(sdpa(q, k, v, tril(x.shape[1]), scale=1.0)), W)


@bug("attend", "scale", "softmax-axis", "kv-head-order", n_heads=4, n_kv_heads=2)
def three_inside(q, k, v, mask):
    s = q @ np.tile(k, (1, 2, 1, 1)).swapaxes(-1, -2)
    return softmax(s if mask is None else np.where(mask, s, -1e9), -2) @ np.tile(v, (1, 2, 1, 1))


@bug("attend", "causality", causal=True)
def window_that_forgets(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return sdpa(q, k, v, tril(n, m) & ~np.tri(n, m, m - n - 64, dtype=bool))


@bug("attend", "dtype-loss")
def overflows_for_large_scores(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(s) if mask is None else np.exp(s) * mask
    return e / e.sum(-1, keepdims=True) @ v


@bug("attention", "rotary-style", rotary="halves", causal=True, bias=False)
def another_base(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(rotate(q, base=500000.0), rotate(k, base=500000.0), v, tril(x.shape[1]))), W)


@bug("attention", "rotary-style", rotary="halves", causal=True, bias=False)
def half_of_each_head(x, W):
    turn = lambda a: np.concatenate([rotate(a[..., :4]), a[..., 4:]], -1)  # noqa: E731
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(turn(q), turn(k), v, tril(x.shape[1]))), W)


@bug("attention", "key-bias", causal=True)
def key_bias_lost_without_rotary(x, W):
    q, k, v = (cut(a, W.n_heads) for a in (x @ W.W_Q + W.b_Q, x @ W.W_K, x @ W.W_V + W.b_V))
    return out(paste(sdpa(q, k, v, tril(x.shape[1]))), W)


@bug("attention", "shared-projection", causal=True)
def matrix_shared_but_not_the_bias(x, W):
    q, _, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, cut(x @ W.W_Q + W.b_K, W.n_heads), v, tril(x.shape[1]))), W)


@bug("attention", "fused-order", causal=True)
def heads_in_reverse(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k[:, ::-1], v, tril(x.shape[1]))), W)


@bug("step", "cache-differs")
def cache_of_eight(x, cache, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2)[:, :, -8:], np.concatenate([cache[1], v], 2)[:, :, -8:]
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), (k, v)


@bug("step", "scale", "cache-differs")
def unscaled_and_forgetful(x, cache, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    kept = (k, v)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]), scale=1.0)), W), kept


@bug("project", "fused-order", "transposed-weight", fused="qkv", blocks=4)
def reshaped_the_wrong_way_round(x, W):
    turned = W.W_QKV.reshape(W.W_QKV.shape[::-1]).T
    p = (x @ turned + W.b_QKV).reshape(*x.shape[:2], 4, 3, -1)
    return tuple(p[..., i, :].swapaxes(1, 2) for i in range(3))
