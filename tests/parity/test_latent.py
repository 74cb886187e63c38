"""Latent attention (MLA) breaks the atlas, not the rule: `split` cuts both of its fused matrices."""

# tables

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qkvdocs import wild
from qkvdocs.core import attend, merge_heads, rotate
from qkvdocs.wild._attentions import look
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


def split_latent(checkpoint: wild.Checkpoint, x: np.ndarray) -> dict[str, np.ndarray]:
    """Give q and k in their two parts, and v, heads first, before the rotation."""
    config, heads = checkpoint.config, checkpoint.config["num_attention_heads"]
    plain, turned = config["qk_nope_head_dim"], config["qk_rope_head_dim"]

    def product(rows: np.ndarray, name: str) -> np.ndarray:
        return rows @ checkpoint[f"{LAYER}.{name}.weight"].T

    def normed(rows: np.ndarray, name: str) -> np.ndarray:
        return rms(rows, checkpoint[f"{LAYER}.{name}.weight"], 1e-6)

    def by_head(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(x), heads, -1).transpose(1, 0, 2)

    short = normed(product(x, "q_a_proj"), "q_a_layernorm") if config.get("q_lora_rank") else x
    q = product(short, "q_b_proj" if config.get("q_lora_rank") else "q_proj")
    q = wild.split(q, "pt", {"p": heads * plain, "t": heads * turned}, heads)
    down = wild.split(product(x, "kv_a_proj_with_mqa"), "lt", {"l": config["kv_lora_rank"], "t": turned})
    up = product(normed(down["l"], "kv_a_layernorm"), "kv_b_proj")
    up = wild.split(up, "kv", {"k": heads * plain, "v": heads * config["v_head_dim"]}, heads)
    return {
        "q_plain": by_head(q["p"]), "q_turned": by_head(q["t"]), "k_plain": by_head(up["k"]),
        "k_turned": down["t"][None], "v": by_head(up["v"]),
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
        assert "latent attention" in str(look(folder).refused[LAYER])
        checkpoint = wild.Checkpoint(folder)
        parts = {name: np.array(part) for name, part in split_latent(checkpoint, x).items()}
        W_O = np.array(checkpoint[f"{LAYER}.o_proj.weight"].T)
    style = "halves" if changes.get("rope_interleave") is False else "pairs"
    q_turned, k_turned = (rotate(parts[name], style=style) for name in ("q_turned", "k_turned"))
    q = np.concatenate([parts["q_plain"], q_turned], -1)
    k = np.concatenate([parts["k_plain"], np.broadcast_to(k_turned, (len(q), *k_turned.shape[1:]))], -1)
    scale = q.shape[-1] ** -0.5
    found = attend(q, k, parts["v"], np.tri(len(x), dtype=bool), scale)
    square = [call for call in spy.products if call[2].ndim > 2 and call[2].shape[-2:] == (len(x), len(x))]
    mixing = next(
        call for call in spy.products if call[0].ndim > 2 and call[0].shape[-2:] == (len(x), len(x))
    )

    def apart(ours: np.ndarray, theirs: torch.Tensor) -> float:
        return float(np.abs(ours - theirs.detach().numpy()[0]).max())

    return {
        "scores": apart(found.scores / scale, square[0][2]), "v": apart(parts["v"], mixing[1]),
        "weights": apart(found.pattern, mixing[0]), "output": apart(merge_heads(found.context) @ W_O, spy.output),
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "changes"), VARIANTS)
def test_latent_attention(cls: str, changes: dict[str, Any], dtype: torch.dtype, tmp_path: Path) -> None:
    """Four variants of DeepSeek's: refused as one projection, and right in two steps."""
    assert max(errors(cls, changes, dtype).values()) < (5e-6 if dtype == torch.float32 else 1e-6)
