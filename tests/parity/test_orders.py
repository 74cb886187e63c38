"""Fused matrices whose attention cannot be rebuilt here: the order inside, shown on the modules themselves."""

from pathlib import Path

# ruff: noqa: C408  # as in families
import numpy as np
import pytest
import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

from qkvdocs import wild
from qkvdocs.wild._attentions import plan_modules
from qkvdocs.wild._split import split
from qkvdocs.wild._tensor import Tensor
from tests.parity.families import HEADS, LAYERS, WIDTH, Family, vision
from tests.parity.models import build, inputs

SHIFTED = [
    (
        Family("florence_vision", "Florence2VisionBackbone", dict(
            embed_dim=[WIDTH], num_heads=[HEADS], num_groups=[HEADS], depths=[1], window_size=4, patch_size=[4],
            patch_stride=[4], patch_padding=[0], patch_prenorm=[False], projection_dim=16,
        ), "blocks.0.0.spatial_block.window_attn", inputs="hidden pix"), "qkv", "proj"),
    (
        Family("seggpt", "SegGptModel", vision | dict(
            image_size=[32, 16], use_relative_position_embeddings=True, merge_index=0,
            intermediate_hidden_state_indices=[0, 1],
        ), "encoder.layers.0.attention", inputs="seggpt"), "qkv", "proj"),
    (
        Family("unlimited_ocr_sam_vision_model", "unlimited_ocr.UnlimitedOcrSamVisionEncoder", dict(
            hidden_size=WIDTH, output_channels=16, num_hidden_layers=LAYERS, num_attention_heads=HEADS, image_size=16,
            patch_size=4, window_size=2, mlp_dim=48, global_attn_indexes=[0],
        ), "layers.0.attn", "blocks.0.attn", inputs="pix"), "qkv", "proj"),
    (
        Family("granite_speech_encoder", "GraniteSpeechCTCEncoder", dict(
            input_dim=16, num_layers=2, hidden_dim=WIDTH, feedforward_mult=2, num_heads=HEADS, dim_head=8, output_dim=7,
            context_size=9, max_pos_emb=16,
        ), "layers.0.attn", inputs="features"), "to_kv", "to_out"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fused", "out"), SHIFTED, ids=lambda part: getattr(part, "name", None))
def test_what_each_part_of_a_fused_matrix_does(family: Family, fused: str, out: str, tmp_path: Path) -> None:
    """One row added to all keys moves no weight; to all values, it moves the mixture by itself; to queries, all."""
    model = build(family, torch.float32)
    model.save_pretrained(tmp_path)
    [plan] = [plan for path, plan in wild.read(tmp_path).plans.items() if path == family.path]
    assert family.name in plan.layout.models
    [roles] = [roles for roles in plan.layout.tensors.values() if len(roles) > 1]
    widths = {role: plan.widths[role] for role in roles}
    where = split(
        np.arange(sum(widths.values())), roles, widths, plan.layout.copies(plan.n_heads, plan.n_kv_heads)
    )
    module = model.get_submodule(family.module)
    shift, seen = torch.zeros(sum(widths.values())), []
    module.get_submodule(fused).register_forward_hook(lambda _, __, given: given + shift)
    module.get_submodule(out).register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    with torch.no_grad():
        model(**inputs(family, torch.float32))
        for role in roles:
            shift.zero_()
            shift[where[role]] = row = torch.randn(widths[role], generator=torch.Generator().manual_seed(3))
            model(**inputs(family, torch.float32))
            moved = seen[-1] - seen[0]
            moved = moved.reshape(-1, widths["v"])
            if role == "q":
                assert moved.abs().max() > 1e-2
            else:
                assert (moved - (row if role == "v" else 0)).abs().max() < 1e-4, role


CONVERTED = {
    "qianfan_ocr_vision": ("qianfan_ocr", "vision_tower.layers.0.attention", "vision_tower.encoder.layers.0.attn"),
    "tipsv2_vision_model": ("tipsv2", "vision_model.encoder.layer.0.attention", "vision_encoder.blocks.0.attn"),
    "molmo2_text": ("molmo2", "language_model.layers.0.self_attn", "transformer.blocks.0.self_attn"),
    "nemotron3_5_transcribe_asr_audio": (
        "nemo_speechlm", "audio_tower.asr_encoder.layers.0.self_attn", "audio_tower.asr_encoder.layers.0.attn"),
}  # fmt: skip


@pytest.mark.parametrize("part", CONVERTED)
def test_what_transformers_itself_puts_together(part: str) -> None:
    """Three matrices in memory become one on disk by its own conversion, which ours undoes."""
    model_type, inside, path = CONVERTED[part]
    config = transformers.CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    state = model.state_dict()
    ours = {
        name: torch.randn(tensor.shape) for name, tensor in state.items() if name.startswith(f"{inside}.")
    }
    stored = revert_weight_conversion(model, {**state, **ours})
    held = {name: Tensor("F32", tuple(tensor.shape), 0, 0) for name, tensor in stored.items()}
    plan = plan_modules(wild.Checkpoint.held(held, config.to_dict())).plans[path]
    assert part in plan.layout.models
    [piece] = [piece for piece in plan.pieces if len(piece.roles) > 1 and piece.letter == "W"]
    parts = split(stored[piece.name].numpy().T, piece.roles, plan.widths, piece.blocks)
    for role in "qkv":
        theirs = ours[f"{inside}.{role}_proj.weight"].numpy().T
        assert np.array_equal(parts[role], theirs), role
