"""What a few tokens cannot show: long texts, large scores, another answer each time, softmax in half precision."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import Attend, Attention, Rotary, Step, examine
from qkvdocs.clinic._report import UNDECLARED
from qkvdocs.core import attention, causal_mask, rotate
from tests.clinic import bugs_blind, bugs_hard
from tests.clinic.bugs_open import cut, out, paste, roles, sdpa, tril
from tests.clinic.record import verdict
from tests.clinic.run import Rounded, answer, weights
from tests.sample import tenth

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
W = weights(4, 4, 8, bias=True)


def found(contract: Any) -> list[str]:
    """Name what is found."""
    return [finding.bug for finding in examine(contract).findings]


@pytest.mark.parametrize("window", [100, 511])
def test_a_window_longer_than_short_texts_is_measured(window: int) -> None:
    """No list of usual sizes holds a hundred; declared, it is healthy, and one key more is not."""

    def layer(x: np.ndarray) -> Any:
        n = x.shape[1]
        return attention(x, W, causal_mask(n, n) & ~np.tri(n, n, -window, dtype=bool))

    (finding,) = examine(Attention(layer, W, causal=True)).findings
    assert finding.bug == UNDECLARED
    assert f"window={window} " in finding.sentence
    assert not found(Attention(layer, W, causal=True, window=window))
    assert found(Attention(layer, W, causal=True, window=window - 1)) == ["window"]


@pytest.mark.parametrize("kept", [40, 300])
def test_a_cache_that_forgets_is_measured(kept: int) -> None:
    """It was healthy while texts had six tokens."""

    def step(x: np.ndarray, cache: Any) -> Any:
        q, k, v = (cut(a, 4) for a in roles(x, W))
        if cache is not None:
            pairs = zip(cache, (k, v), strict=True)
            k, v = (np.concatenate([old[:, :, -kept:], new], 2) for old, new in pairs)
        return out(paste(sdpa(q, k, v, tril(q.shape[2], k.shape[2]))), W), (k, v)

    (finding,) = examine(Step(step, W)).findings
    assert finding.bug == "cache-differs"
    assert f"keeps {kept} keys" in finding.sentence


def test_positions_in_half_precision_are_named() -> None:
    """Whole numbers above 256 are not all in bfloat16; six tokens never get there."""

    def layer(x: np.ndarray) -> Any:
        q, k, v = (cut(a, 4) for a in roles(x, W))
        at = Rounded(np, "bfloat16").make(np.arange(x.shape[1], dtype=float))
        return out(paste(sdpa(rotate(q, at), rotate(k, at), v, tril(x.shape[1]))), W)

    assert found(Attention(layer, W, causal=True, rotary=Rotary())) == ["dtype-loss"]


@pytest.mark.parametrize("top", [lambda s: 0.0, lambda s: np.maximum(s.max(-1, keepdims=True), 0.0)])
def test_scores_that_overflow_are_seen(top: Any) -> None:
    """No maximum is subtracted; or it begins at 0, where every score is far below."""

    def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> Any:
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        s = s if mask is None else np.where(mask, s, -np.inf)
        powers = np.exp(s - top(s))
        return powers / powers.sum(-1, keepdims=True) @ v

    assert found(Attend(attend)) == ["dtype-loss"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_softmax_in_half_precision_is_named(dtype: str) -> None:
    """It was healthy: its rounding is that of half precision. In single precision it stays so."""
    kind = Rounded(np, dtype)

    def attend(soft: Any) -> Any:
        def run(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> Any:
            s = kind.make(kind.make(q @ k.swapaxes(-1, -2)) / np.sqrt(q.shape[-1]))
            s = s if mask is None else np.where(mask, s, -np.inf)
            powers = soft(np.exp(soft(s - s.max(-1, keepdims=True))))
            return kind.make(kind.make(soft(powers / soft(powers.sum(-1, keepdims=True)))) @ v)

        return Attend(run, like=kind)

    assert found(attend(kind.make)) == ["dtype-loss"]
    assert not found(attend(lambda array: array))


def test_an_adapter_in_the_values_is_recognised_undeclared() -> None:
    """Texts of one token see values alone: what they are off by has the adapter's rank."""
    rng = np.random.default_rng(0)
    down, up = rng.normal(size=(32, 2)), rng.normal(size=(2, 32)) / 4
    other = replace(W, W_V=W.W_V + down @ up)
    (finding,) = examine(Attention(lambda x: attention(x, other), W)).findings
    assert finding.bug == "adapter-merge"
    assert "rank 2 of 32" in finding.sentence


BLIND = [*bugs_blind.SINGLE, *bugs_blind.HARD]


@pytest.mark.parametrize("case", tenth([*BLIND, *bugs_hard.CASES]), ids=lambda case: case.name)
def test_what_is_wrong_is_never_healthy(case: Any) -> None:
    """But for a key bias that no output shows."""
    assert verdict(case, answer(case), case.bugs) != "healthy" or case.name == "key_bias_lost_without_rotary"
