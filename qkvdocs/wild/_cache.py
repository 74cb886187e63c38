# How many bytes a cache of keys and values takes: by the kind of layer, because each keeps something else.

import re
from collections.abc import Mapping
from typing import Any

from qkvdocs.wild._attentions import Attentions
from qkvdocs.wild._config import Facts
from qkvdocs.wild._plan import Plan

SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1, "int8": 1}
"""Bytes of a number that a cache holds."""


def cache_of(attentions: Attentions, tokens: int, batch: int, dtype: str) -> list[dict[str, Any]]:
    """Say what a cache holds after some tokens.

    Args:
        attentions: What `read` gave.
        tokens: How many have been read; of a source that cross-attention looks at, as many.
        batch: Texts at once.
        dtype: Of the cache, out of `SIZES`.

    Returns:
        Kind of layer, how many layers, tokens that each keeps, and bytes in all.
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for path, plan in attentions.plans.items():
        kind, kept = _kept(path, plan, attentions.checkpoint.facts(path), tokens)
        rows.setdefault((kind, kept), []).append(kept * sum(plan.widths[role] for role in "kv"))
    for path in attentions.refused:
        known = attentions.checkpoint.facts(path)
        width = _latent(known.values)
        if width and "latent attention" in str(attentions.refused[path]):
            rows.setdefault(("latent", tokens), []).append(tokens * width)
        elif known.values.get("num_kv_shared_layers") and "earlier layer" in str(attentions.refused[path]):
            rows.setdefault(("shared", 0), []).append(0)
    return [
        {"kind": kind, "layers": len(held), "tokens": kept, "bytes": sum(held) * batch * SIZES[dtype]}
        for (kind, kept), held in rows.items()
    ]


def _kept(path: str, plan: Plan, known: Facts, tokens: int) -> tuple[str, int]:
    if plan.kind == "encoder":
        return "encoder", 0
    if plan.kind == "cross":
        return "cross", tokens
    window = known.values.get("sliding_window")
    if type(window) is int and window > 0 and _slides(path, known.values):
        return "sliding", min(tokens, window)
    return "full", tokens


def _slides(path: str, values: Mapping[str, Any]) -> bool:
    """Say whether a layer sees a window alone: by the list of kinds, a pattern, or for all."""
    numbers = re.findall(r"\d{1,6}", path)
    number = int(numbers[0]) if numbers else 0
    kinds = values.get("layer_types")
    if isinstance(kinds, list):
        return number < len(kinds) and kinds[number] == "sliding_attention"
    if values.get("use_sliding_window") is False:
        return False
    pattern, first = values.get("sliding_window_pattern"), values.get("max_window_layers")
    if type(pattern) is int and pattern > 0:
        return (number + 1) % pattern != 0
    return number >= first if values.get("use_sliding_window") is True and type(first) is int else True


def _latent(values: Mapping[str, Any]) -> int:
    """Numbers that latent attention keeps of a token in place of keys and values."""
    parts = [values.get(name) for name in ("kv_lora_rank", "qk_rope_head_dim")]
    return sum(part for part in parts if type(part) is int and part > 0) if type(parts[0]) is int else 0
