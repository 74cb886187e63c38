"""Right implementations in many styles: no probe may raise an alarm."""

import numpy as np

from tests.clinic.bugs_open import cut, out, paste, roles, rotate, sdpa, softmax, tril
from tests.clinic.cases import Case, collector

CASES: list[Case] = []
right = collector(CASES)


@right("attend")
def plain(q, k, v, mask):
    return sdpa(q, k, v, mask)


@right("attend", n_heads=6, n_kv_heads=2)
def grouped(q, k, v, mask):
    return sdpa(q, k, v, mask, fill=-1e9)


@right("attend", n_heads=4, n_kv_heads=1, d_head=16)
def one_key_head(q, k, v, mask):
    s = np.einsum("bhqd,bkd->bhqk", q, k[:, 0]) / 4
    return np.einsum("bhqk,bkd->bhqd", softmax(s if mask is None else np.where(mask, s, -np.inf)), v[:, 0])


@right("attend", causal=True)
def builds_its_own_mask(q, k, v, mask):
    return sdpa(q, k, v, tril(q.shape[2], k.shape[2]))


@right("attend")
def row_by_row(q, k, v, mask):
    result = np.zeros((*q.shape[:3], v.shape[-1]))
    for b, h, i in np.ndindex(*q.shape[:3]):
        seen = [j for j in range(k.shape[2]) if mask is None or mask[i, j]]
        s = np.array([q[b, h, i] @ k[b, h, j] for j in seen]) / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max())
        result[b, h, i] = e / e.sum() @ v[b, h, seen]
    return result


@right("attend")
def online_in_blocks(q, k, v, mask):
    top, total, acc = -np.inf, 0.0, 0.0
    for at in range(0, k.shape[2], 3):
        s = q @ k[:, :, at : at + 3].swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        s = s if mask is None else np.where(mask[:, at : at + 3], s, -1e30)
        new = np.maximum(top, s.max(-1, keepdims=True))
        p, keep = np.exp(s - new), np.exp(top - new)
        top, total, acc = new, total * keep + p.sum(-1, keepdims=True), acc * keep + p @ v[:, :, at : at + 3]
    return acc / total


@right("attend", scale=0.5)
def a_scale_of_its_own(q, k, v, mask):
    return sdpa(q, k, v, mask, scale=0.5)


@right("attend")
def masks_after_softmax_and_divides_again(q, k, v, mask):
    p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    p = p if mask is None else p * mask
    return p / p.sum(-1, keepdims=True) @ v


@right("attend")
def softmax_in_single_precision(q, k, v, mask):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    s = s if mask is None else np.where(mask, s, -np.inf)
    return softmax(s.astype(np.float32)).astype(q.dtype) @ v


@right("attention")
def encoder(x, W):
    return out(paste(sdpa(*(cut(a, W.n_heads) for a in roles(x, W)))), W)


@right("attention", causal=True, n_heads=6, n_kv_heads=3)
def decoder_with_groups(x, W):
    q, k, v = (cut(a, n) for a, n in zip(roles(x, W), (6, 3, 3), strict=True))
    return out(paste(sdpa(q, k, v, tril(x.shape[1]))), W)


@right("attention", causal=True, rotary="halves")
def llama(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(rotate(q), rotate(k), v, tril(x.shape[1]))), W)


@right("attention", rotary="pairs", bias=False)
def roformer_from_position_nine(x, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    return out(paste(sdpa(rotate(q, 9, pairs=True), rotate(k, 9, pairs=True), v)), W)


@right("attention", causal=True)
def no_key_bias_and_no_harm(x, W):
    q, k, v = (cut(a, W.n_heads) for a in (x @ W.W_Q + W.b_Q, x @ W.W_K, x @ W.W_V + W.b_V))
    return out(paste(sdpa(q, k, v, tril(x.shape[1]))), W)


@right("project")
def separate(x, W):
    return tuple(cut(a, 4) for a in roles(x, W))


@right("project", fused="qkv", blocks=4, transposed=True)
def neox(x, W):
    p = (x @ W.W_QKV.T + W.b_QKV).reshape(*x.shape[:2], 4, 3, -1)
    return tuple(p[..., i, :].swapaxes(1, 2) for i in range(3))


@right("project", fused="qkv", blocks=2, n_heads=4, n_kv_heads=2)
def falcon(x, W):
    p = (x @ W.W_QKV + W.b_QKV).reshape(*x.shape[:2], 2, 4, -1)
    q = p[..., :2, :].reshape(*x.shape[:2], 4, -1)
    return q.swapaxes(1, 2), p[..., 2, :].swapaxes(1, 2), p[..., 3, :].swapaxes(1, 2)


@right("project", rotary="halves", n_heads=4, n_kv_heads=2)
def projected_and_rotated(x, W):
    q, k, v = (cut(a, n) for a, n in zip(roles(x, W), (4, 2, 2), strict=True))
    return rotate(q), rotate(k), v


@right("step", n_heads=4, n_kv_heads=2)
def growing_cache(x, cache, W):
    q, k, v = (cut(a, n) for a, n in zip(roles(x, W), (4, 2, 2), strict=True))
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), (k, v)


@right("step", rotary="halves", bias=False)
def keys_kept_unrotated(x, cache, W):
    q, k, v = (cut(a, W.n_heads) for a in roles(x, W))
    past = 0 if cache is None else cache[0].shape[2]
    if cache is not None:
        k, v = np.concatenate([cache[0], k], 2), np.concatenate([cache[1], v], 2)
    return out(paste(sdpa(rotate(q, past), rotate(k), v, tril(q.shape[2], k.shape[2]))), W), (k, v)


@right("cache_bytes")
def by_the_config(config, batch, seq, itemsize):
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    few = config.get("num_key_value_heads", config["num_attention_heads"])
    return itemsize * width * few * config["num_hidden_layers"] * seq * batch * 2


@right("head_width")
def said_or_divided(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


@right("adapter")
def queries_and_values_of_llama():
    inner = [f"self_attn.{r}_proj" for r in "qkvo"] + ["mlp.up_proj", "mlp.down_proj"]
    return ["q_proj", "v_proj"], [f"model.layers.{i}.{n}" for i in range(3) for n in inner]
