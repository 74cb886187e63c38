"""Files of torch.save, put together by hand: their pickle is followed and never run, whatever it says."""

# ruff: noqa: E501  # one case a line

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs import wild
from qkvdocs.errors import CheckpointError, DTypeError, LayoutError, QKVError
from tests.sample import times
from tests.wild.conftest import CONFIG, bounded, damaged, llama, random, read_all

KINDS = {
    "<f4": "FloatStorage",
    "<f2": "HalfStorage",
    "<u2": "BFloat16Storage",
    "<i8": "LongStorage",
    "|u1": "ByteStorage",
}


class Ref(NamedTuple):
    """A class or function by its name."""

    name: str


class Call(NamedTuple):
    """What calling one would make."""

    by: Any
    given: Any


class Pid(NamedTuple):
    """A persistent id."""

    told: Any


def written(value: Any) -> bytes:
    """Write a value as a pickle of protocol 2 does, without its first and last byte."""
    match value:
        case Ref(name):
            module, _, last = name.rpartition(".")
            return f"c{module}\n{last}\n".encode()
        case Call(by, given):
            return written(by) + written(given) + b"R"
        case Pid(told):
            return written(told) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(written, value)) + b"t"
        case list():
            return b"](" + b"".join(map(written, value)) + b"e"
        case dict():
            return b"}(" + b"".join(written(k) + written(v) for k, v in value.items()) + b"u"
        case bytes():
            return value  # steps of its own
    raise TypeError(value)


def tensor(key: str, array: np.ndarray, *, offset: int = 0, shape: Any = None, strides: Any = None) -> Call:
    """Describe a tensor that lies in a storage."""
    steps = tuple(step // array.itemsize for step in array.strides)
    storage = Pid(("storage", Ref(f"torch.{KINDS[array.dtype.str]}"), key, "cpu", array.size))
    sizes, steps = array.shape if shape is None else shape, steps if strides is None else strides
    given = (storage, offset, sizes, steps, False, Call(Ref("collections.OrderedDict"), ()))
    return Call(Ref("torch._utils._rebuild_tensor_v2"), given)


def archive(
    path: Path, told: Any, storages: dict[str, bytes] | None = None, more: dict[str, bytes] | None = None,
    how: int = zipfile.ZIP_STORED,
) -> Path:  # fmt: skip
    """Write the archive."""
    text = told if isinstance(told, bytes) else b"\x80\x02" + written(told) + b"."
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("archive/data.pkl", text)
        for name, data in {"byteorder": b"little", **(more or {})}.items():
            file.writestr(f"archive/{name}", data)
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
    return path


def save(path: Path, arrays: dict[str, np.ndarray], wrap: Callable[[Any], Any] = lambda state: state) -> Path:
    """Write arrays as torch.save does, a storage each."""
    state = {name: tensor(str(n), array) for n, (name, array) in enumerate(arrays.items())}
    return archive(path, wrap(state), {str(n): array.tobytes("A") for n, array in enumerate(arrays.values())})


def assert_llama(attentions: wild.Attentions, path: str = "layers.0.self_attn") -> None:
    """Bit for bit."""
    for role in "qkvo":
        theirs = llama()[f"layers.0.self_attn.{role}_proj.weight"].T
        assert np.array_equal(getattr(attentions[path], f"W_{role.upper()}"), theirs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "state_dict": state, "optimizer_states": [{"state": {}}]},
        lambda state: {"optimizer": {"x": tensor("0", random(1))}, "model": state, "best": 1.5, "config": {"a": None}},
        lambda state: {"model": {"module": state}},
        lambda state: {**state, "args": Call(Ref("argparse.Namespace"), ())},
        lambda state: {name: Call(Ref("torch._utils._rebuild_parameter"), (t, True, {})) for name, t in state.items()},
        lambda state: {
            name: Call(Ref("torch._tensor._rebuild_from_type_v2"), (t.by, Ref("my.Tensor"), t.given, {}))
            for name, t in state.items()
        },
        # An ordered dict, with versions as its state, which no one needs.
        lambda state: b"\x80\x02" + written(Call(Ref("collections.OrderedDict"), ())) + written(state)[1:] + written({"_metadata": 1}) + b"b.",
    ],
    ids=["plain", "Lightning", "nanoGPT", "wrapped twice", "a namespace beside", "parameters", "a subclass", "ordered"],
)  # fmt: skip
def test_state_dicts_are_read(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    """In the shapes that training scripts store them."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert_llama(wild.read(save(tmp_path / "model.ckpt", llama(), wrap)))
    assert_llama(wild.read(tmp_path))


def test_shards_follow_their_index(tmp_path: Path) -> None:
    """As transformers wrote them before safetensors."""
    names = list(llama())
    for number in (0, 1):
        part = {name: llama()[name] for name in names[number::2]}
        save(tmp_path / f"pytorch_model-0000{number + 1}-of-00002.bin", part)
    weight_map = {name: f"pytorch_model-0000{n % 2 + 1}-of-00002.bin" for n, name in enumerate(names)}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "training_args.bin").write_bytes(b"not even a checkpoint")
    assert_llama(wild.read(tmp_path))
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    assert_llama(wild.read(tmp_path))


def test_metas_files_take_their_counts_from_params(tmp_path: Path) -> None:
    """One file is read; two are ranks of a model that was cut, and are not taken for one."""
    module = {k.replace("_proj", "").replace(".self_attn.", ".attention.w"): a for k, a in llama().items()}
    save(tmp_path / "consolidated.00.pth", module)
    (tmp_path / "params.json").write_text('{"dim": 8, "n_heads": 4, "n_kv_heads": 2}')
    assert_llama(wild.read(tmp_path), "layers.0.attention")
    save(tmp_path / "consolidated.01.pth", module)
    with pytest.raises(CheckpointError, match="join the ranks first"):
        wild.read(tmp_path)


def test_tensors_that_share_or_turn_a_storage(tmp_path: Path) -> None:
    """A slice, a transpose, one without entries, one of a single number; each dtype as safetensors has it."""
    base = random(6, 4)
    whole = base.tobytes()
    state = {
        "whole": tensor("0", base), "turned": tensor("0", base.T), "rows": tensor("0", base, offset=8, shape=(2, 4)),
        "column": tensor("0", base, offset=1, shape=(6,), strides=(4,)), "none": tensor("0", base, shape=(0, 4)),
        "one": tensor("0", base, offset=3, shape=(), strides=()),
    }  # fmt: skip
    checkpoint = wild.Checkpoint(archive(tmp_path / "a.pt", state, {"0": whole}))
    expected = {"whole": base, "turned": base.T, "rows": base[2:4], "column": base[:, 1], "one": base[0, 3]}
    assert all(np.array_equal(checkpoint[name], array) for name, array in expected.items())
    assert checkpoint["none"].shape == (0, 4)
    assert not any(checkpoint[name].flags.writeable for name in expected)
    sizes = {kind: 2 * np.dtype(kind).itemsize for kind in KINDS}
    kinds = {kind: random(2, 2).view("u1")[:, :size].copy().view(kind) for kind, size in sizes.items()}
    checkpoint = wild.Checkpoint(save(tmp_path / "b.pt", kinds))
    assert [checkpoint.tensor(kind).dtype for kind in kinds] == ["F32", "F16", "BF16", "I64", "U8"]
    assert np.array_equal(checkpoint["<u2"].view("<u4") >> 16, kinds["<u2"])


def test_nanogpt(tmp_path: Path) -> None:
    """Its checkpoint says how many heads it has; its projection lies (out, in), which GPT-2's does not."""
    shapes = {"c_attn.weight": (24, 8), "c_attn.bias": (24,), "c_proj.weight": (8, 8), "c_proj.bias": (8,)}
    held = {name: random(*shape) for name, shape in shapes.items()}
    named = {f"_orig_mod.transformer.h.0.attn.{name}": array for name, array in held.items()}
    arguments = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 4, "bias": True}
    save(tmp_path / "ckpt.pt", named, lambda state: {"model": state, "model_args": arguments})
    weights = wild.read(tmp_path)["_orig_mod.transformer.h.0.attn"]
    assert weights.layout.family == "nanoGPT"
    assert weights.n_heads == 2
    assert np.array_equal(weights.W_K, held["c_attn.weight"][8:16].T)


def test_what_depends_on_a_placeholder_is_refused_by_name(tmp_path: Path) -> None:
    """Its neighbours are read; a quantised tensor, or one of a class of somebody's own, is not."""
    arrays = llama()
    right, odd = (f"layers.0.self_attn.{role}_proj.weight" for role in "qv")
    strange = Call(Ref("my.secret.make"), ("x",))
    path = save(tmp_path / "a.pt", arrays, lambda state: {**state, odd: strange})
    checkpoint = wild.Checkpoint(path)
    assert np.array_equal(checkpoint[right], arrays[right])
    told = rf"{odd} must be a tensor that torch itself rebuilds, got one of my.secret.make, which is not run"
    with pytest.raises(DTypeError, match=told):
        checkpoint[odd]
    with pytest.raises(LayoutError, match=odd):
        wild.read(path, n_heads=4, n_kv_heads=2)


def test_nothing_is_run_imported_or_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way that a pickle has to call something, beside tensors that are read all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("run"))
    for steps in (
        b"cos\nsystem\n(X\x0b\x00\x00\x00touch OWNEDtR", b"(X\x0b\x00\x00\x00touch OWNEDios\nsystem\n", b"(cos\nsystem\nX\x0b\x00\x00\x00touch OWNEDo",
        b"cos\nsystem\n(X\x0b\x00\x00\x00touch OWNEDt\x81", b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93(X\x0b\x00\x00\x00touch OWNEDtR",
        b"cbuiltins\n__import__\n(X\x0b\x00\x00\x00antigravitytR", b"cbuiltins\neval\n(X\x11\x00\x00\x00open('OWNED','w')tR}b",
    ):  # fmt: skip
        path = save(tmp_path / "a.pt", llama(), lambda state, s=steps: {**state, "evil": s})
        checkpoint = wild.Checkpoint(path)
        assert len(checkpoint) == 5
        with pytest.raises(DTypeError, match="which is not run"):
            checkpoint["evil"]
    assert not (tmp_path / "OWNED").exists()
    assert "antigravity" not in __import__("sys").modules


SPREAD = b"\x80\x02)" + b"2\x86" * 60  # a tuple of itself, twice, sixty times: 2**60 leaves
HOSTILE: dict[str, tuple[Any, str]] = {
    "no pickle": (b"", "the pickle in a.pt must be whole|must end"),
    "text": (b"hello", "must be whole"),
    "no end": (b"\x80\x02}", "must be whole|must end"),
    "nothing on the stack": (b"\x80\x02.", "must be whole"),
    "a mark for a value": (b"\x80\x02(.", "must be whole"),
    "a memo that is empty": (b"\x80\x02h\x05.", "must be whole"),
    "a memo place of 2**32": (b"\x80\x02Nr\xff\xff\xff\xff.", "must hold a state dict"),
    "a text of 2**60": (b"\x80\x02\x8d" + struct.pack("<Q", 2**60) + b".", "must be whole"),
    "a number of 2**31 bytes": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "must be whole"),
    "a frame of 2**60": (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b".", "must be whole"),
    "an extension code": (b"\x80\x02\x82\x01.", "no state dict has"),
    "a persistent id of text": (b"\x80\x02Pa\n.", "no state dict has"),
    "many marks": (b"\x80\x02" + b"(" * 50_000 + b".", "must be whole"),
    "tuples in tuples": (b"\x80\x02)" + b"\x85" * 50_000 + b".", "more than 100 values within values"),
    "lists that grow inwards": (b"\x80\x02]q\x00" + b"]q\x01ah\x01q\x00" * 50_000 + b".", "more than 100 values within values"),
    "calls of calls": (b"\x80\x02c__main__\nf\n" + b")R" * 50_000 + b".", "more than 100 values within values"),
    "2**60 leaves": (SPREAD + b".", "must hold a state dict"),
    "2**60 leaves as a key": (b"\x80\x02}" + SPREAD[2:] + b"Nsa.", "must be whole|state dict"),
    "2**60 leaves as a storage": (
        {"a": Call(Ref("torch._utils._rebuild_tensor_v2"), (Pid(SPREAD[2:]), 0, (1,), (1,), False, None))},
        "must lie in a storage of the archive, got"),
    "2**60 leaves as a shape": ({"a": tensor("0", random(1), shape=(SPREAD[2:],))}, "all whole and from 0"),
    "a list, a dict that hold themselves": (b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.", "must hold a state dict"),
    "a number": (5, "must hold a state dict: names and tensors, got int"),
    "a module": (Call(Ref("my.Model"), ()), "got an object of my.Model. Store it: torch.save"),
    "a long name": ({"a" * 10_001: tensor("0", random(1))}, "a name of at most 10000 characters, got 10001"),
    "a storage that is missing": ({"a": tensor("7", random(1))}, "data/7.*got no such member"),
    "a storage outside": ({"a": tensor("../../etc/passwd", random(1))}, "got no such member"),
    "a tensor larger than its storage": ({"a": tensor("0", random(1), shape=(3,), strides=(1,))}, "must lie in its storage of 8 bytes"),
    "behind its storage": ({"a": tensor("0", random(1), offset=2**60)}, "must lie in its storage"),
    "steps too wide": ({"a": tensor("0", random(1), shape=(2,), strides=(2**40,))}, "must lie in its storage"),
    "one entry a trillion times": ({"a": tensor("0", random(1), shape=(10**12,), strides=(0,))}, "10{12} entries|1000000000000 entries"),
    "a negative step": ({"a": tensor("0", random(1), shape=(2,), strides=(-1,))}, "from 0"),
    "a negative offset": ({"a": tensor("0", random(1), offset=-1)}, "from 0"),
    "a size that is true": ({"a": tensor("0", random(1), shape=(True,), strides=(1,))}, "from 0"),
    "more sizes than steps": ({"a": tensor("0", random(1), shape=(1, 1), strides=(1,))}, "as many steps as sizes"),
    "a thousand axes": ({"a": tensor("0", random(1), shape=(1,) * 1000, strides=(1,) * 1000)}, "as many steps"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(tmp_path: Path, name: str) -> None:
    """With an error of ours, in bounded time and memory."""
    told, match = HOSTILE[name]
    path = archive(tmp_path / "a.pt", told, {"0": bytes(8)})
    size = path.stat().st_size
    with bounded(0.5 + 5e-5 * size, 5_000_000 + 200 * size), pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(path)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"constants.pkl": b""}, "got TorchScript, a program. Store its weights:"),
        ({"code/__torch__.py": b""}, "TorchScript"),
        ({"byteorder": b"big"}, "in the order little, got another"),
        ({"more/data.pkl": b""}, "must hold one data.pkl, got archive/data.pkl and archive/more/data.pkl"),
    ],
)
def test_other_archives_of_torch_are_named(tmp_path: Path, more: dict[str, bytes], match: str) -> None:
    """With the next step."""
    with pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(archive(tmp_path / "a.pt", {}, more=more))


def test_an_old_tar_file_is_named(tmp_path: Path) -> None:
    """What torch.save wrote before its first release."""
    import tarfile

    with tarfile.open(tmp_path / "a.pt", "w") as file:
        file.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    told = r"a tar archive, as torch.save once wrote, .* in a place you trust: .*weights_only=False"
    with pytest.raises(CheckpointError, match=told):
        wild.Checkpoint(tmp_path / "a.pt")


def patched(path: Path, at: bytes, offset: int, new: bytes) -> Path:
    """Change bytes behind the last place of a mark."""
    content = bytearray(path.read_bytes())
    begin = content.rindex(at) + offset
    content[begin : begin + len(new)] = new
    path.write_bytes(content)
    return path


END, ENTRY = b"PK\x05\x06", b"PK\x01\x02"


@pytest.mark.parametrize(
    ("mark", "offset", "new", "match"),
    [
        (END, 0, b"XXXX", "must end with the directory"),
        (END, 12, b"\xff" * 4, "must end inside the file"),
        (END, 16, b"\xfe\xff\xff\xff", "must end inside the file"),
        (END, 12, b"\x01\x00\x00\x00", "must hold whole entries"),
        (ENTRY, 0, b"XX", "must hold whole entries"),
        (ENTRY, 8, b"\x01", "not encrypted"),
        (ENTRY, 10, b"\x0c", "stored or deflated"),
        (ENTRY, 20, b"\x00\x00\x00\x10", "got method 0"),
        (ENTRY, 28, b"\xff\xff", "must hold whole entries"),
        (ENTRY, 42, b"\x00\x00\x00\x00", "must stand apart from other members"),
        (ENTRY, 42, b"\xfe\xff\xff\x7f", "must stand apart from other members"),
        (ENTRY, 20, b"\xff" * 8, "must hold whole entries|whole"),
    ],
)  # fmt: skip
def test_damaged_archives_are_refused(
    tmp_path: Path, mark: bytes, offset: int, new: bytes, match: str
) -> None:
    """Overlapping members, sizes that contradict each other, a directory that is cut."""
    path = save(tmp_path / "a.pt", llama())
    with pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(patched(path, mark, offset, new))


def test_a_packed_pickle_is_refused(tmp_path: Path) -> None:
    """torch.save packs nothing, so a bomb of a thousand to one is not even begun."""
    bomb = b"\x80\x02" + b"N0" * 20_000_000 + b"N."
    path = archive(tmp_path / "a.pt", bomb, how=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="must be stored as it is"):
        wild.Checkpoint(path)


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    """Nobody can say which one counts."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("archive/data.pkl", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointError, match="name each member once"):
        wild.Checkpoint(tmp_path / "a.pt")


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    """By what it holds."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("word/document.xml", b"")
    with pytest.raises(CheckpointError, match=r"must hold a data.pkl.* got document.xml"):
        wild.Checkpoint(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt", "a") as file:
        file.writestr("word/archive_format", b"pt2")
    with pytest.raises(CheckpointError, match=r"what torch.export wrote, a program. Store its weights"):
        wild.Checkpoint(tmp_path / "a.pt")


def test_a_wide_archive_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse, five gigabytes: sizes and places of eight bytes, and a tensor behind the gap is mapped at once."""
    gap = 5_000_000_000
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + written({"a": tensor("1", random(2, 2))}) + b".")
    content = path.read_bytes()
    start = content.index(ENTRY)
    name, data = b"archive/data/1", random(2, 2).tobytes()
    local = b"PK\x03\x04" + struct.pack("<5H3I2H", 45, 0, 0, 0, 0, 0, 16, 16, 14, 0) + name + data
    entry = struct.pack("<6H3I5H2I", 45, 45, 0, 0, 0, 0, 0, 16, 16, 14, 12, 0, 0, 0, 0, 0xFFFFFFFF)
    entry = ENTRY + entry + name + struct.pack("<HHQ", 1, 8, gap)
    first = content[start : content.index(END)]
    at = gap + len(local)
    size = len(first) + len(entry)
    with path.open("wb") as file:
        file.write(content[:start])
        file.seek(gap)
        file.write(local + first + entry)
        file.write(b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 2, 2, size, at))
        file.write(b"PK\x06\x07" + struct.pack("<IQI", 0, at + size, 1))
        file.write(END + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    with bounded(0.5):
        assert np.array_equal(wild.Checkpoint(path)["a"], random(2, 2))
    path.unlink()


@settings(max_examples=times(300), deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 40))
def test_a_good_file_with_wrong_bytes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], cut: int
) -> None:
    """Arrays, or an error of ours."""
    base = tmp_path_factory.getbasetemp()
    content = save(base / "good.pt", llama()).read_bytes()
    (base / "fuzzed.pt").write_bytes(damaged(content, changes, cut))
    read_all(base / "fuzzed.pt", n_heads=4, n_kv_heads=2)


STEPS = st.sampled_from(b"()]}0N.2KMJQRbocdtuaesl\x81\x85\x86\x87\x88h\x94q\x93\x8f\x90\x91").map(
    lambda n: bytes([n])
)


@settings(max_examples=times(500), deadline=None)
@given(st.lists(STEPS | st.binary(min_size=1, max_size=4), max_size=40))
def test_any_steps(tmp_path_factory: pytest.TempPathFactory, steps: list[bytes]) -> None:
    """A pickle of anything: names and places, or an error of ours."""
    path = archive(tmp_path_factory.getbasetemp() / "steps.pt", b"\x80\x02" + b"".join(steps) + b".")
    try:
        checkpoint = wild.Checkpoint(path)
        for name in checkpoint:
            assert np.asarray(checkpoint[name]).size >= 0
    except QKVError:
        pass
