"""Quantised weights, packed here as their own libraries pack them: found under every name, and unpacked."""

# ruff: noqa: E501  # one case a line

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs import wild
from qkvdocs.errors import CheckpointError, DTypeError, LayoutError, QKVError
from tests.sample import times
from tests.wild.conftest import Command, file_of, random

D, OUT, GROUP = 32, 16, 8
RNG = np.random.default_rng(0)
Stored = dict[str, tuple[str, np.ndarray]]


def whole(low: int, high: int, *shape: int, kind: str = "i4") -> np.ndarray:
    """Give whole numbers."""
    return RNG.integers(low, high, shape).astype(kind)


def packed(values: np.ndarray, bits: int, order: tuple[int, ...] | None = None) -> np.ndarray:
    """Lay columns into words of 32 bits, one after the other, as a loop; where they leave a rest, across two words."""
    if 32 % bits:
        texts = ["".join(f"{value:0{bits}b}"[::-1] for value in row) for row in values.tolist()]
        words = [[int(text[at : at + 32][::-1], 2) for at in range(0, len(text), 32)] for text in texts]
        return np.array(words, "u4").view("i4")
    many = 32 // bits
    out = np.zeros((len(values), values.shape[1] // many), "u4")
    for column in range(out.shape[1]):
        for place in range(many):
            at = column * many + (place if order is None else order[place])
            out[:, column] |= values[:, at].astype("u4") << np.uint32(bits * place)
    return out.view("i4")


def gptq(rows: int, bits: int = 4, shuffled: bool = False, one: int = 1) -> tuple[Stored, np.ndarray]:
    """Pack as AutoGPTQ does: inputs go down the words, zero points are stored less one."""
    values, zeros = whole(0, 2**bits, D, rows), whole(1, 2**bits, D // GROUP, rows)
    scales, group = np.abs(random(D // GROUP, rows)).astype("f2"), np.arange(D) // GROUP
    group = RNG.permutation(group) if shuffled else group
    weight = ((values - zeros[group]) * scales[group].astype("f4")).T
    stored = {
        "qweight": ("I32", packed(values.T, bits).T), "qzeros": ("I32", packed(zeros - one, bits)), "scales": ("F16", scales),
        "g_idx": ("I32", group.astype("i4")),
    }  # fmt: skip
    return stored, weight


def awq(rows: int) -> tuple[Stored, np.ndarray]:
    """Pack as AutoAWQ does: outputs go along the words, eight at a time in an order of its own."""
    values, zeros = whole(0, 16, D, rows), whole(0, 16, D // GROUP, rows)
    scales, group = random(D // GROUP, rows).astype("f2"), np.arange(D) // GROUP
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    stored = {
        "qweight": ("I32", packed(values, 4, order)), "qzeros": ("I32", packed(zeros, 4, order)), "scales": ("F16", scales)
    }  # fmt: skip
    return stored, ((values - zeros[group]) * scales[group].astype("f4")).T


def nf4(rows: int, nested: bool = False) -> tuple[Stored, np.ndarray]:
    """Pack as bitsandbytes does: the first of two in the high half of a byte, a scale for each sixty-four."""
    codes, table = whole(0, 16, rows * D, kind="u1"), np.sort(random(16))
    blocks = rows * D // 64
    state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, D]}
    more: Stored = {}
    if nested:
        wide, index, outer = random(256), whole(0, 256, blocks, kind="u1"), random(-(-blocks // 4))
        absmax = wide[index] * outer[np.arange(blocks) // 4] + np.float32(0.5)
        state |= {"nested_blocksize": 4, "nested_offset": 0.5}
        more = {"weight.nested_absmax": ("F32", outer), "weight.nested_quant_map": ("F32", wide)}
    else:
        absmax = random(blocks)
    stored = {
        "weight": ("U8", (codes[::2] << 4 | codes[1::2])[:, None]), "weight.quant_map": ("F32", table),
        "weight.absmax": ("U8", index) if nested else ("F32", absmax), **more,
        "weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(json.dumps(state).encode(), "u1")),
    }  # fmt: skip
    return stored, (table[codes] * absmax[np.arange(rows * D) // 64]).reshape(rows, D)


def int8(rows: int) -> tuple[Stored, np.ndarray]:
    """Pack as bitsandbytes does: a row's largest entry is 127."""
    values, scale = whole(-127, 128, rows, D, kind="i1"), np.abs(random(rows))
    return {"weight": ("I8", values), "SCB": ("F32", scale)}, values * (scale / 127)[:, None]


def compressed(rows: int) -> tuple[Stored, np.ndarray]:
    """Pack as compressed-tensors does: eight inputs a word, shifted by eight to be positive."""
    values, scales = whole(-8, 8, rows, D), random(rows, D // GROUP)
    stored = {
        "weight_packed": ("I32", packed(values + 8, 4)), "weight_scale": ("F32", scales),
        "weight_shape": ("I64", np.array([rows, D])),
    }  # fmt: skip
    return stored, values * np.repeat(scales, GROUP, 1)


def mlx(rows: int, bits: int = 4) -> tuple[Stored, np.ndarray]:
    """Pack as MLX does: a scale and a bias a group."""
    values = whole(0, 2**bits, rows, D)
    scales, biases = (random(rows, D // GROUP, seed=seed) for seed in (0, 1))
    stored = {"weight": ("U32", packed(values, bits)), "scales": ("F32", scales), "biases": ("F32", biases)}
    return stored, values * np.repeat(scales, GROUP, 1) + np.repeat(biases, GROUP, 1)


def asymmetric(rows: int) -> tuple[Stored, np.ndarray]:
    """Pack as compressed-tensors does, with a zero point a group, and inputs in another order."""
    values, zeros = whole(0, 16, rows, D), whole(0, 16, rows, D // GROUP)
    scales, group = random(rows, D // GROUP), RNG.permutation(np.arange(D) // GROUP)
    stored = {
        "weight_packed": ("I32", packed(values, 4)), "weight_zero_point": ("I32", packed(zeros.T, 4).T), "weight_scale": ("F32", scales),
        "weight_shape": ("I64", np.array([rows, D])), "weight_g_idx": ("I32", group.astype("i4")),
    }  # fmt: skip
    return stored, (values - zeros[:, group]) * scales[:, group]


def four(rows: int, form: str) -> tuple[Stored, np.ndarray]:
    """Pack floats of four bits as compressed-tensors, ModelOpt or MLX does: the first of two in the low half."""
    size = 32 if form == "mx" else 16
    codes, powers = whole(0, 16, rows, D), whole(110, 130, rows, D // size, kind="u1")
    values = np.vectorize(lambda code: (-1) ** (code >> 3) * (code % 8 / 2 if code % 8 < 4 else 2.0 ** (code % 8 // 2 - 1) * (1 + code % 2 / 2)))(codes)  # fmt: skip
    stored = (codes[:, ::2] | codes[:, 1::2] << 4).astype("u1")
    if form == "mx":
        scale = (2.0 ** (powers.astype(int) - 127)).repeat(size, 1)
        return {"weight_packed": ("U8", stored), "weight_scale": ("U8", powers)}, values * scale
    patterns = whole(0, 120, rows, D // size, kind="u1")
    scale, one = np.vectorize(eight)(patterns).repeat(size, 1), np.array([3.0], "f4")
    scaled = {"weight_scale": ("F8_E4M3", patterns)}
    if form == "modelopt":
        return {"weight": ("U8", stored), **scaled, "weight_scale_2": ("F32", one)}, values * scale * 3
    return {
        "weight_packed": ("U8", stored),
        **scaled,
        "weight_global_scale": ("F32", one),
    }, values * scale / 3


def eight(pattern: int) -> float:
    """Say what one pattern of F8_E4M3 stands for, by its definition."""
    pattern = int(pattern)
    sign, exponent, rest = -1 if pattern & 128 else 1, pattern >> 3 & 15, pattern & 7
    return sign * (2.0 ** (exponent - 7) * (1 + rest / 8) if exponent else 2.0**-6 * rest / 8)


def fp8(rows: int, form: str) -> tuple[Stored, np.ndarray]:
    """Give numbers of eight bits with one scale, one a row, or one a block."""
    patterns = whole(0, 126, rows, D, kind="u1") + whole(0, 2, rows, D, kind="u1") * np.uint8(128)
    shape, wide = {
        "one": ((), (rows, D)),
        "row": ((rows, 1), (1, D)),
        "block": ((-(-rows // 12), -(-D // 12)), (12, 12)),
    }[form]
    scale = np.abs(random(*shape)) if shape else np.float32(0.25)
    full = np.repeat(np.repeat(np.reshape(scale, shape or (1, 1)), wide[0], 0), wide[1], 1)[:rows, :D]
    key = "weight_scale_inv" if form == "block" else "weight_scale"
    stored = {"weight": ("F8_E4M3", patterns), key: ("F32", np.asarray(scale))}
    return stored, np.vectorize(eight)(patterns) * full


FORMATS: dict[str, tuple[Callable[[int], tuple[Stored, np.ndarray]], dict[str, Any], str]] = {
    "gptq": (gptq, {}, "GPTQ 4 bits"),
    "gptq, 8 bits": (lambda rows: gptq(rows, 8), {}, "GPTQ 8 bits"),
    "gptq, 2 bits": (lambda rows: gptq(rows, 2), {}, "GPTQ 2 bits"),
    "gptq, in another order": (lambda rows: gptq(rows, shuffled=True), {}, "GPTQ 4 bits"),
    "gptq, version two": (lambda rows: gptq(rows, one=0), {"quantization_config": {"checkpoint_format": "gptq_v2"}}, "GPTQ"),
    "awq": (awq, {}, "AWQ 4 bits"),
    "bitsandbytes nf4": (nf4, {}, "bitsandbytes nf4"),
    "bitsandbytes nf4, nested": (lambda rows: nf4(rows, True), {}, "bitsandbytes nf4"),
    "bitsandbytes int8": (int8, {}, "bitsandbytes int8"),
    "compressed-tensors": (compressed, {}, "compressed-tensors 4 bits"),
    "compressed-tensors, zero points": (asymmetric, {}, "compressed-tensors 4 bits"),
    "NVFP4": (lambda rows: four(rows, "nv"), {}, "NVFP4"),
    "NVFP4 of ModelOpt": (lambda rows: four(rows, "modelopt"), {}, "NVFP4"),
    "MXFP4": (lambda rows: four(rows, "mx"), {}, "MXFP4"),
    "mlx": (mlx, {"quantization": {"bits": 4, "group_size": GROUP}}, "MLX 4 bits"),
    "fp8, one scale": (lambda rows: fp8(rows, "one"), {}, "F8_E4M3 with scales"),
    "fp8, one a row": (lambda rows: fp8(rows, "row"), {}, "F8_E4M3 with scales"),
    "fp8, blocks": (lambda rows: fp8(rows, "block"), {"quantization_config": {"weight_block_size": [12, 12]}}, "F8_E4M3"),
}  # fmt: skip


def write(folder: Path, stored: Stored, config: dict[str, Any]) -> Path:
    """Write a file of given dtypes."""
    arrays = {name: array for name, (_, array) in stored.items()}
    kinds = {name: kind for name, (kind, _) in stored.items()}
    (folder / "model.safetensors").write_bytes(file_of(arrays, kinds))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def module(
    make: Callable[[int], tuple[Stored, np.ndarray]], rows: dict[str, int]
) -> tuple[Stored, dict[str, np.ndarray]]:
    """Give the projections of one layer."""
    stored, weights = {}, {}
    for name, count in rows.items():
        parts, weights[name] = make(count)
        stored |= {f"layers.0.self_attn.{name}.{part}": array for part, array in parts.items()}
    return stored, weights


CONFIG = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": D}
LAYER = {"q_proj": D, "k_proj": OUT, "v_proj": OUT, "o_proj": D}


@pytest.mark.parametrize("name", FORMATS)
def test_a_packed_layer_is_read(tmp_path: Path, name: str, command: Command) -> None:
    """Its roles, shapes and values; the report says how it is stored."""
    make, more, label = FORMATS[name]
    stored, weights = module(make, LAYER)
    folder = write(tmp_path, stored, {**CONFIG, **more})
    found = wild.read(folder)["layers.0.self_attn"]
    for role in "qkvo":
        ours, theirs = getattr(found, f"W_{role.upper()}"), weights[f"{role}_proj"].T
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-6), role
    assert found.plan.pieces[0].dtype.startswith(label)
    assert not found.plan.others
    shown = command(folder)
    assert label in shown
    # Two bytes a number: what a cache keeps is not quantised with the weights.
    assert "64 cache bytes a token" in shown


@pytest.mark.parametrize("name", ["gptq", "awq", "bitsandbytes nf4", "fp8, one a row", "compressed-tensors"])
def test_fused_names_too(tmp_path: Path, name: str) -> None:
    """Phi-3, side by side, and GPT-NeoX, head by head."""
    make, more, _ = FORMATS[name]
    stored, weights = module(make, {"qkv_proj": 2 * D, "o_proj": D})
    found = wild.read(write(tmp_path, stored, {**CONFIG, **more, "model_type": "phi3"}))["layers.0.self_attn"]
    assert np.allclose(found.W_K, weights["qkv_proj"].T[:, D : D + OUT], atol=1e-6)
    stored, weights = module(make, {"query_key_value": 3 * D, "dense": D})
    config = {**more, "model_type": "gpt_neox", "num_attention_heads": 4}
    found = wild.read(write(tmp_path, stored, config))["layers.0.self_attn"]
    assert np.allclose(found.W_Q[:, :8], weights["query_key_value"].T[:, :8], atol=1e-6)
    assert np.allclose(found.W_K[:, :8], weights["query_key_value"].T[:, 8:16], atol=1e-6)


def test_a_layer_may_be_packed_in_part(tmp_path: Path) -> None:
    """As dynamic quantisation leaves some matrices alone."""
    stored, weights = module(gptq, {"q_proj": D, "k_proj": OUT, "o_proj": D})
    stored["layers.0.self_attn.v_proj.weight"] = ("F32", random(OUT, D))
    found = wild.read(write(tmp_path, stored, CONFIG))["layers.0.self_attn"]
    assert np.allclose(found.W_K, weights["k_proj"].T, atol=1e-6)
    assert np.array_equal(found.W_V, random(OUT, D).T)


def test_a_packed_conv1d_lies_as_a_linear_does(tmp_path: Path) -> None:
    """GPT-2 stores (in, out); whoever packs it makes a Linear of it first."""
    stored, weights = module(gptq, {"c_attn": 3 * D, "c_proj": D})
    config = {**CONFIG, "model_type": "gpt2", "num_key_value_heads": 4}
    found = wild.read(write(tmp_path, stored, config))["layers.0.self_attn"]
    assert np.allclose(found.W_K, weights["c_attn"].T[:, D : 2 * D], atol=1e-6)
    assert np.allclose(found.W_O, weights["c_proj"].T, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "told"),
    [(lambda: gptq(D, 3), {}), *((lambda bits=bits: mlx(D, bits), {"bits": bits, "group_size": GROUP}) for bits in (3, 5, 6))],
)  # fmt: skip
def test_entries_across_two_words(tmp_path: Path, make: Callable[[], tuple[Stored, np.ndarray]], told: dict[str, Any]) -> None:  # fmt: skip
    """Three, five or six bits leave a rest of a word, which the next entry begins in."""
    stored, weight = make()
    folder = write(tmp_path, {f"a.{part}": array for part, array in stored.items()}, {"quantization": told})
    assert np.allclose(wild.Checkpoint(folder)["a.weight"], weight, atol=1e-6)


BROKEN: dict[str, tuple[str, dict[str, tuple[str, np.ndarray] | None], str]] = {
    "gptq without scales": ("gptq", {"scales": None}, "quantised by GPTQ or AWQ"),
    "gptq of three bits": ("gptq", {"qzeros": ("I32", whole(0, 9, 4, 3))}, "quantised by GPTQ or AWQ"),
    "a group that is not there": ("gptq", {"g_idx": ("I32", np.full(D, 9, "i4"))}, "must be from 0 to 3, got 9 to 9"),
    "a group below zero": ("gptq", {"g_idx": ("I32", np.full(D, -1, "i4"))}, "must be from 0 to 3, got -1 to -1"),
    "nf4 without a state": ("bitsandbytes nf4", {"weight.quant_state.bitsandbytes__nf4": None}, "U8|quantised"),
    "nf4 with a state of text": (
        "bitsandbytes nf4", {"weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(b"{", "u1"))}, "must say shape and blocksize"),
    "nf4 with a nest": (
        "bitsandbytes nf4", {"weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(b'{"shape":' + b"[" * 9000, "u1"))}, "must say shape"),
    "nf4 with a giant shape": (
        "bitsandbytes nf4",
        {"weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(b'{"shape": [9999999999, 99999999], "blocksize": 64}', "u1"))},
        "must have half a byte for each"),
    "nf4 with a block of nothing": (
        "bitsandbytes nf4",
        {"weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(b'{"shape": [32, 32], "blocksize": 0}', "u1"))}, "must say shape"),
    "int8 without scales": ("bitsandbytes int8", {"SCB": None}, "got I8: a quantised weight"),
    "fp8 without scales": ("fp8, one scale", {"weight_scale": None}, "got F8_E4M3"),
    "fp8 with too many": ("fp8, one a row", {"weight_scale": ("F32", random(3, 3))}, "got F8_E4M3"),
    "mlx of no known width": ("mlx", {"scales": ("F32", random(D, 3))}, "got U32"),
    "compressed of another shape": ("compressed-tensors", {"weight_shape": ("I64", np.array([D, 9999]))}, "compressed-tensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    """By its name, and nothing is looked up where it is not."""
    kind, change, match = BROKEN[name]
    make, more, _ = FORMATS[kind]
    stored, _ = module(make, LAYER)
    for part, entry in change.items():
        if entry is None:
            del stored[f"layers.0.self_attn.q_proj.{part}"]
        else:
            stored[f"layers.0.self_attn.q_proj.{part}"] = entry
    with pytest.raises((DTypeError, LayoutError, CheckpointError), match=match):
        wild.read(write(tmp_path, stored, {**CONFIG, **more}))["layers.0.self_attn"]


def test_what_is_not_read_says_so(tmp_path: Path) -> None:
    """A scale for twenty-four, which nobody packs so: named, never guessed."""
    packed, scale = ("U8", whole(0, 9, D, 24, kind="u1")), ("F8_E4M3", whole(0, 9, D, 2, kind="u1"))
    stored: Stored = {}
    for at in (f"layers.0.self_attn.{name}" for name in LAYER):
        stored |= {f"{at}.weight_packed": packed, f"{at}.weight_scale": scale}
    with pytest.raises(LayoutError, match="quantised by compressed-tensors"):
        wild.read(write(tmp_path, stored, CONFIG))


@pytest.mark.parametrize(
    ("part", "by"),
    [("W_q", "HQQ"), ("codebooks", "AQLM"), ("weight._data", "quanto"), ("q_weight", "ExLlamaV2"), ("trellis", "ExLlamaV3")],
)  # fmt: skip
def test_what_others_pack_is_named(tmp_path: Path, part: str, by: str) -> None:
    """By the name of a part that only they have."""
    stored = {f"layers.0.self_attn.{name}_proj.{part}": ("U8", whole(0, 9, 4, kind="u1")) for name in "qkvo"}
    with pytest.raises(LayoutError, match=f"quantised by {by}"):
        wild.read(write(tmp_path, stored, CONFIG))


SIZES = {
    "F32": "<f4", "F16": "<f2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "I8": "i1", "U8": "u1", "F8_E4M3": "u1",
    "BF16": "<u2",
}  # fmt: skip


@settings(max_examples=times(400), deadline=None)
@given(
    name=st.sampled_from(sorted(FORMATS)), part=st.integers(0, 9), kind=st.sampled_from(sorted(SIZES)),
    shape=st.lists(st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64]), max_size=3), fill=st.integers(0, 255), gone=st.booleans(),
)  # fmt: skip
def test_any_part_may_be_of_another_kind(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    part: int,
    kind: str,
    shape: list[int],
    fill: int,
    gone: bool,
) -> None:
    """A part that is missing, of another dtype, another shape, other numbers: values, or an error of ours."""
    make, more, _ = FORMATS[name]
    stored, _ = module(make, LAYER)
    keys = [key for key in stored if "q_proj" in key]
    key = keys[part % len(keys)]
    if gone:
        del stored[key]
    else:
        array = np.full((*shape, np.dtype(SIZES[kind]).itemsize), fill, "u1")
        stored[key] = kind, array.view(SIZES[kind])[..., 0]
    try:
        folder = write(tmp_path_factory.getbasetemp(), stored, {**CONFIG, **more})
        with np.errstate(all="ignore"):
            assert wild.read(folder)["layers.0.self_attn"].W_Q.size > 0
    except QKVError:
        pass
