"""The small files under tests/wild/fixtures are what the pinned libraries write and multiply."""

# tables

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qkvdocs import wild
from tests.parity.capture import Capture, capture
from tests.parity.families import FAMILIES, Family

FOLDER = Path(__file__).parents[1] / "wild" / "fixtures"
SMALL = {
    "gpt2": {"vocab_size": 97, "n_embd": 16, "n_head": 4, "n_layer": 1, "n_positions": 16},
    "llama": {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 8},
    "bert": {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 8, "max_position_embeddings": 16},
    "vit": {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 8},
    "whisper": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8,
                "max_target_positions": 12},
}  # fmt: skip
ARRAYS = ("x", "y", "q", "k", "v", "pattern", "output")


def members(name: str) -> list[Family]:
    """Give the modules of one small model."""
    chosen = [family for family in FAMILIES if family.name.split()[0] == name]
    return [replace(family, config={**family.config, **SMALL[name]}) for family in chosen]


def operands(seen: Capture) -> dict[str, np.ndarray]:
    """Name what the module multiplied."""
    return {f"{seen.family.path}:{name}": getattr(seen, name).astype(np.float32) for name in ARRAYS}


def write(name: str, folder: Path) -> None:
    """Write model, config and operands."""
    arrays: dict[str, np.ndarray] = {}
    for family in members(name):
        arrays |= operands(capture(family, folder))
    wild.save(folder / "operands.safetensors", arrays)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for extra in folder.iterdir():
        if extra.name not in {"model.safetensors", "operands.safetensors", "config.json"}:
            extra.unlink()


@pytest.mark.parametrize("name", SMALL)
def test_fixtures_are_fresh(name: str, tmp_path: Path, record: bool) -> None:
    """Written again, model and config are the same to the byte, the operands to rounding."""
    if record:
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        write(name, FOLDER / name)
    write(name, tmp_path)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (FOLDER / name / file).read_bytes(), (
            f"{name}/{file} is stale: --record"
        )
    fresh, kept = (wild.Checkpoint(folder / "operands.safetensors") for folder in (tmp_path, FOLDER / name))
    assert list(fresh) == list(kept)
    assert all(np.abs(fresh[key] - kept[key]).max() < 5e-6 for key in kept)
