"""Rotary positions as transformers turns them: styles, parts of a head, and every kind of scaling."""

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gpt_neox import modeling_gpt_neox as neox
from transformers.models.gptj import modeling_gptj as gptj
from transformers.models.llama import modeling_llama as llama

from qkvdocs.core import rotate

Q = np.random.default_rng(13).normal(size=(2, 3, 5, 16))
WHERE = {"offset": 7}
PLACES = torch.arange(7, 12)[None]
SIZES = {"hidden_size": 48, "num_attention_heads": 3, "max_position_embeddings": 64}
# The libraries compute their angles in float32; ours are float64.
NEAR = {"rtol": 0, "atol": 2e-5}
SCALED = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
    "longrope": {
        "factor": 4.0, "original_max_position_embeddings": 16, "short_factor": [1.0] * 8,
        "long_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 2.5, 3.0, 4.0],
    },
    "proportional": {"partial_rotary_factor": 0.5},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALED)
def test_llama(kind: str) -> None:
    """Halves; its frequencies and its factor are all that a kind of scaling is."""
    config = LlamaConfig(**SIZES, rope_parameters={"rope_type": kind, "rope_theta": 5e5, **SCALED[kind]})
    turns = llama.LlamaRotaryEmbedding(config)
    q = torch.from_numpy(Q)
    wanted, same = llama.apply_rotary_pos_emb(q, q, *turns(q, PLACES))
    assert torch.equal(wanted, same)

    frequencies = turns.inv_freq.numpy()
    np.testing.assert_allclose(
        rotate(Q, frequencies=frequencies, **WHERE) * turns.attention_scaling, wanted, **NEAR
    )
    if kind in ("default", "linear"):
        scaling = SCALED[kind].get("factor", 1.0)
        np.testing.assert_allclose(rotate(Q, base=5e5, scaling=scaling, **WHERE), wanted, **NEAR)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(rotate(Q, style="pairs", frequencies=frequencies, **WHERE), wanted, **NEAR)


def test_gpt_neox() -> None:
    """Halves of the first quarter of a head."""
    config = GPTNeoXConfig(**SIZES, rope_parameters={
        "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25})  # fmt: skip
    q = torch.from_numpy(Q)
    wanted, _ = neox.apply_rotary_pos_emb(q, q, *neox.GPTNeoXRotaryEmbedding(config)(q, PLACES))

    np.testing.assert_allclose(rotate(Q, width=4, **WHERE), wanted, **NEAR)


@pytest.mark.parametrize("width", [4, 16])
def test_gpt_j(width: int) -> None:
    """Neighbours, in the first columns of a head, heads behind positions."""
    sin, cos = gptj.create_sinusoidal_positions(64, width)[PLACES].chunk(2, dim=-1)
    q = torch.from_numpy(Q[..., :width]).transpose(1, 2)
    wanted = gptj.apply_rotary_pos_emb(q, sin, cos).transpose(1, 2)

    turned = rotate(Q, style="pairs", width=width, **WHERE)
    np.testing.assert_allclose(turned[..., :width], wanted, **NEAR)
    assert np.array_equal(turned[..., width:], Q[..., width:])


def test_every_kind_of_scaling_is_here() -> None:
    """A new one must be added."""
    assert SCALED.keys() - {"default"} == ROPE_INIT_FUNCTIONS.keys()
