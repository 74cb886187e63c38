"""Which files make a checkpoint, and which are refused by name."""

import json
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError, LayoutError
from qkvdocs.wild._sources import LocalFile
from tests.wild.conftest import CONFIG, Make, file_of, llama, random, raw

INDEX = "model.safetensors.index.json"


def shards(folder: Path, weight_map: object = None) -> Path:
    """Write a checkpoint of two shards."""
    found = {}
    for number in (0, 1):
        name, part = f"model-0000{number + 1}-of-00002.safetensors", llama(at=f"layers.{number}.self_attn")
        (folder / name).write_bytes(file_of(part))
        found |= dict.fromkeys(part, name)
    (folder / INDEX).write_text(json.dumps({"weight_map": found if weight_map is None else weight_map}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    """With their index, and without."""
    folder = shards(tmp_path)
    assert list(wild.read(folder)) == ["layers.0.self_attn", "layers.1.self_attn"]
    (folder / INDEX).unlink()
    assert list(wild.read(folder)) == ["layers.0.self_attn", "layers.1.self_attn"]


def test_the_index_decides(tmp_path: Path) -> None:
    """Mistral's folders hold the same weights twice: what the index does not name is left alone."""
    folder = shards(tmp_path)
    (folder / "consolidated.safetensors").write_bytes(b"not even a checkpoint")
    assert len(wild.read(folder)) == 2
    (folder / INDEX).unlink()
    assert len(wild.read(folder)) == 2


def test_the_consolidated_file_alone_is_read(make: Make) -> None:
    """With Meta's names, and the head counts of params.json."""
    module = {k.replace("_proj", "").replace(".self_attn.", ".attention.w"): a for k, a in llama().items()}
    folder = make(module, None, "consolidated.safetensors")
    (folder / "params.json").write_text(json.dumps({"dim": 8, "n_heads": 4, "n_kv_heads": 2}))
    assert wild.read(folder)["layers.0.attention"].layout.family == "LLaMA, Meta's names"


def test_progress_names_each_file(tmp_path: Path) -> None:
    """Opening many shards behind an address takes a while."""
    seen: list[tuple[int, int, str]] = []
    wild.read(shards(tmp_path), progress=lambda *step: seen.append(step))
    assert [step[:2] for step in seen] == [(0, 2), (1, 2)]


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\b", "a\0b", "C:\\x"],
)
def test_an_index_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    """By its text alone: the file is not looked for."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(raw({}))
    told = r"a file of the index must be a plain name inside the folder|must be"
    with pytest.raises(CheckpointError, match=told):
        wild.Checkpoint(shards(folder, {"a": name}))


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    """Nothing outside is read; the message says how to mean it."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(raw({}))
    (folder / "model.safetensors").symlink_to(tmp_path / "secret.safetensors")
    told = r"model.safetensors must stay inside the folder .* Name the file itself"
    with pytest.raises(CheckpointError, match=told):
        wild.Checkpoint(folder)
    assert len(wild.Checkpoint(folder / "model.safetensors")) == 0


def test_a_config_that_is_a_link_outside_is_refused(
    make: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also beside a file that was named itself."""
    folder = make(llama())
    secret = tmp_path_factory.mktemp("out") / "secret.json"
    secret.write_text(json.dumps(CONFIG))
    (folder / "config.json").symlink_to(secret)
    with pytest.raises(CheckpointError, match=r"config.json must stay inside the folder"):
        wild.read(folder / "model.safetensors")


def test_the_hugging_face_cache_is_read(make: Make, tmp_path: Path) -> None:
    """Its snapshots are links to the blobs beside them, and to nothing else."""
    snapshot = tmp_path / "models--x" / "snapshots" / "abc"
    blobs = tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    make(llama(), CONFIG)
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).rename(blobs / f"{name}-hash")
        (snapshot / name).symlink_to(Path("..") / ".." / "blobs" / f"{name}-hash")
    assert len(wild.read(snapshot)) == 1
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match="must stay inside"):
        wild.read(snapshot)


def test_link_loops_are_refused(tmp_path: Path) -> None:
    """As the file, as the folder, as the index."""
    for name in ("model.safetensors", INDEX):
        folder = tmp_path / name.replace(".", "")
        folder.mkdir()
        (folder / name).symlink_to(folder / name)
        with pytest.raises(CheckpointError, match=name):
            wild.Checkpoint(folder)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(CheckpointError):
        wild.Checkpoint(loop)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening one would otherwise wait for ever."""
    os.mkfifo(tmp_path / "model.safetensors")
    for address in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(CheckpointError, match="must be a regular file"):
            wild.Checkpoint(address)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("flax_model.msgpack", "from_flax"), ("tf_model.h5", "HDF5"), ("a.weights.h5", "of Keras. Take its arrays"),
        ("model.onnx", "ONNX"), ("model.keras", "Keras"),
    ],
)  # fmt: skip
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str, match: str) -> None:
    """Without being opened: the file need not even exist."""
    with pytest.raises(CheckpointError, match=match):
        wild.read(tmp_path / name)


@pytest.mark.parametrize(
    ("start", "match"),
    [
        (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"\x1c\0\0\0TFL3", "TensorFlow Lite"), (b"\x1c\0\0\0ET12", "ExecuTorch"),
        (b"\x81\xa5model\x80", "flax's msgpack"), (b"\xde\x00\x14\xa2l0\x81", "flax's msgpack"),
        (b"\x08\x09\x12\x07pytorch", "ONNX, a graph"), (b"\x08\x0e:\x8d\x01\n", "ONNX, .* numpy.savez"),
        (b"<!DOCTYPE html>", "a page of HTML"), (b"version https://git-lfs.github.com", "git lfs pull"),
        (b"\x88\xa1\0\0\0\0\0\0{\"a\":", "at least as long as its header"),
    ],
)  # fmt: skip
def test_what_is_called_otherwise_is_known_by_its_content(tmp_path: Path, start: bytes, match: str) -> None:
    """A file of another format under the name of a checkpoint; one that is cut short is still called that."""
    (tmp_path / "model.bin").write_bytes(start + bytes(300))
    with pytest.raises(CheckpointError, match=match):
        wild.read(tmp_path / "model.bin")


@pytest.mark.parametrize(
    "start", [b"\x80\x04.", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."]
)
def test_a_bare_pickle_is_named(tmp_path: Path, start: bytes) -> None:
    """What torch.save wrote long ago, or pickle itself, with the command that makes an archive of it."""
    (tmp_path / "pytorch_model.bin").write_bytes(start)
    told = r"a bare pickle, which can run code .*weights_only=True\), 'model.pt'"
    with pytest.raises(CheckpointError, match=told):
        wild.read(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"must hold a checkpoint, got none"):
        wild.read(tmp_path)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["mp_rank_00"], "a Megatron checkpoint"), (["latest_checkpointed_iteration.txt", "iter_10"], "Megatron"),
        (["model_optim_rng.pt"], "one rank of a Megatron checkpoint"),
        (["__0_0.distcp", ".metadata"], "torch distributed checkpoint.*dcp_to_torch"),
        (["_METADATA", "d"], "an Orbax checkpoint. Restore it"), (["model.onnx"], "ONNX, a graph"),
        (["model_index.json", "unet", "vae"], "a diffusers pipeline. Give the folder of one of its models"),
        (["model.ckpt.index", "model.ckpt.data-00000-of-00001"], "a TensorFlow checkpoint"),
        (["openvino_model.bin", "openvino_model.xml"], "OpenVINO, a graph"), (["model.keras"], "a Keras archive"),
        (["flax_model.msgpack"], "flax's msgpack.*from_flax=True"),
        (["readme.md"], "none among link, readme.md"), ([], "got none among link"),
        (["readme.md", "checkpoint/_METADATA"], "checkpoint/_METADATA: an Orbax checkpoint"),
        (["iter_10/mp_rank_00/w.bin"], "iter_10/mp_rank_00: a Megatron checkpoint"),
        (["readme.md", "model/model.safetensors"], "one in model. Give that folder"),
    ],
)  # fmt: skip
def test_a_folder_of_another_format_gets_its_next_step(tmp_path: Path, names: list[str], match: str) -> None:
    """Known by the names in it and in the folders in it; nothing is opened, and no link followed."""
    (tmp_path / "link").symlink_to(Path(__file__).parent / "fixtures" / "gpt2")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=rf"must hold a checkpoint, .*{match}"):
        wild.read(tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "match"),
    [
        ([], "must map tensors to files"), ({"a": 1}, "must map tensors to files"),
        ({"a": "missing.safetensors"}, "missing.safetensors must be in the folder"),
        ({"missing": "model-00001-of-00002.safetensors"}, "must hold missing, as the index says"),
    ],
)  # fmt: skip
def test_a_wrong_index_is_refused(tmp_path: Path, weight_map: object, match: str) -> None:
    """Each way of being wrong by its name."""
    with pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(shards(tmp_path, weight_map))


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    """A download that broke off."""
    folder = shards(tmp_path)
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors .*Cut short"):
        wild.Checkpoint(folder)


def test_a_name_in_two_files_is_refused(tmp_path: Path) -> None:
    """Without an index nobody can say which one counts."""
    folder = shards(tmp_path)
    (folder / INDEX).unlink()
    first = (folder / "model-00001-of-00002.safetensors").read_bytes()
    (folder / "model-00002-of-00002.safetensors").write_bytes(first)
    with pytest.raises(CheckpointError, match=r"layers.0.self_attn.q_proj.weight must stand in one file"):
        wild.Checkpoint(folder)


@pytest.mark.parametrize(
    "config", ["[]", "{", '"x"', "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "[" * 100_000]
)
def test_a_broken_config_is_refused(make: Make, config: str) -> None:
    """It decides the cut, so it is not passed over."""
    with pytest.raises(CheckpointError, match=r"config.json must"):
        wild.read(make(llama(), config))


def test_a_giant_config_is_not_read(make: Make) -> None:
    """Sparse, one gigabyte."""
    folder = make(llama(), "{")
    os.truncate(folder / "config.json", 1_000_000_000)
    with pytest.raises(CheckpointError, match=r"config\.json must be at most"):
        wild.read(folder)


def test_a_file_that_changes_is_refused(make: Make) -> None:
    """Between opening and reading, so that no old header is applied to new bytes."""
    folder = make(llama(), CONFIG)
    attentions = wild.read(folder)
    make({**llama(), "more": random(2)}, CONFIG)
    with pytest.raises(CheckpointError, match="must stay as it was when it was opened"):
        attentions["layers.0.self_attn"]


def test_a_file_without_attention_is_refused(make: Make) -> None:
    """With some of the names that it holds."""
    told = r"must hold an attention module that the atlas knows, got 1 tensors: conv"
    with pytest.raises(LayoutError, match=told):
        wild.read(make({"conv.weight": random(2, 2)}, {}))


def test_nothing_there(tmp_path: Path) -> None:
    """A path that does not exist."""
    with pytest.raises(CheckpointError, match=r"nothing there"):
        wild.read(tmp_path / "no.safetensors")
    with pytest.raises(CheckpointError):
        wild.read("a\0b")


def test_arrays_are_read_only(make: Make) -> None:
    """They are windows into the file."""
    checkpoint = wild.Checkpoint(make({"a": random(2), "b": np.zeros(2, "<u2")}))
    assert not any(checkpoint[name].flags.writeable for name in checkpoint)


def test_a_folder_may_be_named_like_a_file_of_another_format(make: Make) -> None:
    """What it holds decides."""
    folder = make(llama(), CONFIG)
    named = folder.rename(folder.with_name("step=10.ckpt"))
    assert len(wild.read(named)) == 1


def test_what_cannot_be_a_file_is_named(make: Make, tmp_path: Path) -> None:
    """A folder of the name, and a name that no file system holds."""
    (tmp_path / "whole" / "model.safetensors").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"model\.safetensors must be a regular file, got a folder"):
        wild.read(tmp_path / "whole")
    folder = make(llama(), CONFIG)
    (folder / "model.safetensors.index.json").write_text(r'{"weight_map": {"a": "\ud800.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"\\ud800.safetensors must be a file that can be followed"):
        wild.read(folder)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its last byte; and a link that took its place is not followed."""
    path = tmp_path / "a"
    path.write_bytes(bytes(64))
    file, opened = LocalFile(path, "a"), LocalFile._open

    def then_changed(self: LocalFile) -> BinaryIO:
        found = opened(self)
        path.write_bytes(bytes(65))
        return found

    assert file.read(0, 8) == bytes(8)
    monkeypatch.setattr(LocalFile, "_open", then_changed)
    with pytest.raises(CheckpointError, match="must stay as it was when it was opened"):
        file.read(0, 8)
    (tmp_path / "b").symlink_to(path)
    with pytest.raises(CheckpointError, match="b must be a file that can be read"):
        LocalFile(tmp_path / "b", "b")
