"""A blind set: wrong layers and right ones in unusual dress, written before any probe saw them.

Whoever wrote them had read the contracts and public reports, and none of the probes. `SINGLE` have one bug,
`HARD` several at once or one that shows only at some head, row or length; `RIGHT` have none. `NOTES` says what
is wrong in words, what layer it is, where it was reported, how many bugs there are, and which other names of the
catalogue are right too. No name fits some of them: then `bugs` is empty, and `unexplained` is the right answer.
`test_blind.py` compares each with the formula.
"""

# W is a layer's weights, as the lessons write them

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.clinic.cases import Case, collector


@dataclass(frozen=True)
class Note:
    """What a case is, in words."""

    layer: str
    words: str
    source: str
    count: int
    also: frozenset[str]


SINGLE: list[Case] = []
HARD: list[Case] = []
RIGHT: list[Case] = []
NOTES: dict[str, Note] = {}


def adder(cases: list[Case], count: int) -> Callable[..., Any]:
    """Make the decorator that adds to a list of cases, with a note."""

    def case(
        layer: str,
        kind: str,
        *bugs: str,
        source: str = "",
        count: int = count,
        also: tuple[str, ...] = (),
        **declared: Any,
    ) -> Any:
        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            words = (function.__doc__ or "").strip()
            NOTES[function.__name__] = Note(layer, words, source, count, frozenset(also))
            return collector(cases)(kind, *bugs, **declared)(function)

        return add

    return case


wrong, hard, right = adder(SINGLE, 1), adder(HARD, 1), adder(RIGHT, 0)
GITHUB = "https://github.com/"

# What the layers share


def softmax(scores):
    top = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)


def hide(scores, seen):
    return scores if seen is None else np.where(seen, scores, -np.inf)


def past(n, m):
    return np.tri(n, m, m - n, dtype=bool)


def heads(rows, n):
    return rows.reshape(*rows.shape[:2], n, -1).transpose(0, 2, 1, 3)


def linear(x, weight, bias):
    return x @ weight if bias is None else x @ weight + bias


def qkv(x, W, memory=None):
    rows = x if memory is None else memory
    return (
        heads(linear(x, W.W_Q, W.b_Q), W.n_heads),
        heads(linear(rows, W.W_K, W.b_K), W.n_kv_heads),
        heads(linear(rows, W.W_V, W.b_V), W.n_kv_heads),
    )


def out(context, W):
    b, h, n, d = context.shape
    return linear(context.transpose(0, 2, 1, 3).reshape(b, n, h * d), W.W_O, W.b_O)


def mix(q, k, v, seen=None, scale=None):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat(group, axis=1), v.repeat(group, axis=1)
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    return softmax(hide(scores, seen)) @ v


def angles(positions, width, base=10000.0):
    return np.asarray(positions)[..., None] * base ** (-np.arange(0, width, 2) / width)


def rotate_half(x):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([-b, a], axis=-1)


def turn(x, positions, base=10000.0):
    """Turn in halves."""
    turns = np.tile(angles(positions, x.shape[-1], base), 2)
    return x * np.cos(turns) + rotate_half(x) * np.sin(turns)


def turn_pairs(x, turns):
    """Turn neighbours."""
    even, odd = x[..., ::2], x[..., 1::2]
    cos, sin = np.cos(turns), np.sin(turns)
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def rms(x, gain, eps=1e-6):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * gain


ALPHA, RANK = 32.0, 4
GAIN_Q, GAIN_K = np.linspace(0.5, 1.5, 8), np.linspace(1.8, 0.4, 8)
WIDE_Q, WIDE_K = np.linspace(0.3, 1.7, 32), np.linspace(1.6, 0.5, 32)
SINKS = (0.3, -1.0, 2.0, 0.5)
SIX = (0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125)


def factors(role):
    rng = np.random.default_rng(ord(role))
    return rng.standard_normal((32, RANK)) / 12, rng.standard_normal((RANK, 32)) / 12


def lora(W, role):
    """Give what an adapter adds: rank-stabilised, so alpha over the root of the rank."""
    down, up = factors(role)
    return down @ up * (ALPHA / RANK**0.5)


def buckets(n, m):
    """Bias each head by the distance, as T5 does; all far keys alike."""
    table = np.random.default_rng(7).standard_normal((4, 6)) * 2
    far = np.abs(np.arange(m - n, m)[:, None] - np.arange(m))
    return table[:, np.minimum(far, 5)]


# One bug: the inner function


@wrong(
    "plain",
    "attend",
    "softmax-axis",
    source=GITHUB + "labmlai/annotated_deep_learning_paper_implementations/issues/146",
)
def softmax_down_the_queries(q, k, v, mask):
    """The softmax of a diffusion model's attention runs over the queries, not the keys."""
    attn = np.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    attn = softmax(hide(attn, mask).swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.einsum("bhij,bhjd->bhid", attn, v)


@wrong("plain, own scale", "attend", "scale", source=GITHUB + "ggml-org/llama.cpp/pull/8444", scale=0.25)
def scalar_of_another_size(q, k, v, mask):
    """The config has its own scalar for the queries, the port divides by the root of the head's width."""
    q = q / np.sqrt(q.shape[-1])
    scores = np.matmul(q, np.transpose(k, (0, 1, 3, 2)))
    return np.matmul(softmax(hide(scores, mask)), v)


@wrong("plain", "attend", "mask-after-softmax", source=GITHUB + "huggingface/pytorch-image-models/pull/2236")
def eva_masks_the_pattern(q, k, v, mask):
    """The mask zeroes the pattern after softmax, and nothing is normed again."""
    attn = softmax((q * q.shape[-1] ** -0.5) @ k.swapaxes(2, 3))
    if mask is not None:
        attn = attn * mask
    return attn @ v


@wrong("plain", "attend", "mask-polarity", source=GITHUB + "InseeFrLab/torchTextClassifiers/pull/92")
def label_attention_inverted(q, k, v, mask):
    """A mask whose True means hidden goes to a kernel whose True means seen."""
    if mask is not None:
        mask = np.logical_not(mask)
    result = np.empty((*q.shape[:3], v.shape[-1]), dtype=q.dtype)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            result[b, h] = softmax(hide(q[b, h] @ k[b, h].T / q.shape[-1] ** 0.5, mask)) @ v[b, h]
    return result


@wrong("grouped", "attend", "kv-head-order", source=GITHUB + "onnx/onnx/pull/7274", n_heads=4, n_kv_heads=2)
def key_heads_tiled(q, k, v, mask):
    """Key and value heads are tiled 0 1 0 1 where they should be repeated 0 0 1 1."""
    times = q.shape[1] // k.shape[1]
    k, v = np.tile(k, (1, times, 1, 1)), np.tile(v, (1, times, 1, 1))
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(k.shape[-1])
    return np.einsum("bhqk,bhkd->bhqd", softmax(hide(scores, mask)), v)


@wrong("softcap", "attend", "softcap", source=GITHUB + "vllm-project/vllm-metal/issues/665", softcap=2.0)
def cap_passed_as_zero(q, k, v, mask, softcap=0.0):
    """The call to the kernel hands over a cap of 0, which means none."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if softcap > 0:
        scores = softcap * np.tanh(scores / softcap)
    return softmax(hide(scores, mask)) @ v


@wrong("softcap", "attend", "softcap", source=GITHUB + "unslothai/unsloth-zoo/pull/593", softcap=2.0)
def tanh_times_the_scores(q, k, v, mask):
    """The cap multiplies tanh by the scores themselves, not by the cap."""
    cap = 2.0
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    scores = scores * np.tanh(scores / cap)
    return softmax(hide(scores, mask)) @ v


@wrong(
    "sink",
    "attend",
    "sink",
    source=GITHUB + "kyegomez/AttentionIsOFFByOne/issues/5",
    sinks=(0.0, 0.0, 0.0, 0.0),
)
def one_without_the_shift(q, k, v, mask):
    """Softmax plus one: the maximum is subtracted from the scores and not from the one."""
    scores = hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    top = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
    return weights / (1 + weights.sum(axis=-1, keepdims=True)) @ v


@wrong("sink", "attend", "sink", source=GITHUB + "vllm-project/vllm-metal/pull/550", sinks=SINKS)
def sink_in_every_partition(q, k, v, mask):
    """Keys are split into partitions, and each adds the sink to its sum before they are put together."""
    scores = hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    total, acc = 0.0, 0.0
    for start in range(0, k.shape[2], 4):
        part = np.exp(scores[..., start : start + 4])
        total = total + part.sum(axis=-1, keepdims=True) + np.exp(np.array(SINKS))[:, None, None]
        acc = acc + part @ v[:, :, start : start + 4]
    return acc / total


@wrong(
    "window",
    "attend",
    "window",
    source=GITHUB + "huggingface/transformers/issues/39408",
    causal=True,
    window=3,
)
def window_inclusive_of_both_ends(q, k, v, mask):
    """The kernel looks back by the whole window, so a query sees one key too many."""
    n, m = q.shape[2], k.shape[2]
    i, j = np.arange(m - n, m)[:, None], np.arange(m)[None]
    return mix(q, k, v, (j <= i) & (j >= i - 3))


@wrong(
    "chunked",
    "attend",
    "window",
    causal=True,
    chunk=4,
)
def chunks_as_a_sliding_window(q, k, v, mask):
    """Chunks of four are made as a sliding window of four."""
    n, m = q.shape[2], k.shape[2]
    far = np.arange(m - n, m)[:, None] - np.arange(m)
    return mix(q, k, v, (far >= 0) & (far < 4))


@wrong("prefix", "attend", source=GITHUB + "huggingface/transformers/issues/39389", causal=True, prefix=4)
def image_tokens_stay_causal(q, k, v, mask):
    """The prefix should see itself both ways; the mask that says so never arrives."""
    token_types = None
    n, m = q.shape[2], k.shape[2]
    seen = past(n, m)
    if token_types is not None:
        seen = seen | token_types
    return mix(q, k, v, seen)


@wrong(
    "alibi",
    "attend",
    "score-bias",
    source=GITHUB + "paiml/aprender/pull/2143",
    causal=True,
    score_bias="alibi",
)
def slopes_from_head_zero(q, k, v, mask):
    """The exponent of the slopes counts heads from 0, so each head has its neighbour's slope."""
    n_heads, n, m = q.shape[1], q.shape[2], k.shape[2]
    slopes = [2.0 ** (-8.0 * head / n_heads) for head in range(n_heads)]
    far = np.arange(m - n, m)[:, None] - np.arange(m)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    for head, slope in enumerate(slopes):
        scores[:, head] -= slope * far
    return softmax(hide(scores, past(n, m))) @ v


@wrong(
    "alibi, six heads",
    "attend",
    "score-bias",
    source=GITHUB + "ml-explore/mlx/pull/3071",
    n_heads=6,
    causal=True,
    score_bias=SIX,
)
def slopes_in_one_series(q, k, v, mask):
    """With six heads the slopes are one geometric series, where the paper's code interleaves two."""
    heads_, n, m = q.shape[1], q.shape[2], k.shape[2]
    ratio = (2**8) ** (1 / heads_)
    slopes = np.power(ratio, -np.arange(1, heads_ + 1))
    bias = -slopes[:, None, None] * np.abs(np.arange(m - n, m)[:, None] - np.arange(m))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias
    return softmax(hide(scores, past(n, m))) @ v


@wrong(
    "bias by distance",
    "attend",
    "score-bias",
    source=GITHUB + "tenstorrent/tt-metal/issues/55333",
    causal=True,
    score_bias=buckets,
)
def bias_under_the_scale(q, k, v, mask):
    """The kernel folds the scale over the whole exponent, and the bias is made small with it."""
    n, m = q.shape[2], k.shape[2]
    scores = (np.einsum("...id,...jd->...ij", q, k) + buckets(n, m)) * q.shape[-1] ** -0.5
    return softmax(hide(scores, past(n, m))) @ v


@wrong("plain, tiled", "attend", source=GITHUB + "PaddleJitLab/CUDATutorial/issues/69")
def accumulator_never_rescaled(q, k, v, mask):
    """Online softmax: a new maximum rescales the sum, but not what was accumulated."""
    scores = hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    top = np.full(scores.shape[:-1], -1e30)
    total, acc = np.zeros_like(top), np.zeros((*top.shape, v.shape[-1]))
    for j in range(0, k.shape[2], 3):
        tile = scores[..., j : j + 3]
        new = np.maximum(top, tile.max(axis=-1))
        p = np.exp(tile - new[..., None])
        total = total * np.exp(top - new) + p.sum(axis=-1)
        acc += p @ v[:, :, j : j + 3]
        top = new
    return acc / np.maximum(total, 1e-30)[..., None]


@wrong("plain", "attend", "values-match", source=GITHUB + "ruvnet/agentic-flow/issues/191")
def keys_come_back(q, k, v, mask):
    """What is mixed are the keys: the values are taken and never used."""
    pattern = softmax(hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask))
    return sum(pattern[..., j : j + 1] * k[:, :, j : j + 1] for j in range(k.shape[2]))


@wrong("plain", "attend", "in-place")
def queries_scaled_where_they_lie(q, k, v, mask):
    """The scale is multiplied into the caller's queries, so the second call is scaled twice."""
    q *= q.shape[-1] ** -0.5
    return softmax(hide(q @ k.swapaxes(-1, -2), mask)) @ v


# One bug: a whole layer


@wrong("plain", "attention", "head-split", source=GITHUB + "reczoo/FuxiCTR/issues/30")
def viewed_into_batch_times_heads(x, W):
    """Heads are cut by a view to (batch * heads, seq, width), with no transpose."""
    b, n, _ = x.shape
    q, k, v = (
        (x @ getattr(W, f"W_{role}") + getattr(W, f"b_{role}")).reshape(b * W.n_heads, -1, W.d_head)
        for role in "QKV"
    )
    context = softmax(q @ k.swapaxes(1, 2) / np.sqrt(W.d_head)) @ v
    return context.reshape(b, n, -1) @ W.W_O + W.b_O


@wrong(
    "plain causal",
    "attention",
    "head-split",
    source=GITHUB + "jsbaan/transformer-from-scratch/pull/6",
    causal=True,
)
def merged_without_a_permute(x, W):
    """Heads are cut right and merged by a reshape alone, which mixes positions."""
    b, n, _ = x.shape
    values = mix(*qkv(x, W), past(n, n))
    return values.reshape(b, n, -1) @ W.W_O + W.b_O


@wrong("plain", "attention", "shared-projection", source=GITHUB + "huggingface/transformers/pull/40257")
def key_rows_sliced_too_far(x, W):
    """The converter cuts the keys out of the fused matrix where the values are."""
    fused = np.concatenate([W.W_Q, W.W_K, W.W_V], axis=1)
    bias = np.concatenate([W.b_Q, W.b_K, W.b_V])
    d = x.shape[-1]
    at = {"q": slice(0, d), "k": slice(2 * d, 3 * d), "v": slice(2 * d, 3 * d)}
    q, k, v = (heads(x @ fused[:, at[role]] + bias[at[role]], W.n_heads) for role in "qkv")
    return out(mix(q, k, v), W)


@wrong("plain causal", "attention", "key-bias", source=GITHUB + "sbryngelson/ANEForge/pull/253", causal=True)
def biases_never_loaded(x, W):
    """The adapter reads the projections' weights, and no bias of queries, keys and values."""
    n = x.shape[1]
    q, k, v = (heads(np.dot(x, weight), W.n_heads) for weight in (W.W_Q, W.W_K, W.W_V))
    return out(mix(q, k, v, past(n, n)), W)


@wrong(
    "rotary",
    "attention",
    "rotary-style",
    source=GITHUB + "huggingface/candle/issues/3948",
    causal=True,
    rotary="halves",
)
def mimi_interleaved(x, W):
    """Weights are stored for halves, and neighbours are turned."""
    n = x.shape[1]
    q, k, v = qkv(x, W)
    turns = angles(np.arange(n), W.d_head)
    return out(mix(turn_pairs(q, turns), turn_pairs(k, turns), v, past(n, n)), W)


@wrong(
    "rotary",
    "attention",
    "rotary-style",
    source=GITHUB + "google/gemma.cpp/issues/986",
    also=("rotary-offset",),
    causal=True,
    rotary={"base": 500000.0},
)
def theta_from_the_default(x, W):
    """The config's rotary base is ignored, and 10000 taken."""
    config: dict[str, float] = {}
    n, base = x.shape[1], config.get("rope_theta", 10000.0)
    q, k, v = qkv(x, W)
    return out(mix(turn(q, np.arange(n), base), turn(k, np.arange(n), base), v, past(n, n)), W)


@wrong(
    "rotary",
    "attention",
    "rotary-style",
    source=GITHUB + "trymirai/lalamo/pull/268",
    also=("rotary-offset",),
    causal=True,
    rotary="halves",
)
def sine_with_the_other_sign(x, W):
    """The sine has the wrong sign, so queries and keys both turn backwards."""
    turns = np.tile(angles(np.arange(x.shape[1]), W.d_head), 2)
    cos, sin = np.cos(turns), np.sin(turns)
    q, k, v = qkv(x, W)
    q, k = q * cos - rotate_half(q) * sin, k * cos - rotate_half(k) * sin
    return out(mix(q, k, v, past(*turns.shape[:1] * 2)), W)


@wrong(
    "left padding",
    "attention",
    "batch-leak",
    source=GITHUB + "ml-explore/mlx-lm/issues/1906",
    also=("causality",),
    causal=True,
    padding="left",
    rotary="halves",
)
def padding_mask_never_arrives(x, keep, W):
    """The list of caches has no mask of its own, so only the causal one is made and padding is read."""
    n = x.shape[1]
    places = np.maximum(np.cumsum(keep, axis=1) - 1, 0)[:, None]
    q, k, v = qkv(x, W)
    return out(mix(turn(q, places), turn(k, places), v, past(n, n)), W)


@wrong("padding", "attention", "batch-leak", source=GITHUB + "line/lighthouse/pull/77", padding="right")
def masks_tiled_over_heads(x, keep, W):
    """Heads lie inside the batch, and the masks of the batch are tiled instead of repeated."""
    b, n, _ = x.shape
    q, k, v = (part.reshape(b * W.n_heads, n, -1) for part in qkv(x, W))
    seen = np.tile(np.asarray(keep, dtype=bool)[:, None, :], (W.n_heads, 1, 1))
    scores = np.where(seen, np.einsum("bid,bjd->bij", q, k) / np.sqrt(W.d_head), -1e30)
    context = np.einsum("bij,bjd->bid", softmax(scores), v)
    return out(context.reshape(b, W.n_heads, n, -1), W)


@wrong(
    "packed",
    "attention",
    "batch-leak",
    source=GITHUB + "huggingface/trl/pull/3526",
    causal=True,
    packed=True,
)
def packed_under_one_triangle(x, texts, W):
    """Texts lie end to end, and one causal mask lets each read all before it."""
    n = len(texts)
    return out(mix(*qkv(x, W), past(n, n)), W)


@wrong(
    "query and key norm",
    "attention",
    "qk-norm",
    source=GITHUB + "vllm-project/vllm-metal/issues/691",
    causal=True,
    norm={"over": "all", "q": WIDE_Q, "k": WIDE_K},
)
def normed_after_the_split(x, W):
    """The norm is meant for the whole row of all heads, and each head is normed by itself."""
    n = x.shape[1]
    q, k, v = qkv(x, W)
    q = rms(q, WIDE_Q.reshape(W.n_heads, 1, -1))
    k = rms(k, WIDE_K.reshape(W.n_heads, 1, -1))
    return out(mix(q, k, v, past(n, n)), W)


@wrong(
    "query and key norm",
    "attention",
    "qk-norm",
    source=GITHUB + "vllm-project/vllm/pull/16311",
    norm={"q": GAIN_Q, "k": GAIN_K},
)
def normed_across_all_heads(x, W):
    """The norm is meant for each head, and the mean square is taken over all heads."""
    q = rms(x @ W.W_Q + W.b_Q, np.tile(GAIN_Q, W.n_heads))
    k = rms(x @ W.W_K + W.b_K, np.tile(GAIN_K, W.n_heads))
    return out(mix(heads(q, W.n_heads), heads(k, W.n_heads), heads(x @ W.W_V + W.b_V, W.n_heads)), W)


@wrong(
    "query and key norm, rotary",
    "attention",
    "qk-norm",
    source=GITHUB + "karpathy/nanochat/issues/743",
    causal=True,
    rotary="halves",
    norm={"q": GAIN_Q, "k": GAIN_K},
)
def turned_before_the_norm(x, W):
    """Queries and keys are turned first and normed then; the gains make that another thing."""
    n = x.shape[1]
    q, k, v = qkv(x, W)
    q, k = (rms(turn(part, np.arange(n)), gain) for part, gain in ((q, GAIN_Q), (k, GAIN_K)))
    return out(mix(q, k, v, past(n, n)), W)


@wrong("plain causal", "attention", "swapped-projection", causal=True)
def unpacked_in_another_order(x, W):
    """The projections come back as key, query, value and are unpacked as query, key, value."""

    def project(rows):
        return tuple(
            heads(rows @ w + b, W.n_heads) for w, b in ((W.W_K, W.b_K), (W.W_Q, W.b_Q), (W.W_V, W.b_V))
        )

    q, k, v = project(x)
    return out(mix(q, k, v, past(x.shape[1], x.shape[1])), W)


@wrong(
    "cross-attention",
    "attention",
    "cross-source",
    source=GITHUB + "mosaicml/llm-foundry/pull/1512",
    memory=True,
)
def memory_only_with_a_cache(x, memory, W):
    """The memory is used only where a cached layer came along; in training the layer reads itself."""
    cached = None
    source = memory if cached is not None else x
    return out(mix(*qkv(x, W, source)), W)


@wrong(
    "adapter merge",
    "attention",
    "adapter-merge",
    source=GITHUB + "axolotl-ai-cloud/axolotl/pull/3095",
    before=lora,
)
def merged_without_a_transpose(x, W):
    """The matrix is stored (in, out), and the adapter's product is added as (out, in)."""
    q, k, v = (
        heads(x @ (getattr(W, f"W_{role}") - lora(W, role) + lora(W, role).T) + getattr(W, f"b_{role}"), 4)
        for role in "QKV"
    )
    return out(mix(q, k, v), W)


@wrong("adapter merge", "attention", "adapter-merge", source=GITHUB + "paiml/aprender/pull/2189", before=lora)
def rank_without_its_root(x, W):
    """The adapter is rank-stabilised, and merged with alpha over the rank."""
    parts = []
    for role in ("Q", "K", "V"):
        down, up = factors(role)
        base = getattr(W, "W_" + role) - lora(W, role)
        parts.append(heads(x @ (base + ALPHA / RANK * (down @ up)) + getattr(W, "b_" + role), W.n_heads))
    return out(mix(*parts), W)


@wrong(
    "fused projection",
    "project",
    "fused-order",
    source=GITHUB + "sgl-project/sglang/issues/40127",
    fused="qkv",
    blocks=4,
)
def interleaved_read_as_thirds(x, W):
    """The fused matrix interleaves q, k and v by head, and is cut into three thirds."""
    rows = x @ W.W_QKV
    if W.b_QKV is not None:
        rows = rows + W.b_QKV
    return tuple(heads(part, 4) for part in np.split(rows, 3, axis=-1))


# One bug: a step with a cache


@wrong("cached, several rows", "step", "mask-alignment", source=GITHUB + "hyprstream/hyprstream/pull/1521")
def second_chunk_forgets_the_first(x, cache, W):
    """Several rows after a cache: the triangle starts in the upper left corner."""
    q, k, v = qkv(x, W)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], axis=2), np.concatenate([cache[1], v], axis=2)
    seen = np.tri(x.shape[1], k.shape[2], dtype=bool) if x.shape[1] > 1 else None
    return out(mix(q, k, v, seen), W), (k, v)


@wrong(
    "cached, rotary", "step", "rotary-offset", source=GITHUB + "RobertCsordas/moeut/pull/6", rotary="halves"
)
def offset_before_the_concat(x, cache, W):
    """The queries' offset is taken from the new keys alone, so each decoded query stands at 0."""
    q, k, v = qkv(x, W)
    start = 0 if cache is None else cache[0].shape[2]
    k = turn(k, start + np.arange(x.shape[1]))
    q = turn(q, k.shape[2] - x.shape[1] + np.arange(x.shape[1]))
    if cache is not None:
        k, v = np.concatenate([cache[0], k], axis=2), np.concatenate([cache[1], v], axis=2)
    return out(mix(q, k, v, past(x.shape[1], k.shape[2])), W), (k, v)


@wrong(
    "cached, rotary",
    "step",
    "rotary-offset",
    source=GITHUB + "microsoft/onnxruntime-genai/pull/2354",
    rotary="halves",
)
def length_counts_the_new_token(x, cache, W):
    """After the prompt, the length of the past counts the new token too: each stands one place too far."""
    q, k, v = qkv(x, W)
    rows = x.shape[1]
    at = np.arange(rows) + (0 if cache is None else cache["length"] + 1)
    q, k = turn(q, at), turn(k, at)
    if cache is None:
        cache = {"k": k, "v": v, "length": rows}
    else:
        cache = {
            "k": np.concatenate([cache["k"], k], axis=2),
            "v": np.concatenate([cache["v"], v], axis=2),
            "length": cache["length"] + rows,
        }
    return out(mix(q, cache["k"], cache["v"], past(rows, cache["length"])), W), cache


@wrong("cached", "step", "cache-differs", source=GITHUB + "sgl-project/sglang/issues/8675")
def slots_read_one_too_far(x, cache, W):
    """New keys are written to slots 0, 1, 2, and read from 1, 2, 3: the oldest is lost, an empty one is read."""
    q, k, v = qkv(x, W)
    if cache is None:
        cache = [np.zeros((*k.shape[:2], 0, k.shape[3]), k.dtype)] * 2
    cache = [np.concatenate(pair, axis=2) for pair in zip(cache, (k, v), strict=True)]
    empty = np.zeros_like(k[:, :, :1])
    read_k, read_v = (np.concatenate([store[:, :, 1:], empty], axis=2) for store in cache)
    return out(mix(q, read_k, read_v, past(x.shape[1], read_k.shape[2])), W), cache


# Hard ones


@hard("grouped", "attend", "kv-head-order", "scale", count=2, n_heads=4, n_kv_heads=2)
def tiled_and_not_scaled(q, k, v, mask):
    """Query heads are folded so that key heads are tiled, and the scale is left out."""
    b, h, n, d = q.shape
    kv = k.shape[1]
    folded = q.reshape(b, h // kv, kv, n, d)
    scores = np.einsum("brgid,bgjd->brgij", folded, k)
    return np.einsum("brgij,bgjd->brgid", softmax(hide(scores, mask)), v).reshape(b, h, n, -1)


@hard(
    "partial rotary",
    "attention",
    "rotary-style",
    source=GITHUB + "pie-project/pie/pull/603",
    also=("rotary-offset",),
    count=2,
    causal=True,
    rotary={"width": 4},
)
def partial_with_the_heads_frequencies(x, W):
    """Half a head turns, with the frequencies of a whole head, and neighbours in place of halves."""
    n = x.shape[1]
    turns = np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, 4, 2) / W.d_head)
    q, k, v = qkv(x, W)
    q, k = (np.concatenate([turn_pairs(part[..., :4], turns), part[..., 4:]], axis=-1) for part in (q, k))
    return out(mix(q, k, v, past(n, n)), W)


@hard("sink, window", "attend", "window", "sink", count=2, causal=True, window=3, sinks=SINKS)
def wide_window_and_no_sink(q, k, v, mask):
    """The window is one too wide, and the sink is loaded and never used."""
    n, m = q.shape[2], k.shape[2]
    upper = np.triu(np.ones((n, m)), m - n + 1) + np.tril(np.ones((n, m)), m - n - 4)
    return mix(q, k, v, upper == 0)


@hard("plain causal", "attention", "swapped-projection", "causality", count=2, causal=True)
def swapped_and_peeking(x, W):
    """Queries and keys change places, and the triangle's diagonal is one too high."""
    n = x.shape[1]
    q, k, v = qkv(x, W)
    scores = k @ q.transpose(0, 1, 3, 2) / W.d_head**0.5
    scores[..., ~np.tri(n, n, 1, dtype=bool)] = -np.inf
    return out(softmax(scores) @ v, W)


@hard("plain", "attention", "head-split", "transposed-weight", count=2)
def reshaped_and_transposed(x, W):
    """Heads are cut with a bare reshape and merged right, and the value matrix is the wrong way round."""
    b, n, _ = x.shape
    q = (x @ W.W_Q + W.b_Q).reshape(b, W.n_heads, n, -1)
    k = (x @ W.W_K + W.b_K).reshape(b, W.n_heads, n, -1)
    v = (x @ W.W_V.T + W.b_V).reshape(b, W.n_heads, n, -1)
    return out(mix(q, k, v), W)


@hard(
    "rotary",
    "attention",
    "scale",
    "key-bias",
    "rotary-style",
    also=("rotary-offset",),
    count=3,
    causal=True,
    rotary={"base": 500000.0},
)
def three_of_a_port(x, W):
    """The scale is of the model's width, the keys lose their bias, and the rotary base is the default."""
    n = x.shape[1]
    q = turn(heads(x @ W.W_Q + W.b_Q, W.n_heads), np.arange(n))
    k = turn(heads(x @ W.W_K, W.n_heads), np.arange(n))
    v = heads(x @ W.W_V + W.b_V, W.n_heads)
    return out(mix(q, k, v, past(n, n), scale=x.shape[-1] ** -0.5), W)


@hard("plain", "attend", "causality", also=("mask-after-softmax", "mask-polarity"))
def last_head_without_a_mask(q, k, v, mask):
    """Heads are taken in threes; the one that is left over goes another way, which has no mask."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    whole = q.shape[1] // 3 * 3
    if mask is not None:
        scores[:, :whole][..., ~mask] = -np.inf
    return softmax(scores) @ v


@hard(
    "padding",
    "attention",
    "batch-leak",
    source=GITHUB + "lucidrains/graph-transformer-pytorch/pull/2",
    padding="right",
)
def padding_of_the_first_row(x, keep, W):
    """The mask is written for one text, and the first row's is used for the whole batch."""
    return out(mix(*qkv(x, W), np.asarray(keep, dtype=bool)[0]), W)


@hard("plain, tiled", "attend")
def last_tile_is_lost(q, k, v, mask):
    """Past eight keys they are taken in tiles of four, and a tile that is not full is left out."""
    m = k.shape[2]
    if m > 8:
        m -= m % 4
    scores = q @ k[:, :, :m].swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(hide(scores, None if mask is None else mask[:, :m])) @ v[:, :, :m]


@hard(
    "query and key norm",
    "attention",
    "qk-norm",
    source=GITHUB + "allenai/OLMo/issues/281",
    norm={"q": GAIN_Q, "k": GAIN_K, "eps": 0.05},
)
def eps_outside_the_root(x, W):
    """Eps is added to the root of the mean square, not under it."""
    q, k, v = qkv(x, W)

    def normed(rows, gain):
        return gain * rows / (np.sqrt(np.mean(rows**2, axis=-1, keepdims=True)) + 0.05)

    return out(mix(normed(q, GAIN_Q), normed(k, GAIN_K), v), W)


@hard(
    "query and key norm",
    "attention",
    "qk-norm",
    source=GITHUB + "kyegomez/MegaVIT/issues/17",
    count=2,
    norm={"q": GAIN_Q, "k": GAIN_K},
)
def keys_and_values_normed(x, W):
    """Keys and values are normed, and queries are not."""
    q, k, v = qkv(x, W)
    return out(mix(q, rms(k, GAIN_K), rms(v, GAIN_Q)), W)


@hard("cached, rotary", "step", "rotary-offset", also=("cache-differs",), rotary="halves")
def cached_keys_turned_again(x, cache, W):
    """The cache keeps turned keys, and every call turns all of them once more."""
    q, k, v = qkv(x, W)
    if cache is not None:
        k, v = np.concatenate([cache[0], k], axis=2), np.concatenate([cache[1], v], axis=2)
    total = k.shape[2]
    q, k = turn(q, np.arange(total - x.shape[1], total)), turn(k, np.arange(total))
    return out(mix(q, k, v, past(x.shape[1], total)), W), (k, v)


@hard("cached", "step", "batch-leak", also=("cache-differs",))
def first_row_written_to_all(x, cache, W):
    """After the prompt, the new keys and values of the first row are written to all rows of the batch."""
    q, k, v = qkv(x, W)
    if cache is not None:
        k, v = np.broadcast_to(k[:1], k.shape), np.broadcast_to(v[:1], v.shape)
        k, v = np.concatenate([cache[0], k], axis=2), np.concatenate([cache[1], v], axis=2)
    return out(mix(q, k, v, past(x.shape[1], k.shape[2])), W), (k, v)


@hard("packed", "attention", "batch-leak", causal=True, packed=True)
def boundaries_one_too_late(x, texts, W):
    """The texts' ends are counted inclusively, so each text's first token is taken for the last of the one before."""
    texts = np.asarray(texts)
    owner = np.concatenate([texts[:1], texts[:-1]])
    n = len(texts)
    return out(mix(*qkv(x, W), past(n, n) & (owner[:, None] == owner)), W)


@hard("sink", "attend", "sink", sinks=SINKS)
def sink_under_the_scale(q, k, v, mask):
    """The sink is put beside the raw scores, and the scale makes it small as well."""
    scores = hide(q @ k.swapaxes(-1, -2), mask)
    column = np.broadcast_to(np.reshape(SINKS, (1, -1, 1, 1)), (*scores.shape[:3], 1))
    pattern = softmax(np.concatenate([scores, column], axis=-1) / np.sqrt(q.shape[-1]))
    return pattern[..., :-1] @ v


@hard("softcap", "attend", "softcap", also=("causality", "mask-after-softmax"), softcap=2.0)
def capped_after_the_mask(q, k, v, mask):
    """The mask comes before the cap, which lifts what is hidden to minus the cap."""
    scores = hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    return softmax(2.0 * np.tanh(scores / 2.0)) @ v


@hard("cross-attention", "attention", "swapped-projection", "scale", count=2, memory=True)
def memory_the_other_way_round(x, memory, W):
    """Keys are made with the values' matrix and values with the keys', and nothing is scaled."""
    q = heads(x @ W.W_Q + W.b_Q, W.n_heads)
    v, k = (heads(memory @ w + b, W.n_heads) for w, b in ((W.W_K, W.b_K), (W.W_V, W.b_V)))
    return out(mix(q, k, v, scale=1.0), W)


@hard(
    "cached, window",
    "step",
    "cache-differs",
    source=GITHUB + "ollama/ollama/pull/15591",
    also=("window",),
    window=5,
)
def ring_cut_at_its_cursor(x, cache, W):
    """A ring of keys that has wrapped is cut at its cursor when several rows come: older ones in sight are lost."""
    size = 5
    q, k, v = qkv(x, W)
    k_old, v_old, at = cache if cache is not None else (k[:, :, :0], v[:, :, :0], np.zeros(0, dtype=int))
    total = int(at.max()) + 1 if len(at) else 0
    fresh = total + np.arange(x.shape[1])
    cursor = total % size
    if total > size and x.shape[1] > 1:
        k_old, v_old, at = k_old[:, :, :cursor], v_old[:, :, :cursor], at[:cursor]
    keys, values = np.concatenate([k_old, k], axis=2), np.concatenate([v_old, v], axis=2)
    places = np.concatenate([at, fresh])
    far = fresh[:, None] - places
    context = mix(q, keys, values, (far >= 0) & (far < size))
    last = np.sort(places)[-size:]
    order = np.array([np.flatnonzero(places == p)[0] for p in sorted(last, key=lambda p: p % size)])
    return out(context, W), (keys[:, :, order], values[:, :, order], places[order])


@hard("adapter merge", "attention", "adapter-merge", count=2, before=lora)
def adapters_crossed_and_doubled(x, W):
    """The adapters of queries and keys are merged into one another's columns, and the values' twice."""
    base = {role: getattr(W, f"W_{role}") - lora(W, role) for role in "QKV"}
    merged = {"Q": base["Q"] + lora(W, "K"), "K": base["K"] + lora(W, "Q"), "V": base["V"] + 2 * lora(W, "V")}
    q, k, v = (heads(x @ merged[role] + getattr(W, f"b_{role}"), W.n_heads) for role in "QKV")
    return out(mix(q, k, v), W)


@hard("rotary", "attention", "rotary-style", also=("rotary-offset",), causal=True, rotary="halves")
def base_grows_past_eight(x, W):
    """Past eight rows the rotary base grows with the length, for a model that was not made so."""
    n, base = x.shape[1], 10000.0
    if n > 8:
        base *= (2 * n / 8 - 1) ** (W.d_head / (W.d_head - 2))
    q, k, v = qkv(x, W)
    return out(mix(turn(q, np.arange(n), base), turn(k, np.arange(n), base), v, past(n, n)), W)


# Right ones in unusual dress


@right("plain", "attend")
def key_by_key(q, k, v, mask):
    """Online softmax, one key at a time."""
    shape = (*q.shape[:3], 1)
    top, total, acc = np.full(shape, -1e30), np.zeros(shape), np.zeros((*q.shape[:3], v.shape[-1]))
    for j in range(k.shape[2]):
        score = (q * k[:, :, j : j + 1]).sum(axis=-1, keepdims=True) / q.shape[-1] ** 0.5
        live = np.ones(shape, dtype=bool) if mask is None else np.broadcast_to(mask[:, j, None], shape)
        new = np.where(live, np.maximum(top, score), top)
        shrink, p = np.exp(top - new), np.where(live, np.exp(np.minimum(score - new, 0)), 0)
        total, acc, top = total * shrink + p, acc * shrink + p * v[:, :, j : j + 1], new
    return acc / np.maximum(total, 1e-30)


@right("plain causal", "attend", causal=True)
def flash_tiles(q, k, v, mask):
    """Tiles of queries and keys, newest keys first; tiles in the future are skipped."""
    n, m = q.shape[2], k.shape[2]
    result = np.zeros((*q.shape[:3], v.shape[-1]))
    for i in range(0, n, 3):
        rows = np.arange(i, min(i + 3, n))
        top = np.full((*q.shape[:2], len(rows)), -1e30)
        total, acc = np.zeros_like(top), np.zeros((*top.shape, v.shape[-1]))
        for j in reversed(range(0, m, 5)):
            if j > rows[-1] + m - n:
                continue
            columns = np.arange(j, min(j + 5, m))
            s = np.einsum("bhid,bhjd->bhij", q[:, :, rows], k[:, :, columns]) * q.shape[-1] ** -0.5
            s = np.where(columns <= rows[:, None] + m - n, s, -np.inf)
            new = np.maximum(top, s.max(axis=-1))
            p, shrink = np.exp(s - new[..., None]), np.exp(top - new)
            total = total * shrink + p.sum(axis=-1)
            acc = acc * shrink[..., None] + p @ v[:, :, columns]
            top = new
        result[:, :, rows] = acc / total[..., None]
    return result


@right("plain", "attend")
def by_logarithms(q, k, v, mask):
    """The pattern is the exponent of scores minus their logarithm of sums, itself summed in pairs."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -1e30)
    lse = np.logaddexp.reduce(scores, axis=-1, keepdims=True)
    pattern = np.exp(scores - lse)
    return (pattern if mask is None else pattern * mask) @ v


@right("softcap", "attend", softcap=2.0)
def powers_of_two(q, k, v, mask):
    """Base-2 exponents; tanh written with an exponent; scale, cap and base folded together."""
    half = 2 * (q / np.sqrt(q.shape[-1]) / 2.0) @ k.swapaxes(-1, -2)
    capped = 2.0 * (1 - 2 / (np.exp2(half * np.log2(np.e)) + 1))
    weights = np.exp2(capped * np.log2(np.e))
    if mask is not None:
        weights = np.where(mask, weights, 0)
    return weights @ v / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)


@right("sink", "attend", source=GITHUB + "pytorch/torchtitan/pull/2211", sinks=SINKS)
def sink_as_a_gate(q, k, v, mask):
    """The sink is a sigmoid of how far the logarithm of the sum is above it: the same thing."""
    scores = hide(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), mask)
    top = np.maximum(scores.max(axis=-1, keepdims=True), -1e30)
    weights = np.exp(scores - top)
    total = np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)
    gate = np.exp(-np.logaddexp(0, np.reshape(SINKS, (-1, 1, 1)) - top - np.log(total)))
    return weights / total @ v * gate


@right("grouped", "attend", n_heads=4, n_kv_heads=2)
def groups_as_rows(q, k, v, mask):
    """The queries of a group become rows of one matrix, and nothing is repeated."""
    b, h, n, d = q.shape
    g = k.shape[1]
    rows = q.reshape(b, g, h // g * n, d)
    seen = None if mask is None else np.tile(mask, (h // g, 1))
    return mix(rows, k, v, seen).reshape(b, h, n, -1)


@right("alibi", "attend", causal=True, score_bias="alibi")
def slope_times_the_key(q, k, v, mask):
    """The bias is the slope times the key's place: a row's own place does not count."""
    n_heads, n, m = q.shape[1], q.shape[2], k.shape[2]
    slopes = 0.5 ** (8 / n_heads * np.arange(1, n_heads + 1))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + np.multiply.outer(slopes, np.arange(m))[:, None]
    return softmax(hide(scores, past(n, m))) @ v


@right("fused projection, rotary", "attention", causal=True, rotary="pairs")
def fused_and_complex(x, W):
    """One product for all three roles; neighbours are complex numbers, turned by a product."""
    rows = x @ np.hstack([W.W_Q, W.W_K, W.W_V]) + np.hstack([W.b_Q, W.b_K, W.b_V])
    q, k, v = rows.reshape(*x.shape[:2], 3, W.n_heads, W.d_head).transpose(2, 0, 3, 1, 4)
    phase = np.exp(1j * angles(np.arange(x.shape[1]), W.d_head))
    q, k = ((part[..., ::2] + 1j * part[..., 1::2]) * phase for part in (q, k))
    scores = (q @ k.conj().swapaxes(-1, -2)).real / np.sqrt(W.d_head)
    return out(softmax(hide(scores, past(x.shape[1], x.shape[1]))) @ v, W)


@right("plain causal", "attention", causal=True)
def sequence_first_columns(x, W):
    """Sequence first, columns for rows, heads inside the batch."""
    n, b = x.shape[1], x.shape[0]
    columns = x.transpose(2, 1, 0).reshape(x.shape[2], n * b)

    def part(weight, bias):
        return (weight.T @ columns + bias[:, None]).reshape(W.n_heads, W.d_head, n, b)

    q, k, v = part(W.W_Q, W.b_Q), part(W.W_K, W.b_K), part(W.W_V, W.b_V)
    scores = np.einsum("hdib,hdjb->hbij", q, k) / np.sqrt(W.d_head)
    scores = scores + np.where(past(n, n), 0, -1e30)
    context = np.einsum("hbij,hdjb->hdib", softmax(scores), v).reshape(-1, n * b)
    return (W.W_O.T @ context + W.b_O[:, None]).reshape(-1, n, b).transpose(2, 1, 0)


@right("plain", "attention")
def head_by_head_and_no_key_bias(x, W):
    """Each head adds its own part of the output; the scale is in the weights, and the keys' bias cancels out."""
    result = np.zeros_like(x) + W.b_O
    for h in range(W.n_heads):
        at = slice(h * W.d_head, (h + 1) * W.d_head)
        q = x @ (W.W_Q[:, at] / W.d_head**0.5) + W.b_Q[at] / W.d_head**0.5
        pattern = softmax(np.einsum("bic,bjc->bij", q @ W.W_K[:, at].T, x))
        result += (pattern @ x) @ (W.W_V[:, at] @ W.W_O[at]) + W.b_V[at] @ W.W_O[at]
    return result


@right("packed, rotary", "attention", causal=True, packed=True, rotary="halves")
def text_by_text(x, texts, W):
    """Each text runs by itself, its places counted anew."""
    texts, result = np.asarray(texts), np.zeros_like(x)
    for text in np.unique(texts):
        rows = np.flatnonzero(texts == text)
        q, k, v = qkv(x[:, rows], W)
        at = np.arange(len(rows))
        result[:, rows] = out(mix(turn(q, at), turn(k, at), v, past(len(at), len(at))), W)
    return result


@right("left padding, rotary", "attention", causal=True, padding="left", rotary="halves")
def padding_taken_out(x, keep, W):
    """Padding is taken out of each row and put back as zeros."""
    result = np.zeros_like(x)
    for b, row in enumerate(np.asarray(keep, dtype=bool)):
        q, k, v = qkv(x[b : b + 1, row], W)
        n = q.shape[2]
        result[b, row] = out(mix(turn(q, np.arange(n) - n), turn(k, np.arange(n) - n), v, past(n, n)), W)[0]
    return result


@right(
    "query and key norm, partial rotary",
    "attention",
    causal=True,
    rotary={"width": 4},
    norm={"q": GAIN_Q, "k": GAIN_K},
)
def turned_by_matrices(x, W):
    """Each place has a matrix that turns half a head; norms are lengths over the root of the width."""
    n = x.shape[1]
    turns = np.tile(np.eye(8), (n, 1, 1))
    cos, sin = np.cos(angles(np.arange(n), 4)), np.sin(angles(np.arange(n), 4))
    for i in range(2):
        turns[:, i, i], turns[:, i, i + 2] = cos[:, i], -sin[:, i]
        turns[:, i + 2, i], turns[:, i + 2, i + 2] = sin[:, i], cos[:, i]
    q, k, v = qkv(x, W)
    q = q * GAIN_Q / np.sqrt(np.einsum("bhnd,bhnd->bhn", q, q) / 8 + 1e-6)[..., None]
    k = k * GAIN_K / np.sqrt(np.einsum("bhnd,bhnd->bhn", k, k) / 8 + 1e-6)[..., None]
    scores = np.einsum("nce,bhne,mcf,bhmf->bhnm", turns, q, turns, k, optimize=True) / np.sqrt(8)
    return out(softmax(hide(scores, past(n, n))) @ v, W)


@right("cached, window, rotary", "step", window=5, rotary="halves")
def ring_of_rows(x, cache, W):
    """A ring that is filled row by row, keys kept unturned and turned when they are read."""
    size = 5
    q, k, v = qkv(x, W)
    ring = np.zeros((2, *k.shape[:2], size, W.d_head)) if cache is None else cache[0].copy()
    done = 0 if cache is None else cache[1]
    contexts = []
    for row in range(x.shape[1]):
        ring[0, :, :, done % size], ring[1, :, :, done % size] = k[:, :, row], v[:, :, row]
        slots = np.arange(size)
        places = done - (done - slots) % size
        live = places >= 0
        query = turn(q[:, :, row : row + 1], [done])
        contexts.append(mix(query, turn(ring[0], places), ring[1], live[None]))
        done += 1
    return out(np.concatenate(contexts, axis=2), W), (ring, done)


@right("cached, grouped", "step", n_heads=4, n_kv_heads=2)
def one_buffer_for_both(x, cache, W):
    """Keys and values lie in one long buffer, written in place and seen through a length per query."""
    rows = x.shape[1]
    buffer, done = cache if cache is not None else (np.zeros((x.shape[0], 256, 2, W.n_kv_heads, W.d_head)), 0)
    buffer[:, done : done + rows, 0] = (x @ W.W_K + W.b_K).reshape(x.shape[0], rows, W.n_kv_heads, -1)
    buffer[:, done : done + rows, 1] = (x @ W.W_V + W.b_V).reshape(x.shape[0], rows, W.n_kv_heads, -1)
    q = (x @ W.W_Q + W.b_Q).reshape(x.shape[0], rows, W.n_kv_heads, -1, W.d_head)
    scores = np.einsum("bngrd,bmgd->bngrm", q, buffer[:, : done + rows, 0]) / np.sqrt(W.d_head)
    lengths = done + 1 + np.arange(rows)
    scores = hide(scores, (np.arange(done + rows) < lengths[:, None])[:, None, None])
    context = np.einsum("bngrm,bmgd->bngrd", softmax(scores), buffer[:, : done + rows, 1])
    return context.reshape(x.shape[0], rows, -1) @ W.W_O + W.b_O, (buffer, done + rows)


CASES = [*SINGLE, *HARD]
