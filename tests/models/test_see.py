"""All heads at once, right and with each bug: against `core`, and against each mistake written as a loop."""

import numpy as np
import pytest

from qkvdocs.clinic import BUGS
from qkvdocs.core import QKVWeights, attention
from qkvdocs.errors import QKVError
from qkvdocs.models import SILENT, see

RNG = np.random.default_rng(3)
SEQ, D, H = 5, 12, 3
X = RNG.normal(size=(SEQ, D))
LAYER = QKVWeights(
    **{f"W_{r}": RNG.normal(size=(D, D)) for r in "QKVO"},
    **{f"b_{r}": RNG.normal(size=D) for r in "QKVO"},
    n_heads=H,
)


def by_hand(bug: str) -> np.ndarray:
    """Compute the output entry by entry."""
    W = {r: getattr(LAYER, f"W_{r}") for r in "QKV"}
    b = {r: getattr(LAYER, f"b_{r}") for r in "QKV"}
    sources = {"shared-projection": "QQV", "swapped-projection": "QVK"}.get(bug, "QKV")
    rows = [X @ (W[r].T if bug == "transposed-weight" else W[r]) + b[r] for r in sources]
    width, merged = D // H, np.zeros((SEQ, D))
    for h in range(H):
        if bug == "head-split":
            q, k, v = (part.ravel()[h * SEQ * width :][: SEQ * width].reshape(SEQ, width) for part in rows)
        else:
            q, k, v = (part[:, h * width : h * width + width] for part in rows)
        scores = q @ (np.ascontiguousarray(k).reshape(width, SEQ) if bug == "key-transpose" else k.T)
        scores = scores if bug == "scale" else scores / width**0.5
        for i in range(SEQ):
            shares = np.array(
                [0 if bug == "equivariance" and j > i else np.exp(scores[i, j]) for j in range(SEQ)]
            )
            merged[i, h * width : h * width + width] = shares / shares.sum() @ v
    return merged @ LAYER.W_O + LAYER.b_O


@pytest.mark.parametrize("bug", ["", *SILENT])
def test_it_does_what_it_says(bug: str) -> None:
    """The output, and that its parts belong together."""
    found = see(X, LAYER, bug)
    assert np.allclose(found.output, by_hand(bug))
    assert np.allclose(found.context, found.pattern @ found.V)
    assert np.allclose(found.pattern.sum(axis=-1), 1)
    assert np.allclose(found.output, attention(X, LAYER)) is (bug == "")


def test_each_bug_has_its_page() -> None:
    """In the clinic, under its name; another is refused."""
    assert set(SILENT) <= set(BUGS)
    with pytest.raises(QKVError, match=r"^bug must be one of scale, .*, got 'none'$"):
        see(X, LAYER, "none")
