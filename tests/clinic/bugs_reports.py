"""Layers of this year gone wrong, from public reports alone: written before the faults that name them."""

# W is a layer's weights, as the lessons write them

import numpy as np

from tests.clinic.cases import Case, collector

CASES: list[Case] = []
bug = collector(CASES)

GAIN_Q = 1 + 0.3 * np.cos(np.arange(8.0))
GAIN_K = 1 + 0.3 * np.sin(1 + np.arange(8.0))
SINKS = np.array([0.3, -1.0, 2.0, 0.5])
ROPE = {"style": "halves"}
NORM = {"q": GAIN_Q, "k": GAIN_K}


def soft(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def heads(x, n):
    b, t, _ = x.shape
    return x.reshape(b, t, n, -1).transpose(0, 2, 1, 3)


def merge(c):
    b, h, t, d = c.shape
    return c.transpose(0, 2, 1, 3).reshape(b, t, h * d)


def lin(x, w, b):
    return x @ w if b is None else x @ w + b


def qkv(x, W, memory=None):
    m = x if memory is None else memory
    q, k, v = lin(x, W.W_Q, W.b_Q), lin(m, W.W_K, W.b_K), lin(m, W.W_V, W.b_V)
    return heads(q, W.n_heads), heads(k, W.n_kv_heads), heads(v, W.n_kv_heads)


def o_proj(c, W):
    return lin(merge(c), W.W_O, W.b_O)


def group(k, n):
    return np.repeat(k, n // k.shape[1], axis=1)


def scores(q, k, scale=None):
    return q @ group(k, q.shape[1]).swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)


def hide(s, mask):
    return s if mask is None else np.where(mask, s, -np.inf)


def seen(n, m=None):
    m = n if m is None else m
    return np.arange(m)[None] <= np.arange(m - n, m)[:, None]


def apart(n, m):
    return np.arange(m - n, m)[:, None] - np.arange(m)[None]


def rope(x, pos=None, base=10000.0, width=None, pairs=False, factor=1.0, over=None):
    d = x.shape[-1] if width is None else width
    pos = np.arange(x.shape[-2]) if pos is None else pos
    angle = np.asarray(pos)[..., :, None] / factor * base ** (-np.arange(0, d, 2) / (over or d))
    part, rest = x[..., :d], x[..., d:]
    if pairs:
        z = (part[..., ::2] + 1j * part[..., 1::2]) * np.exp(1j * angle)
        turned = np.stack([z.real, z.imag], -1).reshape(part.shape)
    else:
        a, b = np.split(part, 2, -1)
        turned = np.concatenate(
            [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1
        )
    return np.concatenate([turned, rest], -1)


def rms(x, gain=1.0, eps=1e-6):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def causal_layer(x, W, q, k, v, **how):
    n = x.shape[1]
    return o_proj(soft(hide(scores(q, k, **how), seen(n))) @ group(v, W.n_heads), W)


# softcap: vllm-metal#665, mistral.rs#1928, transformers#32877, flash-attention#1154


@bug("attend", "softcap", softcap=5.0)
def softcap_hard_coded_to_none(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ v


@bug("attend", "softcap", softcap=20.0, n_heads=4, n_kv_heads=2)
def softcap_of_gemma_dropped_with_groups(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ group(v, 4)


@bug("attend", "softcap", softcap=5.0)
def cap_after_the_mask(q, k, v, mask):
    s = hide(scores(q, k), mask)
    return soft(np.tanh(s / 5.0) * 5.0) @ v


@bug("attend", "softcap", softcap=4.0)
def capped_in_the_kernel_and_again_outside(q, k, v, mask):
    s = 4.0 * np.tanh(scores(q, k) / 4.0)
    return soft(hide(4.0 * np.tanh(s / 4.0), mask)) @ v


@bug("attend", "softcap", softcap=6.0)
def cap_before_the_scale(q, k, v, mask):
    s = 6.0 * np.tanh(scores(q, k, 1.0) / 6.0) * q.shape[-1] ** -0.5
    return soft(hide(s, mask)) @ v


@bug("attend", "softcap", softcap=5.0)
def tanh_without_the_cap_outside(q, k, v, mask):
    return soft(hide(np.tanh(scores(q, k) / 5.0), mask)) @ v


@bug("attend", "softcap", softcap=5.0)
def tanh_without_the_division(q, k, v, mask):
    return soft(hide(5.0 * np.tanh(scores(q, k)), mask)) @ v


@bug("attend", "softcap", softcap=5.0)
def clips_where_it_should_bend(q, k, v, mask):
    return soft(hide(np.clip(scores(q, k), -5.0, 5.0), mask)) @ v


@bug("attention", "softcap", softcap=5.0, causal=True)
def final_cap_of_the_config_taken(x, W):
    q, k, v = qkv(x, W)
    s = 3.0 * np.tanh(scores(q, k) / 3.0)
    return o_proj(soft(hide(s, seen(x.shape[1]))) @ v, W)


@bug("attention", "softcap", softcap=5.0, causal=True, rotary=ROPE, n_heads=4, n_kv_heads=2)
def flash_path_without_the_cap(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attend", "softcap", "scale", softcap=5.0, scale=1 / 4)
def neither_cap_nor_query_scale(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ v


# sinks: torchtitan#2211, vllm-metal#550, transformers#39954, sglang#8833


def with_sink(s, sink):
    return np.concatenate([s, np.broadcast_to(sink[None, :, None, None], (*s.shape[:-1], 1))], -1)


@bug("attend", "sink", sinks=SINKS)
def sink_parameter_not_loaded(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ v


@bug("attend", "sink", sinks=SINKS)
def sink_dropped_and_normalised_away(q, k, v, mask):
    p = soft(with_sink(hide(scores(q, k), mask), SINKS))[..., :-1]
    return p / p.sum(-1, keepdims=True) @ v


@bug("attend", "sink", sinks=SINKS)
def denominator_grows_by_the_logit_itself(q, k, v, mask):
    e = np.exp(hide(scores(q, k), mask))
    return e / (e.sum(-1, keepdims=True) + SINKS[None, :, None, None]) @ v


@bug("attend", "sink", sinks=SINKS)
def sigmoid_with_the_sink_twice(q, k, v, mask):
    s = hide(scores(q, k), mask)
    lse = np.log(np.exp(s).sum(-1, keepdims=True))
    return soft(s) @ v / (1 + np.exp(2 * SINKS[None, :, None, None] - lse))


@bug("attend", "sink", sinks=SINKS)
def sink_of_zero_for_every_head(q, k, v, mask):
    return soft(with_sink(hide(scores(q, k), mask), 0 * SINKS))[..., :-1] @ v


@bug("attend", "sink", sinks=SINKS)
def sink_scaled_like_a_score(q, k, v, mask):
    return soft(with_sink(hide(scores(q, k), mask), SINKS * q.shape[-1] ** -0.5))[..., :-1] @ v


@bug("attend", "sink", sinks=SINKS)
def sinks_of_another_rank(q, k, v, mask):
    return soft(with_sink(hide(scores(q, k), mask), np.roll(SINKS, 2)))[..., :-1] @ v


@bug("attend", "sink", sinks=0.0)
def off_by_one_softmax_forgotten(q, k, v, mask):
    return soft(hide(scores(q, k), mask)) @ v


@bug("attention", "sink", sinks=SINKS, causal=True, rotary=ROPE, n_heads=4, n_kv_heads=2)
def eager_path_drops_the_sink(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("step", "sink", sinks=SINKS)
def sink_in_prefill_only(x, cache, W):
    q, k, v = qkv(x, W)
    first = cache is None
    if not first:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    s = hide(scores(q, k), seen(q.shape[2], k.shape[2]))
    p = soft(with_sink(s, SINKS))[..., :-1] if first else soft(s)
    return o_proj(p @ v, W), (k, v)


# windows and chunks: transformers#30814, mistral-src#140, llama.cpp#3377, vllm#16360


@bug("attend", "window", causal=True, window=3)
def window_forgotten(q, k, v, mask):
    return soft(hide(scores(q, k), seen(q.shape[2], k.shape[2]))) @ v


@bug("attend", "window", causal=True, window=3)
def window_one_too_wide(q, k, v, mask):
    d = apart(q.shape[2], k.shape[2])
    return soft(hide(scores(q, k), (d >= 0) & (d <= 3))) @ v


@bug("attend", "window", causal=True, window=3)
def window_one_too_narrow(q, k, v, mask):
    d = apart(q.shape[2], k.shape[2])
    return soft(hide(scores(q, k), (d >= 0) & (d < 2))) @ v


@bug("attend", "window", causal=True, window=3)
def window_from_the_top_left(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    d = np.arange(n)[:, None] - np.arange(m)[None]
    return soft(hide(scores(q, k), seen(n, m) & (d < 3))) @ v


@bug("attention", "window", causal=True, window=3, rotary=ROPE)
def sliding_layer_run_as_a_full_one(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "window", causal=True, window=4)
def window_cut_into_chunks(x, W):
    q, k, v = qkv(x, W)
    i = np.arange(x.shape[1])
    same = i[:, None] // 4 == i[None] // 4
    return o_proj(soft(hide(scores(q, k), seen(len(i)) & same)) @ v, W)


@bug("attention", "window", causal=True, chunk=3)
def chunk_read_as_a_window(x, W):
    q, k, v = qkv(x, W)
    d = apart(x.shape[1], x.shape[1])
    return o_proj(soft(hide(scores(q, k), (d >= 0) & (d < 3))) @ v, W)


@bug("attention", "window", causal=True, chunk=3)
def chunks_forgotten(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, q, k, v)


@bug("attention", "window", causal=True, prefix=3)
def prefix_is_causal_too(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, q, k, v)


@bug("attention", "window", causal=True, prefix=3)
def prefix_one_short(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(hide(scores(q, k), seen(n) | (np.arange(n) < 2)[None])) @ v, W)


@bug("attention", "window", window=2)
def encoder_window_on_one_side_only(x, W):
    q, k, v = qkv(x, W)
    d = apart(x.shape[1], x.shape[1])
    return o_proj(soft(hide(scores(q, k), d < 2)) @ v, W)


@bug("step", "window", window=3, rotary=ROPE, bias=False)
def window_forgotten_at_decode(x, cache, W):
    q, k, v = qkv(x, W)
    past = 0 if cache is None else cache[0].shape[2]
    p = past + np.arange(x.shape[1])
    q, k = rope(q, p), rope(k, p)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    mask = seen(q.shape[2], k.shape[2])
    if cache is None:
        mask = mask & (apart(*mask.shape) < 3)
    return o_proj(soft(hide(scores(q, k), mask)) @ v, W), (k, v)


@bug("step", "window", window=3)
def ring_buffer_keeps_one_less(x, cache, W):
    q, k, v = qkv(x, W)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    mask = seen(q.shape[2], k.shape[2])
    mask = mask & (apart(*mask.shape) < 3)
    return o_proj(soft(hide(scores(q, k), mask)) @ v, W), (k[:, :, -1:], v[:, :, -1:])


# biases of the scores: alibi#5, mpt#12, bloom, T5 (text-to-text#266), llama.cpp#4575


def slopes(n, start=1):
    return 2.0 ** (-8.0 * np.arange(start, n + start) / n)


def alibi(n_heads, n, m, by=None):
    return -(slopes(n_heads) if by is None else by)[:, None, None] * np.abs(apart(n, m))


SIX = np.array([1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8])


@bug("attend", "score-bias", causal=True, score_bias="alibi")
def alibi_left_out(q, k, v, mask):
    return soft(hide(scores(q, k), seen(q.shape[2], k.shape[2]))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi", n_heads=6)
def slopes_of_six_heads_by_the_rule_for_powers_of_two(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k) + alibi(6, n, m), seen(n, m))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi", n_heads=6)
def slopes_of_eight_heads_cut_off(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k) + alibi(6, n, m, slopes(8)[:6]), seen(n, m))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi")
def distance_rewarded(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k) - alibi(4, n, m), seen(n, m))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi")
def bias_added_before_the_scale(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide((scores(q, k, 1.0) + alibi(4, n, m)) * q.shape[-1] ** -0.5, seen(n, m))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi")
def slopes_start_at_one(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k) + alibi(4, n, m, slopes(4, 0)), seen(n, m))) @ v


@bug("attend", "score-bias", causal=True, score_bias="alibi")
def slopes_in_reverse(q, k, v, mask):
    n, m = q.shape[2], k.shape[2]
    return soft(hide(scores(q, k) + alibi(4, n, m)[::-1], seen(n, m))) @ v


@bug("attention", "score-bias", score_bias="alibi")
def bias_of_future_keys_has_the_other_sign(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(scores(q, k) - slopes(4)[:, None, None] * apart(n, n)) @ v, W)


def t5(n, m):
    table = np.random.default_rng(8).standard_normal((4, 32))
    return table[:, (apart(n, m) + 16) % 32]


@bug("attention", "score-bias", score_bias=t5, scale=1.0)
def relative_bias_read_from_key_to_query(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(scores(q, k, 1.0) + t5(n, n).swapaxes(-1, -2)) @ v, W)


@bug("attention", "score-bias", score_bias=t5, scale=1.0)
def relative_bias_in_the_first_layer_only(x, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k, 1.0)) @ v, W)


@bug("attention", "score-bias", score_bias=t5, scale=1.0)
def relative_bias_of_head_zero_for_all(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    return o_proj(soft(scores(q, k, 1.0) + t5(n, n)[:1]) @ v, W)


# norms of queries and keys: vllm#16311, vllm#13687, transformers#38271, mlx-lm#193


@bug("attention", "qk-norm", causal=True, rotary=ROPE, norm=NORM, bias=False)
def norm_over_all_heads_together(x, W):
    q, k, v = qkv(x, W)
    q, k = (heads(rms(merge(a)), 4) * g for a, g in ((q, GAIN_Q), (k, GAIN_K)))
    return causal_layer(x, W, rope(q), rope(k), v)


WIDE_Q, WIDE_K = 1 + 0.3 * np.cos(np.arange(32.0)), 1 + 0.3 * np.sin(np.arange(32.0))


@bug(
    "attention",
    "qk-norm",
    causal=True,
    rotary=ROPE,
    norm={"q": WIDE_Q, "k": WIDE_K, "over": "all"},
    bias=False,
)
def olmo2_normed_head_by_head(x, W):
    q, k, v = qkv(x, W)
    q, k = (rms(a) * g.reshape(4, 1, 8) for a, g in ((q, WIDE_Q), (k, WIDE_K)))
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "qk-norm", causal=True, rotary=ROPE, norm=NORM, bias=False)
def norm_not_ported(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "qk-norm", causal=True, rotary=ROPE, norm=NORM, bias=False, n_heads=4, n_kv_heads=2)
def norm_behind_the_rotation(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(rope(q), GAIN_Q), rms(rope(k), GAIN_K), v)


@bug("attention", "qk-norm", causal=True, rotary=ROPE, norm={**NORM, "when": "after"}, bias=False)
def norm_before_the_rotation(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(rms(q, GAIN_Q)), rope(rms(k, GAIN_K)), v)


@bug("attention", "qk-norm", causal=True, rotary=ROPE, norm=NORM, bias=False)
def gains_exchanged(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(rms(q, GAIN_K)), rope(rms(k, GAIN_Q)), v)


@bug("attention", "qk-norm", causal=True, norm=NORM)
def gain_plus_one_of_gemma(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(q, 1 + GAIN_Q), rms(k, 1 + GAIN_K), v)


@bug("attention", "qk-norm", causal=True, norm=NORM)
def gain_left_out(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(q), rms(k), v)


@bug("attention", "qk-norm", causal=True, norm=NORM)
def only_queries_normed(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(q, GAIN_Q), k, v)


@bug("attention", "qk-norm", causal=True, norm=NORM)
def mean_taken_away_too(x, W):
    q, k, v = qkv(x, W)
    q, k = q - q.mean(-1, keepdims=True), k - k.mean(-1, keepdims=True)
    return causal_layer(x, W, rms(q, GAIN_Q), rms(k, GAIN_K), v)


@bug("attention", "qk-norm", causal=True, norm=NORM)
def unit_length_for_root_mean_square(x, W):
    q, k, v = qkv(x, W)
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) * g for a, g in ((q, GAIN_Q), (k, GAIN_K)))
    return causal_layer(x, W, q, k, v)


@bug("project", "qk-norm", bias="", norm={"q": 1 + 0.3 * np.cos(np.arange(8.0)), "k": GAIN_K}, rotary=ROPE)
def projected_without_its_norm(x, W):
    return rope(heads(x @ W.W_Q, 4)), rope(heads(x @ W.W_K, 4)), heads(x @ W.W_V, 4)


# rotary: airllm#369, gemma.cpp#986, transformers#31766 and #25740, gpt-neox, phi (llama.cpp#4490)


@bug("attention", "rotary-style", causal=True, rotary={"base": 5e5}, bias=False, n_heads=4, n_kv_heads=2)
def theta_of_the_config_lost(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "rotary-style", causal=True, rotary={"base": 1e6}, bias=False)
def local_base_in_a_global_layer(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "rotary-style", causal=True, rotary={"width": 4}, bias=False)
def whole_head_rotated_where_half_should_be(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "rotary-style", causal=True, rotary={"width": 4}, bias=False)
def frequencies_of_the_whole_head(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q, width=4, over=8), rope(k, width=4, over=8), v)


@bug("attention", "rotary-style", causal=True, rotary={"width": 4}, bias=False)
def last_half_rotated(x, W):
    q, k, v = qkv(x, W)
    turn = lambda a: np.concatenate([a[..., :4], rope(a[..., 4:])], -1)  # noqa: E731
    return causal_layer(x, W, turn(q), turn(k), v)


@bug("attention", "rotary-style", causal=True, rotary={"scaling": 4.0}, bias=False)
def linear_scaling_ignored(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "rotary-style", causal=True, rotary={"scaling": 4.0}, bias=False)
def positions_multiplied_by_the_factor(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q, factor=0.25), rope(k, factor=0.25), v)


def unpermute(w, n):
    return w.reshape(w.shape[0], n, -1, 2).swapaxes(-1, -2).reshape(w.shape)


def permute(w, n):
    return w.reshape(w.shape[0], n, 2, -1).swapaxes(-1, -2).reshape(w.shape)


@bug("attention", "rotary-style", causal=True, rotary=ROPE, bias=False, n_heads=4, n_kv_heads=2)
def gguf_keys_turned_back_with_the_query_heads(x, W):
    k = heads(x @ unpermute(permute(W.W_K, 2), 4), 2)
    return causal_layer(x, W, rope(heads(x @ W.W_Q, 4)), rope(k), heads(x @ W.W_V, 2))


@bug("attention", "rotary-style", causal=True, rotary=ROPE, bias=False, n_heads=4, n_kv_heads=2)
def gguf_never_turned_back(x, W):
    q, k = heads(x @ permute(W.W_Q, 4), 4), heads(x @ permute(W.W_K, 2), 2)
    return causal_layer(x, W, rope(q), rope(k), heads(x @ W.W_V, 2))


@bug("attention", "rotary-style", causal=True, rotary=ROPE, bias=False)
def only_queries_turned_back(x, W):
    return causal_layer(
        x, W, rope(heads(x @ W.W_Q, 4)), rope(heads(x @ permute(W.W_K, 4), 4)), heads(x @ W.W_V, 4)
    )


@bug("attention", "rotary-offset", causal=True, rotary=ROPE, bias=False)
def rotated_twice(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(rope(q)), rope(rope(k)), v)


@bug("project", "rotary-style", bias="", rotary={"base": 5e5})
def projected_with_the_default_base(x, W):
    return rope(heads(x @ W.W_Q, 4)), rope(heads(x @ W.W_K, 4)), heads(x @ W.W_V, 4)


@bug("project", "rotary-style", bias="", rotary={"width": 4})
def projected_and_rotated_whole(x, W):
    return rope(heads(x @ W.W_Q, 4)), rope(heads(x @ W.W_K, 4)), heads(x @ W.W_V, 4)


# packed texts, padding, two streams: nanoVLM#204, transformers#26072 and #29719, flash-attention#432, whisper ports


@bug("attention", "batch-leak", causal=True, packed=True, rotary=ROPE, bias=False)
def packed_with_positions_reset_alone(x, texts, W):
    q, k, v = qkv(x, W)
    p = np.concatenate([np.arange((texts == t).sum()) for t in np.unique(texts)])
    return causal_layer(x, W, rope(q, p), rope(k, p), v)


@bug("attention", "batch-leak", causal=True, packed=True)
def packed_neighbour_read(x, texts, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, q, k, v)


@bug("attention", "batch-leak", packed=True)
def packed_encoder_reads_both_ways(x, texts, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k)) @ v, W)


@bug("attention", "causality", causal=True, packed=True)
def packed_blocks_without_the_triangle(x, texts, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(hide(scores(q, k), texts[:, None] == texts[None])) @ v, W)


@bug("attention", "causality", padding="right")
def padding_read_in_an_encoder(x, keep, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k)) @ v, W)


@bug("attention", "causality", causal=True, padding="left", rotary=ROPE, bias=False)
def left_padding_read(x, keep, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rope(q), rope(k), v)


@bug("attention", "mask-polarity", padding="right")
def pads_are_kept_and_words_hidden(x, keep, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(np.where(keep[:, None, None, :], -1e9, scores(q, k))) @ v, W)


@bug("attention", "cross-source", memory=True)
def keys_from_the_decoder(x, memory, W):
    q, _, v = qkv(x, W, memory)
    return o_proj(soft(scores(q, heads(lin(x, W.W_K, W.b_K), 4))) @ v, W)


@bug("attention", "cross-source", memory=True)
def values_from_the_decoder(x, memory, W):
    q, k, _ = qkv(x, W, memory)
    return o_proj(soft(scores(q, k)) @ heads(lin(x, W.W_V, W.b_V), 4), W)


@bug("attention", "cross-source", memory=True)
def cross_attention_attends_to_itself(x, memory, W):
    q, k, v = qkv(x, W)
    return o_proj(soft(scores(q, k)) @ v, W)


@bug("attention", "causality", memory=True)
def causal_mask_on_the_memory(x, memory, W):
    q, k, v = qkv(x, W, memory)
    return o_proj(soft(hide(scores(q, k), seen(x.shape[1], memory.shape[1]))) @ v, W)


# grouped, fused, widths: vllm#13687, tt-metal#52818, Megatron-Bridge#1818, DeepSeek ports


@bug("attend", "scale", d_value=4)
def scale_of_the_values_width(q, k, v, mask):
    return soft(hide(scores(q, k, v.shape[-1] ** -0.5), mask)) @ v


@bug("attend", "kv-head-order", "softcap", softcap=5.0, n_heads=4, n_kv_heads=2)
def tiled_and_uncapped(q, k, v, mask):
    k, v = np.tile(k, (1, 2, 1, 1)), np.tile(v, (1, 2, 1, 1))
    return soft(hide(scores(q, k), mask)) @ v


@bug("attend", "kv-head-order", sinks=SINKS, n_heads=4, n_kv_heads=2)
def tiled_beside_a_right_sink(q, k, v, mask):
    k, v = np.tile(k, (1, 2, 1, 1)), np.tile(v, (1, 2, 1, 1))
    return soft(with_sink(hide(scores(q, k), mask), SINKS))[..., :-1] @ v


@bug("attention", "fused-order", causal=True, bias=False)
def two_ranks_gathered_as_if_one(x, W):
    parts = [w.reshape(32, 2, 16) for w in (W.W_Q, W.W_K, W.W_V)]
    gathered = np.concatenate([np.concatenate([p[:, r] for p in parts], 1) for r in (0, 1)], 1)
    q, k, v = (heads(x @ w, 4) for w in np.split(gathered, 3, 1))
    return causal_layer(x, W, q, k, v)


@bug("attention", "fused-order", causal=True, bias=False)
def thirds_given_to_two_ranks(x, W):
    fused = np.concatenate([W.W_Q, W.W_K, W.W_V], 1)
    ranks = [np.split(half, 3, 1) for half in np.split(fused, 2, 1)]
    q, k, v = (heads(x @ np.concatenate([ranks[0][i], ranks[1][i]], 1), 4) for i in range(3))
    return causal_layer(x, W, q, k, v)


@bug("project", "fused-order", fused="qkv", n_kv_heads=2, bias="")
def values_cut_before_the_keys(x, W):
    q, v, k = np.split(x @ W.W_QKV, [32, 48], -1)
    return heads(q, 4), heads(k, 2), heads(v, 2)


@bug("project", "fused-order", fused="qkv", n_kv_heads=2, bias="")
def ranks_read_as_one(x, W):
    y = x @ W.W_QKV
    y = np.concatenate(
        [y[..., 0:16], y[..., 32:40], y[..., 48:56], y[..., 16:32], y[..., 40:48], y[..., 56:64]], -1
    )
    q, k, v = np.split(y, [32, 48], -1)
    return heads(q, 4), heads(k, 2), heads(v, 2)


@bug("attention", "scale", causal=True, norm=NORM, scale=0.5)
def query_scalar_of_the_config_ignored(x, W):
    q, k, v = qkv(x, W)
    return causal_layer(x, W, rms(q, GAIN_Q), rms(k, GAIN_K), v)


@bug("attention", "causality", causal=True)
def no_token_sees_itself(x, W):
    q, k, v = qkv(x, W)
    n = x.shape[1]
    mask = np.tri(n, k=-1, dtype=bool)
    mask[0, 0] = True
    return o_proj(soft(hide(scores(q, k), mask)) @ v, W)


@bug("attend", "dtype-loss")
def softmax_in_half(q, k, v, mask):
    p = soft(hide(scores(q, k), mask).astype(np.float16))
    return p.astype(q.dtype) @ v


@bug("attention", "dtype-loss", causal=True, softcap=5.0)
def capped_scores_kept_in_half(x, W):
    q, k, v = qkv(x, W)
    s = (5.0 * np.tanh(scores(q, k) / 5.0)).astype(np.float16)
    return o_proj(soft(hide(s.astype(x.dtype), seen(x.shape[1]))) @ v, W)


# adapters merged: mflux#423, TensorRT-LLM#17435, peft#2098


def delta(W, role):
    rng = np.random.default_rng(3)
    down = rng.standard_normal((32, 6)) / 6
    ups = dict(zip("QKV", rng.standard_normal((3, 6, 32)) / 2, strict=True))
    return down @ ups[role]


def merged(x, W, **changes):
    made = {r: getattr(W, f"W_{r}") - delta(W, r) for r in "QKV"}  # the weights before the merge
    made = {r: made[r] + changes.get(r, delta(W, r)) for r in "QKV"}
    q, k, v = (heads(x @ made[r], 4) for r in "QKV")
    return causal_layer(x, W, q, k, v)


@bug("attention", "adapter-merge", causal=True, bias=False, before=delta)
def key_and_value_parts_exchanged(x, W):
    return merged(x, W, K=delta(W, "V"), V=delta(W, "K"))


@bug("attention", "adapter-merge", causal=True, bias=False, before=delta)
def alpha_over_rank_forgotten(x, W):
    return merged(x, W, **{r: 2 * delta(W, r) for r in "QKV"})


@bug("attention", "adapter-merge", causal=True, bias=False, before=delta)
def keys_not_merged(x, W):
    return merged(x, W, K=0)


@bug("attention", "adapter-merge", causal=True, bias=False, before=delta)
def merged_twice(x, W):
    return merged(x, W, Q=2 * delta(W, "Q"), V=2 * delta(W, "V"))


@bug("attention", "adapter-merge", causal=True, bias=False, before=delta)
def only_the_queries_merged(x, W):
    return merged(x, W, K=0, V=0)
