"""Whole models: right ones of many types are never accused, in three precisions, and broken ones are named."""

from typing import Any

import pytest
import torch

from qkvdocs.clinic import Report, assert_healthy, examine_model
from qkvdocs.clinic._report import TOO_COARSE
from qkvdocs.errors import ContractError
from tests.parity.families import EXTRA, FAMILIES, LAYER, Family, decoder, encoder
from tests.parity.models import build
from tests.parity.test_latent import LATENT

name = pytest.mark.parametrize
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SLIDING = {"sliding_window": 3}
YARN = {
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 16, "beta_fast": 4.0,
    "mscale": 1.0, "mscale_all_dim": 0.7,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e3, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.5, 2.0, 3.0], "factor": 8.0,
    "long_factor": [2.0, 3.0, 4.0, 8.0], "original_max_position_embeddings": 32,
}  # fmt: skip
MORE = [
    Family(label, cls, config, LAYER)
    for label, cls, config in (
        ("deepseek_v2", "DeepseekV2Model", LATENT),
        ("deepseek_v3", "DeepseekV3Model", LATENT),
        ("deepseek_v3 (short queries only)", "DeepseekV3Model", LATENT | {"q_lora_rank": None}),
        ("deepseek_v3 (halves)", "DeepseekV3Model", LATENT | {"rope_interleave": False}),
        ("deepseek_v3 (yarn)", "DeepseekV3Model", LATENT | {"rope_parameters": YARN}),
        ("llama (llama3)", "LlamaModel", decoder | {"rope_parameters": LLAMA3}),
        ("llama (yarn)", "LlamaModel", decoder | {"rope_parameters": YARN}),
        ("llama (linear)", "LlamaModel",
         decoder | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
        ("llama (dynamic)", "LlamaModel", decoder | {"max_position_embeddings": 5, "rope_parameters": {
            "rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}),
        ("phi3 (longrope)", "Phi3Model", decoder | {"rope_parameters": LONGROPE, "max_position_embeddings": 256,
                                                    "original_max_position_embeddings": 32}),
        ("mistral (window)", "MistralModel", decoder | SLIDING),
        ("gemma2 (window)", "Gemma2Model", decoder | SLIDING | {"head_dim": 12, "query_pre_attn_scalar": 7}),
        ("gemma3 (window)", "Gemma3TextModel", decoder | SLIDING | {"head_dim": 12}),
        ("gpt_oss (window)", "GptOssModel",
         decoder | SLIDING | {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 12}),
        ("llama4 (chunks)", "Llama4TextModel", decoder | {
            "head_dim": 12, "num_local_experts": 2, "intermediate_size_mlp": 48, "attention_chunk_size": 4,
            "num_hidden_layers": 4}),
        ("modernbert (window)", "ModernBertModel", encoder | {
            "global_attn_every_n_layers": 2, "local_attention": 4, "cls_token_id": 1, "sep_token_id": 2,
            "bos_token_id": 1, "eos_token_id": 2}),
        ("bloom (6 heads)", "BloomModel",
         {"vocab_size": 97, "hidden_size": 36, "n_head": 6, "n_layer": 2}),
        ("mpt (6 heads)", "MptModel",
         {"vocab_size": 97, "d_model": 36, "n_heads": 6, "n_layers": 2, "max_seq_len": 64}),
        ("mpt (clipped)", "MptModel", {"vocab_size": 97, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64,
                                       "attn_config": {"clip_qkv": 1.5}}),
        ("deberta-v2 (shared)", "DebertaV2Model", encoder | {
            "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4,
            "share_att_key": True, "norm_rel_ebd": "layer_norm"}),
        ("mt5", "MT5Model", {"vocab_size": 97, "d_model": 32, "d_kv": 12, "num_heads": 4, "num_layers": 2, "d_ff": 48}),
        ("umt5", "UMT5Model", {"vocab_size": 97, "d_model": 32, "d_kv": 12, "num_heads": 4, "num_layers": 2,
                               "d_ff": 48, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 6}),
        ("ernie4_5", "Ernie4_5Model", decoder),
        ("seed_oss", "SeedOssModel", decoder | {"head_dim": 12}),
    )
]  # fmt: skip
EVERY = [*FAMILIES, *EXTRA, *MORE]
REFUSED = {
    "dinov3 (k without bias)": "two dimensions", "beit (k without bias)": "two dimensions",
    "swin": "two dimensions", "sam vision (qkv)": "two dimensions", "sam_hq vision": "two dimensions",
    "timesformer": "two attentions",
    **{one.name: "two dimensions" for one in EVERY if one.inputs == "patches"},
}  # fmt: skip
"""What no contract declares: each says so, and what to do."""
WRONG = {"falcon-rw (alibi, bias)": "score-bias"}
"""Falcon in transformers 5.23.0 adds ALiBi twice where attention is eager: the clinic names it."""


def reports(dtype: torch.dtype) -> dict[str, Report]:
    """Examine tiny models of all families."""
    made = {}
    for family in EVERY:
        if family.name not in REFUSED:
            with torch.no_grad():
                made[family.name] = examine_model(build(family, dtype), most=1)
    return made


@name("dtype", DTYPES, ids=str)
def test_no_right_model_is_accused(dtype: torch.dtype) -> None:
    """A hundred models of eighty types; what half precision cannot tell, it says so."""
    known = reports(dtype)
    for family, bug in WRONG.items():
        found = {finding.bug for finding in known.pop(family).findings}
        assert found <= {bug, TOO_COARSE}, family
        assert bug in found or dtype != torch.float32
    accused = {
        family: str(report)
        for family, report in known.items()
        if {finding.bug for finding in report.findings} - {TOO_COARSE}
    }
    assert not accused
    healthy = [family for family, report in known.items() if report.healthy]
    assert len(known) >= 90
    least = {torch.float32: 1, torch.float16: 0.8, torch.bfloat16: 0.7}[dtype]
    assert len(healthy) >= least * len(known), sorted(set(known) - set(healthy))


@name("family", REFUSED)
def test_what_no_contract_declares_is_refused_by_name(family: str) -> None:
    """With the reason."""
    with pytest.raises(ContractError, match=REFUSED[family]), torch.no_grad():
        examine_model(of(family))


def of(name: str) -> Any:
    """Build the tiny model of a family."""
    return build(next(family for family in EVERY if family.name == name), torch.float32)


BROKEN: dict[str, tuple[str, Any]] = {
    "softcap": ("gemma2 (softcap)", lambda m: setattr(m.layers[0].self_attn, "attn_logit_softcapping", None)),
    "scale": ("llama", lambda m: setattr(m.layers[0].self_attn, "scaling", 1.0)),
    "qk-norm": (
        "qwen3 (norm)",
        lambda m: setattr(m.layers[0].self_attn.q_norm, "forward", lambda rows: rows),
    ),
    "rotary-style": ("llama", lambda m: m.rotary_emb.inv_freq.mul_(0.5)),
}


@name("bug", BROKEN)
def test_a_model_whose_code_strays_from_its_config_is_named(bug: str) -> None:
    """The config says one thing and a module does another: a port gone wrong."""
    family, break_it = BROKEN[bug]
    family = next((one.name for one in EVERY if one.name.startswith(family.split(" ")[0])), family)
    with torch.no_grad():
        model = of(family)
        break_it(model)
        assert bug in {name for finding in examine_model(model).findings for name in finding.names}


class Small(torch.nn.Module):
    """Attention as nanoGPT writes it."""

    def __init__(self, causal: bool = True) -> None:
        super().__init__()
        self.c_attn, self.c_proj = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)
        self.n_head, self.causal = 4, causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in self.c_attn(x).split(32, 2))
        made = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: torch.Tensor = self.c_proj(made.transpose(1, 2).flatten(2))
        return out


@name("dtype", DTYPES, ids=str)
def test_modules_that_are_no_models_of_transformers(dtype: torch.dtype) -> None:
    """nn.MultiheadAttention in both orders of axes, and nanoGPT's; one of them without its mask."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in (
            torch.nn.MultiheadAttention(32, 4),
            torch.nn.MultiheadAttention(32, 4, batch_first=True, bias=False),
            torch.nn.Sequential(Small(), Small()),
        ):
            for parameter in module.parameters():
                parameter.normal_(std=0.3)
            assert_healthy(module.eval().to(dtype))
        leaky = Small(causal=False).eval().to(dtype)
        assert {finding.bug for finding in examine_model(leaky).findings} == {"causality"}


def test_a_model_in_training_is_refused() -> None:
    """Dropout would be alive."""
    with pytest.raises(ContractError, match=r"^model must be in evaluation mode, got one in training"):
        examine_model(Small().train())
