"""Latent attention (MLA): its parts, and the absorbed form, are what the module multiplies."""

# tables

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qkvdocs import wild
from qkvdocs.core import attend, merge_heads, rotate
from tests.parity.families import LAYER, Family
from tests.parity.models import build, inputs
from tests.parity.rebuild import rms
from tests.parity.spy import Spy

LATENT: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2,
    "intermediate_size": 48, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 2, "q_lora_rank": 12, "kv_lora_rank": 10,
    "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 5, "max_position_embeddings": 64,
    "n_shared_experts": 1,
}  # fmt: skip
VARIANTS = [
    ("DeepseekV2Model", {}), ("DeepseekV3Model", {}), ("DeepseekV3Model", {"q_lora_rank": None}),
    ("DeepseekV3Model", {"rope_interleave": False}),
]  # fmt: skip


def split_latent(parts: wild.Latent, x: np.ndarray) -> dict[str, np.ndarray]:
    """Give q and k in their two parts, and v, heads first, before the rotation."""

    def by_head(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(x), parts.n_heads, -1).transpose(1, 0, 2)

    short = x if parts.W_DQ is None else rms(x @ parts.W_DQ, parts.g_Q, 1e-6)
    kept = rms(x @ parts.W_DKV, parts.g_KV, 1e-6)
    return {
        "q_plain": by_head(short @ parts.W_UQ), "q_turned": by_head(short @ parts.W_QR), "kept": kept[None],
        "k_plain": by_head(kept @ parts.W_UK), "k_turned": (x @ parts.W_KR)[None], "v": by_head(kept @ parts.W_UV),
        "q_absorbed": by_head(short @ parts.absorb()[0]),
    }  # fmt: skip


def errors(cls: str, changes: dict[str, Any], dtype: torch.dtype) -> dict[str, float]:
    """Compare scores, values, weights and output."""
    family = Family("latent", cls, LATENT | changes, LAYER)
    model = build(family, dtype)
    spy = Spy(model.get_submodule(LAYER))
    with torch.no_grad(), spy:
        model(**inputs(family, dtype))
    spy.close()
    x = spy.kwargs["hidden_states"].numpy()[0]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        read = wild.read(folder).latent[LAYER]
        parts = {name: np.array(part) for name, part in split_latent(read, x).items()}
        W_O, folded = np.array(read.W_O), np.array(read.absorb()[1])
    style = "halves" if changes.get("rope_interleave") is False else "pairs"
    q_turned, k_turned = (rotate(parts[name], style=style) for name in ("q_turned", "k_turned"))
    q = np.concatenate([parts["q_plain"], q_turned], -1)
    k = np.concatenate([parts["k_plain"], np.broadcast_to(k_turned, (len(q), *k_turned.shape[1:]))], -1)
    scale = q.shape[-1] ** -0.5
    found = attend(q, k, parts["v"], np.tri(len(x), dtype=bool), scale)
    q_short, wide = parts["q_absorbed"], plain_width(parts)
    q_short = np.concatenate([q_short[..., :wide], rotate(q_short[..., wide:], style=style)], -1)
    k_short = np.concatenate([parts["kept"], k_turned], -1)
    short = attend(q_short, np.repeat(k_short, len(q), 0), np.repeat(parts["kept"], len(q), 0),
                   np.tri(len(x), dtype=bool), scale)  # fmt: skip
    square = [call for call in spy.products if call[2].ndim > 2 and call[2].shape[-2:] == (len(x), len(x))]
    mixing = next(
        call for call in spy.products if call[0].ndim > 2 and call[0].shape[-2:] == (len(x), len(x))
    )

    def apart(ours: np.ndarray, theirs: torch.Tensor) -> float:
        return float(np.abs(ours - theirs.detach().numpy()[0]).max())

    return {
        "scores": apart(found.scores / scale, square[0][2]), "v": apart(parts["v"], mixing[1]),
        "weights": apart(found.pattern, mixing[0]), "output": apart(merge_heads(found.context) @ W_O, spy.output),
        "absorbed": apart(merge_heads(short.context) @ folded, spy.output),
    }  # fmt: skip


def plain_width(parts: dict[str, np.ndarray]) -> int:
    """Columns of an absorbed query that are not rotated."""
    return parts["q_absorbed"].shape[-1] - parts["q_turned"].shape[-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "changes"), VARIANTS)
def test_latent_attention(cls: str, changes: dict[str, Any], dtype: torch.dtype, tmp_path: Path) -> None:
    """Four variants of DeepSeek's, in two steps and in the absorbed form."""
    assert max(errors(cls, changes, dtype).values()) < (5e-6 if dtype == torch.float32 else 1e-6)
