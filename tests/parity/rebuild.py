"""Attention with numpy, from the file: nothing is borrowed from the module but the rows that go in."""

# tables

import math
from dataclasses import replace
from typing import Any

import numpy as np

from qkvdocs import wild
from qkvdocs.core import attention_scores, merge_heads, repeat_kv_heads, rotate, softmax, split_heads
from tests.parity.capture import Capture
from tests.parity.families import Family


def rms(x, weight, eps, plus=0.0):
    """Divide each row by its root mean square."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * (weight + plus)


def layer_norm(x, weight, bias, eps):
    """Centre each row and divide it by its deviation."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def alibi_slopes(n_heads):
    """One slope a head, for a number of heads that is a power of two."""
    return 2.0 ** (-8 * np.arange(1, n_heads + 1) / n_heads)


def round_to_bf16(x):
    """Round to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def bucketed_bias(table, rows, keys, buckets=32, far=128):
    """T5's relative bias, both directions."""
    apart = np.arange(keys)[None] - np.arange(rows)[:, None]
    buckets //= 2
    base, apart = (apart > 0) * buckets, abs(apart)
    exact = buckets // 2
    grown = np.log(np.maximum(apart, 1) / exact) / math.log(far / exact) * (buckets - exact)
    large = np.minimum(exact + grown.astype(int), buckets - 1)
    return table[base + np.where(apart < exact, apart, large)].transpose(2, 0, 1)


def add(rows, bias):
    """Add a bias if there is one."""
    return rows if bias is None else rows + bias


def normed(family: Family, extra: dict[str, np.ndarray], q, k, eps, *, split: bool):
    """Apply the norms that some families put on queries and keys."""

    def held(name: str) -> np.ndarray | float:
        return next(
            (extra[alias] for alias in (name, name.replace("norm", "layernorm")) if alias in extra), 0.0
        )

    if family.norm == "rms full" and not split:
        return rms(q, held("q_norm.weight"), eps), rms(k, held("k_norm.weight"), eps)
    if family.norm in ("rms head", "rms+1 head") and split:
        plus = 1.0 if "+1" in family.norm else 0.0
        return rms(q, held("q_norm.weight"), eps, plus), rms(k, held("k_norm.weight"), eps, plus)
    if family.norm == "ln head" and split:
        return (
            layer_norm(part, held(f"{name}.weight"), held(f"{name}.bias"), eps)
            for part, name in ((q, "q_norm"), (k, "k_norm"))
        )
    if family.norm == "ln heads" and split:
        return (
            layer_norm(part, held(f"{name}.weight")[:, None], 0, eps)
            for part, name in ((q, "q_norm"), (k, "k_norm"))
        )
    return q, k


def rotated(seen: Capture, family: Family, q, k):
    """Apply rotary positions."""
    if family.rotary != "given":
        base = family.theta or _theta(seen.config)
        return (rotate(x, style=family.rotary, width=family.d_rotary or None, base=base) for x in (q, k))
    # YaRN, patches in two dimensions: the module's own cosines
    half = q.shape[-1] // 2
    cos, sin = (part.reshape(-1, part.shape[-1])[:, :half] for part in seen.cosines)
    skip = q.shape[-2] - len(cos)
    parts = ((x[:, :skip], x[:, skip:, :half], x[:, skip:, half:]) for x in (q, k))
    return (
        np.concatenate([kept, np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)], 1)
        for kept, a, b in parts
    )


def _theta(config: Any) -> float:
    told = getattr(config, "rope_parameters", None) or {}
    return told.get("rope_theta") or next(
        (p["rope_theta"] for p in told.values() if isinstance(p, dict)), 1e4
    )


def positioned(family: Family, scores, scale, extra):
    """Add what some families add to the scores."""
    n_heads, rows, keys = scores.shape
    slopes, at = alibi_slopes(n_heads)[:, None, None], np.arange(keys)
    if family.softcap:
        scores = family.softcap * np.tanh(scores / family.softcap)
    if family.alibi == "bloom":
        scores = scores + slopes * at
    if family.alibi == "mpt":
        scores = scores + slopes * (at + 1 - keys)
    if family.alibi == "falcon":
        bias = round_to_bf16(round_to_bf16(slopes) * at).astype(scores.dtype)
        scores = scores + (2 if family.twice else 1) * scale * bias
    if family.buckets:
        scores = scores + bucketed_bias(extra["relative_attention_bias.weight"], rows, keys)
    return scores


def rebuild(seen: Capture, weights: wild.Projections | None = None, **changes: Any) -> dict[str, np.ndarray]:
    """Give q, k, v, pattern, context and output as arrays, heads first.

    `weights` may be tampered with, and `changes` replaces fields of the family: that is how mistakes are made.
    """
    weights, family = weights or seen.weights, replace(seen.family, **changes)
    eps = getattr(seen.config, "rms_norm_eps", None) or getattr(seen.config, "layer_norm_eps", 1e-5)
    q, k, v = (
        add(rows @ getattr(weights, f"W_{r}"), getattr(weights, f"b_{r}"))
        for r, rows in (("Q", seen.x), ("K", seen.y), ("V", seen.y))
    )
    q, k = normed(family, seen.extra, q, k, eps, split=False)
    q, k, v = (
        split_heads(q, weights.n_heads),
        split_heads(k, weights.n_kv_heads),
        split_heads(v, weights.n_kv_heads),
    )
    q, k = normed(family, seen.extra, q, k, eps, split=True)
    if family.rotary:
        q, k = rotated(seen, family, q, k)
    if family.norm == "l2 after":
        q, k = rms(q, 1, eps), rms(k, 1, eps)
    scale = family.scale or weights.d_head**-0.5
    scores = positioned(family, attention_scores(q, k, scale), scale, seen.extra)
    mask = np.tri(*scores.shape[-2:], dtype=bool) if family.causal else None
    if "sinks" in seen.extra:  # one more logit a head, whose weight goes nowhere
        sinks = np.broadcast_to(seen.extra["sinks"][:, None, None], (*scores.shape[:2], 1))
        scores = np.concatenate([scores, sinks], -1)
        mask = None if mask is None else np.pad(mask, ((0, 0), (0, 1)), constant_values=True)
    pattern = softmax(scores, mask)[..., : len(seen.y)]
    context = pattern @ repeat_kv_heads(v, weights.n_heads)
    return {"q": q, "k": k, "v": v, "pattern": pattern, "context": context}


def project_out(seen: Capture, weights: wild.Projections, context: np.ndarray) -> np.ndarray:
    """Merge the heads, gate them, project them."""
    merged = merge_heads(context)
    if seen.family.gate:
        merged = merged / (1 + np.exp(-add(seen.x @ weights.W_G, weights.b_G)))
    return add(merged @ weights.W_O, weights.b_O)
