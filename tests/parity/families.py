"""Tiny random models of many families, one row each: how to build it, and what follows the projections."""

# ruff: noqa: C408  # one model a line; keyword arguments are what these dicts are

from dataclasses import dataclass
from typing import Any

VOCABULARY, WIDTH, HEADS, KV_HEADS, LAYERS = 97, 32, 4, 2, 2
LAYER = "layers.0.self_attn"


@dataclass(frozen=True)
class Family:
    """One model and one of its attention modules."""

    name: str
    cls: str
    config: dict[str, Any]
    module: str
    """The module in memory."""
    file: str = ""
    """The module in the file, where it is called otherwise."""
    inputs: str = "ids"
    rotary: str = ""
    """halves, pairs, or given: the module's own cosines."""
    d_rotary: int = 0
    theta: float = 0.0
    norm: str = ""
    scale: float = 0.0
    """0 stands for 1/√d_head."""
    softcap: float = 0.0
    alibi: str = ""
    twice: bool = False
    """Falcon in transformers 5.23.0 adds ALiBi twice."""
    causal: bool = False
    gate: bool = False
    cross: str = ""
    """Argument that keys and values come from."""
    buckets: bool = False
    """T5's relative bias."""
    relative: bool = False
    """A relative bias that is not rebuilt: no attention weights are compared."""
    residual: bool = False
    output: str = ""
    """parent: W_O lives in a sibling module; skip: it cannot be had alone."""
    special: str = ""

    @property
    def path(self) -> str:
        """The module in the file."""
        return self.file or self.module


decoder = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
    num_hidden_layers=LAYERS, intermediate_size=48, max_position_embeddings=64,
    pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
encoder = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS,
    intermediate_size=48, max_position_embeddings=64, pad_token_id=0,
)  # fmt: skip
vision = dict(
    hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS, intermediate_size=48,
    image_size=16, patch_size=4,
)  # fmt: skip
patches = dict(
    depth=1, hidden_size=WIDTH, num_heads=HEADS, intermediate_size=48, patch_size=4, spatial_merge_size=2,
    temporal_patch_size=2, out_hidden_size=WIDTH, num_position_embeddings=16, window_size=16, image_size=16,
    fullatt_block_indexes=[0], deepstack_visual_indexes=[],
)  # fmt: skip
experts = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
WHISPER = dict(
    vocab_size=VOCABULARY,
    num_mel_bins=8,
    d_model=WIDTH,
    encoder_layers=LAYERS,
    decoder_layers=LAYERS,
    encoder_attention_heads=HEADS,
    decoder_attention_heads=HEADS,
    encoder_ffn_dim=48,
    decoder_ffn_dim=48,
    max_source_positions=12,
    max_target_positions=32,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)

# fmt: off
FAMILIES = [
    # The five that have a page of their own.
    Family("gpt2", "GPT2Model", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS,
        n_positions=64), "h.0.attn", causal=True),
    Family("llama (GQA)", "LlamaModel", decoder, LAYER, rotary="halves", causal=True),
    Family("bert", "BertModel", encoder, "encoder.layer.0.attention.self", "encoder.layer.0.attention",
        output="parent"),
    Family("vit", "ViTModel", vision, "layers.0.attention", "encoder.layer.0.attention", inputs="pix"),
    Family("whisper encoder", "WhisperModel", WHISPER, "encoder.layers.0.self_attn", inputs="whisper"),
    Family("whisper decoder self", "WhisperModel", WHISPER, "decoder.layers.0.self_attn", inputs="whisper",
        causal=True),
    Family("whisper decoder cross", "WhisperModel", WHISPER, "decoder.layers.0.encoder_attn",
        inputs="whisper", cross="key_value_states"),
    # Decoders, separate projections.
    Family("mistral", "MistralModel", decoder | dict(sliding_window=None), LAYER, rotary="halves",
        causal=True),
    Family("mixtral", "MixtralModel", decoder | experts, LAYER, rotary="halves", causal=True),
    Family("qwen2 (qkv bias)", "Qwen2Model", decoder, LAYER, rotary="halves", causal=True),
    Family("qwen3 (q/k norm)", "Qwen3Model", decoder | dict(head_dim=12), LAYER, rotary="halves",
        norm="rms head", causal=True),
    Family("qwen2_moe", "Qwen2MoeModel", decoder | experts | dict(shared_expert_intermediate_size=16), LAYER,
        rotary="halves", causal=True),
    Family("qwen3_moe", "Qwen3MoeModel", decoder | experts | dict(head_dim=12), LAYER, rotary="halves",
        norm="rms head", causal=True),
    Family("gemma", "GemmaModel", decoder | dict(head_dim=12), LAYER, rotary="halves", causal=True),
    Family("gemma2 (softcap)", "Gemma2Model", decoder | dict(head_dim=12, query_pre_attn_scalar=7), LAYER,
        rotary="halves", causal=True, scale=7**-0.5, softcap=50.0),
    Family("gemma3", "Gemma3TextModel", decoder | dict(head_dim=12), LAYER, rotary="halves",
        norm="rms+1 head", causal=True, scale=256**-0.5),
    Family("phi (phi-1, 2)", "PhiModel", decoder, LAYER, rotary="halves", d_rotary=4, causal=True),
    Family("starcoder2", "Starcoder2Model", decoder, LAYER, rotary="halves", causal=True),
    Family("stablelm", "StableLmModel", decoder, LAYER, rotary="halves", d_rotary=2, causal=True),
    Family("cohere", "CohereModel", decoder, LAYER, rotary="pairs", causal=True),
    Family("cohere (qk norm)", "CohereModel", decoder | dict(use_qk_norm=True), LAYER, rotary="pairs",
        norm="ln heads", causal=True),
    Family("cohere2", "Cohere2Model", decoder, LAYER, rotary="pairs", causal=True),
    Family("olmo", "OlmoModel", decoder, LAYER, rotary="halves", causal=True),
    Family("olmo2 (norm over all heads)", "Olmo2Model", decoder, LAYER, rotary="halves", norm="rms full",
        causal=True),
    Family("olmo3", "Olmo3Model", decoder, LAYER, rotary="halves", norm="rms full", causal=True),
    Family("gpt_oss (sinks)", "GptOssModel", decoder | dict(num_local_experts=4, num_experts_per_tok=2,
        head_dim=12), LAYER, rotary="given", causal=True),
    Family("llama4", "Llama4TextModel", decoder | dict(head_dim=12, num_local_experts=2,
        intermediate_size_mlp=48, use_qk_norm=True), LAYER, rotary="pairs", norm="l2 after", causal=True),
    Family("granite", "GraniteModel", decoder, LAYER, rotary="halves", causal=True, scale=1.0),
    Family("nemotron", "NemotronModel", decoder, LAYER, rotary="halves", d_rotary=4, causal=True),
    Family("smollm3", "SmolLM3Model", decoder, LAYER, rotary="halves", causal=True),
    Family("glm", "GlmModel", decoder | dict(head_dim=8), LAYER, rotary="pairs", d_rotary=4, causal=True),
    Family("glm4", "Glm4Model", decoder | dict(head_dim=8), LAYER, rotary="pairs", d_rotary=4, causal=True),
    Family("helium", "HeliumModel", decoder | dict(head_dim=8), LAYER, rotary="pairs", causal=True),
    Family("exaone4", "Exaone4Model", decoder, LAYER, rotary="halves", norm="rms head", causal=True),
    Family("gptj", "GPTJModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS,
        n_positions=64, rotary_dim=4), "h.0.attn", rotary="pairs", d_rotary=4, theta=1e4, causal=True),
    Family("gpt_neo", "GPTNeoModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH, num_layers=2,
        num_heads=HEADS, attention_types=[[["global", "local"], 1]], max_position_embeddings=64),
        "h.0.attn.attention", causal=True, scale=1.0),
    Family("opt", "OPTModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH, num_attention_heads=HEADS,
        num_hidden_layers=LAYERS, ffn_dim=48, word_embed_proj_dim=WIDTH, max_position_embeddings=64),
        "decoder.layers.0.self_attn", causal=True),
    Family("xglm", "XGLMModel", dict(vocab_size=VOCABULARY, d_model=WIDTH, attention_heads=HEADS,
        num_layers=LAYERS, ffn_dim=48, max_position_embeddings=64, pad_token_id=0, dropout=0.0),
        "layers.0.self_attn", causal=True),
    Family("biogpt", "BioGptModel", encoder, "layers.0.self_attn", causal=True),
    Family("persimmon", "PersimmonModel", decoder | dict(num_key_value_heads=HEADS), LAYER, rotary="halves",
        d_rotary=4, norm="ln head", causal=True),
    Family("ctrl", "CTRLModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS,
        dff=48, n_positions=64), "h.0.multi_head_attention", causal=True),
    Family("openai-gpt", "OpenAIGPTModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS,
        n_layer=LAYERS, n_positions=64), "h.0.attn", causal=True, scale=8**-0.5),
    # Decoders, fused.
    Family("phi3 (fused, GQA)", "Phi3Model", decoder, LAYER, rotary="halves", causal=True),
    Family("gpt_neox / pythia", "GPTNeoXModel", {k: v for k, v in decoder.items() if k !=
        "num_key_value_heads"}, "layers.0.attention", rotary="halves", d_rotary=2, causal=True),
    Family("bloom", "BloomModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH, n_head=HEADS,
        n_layer=LAYERS), "h.0.self_attention", residual=True, causal=True, alibi="bloom"),
    Family("falcon-7b (MQA)", "FalconModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH,
        num_attention_heads=HEADS, num_hidden_layers=LAYERS, multi_query=True, new_decoder_architecture=False,
        parallel_attn=True, alibi=False, bias=False), "h.0.self_attention", rotary="halves", causal=True),
    Family("falcon-40b (GQA)", "FalconModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH,
        num_attention_heads=HEADS, num_hidden_layers=LAYERS, new_decoder_architecture=True,
        num_kv_heads=KV_HEADS, alibi=False, bias=False), "h.0.self_attention", rotary="halves", causal=True),
    Family("falcon-rw (alibi, bias)", "FalconModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH,
        num_attention_heads=HEADS, num_hidden_layers=LAYERS, multi_query=False,
        new_decoder_architecture=False, parallel_attn=False, alibi=True, bias=True), "h.0.self_attention",
        causal=True, alibi="falcon", twice=True),
    Family("mpt", "MptModel", dict(vocab_size=VOCABULARY, d_model=WIDTH, n_heads=HEADS, n_layers=LAYERS,
        max_seq_len=64), "blocks.0.attn", causal=True, alibi="mpt"),
    Family("dbrx (GQA)", "DbrxModel", dict(vocab_size=VOCABULARY, d_model=WIDTH, n_heads=HEADS,
        n_layers=LAYERS, max_seq_len=64, attn_config=dict(kv_n_heads=KV_HEADS, clip_qkv=50.0, rope_theta=1e4),
        ffn_config=dict(ffn_hidden_size=48, moe_num_experts=2, moe_top_k=1, hidden_size=WIDTH)),
        "blocks.0.norm_attn_norm.attn", rotary="halves", causal=True),
    Family("gpt_bigcode (MQA)", "GPTBigCodeModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS,
        n_layer=LAYERS, n_positions=64, multi_query=True), "h.0.attn", causal=True),
    Family("gpt_bigcode (MHA)", "GPTBigCodeModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS,
        n_layer=LAYERS, n_positions=64, multi_query=False), "h.0.attn", causal=True),
    Family("codegen (qvk, 4 shards)", "CodeGenModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH * 2, n_head=8,
        n_layer=LAYERS, n_positions=64, n_ctx=64, rotary_dim=4), "h.0.attn", rotary="pairs", d_rotary=4,
        theta=1e4, causal=True),
    Family("qwen3_next (gate in q_proj)", "Qwen3NextModel", decoder | experts | dict(num_hidden_layers=4,
        head_dim=16, shared_expert_intermediate_size=16, linear_num_value_heads=2, linear_num_key_heads=2,
        linear_key_head_dim=8, linear_value_head_dim=8), "layers.3.self_attn", rotary="halves", d_rotary=4,
        norm="rms+1 head", gate=True, causal=True),
    # Encoders.
    Family("roberta", "RobertaModel", encoder, "encoder.layer.0.attention.self", "encoder.layer.0.attention",
        output="parent"),
    Family("electra", "ElectraModel", encoder | dict(embedding_size=WIDTH), "encoder.layer.0.attention.self",
        "encoder.layer.0.attention", output="parent"),
    Family("distilbert", "DistilBertModel", dict(vocab_size=VOCABULARY, dim=WIDTH, n_heads=HEADS,
        n_layers=LAYERS, hidden_dim=48, max_position_embeddings=64), "transformer.layer.0.attention"),
    Family("albert", "AlbertModel", encoder | dict(embedding_size=16),
        "encoder.albert_layer_groups.0.albert_layers.0.attention", output="skip"),
    Family("modernbert", "ModernBertModel", encoder | dict(global_attn_every_n_layers=1, cls_token_id=1,
        sep_token_id=2, bos_token_id=1, eos_token_id=2), "layers.0.attn", rotary="halves", theta=160000.0),
    Family("deberta", "DebertaModel", encoder | dict(relative_attention=True, pos_att_type=["c2p", "p2c"],
        max_relative_positions=16), "encoder.layer.0.attention.self", "encoder.layer.0.attention",
        output="parent", relative=True),
    Family("deberta-v2", "DebertaV2Model", encoder | dict(relative_attention=True, pos_att_type=["c2p",
        "p2c"], position_buckets=8), "encoder.layer.0.attention.self", "encoder.layer.0.attention",
        output="parent", relative=True),
    Family("mpnet", "MPNetModel", encoder, "encoder.layer.0.attention.attn", output="skip", relative=True),
    Family("xlnet (3-D)", "XLNetModel", dict(vocab_size=VOCABULARY, d_model=WIDTH, n_head=HEADS,
        n_layer=LAYERS, d_inner=48), "layer.0.rel_attn", output="skip", special="xlnet", relative=True),
    Family("esm", "EsmModel", encoder | dict(position_embedding_type="rotary", mask_token_id=4),
        "encoder.layer.0.attention.self", "encoder.layer.0.attention", output="parent", rotary="halves"),
    Family("nomic_bert", "NomicBertModel", encoder, "layers.0.self_attn", "encoder.layers.0.attn",
        rotary="halves"),
    # Encoder-decoder.
    Family("t5 encoder", "T5Model", dict(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=12, num_heads=HEADS,
        num_layers=LAYERS, d_ff=48), "encoder.block.0.layer.0.SelfAttention", inputs="s2s", scale=1.0,
        buckets=True),
    Family("t5 decoder cross", "T5Model", dict(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=12, num_heads=HEADS,
        num_layers=LAYERS, d_ff=48), "decoder.block.0.layer.1.EncDecAttention", inputs="s2s",
        cross="key_value_states", scale=1.0),
    Family("bart encoder", "BartModel", dict(vocab_size=VOCABULARY, d_model=WIDTH,
        encoder_attention_heads=HEADS, decoder_attention_heads=2, encoder_layers=LAYERS,
        decoder_layers=LAYERS, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64),
        "encoder.layers.0.self_attn", inputs="s2s"),
    Family("bart decoder (2 heads)", "BartModel", dict(vocab_size=VOCABULARY, d_model=WIDTH,
        encoder_attention_heads=HEADS, decoder_attention_heads=2, encoder_layers=LAYERS,
        decoder_layers=LAYERS, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64),
        "decoder.layers.0.self_attn", inputs="s2s", causal=True),
    # Vision, audio.
    Family("clip text", "CLIPTextModel", encoder | dict(bos_token_id=1, eos_token_id=2),
        "encoder.layers.0.self_attn", causal=True),
    Family("clip vision", "CLIPVisionModel", vision, "encoder.layers.0.self_attn", inputs="pix"),
    Family("siglip vision", "SiglipVisionModel", vision, "encoder.layers.0.self_attn", inputs="pix"),
    Family("siglip pooling head (nn.MultiheadAttention)", "SiglipVisionModel", vision, "head.attention",
        inputs="pix", special="mha"),
    Family("dinov2", "Dinov2Model", vision | dict(mlp_ratio=2), "encoder.layer.0.attention",
        "encoder.layer.0.attention", inputs="pix"),
    Family("dinov3 (k without bias)", "DINOv3ViTModel", vision, "model.layer.0.attention",
        "layer.0.attention", inputs="pix", rotary="given"),
    Family("deit", "DeiTModel", vision, "layers.0.attention", "encoder.layer.0.attention", inputs="pix"),
    Family("beit (k without bias)", "BeitModel", vision, "layers.0.attention", "encoder.layer.0.attention",
        inputs="pix", relative=True),
    Family("swin", "SwinModel", dict(image_size=16, patch_size=2, embed_dim=16, depths=[1, 1], num_heads=[2,
        4], window_size=4), "encoder.layers.0.blocks.0.attention", "encoder.layers.0.blocks.0.attention",
        inputs="pix", relative=True),
    Family("sam vision (qkv)", "SamVisionModel", dict(hidden_size=WIDTH, output_channels=16,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, image_size=16, patch_size=4, window_size=2,
        mlp_dim=48, num_pos_feats=8, global_attn_indexes=[0]), "vision_encoder.layers.0.attn", inputs="pix",
        relative=True),
    Family("wav2vec2", "Wav2Vec2Model", encoder | dict(conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3,
        3], num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2),
        "encoder.layers.0.attention", inputs="wav"),
    Family("hubert", "HubertModel", encoder | dict(conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3, 3],
        num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2),
        "encoder.layers.0.attention", inputs="wav"),
]
# fmt: on

# Verified as well; not among the variants of the first study.
# fmt: off
EXTRA = [
    Family("timesformer", "TimesformerModel", vision | dict(num_frames=2),
        "encoder.layer.0.attention.attention", "encoder.layer.0.attention", inputs="video", output="skip"),
    Family("prophetnet encoder", "ProphetNetModel", dict(vocab_size=VOCABULARY, hidden_size=WIDTH,
        num_encoder_layers=2, num_decoder_layers=2, num_encoder_attention_heads=HEADS,
        num_decoder_attention_heads=HEADS, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
        pad_token_id=0), "encoder.layers.0.self_attn", inputs="s2s"),
    Family("qwen3_5 text (gate)", "Qwen3_5TextModel", decoder | dict(num_hidden_layers=4, head_dim=16,
        linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8),
        "layers.3.self_attn", rotary="halves", d_rotary=4, norm="rms+1 head", gate=True, causal=True),
    Family("minimax full attention", "MiniMaxModel", decoder | experts | dict(head_dim=8,
        layer_types=["full_attention", "full_attention"]), LAYER, rotary="halves", causal=True),
    Family("moshi depth", "MoshiModel", decoder, LAYER, rotary="halves", causal=True),
    Family("modernbert-decoder", "ModernBertDecoderModel", encoder | dict(global_attn_every_n_layers=1,
        cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2), "layers.0.attn", rotary="halves",
        theta=160000.0, causal=True),
    Family("imagegpt", "ImageGPTModel", dict(vocab_size=VOCABULARY, n_embd=WIDTH, n_head=HEADS,
        n_layer=LAYERS, n_positions=64), "h.0.attn", causal=True),
    Family("gpt_neox_japanese", "GPTNeoXJapaneseModel", {**encoder, "intermediate_multiple_size": 1},
        "layers.0.attention", rotary="halves", causal=True),
    Family("gte", "GteModel", encoder, "layers.0.self_attn", "encoder.layer.0.attention", rotary="halves"),
    Family("jina_embeddings_v3", "JinaEmbeddingsV3Model", encoder, "layers.0.self_attn",
        "encoder.layers.0.mixer", rotary="halves"),
    Family("qwen3_5_moe text (gate)", "Qwen3_5MoeTextModel", decoder | experts | dict(num_hidden_layers=4,
        head_dim=16, shared_expert_intermediate_size=16, linear_num_value_heads=2, linear_num_key_heads=2,
        linear_key_head_dim=8, linear_value_head_dim=8), "layers.3.self_attn", rotary="halves", d_rotary=4,
        norm="rms+1 head", gate=True, causal=True),
    Family("sam_hq vision", "SamHQVisionModel", dict(hidden_size=WIDTH, output_channels=16,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, image_size=16, patch_size=4, window_size=2,
        mlp_dim=48, num_pos_feats=8, global_attn_indexes=[0]), "vision_encoder.layers.0.attn", inputs="pix",
        relative=True),
    *(Family(name, cls, patches, "blocks.0.attn", inputs="patches", rotary="given") for name, cls in
        (("qwen2_5_vl vision", "Qwen2_5_VisionTransformerPretrainedModel"), ("qwen3_vl vision",
        "Qwen3VLVisionModel"), ("qwen3_vl_moe vision", "Qwen3VLMoeVisionModel"), ("qwen3_5 vision",
        "Qwen3_5VisionModel"), ("qwen3_5_moe vision", "Qwen3_5MoeVisionModel"), ("glm4v vision",
        "Glm4vVisionModel"), ("glm4v_moe vision", "Glm4vMoeVisionModel"))),
    Family("glm_ocr vision", "GlmOcrVisionModel", patches, "blocks.0.attn", inputs="patches", rotary="given",
        norm="rms head"),
    Family("exaone4_5 vision (GQA)", "Exaone4_5_VisionModel", {**patches, "num_key_value_heads": KV_HEADS},
        "blocks.0.attn", inputs="patches", rotary="given"),
    *(Family(name, cls, {**patches, **more}, "blocks.0.attn", inputs="patches", rotary="given") for name, cls, more in
        (("qwen2_vl vision", "qwen2_vl.Qwen2VisionTransformerPretrainedModel", dict(embed_dim=WIDTH, mlp_ratio=2)),
        ("cohere_compass vision", "CohereCompassVisionModel", {}), ("qwen4_exp vision", "Qwen4ExpVisionModel", {}),
        ("qwen3_omni_moe vision", "qwen3_omni_moe.Qwen3OmniMoeVisionEncoder", {}))),
    Family("glm5_next vision", "Glm5NextVisionModel", {**patches, "projection_intermediate_size": 16},
        "blocks.0.attn", inputs="patches", rotary="given", norm="rms head"),
    Family("ernie4_5_vl_moe vision", "Ernie4_5_VLMoeVisionTransformerPretrainedModel", patches,
        "blocks.0.attn", inputs="flat patches", rotary="given"),
    Family("glm_image vision", "GlmImageVisionModel", {**patches, "spatial_merge_size": 1}, "blocks.0.attn",
        inputs="pixel patches"),
    Family("dots3_note vision", "Dots3NoteVisionModel", vision | dict(num_hidden_layers=1,
        mlp_layer_types=["dense"], num_local_experts=4, moe_intermediate_size=16, adapter_in_dim=WIDTH),
        "blocks.0.attn", inputs="pixel patches", rotary="given", norm="rms head"),
    *(Family(name, cls, vision | dict(qkv_bias=True), "encoder.layers.0.self_attn", inputs="pix") for name, cls in
        (("blip vision", "BlipVisionModel"), ("blip_2 vision", "Blip2VisionModel"),
        ("instructblip vision", "InstructBlipVisionModel"),
        ("instructblipvideo vision", "InstructBlipVideoVisionModel"))),
    Family("got_ocr2 vision", "got_ocr2.GotOcr2VisionEncoder", dict(hidden_size=WIDTH, output_channels=16,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, image_size=16, patch_size=4, window_size=2,
        mlp_dim=48, global_attn_indexes=[0]), "layers.0.attn", inputs="pix", relative=True),
    Family("vitdet", "VitDetModel", vision | dict(window_size=0, mlp_ratio=2), "encoder.layer.0.attention",
        inputs="pix"),
    Family("mgp-str", "MgpstrModel", dict(image_size=[16, 16], patch_size=4, hidden_size=WIDTH,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, mlp_ratio=2, max_token_length=4,
        num_character_labels=7, num_bpe_labels=7, num_wordpiece_labels=7), "encoder.blocks.0.attn",
        inputs="pix"),
    Family("sam2 vision", "Sam2HieraDetModel", dict(hidden_size=16, num_attention_heads=2,
        image_size=[16, 16], patch_kernel_size=[3, 3], patch_stride=[2, 2], patch_padding=[1, 1],
        query_stride=[2, 2], window_positional_embedding_background_size=[2, 2], blocks_per_stage=[1, 1],
        embed_dim_per_stage=[16, 32], num_attention_heads_per_stage=[2, 4], window_size_per_stage=[8, 4],
        global_attention_blocks=[0], mlp_ratio=2.0), "blocks.0.attn", inputs="pix"),
    Family("radio", "RadioModel", vision, "encoder.layer.0.attention", "radio_model.model.blocks.0.attn",
        inputs="pix"),
    Family("phi4_multimodal", "Phi4MultimodalModel", decoder, LAYER, rotary="halves", causal=True),
    *(Family(name, cls, {k: v for k, v in decoder.items() if k != "num_key_value_heads"} | dict(
        input_vocab_size=VOCABULARY, output_vocab_size=VOCABULARY, num_heads=HEADS, num_layers=LAYERS,
        block_size=64), "layers.0.attn", causal=True) for name, cls in
        (("bark semantic", "BarkSemanticModel"), ("bark coarse", "BarkCoarseModel"))),
    Family("hrm_text", "HrmTextModel", decoder | dict(num_key_value_heads=HEADS, head_dim=8),
        "H_module.layers.0.self_attn", "H_module.layers.0.attn", rotary="halves", gate=True, causal=True),
]
# fmt: on
