"""One head of a trained model, recorded: what it was given for a few sentences, and its weights."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from qkvdocs.core import QKVWeights, attend, causal_mask, rotate
from qkvdocs.errors import CheckpointError, QKVError

WEIGHTS = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")


class Look(NamedTuple):
    """All that one head computes for one sentence."""

    words: list[str]
    """The pieces of the sentence."""
    X: Float[np.ndarray, "seq d_model"]
    """The rows that reach the head."""
    Q: Float[np.ndarray, "seq d_head"]
    """Queries, rotated where the model rotates."""
    K: Float[np.ndarray, "seq d_head"]
    """Keys, rotated where the model rotates."""
    V: Float[np.ndarray, "seq d_head"]
    """Values."""
    scores: Float[np.ndarray, "seq seq"]
    """Scaled dot products, before any mask."""
    pattern: Float[np.ndarray, "seq seq"]
    """Attention weights."""
    context: Float[np.ndarray, "seq d_head"]
    """The values, mixed by the weights."""


@dataclass(frozen=True, eq=False)
class Head:
    """One head of a trained model with the rows that it was given.

    Examples:
        >>> head = read_head("docs/models/minilm-3-1.npz")
        >>> look = head.look("the students read the question before they answered it")
        >>> look.words[int(look.pattern[look.words.index("they")].argmax())]
        'students'
    """

    weights: QKVWeights
    """The head's own slices, as a layer of one head."""
    rows: Mapping[str, np.ndarray]
    """The rows that reached it, by sentence; each of shape `(seq, d_model)`."""
    record: Mapping[str, Any]
    """Where it comes from: model, layer, head, source, licence, versions, and the words of each sentence."""

    @property
    def sentences(self) -> list[str]:
        """The sentences, as they were given to the model."""
        return list(self.rows)

    def look(self, sentence: str) -> Look:
        """Compute query, key, value, scores, weights and context of a sentence.

        Args:
            sentence: One of `sentences`.

        Returns:
            All steps, in float32.

        Raises:
            QKVError: If the sentence was not recorded.
        """
        if sentence not in self.rows:
            raise QKVError(f"sentence must be one of {self.sentences}, got {sentence!r}")
        X = self.rows[sentence]
        Q, K, V = self.weights.project(X)
        if base := self.record.get("rotary_base"):
            Q, K = (rotate(rows, style="pairs", base=base) for rows in (Q, K))
        mask = causal_mask(len(X), len(X)) if self.record["causal"] else None
        words = list(self.record["sentences"][sentence]["words"])
        parts = attend(Q, K, V, mask)
        return Look(words, X, Q, K, V, parts.scores, parts.pattern, parts.context)


def read_head(path: str | PathLike[str]) -> Head:
    """Read a recorded head, if it is the one that its record describes.

    Args:
        path: The `.npz` file; its record stands beside it, as `.json`.

    Returns:
        The head, its arrays in float32.

    Raises:
        CheckpointError: If the file is not the one that was recorded.

    Examples:
        >>> head = read_head("docs/models/minilm-3-1.npz")
        >>> head.record["layer"], head.record["head"], head.weights.W_Q.shape
        (3, 1, (384, 32))
    """
    path = Path(path)
    data, record = path.read_bytes(), json.loads(path.with_suffix(".json").read_bytes())
    if (got := hashlib.sha256(data).hexdigest()) != record["sha256"]:
        raise CheckpointError(f"{path.name} must have sha256 {record['sha256']}, got {got}. Run make heads")
    with np.load(path) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    weights = QKVWeights(**{name: arrays.pop(name) for name in WEIGHTS if name in arrays}, n_heads=1)
    return Head(weights, {name: arrays[f"X{at}"] for at, name in enumerate(record["sentences"])}, record)


def save_head(path: str | PathLike[str], head: Head) -> None:
    """Write a head in float16, and its record beside it.

    Args:
        path: The `.npz` file to write.
        head: The head, with its record.

    Examples:
        >>> import tempfile
        >>> head = read_head("docs/models/minilm-3-1.npz")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_head(f"{folder}/again.npz", head)
        ...     again = read_head(f"{folder}/again.npz")
        >>> bool(np.array_equal(again.weights.W_Q, head.weights.W_Q))
        True
    """
    path = Path(path)
    arrays = {name: array for name in WEIGHTS if (array := getattr(head.weights, name)) is not None}
    arrays |= {f"X{at}": rows for at, rows in enumerate(head.rows.values())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            place = zipfile.ZipInfo(f"{name}.npy")
            place.compress_type = zipfile.ZIP_LZMA  # a tenth smaller than what numpy writes
            with archive.open(place, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array, np.float16))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_record(path.with_suffix(".json"), {**head.record, "sha256": digest})


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, a line for each entry."""
    lines = (f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
