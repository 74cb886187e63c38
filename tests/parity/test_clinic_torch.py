"""Right implementations of torch and transformers raise no alarm; broken ones in torch are named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from qkvdocs.clinic import Attend, Attention, Rotary, Step, assert_healthy, examine, weights_from

name = pytest.mark.parametrize


def random(module: torch.nn.Module) -> torch.nn.Module:
    """Draw every parameter, so that a lost bias is seen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.eval()


@name("n_kv_heads", [4, 2])
@name("dtype", [torch.float32, torch.float64])
def test_scaled_dot_product_attention(n_kv_heads: int, dtype: torch.dtype) -> None:
    """Torch's own, with groups and without."""
    assert_healthy(
        Attend(
            lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True),
            n_kv_heads=n_kv_heads, like=torch.zeros(1, dtype=dtype),
        )
    )  # fmt: skip


def test_the_kind_of_array_is_found_out() -> None:
    """Without `like`, torch is tried because it is loaded."""
    assert_healthy(Attend(functional.scaled_dot_product_attention))


def test_sdpa_is_causal_from_the_top_left() -> None:
    """What torch's flag does with fewer queries than keys is the bug of pytorch#108108."""
    report = examine(
        Attend(
            lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
            causal=True,
        )
    )
    assert [finding.bug for finding in report.findings] == ["mask-alignment"]


@name("bias", [True, False])
@name("causal", [True, False])
def test_multihead_attention(bias: bool, causal: bool) -> None:
    """A whole module, with its weights."""
    layer = random(torch.nn.MultiheadAttention(32, 4, bias=bias, batch_first=True))
    weights = layer.in_proj_weight.chunk(3)
    biases = layer.in_proj_bias.chunk(3) if bias else [None] * 3
    q, k, v = zip(weights, biases, strict=True)

    def run(x: torch.Tensor) -> torch.Tensor:
        # Here True hides: the opposite of scaled_dot_product_attention.
        mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if causal else None
        return layer(x, x, x, attn_mask=mask, need_weights=False)[0]

    assert_healthy(Attention(run, weights_from(q, k, v, layer.out_proj, n_heads=4), causal=causal))


def test_multihead_attention_read_as_the_other_function() -> None:
    """The same module with the mask of scaled_dot_product_attention."""
    layer = random(torch.nn.MultiheadAttention(32, 4, batch_first=True))
    q, k, v = zip(layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)

    def run(x: torch.Tensor) -> torch.Tensor:
        return layer(x, x, x, attn_mask=torch.ones(x.shape[1], x.shape[1]).tril().bool(), need_weights=False)[
            0
        ]

    report = examine(Attention(run, weights_from(q, k, v, layer.out_proj, n_heads=4), causal=True))
    assert "mask-polarity" in {name for finding in report.findings for name in finding.names}


def test_sequence_first_module_leaks_between_texts() -> None:
    """nn.MultiheadAttention without batch_first, given a batch first."""
    layer = random(torch.nn.MultiheadAttention(32, 4))
    report = examine(Attention(lambda x: layer(x, x, x)[0], d_model=32))
    assert [finding.bug for finding in report.findings] == ["batch-leak"]


CONFIG = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
    "vocab_size": 9,
}
ROTARY = ("Llama", "Mistral", "Qwen2", "Gemma")


def build(family: str, implementation: str, **more: Any) -> Any:
    """Build a tiny model with every parameter random."""
    config = getattr(transformers, f"{family}Config")(**CONFIG, **more)
    config._attn_implementation = implementation
    return random(getattr(transformers, f"{family}Model")(config))


def mask_of(x: torch.Tensor) -> torch.Tensor:
    """A causal mask to be added, as these modules take it."""
    return torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)[None, None]


@name("implementation", ["eager", "sdpa"])
@name("family", ROTARY)
def test_rotary_families(family: str, implementation: str) -> None:
    """LLaMA and three relatives: rotary halves, grouped heads, biases in Qwen2."""
    model = build(family, implementation, num_key_value_heads=2, head_dim=8)
    layer = model.layers[0].self_attn

    def run(x: torch.Tensor) -> torch.Tensor:
        turned = model.rotary_emb(x, torch.arange(x.shape[1])[None])
        return layer(x, position_embeddings=turned, attention_mask=mask_of(x))[0]

    weights = weights_from(layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj, n_heads=4, n_kv_heads=2)
    base = model.config.rope_parameters["rope_theta"]
    report = assert_healthy(Attention(run, weights, causal=True, rotary=Rotary("halves", base)))
    assert report.tried


def test_a_family_declared_wrongly_is_named() -> None:
    """LLaMA said to rotate in pairs: the mistake that moves the output least."""
    model = build("Llama", "eager", num_key_value_heads=2, head_dim=8)
    layer = model.layers[0].self_attn

    def run(x: torch.Tensor) -> torch.Tensor:
        turned = model.rotary_emb(x, torch.arange(x.shape[1])[None])
        return layer(x, position_embeddings=turned, attention_mask=mask_of(x))[0]

    weights = weights_from(layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj, n_heads=4, n_kv_heads=2)
    report = examine(Attention(run, weights, causal=True, rotary=Rotary("pairs")))
    assert [finding.bug for finding in report.findings] == ["rotary-style"]


def test_llama_with_its_own_cache() -> None:
    """DynamicCache, in all schedules."""
    model = build("Llama", "eager", num_key_value_heads=2, head_dim=8)
    layer = model.layers[0].self_attn

    def step(x: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        past = cache.get_seq_length()
        turned = model.rotary_emb(x, past + torch.arange(x.shape[1])[None])
        n, m = x.shape[1], past + x.shape[1]
        mask = torch.full((n, m), -torch.inf).triu(m - n + 1)[None, None]
        return layer(x, position_embeddings=turned, attention_mask=mask, past_key_values=cache)[0], cache

    weights = weights_from(layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj, n_heads=4, n_kv_heads=2)
    assert_healthy(Step(step, weights, rotary=Rotary(), start=transformers.DynamicCache))


def test_bert() -> None:
    """An encoder; its output projection stands in a sibling module, with a residual and a norm."""
    layer = build("Bert", "eager").encoder.layer[0].attention
    own = layer.self
    weights = weights_from(own.query, own.key, own.value, n_heads=4)
    assert_healthy(Attention(lambda x: own(x)[0], weights))


def test_gpt2() -> None:
    """Conv1D stores (in, out), all three in one."""
    config = transformers.GPT2Config(
        n_embd=32, n_head=4, n_layer=1, vocab_size=9, attn_pdrop=0, resid_pdrop=0
    )
    config._attn_implementation = "eager"
    layer = random(transformers.GPT2Model(config)).h[0].attn
    q, k, v = zip(layer.c_attn.weight.chunk(3, dim=1), layer.c_attn.bias.chunk(3), strict=True)
    weights = weights_from(q, k, v, layer.c_proj, n_heads=4, stored="in, out")
    assert_healthy(Attention(lambda x: layer(x, attention_mask=mask_of(x))[0], weights, causal=True))


def test_gpt2_cut_head_by_head_is_named() -> None:
    """The right module, its weights read as NeoX stores them: the reader's error is the same error."""
    config = transformers.GPT2Config(
        n_embd=32, n_head=4, n_layer=1, vocab_size=9, attn_pdrop=0, resid_pdrop=0
    )
    config._attn_implementation = "eager"
    layer = random(transformers.GPT2Model(config)).h[0].attn

    def heads(array: torch.Tensor) -> list[torch.Tensor]:
        cut = array.reshape(*array.shape[:-1], 4, 3, 8)
        return [cut[..., i, :].reshape(*array.shape[:-1], 32) for i in range(3)]

    q, k, v = zip(heads(layer.c_attn.weight), heads(layer.c_attn.bias), strict=True)
    weights = weights_from(q, k, v, layer.c_proj, n_heads=4, stored="in, out")
    report = examine(Attention(lambda x: layer(x, attention_mask=mask_of(x))[0], weights, causal=True))
    assert not report.healthy


def test_whisper_has_no_key_bias_and_no_mask() -> None:
    """Two more families."""
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=8, decoder_ffn_dim=8, vocab_size=60, pad_token_id=0, num_mel_bins=8,
    )  # fmt: skip
    config._attn_implementation = "eager"
    layer = random(transformers.WhisperModel(config)).encoder.layers[0].self_attn
    weights = weights_from(layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj, n_heads=4)
    assert weights.b_K is None
    assert_healthy(Attention(lambda x: layer(x)[0], weights))


@name(
    ("bug", "function"),
    [
        ("scale", lambda q, k, v, m: functional.scaled_dot_product_attention(q, k, v, m, scale=1.0)),
        ("mask-polarity", lambda q, k, v, m: functional.scaled_dot_product_attention(q, k, v, m if m is None else ~m)),
        ("causality", lambda q, k, v, m: functional.scaled_dot_product_attention(q, k, v)),
        ("dtype-loss", lambda q, k, v, m: functional.scaled_dot_product_attention(q.half(), k.half(), v.half(), m)),
        ("in-place", lambda q, k, v, m: functional.scaled_dot_product_attention(q.mul_(1.0), k.add_(1), v, m)),
    ],
)  # fmt: skip
def test_bugs_in_torch(bug: str, function: Any) -> None:
    """The same probes see what torch code does wrong."""
    assert [finding.bug for finding in examine(Attend(function)).findings] == [bug]


def test_arrays_keep_their_kind() -> None:
    """The function is handed torch tensors, and gets no numpy array by accident."""
    seen = set()

    def attend(q: Any, k: Any, v: Any, mask: Any) -> Any:
        seen.update(type(item) for item in (q, k, v, mask))
        return functional.scaled_dot_product_attention(q, k, v, mask)

    examine(Attend(attend, like=torch.zeros(1)))
    assert seen == {torch.Tensor, type(None)}


def test_bfloat16_is_held_to_its_own_precision() -> None:
    """Coarse numbers are no alarm."""
    assert examine(
        Attend(functional.scaled_dot_product_attention, like=torch.zeros(1, dtype=torch.bfloat16))
    ).healthy


def test_a_module_is_given_its_own_dtype() -> None:
    """Its first parameter tells."""
    layer = random(torch.nn.Linear(8, 8).double())
    report = examine(Attention(layer, d_model=8, causal=True))
    assert report.healthy
    assert np.isfinite(len(report.untested))


ROOT = Path(__file__).parents[2]


FIVE = (ROOT / "tests/parity/five_lines.py").read_text("utf-8")


def test_the_five_lines_that_are_shown_run() -> None:
    """The helper on a real module, as the clinic's first page shows it."""
    assert len([line for line in FIVE.splitlines() if line]) == 5
    assert "five_lines.py" in (ROOT / "docs/clinic/index.md").read_text("utf-8")
    exec(compile(FIVE, "five_lines.py", "exec"), {})


def test_the_readme_shows_the_same_five() -> None:
    """If it shows the helper on a torch module, then word for word."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert FIVE in text or "weights_from" not in text
