"""What people have on their disks: each gets a right answer or a next step, from the command itself."""

# ruff: noqa: E501  # one case a line

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import __main__, wild
from qkvdocs.wild._cache import SIZES
from tests.wild.conftest import header_of, random, raw
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


def put(
    folder: Path,
    tensors: Tensors,
    config: Any = None,
    file: str = "model.safetensors",
    name: str = "config.json",
) -> Path:
    """Write noise of some shapes."""
    arrays = {key: random(*shape, seed=n) for n, (key, shape) in enumerate(tensors.items())}
    (folder / file).write_bytes(
        raw(header_of(arrays), b"".join(array.tobytes() for array in arrays.values()))
    )
    if config is not None:
        (folder / name).write_text(json.dumps(config))
    return folder


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
    "timm": (fused("blocks.{}.attn.", MHA), TIMM, ["--n-heads", "4"], 0, ["2 layers · 4 heads × 8 · fused qkv × 1 · bias on q k v o"]),
    "timm without heads": (fused("blocks.{}.attn.", MHA), TIMM, [], 1, ["n_heads must be known", "give n_heads and n_kv_heads"]),
    "timm BEiT": (
        fused("blocks.{}.attn.", {"qkv.weight": (3 * D, D), "q_bias": (D,), "v_bias": (D,), "proj.weight": (D, D), "proj.bias": (D,)}),
        {**TIMM, "architecture": "beit_base"}, ["--n-heads", "4"], 0, ["bias on q v o"]),
    "open_clip": (
        {f"{at}.resblocks.0.attn.{name}": shape for at in ("visual.transformer", "transformer") for name, shape in CLIP.items()},
        OPEN_CLIP, [], 0, ["2 heads × 16", "4 heads × 8", "2 modules read, 0 refused"]),
    "diffusers UNet": (UNET_NAMES, {"_class_name": "UNet2DConditionModel"}, ["--n-heads", "4"], 1,
                       ["1 layer · 4 heads × 8 · separate matrices · bias on o", "keys and values come from rows of another width"]),
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
    "K = V": ({n: s for n, s in layers().items() if ".1.self_attn.v" not in n}, {**LLAMA, "attention_k_eq_v": True}, [], 1,
              ["attention_k_eq_v=True, so its values may be its keys"]),
    "cut short": ({n: s for n, s in layers().items() if ".1.self_attn.o" not in n}, LLAMA, [], 1, ["must have o_proj.weight too", "cut short"]),
    "sinks": ({**layers(), **{f"model.layers.{n}.self_attn.sinks": (N,) for n in range(L)}}, LLAMA, ["--layers"], 0, ["beside   model.layers.0.self_attn.sinks"]),
    "a rank": ({n: ((s[0] // 2, s[1]) if "o_proj" not in n else (s[0], s[1] // 2)) for n, s in layers().items()}, LLAMA, [], 1, ["one of 2 ranks"]),
    "MLA": (
        {f"model.layers.0.self_attn.{name}.weight": shape for name, shape in
         {"q_a_proj": (12, D), "q_b_proj": (48, 12), "kv_a_proj_with_mqa": (12, D), "kv_b_proj": (64, 8), "o_proj": (D, D)}.items()},
        {"model_type": "deepseek_v3", "num_attention_heads": 4, "hidden_size": D, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "num_hidden_layers": 1},
        ["--tokens", "100"], 1, ["latent attention: a norm stands between", "cache: 1 latent layer, each keeps 100 tokens: 2400 bytes"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_command_answers(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit code, and what it says."""
    tensors, config, words, code, told = CASES[name]
    kind = "open_clip_config.json" if name == "open_clip" else "config.json"
    assert __main__.main(["wild", str(put(tmp_path, tensors, config, name=kind)), *words]) == code
    shown = capsys.readouterr().out
    for text in told:
        assert text in shown, shown


def test_a_layout_to_start_from_works_for_that_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is taken out of the refusal, written to a file, and given back: separate, fused, turned."""
    for number, names in enumerate((
        {"qkv.weight": (3 * D, D), "projection.weight": (D, D)}, {"att_proj.weight": (QKV, D), "attn_out.weight": (D, D)},
        {"to_query.weight": (D, D), "to_key.weight": (16, D), "to_value.weight": (16, D), "final_out.weight": (D, D)},
        {"c_attn.weight": (D, 3 * D), "c_proj.weight": (D, D)},
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        config = {
            **LLAMA,
            "model_type": "x",
            "num_hidden_layers": 1,
            "num_key_value_heads": 4 if (3 * D, D) in names.values() or number == 3 else 2,
        }
        put(folder, {f"layers.0.attn.{name}": shape for name, shape in names.items()}, config)
        assert __main__.main(["wild", str(folder), "--json"]) == 1
        [refused] = json.loads(capsys.readouterr().out)["refused"]
        (folder / "mine.toml").write_text(refused["layout"])
        assert __main__.main(["wild", str(folder), "--layout", str(folder / "mine.toml")]) == 0, refused
        assert "1 modules read, 0 refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ["", "[", "tensors = 1", 'tensors = {"a" = 1}\nout = ["b"]', 'tensors = {"a.{}" = "qkv"}\nout = ["b"]\nmore = 1', 'tensors = {"a.{}" = "qq"}\nout = ["b"]',
     'tensors = {"a.{}" = "qkv"}\nout = ["b"]\naxes = true', "\udcff"],
)  # fmt: skip
def test_a_wrong_layout_is_named(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 1."""
    (tmp_path / "mine.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    put(tmp_path, layers(), LLAMA)
    assert __main__.main(["wild", str(tmp_path), "--layout", str(tmp_path / "mine.toml")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_cache_by_kind_of_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sliding layers keep their window, full ones all; batch and dtype multiply."""
    config = {**LLAMA, "sliding_window": 100, "layer_types": ["sliding_attention", "full_attention"]}
    folder = str(put(tmp_path, layers(), config))
    for dtype, size in SIZES.items():
        assert (
            __main__.main(["wild", folder, "--tokens", "1000", "--batch", "3", "--dtype", dtype, "--json"])
            == 0
        )
        found = json.loads(capsys.readouterr().out)["cache"]
        each = 2 * KV * HD * size * 3
        assert [(row["kind"], row["tokens"], row["bytes"]) for row in found] == [
            ("sliding", 100, 100 * each),
            ("full", 1000, 1000 * each),
        ]
    for change, kinds in (
        ({"layer_types": None}, ["sliding"]), ({"layer_types": None, "use_sliding_window": False}, ["full"]),
        ({"layer_types": None, "sliding_window_pattern": 2}, ["sliding", "full"]), ({"sliding_window": None}, ["full"]),
        ({"layer_types": None, "use_sliding_window": True, "max_window_layers": 1}, ["full", "sliding"]),
    ):  # fmt: skip
        put(tmp_path, layers(), {**config, **change})
        assert __main__.main(["wild", folder, "--tokens", "1000", "--json"]) == 0
        assert [row["kind"] for row in json.loads(capsys.readouterr().out)["cache"]] == kinds
    for wrong in ("0", "-1", "x", "9" * 40):
        assert __main__.main(["wild", folder, "--tokens", wrong]) == 2
        assert "must be a whole number from 1" in capsys.readouterr().err


def test_what_ranks_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert __main__.main(["wild", str(tmp_path), "--shards", "4"]) == 0
    shown = capsys.readouterr().out
    assert "rank 1: W_Q outputs 8 to 15, W_K outputs 0 to 7, W_V outputs 0 to 7, W_O rows 8 to 15" in shown
    assert "each key and value head stands on 2 ranks" in shown
    assert __main__.main(["wild", str(tmp_path), "--shards", "3"]) == 1
    assert "must be a multiple of ranks=3, got 4" in capsys.readouterr().err
    put(
        tmp_path,
        fused("model.layers.{}.self_attn.", {"qkv_proj.weight": (QKV, D), "o_proj.weight": (D, D)}),
        {**LLAMA, "model_type": "phi3"},
    )
    assert __main__.main(["wild", str(tmp_path), "--shards", "2"]) == 0
    assert "are cut q k v × 2, not as the model is" in capsys.readouterr().out
    stored = wild.read(tmp_path)["model.layers.0.self_attn"]
    ranks = [np.concatenate([getattr(stored, name)[:, slice(*shard.columns[name])] for name in ("W_Q", "W_K", "W_V")], 1)
             for shard in wild.shards(stored.plan, 2)]  # fmt: skip
    again = wild.split(np.concatenate(ranks, 1), "qkv", stored.plan.widths, 2)
    assert np.array_equal(again["k"], stored.W_K)


def test_quantised_in_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One layer packed by GPTQ, one in F8, one plain: three lines."""
    stored: Stored = {}
    rows = {"q_proj": D, "k_proj": 16, "v_proj": 16, "o_proj": D}
    for number, make in enumerate((gptq, lambda count: fp8(count, "row"))):
        part, _ = module(make, rows)
        stored |= {name.replace("layers.0", f"layers.{number}"): entry for name, entry in part.items()}
    stored |= {f"layers.2.self_attn.{name}.weight": ("F32", random(count, D)) for name, count in rows.items()}
    assert __main__.main(["wild", str(write(tmp_path, stored, {**LLAMA, "num_hidden_layers": 3}))]) == 0
    shown = capsys.readouterr().out
    for label in ("no bias · GPTQ 4 bits", "no bias · F8_E4M3 with scales", "no bias · F32"):
        assert f"1 layer · 4 query heads on 2 key heads × 8 · separate matrices · {label}" in shown
