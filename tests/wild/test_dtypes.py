"""bfloat16 bit by bit, and what is refused as quantised."""

from pathlib import Path

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import DTypeError, LayoutError
from qkvdocs.wild._attentions import look
from tests.wild.conftest import CONFIG, Make, llama, random, raw


def test_bfloat16_is_exact_for_all_patterns(make: Make) -> None:
    """All 65 536, NaN payloads and subnormals included: the upper half is the pattern, the lower is zero."""
    patterns = np.arange(1 << 16, dtype="<u2")
    array = wild.Checkpoint(make({"a": patterns}))["a"]
    assert array.dtype == np.float32
    bits = array.view("<u4")
    assert np.array_equal(bits >> 16, patterns)
    assert not (bits & 0xFFFF).any()


def test_bfloat16_means_what_arithmetic_says(make: Make) -> None:
    """Sign, eight bits of exponent, seven of fraction, computed by hand for every finite pattern."""
    patterns = np.arange(1 << 16)
    sign, exponent, fraction = patterns >> 15, patterns >> 7 & 0xFF, patterns & 0x7F
    normal = np.ldexp(1 + fraction / 128.0, exponent - 127)
    value = np.where(exponent == 0, np.ldexp(fraction / 128.0, -126), normal) * (1 - 2.0 * sign)
    array = wild.Checkpoint(make({"a": patterns.astype("<u2")}))["a"]
    finite = exponent < 255
    assert np.array_equal(array[finite].astype("f8"), value[finite])


def test_saving_bfloat16_is_exact_or_refused(tmp_path: Path) -> None:
    """All finite and infinite patterns come back; a value that would be rounded is refused."""
    patterns = np.arange(1 << 16, dtype="<u4") << 16
    array = patterns.view("<f4")
    wild.save(tmp_path / "a.safetensors", {"a": array}, bf16={"a"})
    assert np.array_equal(wild.Checkpoint(tmp_path / "a.safetensors")["a"].view("<u4"), patterns)
    for wrong in (np.array([0.1], "f4"), np.array([0.5], "f8")):
        with pytest.raises(DTypeError, match="a must be float32 that bfloat16 holds exactly"):
            wild.save(tmp_path / "b.safetensors", {"a": wrong}, bf16={"a"})
    assert not list(tmp_path.glob("b*"))


@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8", ">f4"]
)
def test_what_is_saved_comes_back(tmp_path: Path, dtype: str) -> None:
    """Every dtype that numpy and the format share, to the bit."""
    array = np.arange(6).reshape(2, 3).astype(dtype).T
    wild.save(tmp_path / "a.safetensors", {"a": array, "b": np.zeros((), dtype)})
    held = wild.Checkpoint(tmp_path / "a.safetensors")
    assert np.array_equal(held["a"], array)
    assert held["b"].shape == ()


def test_what_the_format_lacks_is_not_saved(tmp_path: Path) -> None:
    """Such as complex128."""
    with pytest.raises(DTypeError, match=r"a must have a dtype out of .* got complex128"):
        wild.save(tmp_path / "a.safetensors", {"a": np.zeros(1, "c16")})


def test_half_precision_is_widened(make: Make) -> None:
    """As all of the core does."""
    [weights] = wild.read(make({name: a.astype("<f2") for name, a in llama().items()}, CONFIG)).values()
    assert weights.W_Q.dtype == np.float32


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I8", "U8", "F4"])
def test_quantised_weights_are_refused(tmp_path: Path, dtype: str) -> None:
    """By name and dtype, before anything is read."""
    header, at = {}, 0
    for name, array in llama().items():
        size = array.size // 2 if dtype == "F4" else array.size
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + size]}
        at += size
    (tmp_path / "model.safetensors").write_bytes(raw(header, bytes(at)))
    refused = look(tmp_path, n_heads=4, n_kv_heads=2).refused["layers.0.self_attn"]
    assert isinstance(refused, DTypeError)
    assert "q_proj.weight must be stored as F64, F32, F16, BF16, got" in str(refused)
    assert f"got {dtype}: a quantised weight" in str(refused)


@pytest.mark.parametrize("scale", ["weight_scale", "weight_scale_inv", "SCB", "scales"])
def test_a_scale_beside_a_weight_gives_it_away(make: Make, scale: str) -> None:
    """Even where the weight itself looks like a float."""
    attentions = look(make({**llama(), f"layers.0.self_attn.k_proj.{scale}": random(1)}, CONFIG))
    told = rf"k_proj.weight must be a plain weight, got one with .*{scale} beside it"
    with pytest.raises(DTypeError, match=told):
        attentions["layers.0.self_attn"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("q_proj.qweight", "GPTQ"), ("qkv_proj.qweight", "GPTQ"), ("query_key_value.qweight", "GPTQ"),
        ("q_proj.weight_packed", "compressed-tensors"), ("attention.query.weight_packed", "compressed-tensors"),
        ("q_proj.lora_A.weight", "an adapter"), ("c_attn.lora_A.weight", "an adapter"),
        ("Wqkv.lora_A.default.weight", "an adapter"), ("v_proj.lora_A.weight", "an adapter"),
        ("q_proj.base_layer.weight", "Merge the adapter first"),
    ],
)  # fmt: skip
def test_other_quantised_names_and_adapters_are_named(make: Make, name: str, what: str) -> None:
    """Under the name of any projection, fused ones too; their tensors have other names altogether."""
    with pytest.raises(LayoutError, match=what):
        wild.read(make({f"layers.0.self_attn.{name}": random(2, 2)}, CONFIG))


def test_numpy_cannot_hold_float8(tmp_path: Path) -> None:
    """Asked for directly, the tensor is refused by name."""
    (tmp_path / "a.safetensors").write_bytes(
        raw({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"0")
    )
    with pytest.raises(DTypeError, match="a must be stored as numbers that numpy can hold, got F8_E4M3"):
        wild.Checkpoint(tmp_path / "a.safetensors")["a"]


def test_a_single_bfloat16_number(tmp_path: Path) -> None:
    """An array without axes stays one, read-only as all others."""
    entry = {"one": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]}}
    (tmp_path / "model.safetensors").write_bytes(raw(entry, b"\xc0\x3f"))
    found = wild.Checkpoint(tmp_path)["one"]
    assert found.shape == ()
    assert float(found) == 1.5
    assert not found.flags.writeable
