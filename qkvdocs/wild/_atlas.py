# One row a family. A fused name says nothing about the order inside it, and several families share a name
# with different orders: such a row holds for the `model_type`s it lists, each compared in tests/parity.

from dataclasses import dataclass, replace
from typing import Any

from qkvdocs.wild._layout import Layout

FULL: dict[str, Any] = {"grouped": False, "square": True}
"""As many key heads as query heads, together as wide as the token row."""


def _separate(family: str, names: str, *out: str, **rest: Any) -> Layout:
    return Layout(family=family, tensors=dict(zip(names.split(), "qkv", strict=True)), out=out, **rest)


def _fused(family: str, name: str, *out: str, order: str = "qkv", **rest: Any) -> Layout:
    return Layout(family=family, tensors={name: order}, out=out, **rest)


ATLAS: tuple[Layout, ...] = (
    # One tensor, the roles side by side.
    _fused("GPT-2", "c_attn.{}", "c_proj.{}", columns=("c_attn.{}", "c_proj.{}"), always="qkvo", **FULL,
           models=("gpt2", "openai-gpt", "imagegpt", "decision_transformer")),
    _fused("nanoGPT", "c_attn.{}", "c_proj.{}", models=("nanogpt",), **FULL),
    _fused("Qwen", "c_attn.{}", "c_proj.{}", models=("qwen",), bias="qkv", grouped=False),
    _fused("timm", "qkv.{}", "proj.{}", biases={"q": "q_bias", "v": "v_bias"}, models=("timm",), **FULL),
    _fused("timm, by heads", "qkv.{}", "proj.{}", blocks="n_kv_heads", models=("timm, by heads",), **FULL),
    _fused("ChatGLM", "query_key_value.{}", "dense.{}", models=("chatglm, grouped",)),
    _fused("ChatGLM, not grouped", "query_key_value.{}", "dense.{}", blocks="n_kv_heads", models=("chatglm, whole",),
           grouped=False),
    _fused("GTE", "qkv_proj.{}", "o_proj.{}", models=("gte",), **FULL),
    _fused("Phi-3", "qkv_proj.{}", "o_proj.{}", models=("phi3", "phi4_multimodal"), bias=""),
    _fused("MPT", "Wqkv.{}", "out_proj.{}", models=("mpt",), bias="", **FULL),
    _fused("DBRX", "Wqkv.{}", "out_proj.{}", models=("dbrx",), bias="", square=True),
    _fused("ModernBERT", "Wqkv.{}", "Wo.{}", "out_proj.{}", models=("modernbert", "nomic_bert", "jina_embeddings_v3"),
           **FULL),
    _fused(
        "SAM, Qwen-VL", "qkv.{}", "proj.{}", models=(
            "sam", "sam_vision_model", "sam_hq", "sam_hq_vision_model",
            "qwen2_5_vl", "qwen2_5_vl_vision", "qwen3_vl", "qwen3_vl_vision", "qwen3_vl_moe", "qwen3_vl_moe_vision",
            "qwen3_5", "qwen3_5_vision", "qwen3_5_moe", "qwen3_5_moe_vision",
            "glm4v", "glm4v_vision", "glm4v_moe", "glm4v_moe_vision", "glm_ocr", "glm_ocr_vision", "exaone4_5_vision",
            "qwen2_vl", "qwen2_vl_vision", "ernie4_5_vl_moe_vision", "glm_image_vision", "got_ocr2_vision", "mgp-str",
            "hiera", "qianfan_ocr_vision", "radio", "sam2_hiera_det_model", "seggpt", "tipsv2_vision_model", "vitdet",
            "unlimited_ocr_sam_vision_model", "dots3_note_vision_encoder",
            "cohere_compass_vision", "glm5_next_vision", "qwen4_exp_vision", "qwen3_omni_moe_vision_encoder",
            "florence_vision",
        ), **FULL,
    ),
    _fused("BLIP", "qkv.{}", "projection.{}", models=(
        "blip_vision_model", "blip_2_vision_model", "instructblip_vision_model", "instructblipvideo_vision_model",
    ), **FULL),
    _fused("Bark", "att_proj.{}", "out_proj.{}", models=("semantic", "coarse_acoustics", "fine_acoustics"), **FULL),
    _fused("Molmo 2", "att_proj.{}", "attn_out.{}", models=("molmo2_text",), bias="qkv"),
    _fused("HRM", "gqkv_proj.{}", "o_proj.{}", order="gqkv", models=("hrm_text",), bias="", grouped=False),
    Layout(
        family="Granite Speech", tensors={"to_q.{}": "q", "to_kv.{}": "kv"}, out=("to_out.{}",),
        models=("granite_speech_encoder", "granite_speech_plus_encoder"), bias="o", grouped=False,
    ),
    _fused("Nemotron ASR", "w_qkv.{}", "out_proj.{}", models=("nemotron3_5_transcribe_asr_audio",), bias="o", **FULL),
    _fused("TimeSformer", "attention.qkv.{}", "output.dense.{}", models=("timesformer",), **FULL),
    _fused("nn.MultiheadAttention", "in_proj_{}", "out_proj.{}", **FULL),
    # One tensor, the roles head by head.
    _fused("GPT-NeoX", "query_key_value.{}", "dense.{}", blocks="n_kv_heads", always="qkvo", **FULL,
           models=("gpt_neox", "gpt_neox_japanese")),
    _fused("BLOOM", "query_key_value.{}", "dense.{}", blocks="n_kv_heads", models=("bloom",), always="qkvo", **FULL),
    _fused("Persimmon", "query_key_value.{}", "dense.{}", blocks="n_kv_heads", models=("persimmon",), always="qkvo",
           **FULL),
    _fused("Falcon", "query_key_value.{}", "dense.{}", blocks="n_kv_heads", models=("falcon",), square=True),
    _fused("InternLM2", "wqkv.{}", "wo.{}", blocks="n_kv_heads", models=("internlm2",), bias=""),
    _fused("Megatron-core", "self_attention.linear_qkv.{}", "self_attention.linear_proj.{}", blocks="n_kv_heads"),
    _fused("GPT-BigCode", "c_attn.{}", "c_proj.{}", blocks="n_kv_heads", models=("gpt_bigcode",), always="qkvo",
           square=True),
    _fused("CodeGen", "qkv_proj.{}", "out_proj.{}", order="qvk", blocks=4, models=("codegen",), bias="", **FULL),
    _fused("DeBERTa", "self.in_proj.{}", "output.dense.{}", blocks="n_kv_heads", models=("deberta",),
           biases={"q": "self.q_bias", "v": "self.v_bias"}, bias="qvo", always="qvo", **FULL),
    # Three tensors, but one holds more than its name says.
    Layout(
        family="Qwen3-Next", tensors={"q_proj.{}": "qg", "k_proj.{}": "k", "v_proj.{}": "v"},
        out=("o_proj.{}",), blocks="n_heads", models=("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"),
    ),
    # Three tensors: names that belong to one family.
    _separate("Whisper", "q_proj.{} k_proj.{} v_proj.{}", "out_proj.{}", models=("whisper",), bias="qvo", always="qvo",
              **FULL),
    _separate("LLaMA", "q_proj.{} k_proj.{} v_proj.{}", "o_proj.{}", models=("llama", "mistral", "mixtral")),
    _separate(
        "BERT", "self.query.{} self.key.{} self.value.{}", "output.dense.{}",
        models=("bert", "roberta", "electra"), always="qkvo", **FULL,
    ),
    _separate(
        "ViT", "attention.query.{} attention.key.{} attention.value.{}", "output.dense.{}",
        models=("vit", "deit"), **FULL,
    ),
    # Three tensors, each with a name that leaves no doubt.
    _separate(
        "q_proj, k_proj, v_proj", "q_proj.{} k_proj.{} v_proj.{}",
        "o_proj.{}", "out_proj.{}", "dense.{}", "proj.{}", "projection_layer.{}", "Wo.{}",
        "output_projection.o_proj.{}",
    ),
    _separate("query, key, value", "query.{} key.{} value.{}", "dense.{}", "proj.{}", "output.{}", "out_proj.{}"),
    _separate(
        "self.query, key, value", "self.query.{} self.key.{} self.value.{}", "output.dense.{}", "output.{}",
    ),
    _separate("DeBERTa-v2", "self.query_proj.{} self.key_proj.{} self.value_proj.{}", "output.dense.{}"),
    _separate(
        "attention.query, key, value", "attention.query.{} attention.key.{} attention.value.{}",
        "output.dense.{}", "output.{}",
    ),
    _separate(
        "Reformer, local", "self_attention.query.{} self_attention.key.{} self_attention.value.{}", "output.dense.{}",
        bias="",
    ),
    _separate("LXMERT", "att.query.{} att.key.{} att.value.{}", "output.dense.{}"),
    _separate(
        "Longformer's encoder-decoder",
        "longformer_self_attn.query.{} longformer_self_attn.key.{} longformer_self_attn.value.{}", "output.{}",
    ),
    _separate("CPM-Ant", "project_q.{} project_k.{} project_v.{}", "attention_out.{}"),
    _separate("Inkling", "wq_du.{} wk_dv.{} wv_dv.{}", "wo_ud.{}"),
    _separate("ProphetNet", "query_proj.{} key_proj.{} value_proj.{}", "out_proj.{}"),
    _separate("Moshi", "q_proj.linear.{} k_proj.linear.{} v_proj.linear.{}", "o_proj.linear.{}", "post.linear.{}"),
    _separate("DistilBERT", "q_lin.{} k_lin.{} v_lin.{}", "out_lin.{}", **FULL),
    _separate("q, k, v, o", "q.{} k.{} v.{}", "o.{}", "proj.{}"),
    _separate("Conformer", "linear_q.{} linear_k.{} linear_v.{}", "linear_out.{}"),
    _separate("LLaMA, Meta's names", "wq.{} wk.{} wv.{}", "wo.{}", bias=""),
    _separate("Sapiens", "wq.{} wk.{} wv.{}", "proj.{}"),
    _separate("llama.cpp", "attn_q.{} attn_k.{} attn_v.{}", "attn_output.{}", "attn_out.{}", "attn_o.{}"),
    _fused("llama.cpp, fused", "attn_qkv.{}", "attn_output.{}", "attn_out.{}"),
    _separate("diffusers", "to_q.{} to_k.{} to_v.{}", "to_out.0.{}", "to_out.{}", "out_proj.{}"),
    _separate(
        "diffusers, second stream", "attn.add_q_proj.{} attn.add_k_proj.{} attn.add_v_proj.{}", "attn.to_add_out.{}",
    ),
    _separate("CTRL", "Wq.{} Wk.{} Wv.{}", "dense.{}", always="qkvo", **FULL),
    _separate("attn.q_proj", "attn.q_proj.{} attn.k_proj.{} attn.v_proj.{}", "proj.{}", "post.{}"),
    _separate("XLNet", "q k v", "o", columns=("q", "k", "v"), axes=3, bias="", grouped=False),
)  # fmt: skip
"""The layouts, tried in this order."""


@dataclass(frozen=True, kw_only=True)
class LatentNames:
    """What the parts of latent attention are called; an empty name where a family has no such part."""

    family: str
    q: str
    """Queries straight from the token row; in their place, `q_down`, `q_norm` and `q_up`."""
    q_down: str
    q_norm: str
    q_up: str
    down: str
    """The short row, and the rotated part of the key behind it."""
    norm: str
    up: str
    """Keys and values out of the short row, head by head; in its place, `up_k` and `up_v`."""
    out: str
    up_k: str = ""
    up_v: str = ""
    cut: str = "in parts"


DEEPSEEK = LatentNames(
    family="DeepSeek", q="q_proj", q_down="q_a_proj", q_norm="q_a_layernorm", q_up="q_b_proj",
    down="kv_a_proj_with_mqa", norm="kv_a_layernorm", up="kv_b_proj", out="o_proj",
)  # fmt: skip
MISTRAL = LatentNames(
    family="Mistral", q="wq", q_down="wq_a", q_norm="q_a_norm", q_up="wq_b",
    down="wkv_a_with_mqa", norm="kv_a_norm", up="wkv_b", out="wo",
)  # fmt: skip
LATENT = (
    DEEPSEEK, replace(DEEPSEEK, family="Bailing", out="dense"),
    replace(MISTRAL, family="DeepSeek's own names", q_norm="q_norm", down="wkv_a", norm="kv_norm"),
    MISTRAL, replace(MISTRAL, family="Mistral, text alone", out="o_proj"),
    LatentNames(
        family="llama.cpp, latent", q="attn_q", q_down="attn_q_a", q_norm="attn_q_a_norm", q_up="attn_q_b",
        down="attn_kv_a_mqa", norm="attn_kv_a_norm", up="attn_kv_b", out="attn_output",
        up_k="attn_k_b", up_v="attn_v_b",
    ),
)  # fmt: skip
"""Latent attention (MLA), whose keys and values come out of one short row by a second matrix."""

SUM = "queries that are the sum of a content and a position projection (conditional DETR)"

BREAKS: dict[str, str] = {
    "sampling_offsets.{}": "deformable attention: a query chooses the points that it looks at, so there is no W_K",
    "query_key.{}": "a shared matrix for queries and keys (Reformer)",
    "receptance.{}": "the time mixing of RWKV, which keeps a state and has no queries",
    "conv_qkv.{}": "a convolution instead of a projection",
    "projection_query.{}": "a depthwise convolution before each projection (CvT)",
    "q_content_proj.{}": SUM,
    "sa_qcontent_proj.{}": SUM,
    "multihead_attn.in_proj_{}": "projections before those of the nn.MultiheadAttention in it, one behind the other",
    "cls_token": "pooling by one learned query, so there is no W_Q",
    "experts.input_linear.{}": "a mixture of experts in the place of W_Q and W_O (JetMoE)",
    "w_g": "additive attention: all queries are pooled to one, and there is no W_V (SwiftFormer)",
    "proj_out.{}": "attention of an image's places in one head, by convolutions of 1 × 1",
    "wo_a.{}": "queries through a short row, one row for all keys and values, and an output in groups (DeepSeek V4)",
    "qkv_proj.convolution.{}": "separable attention: one column of scores pools the keys to one row (MobileViTv2)",
    "queries_keys_values.linear.{}": "projections with a batch norm behind each (LeViT)",
    "conv_qk_depthwise.{}": "a convolution behind the projections of queries and keys (ZAYA)",
    "attn_layer.{}": "a gate on channels: a softmax over a row itself, without Q, K and V (PatchTSMixer)",
}
"""Tensor names of attention that has no W_Q, W_K and W_V to give, and what it is: such modules are listed."""

BESIDE: dict[str, str] = {
    "cls_token": "k_proj.weight", "proj_out.{}": "q.weight", "multihead_attn.in_proj_{}": "q_proj.weight",
    "experts.input_linear.{}": "kv_proj.weight",
}  # fmt: skip
"""What must stand beside such a name where others bear it, too."""

CALLED: dict[str, str] = {
    "pointer": "a pointer, whose scores are what it gives: there is no W_V",
    "channel_attn": "attention of channels among each other, in groups, rather than of tokens (DaViT)",
    "bottleneck.attention": "the bottleneck in front of attention, which makes its rows narrower (MobileBERT)",
}
"""In a module's last two names: attention that is not of tokens, gives no values, or is none."""

STATE = "linear attention, which keeps a state and no keys and values of its own"
STATEFUL = ("A_log", "dt_bias", "diagonal_decay", "slope_rate")
"""Tensors beside projections that make it linear attention."""

ADAPTER = "an adapter, which is added to a checkpoint and is none itself. Give it with its base: read(base, adapter=…)"
WRAPPED = "a weight inside an adapter. Merge the adapter first"
PACKED = "a weight quantised {}: it means nothing without its scales. Use the checkpoint before quantisation"
ADDED: dict[str, str] = {
    "qweight": PACKED.format("by GPTQ or AWQ"),
    "weight_packed": PACKED.format("by compressed-tensors"),
    "W_q": PACKED.format("by HQQ"),
    "codebooks": PACKED.format("by AQLM"),
    "weight._data": PACKED.format("by quanto"),
    "q_weight": PACKED.format("by ExLlamaV2"),
    "trellis": PACKED.format("by ExLlamaV3"),
    "lora_A.weight": ADAPTER,
    "lora_A.default.weight": ADAPTER,
    "lora_down.weight": ADAPTER,
    "lora.down.weight": ADAPTER,
    "base_layer.weight": WRAPPED,
}
"""What stands behind the name of any projection that is quantised or adapted, and what it is."""

DELTA = "linear attention (a gated delta rule), which keeps a state and no keys and values of its own"
SPACE = "a state-space mixer, which has no keys and values"
MIXERS: dict[str, str] = {
    "linear_attn": DELTA, "linear_attention": DELTA, "gated_delta_net": DELTA, "delta_net": DELTA, "kda": DELTA,
    "ssm_a": SPACE, "ssm_out": "a state-space mixer or linear attention, which keeps a state",
    "mamba": SPACE, "mamba2": SPACE, "ssm": SPACE, "mamba_decoder": SPACE, "A_log": SPACE,
    "conv": "a short convolution", "short_conv": "a short convolution", "rg_lru": "a recurrent block (RG-LRU)",
    "rwkv": "RWKV's time mixing", "mlstm_layer": "an xLSTM block, which keeps a state",
}  # fmt: skip
"""Modules that do in some layers what attention does in others, and what they are."""
