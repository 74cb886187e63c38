"""The models' own steps, each against another way to the same number; `tests/parity` compares whole models."""

import math

import numpy as np
import pytest

from qkvdocs.core import QKVWeights, attention
from qkvdocs.models import Encoder, WordPieces
from qkvdocs.models._encoder import gelu
from tests.models.tiny import decoder

RNG = np.random.default_rng(14)


def test_gelu_is_the_normal_distribution() -> None:
    """Against the error function of the C library, to what the formula promises."""
    x = np.linspace(-6, 6, 4001)
    exact = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x]
    assert np.abs(gelu(x) - exact).max() < 6 * 1.5e-7 / 2
    assert gelu(x.astype(np.float32)).dtype == np.float32


def test_the_decoder_never_looks_ahead() -> None:
    """The logits of a text's beginning are those of the whole text; a layer without the mask breaks that."""
    model, text = decoder(), [3, 1, 4, 1, 5]
    logits = model.run(text)[1]
    assert np.allclose(model.run(text[:3])[1], logits[:3])
    assert np.allclose(model.run(text, model.attention)[1], logits)
    assert not np.allclose(model.run(text[:3], attention)[1], model.run(text, attention)[1][:3])


def test_the_decoder_keeps_only_the_direction_of_a_row() -> None:
    """Its norm, read off what the projections get: the mean square of each row is 1 before the gain."""
    model = decoder()
    rows, _ = model.run([1, 2, 3])
    bare = rows[1] / model.tensors["blk.1.attn_norm.weight"]
    assert np.allclose((bare**2).mean(axis=-1), 1, atol=1e-3)


def test_the_encoder_step_by_step() -> None:
    """One layer whose feed-forward step adds nothing is a norm of attention on embeddings, written as loops."""
    d, epsilon = 4, 1e-12
    zero = {f"encoder.layer.0.{part}": np.zeros(size) for part, size in (
        ("intermediate.dense.weight", (6, d)), ("intermediate.dense.bias", 6),
        ("output.dense.weight", (d, 6)), ("output.dense.bias", d),
    )}  # fmt: skip
    norms = ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output")
    tensors = zero | {
        f"embeddings.{name}_embeddings.weight": RNG.normal(size=(5, d))
        for name in ("word", "position", "token_type")
    }
    tensors |= {
        f"{path}.LayerNorm.{part}": RNG.normal(size=d) for path in norms for part in ("weight", "bias")
    }
    weights = QKVWeights(**{f"W_{letter}": RNG.normal(size=(d, d)) for letter in "QKVO"}, n_heads=2)
    pieces = WordPieces(["[UNK]", "[CLS]", "[SEP]", "a", "b"])
    rows = Encoder(tensors, [weights], pieces, epsilon).rows(pieces.cut("b a"))

    def norm(row: list[float], path: str) -> list[float]:
        mean = math.fsum(row) / d
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in row) / d + epsilon)
        gain, shift = tensors[f"{path}.LayerNorm.weight"], tensors[f"{path}.LayerNorm.bias"]
        return [(value - mean) / spread * g + s for value, g, s in zip(row, gain, shift, strict=True)]

    for at, number in enumerate([1, 4, 3, 2]):
        summed = [
            tensors["embeddings.word_embeddings.weight"][number][i]
            + tensors["embeddings.position_embeddings.weight"][at][i]
            + tensors["embeddings.token_type_embeddings.weight"][0][i]
            for i in range(d)
        ]
        assert rows[0][at] == pytest.approx(norm(summed, norms[0]))
        mixed = attention(rows[0], weights)[at]
        between = norm([a + b for a, b in zip(rows[0][at], mixed, strict=True)], norms[1])
        assert rows[1][at] == pytest.approx(norm(between, norms[2]))
