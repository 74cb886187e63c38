"""Numpy's archives: written by numpy, read without it reading the whole."""

# ruff: noqa: E501  # one case a line

import contextlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs import wild
from qkvdocs.errors import CheckpointError
from tests.sample import times
from tests.wild.conftest import CONFIG, bounded, damaged, llama, random, read_all


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path: Path, save: object) -> None:
    """Stored and deflated, each dtype, big-endian and in Fortran's order; as an attention module too."""
    arrays = {
        **llama(), "half": random(3, 2).astype("<f2"), "big": random(2, 2).astype(">f8"), "turned": np.asfortranarray(random(2, 3)),
        "none": random(0, 3), "one": np.array(3.0), "whole": np.arange(3), "yes": np.array([True, False]),
    }  # fmt: skip
    save(tmp_path / "model.npz", **arrays)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    attentions = wild.read(tmp_path)
    assert np.array_equal(attentions["layers.0.self_attn"].W_Q, llama()["layers.0.self_attn.q_proj.weight"].T)
    for name, array in arrays.items():
        read = attentions.checkpoint[name]
        assert np.array_equal(read, array), name
        assert read.shape == array.shape
        assert not read.flags.writeable


def test_only_the_bytes_of_an_array_are_read(tmp_path: Path) -> None:
    """A stored array is mapped; opening a deflated one unpacks its header alone."""
    np.savez(tmp_path / "a.npz", large=np.zeros(5_000_000), small=random(2))
    np.savez_compressed(tmp_path / "b.npz", large=np.zeros(5_000_000), small=random(2))
    for name in ("a.npz", "b.npz"):
        with bounded(peak=3_000_000):
            assert np.array_equal(wild.Checkpoint(tmp_path / name)["small"], random(2))


def array(header: bytes, data: bytes = bytes(8), magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    """Write one array by hand."""
    return magic + len(header).to_bytes(2, "little") + header + data


GOOD = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
HOSTILE = {
    "nothing": (b"", "must begin with numpy's header"),
    "another magic": (array(GOOD, magic=b"\x93NUMPX\x01\x00"), "must begin with numpy's header"),
    "an unknown version": (array(GOOD, magic=b"\x93NUMPY\x09\x00"), "must begin with numpy's header"),
    "a header of code": (array(b"__import__('os').system('touch OWNED')\n"), "must begin with numpy's header"),
    "deep nesting": (array(b"(" * 9000 + b"\n"), "must begin with numpy's header"),
    "a long header": (array(b" " * 20_000 + GOOD), "must begin with numpy's header"),
    "objects": (array(GOOD.replace(b"<f4", b"|O")), "must begin with numpy's header of an array of numbers"),
    "text": (array(GOOD.replace(b"<f4", b"<U2")), "must hold numbers out of"),
    "records": (array(GOOD.replace(b"'<f4'", b"[('a', '<f4')]")), "must begin with"),
    "a negative size": (array(GOOD.replace(b"(2,)", b"(-2,)")), "must begin with"),
    "a giant shape": (array(GOOD.replace(b"(2,)", b"(2**60,)")), "must begin with numpy's header"),
    "a giant shape as a number": (array(GOOD.replace(b"(2,)", b"(1152921504606846976,)")), "as its header says, got"),
    "a number that numpy lacks": (array(GOOD.replace(b"<f4", b"<f3")), "must hold numbers out of"),
    "a header that ends behind the file": (array(GOOD)[:40], "must begin with"),
    "cut short": (array(GOOD, bytes(7)), "as its header says, got"),
}  # fmt: skip


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_refused(tmp_path: Path, name: str, how: int) -> None:
    """With an error of ours, at once."""
    content, match = HOSTILE[name]
    with zipfile.ZipFile(tmp_path / "a.npz", "w", how) as file:
        file.writestr("a.npy", content)
    with bounded(0.5), pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(tmp_path / "a.npz")


def test_a_bomb_is_unpacked_no_further_than_it_says(tmp_path: Path) -> None:
    """A member that goes on behind its size, and one that ends before it."""
    body = array(GOOD)
    for more, match in ((10_000_000, ""), (-4, r"must have \d+ bytes unpacked, got|broken|must be deflated")):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a.npy", body + bytes(more) if more > 0 else body[:more])
        content = bytearray((tmp_path / "a.npz").read_bytes())
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = len(body).to_bytes(4, "little")
        (tmp_path / "a.npz").write_bytes(content)
        refused = pytest.raises(CheckpointError, match=match) if match else contextlib.nullcontext()
        with bounded(peak=3_000_000), refused:
            assert wild.Checkpoint(tmp_path / "a.npz")["a"].tolist() == [0, 0]


@settings(max_examples=times(300), deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_good_file_with_wrong_bytes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: int, deflated: bool
) -> None:
    """Arrays, or an error of ours."""
    out = io.BytesIO()
    (np.savez_compressed if deflated else np.savez)(out, **llama())
    path = tmp_path_factory.getbasetemp() / "fuzzed.npz"
    path.write_bytes(damaged(out.getvalue(), changes, cut))
    read_all(path, n_heads=4, n_kv_heads=2)
