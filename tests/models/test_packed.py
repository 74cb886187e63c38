"""The packed model: the same files anywhere, and each attention weight within a hundredth of float32's."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkvdocs.core import attend, split_heads
from qkvdocs.engine.runtime import Pack, folder
from qkvdocs.engine.settings import Settings
from qkvdocs.models import Encoder, pack, read_head, see, unpack
from qkvdocs.models._packed import PART, _read_counts, _write_counts
from qkvdocs.wild import Checkpoint, save
from tests.conftest import needed
from tests.models import record

LIMIT = 0.01
SENTENCES = Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines()
(PACK,) = map(Pack.of, Settings.of(record.ROOT / "docs").packs)
RNG = np.random.default_rng(14)
D = 8


@given(st.lists(st.integers(-(2**14), 2**14), min_size=1), st.integers(0, 9))
def test_counts_come_back(counts: list[int], low: int) -> None:
    """Whatever they are, and however many of their bits are set apart."""
    array = np.array(counts, np.int32)
    assert np.array_equal(_read_counts(*_write_counts(array, low), len(array)), array)


def test_counts_come_back_over_the_border_of_a_part() -> None:
    """A run of zeros may begin in one part and end in the next, or the one after."""
    for length in (8 * PART - 1, 8 * PART, 8 * PART + 1):
        counts = np.array([0] * (length - 3) + [-(2**14), 5, 0, -1], np.int32)
        assert np.array_equal(_read_counts(*_write_counts(counts, 0), len(counts)), counts)


@pytest.fixture
def published(tmp_path: Path) -> bytes:
    """A small model as they are published, in two layers of two heads."""
    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "c"]
    sizes = {"embeddings.word_embeddings.weight": (len(pieces), D), "pooler.dense.weight": (D, D)}
    sizes |= {
        "embeddings.position_embeddings.weight": (99, D),
        "embeddings.token_type_embeddings.weight": (2, D),
    }
    norms = ["embeddings.LayerNorm"]
    linear = {f"attention.self.{role}": (D, D) for role in ("query", "key", "value")}
    linear |= {"attention.output.dense": (D, D), "intermediate.dense": (12, D), "output.dense": (D, 12)}
    for path in ("encoder.layer.0", "encoder.layer.1"):
        norms += [f"{path}.attention.output.LayerNorm", f"{path}.output.LayerNorm"]
        for name, size in linear.items():
            sizes |= {f"{path}.{name}.weight": size, f"{path}.{name}.bias": size[:1]}
    sizes |= {f"{path}.{part}": (D,) for path in norms for part in ("weight", "bias")}
    save(
        tmp_path / "model.safetensors",
        {name: RNG.normal(size=size).astype("f4") for name, size in sizes.items()},
    )
    config = {"model_type": "bert", "num_attention_heads": 2, "hidden_size": D, "layer_norm_eps": 1e-12}
    (tmp_path / "config.json").write_text(json.dumps(config))
    vocabulary = {"model": {"vocab": {piece: at for at, piece in enumerate(pieces)}}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(vocabulary))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as members:
        for path in sorted(tmp_path.iterdir()):
            members.write(path, path.name)
    return made.getvalue()


def test_a_packed_model_is_the_model(published: bytes, tmp_path: Path) -> None:
    """Each matrix to half a step, all else as it was; pieces that no text has are gone with their rows."""
    for name, data in pack(published).items():
        (tmp_path / name).write_bytes(data)
    whole = Checkpoint(tmp_path / "model.safetensors")
    found = {name: array for path in tmp_path.glob("*-?.safetensors") for name, array in unpack(path).items()}
    assert set(found) == {name for name in whole if name.startswith("encoder.")}
    for name, array in found.items():
        if array.ndim == 1:
            assert np.array_equal(array, whole[name])
        else:
            assert np.abs(array - whole[name]).max() <= np.median(np.abs(whole[name])) / 108
    assert pack(published) == pack(published)

    right, packed = Encoder.open(tmp_path), Encoder.open_packed(tmp_path)
    assert packed.weights == []
    for _ in right.weights:
        packed.add_layer(tmp_path)
    pieces = packed.pieces.cut("ab c a")
    assert pieces == right.pieces.cut("ab c a")
    assert packed.pieces.numbers(["a"]) == [4]
    for ours, theirs in zip(packed.rows(pieces), right.rows(pieces), strict=True):
        assert np.abs(ours - theirs).max() < 0.1
        assert ours.dtype == np.float32


@pytest.fixture(scope="module")
def small(packed: Path) -> Encoder:
    """The packed MiniLM."""
    encoder = Encoder.open_packed(packed)
    for _ in range(6):
        encoder.add_layer(packed)
    return encoder


@pytest.fixture(scope="module")
def whole() -> Iterator[Encoder]:
    """MiniLM in float32, as it is published."""
    archive = needed(record.ROOT / folder() / PACK.source.name)
    with tempfile.TemporaryDirectory() as inside, zipfile.ZipFile(archive) as members:
        members.extractall(inside)
        yield Encoder.open(inside)


def patterns(encoder: Encoder, text: str) -> np.ndarray:
    """Give all attention weights of all layers, by another way than the page's."""
    found, rows = [], encoder.rows(encoder.pieces.cut(text))
    for X, weights in zip(rows, encoder.weights, strict=False):
        Q, K, V = (split_heads(part, weights.n_heads) for part in weights.project(X))
        found.append(attend(Q, K, V).pattern)
    return np.array(found)


def test_recorded_weights_are_kept(small: Encoder) -> None:
    """Those of the recorded heads, which the float32 model gave."""
    for wanted in record.HEADS:
        if wanted.model == "minilm":
            told = read_head(wanted.file).record
            for text, facts in (told["sentences"] | told["weights_of"]).items():
                rows = small.rows(small.pieces.cut(text))[wanted.layer]
                found = see(rows, small.weights[wanted.layer]).pattern[wanted.head]
                assert np.abs(found - np.array(facts["pattern"])).max() < LIMIT


def test_no_weight_moves_by_a_hundredth(small: Encoder, whole: Encoder) -> None:
    """Of any word, in any head of any layer, on a list of sentences."""
    moved = {text: np.abs(patterns(small, text) - patterns(whole, text)).max() for text in SENTENCES}
    assert max(moved.values()) < LIMIT, moved


def test_fewer_bits_would_be_seen(whole: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With eight bits a weight, as many steps as the largest entry of a row has, a weight moves by more."""
    tensors = {
        name: np.rint(array / (top := np.abs(array).max(axis=1, keepdims=True) / 127)) * top
        if array.ndim == 2
        else array
        for name, array in whole._tensors.items()
    }
    monkeypatch.setattr(whole, "_tensors", tensors)
    text = SENTENCES[1]
    coarse = patterns(whole, text)
    monkeypatch.undo()
    assert np.abs(coarse - patterns(whole, text)).max() > LIMIT
