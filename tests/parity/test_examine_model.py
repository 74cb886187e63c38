"""Whole models: right ones of many types are never accused, in three precisions, and broken ones are named."""

import contextlib
import functools
import inspect
import sys
from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama as llama

from qkvdocs.clinic import Report, assert_healthy, examine_model
from qkvdocs.clinic._config import COMPARED
from qkvdocs.clinic._report import TOO_COARSE, UNDECLARED
from qkvdocs.errors import ContractError
from qkvdocs.wild._config import Config
from tests.parity.families import EXTRA, FAMILIES, LAYER, Family, decoder, encoder
from tests.parity.models import build, find_class
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
LATER = {
    "qwen2_vl vision", "cohere_compass vision", "qwen4_exp vision", "qwen3_omni_moe vision",
    "glm5_next vision", "ernie4_5_vl_moe vision", "glm_image vision", "dots3_note vision",
    "blip vision", "blip_2 vision", "instructblip vision", "instructblipvideo vision",
    "got_ocr2 vision", "vitdet", "mgp-str", "sam2 vision",
    "radio", "phi4_multimodal", "bark semantic", "bark coarse",
    "hrm_text",
}  # fmt: skip
"""Families that `wild` was compared with, and the clinic not yet: of those it would ask."""
EVERY = [family for family in (*FAMILIES, *EXTRA, *MORE) if family.name not in LATER]
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


def test_types_that_are_named_are_those_that_were_compared() -> None:
    """No more, and no fewer."""
    found = set()
    for family in EVERY:
        if family.name not in REFUSED:
            config = find_class(family.cls).config_class(**family.config).to_dict()
            found.add(Config(config).facts(family.path).model_types[-1])
    assert found == COMPARED


def test_a_type_that_was_never_compared_is_asked_about() -> None:
    """Differences of two attentions look like no bug that is known, and are none."""
    config = decoder | {"head_dim": 8}
    with torch.no_grad():
        report = examine_model(build(Family("diffllama", "DiffLlamaModel", config, LAYER), torch.float32))
    assert {finding.bug for finding in report.findings} == {UNDECLARED}
    assert "diffllama is read as most models are" in str(report)


@name("family", REFUSED)
def test_what_no_contract_declares_is_refused_by_name(family: str) -> None:
    """With the reason."""
    with pytest.raises(ContractError, match=REFUSED[family]), torch.no_grad():
        examine_model(of(family))


def of(name: str) -> Any:
    """Build the tiny model of a family."""
    return build(next(family for family in EVERY if family.name == name), torch.float32)


def attentions(model: Any) -> list[Any]:
    """Give the attention modules of a small model that have projections."""
    held = [{name.split(".")[0] for name, _ in part.named_parameters()} for part in model.modules()]
    wanted = (
        "k_proj",
        "k",
        "c_attn",
        "query_key_value",
        "Wqkv",
        "key",
        "q_b_proj",
        "pos_proj",
        "Wo",
        "in_proj",
    )
    return [part for part, names in zip(model.modules(), held, strict=True) if names & set(wanted)
            and any(child in dict(part.named_children()) or hasattr(part, child) for child in wanted)]  # fmt: skip


def code(part: Any) -> Any:
    """Give the file of transformers that a module is written in."""
    return sys.modules[type(part).__module__]


def swap(a: str, b: str) -> Any:
    """Let each of two layers compute what the other should."""

    def broken(part: Any, patch: pytest.MonkeyPatch) -> None:
        one, other = getattr(part, a).forward, getattr(part, b).forward
        patch.setattr(getattr(part, a), "forward", other)
        patch.setattr(getattr(part, b), "forward", one)

    return broken


def through(name: str, change: Any) -> Any:
    """Change what a layer of the module returns."""

    def broken(part: Any, patch: pytest.MonkeyPatch) -> None:
        layer = getattr(part, name)
        plain = layer.forward
        patch.setattr(layer, "forward", lambda *args, **kwargs: change(plain(*args, **kwargs)))

    return broken


def handed(**changes: Any) -> Any:
    """Change what the module is called with."""

    def broken(part: Any, patch: pytest.MonkeyPatch) -> None:
        plain = part.forward

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            named = inspect.signature(plain).bind(*args, **kwargs).arguments
            named |= named.pop("kwargs", {})
            return plain(**{**named, **{name: change(named) for name, change in changes.items()}})

        patch.setattr(part, "forward", forward)

    return broken


def function(name: str, other: Any) -> Any:
    """Put another function into the file that the module is written in."""
    return lambda part, patch: patch.setattr(code(part), name, other)


def put(name: str, value: Any) -> Any:
    """Change a field of the module."""
    return lambda part, patch: patch.setattr(part, name, value)


def causal(named: dict[str, Any]) -> torch.Tensor:
    """Make a mask without a window."""
    n = named["hidden_states"].shape[1]
    return torch.triu(torch.full((1, 1, n, n), -1e30), 1)


def unnormed(rows: torch.Tensor) -> torch.Tensor:
    """Norm nothing."""
    return rows


def in_halves(rows: torch.Tensor) -> torch.Tensor:
    """Read keys and values, stored head by head, as if all keys came first."""
    keys, values = rows.split([24, 20], -1)
    return torch.cat([keys.unflatten(-1, (4, 6)), values.unflatten(-1, (4, 5))], -1).flatten(2)


def halves(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Any:
    """Rotate halves where neighbours should be."""
    return llama.apply_rotary_pos_emb(q, k, cos[..., ::2].repeat(1, 1, 2), sin[..., ::2].repeat(1, 1, 2))


def head_by_head(part: Any, patch: pytest.MonkeyPatch) -> None:
    """Norm each head alone where all should be one row."""
    for norm in (part.q_norm, part.k_norm):
        patch.setattr(
            norm, "forward", lambda rows, norm=norm: norm.weight * torch.nn.functional.rms_norm(
                rows.unflatten(-1, (-1, 8)), (8,), eps=1e-5).flatten(2)
        )  # fmt: skip


BROKEN: list[tuple[str, str, Any]] = [
    ("llama (GQA)", "kv-head-order", function("repeat_kv", lambda rows, n: rows.repeat(1, n, 1, 1))),
    ("llama (GQA)", "scale", put("scaling", 1.0)),
    ("qwen2 (qkv bias)", "fused-order values-match swapped-projection", swap("k_proj", "v_proj")),
    ("qwen3 (q/k norm)", "qk-norm", lambda part, patch: patch.setattr(part.q_norm, "forward", unnormed)),
    ("qwen3 (q/k norm)", "qk-norm", swap("q_norm", "k_norm")),
    ("gemma2 (softcap)", "softcap", put("attn_logit_softcapping", None)),
    ("gemma3 (window)", "window", handed(attention_mask=causal)),
    ("gpt_oss (sinks)", "sink", function("eager_attention_forward", llama.eager_attention_forward)),
    ("gpt2", "fused-order swapped-projection", through("c_attn", lambda rows: torch.cat(rows.chunk(3, -1)[::-1], -1))),
    ("cohere", "rotary-style", function("apply_rotary_pos_emb", halves)),
    ("olmo2 (norm over all heads)", "qk-norm", head_by_head),
    ("mistral (window)", "window", handed(attention_mask=causal)),
    ("bloom", "score-bias", handed(alibi=lambda named: -named["alibi"])),
    ("mpt", "score-bias", handed(position_bias=lambda named: None)),
    ("falcon-7b (MQA)", "causality", handed(attention_mask=lambda named: 0 * named["attention_mask"])),
    ("t5 encoder", "scale", put("scaling", 12**-0.5)),
    ("t5 encoder", "score-bias", handed(position_bias=lambda named: torch.zeros(1, 4, 1, 1))),
    ("whisper decoder cross", "cross-source", handed(
        key_value_states=lambda named: None if named.get("key_value_states") is None else named["hidden_states"])),
    ("bert", "scale", put("scaling", 1 / 8)),
    ("deberta", "score-bias", put("relative_attention", False)),
    ("xlnet (3-D)", "", put("rel_shift_bnij", lambda scores, klen: scores[..., :klen])),
    ("persimmon", "qk-norm", lambda part, patch: patch.setattr(part.k_layernorm, "forward", unnormed)),
    ("llama4", "qk-norm", lambda part, patch: patch.setattr(part.qk_norm, "forward", unnormed)),
    ("deepseek_v3", "qk-norm", lambda part, patch: patch.setattr(part.kv_a_layernorm, "forward", unnormed)),
    ("deepseek_v3", "rotary-style", function("apply_rotary_pos_emb_interleave", llama.apply_rotary_pos_emb)),
    ("deepseek_v3", "fused-order", through("kv_b_proj", in_halves)),
    ("deepseek_v3 (yarn)", "scale", put("scaling", 10**-0.5)),
    ("qwen3_next (gate in q_proj)", "fused-order", through(
        "q_proj", lambda rows: rows.unflatten(-1, (2, 4, 16)).transpose(-2, -3).flatten(2))),
    ("exaone4", "kv-head-order", function("repeat_kv", lambda rows, n: rows.repeat(1, n, 1, 1))),
]  # fmt: skip


@name(("family", "bugs", "break_it"), BROKEN, ids=[f"{family}: {bugs}" for family, bugs, _ in BROKEN])
def test_a_model_whose_code_strays_from_its_config_is_named(
    family: str, bugs: str, break_it: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config says one thing and a module does another: a port gone wrong."""
    with torch.no_grad():
        model = of(family)
        for part in attentions(model):
            with contextlib.suppress(AttributeError):
                break_it(part, monkeypatch)
        report = examine_model(model, most=1)
    found = {bug for finding in report.findings for bug in finding.names}
    assert found, report
    assert not bugs or found & set(bugs.split()), report


def test_a_dozen_families_are_broken() -> None:
    """What is promised of them."""
    assert len({family.split(" ")[0] for family, _, _ in BROKEN}) >= 20


@name(("family", "field", "by"), [
    ("phi3 (longrope)", "attention_scaling", 0.5), ("llama (yarn)", "attention_scaling", 0.5),
    ("llama (llama3)", "inv_freq", 0.5), ("llama (GQA)", "inv_freq", 0.25), ("deepseek_v3 (yarn)", "inv_freq", 2.0),
])  # fmt: skip
def test_a_rotation_that_strays_from_its_config_is_seen(family: str, field: str, by: float) -> None:
    """A factor that is another, and angles that are."""
    with torch.no_grad():
        model = of(family)
        setattr(model.rotary_emb, field, getattr(model.rotary_emb, field) * by)
        assert not examine_model(model, most=1).healthy


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


def test_both_kinds_of_modules_of_one_model_are_examined() -> None:
    """SigLIP pools with nn.MultiheadAttention; its encoder's own modules are not passed over."""
    with torch.no_grad():
        tried = assert_healthy(of("siglip vision")).tried
    assert any("encoder.layers" in line for line in tried)
    assert any(line.startswith("head.attention") for line in tried)


def test_a_model_in_training_is_refused() -> None:
    """Dropout would be alive."""
    with pytest.raises(ContractError, match=r"^model must be in evaluation mode, got one in training"):
        examine_model(Small().train())
