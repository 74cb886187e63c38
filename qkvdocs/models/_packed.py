"""A trained encoder in files that a reader's browser can afford: whole multiples of a step."""

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from qkvdocs.wild import Checkpoint, save

EMBEDDINGS, LAYER, PIECES, CONFIG = "embeddings", "layer-{}", "pieces.txt", "config.json"
POSITIONS = 64
"""Places of a text that are kept; the page that asks allows fewer pieces."""
STEPS = {"embeddings": 68, "query": 270, "key": 270, "attention": 136, "": 108}
"""Steps in the median size of a tensor's entries, by a part of its name, the first that is in it. With these no
attention weight moves by 0.01; with eight bits a weight, a scale a row, some moved by 0.06."""
PART = 2**18
"""Bytes that are taken apart at once."""


def pack(archive: bytes) -> dict[str, bytes]:
    """Make small files of a published BERT encoder.

    Each matrix is rounded to whole multiples of a step, and written in about nine bits a weight. The bytes depend
    on nothing but the archive.

    Args:
        archive: A zip of `model.safetensors`, `config.json` and `tokenizer.json`.

    Returns:
        By name: the configuration, the vocabulary, the embeddings, and a file for each layer.
    """
    with tempfile.TemporaryDirectory() as inside:
        folder = Path(inside)
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            for name in ("model.safetensors", CONFIG, "tokenizer.json"):
                members.extract(name, folder)
        tensors = dict(Checkpoint(folder / "model.safetensors"))
        vocabulary = json.loads((folder / "tokenizer.json").read_bytes())["model"]["vocab"]
        # No text is ever cut into the pieces that were left free.
        kept = {piece: at for piece, at in vocabulary.items() if not piece.startswith("[unused")}
        pieces = sorted(kept, key=kept.__getitem__)
        word, position = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position"))
        tensors[word] = tensors[word][[kept[piece] for piece in pieces]]
        tensors[position] = tensors[position][:POSITIONS]
        files = {CONFIG: (folder / CONFIG).read_bytes(), PIECES: "\n".join(pieces).encode()}
        for stem, below in _parts(tensors):
            save(
                folder / "part",
                {name: array for each in sorted(below) for name, array in _packed(each, tensors[each])},
            )
            files[f"{stem}.safetensors"] = (folder / "part").read_bytes()
    return files


def unpack(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read one of the files of `pack` again.

    Args:
        path: The file.

    Returns:
        The tensors by their usual names, in float32.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/a", dict(_packed("a.query.weight", np.float32([[1.0, -2.0], [0.5, 0.0]]))))
        ...     unpack(f"{folder}/a")["a.query.weight"].round(2).tolist()
        [[1.0, -2.0], [0.5, 0.0]]
    """
    stored, tensors = Checkpoint(path), {}
    for name in stored:
        stem, _, part = name.rpartition(":")
        if not stem:
            tensors[name] = np.array(stored[name])
        elif part == "step":
            shape = stored[f"{stem}:shape"].tolist()
            counts = _read_counts(stored[f"{stem}:low"], stored[f"{stem}:high"], math.prod(shape))
            tensors[stem] = (counts * stored[name]).reshape(shape)
    return tensors


def _parts(tensors: Mapping[str, np.ndarray]) -> Iterator[tuple[str, list[str]]]:
    """Tell which tensors stand in which file; the pooler and the numbers of the places are in none."""
    yield EMBEDDINGS, [name for name in tensors if name.startswith("embeddings.") and "_ids" not in name]
    number = 0
    while below := [name for name in tensors if name.startswith(f"encoder.layer.{number}.")]:
        yield LAYER.format(number), below
        number += 1


def _packed(name: str, tensor: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if tensor.ndim < 2:
        yield name, tensor
        return
    finer = next(steps for part, steps in STEPS.items() if part in name)
    # An order statistic: a sum would depend on the machine in its last place.
    step = np.partition(np.abs(tensor), tensor.size // 2, axis=None)[tensor.size // 2] / np.float32(finer)
    low, high = _write_counts(np.rint(tensor / step).astype(np.int32).ravel(), finer.bit_length())
    yield f"{name}:step", np.array(step, np.float32)
    yield f"{name}:shape", np.array(tensor.shape, np.int32)
    yield f"{name}:low", low
    yield f"{name}:high", high


def _write_counts(counts: np.ndarray, low: int) -> tuple[np.ndarray, np.ndarray]:
    """Write whole numbers by Rice's code: `low` bits of each, plane by plane; of the rest as many zeros, then a one.

    Source:
        Rice 1979, "Some practical universal noiseless coding techniques".
    """
    folded = (counts << 1) ^ (counts >> 31)  # 0, -1, 1, -2, … become 0, 1, 2, 3, …
    planes = np.array([np.packbits(folded >> bit & 1) for bit in range(low)])
    ends = np.cumsum((folded >> low) + 1) - 1
    bits = np.zeros(ends[-1] + 1, np.uint8)
    bits[ends] = 1
    return planes, np.packbits(bits)


def _read_counts(planes: np.ndarray, bits: np.ndarray, size: int) -> np.ndarray:
    """Read them again."""
    folded = np.empty(size, np.uint16)
    begin, since = 0, 0
    for at in range(0, len(bits), PART):
        ones = np.flatnonzero(np.unpackbits(bits[at : at + PART]))
        folded[begin : begin + len(ones)] = np.diff(ones, prepend=-1 - since) - 1
        begin += len(ones)
        since = 8 * PART - 1 - (ones[-1] if len(ones) else -1 - since)
    folded <<= len(planes)
    for bit, plane in enumerate(planes):
        folded |= np.unpackbits(plane, count=size).astype(np.uint16) << bit
    return (folded >> 1).astype(np.int16) ^ -(folded & 1).astype(np.int16)
