"""GGUF: files of llama.cpp's own writer, values by its own rule, and a corpus of damage."""

# ruff: noqa: E501  # one case a line

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkvdocs import wild
from qkvdocs.core import attend, rotate, split_heads
from qkvdocs.errors import CheckpointError, DTypeError, QKVError
from qkvdocs.wild import _gguf
from tests.sample import times
from tests.wild.conftest import Command, bounded, damaged, llama, package, random, read_all

gguf = package("gguf")
AT = "blk.0"
HEADS, KV, D_HEAD, D_MODEL = 4, 2, 64, 256
NAMES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """Put rows into pairs, as llama.cpp's converter does."""
    return rows.reshape(heads, 2, len(rows) // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def matrices() -> dict[str, np.ndarray]:
    """Give the four matrices of a layer, as Hugging Face stores them."""
    rows = {"q": HEADS * D_HEAD, "k": KV * D_HEAD, "v": KV * D_HEAD, "o": D_MODEL}
    return {role: random(count, D_MODEL, seed=n) for n, (role, count) in enumerate(rows.items())}


def write(
    path: Path, tensors: dict[str, np.ndarray], kind: str = "F32", arch: str = "llama", **more: Any
) -> Path:
    """Write a file with the gguf package."""
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_embedding_length(D_MODEL)
    writer.add_block_count(1)
    writer.add_token_list([f"token {n}" for n in range(300)])
    for name, value in more.items():
        writer.add_bool(name.replace("__", "."), value)
    kind = gguf.GGMLQuantizationType[kind]
    for name, array in tensors.items():
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    return finish(writer, path)


def finish(writer: Any, path: Path) -> Path:
    """Let a writer write all that it was given."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(arch: str = "llama") -> dict[str, np.ndarray]:
    """Give the layer as the converter would store it."""
    found = matrices()
    if arch in _gguf.PERMUTED:
        found |= {"q": permuted(found["q"], HEADS), "k": permuted(found["k"], KV)}
    return {f"{AT}.{NAMES[role]}.weight": rows for role, rows in found.items()}


@pytest.mark.parametrize("arch", ["llama", "qwen2", "granite"])
def test_rows_come_in_the_order_of_the_model(tmp_path: Path, arch: str) -> None:
    """Bit for bit what Hugging Face stores, whether or not the converter permuted it; the plan says which."""
    attentions = wild.read(write(tmp_path / "a.gguf", stored(arch), arch=arch))
    weights = attentions[AT]
    for role, rows in matrices().items():
        assert np.array_equal(getattr(weights, f"W_{role.upper()}"), rows.T), role
    assert weights.plan.rows == ("" if arch == "qwen2" else "pairs")
    assert (weights.n_heads, weights.n_kv_heads, weights.d_head) == (HEADS, KV, D_HEAD)
    assert attentions.checkpoint.config["num_hidden_layers"] == 1


def test_the_order_is_that_of_the_scores() -> None:
    """Halves turned by `rotate` give the scores that pairs, turned by hand as complex numbers, give."""
    x, rows = random(5, D_MODEL, seed=9).astype("f8"), matrices()
    q, k = (split_heads(x @ rows[role].T.astype("f8"), heads) for role, heads in (("q", HEADS), ("k", KV)))
    halves = attend(rotate(q), rotate(k), k).scores
    turned = []
    for role, heads in (("q", HEADS), ("k", KV)):
        pairs = split_heads(x @ permuted(rows[role], heads).T.astype("f8"), heads)
        number = pairs[..., ::2] + 1j * pairs[..., 1::2]
        angle = np.arange(5)[:, None] * 10_000.0 ** (-np.arange(D_HEAD // 2) * 2 / D_HEAD)
        turned.append(number * np.exp(1j * angle))
    theirs = np.einsum("hqd,hkd->hqk", turned[0], np.repeat(turned[1], HEADS // KV, 0).conj()).real
    assert np.allclose(halves, theirs / np.sqrt(D_HEAD))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_packed_values_are_what_their_own_package_gives(tmp_path: Path, kind: str) -> None:
    """To the bit; a half-precision file needs no package."""
    tensors = stored()
    checkpoint = wild.Checkpoint(write(tmp_path / "a.gguf", tensors, kind))
    number = gguf.GGMLQuantizationType[kind]
    for name, array in tensors.items():
        theirs = gguf.quants.dequantize(gguf.quants.quantize(array, number), number)
        assert checkpoint.tensor(name).dtype == kind
        assert np.array_equal(checkpoint[name].astype("<f4"), theirs)
        assert not checkpoint[name].flags.writeable


@pytest.mark.parametrize("number", sorted(_gguf.BLOCKS))
def test_every_block_type_has_the_size_that_its_package_gives(tmp_path: Path, number: int) -> None:
    """And any bytes unpack to what it unpacks, or are said to be unread."""
    kind, entries, size = _gguf.BLOCKS[number]
    assert (entries, size) == gguf.constants.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)]
    data = np.random.default_rng(0).integers(0, 60, 3 * size, np.uint8)
    checkpoint = wild.Checkpoint(made(tmp_path / "a.gguf", [("a", (entries, 3), number, 0)], data.tobytes()))
    try:
        theirs = gguf.quants.dequantize(data.reshape(3, size), gguf.GGMLQuantizationType(number))
    except NotImplementedError:
        with pytest.raises(DTypeError, match=f"unpacks, got {kind}"):
            checkpoint["a"]
    else:
        assert np.array_equal(checkpoint["a"], theirs, equal_nan=True)


def test_without_the_package_places_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the values name what to install."""
    path = write(tmp_path / "a.gguf", stored(), "Q8_0")
    monkeypatch.setitem(__import__("sys").modules, "gguf.constants", None)
    attentions = wild.read(path)
    assert attentions.plans[AT].shapes["W_K"] == (D_MODEL, KV * D_HEAD)
    with pytest.raises(DTypeError, match=r"Q8_0 and needs gguf: pip install 'gguf>=0\.19\.0'"):
        attentions[AT]


@pytest.mark.parametrize(
    ("arch", "pattern", "slides"),
    [("gemma3", None, "YYYYYN"), ("gemma2", None, "YN"), ("cohere2", 2, "YN"), ("gpt-oss", [True, False, False], "YNN"), ("phi3", None, "YY")],
)  # fmt: skip
def test_a_window_is_told(tmp_path: Path, arch: str, pattern: Any, slides: str, command: Command) -> None:
    """By a number or a list in the file, or by its architecture; a cache then keeps no more than the window."""
    writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), arch)
    writer.add_head_count(2)
    writer.add_block_count(len(slides))
    writer.add_sliding_window(100)
    if pattern is not None:
        writer.add_sliding_window_pattern(pattern)
    for n in range(len(slides)):
        for name in NAMES.values():
            writer.add_tensor(f"blk.{n}.{name}.weight", random(32, 32))
    shown = command(finish(writer, tmp_path / "a.gguf"), "--tokens", "1000", "--dtype", "float32")
    for kind, letter, kept in (("sliding", "Y", 100), ("full", "N", 1000)):
        if count := slides.count(letter):
            kept_by_all = f"each keeps {kept} tokens: {count * kept * 64 * 4} bytes"
            assert f"cache: {count} {kind} layer{'s' * (count > 1)}, {kept_by_all}" in shown


def test_fused_and_with_biases(tmp_path: Path) -> None:
    """One tensor of all three, as llama.cpp cuts it; biases follow the rows."""
    rows, bias = matrices(), random((HEADS + 2 * KV) * D_HEAD, seed=8)
    fused = np.concatenate([rows[role] for role in "qkv"])
    tensors = {
        f"{AT}.attn_qkv.weight": fused,
        f"{AT}.attn_qkv.bias": bias,
        f"{AT}.attn_output.weight": rows["o"],
    }
    weights = wild.read(write(tmp_path / "a.gguf", tensors, arch="phi3"))[AT]
    assert np.array_equal(weights.W_K, rows["k"].T)
    assert np.array_equal(weights.b_V, bias[-KV * D_HEAD :])
    parts = {"q": permuted(rows["q"], HEADS), "k": permuted(rows["k"], KV), "v": rows["v"]}
    biases = {f"{AT}.attn_{role}.bias": random(len(part), seed=7) for role, part in parts.items()}
    path = write(tmp_path / "b.gguf", {**stored(), **biases})
    held = wild.read(path)[AT].b_Q
    assert np.array_equal(permuted(held[:, None], HEADS)[:, 0], biases[f"{AT}.attn_q.bias"])


def test_t5_keeps_its_cross_attention_apart(tmp_path: Path) -> None:
    """Two modules in one block; only the decoder's own grows with each token."""
    four = {role: random(256, 256, seed=n) for n, role in enumerate("qkvo")}
    tensors = {
        f"{at}_{role}.weight": rows
        for at in ("enc.blk.0.attn", "dec.blk.0.attn", "dec.blk.0.cross_attn")
        for role, rows in four.items()
    }
    plans = wild.read(write(tmp_path / "a.gguf", tensors, arch="t5"), n_heads=4).plans
    assert {path: plan.kind for path, plan in plans.items()} == {
        "enc.blk.0": "encoder", "dec.blk.0": "self", "dec.blk.0.cross": "cross",
    }  # fmt: skip


def test_an_encoder_keeps_no_cache(tmp_path: Path) -> None:
    """The file says that it is not causal."""
    path = write(tmp_path / "a.gguf", stored("bert"), arch="bert", bert__attention__causal=False)
    assert wild.read(path).plans[AT].kind == "encoder"


def test_hybrid_layers_are_told(tmp_path: Path) -> None:
    """A layer with a state in place of keys and values is accounted for; latent attention in part is refused by name."""
    more = {"blk.1.ssm_a": random(32), "blk.1.attn_qkv.weight": random(32, 32)}
    [hybrid] = wild.read(write(tmp_path / "a.gguf", {**stored(), **more})).layers
    assert hybrid.accounted
    mla = {f"{AT}.attn_kv_a_mqa.weight": random(32, 32), f"{AT}.attn_output.weight": random(32, 32)}
    with pytest.raises(QKVError, match=r"as llama\.cpp, latent has"):
        wild.read(write(tmp_path / "b.gguf", mla, arch="deepseek2"))


def test_a_folder_is_read_and_two_models_in_it_are_not_mixed(tmp_path: Path) -> None:
    """A vision part beside it is left alone, shards belong together, and config.json says less than the file."""
    write(tmp_path / "model-00001-of-00002.gguf", dict(list(stored().items())[:2]))
    write(tmp_path / "model-00002-of-00002.gguf", dict(list(stored().items())[2:]))
    (tmp_path / "mmproj-model.gguf").write_bytes(b"not even a checkpoint")
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_attention_heads": 1}')
    assert wild.read(tmp_path)[AT].n_heads == HEADS
    write(tmp_path / "other-Q8_0.gguf", stored())
    (tmp_path / "model-00001-of-00002.gguf").rename(tmp_path / "mine-00001-of-00002.gguf")
    (tmp_path / "model-00002-of-00002.gguf").unlink()
    told = r"must hold one checkpoint, got .*other-Q8_0.gguf. Name the file"
    with pytest.raises(CheckpointError, match=told):
        wild.read(tmp_path)


def made(
    path: Path, infos: list[tuple[Any, ...]], data: bytes = b"", *, facts: bytes = b"", count: int = 0, version: int = 3,
    infos_count: int | None = None, pad: int = 32,
) -> Path:  # fmt: skip
    """Write a file by hand."""
    tensors = len(infos) if infos_count is None else infos_count
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, count) + facts
    for name, shape, number, offset in infos:
        text = name.encode() if isinstance(name, str) else name
        head += struct.pack("<Q", len(text)) + text + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}QIQ", *shape, number, offset)
    path.write_bytes(head + bytes(-len(head) % pad) + data)
    return path


def fact(name: str, kind: int, body: bytes) -> bytes:
    """Give one entry of the metadata."""
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + body


ONE = ("a", (8,), 0, 0)
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "nothing behind the magic": ({"raw": b"GGUF"}, "must end inside the file"),
    "version 1": ({"version": 1}, "version 2 or 3, little-endian, got version 1"),
    "big-endian": ({"version": 3 << 24}, "got a file for big-endian machines"),
    "2**64 - 1 tensors": ({"infos_count": 2**64 - 1}, "must end inside the file|twice"),
    "2**64 - 1 facts": ({"count": 2**64 - 1}, "at most 65536 entries, got 18446744073709551615"),
    "a long name": ({"facts": struct.pack("<Q", 2**63), "count": 1}, "at most 65536 bytes"),
    "a name that is no text": ({"infos": [(b"\xff", (8,), 0, 0)]}, "must be UTF-8"),
    "a key twice": ({"facts": fact("a", 4, bytes(4)) * 2, "count": 2}, "each key once, got 'a' twice"),
    "a value of no kind": ({"facts": fact("a", 13, b""), "count": 1}, "got type 13"),
    "an array of 2**60 numbers": ({"facts": fact("a", 9, struct.pack("<IQ", 4, 2**60)), "count": 1}, "must end inside"),
    "an array of 2**60 texts": ({"facts": fact("a", 9, struct.pack("<IQ", 8, 2**60)), "count": 1}, "must end inside"),
    "a text of 2**63 in an array": (
        {"facts": fact("a", 9, struct.pack("<IQQ", 8, 1, 2**63)), "count": 1}, "must end inside"),
    "arrays within arrays": (
        {"facts": fact("a", 9, struct.pack("<IQ", 9, 1) * 9), "count": 1}, "a number, a text or an array"),
    "2**60 arrays of nothing": ({"facts": fact("a", 9, struct.pack("<IQ", 9, 2**60)), "count": 1}, "an array of arrays in a.gguf must have at most 4096"),
    "alignment 0": ({"facts": fact("general.alignment", 4, bytes(4)), "count": 1}, "must be a power of two, got 0"),
    "alignment 24": (
        {"facts": fact("general.alignment", 4, struct.pack("<I", 24)), "count": 1}, "a power of two, got 24"),
    "alignment of text": (
        {"facts": fact("general.alignment", 8, struct.pack("<Q", 1) + b"x"), "count": 1}, "power of two, got x"),
    "five axes": ({"infos": [("a", (1,) * 5, 0, 0)]}, "at most 4 axes, got 5"),
    "2**32 - 1 axes": (
        {"raw": b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + b"\xff" * 4}, "at most 4 axes, got 4294967295"),
    "an unknown type": ({"infos": [("a", (8,), 99, 0)]}, "a type out of F32.* got number 99"),
    "half a block": ({"infos": [("a", (8,), 2, 0)]}, "a multiple of 32, a block of Q4_0"),
    "a block of no axis": ({"infos": [("a", (), 2, 0)]}, "a multiple of 32"),
    "a giant shape": ({"infos": [("a", (2**63, 2**63), 0, 0)]}, "must stand between"),
    "outside": ({"infos": [("a", (8,), 0, 2**60)]}, "must stand between"),
    "one byte short": ({"infos": [("a", (9,), 0, 0)]}, "Cut short"),
    "askew": ({"infos": [("a", (1,), 0, 4)]}, "a multiple of 32, got 4"),
    "twice": ({"infos": [ONE, ONE]}, "name each tensor once, got 'a' twice"),
    "overlapping": ({"infos": [ONE, ("b", (8,), 0, 0)]}, "b in .* must stand between the end of a"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    """With an error of ours that says why, at once, and without memory to speak of."""
    how, match = HOSTILE[name]
    path = tmp_path / "a.gguf"
    if "raw" in how:
        path.write_bytes(how["raw"])
    else:
        made(path, **{"infos": [], "data": bytes(32), **how})
    with bounded(0.5, 5_000_000), pytest.raises(CheckpointError, match=match):
        wild.Checkpoint(path)


def test_a_hostile_vocabulary_ends(tmp_path: Path) -> None:
    """Sparse: texts of no length, as many as the file is said to hold, are followed to the limit and no further."""
    path = made(tmp_path / "a.gguf", [], facts=fact("a", 9, struct.pack("<IQ", 8, 10**12)), count=1)
    with path.open("r+b") as file:
        file.truncate(10**13)
    with bounded(0.5), pytest.raises(CheckpointError, match="within 50000000"):
        wild.Checkpoint(path)


def test_a_large_vocabulary_is_passed_over(tmp_path: Path) -> None:
    """A quarter of a million texts in less than a second; a long array of numbers is not read."""
    texts = b"".join(struct.pack("<Q", 6) + b"tokens" for _ in range(250_000))
    facts = fact("a", 9, struct.pack("<IQ", 8, 250_000) + texts)
    facts += fact("b", 9, struct.pack("<IQ", 6, 250_000) + bytes(1_000_000))
    path = made(tmp_path / "a.gguf", [ONE], bytes(32), facts=facts, count=2)
    with bounded(1):
        assert wild.Checkpoint(path)["a"].tolist() == [0] * 8


def test_only_the_bytes_of_a_module_are_read(tmp_path: Path) -> None:
    """Sparse, one terabyte: a tensor behind it is read as fast as from a small file."""
    gap = 10**12
    path = made(tmp_path / "a.gguf", [("before", (gap // 4,), 0, 0), ("a", (8,), 0, gap)])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + gap + 32)
    with bounded(0.5):
        assert wild.Checkpoint(path)["a"].tolist() == [0] * 8


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a good file."""
    return write(tmp_path_factory.mktemp("good") / "a.gguf", stored(), "Q8_0").read_bytes()


@settings(max_examples=times(300), deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(4, 1200), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 60),
)
def test_a_good_file_with_wrong_bytes(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    """Arrays, or an error of ours."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(damaged(good, changes, cut))
    read_all(path)


def test_what_the_atlas_knows_in_other_formats_is_not_touched(tmp_path: Path) -> None:
    """A file of GGUF's kind with the names of Hugging Face is read by those."""
    tensors = {name: np.ascontiguousarray(rows) for name, rows in llama(256).items()}
    weights = wild.read(write(tmp_path / "a.gguf", tensors, arch="other"), n_heads=4, n_kv_heads=2)
    assert weights["layers.0.self_attn"].layout.family == "q_proj, k_proj, v_proj"
