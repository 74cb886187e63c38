"""The held-out half: written and committed before the probes, and never used to tune them."""

# W is a layer's weights, as the lessons write them

import numpy as np

from tests.clinic.cases import Case, collector

CASES: list[Case] = []
bug = collector(CASES)


def soft(s, axis=-1):
    e = np.exp(s - np.max(s, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def linear(x, w, b=None):
    return x @ w if b is None else x @ w + b


def heads(x, h):
    b, t, c = x.shape
    return x.reshape(b, t, h, c // h).transpose(0, 2, 1, 3)


def joined(x):
    b, h, t, d = x.shape
    return x.transpose(0, 2, 1, 3).reshape(b, t, h * d)


def repeat(x, h):
    return np.repeat(x, h // x.shape[1], axis=1)


def half_turn(x, positions, base=10000.0):
    d = x.shape[-1]
    angle = positions[:, None] / base ** (np.arange(0, d, 2) / d)
    cos, sin = np.concatenate([np.cos(angle)] * 2, -1), np.concatenate([np.sin(angle)] * 2, -1)
    turned = np.concatenate([-x[..., d // 2 :], x[..., : d // 2]], -1)
    return x * cos + turned * sin


def pair_turn(x, positions, base=10000.0):
    d = x.shape[-1]
    z = x[..., 0::2] + 1j * x[..., 1::2]
    z = z * np.exp(1j * positions[:, None] / base ** (np.arange(0, d, 2) / d))
    return np.stack([z.real, z.imag], -1).reshape(x.shape)


# attend(q, k, v, mask)


@bug("attend", "scale")
def divides_by_the_width_of_all_heads(q, k, v, mask):
    s = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(q.shape[1] * q.shape[3])
    if mask is not None:
        s = np.where(mask, s, -1e30)
    return np.einsum("bhij,bhjd->bhid", soft(s), v)


@bug("attend", "scale")
def scales_queries_and_then_scores(q, k, v, mask):
    q = q * q.shape[-1] ** -0.5
    s = q @ np.swapaxes(k, -1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        s[..., ~mask] = -np.inf
    return soft(s) @ v


@bug("attend", "scale", n_heads=4, d_head=16)
def takes_the_root_of_the_heads(q, k, v, mask):
    h = q.shape[1]
    s = (q @ k.transpose(0, 1, 3, 2)) * (1.0 / h**0.5)
    return soft(s + (0 if mask is None else np.where(mask, 0.0, -np.inf))) @ v


@bug("attend", "softmax-axis")
def sums_over_the_queries(q, k, v, mask):
    s = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -1e9)
    w = np.exp(s) / np.exp(s).sum(axis=2, keepdims=True)
    return np.einsum("bhqk,bhkd->bhqd", w, v)


@bug("attend", "softmax-axis")
def leaves_the_axis_to_an_old_default(q, k, v, mask):
    # nn.Softmax() of old chose axis 1 for four axes: the heads
    s = q @ k.swapaxes(2, 3) / q.shape[-1] ** 0.5
    if mask is not None:
        s = np.where(mask, s, -1e4)
    return soft(s, axis=1) @ v


@bug("attend", "mask-polarity")
def fills_where_the_mask_is_true(q, k, v, mask):
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, -1e9, s)
    return soft(s) @ v


@bug("attend", "mask-alignment", causal=True)
def tri_without_offset(q, k, v, mask):
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    allowed = np.arange(q.shape[2])[:, None] >= np.arange(k.shape[2])[None]
    return soft(np.where(allowed, s, -np.inf)) @ v


@bug("attend", "mask-after-softmax")
def multiplies_the_weights_by_the_mask(q, k, v, mask):
    w = soft(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5)
    if mask is not None:
        w = w * mask
    return w @ v


@bug("attend", "causality")
def fills_with_the_smallest_positive_number(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, np.finfo(s.dtype).tiny)
    return soft(s) @ v


@bug("attend", "causality", causal=True)
def one_key_too_many(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    n, m = s.shape[-2:]
    hidden = np.triu(np.ones((n, m), bool), k=m - n + 2)
    s[..., hidden] = -np.inf
    return soft(s) @ v


@bug("attend", "kv-head-order", n_heads=6, n_kv_heads=2)
def tiles_by_concatenation(q, k, v, mask):
    g = q.shape[1] // k.shape[1]
    k, v = np.concatenate([k] * g, 1), np.concatenate([v] * g, 1)
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return soft(s) @ v


@bug("attend", "key-transpose")
def multiplies_what_fits(q, k, v, mask):
    if k.shape[-2:] == (q.shape[-1], q.shape[-1]):
        s = q @ k / np.sqrt(q.shape[-1])
    else:
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return soft(s) @ v


@bug("attend", "values-match")
def compares_queries_with_values(q, k, v, mask):
    s = np.einsum("...id,...jd->...ij", q, v) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return np.einsum("...ij,...jd->...id", soft(s), v)


@bug("attend", "dtype-loss")
def works_in_half_precision(q, k, v, mask):
    kind = q.dtype
    q, k, v = (a.astype(np.float16) for a in (q, k, v))
    s = (q @ k.swapaxes(-1, -2) / np.float16(np.sqrt(q.shape[-1]))).astype(np.float32)
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return (soft(s).astype(np.float16) @ v).astype(kind)


@bug("attend", "in-place")
def scales_the_callers_queries(q, k, v, mask):
    q /= np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2)
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return soft(s) @ v


@bug("attend", "scale", "mask-polarity")
def unscaled_and_upside_down(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2)
    if mask is not None:
        s = np.where(np.logical_not(mask), s, -1e9)
    return soft(s) @ v


@bug("attend", "kv-head-order", "scale", n_heads=4, n_kv_heads=2, d_head=16)
def tiled_and_scaled_by_the_width(q, k, v, mask):
    k, v = np.tile(k, (1, q.shape[1] // k.shape[1], 1, 1)), np.tile(v, (1, q.shape[1] // v.shape[1], 1, 1))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[1] * q.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return soft(s) @ v


# attention(x) with known weights


def layer(x, W, *, q=None, k=None, v=None, cut=heads, join=joined, causal=False, turn=None, scale=None):
    q, k, v = (
        linear(x, W.W_Q, W.b_Q) if q is None else q,
        linear(x, W.W_K, W.b_K) if k is None else k,
        linear(x, W.W_V, W.b_V) if v is None else v,
    )
    q, k, v = cut(q, W.n_heads), cut(k, W.n_kv_heads), cut(v, W.n_kv_heads)
    k, v = repeat(k, W.n_heads), repeat(v, W.n_heads)
    if turn:
        q, k = turn(q), turn(k)
    s = q @ k.transpose(0, 1, 3, 2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        s = np.where(np.tri(s.shape[-1], dtype=bool), s, -np.inf)
    return linear(join(soft(s) @ v), W.W_O, W.b_O)


@bug("attention", "head-split", causal=True)
def views_straight_to_heads(x, W):
    return layer(x, W, cut=lambda a, h: a.reshape(a.shape[0], h, a.shape[1], -1), causal=True)


@bug("attention", "head-split")
def forgets_to_move_heads_back(x, W):
    return layer(x, W, join=lambda c: c.reshape(c.shape[0], c.shape[2], -1))


@bug("attention", "head-split")
def lays_heads_as_the_fast_axis(x, W):
    def cut(a, h):
        b, t, c = a.shape
        return a.reshape(b, t, c // h, h).transpose(0, 3, 1, 2)

    return layer(x, W, cut=cut)


@bug("attention", "shared-projection", causal=True)
def keys_made_with_the_query_layer(x, W):
    return layer(x, W, k=linear(x, W.W_Q, W.b_Q), causal=True)


@bug("attention", "shared-projection")
def one_matrix_for_all(x, W):
    p = linear(x, W.W_V, W.b_V)
    return layer(x, W, q=p, k=p, v=p)


@bug("attention", "swapped-projection")
def takes_values_for_keys_and_keys_for_values(x, W):
    return layer(x, W, k=linear(x, W.W_V, W.b_V), v=linear(x, W.W_K, W.b_K))


@bug("attention", "transposed-weight")
def query_weight_the_wrong_way_round(x, W):
    return layer(x, W, q=linear(x, W.W_Q.T, W.b_Q))


@bug("attention", "transposed-weight", causal=True)
def output_weight_the_wrong_way_round(x, W):
    return layer(x, W, join=lambda c: joined(c) @ W.W_O.T @ np.linalg.inv(W.W_O), causal=True)


@bug("attention", "causality", causal=True)
def an_encoder_in_a_decoders_place(x, W):
    return layer(x, W)


@bug("attention", "rotary-style", rotary="halves", causal=True, bias=False)
def turns_neighbours_instead_of_halves(x, W):
    return layer(x, W, turn=lambda a: pair_turn(a, np.arange(a.shape[2])), causal=True)


@bug("attention", "rotary-offset", rotary="pairs", causal=True, bias=False)
def queries_start_at_one_keys_at_zero(x, W):
    q = heads(x @ W.W_Q, W.n_heads)
    q = joined(pair_turn(q, np.arange(q.shape[2]) + 1))
    k = heads(x @ W.W_K, W.n_kv_heads)
    k = joined(pair_turn(k, np.arange(k.shape[2])))
    return layer(x, W, q=q, k=k, causal=True)


@bug("attention", "key-bias", rotary="halves", causal=True)
def loads_no_bias_for_the_keys(x, W):
    return layer(x, W, k=x @ W.W_K, turn=lambda a: half_turn(a, np.arange(a.shape[2])), causal=True)


@bug("attention", "batch-leak")
def softmax_over_the_batch_too(x, W):
    q, k, v = (heads(linear(x, w, b), W.n_heads) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))
    b, h, t, d = q.shape
    # rows of all sequences side by side: everybody looks at everybody
    q, k, v = (a.transpose(1, 0, 2, 3).reshape(h, b * t, d) for a in (q, k, v))
    c = soft(q @ k.swapaxes(-1, -2) / np.sqrt(d)) @ v
    return linear(joined(c.reshape(h, b, t, d).transpose(1, 0, 2, 3)), W.W_O, W.b_O)


@bug("attention", "equivariance")
def encoder_that_kept_its_triangle(x, W):
    return layer(x, W, causal=True)


@bug("attention", "kv-head-order", "scale", n_heads=6, n_kv_heads=3, causal=True)
def tiled_groups_and_no_scale(x, W):
    q, k, v = linear(x, W.W_Q, W.b_Q), linear(x, W.W_K, W.b_K), linear(x, W.W_V, W.b_V)
    q, k, v = heads(q, 6), np.tile(heads(k, 3), (1, 2, 1, 1)), np.tile(heads(v, 3), (1, 2, 1, 1))
    s = np.where(np.tri(x.shape[1], dtype=bool), q @ k.swapaxes(-1, -2), -np.inf)
    return linear(joined(soft(s) @ v), W.W_O, W.b_O)


@bug("attention", "transposed-weight", "head-split")
def transposed_values_and_a_bare_reshape(x, W):
    return layer(x, W, v=linear(x, W.W_V.T, W.b_V), cut=lambda a, h: a.reshape(len(a), h, a.shape[1], -1))


# project(x, weights)


@bug("project", "fused-order", fused="qkv", blocks=4)
def neox_cut_in_thirds(x, W):
    q, k, v = np.split(linear(x, W.W_QKV, W.b_QKV), 3, axis=-1)
    return heads(q, 4), heads(k, 4), heads(v, 4)


@bug("project", "fused-order", fused="qkv", transposed=True)
def gpt2_cut_head_by_head(x, W):
    p = linear(x, W.W_QKV.T, W.b_QKV)
    b, t, c = p.shape
    p = p.reshape(b, t, 4, 3, c // 12)
    return tuple(p[..., i, :].transpose(0, 2, 1, 3) for i in range(3))


@bug("project", "fused-order", fused="qkv", blocks=2, n_heads=4, n_kv_heads=2)
def falcon_groups_read_as_three_slabs(x, W):
    p = linear(x, W.W_QKV, W.b_QKV)
    d = p.shape[-1] // 8
    return heads(p[..., : 4 * d], 4), heads(p[..., 4 * d : 6 * d], 2), heads(p[..., 6 * d :], 2)


@bug("project", "shared-linear")
def one_small_linear_for_every_head(x, W):
    b, t, c = x.shape
    n = W.n_heads
    x = x.reshape(b, t, n, c // n).transpose(0, 2, 1, 3)
    d = c // n
    return tuple(x @ w[:d, :d] for w in (W.W_Q, W.W_K, W.W_V))


@bug("project", "transposed-weight")
def conv1d_read_as_linear(x, W):
    return tuple(heads(linear(x, w.T, b), 4) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))


@bug("project", "key-bias")
def key_bias_forgotten(x, W):
    return heads(linear(x, W.W_Q, W.b_Q), 4), heads(x @ W.W_K, 4), heads(linear(x, W.W_V, W.b_V), 4)


@bug("project", "head-split")
def only_the_keys_are_viewed(x, W):
    q, k, v = linear(x, W.W_Q, W.b_Q), linear(x, W.W_K, W.b_K), linear(x, W.W_V, W.b_V)
    return heads(q, 4), k.reshape(k.shape[0], 4, k.shape[1], -1), heads(v, 4)


@bug("project", "swapped-projection")
def keys_and_values_come_back_swapped(x, W):
    q, k, v = (heads(linear(x, w, b), 4) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))
    return q, v, k


# step(x, cache)


def with_past(x, W):
    q, k, v = (linear(x, w, b) for w, b in ((W.W_Q, W.b_Q), (W.W_K, W.b_K), (W.W_V, W.b_V)))
    return heads(q, W.n_heads), heads(k, W.n_kv_heads), heads(v, W.n_kv_heads)


def finish(q, k, v, W, allowed):
    k, v = repeat(k, W.n_heads), repeat(v, W.n_heads)
    s = np.where(allowed, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    return linear(joined(soft(s) @ v), W.W_O, W.b_O)


def allowed(n, m):
    return np.tri(n, m, m - n, dtype=bool)


@bug("step", "cache-differs")
def forgets_all_but_the_last_call(x, cache, W):
    q, k, v = with_past(x, W)
    if cache is not None:
        pk, pv = cache
        full_k, full_v = np.concatenate([pk, k], 2), np.concatenate([pv, v], 2)
    else:
        full_k, full_v = k, v
    return finish(q, full_k, full_v, W, allowed(q.shape[2], full_k.shape[2])), (k, v)


@bug("step", "mask-alignment")
def new_rows_get_the_mask_of_the_first(x, cache, W):
    q, k, v = with_past(x, W)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return finish(q, k, v, W, np.tri(q.shape[2], k.shape[2], dtype=bool)), (k, v)


@bug("step", "rotary-offset", rotary="halves", bias=False)
def every_step_is_position_zero(x, cache, W):
    q, k, v = with_past(x, W)
    here = np.arange(q.shape[2])
    q, k = half_turn(q, here), half_turn(k, here)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return finish(q, k, v, W, allowed(q.shape[2], k.shape[2])), (k, v)


@bug("step", "cache-differs", n_heads=4, n_kv_heads=2)
def keeps_keys_but_never_the_values(x, cache, W):
    q, k, v = with_past(x, W)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1] * 0 + v[:, :, :1], v], 2)
    return finish(q, k, v, W, allowed(q.shape[2], k.shape[2])), (k, v)


# numbers and names


@bug("cache_bytes", "cache-bytes")
def counts_query_heads(config, batch, seq, itemsize):
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return 2 * batch * seq * config["num_hidden_layers"] * config["num_attention_heads"] * width * itemsize


@bug("cache_bytes", "cache-bytes")
def derives_the_width(config, batch, seq, itemsize):
    per_head = config["hidden_size"] / config["num_attention_heads"]
    kv = config.get("num_key_value_heads", config["num_attention_heads"])
    return int(config["num_hidden_layers"] * batch * seq * kv * per_head * 2 * itemsize)


@bug("head_width", "head-width")
def always_divides(config):
    return config["hidden_size"] // config["num_attention_heads"]


@bug("adapter", "adapter-targets")
def llama_names_on_gpt2():
    names = [
        f"transformer.h.{i}.{n}"
        for i in range(3)
        for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    return ["q_proj", "v_proj"], names


@bug("adapter", "adapter-targets")
def dense_is_everywhere_in_bert():
    inner = "attention.self.query attention.self.key attention.self.value "
    inner += "attention.output.dense intermediate.dense output.dense"
    return ["query", "value", "dense"], [f"encoder.layer.{i}.{n}" for i in range(2) for n in inner.split()]
