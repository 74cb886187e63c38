"""Only the bytes that are asked for are read."""

import json
from pathlib import Path

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.wild._sources import LocalFile
from tests.wild.conftest import CONFIG, Make, bounded, header_of, llama, random, raw


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Record each range of each file that is read or mapped."""
    seen: list[tuple[str, int, int]] = []
    read, array = LocalFile.read, LocalFile.array

    def spied_read(self: LocalFile, start: int, stop: int) -> bytes:
        seen.append((self.name, start, stop))
        return read(self, start, stop)

    def spied_array(self: LocalFile, start: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        seen.append((self.name, start, start + int(np.prod(shape)) * np.dtype(dtype).itemsize))
        return array(self, start, dtype, shape)

    monkeypatch.setattr(LocalFile, "read", spied_read)
    monkeypatch.setattr(LocalFile, "array", spied_array)
    return seen


def test_listing_reads_headers_and_a_module_reads_its_own_tensors(
    make: Make, ranges: list[tuple[str, int, int]]
) -> None:
    """Nothing before the module is asked for, and then exactly its four matrices."""
    folder = make({**llama(at="layers.0.self_attn"), **llama(at="layers.1.self_attn")}, CONFIG)
    attentions = wild.read(folder)
    size = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    assert max(stop for name, _, stop in ranges if name == "model.safetensors") == 8 + size
    ranges.clear()
    attentions["layers.1.self_attn"]
    places = [attentions.checkpoint.tensor(p.name) for p in attentions.plans["layers.1.self_attn"].pieces]
    assert sorted(ranges) == sorted(("model.safetensors", place.begin, place.end) for place in places)


def test_a_checkpoint_larger_than_memory_opens_in_milliseconds(tmp_path: Path) -> None:
    """Four terabytes, sparse: a module in the middle is read as fast as from a small file."""
    gap = 2 * 10**12
    small = llama()
    at = gap + sum(array.nbytes for array in small.values())
    before, after = ({"dtype": "U8", "shape": [gap], "data_offsets": [n, n + gap]} for n in (0, at))
    text = raw({"before": before, **header_of(small, at=gap), "after": after})
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(text)
        try:
            file.seek(len(text) + gap)
            file.write(b"".join(array.tobytes() for array in small.values()))
            file.truncate(len(text) + at + gap)
        except OSError:
            pytest.skip("this file system has no files so large")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with bounded(1):
        weights = wild.read(tmp_path)["layers.0.self_attn"]
        assert np.array_equal(weights.W_K, small["layers.0.self_attn.k_proj.weight"].T)
    path.unlink()


def test_float32_is_a_view_of_the_file(make: Make) -> None:
    """Memory-mapped and transposed without a copy."""
    weights = wild.read(make(llama(), CONFIG))["layers.0.self_attn"]
    base = weights.W_Q
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_masked_bias_is_no_bias(make: Make) -> None:
    """DINOv3 stores one for its keys, and a mask beside it that takes it away, whatever the bias says."""
    tensors = {
        "a.qkv.weight": random(24, 8), "a.qkv.bias": random(24), "a.proj.weight": random(8, 8),
        "a.qkv.bias_mask": np.repeat(np.array([1, 0, 1], "<f4"), 8),
    }  # fmt: skip
    tensors["a.qkv.bias"][8] = np.nan
    told = {"architecture": "vit_small", "pretrained_cfg": {}, "num_attention_heads": 2}
    [weights] = wild.read(make(tensors, told)).values()
    assert weights.b_K.tolist() == [0] * 8
    assert np.array_equal(weights.b_V, tensors["a.qkv.bias"][16:])
