"""The header is read as if an enemy had written it: each lie is refused, at once and without memory."""
# ruff: noqa: E501  # one hostile file a line

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError, QKVError
from qkvdocs.wild._attentions import look
from qkvdocs.wild._report import lines, report
from tests.wild.conftest import CONFIG, bounded, raw

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def entry(**changes: object) -> bytes:
    """A file of one tensor named a, with a field changed."""
    return raw({"a": {**ONE, **changes}}, bytes(4))


HOSTILE = {
    "empty file": (b"", r"at least as long as its header"),
    "seven bytes": (bytes(7), r"at least as long as its header"),
    "header longer than the file": (raw({}, length=2**62), r"4611686018427387904 bytes"),
    "header of 2**64 - 1": (b"\xff" * 16, r"at least as long as its header"),
    "no header": (raw(b""), r"must be JSON"),
    "not JSON": (raw(b"hello"), r"must be JSON .* got b'hello'"),
    "an end without a beginning": (raw(b"} "), r"must be JSON"),
    "a list": (raw([]), r"must be JSON"),
    "half a header": (raw(b'{"a":'), r"must be JSON"),
    "no end": (raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}', bytes(4)), r"must be JSON"),
    "a comma too many": (raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},}', bytes(4)), r"must be JSON"),
    "more behind the end": (raw(b"{} {}"), r"must be JSON"),
    "deep nesting": (raw(b'{"a":' + b"[" * 100_000), r"must be JSON"),
    "deep nesting inside": (raw(b'{"a":{"dtype":' + b"[" * 4000 + b"]" * 10 + b"}}"), r"a in .* must be described"),
    "a value that is no object": (raw({"a": 1}), r"must be JSON"),
    "metadata of another form": (raw({"__metadata__": {"a": 1}}), r"must be JSON"),
    "broken UTF-8 in metadata": (raw(b'{"__metadata__":{"a":"\xff"}}'), r"must be UTF-8"),
    "a lone surrogate in metadata": (raw(b'{"__metadata__":{"a":"\\ud800"}}'), r"must be UTF-8"),
    "an escape that JSON lacks": (raw(b'{"__metadata__":{"a":"\\q"}}'), r"must be JSON"),
    "metadata twice": (raw(b'{"__metadata__":{},"__metadata__":{}}'), r"'__metadata__' twice"),
    "broken UTF-8": (raw(b'{"\xff":{}}'), r"must be UTF-8"),
    "lone surrogate": (raw(b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), r"must be UTF-8"),
    "a name twice": (raw(b'{"a":%s,"a":%s}' % ((json.dumps(ONE).encode(),) * 2), bytes(4)), r"'a' twice"),
    "a name twice, once escaped": (
        raw(b'{"a":%s,"\\u0061":%s}' % ((json.dumps(ONE).encode(),) * 2), bytes(4)), r"'a' twice"),
    "a key twice": (raw(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), r"described"),
    "a key too many": (entry(more=1), r"a in .* must be described"),
    "a key too few": (raw({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), r"must be described"),
    "unknown dtype": (entry(dtype="F33"), r"must have a dtype out of .* got 'F33'"),
    "dtype no string": (entry(dtype=4), r"must be described"),
    "wrong dtype": (entry(dtype="F64"), r"must take 1 \* 64 bits = 8 bytes, got 4 - 0"),
    "negative offset": (entry(data_offsets=[-4, 0]), r"sizes from 0"),
    "minus zero": (raw(b'{"a":{"dtype":"F32","shape":[],"data_offsets":[-0,4]}}', bytes(4)), r"sizes from 0"),
    "offsets backwards": (entry(data_offsets=[4, 0]), r"must take .* got 0 - 4"),
    "fractional offset": (entry(data_offsets=[0, 4.0]), r"sizes from 0"),
    "offset true": (entry(shape=[True], data_offsets=[0, 4]), r"sizes from 0"),
    "negative size": (entry(shape=[-1]), r"sizes from 0"),
    "giant shape": (entry(shape=[2**63, 2**63, 2**63]), r"must take"),
    "giant shape and offsets": (entry(shape=[2**62], data_offsets=[0, 2**64]), r"must end inside the data = 4 bytes"),
    "a number of 5000 digits": (raw(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % (b"9" * 5000)), r"JSON"),
    "a number of 4000 digits": (
        raw(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % (b"9" * 4000), bytes(4)), r"must"),
    "many axes": (entry(shape=[1] * 100), r"must be described"),
    "half a byte": (raw({"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 0]}}), r"must take 1 \* 4 bits"),
    "cut short": (raw({"a": ONE}, bytes(3)), r"must end inside the data = 3 bytes, got 4"),
    "too long": (raw({"a": ONE}, bytes(5)), r"must end with its last tensor"),
    "a gap at the start": (raw({"a": {**ONE, "data_offsets": [4, 8]}}, bytes(8)), r"must begin where the header ends = 0, got 4"),
    "overlapping": (
        raw({"a": ONE, "b": {**ONE, "data_offsets": [2, 6]}}, bytes(6)), r"b in .* must begin where a ends = 4, got 2"),
    "the same bytes": (raw({"a": ONE, "b": ONE}, bytes(4)), r"must begin where a ends = 4, got 0"),
    "a gap": (raw({"a": ONE, "b": {**ONE, "data_offsets": [8, 12]}}, bytes(12)), r"must begin where a ends = 4, got 8"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", r"a Git LFS pointer"),
    "GGUF": (b"GGUF\x01\x00\x00\x00" + bytes(64), r"must be GGUF of version 2 or 3"),
    "a zip, as torch.save writes it": (b"PK\x03\x04" + bytes(64), r"must end with the directory of a zip"),
    "a bare pickle": (b"\x80\x02}q\x00." + bytes(64), r"pickle, which can run code"),
    "a page of HTML": (b"<!doctype html><title>404</title>", r"a page of HTML"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused(name: str, tmp_path: Path) -> None:
    """With an error of ours that says why, in milliseconds, and without memory to speak of."""
    content, match = HOSTILE[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with bounded(0.5, 50 * len(content) + 500_000), pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(path)


def test_a_header_over_the_limit_is_not_even_read(tmp_path: Path) -> None:
    """A sparse file whose header claims, and has, 101 MB."""
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((101_000_000).to_bytes(8, "little") + b"{")
        file.truncate(200_000_000)
    told = "at most 100000000 bytes, got 101000000"
    with bounded(1, 1_000_000), pytest.raises(CheckpointError, match=told):
        wild.Checkpoint(path)


@pytest.mark.parametrize("filler", [b"[", b"{", b" ", b'"', b"\\", b'{"a":', b'"a":{},'])
def test_a_large_hostile_header_takes_no_more_than_itself(tmp_path: Path, filler: bytes) -> None:
    """Ten megabytes of one thing: no pattern backtracks, no list is built."""
    text = b"{" + filler * (10_000_000 // len(filler))
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(text))
    with bounded(1, 3 * len(text)), pytest.raises(CheckpointError):
        wild.Checkpoint(path)


def test_what_the_format_allows_is_read(tmp_path: Path) -> None:
    """Metadata with any text, names with escapes and braces, an empty tensor, padding, any order of keys."""
    header = (
        b'{ "__metadata__" : { "a" : "{\\"data_offsets\\": [1]}" , "b":"\\\\ud83d\\ud83d\\ude00" } ,'
        b' "x{y}\\u00e9" : { "data_offsets" : [ 0 , 4 ] , "shape" : [ ] , "dtype" : "F32" },'
        b'"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}    '
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw(header, b"\x00\x00\x80\x3f"))
    checkpoint = wild.Checkpoint(path)
    assert list(checkpoint) == ["x{y}é", "empty"]
    assert checkpoint["x{y}é"].tolist() == 1.0
    assert checkpoint["empty"].shape == (0, 3)
    for text, names in ((raw({"__metadata__": None, "a": ONE}, bytes(4)), ["a"]), (raw(b"{}"), [])):
        path.write_bytes(text)  # MLX writes null; and a file may hold nothing
        assert list(wild.Checkpoint(path)) == names


def nested(depth: int, size: int) -> str:
    """Give a config of parts within parts, with much beside each."""
    inner = json.dumps(CONFIG)
    for _ in range(depth):
        inner = '{"text_config":' + inner + f',"x":"{"x" * size}"}}'
    return inner


def tensors(names: Iterable[str]) -> bytes:
    """Give a file of matrices without a byte of data."""
    return raw({name: {"dtype": "F32", "shape": [0, 0], "data_offsets": [0, 0]} for name in names})


def modules(paths: Iterable[object]) -> bytes:
    """Give a file of attention modules."""
    return tensors(f"{path}.{role}_proj.weight" for path in paths for role in "qkvo")


def metadata(text: bytes) -> bytes:
    """Give a file of nothing but a remark."""
    return raw(b'{"__metadata__":{"a":"%s"}}' % text)


def parts(count: int) -> str:
    """Give a config of many parts side by side."""
    return json.dumps({f"part{n}_config": CONFIG for n in range(count)})


SHAPES: dict[str, Callable[[int], tuple[bytes, str]]] = {
    "100 kB of dots in one name": lambda n: (modules(["." * 4000 * n]), json.dumps(CONFIG)),
    "5 MB of escapes in metadata": lambda n: (metadata(rb"\u00e9\n" * 25_000 * n), "{}"),
    "5 MB of surrogate pairs": lambda n: (metadata(rb"\ud83d\ude00" * 17_000 * n), "{}"),
    "modules within modules": lambda n: (
        modules(".".join("a" * depth) for depth in range(1, int(90 * n**0.5))), json.dumps(CONFIG)),
    "many modules, a config of many parts": lambda n: (modules(range(40 * n)), parts(400 * n)),
    "many modules, a long list": lambda n: (
        modules(range(40 * n)), json.dumps({**CONFIG, "num_attention_heads": [["x" * 1000] * 20 * n]})),
    "parts within parts": lambda n: (modules(range(12 * n)), nested(400, 400 * n)),
    "attention of unknown names": lambda n: (tensors(f"a.{k % 9}.attn.{k}.x" for k in range(200 * n)), "{}"),
    "modules that are listed": lambda n: (
        tensors(f"a.{k}.attn.{name}.weight" for k in range(50 * n) for name in ("sampling_offsets", "value_proj")), "{}"),
    "latent modules in part": lambda n: (
        tensors(f"a.{k}.attn.{name}.weight" for k in range(50 * n) for name in ("kv_a_proj_with_mqa", "q_proj")), "{}"),
    "many words for one count": lambda n: (
        modules(range(40 * n)), json.dumps({**CONFIG, **{f"a_{k}_num_heads": 2 for k in range(400 * n)}})),
    "one module of many tensors": lambda n: (
        tensors([*(f"a.{r}_proj.weight" for r in "qkvo"), *(f"a.{k}" for k in range(200 * n))]), json.dumps(CONFIG)),
    "layers without end": lambda n: (
        modules(range(12 * n)), json.dumps({**CONFIG, "num_hidden_layers": 10**18})),
}  # fmt: skip
"""Each took a minute or more, or memory without end, where something was quadratic; size -> header, config."""


def open_shape(name: str, size: int, folder: Path) -> tuple[float, int]:
    """Say how many seconds of computing a shape takes, and how many bytes it has."""
    content, config = SHAPES[name](size)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text(config)
    start = time.process_time()
    with contextlib.suppress(QKVError):
        lines(report(look(folder)))
    return time.process_time() - start, len(content) + len(config)


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_of_header_or_config_takes_long(name: str, tmp_path: Path) -> None:
    """In time or memory; `benchmarks/shapes.py` holds that both grow with the size alone."""
    assert open_shape(name, 25, tmp_path)[0] < 5
    size = sum(map(len, SHAPES[name](5)))
    with bounded(peak=30 * size + 5_000_000):
        open_shape(name, 5, tmp_path)
