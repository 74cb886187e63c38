"""The open half: the probes may be tuned on these."""

# W is a layer's weights, as the lessons write them

import math

import numpy as np

from tests.clinic.cases import Case, collector

CASES: list[Case] = []
RANDOM = np.random.default_rng(3)
bug = collector(CASES)


def softmax(x, axis=-1):
    x = np.exp(x - x.max(axis, keepdims=True))
    return x / x.sum(axis, keepdims=True)


def cut(x, n):
    return x.reshape(*x.shape[:-1], n, -1).swapaxes(-2, -3)


def paste(x):
    x = x.swapaxes(-2, -3)
    return x.reshape(*x.shape[:-2], -1)


def roles(x, W):
    return tuple(x @ w + (0 if b is None else b) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))


def out(c, W):
    return c @ W.W_O + (0 if W.b_O is None else W.b_O)


def sdpa(q, k, v, mask=None, scale=None, fill=-np.inf):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    k, v = (np.repeat(a, q.shape[-3] // a.shape[-3], axis=-3) for a in (k, v))
    s = q @ k.swapaxes(-1, -2) * scale
    return softmax(s if mask is None else np.where(mask, s, fill)) @ v


def rotate(x, start=0, pairs=False, base=10000.0):
    d = x.shape[-1]
    a = (start + np.arange(x.shape[-2]))[:, None] * base ** (-np.arange(0, d, 2) / d)
    even, odd = (slice(0, None, 2), slice(1, None, 2)) if pairs else (slice(0, d // 2), slice(d // 2, None))
    y = np.empty_like(x)
    y[..., even] = x[..., even] * np.cos(a) - x[..., odd] * np.sin(a)
    y[..., odd] = x[..., odd] * np.cos(a) + x[..., even] * np.sin(a)
    return y


def tril(n, m=None):
    m = n if m is None else m
    return np.tri(n, m, m - n, dtype=bool)


# attend(q, k, v, mask)


@bug("attend", "scale")
def no_scale(q, k, v, mask):
    return sdpa(q, k, v, mask, scale=1.0)


@bug("attend", "scale")
def divides_by_d_itself(q, k, v, mask):
    return sdpa(q / q.shape[-1], k, v, mask, scale=1.0)


@bug("attend", "scale")
def multiplies_by_the_root(q, k, v, mask):
    return sdpa(q, k, v, mask, scale=math.sqrt(q.shape[-1]))


@bug("attend", "softmax-axis")
def softmax_over_axis_minus_two(q, k, v, mask):
    s = np.einsum("bhqd,bhkd->bhqk", q, k) * q.shape[-1] ** -0.5
    return softmax(s if mask is None else np.where(mask, s, -1e9), axis=-2) @ v


@bug("attend", "softmax-axis")
def softmax_over_the_whole_table(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    s = s if mask is None else np.where(mask, s, -np.inf)
    return softmax(s.reshape(*s.shape[:2], -1)).reshape(s.shape) @ v


@bug("attend", "mask-polarity")
def reads_true_as_blocked(q, k, v, mask):
    return sdpa(q, k, v, None if mask is None else ~mask)


@bug("attend", "mask-alignment", causal=True)
def builtin_mask_from_the_top_left(q, k, v, mask):
    return sdpa(q, k, v, np.tril(np.ones((q.shape[-2], k.shape[-2]), bool)))


@bug("attend", "mask-after-softmax")
def zeroes_afterwards(q, k, v, mask):
    p = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return (p if mask is None else np.where(mask, p, 0)) @ v


@bug("attend", "causality")
def ignores_the_mask(q, k, v, mask):
    return sdpa(q, k, v)


@bug("attend", "causality")
def fills_with_zero(q, k, v, mask):
    return sdpa(q, k, v, mask, fill=0.0)


@bug("attend", "causality")
def adds_a_mask_of_ones_and_zeros(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    return softmax(s if mask is None else s + mask) @ v


@bug("attend", "causality")
def fill_too_small_to_hide(q, k, v, mask):
    return sdpa(q, k, v, mask, fill=-3.0)


@bug("attend", "kv-head-order", n_heads=4, n_kv_heads=2)
def tiles_the_groups(q, k, v, mask):
    group = q.shape[1] // k.shape[1]
    return sdpa(q, np.tile(k, (1, group, 1, 1)), np.tile(v, (1, group, 1, 1)), mask)


@bug("attend", "kv-head-order", n_heads=8, n_kv_heads=2)
def groups_along_the_fast_axis(q, k, v, mask):
    b, h, n, d = q.shape
    few = k.shape[1]
    grouped = q.reshape(b, h // few, few, n, d)
    return sdpa(grouped, k[:, None], v[:, None], mask).reshape(b, h, n, -1)


@bug("attend", "kv-head-order", n_heads=4, n_kv_heads=2)
def tiles_only_the_values(q, k, v, mask):
    return sdpa(q, k, np.concatenate([v, v], axis=1), mask)


@bug("attend", "key-transpose")
def reshapes_keys_instead_of_transposing(q, k, v, mask):
    s = q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]) / math.sqrt(q.shape[-1])
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ v


@bug("attend", "values-match")
def mixes_up_keys_and_values(q, k, v, mask):
    return sdpa(q, v, k, mask)


@bug("attend", "dtype-loss")
def always_returns_single(q, k, v, mask):
    return sdpa(q, k, v, mask).astype(np.float32)


@bug("attend", "in-place")
def writes_the_scores_into_the_mask(q, k, v, mask):
    result = sdpa(q, k, v, mask)
    if mask is not None:
        mask &= False
    return result


@bug("attend", "softmax-axis", "scale")
def wrong_axis_and_no_scale(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2)
    return softmax(s if mask is None else np.where(mask, s, -1e9), axis=-2) @ v


@bug("attend", "mask-polarity", "in-place")
def inverts_the_mask_in_place(q, k, v, mask):
    if mask is not None:
        np.logical_not(mask, out=mask)
    return sdpa(q, k, v, mask)


# attention(x) with known weights


@bug("attention", "head-split")
def heads_by_view(x, W):
    q, k, v = (a.reshape(len(a), W.n_heads, -1, W.d_head) for a in roles(x, W))
    return out(paste(sdpa(q, k, v)), W)


@bug("attention", "head-split", causal=True)
def merges_by_view(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(sdpa(q, k, v, tril(x.shape[1])).reshape(*x.shape[:2], -1), W)


@bug("attention", "shared-projection")
def queries_from_the_key_matrix(x, W):
    _, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(k, k, v)), W)


@bug("attention", "shared-projection", causal=True)
def values_are_the_keys(x, W):
    q, k, _ = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k, k, tril(x.shape[1]))), W)


@bug("attention", "swapped-projection", causal=True)
def queries_and_keys_swapped(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(k, q, v, tril(x.shape[1]))), W)


@bug("attention", "transposed-weight")
def all_weights_as_stored(x, W):
    q, k, v = (cut(x @ w.T + b, W.n_heads) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))
    return paste(sdpa(q, k, v)) @ W.W_O.T + W.b_O


@bug("attention", "transposed-weight")
def only_the_output_weight(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return paste(sdpa(q, k, v)) @ W.W_O.T + W.b_O


@bug("attention", "causality", causal=True)
def mask_is_the_upper_triangle(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k, v, np.triu(np.ones((x.shape[1],) * 2, bool)))), W)


@bug("attention", "rotary-style", rotary="pairs", causal=True, bias=False)
def halves_for_pairs(x, W):
    q, k, v = (cut(a, n) for a, n in zip(roles(x, W), (W.n_heads, W.n_kv_heads, W.n_kv_heads), strict=True))
    return out(paste(sdpa(rotate(q), rotate(k), v, tril(x.shape[1]))), W)


@bug("attention", "rotary-offset", rotary="halves", causal=True, bias=False)
def rotates_only_the_queries(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(rotate(q), k, v, tril(x.shape[1]))), W)


@bug("attention", "key-bias", rotary="pairs")
def biases_dropped(x, W):
    q, k, v = (cut(x @ w, W.n_heads) for w in (W.W_Q, W.W_K, W.W_V))
    return out(paste(sdpa(rotate(q, pairs=True), rotate(k, pairs=True), v)), W)


@bug("attention", "batch-leak")
def rows_of_the_batch_interleaved(x, W):
    # (batch, seq) read as (seq, batch)
    b, t, _ = x.shape
    q, k, v = (cut(a.reshape(t, b, -1).swapaxes(0, 1), W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k, v)).swapaxes(0, 1).reshape(b, t, -1), W)


@bug("attention", "equivariance")
def adds_positions_of_its_own(x, W):
    return out(paste(sdpa(*(cut(a, W.n_heads) for a in roles(x + np.arange(x.shape[1])[:, None] / 9, W)))), W)


@bug("attention", "in-place")
def adds_the_residual_in_place(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    result = out(paste(sdpa(q, k, v)), W)
    x += result
    return result


@bug("attention", "scale", causal=True)
def root_of_d_model(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k, v, tril(x.shape[1]), scale=x.shape[-1] ** -0.5)), W)


@bug("attention", "transposed-weight", "scale", causal=True)
def transposed_keys_and_no_scale(x, W):
    q, _, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, cut(x @ W.W_K.T + W.b_K, W.n_heads), v, tril(x.shape[1]), scale=1.0)), W)


# project(x, weights)


@bug("project", "fused-order", fused="qkv")
def thirds_cut_per_head(x, W):
    p = cut(x @ W.W_QKV + W.b_QKV, 4)
    return tuple(np.split(p, 3, axis=-1))


@bug("project", "fused-order", fused="qkv", blocks=4, transposed=True)
def per_head_cut_in_thirds(x, W):
    return tuple(cut(a, 4) for a in np.split(x @ W.W_QKV.T + W.b_QKV, 3, -1))


@bug("project", "fused-order", fused="qvk", blocks=1)
def codegen_read_as_q_k_v(x, W):
    return tuple(cut(a, 4) for a in np.split(x @ W.W_QKV + W.b_QKV, 3, -1))


@bug("project", "shared-linear")
def a_small_layer_a_slice(x, W):
    d = x.shape[-1] // 4
    return tuple(
        np.stack([x[..., i * d : i * d + d] @ w[:d, :d] for i in range(4)], 1) for w in (W.W_Q, W.W_K, W.W_V)
    )


@bug("project", "transposed-weight")
def one_square_weight_transposed(x, W):
    return cut(x @ W.W_Q.T + W.b_Q, 4), cut(x @ W.W_K + W.b_K, 4), cut(x @ W.W_V + W.b_V, 4)


@bug("project", "key-bias", bias="qv")
def invents_a_key_bias(x, W):
    return cut(x @ W.W_Q + W.b_Q, 4), cut(x @ W.W_K + W.b_Q, 4), cut(x @ W.W_V + W.b_V, 4)


@bug("project", "shared-projection")
def same_matrix_thrice(x, W):
    return (cut(x @ W.W_Q + W.b_Q, 4),) * 3


@bug("project", "head-split")
def view_of_everything(x, W):
    return tuple(a.reshape(len(a), 4, x.shape[1], -1) for a in roles(x, W))


@bug("project", "rotary-style", rotary="halves", bias=False)
def rotates_pairs(x, W):
    q, k, v = (cut(a, 4) for a in roles(x, W))
    return rotate(q, pairs=True), rotate(k, pairs=True), v


# step(x, cache)


def grown(x, cache, W, turn=None):
    q, k, v = (cut(a, n) for a, n in zip(roles(x, W), (W.n_heads, W.n_kv_heads, W.n_kv_heads), strict=True))
    past = 0 if cache is None else cache[0].shape[2]
    if turn:
        q, k = turn(q, past), turn(k, past)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return q, k, v


@bug("step", "cache-differs")
def cache_never_grows(x, cache, W):
    q, k, v = grown(x, cache, W)
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), cache or (k, v)


@bug("step", "cache-differs")
def keeps_the_embeddings_of_the_queries(x, cache, W):
    q, k, v = grown(x, cache, W)
    kept = np.concatenate([k[:, :, : -x.shape[1]], q], 2)
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), (kept, v)


@bug("step", "mask-alignment")
def causal_flag_with_a_cache(x, cache, W):
    q, k, v = grown(x, cache, W)
    return out(paste(sdpa(q, k, v, np.tri(q.shape[2], k.shape[2], dtype=bool))), W), (k, v)


@bug("step", "rotary-offset", rotary="pairs", bias=False)
def offset_one_behind(x, cache, W):
    q, k, v = grown(x, cache, W, lambda a, past: rotate(a, max(0, past - 1), pairs=True))
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), (k, v)


@bug("step", "causality")
def no_mask_inside_a_chunk(x, cache, W):
    q, k, v = grown(x, cache, W)
    return out(paste(sdpa(q, k, v)), W), (k, v)


# numbers and names


@bug("cache_bytes", "cache-bytes")
def all_heads_of_equal_rank(config, batch, seq, itemsize):
    return 2 * batch * seq * config["num_hidden_layers"] * config["hidden_size"] * itemsize


@bug("cache_bytes", "cache-bytes")
def only_the_keys(config, batch, seq, itemsize):
    heads = config.get("num_key_value_heads", config["num_attention_heads"])
    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    return batch * seq * config["num_hidden_layers"] * heads * width * itemsize


@bug("head_width", "head-width")
def ignores_what_is_said(config):
    return int(config["hidden_size"] / config["num_attention_heads"])


@bug("head_width", "head-width")
def divides_by_the_key_heads(config):
    return config.get("head_dim", config["hidden_size"] // config.get("num_key_value_heads", 1))


@bug("adapter", "adapter-targets")
def separate_names_for_phi3():
    inner = ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    return ["q_proj", "k_proj", "v_proj", "o_proj"], [
        f"model.layers.{i}.{n}" for i in range(2) for n in inner
    ]


@bug("adapter", "adapter-targets")
def half_of_the_layers():
    names = [f"layers.{i}.attn.{n}" for i in (0, 1) for n in ("q_proj", "v_proj")]
    return ["q_proj", "v_proj"], names + [f"layers.{i}.attn.{n}" for i in (2, 3) for n in ("query", "value")]


@bug("attend", "dropout")
def dropout_handed_to_sdpa(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    weights = softmax(s if mask is None else np.where(mask, s, -np.inf))
    return weights * (RANDOM.random(weights.shape) < 0.9) / 0.9 @ v


@bug("attention", "dropout", causal=True)
def dropout_on_the_output(x, W):
    made = out(paste(sdpa(*(cut(a, W.n_heads) for a in roles(x, W)), tril(x.shape[1]))), W)
    return made * (RANDOM.random(made.shape) < 0.9) / 0.9


@bug("attention", "causality")
def an_encoder_that_cannot_see_itself(x, W):
    n = x.shape[1]
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(q, k, v, ~np.eye(n, dtype=bool), fill=-1e9)), W)
