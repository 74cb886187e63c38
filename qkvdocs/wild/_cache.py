# How many bytes a cache of keys and values takes: by the kind of layer, because each keeps something else.

import re
from collections.abc import Mapping
from typing import Any

from qkvdocs.wild._attentions import Attentions
from qkvdocs.wild._config import Facts, kind_of_layer
from qkvdocs.wild._plan import Plan

SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1, "int8": 1}
"""Bytes of a number that a cache holds."""


def cache_of(attentions: Attentions, tokens: int, batch: int, dtype: str) -> list[dict[str, Any]]:
    """Say what a cache holds after some tokens, and as many of a source that cross-attention looks at.

    Bytes are None for layers whose state has one size however long the text is.
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for path, plan in attentions.plans.items():
        kind, kept = _kept(path, plan, attentions.checkpoint.facts(path), tokens)
        rows.setdefault((kind, kept), []).append(kept * sum(plan.widths[role] for role in "kv"))
    for latent in attentions.latent.plans.values():
        rows.setdefault(("latent", tokens), []).append(tokens * latent.cached)
    found: list[dict[str, Any]] = [
        {"kind": kind, "layers": len(held), "tokens": kept, "bytes": sum(held) * batch * SIZES[dtype]}
        for (kind, kept), held in rows.items()
    ]
    states = sum("state" in listed.what for listed in attentions.listed.values())
    states += sum(layers.count for layers in attentions.layers if "state" in layers.what)
    return found + [{"kind": "state", "layers": states, "tokens": 0, "bytes": None}] * bool(states)


def _kept(path: str, plan: Plan, known: Facts, tokens: int) -> tuple[str, int]:
    if plan.kind in ("encoder", "shared"):
        return plan.kind, 0
    if plan.kind == "cross":
        return "cross", tokens
    numbers = re.findall(r"\d{1,6}", path)
    number = int(numbers[0]) if numbers else 0
    if "chunked" in kind_of_layer(known.values, number):
        return "chunked", min(tokens, known.values.get("attention_chunk_size") or tokens)
    window = known.values.get("sliding_window") or known.values.get("sliding_window_size")
    if type(window) is int and window > 0 and _slides(number, known.values):
        return "sliding", min(tokens, window)
    return "full", tokens


def _slides(number: int, values: Mapping[str, Any]) -> bool:
    """Say whether a layer sees a window alone: by the list of kinds, a pattern, or for all."""
    if isinstance(values.get("layer_types"), list):
        return "sliding" in kind_of_layer(values, number)
    if values.get("use_sliding_window") is False:
        return False
    pattern, first = values.get("sliding_window_pattern"), values.get("max_window_layers")
    if type(pattern) is int and pattern > 0:
        return (number + 1) % pattern != 0
    return number >= first if values.get("use_sliding_window") is True and type(first) is int else True
