# What a module is for, as far as names and config tell: it decides what a cache of keys and values holds.

from typing import Literal

from qkvdocs.wild._config import Facts

Kind = Literal["self", "cross", "encoder", "shared"]
CROSS = ("cross", "encoder_attn", "encdec", "enc_dec", "x_attn", "attn2", "token_to_image", "image_to_token")
"""In a module's name: its keys and values come from another text, an image or a sound."""
TOWERS = (
    "encoder", "vision", "visual", "image", "audio", "speech", "video", "qformer", "resampler", "sam_model",
    "projector", "mask_decoder", "memory_attention", "enc.blk", "v.blk",
)  # fmt: skip
"""In the name of a module or of a part of a config: all positions are read at once."""
ENCODERS = frozenset({
    "canine", "convbert", "d_fine", "data2vec-vision", "deberta", "deberta-v2", "deimv2", "dinov3_vit",
    "distilbert", "efficientloftr", "embedding_gemma2", "embedding_gemma2_text", "esm", "esmc", "eurobert",
    "fine_acoustics", "flaubert", "flava", "fnet", "gte", "hiera", "ibert", "jina_embeddings_v3", "layoutlm",
    "layoutlmv3", "levit", "lightglue", "lilt", "longformer", "luke", "lw_detr", "lxmert", "maskformer",
    "mgp-str", "modernbert", "modernvbert", "moss_transcribe_diarize_audio", "mpnet", "mra",
    "nemotron3_5_transcribe_asr_audio", "nemotron3_5_transcribe_word_timestamp",
    "nemotron3_diarization_audio", "neomme", "neucodec", "nomic_bert", "nystromformer",
    "openai_privacy_filter", "perceiver", "pixtral", "pp_doclayout_v3", "pp_doclayout_v4", "rt_detr",
    "rt_detr_v2", "sam2_hiera_det_model", "sam3", "sam3_lite_text", "sam3_lite_text_text_model",
    "sam3_video", "sam3_vit_model", "seggpt", "splinter", "squeezebert", "swin2sr", "tapas", "timesformer",
    "tvp", "ultrabert", "ultravbert", "videoprism", "vilt", "visual_bert", "vit", "vitdet", "vits", "vjepa2",
    "xcodec2", "xlm", "yoso",
})  # fmt: skip
"""Further `model_type`s whose modules read all positions at once."""
STEPWISE = frozenset({
    "blt", "decision_transformer", "mimi", "mimi_encoder", "pocket_tts_audio_tokenizer",
    "pocket_tts_audio_tokenizer_encoder", "voxtral_realtime", "voxtral_realtime_encoder",
})  # fmt: skip
"""`model_type`s with a causal module that is called an encoder."""


PAIRS = frozenset({
    "codegen", "cohere", "cohere2", "ernie4_5", "ernie4_5_moe", "glm", "glm4", "gptj", "helium", "llama4_text",
})  # fmt: skip
"""`model_type`s that turn neighbours, as the comparison with transformers found; all others with a rotation turn
halves there."""
TURNED = (
    "rope_theta",
    "rope_parameters",
    "rope_scaling",
    "rotary_dim",
    "rotary_pct",
    "partial_rotary_factor",
)
"""In a config: queries and keys are rotated."""


def rotary_of(known: Facts, family: str) -> str:
    """Say how a module's queries and keys are rotated as they are given: in pairs, in halves, or not that is known."""
    if family == "LLaMA, Meta's names":
        return "pairs"
    if not any(known.values.get(name) for name in TURNED):
        return ""
    return "pairs" if PAIRS.intersection(known.model_types) else "halves"


def kind_of(path: str, known: Facts) -> Kind:
    """Say what a module is for.

    It is `cross` where keys and values come from elsewhere, `encoder` where all positions are read at once, else
    `self`: keys and values of earlier tokens are kept.
    """
    low = path.lower()
    if any(word in low for word in CROSS):
        return "cross"
    if known.values.get("is_decoder") is True or STEPWISE.intersection(known.model_types):
        return "self"
    if known.values.get("causal") is False:
        return "encoder"
    own = known.model_types[-1] if known.model_types else ""
    if any(word in f"{low} {known.part}" for word in TOWERS) or any(
        word in own for word in ("vision", "encoder")
    ):
        return "encoder"
    if ENCODERS.intersection(known.model_types):
        return "encoder"
    two = known.values.get("is_encoder_decoder") is True
    return "encoder" if two and "decoder" not in low else "self"
