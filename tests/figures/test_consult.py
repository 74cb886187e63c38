"""A word asks: what the figure says and shades is what the head computed, and a false statement is refused."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from qkvdocs.core import attend
from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures import consult

WORDS = ["the", "<cat>", "it"]
Q, K, V = np.random.default_rng(1).normal(size=(3, 3, 5)) * 2
CONTEXT, PATTERN, SCORES = attend(Q, K, V)
GIVEN = {
    "Q": Q,
    "K": K,
    "V": V,
    "scores": SCORES,
    "pattern": PATTERN,
    "context": CONTEXT,
    "at": 2,
    "name": "a",
}


@pytest.mark.parametrize("role", ["q", "k", "v", "c"])
def test_strips_are_the_vectors(role: str) -> None:
    """Read by another library: opacity is size, the upper half holds what is above 0, the lower what is below."""
    rows = {"q": Q, "k": K, "v": V, "c": CONTEXT}[role]
    found = re.search(rf"--{role}:url\(data:image/png;base64,([^)]*)\)", consult(WORDS, **GIVEN))
    assert found
    opacity = np.asarray(Image.open(BytesIO(b64decode(found[1]))).convert("RGBA"))[..., 3] / 255
    assert opacity.shape == (6, 5)
    signed = opacity[:3] - opacity[3:]
    assert np.abs(signed - rows / np.abs(rows).max()).max() <= 0.5 / 15 + 1e-6


def test_each_word_has_its_answers() -> None:
    """Weights beside each word, the largest score written out, and its products add up to what is said."""
    html = consult(WORDS, **GIVEN)

    weights = re.findall(r"<u>([\d.]+)</u>", html)
    assert np.allclose(np.reshape(weights, (3, 3)).astype(float), PATTERN, atol=0.005)
    assert html.count(" checked") == 1
    assert "&lt;cat&gt;" in html
    assert "<cat>" not in html
    for at, said in enumerate(re.findall(r"</i> = (.*?)</p>", html)):
        best = PATTERN[at].argmax()
        terms = sorted(Q[at] * K[best], key=abs)[::-1]
        factors = re.findall(r"\(?(-?[\d.]+)\)?·\(?(-?[\d.]+)\)?", said)
        assert np.allclose([float(a) * float(b) for a, b in factors], terms[:4], atol=0.4)
        assert " + 1 smaller product ≈" in said
        assert float(re.search(r"≈ (-?[\d.]+);", said)[1]) == pytest.approx(Q[at] @ K[best], abs=0.051)
        assert float(said.rpartition(" ")[2]) == pytest.approx(SCORES[at, best], abs=0.051)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"K": K[:2]}, ShapeError, "K must have a row for each word = 3, at most 32, got (2, 5)"),
        ({"K": K[:, :4]}, ShapeError, "Q must fit K, V the context, scores the words = 3"),
        ({"V": np.full((3, 5), np.nan)}, DTypeError, "V must hold finite real numbers"),
        ({"at": 3}, QKVError, "at must be the place of a word from 0 to 2, got 3"),
        ({"name": "A b"}, QKVError, "name must be lower-case letters, digits and hyphens, got 'A b'"),
        ({"context": CONTEXT + 1}, QKVError, "context must be the values mixed by the pattern"),
        ({"scores": SCORES * 2}, QKVError, "must be what its sum says"),
        ({"pattern": PATTERN * 2, "context": CONTEXT * 2}, QKVError, "must be shares of one"),
    ],
)
def test_what_is_not_so_is_refused(change: dict[str, object], kind: type[Exception], message: str) -> None:
    """A figure says nothing that it has not tried."""
    with pytest.raises(kind, match=re.escape(message)):
        consult(WORDS, **{**GIVEN, **change})
