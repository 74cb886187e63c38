"""What the clinic takes for the bytes of a cache is what a cache of transformers holds, once it has read a text."""

from typing import Any

import pytest
import torch

from qkvdocs.clinic._checks import right_bytes
from tests.parity.families import LAYER, Family, experts
from tests.parity.models import build
from tests.parity.test_examine_model import EVERY, decoder

HYBRID = [
    Family("lfm2", "Lfm2Model", decoder | {"layer_types": ["conv", "full_attention"]}, LAYER),
    Family("jamba", "JambaModel", decoder | experts | {
        "num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 1, "use_mamba_kernels": False,
        "mamba_d_state": 4, "mamba_dt_rank": 4}, LAYER),
    Family("qwen2 (a window that is off)", "Qwen2Model",
           decoder | {"sliding_window": 3, "use_sliding_window": False}, LAYER),
    Family("gemma3n (shared)", "Gemma3nTextModel", decoder | {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "head_dim": 8, "vocab_size_per_layer_input": 97,
        "hidden_size_per_layer_input": 8, "altup_num_inputs": 2, "laurel_rank": 4, "intermediate_size": 48,
        "layer_types": ["full_attention"] * 4, "activation_sparsity_pattern": [0.0] * 4}, LAYER),
]  # fmt: skip
NAMES = [
    "llama (GQA)", "gemma", "mistral (window)", "gemma3 (window)", "gpt_oss (window)", "deepseek_v3", "deepseek_v2",
    "qwen3_next (gate in q_proj)", "minimax full attention", "llama4 (chunks)",
]  # fmt: skip
FAMILIES = [*HYBRID, *(family for family in EVERY if family.name in NAMES)]


def held(cache: Any) -> int:
    """Count the numbers of all keys and values."""
    layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    return sum(part.numel() for layer in layers for part in (layer.keys, layer.values))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_bytes_are_those_that_a_cache_holds(family: Family) -> None:
    """Two texts of nine tokens; a window keeps all but the newest of its keys there, since that one is given."""
    with torch.no_grad():
        model = build(family, torch.float32)
        cache = model(input_ids=torch.arange(18).reshape(2, 9) + 3, use_cache=True).past_key_values
    config = model.config.to_dict()
    for name in ("sliding_window", "attention_chunk_size"):
        if config.get(name) and config.get("use_sliding_window", True):
            config[name] -= 1
    assert right_bytes(config, 2, 9, 4) == 4 * held(cache)
