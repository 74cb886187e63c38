"""BERT's encoder in numpy: embeddings, then layers of attention and a feed-forward step."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from qkvdocs.core import QKVWeights, attention
from qkvdocs.models._packed import CONFIG, EMBEDDINGS, LAYER, PIECES, unpack
from qkvdocs.models._pieces import WordPieces
from qkvdocs.wild import Checkpoint, read, save

Layer = Callable[[np.ndarray, QKVWeights], np.ndarray]
"""One layer of attention, from token rows to its output: `core.attention`, or another to compare with it."""


class Encoder:
    """A trained BERT encoder.

    Args:
        tensors: The model's tensors by their usual names.
        weights: The attention weights of each layer.
        pieces: How text is cut.
        epsilon: What each layer norm adds to the variance.

    Source:
        Devlin et al. 2018, "BERT", section 3; Vaswani et al. 2017, section 3.1, for the order of the steps.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        weights: Sequence[QKVWeights],
        pieces: WordPieces,
        epsilon: float,
    ) -> None:
        self.weights = list(weights)
        """The attention weights of each layer."""
        self.pieces = pieces
        """How text is cut."""
        self._tensors, self._epsilon = dict(tensors), epsilon

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> "Encoder":
        """Open a folder with `model.safetensors`, `config.json` and `tokenizer.json`."""
        checkpoint, attentions = Checkpoint(folder), read(folder)
        vocabulary = json.loads((Path(folder) / "tokenizer.json").read_bytes())["model"]["vocab"]
        return cls(
            {name: np.asarray(tensor) for name, tensor in checkpoint.items()},
            list(attentions.values()),
            WordPieces(sorted(vocabulary, key=vocabulary.__getitem__)),
            checkpoint.config["layer_norm_eps"],
        )

    @classmethod
    def open_packed(cls, folder: str | PathLike[str]) -> "Encoder":
        """Open a folder of files that `pack` made, without the layers: `add_layer` reads them, one by one."""
        folder = Path(folder)
        config = json.loads((folder / CONFIG).read_bytes())
        pieces = WordPieces((folder / PIECES).read_text("utf-8").split("\n"))
        return cls(unpack(folder / f"{EMBEDDINGS}.safetensors"), [], pieces, config["layer_norm_eps"])

    def add_layer(self, folder: str | PathLike[str]) -> None:
        """Read the next layer from a folder of files that `pack` made."""
        name = f"{LAYER.format(len(self.weights))}.safetensors"
        tensors = unpack(Path(folder, name))
        with tempfile.TemporaryDirectory() as inside:
            # An ordinary checkpoint again, for the reader that knows how they are laid out.
            save(Path(inside, name), tensors)
            Path(inside, CONFIG).write_bytes(Path(folder, CONFIG).read_bytes())
            (weights,) = read(Path(inside, name)).values()
        self.weights.append(weights)
        self._tensors |= tensors

    def rows(self, pieces: Sequence[str], layer: Layer = attention) -> list[np.ndarray]:
        """Run the model.

        Args:
            pieces: The pieces, with those that begin and end a text.
            layer: Attention from rows to output; another function shows what a mistake in it does.

        Returns:
            The rows that enter each layer, and those that leave the last, each of shape `(seq, d_model)`.
        """
        rows = [self.embed(pieces)]
        for number in range(len(self.weights)):
            rows.append(self.step(rows[-1], layer(rows[-1], self.weights[number]), number))
        return rows

    def embed(self, pieces: Sequence[str]) -> np.ndarray:
        """Give the rows that enter the first layer, shape `(seq, d_model)`."""
        X = self._tensors["embeddings.word_embeddings.weight"][self.pieces.numbers(pieces)]
        X = X + self._tensors["embeddings.position_embeddings.weight"][: len(pieces)]
        return self._norm(
            X + self._tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )

    def step(self, X: np.ndarray, attended: np.ndarray, number: int) -> np.ndarray:
        """Run what comes after attention in a layer, on the rows that entered it and what attention made of them."""
        path = f"encoder.layer.{number}"
        X = self._norm(X + attended, f"{path}.attention.output.LayerNorm")
        hidden = gelu(self._linear(X, f"{path}.intermediate.dense"))
        return self._norm(X + self._linear(hidden, f"{path}.output.dense"), f"{path}.output.LayerNorm")

    def _linear(self, X: np.ndarray, path: str) -> np.ndarray:
        rows: np.ndarray = _times(X, self._tensors[f"{path}.weight"]) + self._tensors[f"{path}.bias"]
        return rows

    def _norm(self, X: np.ndarray, path: str) -> np.ndarray:
        spread = np.sqrt(X.var(axis=-1, keepdims=True) + self._epsilon)
        rows: np.ndarray = (X - X.mean(axis=-1, keepdims=True)) / spread * self._tensors[f"{path}.weight"]
        rows += self._tensors[f"{path}.bias"]
        return rows


def _times(X: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Multiply by a matrix that is stored (out, in)."""
    # In a browser numpy has no BLAS, and einsum takes a third of the time.
    product: np.ndarray = np.einsum("ij,kj->ik", X, stored) if sys.platform == "emscripten" else X @ stored.T
    return product


def gelu(x: np.ndarray) -> np.ndarray:
    """Weigh each entry by the normal distribution: `x (1 + erf(x / √2)) / 2`.

    Source:
        Hendrycks and Gimpel 2016, "Gaussian Error Linear Units"; the error function by Abramowitz and Stegun
        1964, formula 7.1.26, which is off by less than 1.5e-7.
    """
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    powers = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = powers * np.exp(-z * z) / 2
    weighed: np.ndarray = x * np.where(x < 0, tail, 1 - tail)
    return weighed.astype(x.dtype)
