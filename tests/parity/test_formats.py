"""Other formats than safetensors, beside the libraries that write and read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qkvdocs import wild
from qkvdocs.errors import CheckpointError
from tests.parity.test_latent import LATENT

CONFIG = LlamaConfig(
    hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_hidden_layers=2,
    intermediate_size=64, vocab_size=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """Give a small model with weights of its own."""
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG).eval()


def assert_same(attentions: wild.Attentions, model: LlamaForCausalLM) -> None:
    """Bit for bit what the model multiplies with."""
    assert len(attentions) == CONFIG.num_hidden_layers
    for weights, layer in zip(attentions.values(), model.model.layers, strict=True):
        for role in "qkvo":
            theirs = getattr(layer.self_attn, f"{role}_proj").weight.detach().float().numpy().T
            assert np.array_equal(getattr(weights, f"W_{role.upper()}"), theirs), role


def test_transformers_turns_the_rows_of_gguf_as_we_do(model: LlamaForCausalLM, tmp_path: Path) -> None:
    """Its own reader's rule, undone and redone, on the matrices of a real model."""
    import gguf
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    their = LlamaTensorProcessor({})
    writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), "llama")
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    stored = {}
    for n, layer in enumerate(model.model.layers):
        for role, name, heads in (
            ("q", "attn_q", 4),
            ("k", "attn_k", 2),
            ("v", "attn_v", 0),
            ("o", "attn_output", 0),
        ):
            rows = getattr(layer.self_attn, f"{role}_proj").weight.detach().numpy()
            pairs = rows.reshape(heads, 2, 8, 64).swapaxes(1, 2).reshape(rows.shape) if heads else rows
            if heads:
                assert np.array_equal(their._reverse_permute_weights(pairs, 4, heads), rows)
            stored[f"blk.{n}.{name}.weight"] = pairs
    for name, pairs in stored.items():
        writer.add_tensor(name, np.ascontiguousarray(pairs))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert_same(wild.read(tmp_path / "a.gguf"), model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_torch_stored_is_read(model: LlamaForCausalLM, tmp_path: Path, dtype: torch.dtype) -> None:
    """A state dict, one of parameters, a training checkpoint, and shards with their index; to the bit."""
    cast = LlamaForCausalLM(CONFIG).to(dtype)
    cast.load_state_dict(model.state_dict())
    state = cast.state_dict()
    CONFIG.to_json_file(tmp_path / "config.json")
    optimizer = torch.optim.AdamW(cast.parameters())
    cast(torch.tensor([[1, 2]])).logits.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        cast.load_state_dict(model.state_dict())
    for name, told in {
        "a.pt": state,
        "b.bin": dict(cast.named_parameters()),
        "c.ckpt": {"state_dict": state, "optimizer_states": [optimizer.state_dict()], "epoch": 3},
        "d.pth": {"model": state, "optimizer": optimizer.state_dict(), "iter": 1},
    }.items():
        torch.save(told, tmp_path / name)
        assert_same(wild.read(tmp_path / name), cast)
        checkpoint = wild.Checkpoint(tmp_path / name)
        assert {key: checkpoint.tensor(key).shape for key in checkpoint} == {
            key: tuple(held.shape) for key, held in state.items()
        }


def test_storages_that_are_shared_and_turned(tmp_path: Path) -> None:
    """Views, slices, buffers and each dtype that both know: as torch loads them."""
    base = torch.randn(6, 4)
    state = {
        "a": base,
        "b": base.T,
        "c": base[2:4],
        "d": base[:, 1],
        "e": base[::2],
        "f": base.reshape(2, 3, 4),
    }
    state |= {"one": torch.tensor(3.0), "none": torch.zeros(0, 3), "parameter": torch.nn.Parameter(base)}
    kinds = (
        torch.float64,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
    )
    state |= {str(kind): torch.randn(3, 2).to(kind) for kind in (*kinds, torch.uint16, torch.uint32)}
    torch.save(state, tmp_path / "a.pt")
    ours = wild.Checkpoint(tmp_path / "a.pt")
    assert set(ours) == set(state)
    for name, theirs in state.items():
        assert np.array_equal(ours[name], theirs.detach().numpy()), name


def test_torchscript_and_old_files_are_named(tmp_path: Path) -> None:
    """With the command that converts them, which then is run."""
    layer = torch.nn.Linear(2, 2)
    torch.jit.save(torch.jit.script(layer), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="got TorchScript"):
        wild.Checkpoint(tmp_path / "a.pt")
    torch.save(layer.state_dict(), tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6") as told:
        wild.Checkpoint(tmp_path / "b.pt")
    code = str(told.value).partition('python -c "')[2].rstrip('"').replace("FILE", str(tmp_path / "b.pt"))
    exec(code.replace("model.pt", str(tmp_path / "c.pt")))
    assert np.array_equal(wild.Checkpoint(tmp_path / "c.pt")["weight"], layer.weight.detach().numpy())


FILES = Path(__file__).parents[1] / "wild" / "files"


def test_the_files_that_the_pages_read(tmp_path: Path, record: bool) -> None:
    """One layer of LLaMA as torch and as llama.cpp store it; what is kept holds what is written now."""
    import gguf

    kept = wild.Checkpoint(FILES.parent / "fixtures" / "llama")
    at = "layers.0.self_attn"
    state = {name: torch.tensor(np.array(kept[name])) for name in kept if at in name}
    for folder in [tmp_path] + [FILES] * record:
        folder.mkdir(exist_ok=True)
        torch.save({"model": state, "epoch": 1}, folder / "llama.pt")
        writer = gguf.GGUFWriter(str(folder / "llama.gguf"), "llama")
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_embedding_length(16)
        writer.add_block_count(1)
        for role, name, heads in (
            ("q", "attn_q", 4),
            ("k", "attn_k", 2),
            ("v", "attn_v", 0),
            ("o", "attn_output", 0),
        ):
            rows = state[f"{at}.{role}_proj.weight"].numpy()
            pairs = rows.reshape(heads, 2, -1, 16).swapaxes(1, 2).reshape(rows.shape) if heads else rows
            writer.add_tensor(f"blk.0.{name}.weight", np.ascontiguousarray(pairs))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    for name in ("llama.pt", "llama.gguf"):
        fresh, stored = wild.Checkpoint(tmp_path / name), wild.Checkpoint(FILES / name)
        assert fresh.config == stored.config
        assert list(fresh) == list(stored)
        assert all(np.array_equal(fresh[key], stored[key]) for key in fresh)


class CausalSelfAttention(torch.nn.Module):
    """The projections of nanoGPT, as its repository cuts them: one Linear, split in three."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_attn, self.c_proj = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give queries, keys and values."""
        return self.c_attn(x).split(x.shape[-1], dim=-1)


def test_nanogpt_is_cut_as_it_cuts_itself(tmp_path: Path) -> None:
    """Its own checkpoint, compiled prefix and all."""
    layer = CausalSelfAttention(8)
    state = {f"_orig_mod.transformer.h.0.attn.{name}": value for name, value in layer.state_dict().items()}
    arguments = {
        "n_layer": 1,
        "n_head": 2,
        "n_embd": 8,
        "block_size": 4,
        "bias": True,
        "vocab_size": None,
        "dropout": 0.0,
    }
    torch.save(
        {"model": state, "model_args": arguments, "iter_num": 5, "config": {"a": 1}}, tmp_path / "ckpt.pt"
    )
    weights = wild.read(tmp_path)["_orig_mod.transformer.h.0.attn"]
    x = torch.randn(5, 8)
    for ours, theirs in zip(weights.project(x.numpy()), layer(x), strict=True):
        assert np.abs(ours - theirs.detach().numpy()).max() < 1e-6


def packed_file(path: Path, stored: dict[str, torch.Tensor], **more: object) -> wild.Checkpoint:
    """Store what a library packed, and open it."""
    from safetensors.torch import save_file

    path.mkdir(exist_ok=True)
    save_file({f"a.{name}": value.contiguous() for name, value in stored.items()}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(more))
    return wild.Checkpoint(path)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_four_bits_as_bitsandbytes_unpacks_them(tmp_path: Path, kind: str, nested: bool) -> None:
    """On a matrix whose last block is not full."""
    import bitsandbytes.functional as bnb

    weight = torch.randn(60, 136)
    codes, state = bnb.quantize_4bit(weight, quant_type=kind, compress_statistics=nested)
    stored = {
        "weight": codes,
        **{f"weight.{name}": value for name, value in state.as_dict(packed=True).items()},
    }
    theirs = bnb.dequantize_4bit(codes, state).numpy()
    ours = packed_file(tmp_path, stored)["a.weight"]
    assert ours.shape == (60, 136)
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()


def test_eight_bits_as_bitsandbytes_unpacks_them(tmp_path: Path) -> None:
    """A scale a row."""
    import bitsandbytes.functional as bnb

    codes, scale, _ = bnb.int8_vectorwise_quant(torch.randn(16, 32).half())
    theirs = bnb.int8_vectorwise_dequant(codes, scale).numpy()
    ours = packed_file(tmp_path, {"weight": codes, "SCB": scale})["a.weight"]
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max()  # theirs divides by a rounded 127


@pytest.mark.parametrize("bits", [4, 8])
def test_words_as_compressed_tensors_unpacks_them(tmp_path: Path, bits: int) -> None:
    """Symmetric, a scale a group; a width that fills its last word in part."""
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    values = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (16, 36), dtype=torch.int8)
    scale, words = torch.rand(16, 3), pack_to_int32(values, bits)
    assert torch.equal(unpack_from_int32(words, bits, values.shape), values)
    stored = {"weight_packed": words, "weight_scale": scale, "weight_shape": torch.tensor([16, 36])}
    told = {"config_groups": {"group_0": {"weights": {"num_bits": bits}}}}
    ours = packed_file(tmp_path, stored, quantization_config=told)["a.weight"]
    assert np.array_equal(ours, (values.float() * scale.repeat_interleave(12, 1)).numpy())


def test_zero_points_as_compressed_tensors_unpacks_them(tmp_path: Path) -> None:
    """Packed down the outputs, a group a column."""
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    values, points = (torch.randint(-8, 8, shape, dtype=torch.int8) for shape in ((16, 32), (16, 4)))
    stored = {
        "weight_packed": pack_to_int32(values, 4), "weight_zero_point": pack_to_int32(points, 4, packed_dim=0),
        "weight_scale": torch.rand(16, 4), "weight_shape": torch.tensor([16, 32]),
    }  # fmt: skip
    wide = (part.repeat_interleave(8, 1) for part in (points.float(), stored["weight_scale"]))
    ours = packed_file(tmp_path, stored)["a.weight"]
    assert np.allclose(ours, ((values.float() - next(wide)) * next(wide)).numpy())


@pytest.mark.parametrize("size", [16, 32])
def test_floats_of_four_bits_as_compressed_tensors_unpacks_them(tmp_path: Path, size: int) -> None:
    """NVFP4 and MXFP4, by the library's own packing of both."""
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    library = NVFP4PackedCompressor if size == 16 else MXFP4PackedCompressor
    strategy = "tensor_group" if size == 16 else "group"
    weights = QuantizationArgs(num_bits=4, type="float", strategy=strategy, group_size=size)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    whole = {"weight_global_scale": torch.tensor([3.0])} if size == 16 else {}
    scale = torch.rand(16, 64 // size) + 0.5 if size == 16 else 2.0 ** torch.randint(-3, 3, (16, 64 // size))
    stored = library.compress({"weight": torch.randn(16, 64), "weight_scale": scale, **whole}, scheme)
    theirs = library.decompress(stored, scheme)["weight"].float().numpy()
    ours = packed_file(tmp_path, stored)["a.weight"]
    assert np.abs(theirs).max() > 0
    assert np.allclose(ours, theirs, rtol=2**-7)  # theirs are rounded to bfloat16


@pytest.mark.parametrize(
    ("bits", "size", "mode"),
    [*((bits, 64, "affine") for bits in (2, 3, 4, 5, 6, 8)), (4, 32, "mxfp4"), (4, 16, "nvfp4")],
)
def test_what_mlx_packs_is_unpacked_as_mlx_does(tmp_path: Path, bits: int, size: int, mode: str) -> None:
    """To the bit, out of the file that it writes."""
    mx = pytest.importorskip("mlx.core")
    parts = mx.quantize(mx.random.normal((32, 128)), group_size=size, bits=bits, mode=mode)
    theirs = mx.dequantize(*parts, group_size=size, bits=bits, mode=mode).astype(mx.float32)
    named = dict(zip(("a.weight", "a.scales", "a.biases"), parts, strict=False))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), named)
    told = {"quantization": {"bits": bits, "group_size": size, "mode": mode}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert np.array_equal(wild.Checkpoint(tmp_path)["a.weight"], np.array(theirs))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu])
def test_all_patterns_of_eight_bits_are_those_of_torch(dtype: torch.dtype) -> None:
    """Infinities and no-numbers too."""
    from qkvdocs.wild._quantised import eight_bit_values

    theirs = torch.arange(256, dtype=torch.uint8).view(dtype).float().numpy()
    name = {torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e8m0fnu: "F8_E8M0"}[
        dtype
    ]
    assert np.array_equal(eight_bit_values(name), theirs, equal_nan=True)


@pytest.mark.parametrize(
    "more", [{}, {"use_rslora": True}, {"use_dora": True}, {"alpha_pattern": {"q_proj": 16}}], ids=str
)
def test_adapters_are_merged_as_peft_merges_them(
    model: LlamaForCausalLM, tmp_path: Path, more: dict[str, object]
) -> None:
    """LoRA and DoRA on some of the projections of a real model."""
    import peft

    torch.manual_seed(1)
    base = LlamaForCausalLM(CONFIG)
    base.load_state_dict(model.state_dict())
    base.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], **more)
    adapted = peft.get_peft_model(base, config)
    for name, part in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(part) if "magnitude" not in name else torch.nn.init.uniform_(part, 1, 2)
    adapted.save_pretrained(tmp_path / "adapter")
    merged = adapted.merge_and_unload()
    ours = wild.read(tmp_path / "base", adapter=tmp_path / "adapter")
    for weights, layer in zip(ours.values(), merged.model.layers, strict=True):
        for role in "qkvo":
            theirs = getattr(layer.self_attn, f"{role}_proj").weight.detach().numpy().T
            assert np.abs(getattr(weights, f"W_{role.upper()}") - theirs).max() < 1e-5, role


def cut_qwen(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """Qwen 1: `query, key, value = mixed_x_layer.split(self.split_size, dim=2)`."""
    return list(fused.split(fused.shape[-1] // 3, dim=-1))


def cut_timm(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """Timm: `reshape(B, N, 3, num_heads, head_dim).permute(2, 0, 3, 1, 4).unbind(0)`."""
    rows, width = fused.shape
    parts = fused.reshape(1, rows, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0)
    return [part[0].transpose(0, 1).reshape(rows, -1) for part in parts]


def cut_internlm2(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """InternLM2: `rearrange("b q (h gs d) -> b q h gs d")`, then `:groups`, `-2` and `-1` of the axis `gs`."""
    groups = heads // kv
    parts = fused.reshape(len(fused), kv, 2 + groups, -1)
    return [
        part.reshape(len(fused), -1)
        for part in (parts[..., :groups, :], parts[..., -2, :], parts[..., -1, :])
    ]


def cut_megatron(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """Megatron-core: `view(sq, b, ng, (np/ng + 2) * hn)`, then a split into `[np/ng * hn, hn, hn]`."""
    width = fused.shape[-1] // (heads + 2 * kv)
    parts = fused.view(len(fused), kv, -1).split([heads // kv * width, width, width], dim=-1)
    return [part.reshape(len(fused), -1) for part in parts]


def cut_by_heads(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """ChatGLM without groups, and timm's MaxViT: `view(…, heads, 3 * d_head)`, then three chunks of the last axis."""
    parts = fused.view(len(fused), heads, -1).chunk(3, dim=-1)
    return [part.reshape(len(fused), -1) for part in parts]


def cut_chatglm(fused: torch.Tensor, heads: int, kv: int) -> list[torch.Tensor]:
    """ChatGLM with groups: `split([heads * d_head, groups * d_head, groups * d_head], dim=-1)`."""
    width = fused.shape[-1] // (heads + 2 * kv)
    return list(fused.split([heads * width, kv * width, kv * width], dim=-1))


CHATGLM = {"model_type": "chatglm", "multi_query_group_num": 2, "num_key_value_heads": None}


@pytest.mark.parametrize(
    ("cut", "name", "out", "kv", "config"),
    [
        (
            cut_chatglm,
            "attention.query_key_value",
            "attention.dense",
            2,
            {**CHATGLM, "multi_query_attention": True},
        ),
        (
            cut_by_heads,
            "attention.query_key_value",
            "attention.dense",
            4,
            {**CHATGLM, "multi_query_attention": False},
        ),
        (cut_by_heads, "attn.qkv", "attn.proj", 4, {"architecture": "maxvit_tiny", "pretrained_cfg": {}}),
        (cut_qwen, "attn.c_attn", "attn.c_proj", 4, {"model_type": "qwen"}),
        (cut_timm, "attn.qkv", "attn.proj", 4, {"architecture": "vit", "pretrained_cfg": {}}),
        (cut_internlm2, "attention.wqkv", "attention.wo", 2, {"model_type": "internlm2"}),
        (cut_megatron, "self_attention.linear_qkv", "self_attention.linear_proj", 2, {}),
    ],
)
def test_families_outside_transformers_are_cut_as_their_code_cuts(
    tmp_path: Path, cut: object, name: str, out: str, kv: int, config: dict[str, object]
) -> None:
    """Their code, as published, on the outputs of the fused matrix."""
    fused, back = torch.nn.Linear(32, (4 + 2 * kv) * 8, bias=False), torch.nn.Linear(32, 32, bias=False)
    stored = {
        f"layers.0.{name}.weight": fused.weight.detach(),
        f"layers.0.{out}.weight": back.weight.detach(),
    }
    torch.save(stored, tmp_path / "model.pt")
    told = {"num_attention_heads": 4, "num_key_value_heads": kv, "hidden_size": 32, **config}
    (tmp_path / "config.json").write_text(json.dumps(told))
    [weights] = wild.read(tmp_path).values()
    x = torch.randn(5, 32)
    for ours, theirs in zip(weights.project(x.numpy()), cut(fused(x), 4, kv), strict=True):
        assert np.abs(ours - theirs.detach().numpy()).max() < 1e-5


SMALL = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": 6,
    "intermediate_size": 16, "vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
EXPERTS = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
}
CACHES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "llama": ({}, {"full"}), "gemma3_text": ({"sliding_window": 8}, {"sliding", "full"}),
    "mistral": ({"sliding_window": 8}, {"sliding"}), "qwen3": ({}, {"full"}),
    "gemma3n_text": (
        {"sliding_window": 8, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8, "laurel_rank": 4,
         "vocab_size_per_layer_input": 32, "layer_types": ["sliding_attention", "full_attention"] * 3,
         "activation_sparsity_pattern": [0.0] * 6, "intermediate_size": [16] * 6},
        {"sliding", "full", "shared"}),
    "deepseek_v3": ({**LATENT, "head_dim": 4, "vocab_size": 32}, {"latent"}),
    "qwen3_next": (
        {**EXPERTS, "num_hidden_layers": 4, "linear_num_value_heads": 2, "linear_num_key_heads": 2,
         "linear_key_head_dim": 8, "linear_value_head_dim": 8}, {"full", "state"}),
    "bart": (
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}, {"encoder", "full", "cross"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", CACHES)
def test_the_cache_is_as_large_as_that_of_transformers(tmp_path: Path, kind: str) -> None:
    """Bytes of its own cache after some tokens, by kind of layer.

    A sliding layer keeps one token less there than its window.
    """
    from transformers import AutoConfig, AutoModel

    from qkvdocs.wild._cache import cache_of

    tokens, batch = 24, 3
    more, kinds = CACHES[kind]
    config = AutoConfig.for_model(kind, **{**SMALL, **more})
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(tmp_path)
    ids = torch.ones(batch, tokens, dtype=torch.long)
    inputs = {"decoder_input_ids": ids} if kind == "bart" else {}
    with torch.no_grad():
        held = model(input_ids=ids, **inputs, use_cache=True).past_key_values
    both = [held.self_attention_cache, held.cross_attention_cache] if kind == "bart" else [held]
    attentive = [
        layer for cache in both for layer in cache.layers if getattr(layer, "keys", None) is not None
    ]
    theirs = sum(layer.keys.nbytes + layer.values.nbytes for layer in attentive)
    short = sum(layer.keys.shape[-2] == 8 - 1 for layer in attentive)
    rows = cache_of(wild.read(tmp_path), tokens, batch, "float32")
    assert {row["kind"] for row in rows} == kinds
    ours = sum(row["bytes"] or 0 for row in rows)
    one = 2 * SMALL["num_key_value_heads"] * SMALL["head_dim"] * 4 * batch
    assert ours == theirs + one * short
