"""What people have on their disks: each gets a right answer or a next step, from the command itself."""

# ruff: noqa: E501  # one case a line

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.wild._cache import SIZES
from tests.wild.conftest import Command, folder, random
from tests.wild.test_quantised import D, Stored, fp8, gptq, module, write

N, KV, HD, L = 4, 2, 8, 2
LLAMA = {
    "model_type": "llama",
    "hidden_size": D,
    "num_attention_heads": N,
    "num_key_value_heads": KV,
    "num_hidden_layers": L,
}
ROWS = {"q": N * HD, "k": KV * HD, "v": KV * HD, "o": D}
Tensors = dict[str, tuple[int, ...]]


def layers(
    pattern: str = "model.layers.{}.self_attn.", names: str = "q_proj k_proj v_proj o_proj"
) -> Tensors:
    """Give separate matrices."""
    return {
        f"{pattern.format(n)}{name}.weight": (rows, D)
        for n in range(L)
        for name, rows in zip(names.split(), ROWS.values(), strict=True)
    }


def fused(pattern: str, tensors: Tensors) -> Tensors:
    """Give the same for each layer."""
    return {pattern.format(n) + name: shape for n in range(L) for name, shape in tensors.items()}


def put(path: Path, tensors: Tensors, config: Any) -> Path:
    """Write noise of some shapes."""
    arrays = {key: random(*shape, seed=n) for n, (key, shape) in enumerate(tensors.items())}
    named = "open_clip_config.json" if "model_cfg" in config else "config.json"
    return folder(path, arrays, config, named=named)


QKV = (N + 2 * KV) * HD
MHA: Tensors = {"qkv.weight": (3 * D, D), "qkv.bias": (3 * D,), "proj.weight": (D, D), "proj.bias": (D,)}
CLIP: Tensors = {
    "in_proj_weight": (3 * D, D),
    "in_proj_bias": (3 * D,),
    "out_proj.weight": (D, D),
    "out_proj.bias": (D,),
}
TIMM = {"architecture": "vit_tiny_patch16_224", "num_features": D, "pretrained_cfg": {"tag": "augreg"}}
OPEN_CLIP = {
    "model_cfg": {
        "vision_cfg": {"layers": 1, "width": D, "head_width": 8},
        "text_cfg": {"heads": 2, "width": D, "layers": 1},
    }
}
UNET = "down_blocks.0.attentions.0.transformer_blocks.0."
UNET_NAMES: Tensors = {
    **{f"{UNET}attn1.{name}.weight": (D, D) for name in ("to_q", "to_k", "to_v", "to_out.0")}, f"{UNET}attn1.to_out.0.bias": (D,),
    **{f"{UNET}attn2.{name}.weight": (D, 24 if name in ("to_k", "to_v") else D) for name in ("to_q", "to_k", "to_v", "to_out.0")},
}  # fmt: skip
CASES: dict[str, tuple[Tensors, Any, list[str], int, list[str]]] = {
    "LLaMA": (layers(), LLAMA, [], 0, ["2 layers · 4 query heads on 2 key heads × 8 · separate matrices · no bias · F32"]),
    "with a rotation": (layers(), {**LLAMA, "rope_theta": 1e4}, [], 0, ["separate matrices · rotary halves · no bias"]),
    "that turns pairs": (layers(), {**LLAMA, "model_type": "glm4", "rope_theta": 1e4}, [], 0, ["rotary pairs"]),
    "of Ernie, which turns pairs": (layers(), {**LLAMA, "model_type": "ernie4_5", "rope_theta": 1e4}, [], 0, ["rotary pairs"]),
    "timm": (fused("blocks.{}.attn.", MHA), TIMM, ["--n-heads", "4"], 0, ["2 layers · 4 heads × 8 · fused qkv × 1 · bias on q k v o"]),
    "timm without heads": (fused("blocks.{}.attn.", MHA), TIMM, [], 1, ["n_heads must be known", "give n_heads and n_kv_heads"]),
    "timm BEiT": (
        fused("blocks.{}.attn.", {"qkv.weight": (3 * D, D), "q_bias": (D,), "v_bias": (D,), "proj.weight": (D, D), "proj.bias": (D,)}),
        {**TIMM, "architecture": "beit_base"}, ["--n-heads", "4"], 0, ["bias on q v o"]),
    "open_clip": (
        {f"{at}.resblocks.0.attn.{name}": shape for at in ("visual.transformer", "transformer") for name, shape in CLIP.items()},
        OPEN_CLIP, [], 0, ["2 heads × 16", "4 heads × 8", "2 modules read, 0 refused"]),
    "diffusers UNet": (UNET_NAMES, {"_class_name": "UNet2DConditionModel"}, ["--n-heads", "4"], 0,
                       ["1 layer · 4 heads × 8 · separate matrices · bias on o", "1 cross-attention layer · 4 heads × 8", "keys and values from rows of 24"]),
    "diffusers UNet, by its config": (
        UNET_NAMES, {"_class_name": "UNet2DConditionModel", "attention_head_dim": [2, 4], "cross_attention_dim": 24}, [], 0,
        ["1 layer · 2 heads × 16", "1 cross-attention layer · 2 heads × 16"]),
    "diffusers, two streams": (
        fused("transformer_blocks.{}.", {
            **{f"attn.{name}.weight": (D, D) for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")},
            "attn.norm_added_q.weight": (8,), "ff.net.0.proj.weight": (D, D)}),
        {"_class_name": "FluxTransformer2DModel", "num_attention_heads": 4, "attention_head_dim": 8}, ["--layers"], 0,
        ["4 layers · 4 heads × 8 · separate matrices", "transformer_blocks.0 … transformer_blocks.1 (2 alike)", "4 modules read, 0 refused"]),
    "diffusers DiT": (
        fused("transformer_blocks.{}.attn1.", {**{f"{name}.weight": (D, D) for name in ("to_q", "to_k", "to_v", "to_out.0")}, "to_q.bias": (D,)}),
        {"_class_name": "DiTTransformer2DModel", "num_attention_heads": 4, "attention_head_dim": 8}, [], 0, ["2 layers · 4 heads × 8", "bias on q"]),
    "ChatGLM": (
        fused("transformer.encoder.layers.{}.self_attention.",
              {"query_key_value.weight": (QKV, D), "query_key_value.bias": (QKV,), "dense.weight": (D, D)}),
        {"model_type": "chatglm", "num_attention_heads": 4, "multi_query_attention": True, "multi_query_group_num": 2, "hidden_size": D,
         "num_layers": 2}, [], 0, ["4 query heads on 2 key heads × 8 · fused qkv × 1 · bias on q k v"]),
    "ChatGLM, first": (
        fused("transformer.layers.{}.attention.", {"query_key_value.weight": (3 * D, D), "dense.weight": (D, D)}),
        {"model_type": "chatglm", "num_attention_heads": 4, "hidden_size": D, "num_layers": 2}, [], 0, ["4 heads × 8 · fused qkv × n_kv_heads"]),
    "timm MaxViT": (
        fused("stages.0.blocks.{}.attn_block.attn.", MHA), {**TIMM, "architecture": "maxvit_tiny_tf_224"}, ["--n-heads", "4"], 0,
        ["4 heads × 8 · fused qkv × n_kv_heads"]),
    "nanoGPT": (
        fused("transformer.h.{}.attn.", {"c_attn.weight": (3 * D, D), "c_proj.weight": (D, D)}),
        {"model_type": "nanogpt", "n_head": 4, "n_embd": D}, [], 0, ["4 heads × 8 · fused qkv × 1"]),
    "nn.MultiheadAttention": (
        fused("my.own.blocks.{}.anything.", CLIP), {}, ["--n-heads", "4"], 0, ["4 heads × 8 · fused qkv × 1 · bias on q k v o"]),
    "deformable attention": (
        {**layers("decoder.layers.{}.self_attn."), **fused("decoder.layers.{}.encoder_attn.", {
            f"{name}.weight": (D, D) for name in ("sampling_offsets", "attention_weights", "value_proj", "output_proj")})}, LLAMA, [], 0,
        ["decoder.layers.0.encoder_attn … decoder.layers.1.encoder_attn (2 alike): deformable attention", "holds    V in value_proj.weight",
         "2 modules read, 0 refused, 2 listed"]),
    "a hybrid under the names of LLaMA": (
        {**layers(), "model.layers.0.self_attn.A_log": (N,)}, LLAMA, ["--tokens", "10"], 0,
        ["model.layers.0.self_attn: linear attention, which keeps a state", "holds    Q in q_proj.weight, K in k_proj.weight, V in v_proj.weight",
         "cache: 1 state layer, as large for any text"]),
    "MiniMax": (
        {**{n: s for n, s in layers().items() if ".1." in n}, **{f"model.layers.0.self_attn.{name}.weight": shape for name, shape in (
            ("qkv_proj", (3 * D, D)), ("output_gate", (D, D)), ("out_proj", (D, D)))}},
        {**LLAMA, "model_type": "minimax", "layer_types": ["linear_attention", "full_attention"]}, [], 0,
        ["model.layers.0.self_attn: linear attention", "(linear_attention, as config.json says)", "holds    Q K V in qkv_proj.weight",
         "1 modules read, 0 refused, 1 listed"]),
    "a stack beside the one that the list of kinds is meant for": (
        {**layers("mtp.layers.{}.self_attn.")}, {**LLAMA, "layer_types": ["linear_attention", "full_attention"]}, [], 0, ["2 modules read, 0 refused;"]),
    "Qwen3-Next": (
        {**{n: s for n, s in layers().items() if ".1." in n}, "model.layers.0.linear_attn.in_proj_qkvz.weight": (96, D),
         "model.layers.0.linear_attn.A_log": (N,)}, LLAMA, [], 0,
        ["model.layers.{0}: linear attention (a gated delta rule)", "holds    Q K V in linear_attn.in_proj_qkvz.weight"]),
    "layers of two widths": (
        {**{n: s for n, s in layers().items() if ".0." in n}, "model.layers.1.self_attn.q_proj.weight": (N * 16, D),
         "model.layers.1.self_attn.k_proj.weight": (16, D), "model.layers.1.self_attn.v_proj.weight": (16, D),
         "model.layers.1.self_attn.o_proj.weight": (D, N * 16)},
        {**LLAMA, "head_dim": 8, "global_head_dim": 16, "num_global_key_value_heads": 1, "layer_types": ["sliding_attention", "full_attention"]}, [], 0,
        ["4 query heads on 2 key heads × 8", "4 query heads on 1 key heads × 16"]),
    "narrow values": (
        {**layers(), **{f"model.layers.{n}.self_attn.v_proj.weight": (KV * 4, D) for n in range(L)},
         **{f"model.layers.{n}.self_attn.o_proj.weight": (D, N * 4) for n in range(L)}}, {**LLAMA, "v_head_dim": 4}, ["--shards", "2"], 0,
        ["separate matrices, values × 4", "rank 1: W_Q outputs 16 to 31, W_K outputs 8 to 15, W_V outputs 4 to 7, W_O rows 8 to 15"]),
    "RWKV": (
        {f"blocks.{n}.attention.{name}.weight": (D, D) for n in range(2) for name in ("key", "value", "receptance", "output")},
        {"model_type": "rwkv"}, [], 1, ["the time mixing of RWKV", "0 modules read, 0 refused, 2 listed"]),
    "_orig_mod.": (layers("_orig_mod.model.layers.{}.self_attn."), LLAMA, [], 0, ["2 modules read, 0 refused"]),
    "module.": (layers("module.model.layers.{}.self_attn."), LLAMA, [], 0, ["2 modules read, 0 refused"]),
    "base_model.model.": (layers("base_model.model.model.layers.{}.self_attn."), LLAMA, [], 0, ["2 modules read, 0 refused"]),
    "vLLM's names": (
        fused("model.layers.{}.self_attn.", {"qkv_proj.weight": (QKV, D), "o_proj.weight": (D, D)}), LLAMA, [], 1,
        ["the order inside model.layers.0.self_attn.qkv_proj.weight must be known from the model_type", '"qkv_proj.{}" = "qkv"']),
    "Megatron-core": (
        fused("decoder.layers.{}.self_attention.",
              {"linear_qkv.weight": (QKV, D), "linear_qkv.layer_norm_weight": (D,), "linear_proj.weight": (D, D)}),
        LLAMA, [], 0, ["fused qkv × n_kv_heads", "2 modules read, 0 refused"]),
    "InternLM2": (
        fused("model.layers.{}.attention.", {"wqkv.weight": (QKV, D), "wo.weight": (D, D)}), {**LLAMA, "model_type": "internlm2"}, [], 0,
        ["4 query heads on 2 key heads × 8 · fused qkv × n_kv_heads"]),
    "Qwen": (
        fused("transformer.h.{}.attn.", {"c_attn.weight": (3 * D, D), "c_attn.bias": (3 * D,), "c_proj.weight": (D, D)}),
        {**LLAMA, "model_type": "qwen", "num_key_value_heads": 4}, [], 0, ["fused qkv × 1 · bias on q k v"]),
    "K = V": ({n: s for n, s in layers().items() if ".1.self_attn.v" not in n}, {**LLAMA, "attention_k_eq_v": True}, ["--layers"], 0,
            ["1 layer · 4 query heads on 2 key heads × 8 · separate matrices, values by the keys' own", "2 modules read, 0 refused"]),
    "cut short": ({n: s for n, s in layers().items() if ".1.self_attn.o" not in n}, LLAMA, [], 1, ["must have o_proj.weight too", "cut short"]),
    "sinks": ({**layers(), **{f"model.layers.{n}.self_attn.sinks": (N,) for n in range(L)}}, LLAMA, ["--layers"], 0, ["beside   model.layers.0.self_attn.sinks"]),
    "a rank": ({n: ((s[0] // 2, s[1]) if "o_proj" not in n else (s[0], s[1] // 2)) for n, s in layers().items()}, LLAMA, [], 1, ["one of 2 ranks"]),
    "MLA": (
        {f"model.layers.0.self_attn.{name}.weight": shape for name, shape in
         {"q_a_proj": (12, D), "q_a_layernorm": (12,), "q_b_proj": (48, 12), "kv_a_proj_with_mqa": (12, D), "kv_a_layernorm": (8,),
          "kv_b_proj": (64, 8), "o_proj": (D, D)}.items()},
        {"model_type": "deepseek_v3", "num_attention_heads": 4, "hidden_size": D, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "num_hidden_layers": 1},
        ["--tokens", "100"], 0, ["1 latent attention layer · 4 heads × 12 · in parts · no bias", "cache: 1 latent layer, each keeps 100 tokens: 2400 bytes"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_command_answers(tmp_path: Path, name: str, command: Command) -> None:
    """Its exit code, and what it says."""
    tensors, config, words, code, told = CASES[name]
    shown = command(put(tmp_path, tensors, config), *words, code=code)
    for text in told:
        assert text in shown, shown


STARTS: dict[str, Tensors] = {
    "one matrix, unknown names": {"kqv_all.weight": (3 * D, D), "projection.weight": (D, D)},
    "one matrix, grouped": {"att_proj.weight": (QKV, D), "attn_out.weight": (D, D)},
    "three, unknown names": {"to_query.weight": (D, D), "to_key.weight": (16, D), "to_value.weight": (16, D), "final_out.weight": (D, D)},
    "two, unknown names": {"q_in.weight": (D, D), "kv_in.weight": (2 * 16, D), "out_lin.weight": (D, D)},
    "the order inside is not known": {"c_attn.weight": (D, 3 * D), "c_proj.weight": (D, D)},
    "head by head in every family": {"query_key_value.weight": (QKV, D), "dense.weight": (D, D)},
    "biases apart": {"my_qkv.weight": (3 * D, D), "q_bias": (D,), "v_bias": (D,), "my_proj.weight": (D, D)},
    "the output is called otherwise": {"q_proj.weight": (D, D), "k_proj.weight": (16, D), "v_proj.weight": (16, D), "fc_out.weight": (D, D)},
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_a_layout_to_start_from_works_for_that_file(tmp_path: Path, command: Command, name: str) -> None:
    """It is taken out of the refusal, written to a file, and given back: nothing is refused, no bias is lost."""
    names = STARTS[name]
    grouped = any(
        shape[0] in (QKV, 16, 32) for part, shape in names.items() if part[0] in "qkat" and len(shape) > 1
    )
    heads = 2 if grouped and (3 * D, D) not in names.values() and (D, 3 * D) not in names.values() else 4
    config = {**LLAMA, "model_type": "x", "num_hidden_layers": 1, "num_key_value_heads": heads}
    put(tmp_path, {f"layers.0.attn.{part}": shape for part, shape in names.items()}, config)
    [refused] = json.loads(command(tmp_path, "--json", code=1))["refused"]
    (tmp_path / "mine.toml").write_text(refused["layout"])
    [module] = json.loads(command(tmp_path, "--layout", tmp_path / "mine.toml", "--json"))["modules"]
    assert module["biases"] == ("qv" if "q_bias" in names else "")


@pytest.mark.parametrize(
    "text",
    ["", "[", "tensors = 1", 'tensors = {"a" = 1}\nout = ["b"]', 'tensors = {"a.{}" = "qkv"}\nout = ["b"]\nmore = 1', 'tensors = {"a.{}" = "qq"}\nout = ["b"]',
     'tensors = {"a.{}" = "qkv"}\nout = ["b"]\naxes = true', "\udcff"],
)  # fmt: skip
def test_a_wrong_layout_is_named(tmp_path: Path, text: str, command: Command) -> None:
    """One line, exit code 1."""
    (tmp_path / "mine.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    put(tmp_path, layers(), LLAMA)
    assert command(tmp_path, "--layout", tmp_path / "mine.toml", code=1).count("\n") == 1


def test_the_cache_by_kind_of_layer(tmp_path: Path, command: Command) -> None:
    """Sliding layers keep their window, full ones all; batch and dtype multiply."""
    config = {**LLAMA, "sliding_window": 100, "layer_types": ["sliding_attention", "full_attention"]}
    words = (put(tmp_path, layers(), config), "--json", "--tokens")
    for dtype, size in SIZES.items():
        found = json.loads(command(*words, "1000", "--batch", "3", "--dtype", dtype))["cache"]
        each = 2 * KV * HD * size * 3
        told = [(row["kind"], row["tokens"], row["bytes"]) for row in found]
        assert told == [("sliding", 100, 100 * each), ("full", 1000, 1000 * each)]
    for change, kinds in (
        ({"layer_types": None}, ["sliding"]), ({"layer_types": None, "use_sliding_window": False}, ["full"]),
        ({"layer_types": None, "sliding_window_pattern": 2}, ["sliding", "full"]), ({"sliding_window": None}, ["full"]),
        ({"layer_types": None, "use_sliding_window": True, "max_window_layers": 1}, ["full", "sliding"]),
    ):  # fmt: skip
        put(tmp_path, layers(), {**config, **change})
        assert [row["kind"] for row in json.loads(command(*words, "1000"))["cache"]] == kinds
    for wrong in ("0", "-1", "x", "9" * 40):
        assert "must be a whole number from 1" in command(*words, wrong, code=2)


def test_what_ranks_hold(tmp_path: Path, command: Command) -> None:
    """Whole heads; key heads are copied where there are too few, and a fused tensor must be gathered role by role."""
    plan = wild.read(put(tmp_path, layers(), LLAMA)).plans["model.layers.0.self_attn"]
    weights = wild.read(tmp_path)["model.layers.0.self_attn"]
    for ranks in (1, 2, 4):
        held = wild.shards(plan, ranks)
        parts = [weights.W_Q[:, slice(*shard.columns["W_Q"])] for shard in held]
        assert np.array_equal(np.concatenate(parts, 1), weights.W_Q)
        keys = [weights.W_K[:, slice(*shard.columns["W_K"])] for shard in held[:: held[0].copies]]
        assert np.array_equal(np.concatenate(keys, 1), weights.W_K)
        for shard in held:  # each query head stands with its own key head
            q, k = (shard.columns[name][0] // HD for name in ("W_Q", "W_K"))
            assert q // (N // KV) == k
    shown = command(tmp_path, "--shards", "4")
    assert "rank 1: W_Q outputs 8 to 15, W_K outputs 0 to 7, W_V outputs 0 to 7, W_O rows 8 to 15" in shown
    assert "each key and value head stands on 2 ranks" in shown
    assert "must be a multiple of ranks=3, got 4" in command(tmp_path, "--shards", "3", code=1)
    phi3 = fused("model.layers.{}.self_attn.", {"qkv_proj.weight": (QKV, D), "o_proj.weight": (D, D)})
    put(tmp_path, phi3, {**LLAMA, "model_type": "phi3"})
    assert "are cut q k v × 2, not as the model is" in command(tmp_path, "--shards", "2")
    stored = wild.read(tmp_path)["model.layers.0.self_attn"]
    ranks = [np.concatenate([getattr(stored, name)[:, slice(*shard.columns[name])] for name in ("W_Q", "W_K", "W_V")], 1)
             for shard in wild.shards(stored.plan, 2)]  # fmt: skip
    again = wild.split(np.concatenate(ranks, 1), "qkv", stored.plan.widths, 2)
    assert np.array_equal(again["k"], stored.W_K)


def test_quantised_in_part(tmp_path: Path, command: Command) -> None:
    """One layer packed by GPTQ, one in F8, one plain: three lines."""
    stored: Stored = {}
    rows = {"q_proj": D, "k_proj": 16, "v_proj": 16, "o_proj": D}
    for number, make in enumerate((gptq, lambda count: fp8(count, "row"))):
        part, _ = module(make, rows)
        stored |= {name.replace("layers.0", f"layers.{number}"): entry for name, entry in part.items()}
    stored |= {f"layers.2.self_attn.{name}.weight": ("F32", random(count, D)) for name, count in rows.items()}
    shown = command(write(tmp_path, stored, {**LLAMA, "num_hidden_layers": 3}))
    for label in ("no bias · GPTQ 4 bits", "no bias · F8_E4M3 with scales", "no bias · F32"):
        assert f"1 layer · 4 query heads on 2 key heads × 8 · separate matrices · {label}" in shown
