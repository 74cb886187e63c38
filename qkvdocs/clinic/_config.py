# What a model's config declares of one of its attention modules, in the words of a contract. Where it leaves something
# to the code of its family, a table here says it; each entry was compared with that code (tests/parity).

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qkvdocs.clinic._contracts import Norm, Rotary
from qkvdocs.clinic._declared import KINDS, scaling_kind
from qkvdocs.clinic._known import slopes
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._relative import bucketed, disentangled, spans, tables, transformer_xl
from qkvdocs.clinic._scaling import mscale
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError

COMPARED = frozenset({
    "albert", "bart", "bert", "biogpt", "bloom", "clip_text_model", "clip_vision_model", "codegen", "cohere",
    "cohere2", "ctrl", "dbrx", "deberta", "deberta-v2", "deepseek_v2", "deepseek_v3", "deit", "dinov2",
    "distilbert", "electra", "ernie4_5", "esm", "exaone4", "falcon", "gemma", "gemma2", "gemma3_text", "glm",
    "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gpt_oss", "gptj", "granite", "gte",
    "helium", "hubert", "imagegpt", "jina_embeddings_v3", "llama", "llama4_text", "minimax", "mistral", "mixtral",
    "modernbert", "modernbert-decoder", "moshi", "mpnet", "mpt", "mt5", "nemotron", "nomic_bert", "olmo", "olmo2",
    "olmo3", "openai-gpt", "opt", "persimmon", "phi", "phi3", "prophetnet", "qwen2", "qwen2_moe", "qwen3",
    "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "roberta", "seed_oss", "siglip_vision_model",
    "smollm3", "stablelm", "starcoder2", "t5", "umt5", "vit", "wav2vec2", "whisper", "xglm", "xlnet",
})  # fmt: skip
"""Model types whose configs are known to be read rightly; of any other the clinic asks where it would accuse."""
PLUS_ONE = ("gemma2", "gemma3", "gemma3_text", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")
"""Model types whose norms multiply by one more than the file says."""
PARTS = {
    "phi": 0.5, "stablelm": 0.25, "nemotron": 0.5, "glm": 0.5, "glm4": 0.5, "gpt_neox": 0.25, "persimmon": 0.5,
}  # fmt: skip
"""The part of a head that is rotated, where a config leaves it out."""
SLIDING = ("mistral", "mixtral", "phi3", "starcoder2")
"""Model types all of whose layers have the window that the config names."""
CAUSAL = ("clip_text_model",)
"""Model types with a causal mask that names and classes do not tell."""
BOTH = ("xlnet",)
"""Model types without one."""
FLAT = {
    "dinov3_vit": "a rotation in two dimensions",
    "beit": "a bias of distances in two dimensions", "data2vec-vision": "a bias of distances in two dimensions",
    "swin": "windows and a bias in two dimensions", "swinv2": "windows and a bias in two dimensions",
    "sam_vision_model": "distances in two dimensions", "sam_hq_vision_model": "distances in two dimensions",
    "prophetnet self": "streams of its own for tokens further on",
    "timesformer": "two attentions, over time and over space",
}  # fmt: skip
"""Model types of which something is in no config: they are refused by name."""
WAY_OUT = "Write its contract by hand: Attention(layer, weights, score_bias=…)"


@dataclass
class Module:
    """One attention module of a model, as far as a file would tell of it."""

    kind: str
    """Its model type."""
    config: Mapping[str, Any]
    path: str
    use: str
    """`self`, `cross` or `encoder`."""
    rotary: str
    """`halves` or `pairs`, or empty."""
    module: Any
    load: Callable[[str], np.ndarray | None]
    """Gives a tensor by its whole name, or None."""
    names: list[str]
    """Tensors of the module, counted from it."""

    def own(self, name: str) -> np.ndarray | None:
        """Give one of its tensors."""
        return self.load(f"{self.path}.{name}")

    @property
    def number(self) -> int:
        """The number of its layer."""
        found = re.findall(r"\d+", self.path)
        return int(found[0]) if found else 0

    @property
    def layer(self) -> str:
        """What the config calls its layer."""
        types = self.config.get("layer_types") or self.config.get("attention_layers") or []
        return str(types[self.number]) if self.number < len(types) else ""


def declared_by(it: Module, W: QKVWeights | LatentWeights) -> dict[str, Any]:
    """Read what a config declares of one layer."""
    if why := FLAT.get(it.kind) or FLAT.get(f"{it.kind} {it.use}"):
        raise ContractError(f"{it.kind} has {why}, which its config does not tell. {WAY_OUT}")
    features: dict[str, Any] = {
        "memory": it.use == "cross",
        "causal": it.use != "cross" and _causal(it),
        "scale": _scale(it, W), "softcap": it.config.get("attn_logit_softcapping"), "sinks": it.own("sinks"),
        **_reach(it), **_positions(it, W),
    }  # fmt: skip
    if isinstance(W, QKVWeights):
        attention = it.config.get("attn_config") or {}
        features |= {"clip": it.config.get("clip_qkv") or attention.get("clip_qkv"), "norm": _norm(it, W)}
    if not _rotates(it):
        return features
    return features | {"rotary": _rotary(it, W.d_rotary if isinstance(W, LatentWeights) else W.d_head)}


def _causal(it: Module) -> bool:
    told = getattr(it.module, "is_causal", it.use == "self")
    return it.kind in CAUSAL or (bool(told) and it.kind not in BOTH)


def _scale(it: Module, W: QKVWeights | LatentWeights) -> float | None:
    config = it.config
    if it.kind in ("gpt_neo", "t5", "mt5", "umt5", "longt5"):
        return 1.0
    if it.kind in ("deberta", "deberta-v2"):
        return float((W.d_head * (1 + len(config.get("pos_att_type") or ()))) ** -0.5)
    if (scalar := config.get("query_pre_attn_scalar")) is not None:
        return float(scalar**-0.5)
    if isinstance(W, LatentWeights) and it.kind != "deepseek_v2":
        told = config.get("rope_parameters") or {}
        by = mscale(float(told.get("factor") or 1), float(told.get("mscale_all_dim") or 0))
        return float(W.d_head**-0.5 * by * by)
    told = (config.get("attn_config") or {}).get("softmax_scale") if it.kind == "mpt" else None
    return told or config.get("attention_multiplier")


def _reach(it: Module) -> dict[str, Any]:
    """Say how far queries see."""
    config, layer = it.config, it.layer
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    window = window or (config.get("local_attention") or 0) // 2
    if it.kind == "gpt_neo":
        return {"window": config["window_size"]} if layer == "local" else {}
    if layer == "chunked_attention":
        return {"chunk": config["attention_chunk_size"]}
    if not window or not (
        layer == "sliding_attention" or (not config.get("layer_types") and it.kind in SLIDING)
    ):
        return {}
    return {"window": int(window) + (it.use == "encoder")}  # to both sides, the last one is meant to be seen


def _rotates(it: Module) -> bool:
    config = it.config
    if it.use == "cross" or not (
        config.get("rope_theta") or "rotary_dim" in config or config.get("rope_parameters") or it.rotary
    ):
        return False
    if it.kind == "falcon":
        return not config.get("alibi")
    kept = config.get("no_rope_layers")
    if kept and not kept[it.number]:
        return False
    return not (
        it.layer == "full_attention"
        and (it.kind == "cohere2" or (it.kind in ("exaone4", "exaone_moe") and config.get("sliding_window")))
    )


def _rotary(it: Module, d_head: int) -> Rotary:
    config = it.config
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    told = dict(told.get(it.layer, told) or {})
    kind = scaling_kind(told)
    if kind not in KINDS:
        raise ContractError(
            f"rotation of type {kind}, such as one in two dimensions, which no contract declares"
        )
    base = float(told.get("rope_theta") or config.get("rope_theta") or 1e4)
    part = told.get("partial_rotary_factor") or config.get("partial_rotary_factor") or PARTS.get(it.kind, 1.0)
    width = d_head if kind == "proportional" else int(config.get("rotary_dim") or part * d_head)
    style = it.rotary or "halves"
    if config.get("kv_lora_rank"):
        style = "pairs" if config.get("rope_interleave", True) else "halves"
    if kind == "default":
        told = {}
    else:
        longest = config.get("max_position_embeddings")
        original = told.get("original_max_position_embeddings") or (longest if kind == "dynamic" else None)
        told["original_max_position_embeddings"] = original
        if told.get("factor") is None and original and longest:
            told["factor"] = longest / original
    return Rotary(style, base, width if width < d_head else None, rope_scaling=told or None)  # type: ignore[arg-type]


def _positions(it: Module, W: QKVWeights | LatentWeights) -> dict[str, Any]:
    """Say what is added to the scores."""
    config, heads = it.config, W.n_heads
    scale = _scale(it, W) or W.d_head**-0.5
    if it.kind == "bloom":
        return {"score_bias": "alibi"}
    if it.kind == "falcon" and config.get("alibi"):  # it is scaled with the scores
        return {"score_bias": slopes(heads) * scale}
    if it.kind == "mpt":
        power = 1 << (heads - 1).bit_length()
        rows = 2.0 ** (-np.arange(1, power + 1) * config["attn_config"].get("alibi_bias_max", 8) / power)
        return {"score_bias": (rows if power == heads else np.concatenate([rows[1::2], rows[::2]]))[:heads]}
    if it.kind in ("t5", "mt5", "umt5", "longt5", "mpnet") and it.use != "cross":
        stem = it.path.split(".block.")[0] if ".block." in it.path else it.path.split(".layer.")[0]
        first = f"{stem}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        table = it.own("relative_attention_bias.weight")
        table = next((t for t in (table, it.load(first), it.load(f"{stem}.relative_attention_bias.weight"))
                      if t is not None), None)  # fmt: skip
        if table is None:
            raise ContractError("its relative positions must stand beside it, got none")
        far = 128 if it.kind == "mpnet" else config.get("relative_attention_max_distance", 128)
        return {"score_bias": bucketed(table, it.use == "encoder", far)}
    if it.kind in ("deberta", "deberta-v2") and config.get("relative_attention"):
        return {"relative": _deberta(it, heads, scale)}
    if it.kind == "xlnet":
        parts = {name: it.own(name) for name in ("r", "r_w_bias", "r_r_bias")}
        return {"relative": transformer_xl({k: v for k, v in parts.items() if v is not None}, scale)}
    return {}


def _deberta(it: Module, heads: int, scale: float) -> Any:
    config, stem = it.config, it.path.split(".layer.")[0]
    rows = it.load(f"{stem}.rel_embeddings.weight")
    assert rows is not None  # noqa: S101  # the config says that there are some
    most = config.get("max_relative_positions", -1)
    most = most if most > 0 else config["max_position_embeddings"]
    kinds = config.get("pos_att_type") or ()
    if it.kind == "deberta":
        keys, queries = tables(it.load, f"{it.path}.self", ("pos_proj", "pos_q_proj"), rows, heads)
        return disentangled(keys, queries, scale, spans(most, -1, longest=True))
    if "layer_norm" in str(config.get("norm_rel_ebd", "none")):
        gain, bias = it.load(f"{stem}.LayerNorm.weight"), it.load(f"{stem}.LayerNorm.bias")
        rows = rows - rows.mean(-1, keepdims=True)
        rows = rows / np.sqrt((rows * rows).mean(-1, keepdims=True) + config["layer_norm_eps"]) * gain + bias
    names = ("key_proj", "query_proj") if config.get("share_att_key") else ("pos_key_proj", "pos_query_proj")
    keys, queries = tables(it.load, f"{it.path}.self", names, rows, heads)
    place = spans(most, config.get("position_buckets", -1), longest=False)
    return disentangled(keys if "c2p" in kinds else None, queries if "p2c" in kinds else None, scale, place)


def _norm(it: Module, W: QKVWeights) -> Norm | None:
    config = it.config
    eps = next((float(config[name]) for name in ("rms_norm_eps", "layer_norm_eps", "layernorm_epsilon")
                if config.get(name)), 1e-6)  # fmt: skip
    if it.kind == "llama4_text" and hasattr(it.module, "qk_norm"):
        return Norm("rms", "head", "after", eps=eps)
    found = (re.fullmatch(r"([qk])_(?:layer)?norm\.(weight|bias)", name) for name in it.names)
    held = {match.groups(): it.own(match[0]) for match in found if match}
    q, k = held.get(("q", "weight")), held.get(("k", "weight"))
    if q is None or k is None:
        if config.get("use_qk_norm") or config.get("qk_layernorm"):
            raise ContractError("its norms are of a kind that no contract declares")
        return None
    biases = held.get(("q", "bias")), held.get(("k", "bias"))
    layered = biases[0] is not None or it.kind.startswith("cohere")
    plus = 1.0 if it.kind in PLUS_ONE else 0.0
    wide = q.ndim == 1 and q.size == W.n_heads * W.d_head and W.n_heads > 1
    return Norm(
        "layer" if layered else "rms", "all" if wide else "head", "before", q + plus, k + plus, eps, *biases,
    )  # fmt: skip


def latent_weights(it: Module) -> LatentWeights:
    """Read the weights of latent attention under the names that DeepSeek gave them."""
    heads, plain = it.config["num_attention_heads"], it.config["qk_nope_head_dim"]
    rank = it.config["kv_lora_rank"]

    def made(name: str) -> np.ndarray:
        if it.own(f"{name}.bias") is not None:
            raise ContractError(f"{name} must have no bias, as no contract declares one there, got one")
        weight = it.own(f"{name}.weight")
        if weight is None:
            raise ContractError(
                f"{name} must be there, as latent attention has it, got {', '.join(it.names[:6])}"
            )
        return weight.T

    down, up = made("kv_a_proj_with_mqa"), made("kv_b_proj")
    up = up.reshape(rank, heads, -1)
    short = it.own("q_a_proj.weight") is not None
    return LatentWeights(
        W_DQ=made("q_a_proj") if short else None, W_UQ=made("q_b_proj" if short else "q_proj"),
        W_DKV=down[:, :rank], W_KR=down[:, rank:], W_UK=up[..., :plain].reshape(rank, -1),
        W_UV=up[..., plain:].reshape(rank, -1), W_O=made("o_proj"), n_heads=heads,
        q_norm=it.own("q_a_layernorm.weight"), kv_norm=it.own("kv_a_layernorm.weight"),
    )  # fmt: skip
