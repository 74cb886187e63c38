"""Right layers of this year, in many styles: no probe may accuse them, in any precision."""

import math

import numpy as np

from tests.clinic.bugs_reports import (
    GAIN_K,
    GAIN_Q,
    NORM,
    ROPE,
    SINKS,
    WIDE_K,
    WIDE_Q,
    alibi,
    apart,
    causal_layer,
    group,
    heads,
    hide,
    lin,
    merge,
    o_proj,
    qkv,
    rms,
    rope,
    scores,
    seen,
    soft,
    t5,
    with_sink,
)
from tests.clinic.cases import Case, collector

CASES: list[Case] = []
right = collector(CASES)


@right("attend", softcap=5.0)
def capped(q, k, v, mask):
    return soft(hide(5.0 * np.tanh(scores(q, k) / 5.0), mask)) @ v


@right("attend", softcap=50.0, scale=1 / 12, n_heads=4, n_kv_heads=2)
def gemma2(q, k, v, mask):
    s = np.tanh(scores(q * 12**-1.0, k, 1.0) / 50.0) * 50.0
    return soft(s + (0 if mask is None else np.where(mask, 0.0, -2.3e38))) @ group(v, 4)


@right("attend", softcap=20.0, causal=True, window=4)
def gemma2_sliding(q, k, v, mask):
    d = apart(q.shape[2], k.shape[2])
    return soft(np.where((d >= 0) & (d < 4), 20 * np.tanh(scores(q, k) / 20), -1e9)) @ v


@right("attend", sinks=SINKS)
def gpt_oss(q, k, v, mask):
    return soft(with_sink(hide(scores(q, k), mask), SINKS))[..., :-1] @ v


@right("attend", sinks=SINKS, n_heads=4, n_kv_heads=2)
def sink_by_sigmoid_of_the_log_sum(q, k, v, mask):
    s = hide(scores(q, k), mask)
    lse = np.log(np.exp(s).sum(-1, keepdims=True))
    return soft(s) @ group(v, 4) / (1 + np.exp(SINKS[None, :, None, None] - lse))


@right("attend", sinks=SINKS)
def sink_as_a_key_whose_value_is_zero(q, k, v, mask):
    result = np.zeros_like(q)
    for b, h, i in np.ndindex(*q.shape[:3]):
        js = [j for j in range(k.shape[2]) if mask is None or mask[i, j]]
        e = [math.exp(float(q[b, h, i] @ k[b, h, j]) / math.sqrt(q.shape[3])) for j in js]
        total = sum(e) + math.exp(SINKS[h])
        for w, j in zip(e, js, strict=True):
            result[b, h, i] += w / total * v[b, h, j]
    return result


@right("attend", sinks=0.0)
def softmax_plus_one(q, k, v, mask):
    s = hide(scores(q, k), mask)
    top = np.maximum(s.max(-1, keepdims=True), 0.0)
    e = np.exp(s - top)
    return e / (np.exp(-top) + e.sum(-1, keepdims=True)) @ v


@right("attend", causal=True, window=3)
def band(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return (
        soft(hide(scores(q, k), np.tri(n, m, m - n, dtype=bool) & ~np.tri(n, m, m - n - 3, dtype=bool))) @ v
    )


@right("attend", window=3)
def band_beside_a_mask(q, k, v, mask):
    near = np.abs(apart(q.shape[2], k.shape[2])) < 3
    return soft(np.where(near if mask is None else near & mask, scores(q, k), -1e9)) @ v


@right("attend", causal=True, chunk=4)
def llama4_chunks(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    i, j = np.arange(m - n, m)[:, None], np.arange(m)[None]
    return soft(hide(scores(q, k), (j <= i) & (j // 4 == i // 4))) @ v


@right("attend", causal=True, prefix=2)
def prefix_language_model(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k), seen(n, m) | (np.arange(m) < 2)[None])) @ v


@right("attend", causal=True, score_bias="alibi")
def bloom(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    s = np.einsum("bhqd,bhkd->bhqk", q, k) * q.shape[-1] ** -0.5
    by_key = np.array([2.0 ** (-8 * (h + 1) / 4) for h in range(4)])[:, None, None] * np.arange(m)
    return soft(hide(s + by_key, seen(n, m))) @ v


@right("attend", causal=True, score_bias="alibi", n_heads=6)
def alibi_of_six_heads(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    by = np.array([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3])
    return soft(hide(scores(q, k) + alibi(6, n, m, by), seen(n, m))) @ v


@right("attend", score_bias="alibi", n_heads=8)
def alibi_both_ways(q, k, v, mask):
    return soft(hide(scores(q, k) + alibi(8, q.shape[2], k.shape[2]), mask)) @ v


@right("attend", score_bias=t5, scale=1.0)
def t5_inner(q, k, v, mask):
    return soft(hide(scores(q, k, 1.0) + t5(q.shape[2], k.shape[2]), mask)) @ v


@right("attend", d_value=4)
def narrow_values(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ v


@right("attend", d_value=16, n_heads=4, n_kv_heads=1, d_head=12)
def latent_heads_expanded(q, k, v, mask):
    return np.einsum("bhij,bjd->bhid", soft(hide(scores(q, k), mask)), v[:, 0])


@right("attend", softcap=10.0, sinks=SINKS, causal=True, window=4, n_heads=4, n_kv_heads=2)
def everything_at_once(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    d = apart(n, m)
    s = hide(10 * np.tanh(scores(q, k) / 10), (d >= 0) & (d < 4))
    return soft(with_sink(s, SINKS))[..., :-1] @ group(v, 4)


@right("attention", softcap=5.0, causal=True, rotary=ROPE, n_heads=4, n_kv_heads=2)
def gemma2_layer(x, W):
    q, k, v = qkv(x, W)
    s = 5.0 * np.tanh(scores(rope(q), rope(k)) / 5.0)
    return o_proj(soft(hide(s, seen(x.shape[1]))) @ group(v, 4), W)


@right("attention", sinks=SINKS, causal=True, window=3, rotary={"base": 150000.0}, n_heads=4, n_kv_heads=2)
def gpt_oss_layer(x, W):
    q, k, v = qkv(x, W)
    d = apart(x.shape[1], x.shape[1])
    s = hide(scores(rope(q, base=150000.0), rope(k, base=150000.0)), (d >= 0) & (d < 3))
    return o_proj(soft(with_sink(s, SINKS))[..., :-1] @ group(v, 4), W)


@right("attention", causal=True, rotary=ROPE, norm=NORM, bias=False, n_heads=4, n_kv_heads=2)
def qwen3(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(rms(q, GAIN_Q)), rope(rms(k, GAIN_K)), v)


@right("attention", causal=True, rotary=ROPE, norm={"q": WIDE_Q, "k": WIDE_K, "over": "all"}, bias=False)
def olmo2(x, W):
    q, k = rms(x @ W.W_Q, WIDE_Q), rms(x @ W.W_K, WIDE_K)
    return causal_layer(x, W, rope(heads(q, 4)), rope(heads(k, 4)), heads(x @ W.W_V, 4))


@right(
    "attention",
    causal=True,
    rotary={"base": 1e6},
    norm={"q": 1 + GAIN_Q, "k": 1 + GAIN_K},
    scale=1 / 4,
    bias=False,
)
def gemma3(x, W):
    q, k, v = qkv(x, W)
    q, k = (rope(rms(a, 1 + g), base=1e6) for a, g in ((q, GAIN_Q), (k, GAIN_K)))
    return causal_layer(x, W, q, k, v, scale=1 / 4)


@right("attention", causal=True, rotary=ROPE, norm={**NORM, "when": "after"}, bias=False)
def hunyuan(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(rope(q), GAIN_Q), rms(rope(k), GAIN_K), v)


@right("attention", causal=True, norm={**NORM, "kind": "layer", "eps": 1e-5})
def layer_normed(x, W):
    def norm(a, gain):
        a = a - a.mean(-1, keepdims=True)
        return a / np.sqrt(a.var(-1, keepdims=True) + 1e-5) * gain

    q, k, v = qkv(x, W)
    return causal_layer(x, W, norm(q, GAIN_Q), norm(k, GAIN_K), v)


@right("attention", causal=True, rotary={"width": 4}, n_heads=4, n_kv_heads=2)
def phi(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q, width=4), rope(k, width=4), v)


@right("attention", causal=True, rotary={"style": "pairs", "width": 4}, bias=False)
def gptj(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q, width=4, pairs=True), rope(k, width=4, pairs=True), v)


@right("attention", causal=True, rotary={"scaling": 4.0}, bias=False)
def linear_scaling(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q, factor=4.0), rope(k, factor=4.0), v)


@right("attention", causal=True, packed=True, rotary=ROPE, bias=False)
def packed_documents(x, texts, W):
    q, k, v = qkv(x, W)
    p = np.concatenate([np.arange((texts == t).sum()) for t in np.unique(texts)])
    mask = seen(x.shape[1]) & (texts[:, None] == texts[None])
    return o_proj(soft(hide(scores(rope(q, p), rope(k, p)), mask)) @ v, W)


@right("attention", packed=True)
def packed_one_by_one(x, texts, W):
    result = np.empty_like(x)
    for t in np.unique(texts):
        q, k, v = qkv(x[:, texts == t], W)
        result[:, texts == t] = o_proj(soft(scores(q, k)) @ v, W)
    return result


@right("attention", padding="right")
def bert_with_a_padding_mask(x, keep, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k) + np.where(keep, 0.0, -1e9)[:, None, None]) @ v, W)


@right("attention", causal=True, padding="left", rotary=ROPE, bias=False)
def left_padded_decoder(x, keep, W):
    q, k, v = qkv(x, W)
    p = np.maximum(np.cumsum(keep, 1) - 1, 0)[:, None]
    mask = seen(x.shape[1]) & keep[:, None, None]
    s = np.where(mask, scores(rope(q, p), rope(k, p)), -1e9)
    return o_proj(soft(s) @ v, W)


@right("attention", memory=True, n_heads=4, n_kv_heads=2)
def cross(x, memory, W):
    q, k, v = qkv(x, W, memory)
    return o_proj(soft(scores(q, k)) @ group(v, 4), W)


@right("attention", score_bias=t5, scale=1.0, bias=False)
def t5_encoder(x, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k, 1.0) + t5(x.shape[1], x.shape[1])) @ v, W)


@right("attention", causal=True, score_bias="alibi")
def mpt(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(hide(scores(q, k) + alibi(4, n, n), seen(n))) @ v, W)


@right("attention", causal=True, prefix=3)
def paligemma(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(hide(scores(q, k), seen(n) | (np.arange(n) < 3)[None])) @ v, W)


@right("attention", window=3)
def modernbert_local(x, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(hide(scores(q, k), np.abs(apart(x.shape[1], x.shape[1])) < 3)) @ v, W)


@right("attention", tied=True, causal=True, rotary=ROPE, bias=False)
def keys_are_values(x, W):
    k = heads(x @ W.W_K, 4)
    return causal_layer(x, W, rope(heads(x @ W.W_Q, 4)), rope(k), k)


@right("project", norm=NORM, rotary=ROPE, bias="")
def qwen3_projected(x, W):
    return rope(rms(heads(x @ W.W_Q, 4), GAIN_Q)), rope(rms(heads(x @ W.W_K, 4), GAIN_K)), heads(x @ W.W_V, 4)


@right("project", norm={"over": "all"}, bias="qkv")
def normed_over_all(x, W):
    q, k = rms(lin(x, W.W_Q, W.b_Q)), rms(lin(x, W.W_K, W.b_K))
    return heads(q, 4), heads(k, 4), heads(lin(x, W.W_V, W.b_V), 4)


@right("project", rotary={"width": 4, "base": 5e5}, bias="")
def partly_rotated(x, W):
    return (
        rope(heads(x @ W.W_Q, 4), base=5e5, width=4),
        rope(heads(x @ W.W_K, 4), base=5e5, width=4),
        heads(x @ W.W_V, 4),
    )


def grown(k, v, cache):
    return (k, v) if cache is None else (np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2))


@right("step", window=3, rotary=ROPE, bias=False)
def mistral_with_a_ring(x, cache, W):
    q, k, v = qkv(x, W)
    past = 0 if cache is None else cache[2]
    p = past + np.arange(x.shape[1])
    k, v = grown(rope(k, p), v, cache)
    d = apart(q.shape[2], k.shape[2])
    s = hide(scores(rope(q, p), k), (d >= 0) & (d < 3))
    return o_proj(soft(s) @ v, W), (k[:, :, -2:], v[:, :, -2:], past + x.shape[1])


@right("step", sinks=SINKS, softcap=10.0)
def capped_steps_with_a_sink(x, cache, W):
    q, k, v = qkv(x, W)
    k, v = grown(k, v, cache)
    s = hide(10 * np.tanh(scores(q, k) / 10), seen(q.shape[2], k.shape[2]))
    return o_proj(soft(with_sink(s, SINKS))[..., :-1] @ v, W), (k, v)


@right("step", score_bias="alibi", n_heads=4, n_kv_heads=2)
def alibi_steps(x, cache, W):
    q, k, v = qkv(x, W)
    k, v = grown(k, v, cache)
    n, m = q.shape[2], k.shape[2]
    return o_proj(soft(hide(scores(q, k) + alibi(4, n, m), seen(n, m))) @ group(v, 4), W), (k, v)


@right("step", norm=NORM, rotary=ROPE, bias=False)
def normed_steps(x, cache, W):
    q, k, v = qkv(x, W)
    p = (0 if cache is None else cache[0].shape[2]) + np.arange(x.shape[1])
    k, v = grown(rope(rms(k, GAIN_K), p), v, cache)
    s = hide(scores(rope(rms(q, GAIN_Q), p), k), seen(q.shape[2], k.shape[2]))
    return o_proj(soft(s) @ v, W), (k, v)


@right("attention", causal=True, bias=False, before=True)
def adapter_merged(x, W):
    return merge_layer(x, W)


def merge_layer(x, W):
    q, k, v = (heads(x @ w, 4) for w in (W.W_Q, W.W_K, W.W_V))
    return merge(soft(hide(scores(q, k), seen(x.shape[1]))) @ v) @ W.W_O


@right("attention", causal=True)
def scale_folded_into_the_queries(x, W):
    q = heads(lin(x, W.W_Q * 8**-0.5, W.b_Q * 8**-0.5), 4)
    _, k, v = qkv(x, W)
    return causal_layer(x, W, q, k, v, scale=1.0)


@right("attention", rotary=ROPE, bias=False)
def one_token_at_a_time(x, W):
    q, k, v = qkv(x, W)
    q, k = rope(q), rope(k)
    rows = [soft(scores(q[:, :, i : i + 1], k)) @ v for i in range(x.shape[1])]
    return o_proj(np.concatenate(rows, 2), W)
