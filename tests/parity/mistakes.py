"""Right-shaped mistakes: nothing raises, every shape is right, and the answer is wrong. How wrong?"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qkvdocs import wild
from qkvdocs.core import QKVWeights
from tests.parity import rebuild
from tests.parity.capture import Capture, capture
from tests.parity.compare import compare
from tests.parity.families import FAMILIES

Spoil = Callable[[wild.Projections], wild.Projections]
BY_NAME = {family.name: family for family in FAMILIES}


def recut(blocks: int, roles: str = "qkv") -> Spoil:
    """Cut the fused tensor by another rule."""

    def spoil(weights: wild.Projections) -> wild.Projections:
        changed = {}
        for letter in "Wb":
            parts = {r: getattr(weights, f"{letter}_{r.upper()}") for r in "qkv"}
            if parts["q"] is None:
                continue
            [held] = weights.layout.tensors.values()
            stored = wild.join(parts, held, weights.layout.copies(weights.n_heads, weights.n_kv_heads))
            cut = wild.split(stored, roles, weights.plan.widths, blocks)
            changed |= {f"{letter}_{r.upper()}": part for r, part in cut.items()}
        return replace(weights, **changed)

    return spoil


def transposed(name: str) -> Spoil:
    """Take the other orientation of a square matrix."""
    return lambda weights: replace(weights, **{name: getattr(weights, name).T})


def without(*names: str) -> Spoil:
    """Lose biases."""
    return lambda weights: replace(weights, **dict.fromkeys(names))


def swapped(first: str, second: str) -> Spoil:
    """Take one role for another."""

    def spoil(weights: wild.Projections) -> wild.Projections:
        pairs = [
            (f"{letter}_{a}", f"{letter}_{b}")
            for letter in "Wb"
            for a, b in ((first, second), (second, first))
        ]
        return replace(weights, **{a: getattr(weights, b) for a, b in pairs})

    return spoil


def permuted(function: Callable[[QKVWeights], QKVWeights]) -> Spoil:
    """Permute for a rotation that the model does not use."""
    return lambda weights: function(weights)  # type: ignore[return-value]


@dataclass(frozen=True)
class Mistake:
    """One mistake on one family."""

    name: str
    family: str
    spoil: Spoil | None = None
    changes: dict[str, Any] | None = None
    tiled: bool = False


MISTAKES = [
    Mistake("GPT-NeoX cut in thirds", "gpt_neox / pythia", recut(1)),
    Mistake("BLOOM cut in thirds", "bloom", recut(1)),
    Mistake("Falcon-40B cut as [Q|K|V]", "falcon-40b (GQA)", recut(1)),
    Mistake("GPT-BigCode cut in thirds", "gpt_bigcode (MHA)", recut(1)),
    Mistake("GPT-2 cut head by head", "gpt2", recut(4)),
    Mistake("CodeGen cut as q, k, v", "codegen (qvk, 4 shards)", recut(4)),
    Mistake("CodeGen cut as one block", "codegen (qvk, 4 shards)", recut(1, "qvk")),
    Mistake("GPT-2 with K and V swapped", "gpt2", swapped("K", "V")),
    Mistake("BERT's W_Q not transposed", "bert", transposed("W_Q")),
    Mistake("ViT's W_V not transposed", "vit", transposed("W_V")),
    Mistake("GPT-2's W_O transposed", "gpt2", transposed("W_O")),
    Mistake("LLaMA rotated in pairs", "llama (GQA)", changes={"rotary": "pairs"}),
    Mistake("LLaMA permuted once too often", "llama (GQA)", permuted(wild.pairs_to_halves)),
    Mistake("LLaMA not rotated at all", "llama (GQA)", changes={"rotary": ""}),
    Mistake("LLaMA's key heads tiled, not repeated", "llama (GQA)", tiled=True),
    Mistake("GPT-J rotated in halves", "gptj", changes={"rotary": "halves"}),
    Mistake("T5 scaled by 1/√d_head", "t5 encoder", changes={"scale": 12**-0.5}),
    Mistake("Whisper not scaled", "whisper encoder", changes={"scale": 1.0}),
    Mistake("Qwen2's biases dropped", "qwen2 (qkv bias)", without("b_Q", "b_K", "b_V")),
    Mistake("Qwen2's key bias dropped", "qwen2 (qkv bias)", without("b_K")),
    Mistake("BERT's key bias dropped", "bert", without("b_K")),
    Mistake("BERT's biases dropped", "bert", without("b_Q", "b_K", "b_V", "b_O")),
]


def tile(x: np.ndarray, n_heads: int) -> np.ndarray:
    """Repeat the heads 0 1 0 1 instead of 0 0 1 1."""
    return np.tile(x, (n_heads // len(x), 1, 1))


def measure(mistake: Mistake, folder: Path) -> dict[str, float]:
    """Give the errors that a mistake causes, and the largest entry of the right output."""
    seen: Capture = capture(BY_NAME[mistake.family], folder)
    weights = mistake.spoil(seen.weights) if mistake.spoil else seen.weights
    if mistake.tiled:
        return _tiled(seen)
    errors = compare(seen, weights, **(mistake.changes or {}))
    return {**errors, "largest_output": float(np.abs(seen.output).max())}


def _tiled(seen: Capture) -> dict[str, float]:
    kept = rebuild.repeat_kv_heads
    scores = rebuild.attention_scores
    rebuild.repeat_kv_heads = tile
    rebuild.attention_scores = lambda q, k, scale: scores(q, tile(k, len(q)), scale)
    try:
        errors = compare(seen)
        ours = rebuild.rebuild(seen)
    finally:
        rebuild.repeat_kv_heads, rebuild.attention_scores = kept, scores
    errors |= {name: float(np.abs(tile(ours[name], 4) - getattr(seen, name)).max()) for name in "kv"}
    return {**errors, "largest_output": float(np.abs(seen.output).max())}
