"""The reader against the format's own library: what one takes the other takes, and they agree on the values."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from qkvdocs import wild
from qkvdocs.errors import QKVError
from tests.wild.conftest import FIXTURES
from tests.wild.test_header import HOSTILE

GOOD = (FIXTURES / "llama" / "model.safetensors").read_bytes()


def takes(path: Path) -> tuple[bool, bool]:
    """Ask both."""
    try:
        with safe_open(path, "pt") as file:
            theirs = {
                name: file.get_slice(name).get_shape() for name in list(file.keys())
            }  # it has no iterator
    except SafetensorError:
        theirs = None
    try:
        ours = wild.Checkpoint(path)
    except QKVError:
        return theirs is not None, False
    if theirs is not None:
        assert {name: list(ours.tensor(name).shape) for name in ours} == theirs
    return theirs is not None, True


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    """We take nothing that the library refuses."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name][0])
    theirs, ours = takes(path)
    assert not ours
    assert not theirs or name in LENIENT


LENIENT = {"a key too many", "many axes", "a name twice", "a name twice, once escaped", "metadata twice"}
"""What the library lets pass, and we do not."""


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_files(changes: list[tuple[int, int]]) -> None:
    """Bytes of a good file changed at random: we never take what the library refuses."""
    content = bytearray(GOOD)
    for at, value in changes:
        content[at] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(content)
        theirs, ours = takes(path)
        assert theirs or not ours


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_values(dtype: torch.dtype, tmp_path: Path) -> None:
    """Written by the library, read by us, every bit the same."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    tensor = bits.view(dtype) if dtype.itemsize == 2 else torch.randn(1 << 12).to(dtype)
    save_file({"a": tensor}, tmp_path / "model.safetensors")
    wide = tensor.float() if dtype == torch.bfloat16 else tensor
    assert np.array_equal(wild.Checkpoint(tmp_path)["a"], wide.numpy(), equal_nan=True)


def test_what_we_write_the_library_reads(tmp_path: Path) -> None:
    """Names, shapes, dtypes and values."""
    arrays = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b é": np.zeros(0, "f8"), "c": np.array(3, "i8")}
    wild.save(tmp_path / "a.safetensors", arrays, bf16={"a"})
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.get_tensor("a").dtype == torch.bfloat16
        assert np.array_equal(file.get_tensor("a").float().numpy(), arrays["a"])
        assert file.get_tensor("c").item() == 3
        assert list(file.get_tensor("b é").shape) == [0]
