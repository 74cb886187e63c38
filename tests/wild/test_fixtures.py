"""Parity with the five named models, from files that transformers wrote, without torch."""

from pathlib import Path

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.core import attend, merge_heads, rotate, split_heads
from tests.wild.conftest import FIXTURES

MODULES = [(folder.name, path) for folder in sorted(FIXTURES.iterdir()) for path in wild.read(folder)]
LIMIT = 5e-6


def recompute(
    weights: wild.Projections, x: np.ndarray, y: np.ndarray, *, rotary: bool, causal: bool
) -> dict[str, np.ndarray]:
    """Run attention from the weights, step by step."""
    Q, K, V = weights.project(x)[0], weights.project(y)[1], weights.project(y)[2]
    q, k, v = (
        split_heads(Q, weights.n_heads),
        split_heads(K, weights.n_kv_heads),
        split_heads(V, weights.n_kv_heads),
    )
    q, k = (rotate(q), rotate(k)) if rotary else (q, k)
    mask = np.tri(len(x), len(y), dtype=bool) if causal else None
    parts = attend(q, k.astype(q.dtype), v.astype(q.dtype), mask)
    output = merge_heads(parts.context) @ weights.W_O
    output = output if weights.b_O is None else output + weights.b_O
    return {"q": q, "k": k, "v": v, "pattern": parts.pattern, "output": output}


def operands(name: str, path: str) -> dict[str, np.ndarray]:
    """Give what the library multiplied."""
    held = wild.Checkpoint(FIXTURES / name / "operands.safetensors")
    return {key: held[f"{path}:{key}"] for key in ("x", "y", "q", "k", "v", "pattern", "output")}


def errors(name: str, path: str, weights: wild.Projections) -> dict[str, float]:
    """Compare what is recomputed with what was multiplied."""
    theirs = operands(name, path)
    causal = name in ("gpt2", "llama") or path.startswith("decoder.layers.0.self")
    ours = recompute(weights, theirs["x"], theirs["y"], rotary=name == "llama", causal=causal)
    scale = weights.d_head**-0.5 if name == "whisper" else 1.0  # Whisper scales q before the product
    found = {}
    for key, array in ours.items():
        factor = scale if key == "q" else 1.0
        repeats = len(theirs[key]) // len(array) if key in "kv" else 1
        found[key] = float(np.abs(theirs[key] - factor * np.repeat(array, repeats, 0)).max())
    return found


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_the_file_gives_what_the_library_multiplies(name: str, path: str) -> None:
    """q, k, v, attention weights and output, to float32 rounding."""
    found = errors(name, path, wild.read(FIXTURES / name)[path])
    assert max(found.values()) < LIMIT, found


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_noise_on_any_one_array_is_noticed(name: str, path: str) -> None:
    """Two per cent on a single W or b: the test above can fail, for every array it is about."""
    weights = wild.read(FIXTURES / name)[path]
    noise = np.random.default_rng(0)
    for array in weights.plan.shapes:
        held = getattr(weights, array)
        object.__setattr__(weights, array, held + 0.02 * noise.standard_normal(held.shape).astype("f4"))
        assert max(errors(name, path, weights).values()) > 20 * LIMIT, array
        object.__setattr__(weights, array, held)


def test_five_models_are_there() -> None:
    """Seven modules: Whisper has three kinds."""
    assert {name for name, _ in MODULES} == {"bert", "gpt2", "llama", "vit", "whisper"}
    assert len(MODULES) == 7


def test_fixtures_are_small() -> None:
    """They are committed."""
    assert sum(path.stat().st_size for path in Path(FIXTURES).rglob("*") if path.is_file()) < 250_000
