"""Low-rank adapters: what they add to which projection, and the weights with it."""

# ruff: noqa: E501  # one case a line

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError
from tests.wild.conftest import CONFIG, Command, folder, llama, random

D, RANK = 8, 2
Arrays = dict[str, np.ndarray]


def lora(targets: dict[str, int], prefix: str = "base_model.model.", names: str = "lora_A lora_B") -> Arrays:
    """Give both matrices for each target, by its outputs."""
    found = {}
    for n, (target, out) in enumerate(targets.items()):
        found[f"{prefix}{target}.{names.split()[0]}.weight"] = random(RANK, D, seed=10 + n)
        found[f"{prefix}{target}.{names.split()[1]}.weight"] = random(out, RANK, seed=20 + n)
    return found


def adapter(path: Path, arrays: Arrays, **config: Any) -> Path:
    """Write an adapter as PEFT does."""
    told = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, **config}
    return folder(path, arrays, told, "adapter_model.safetensors", "adapter_config.json")


AT = "layers.0.self_attn"
TARGETS = {f"{AT}.q_proj": 8, f"{AT}.v_proj": 4}


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        ("lora_A lora_B", "base_model.model."),
        ("lora_A.default lora_B.default", "base_model.model."),
        ("lora.down lora.up", "unet."),
    ],
)
def test_merged_weights(tmp_path: Path, names: str, prefix: str) -> None:
    """Scale times B A, for the two that are adapted; the others stay."""
    base = folder(tmp_path / "base", llama(), CONFIG)
    arrays = lora(TARGETS, prefix, names)
    one, plain = wild.read(base, adapter=adapter(tmp_path / "a", arrays))[AT], wild.read(base)[AT]
    first, second = names.split()
    for role in "qkvo":
        target = f"{prefix}{AT}.{role}_proj"
        ours, theirs = (getattr(weights, f"W_{role.upper()}") for weights in (one, plain))
        if f"{target}.{first}.weight" in arrays:
            theirs = theirs + (2 * arrays[f"{target}.{second}.weight"] @ arrays[f"{target}.{first}.weight"]).T
        assert np.allclose(ours, theirs, atol=1e-6), role
    assert one.plan.pieces[0].dtype == "F32 + LoRA"


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2), ({"use_rslora": True}, 4 / 2**0.5), ({"lora_alpha": 1}, 0.5), ({"alpha_pattern": {"q_proj": 8}}, 4),
        ({"alpha_pattern": {"self_attn.q_proj": 6}}, 3), ({"alpha_pattern": {"k_proj": 8, ".*": 9}}, 2),
    ],
)  # fmt: skip
def test_the_scale_is_what_peft_makes_of_its_config(
    tmp_path: Path, config: dict[str, Any], scale: float
) -> None:
    """By the rank, its root, or a pattern; without a config it is one."""
    found = wild.Checkpoint(adapter(tmp_path / "a", lora(TARGETS), **config)).adapters
    assert found[f"{AT}.q_proj"].scale == pytest.approx(scale)
    assert found[f"{AT}.q_proj"].rank == RANK
    arrays = lora({"unet.down.attn1.to_q": 8}, "", "lora_down lora_up")
    bare = wild.Checkpoint(folder(tmp_path / "b", arrays, {}))
    assert bare.adapters["unet.down.attn1.to_q"].scale == 1
    arrays["unet.down.attn1.to_q.alpha"] = np.full((), 3, "<f4")
    with_alpha = wild.Checkpoint(folder(tmp_path / "c", arrays, {}))
    assert with_alpha.adapters["unet.down.attn1.to_q"].scale == 1.5


def test_dora_sets_the_length_of_each_row(tmp_path: Path) -> None:
    """And is called by its name."""
    arrays = lora({f"{AT}.q_proj": 8})
    arrays[f"base_model.model.{AT}.q_proj.lora_magnitude_vector"] = np.abs(random(8, seed=5))
    base = folder(tmp_path / "base", llama(), CONFIG)
    found = wild.read(base, adapter=adapter(tmp_path / "a", arrays, use_dora=True))[AT]
    assert np.allclose(np.linalg.norm(found.W_Q, axis=0), np.abs(random(8, seed=5)), atol=1e-5)
    assert found.plan.pieces[0].dtype == "F32 + DoRA"


def test_a_fused_matrix_and_one_that_lies_the_other_way(tmp_path: Path) -> None:
    """GPT-2's c_attn: what is added is turned as the base is, and cut as it is."""
    stored = {"h.0.attn.c_attn.weight": random(8, 24), "h.0.attn.c_proj.weight": random(8, 8)}
    base = folder(tmp_path / "base", stored, {"model_type": "gpt2", "n_head": 2, "n_embd": 8})
    arrays = lora({"transformer.h.0.attn.c_attn": 24})
    found = wild.read(base, adapter=adapter(tmp_path / "a", arrays, fan_in_fan_out=True))["h.0.attn"]
    down, up = arrays.values()
    assert np.allclose(found.W_K, (stored["h.0.attn.c_attn.weight"] + (2 * up @ down).T)[:, 8:16], atol=1e-6)
    with pytest.raises(CheckpointError, match=r"adds = \(24, 8\), got \(8, 24\). Is this its base"):
        wild.read(base, adapter=adapter(tmp_path / "b", arrays))


def test_the_command_tells_what_it_adds(tmp_path: Path, command: Command) -> None:
    """Layers alike in one line; what is no attention is said to be none; then with its base."""
    both = {**TARGETS, **{target.replace("0", "1"): out for target, out in TARGETS.items()}}
    path = adapter(tmp_path / "a", lora({**both, "layers.0.mlp.up_proj": 8}))
    shown = command(path)
    assert "layers.0.self_attn.q_proj … layers.1.self_attn.q_proj (2 alike)" in shown
    assert "LoRA adds 2 · B A to W_Q: rank 2, 8 × 8 (out, in)" in shown
    assert "to a matrix that is no W_Q, W_K, W_V" in shown
    assert "an adapter of 5 matrices; with its base: qkvdocs wild BASE --adapter THIS" in shown
    assert json.loads(command(path, "--json"))["adapters"][0]["roles"] == "q"
    base = folder(tmp_path / "base", llama(), CONFIG)
    assert "F32 + LoRA" in command(base, "--adapter", adapter(tmp_path / "b", lora(TARGETS)))


BROKEN = {
    "no B": ({f"{AT}.q_proj.lora_A.weight": random(2, 8)}, {}, "must have A .* and B"),
    "two ranks": ({f"{AT}.q_proj.lora_A.weight": random(2, 8), f"{AT}.q_proj.lora_B.weight": random(8, 3)}, {}, "must have A"),
    "rank nothing": ({f"{AT}.q_proj.lora_A.weight": random(0, 8), f"{AT}.q_proj.lora_B.weight": random(8, 0)}, {}, "must have A"),
    "a scale of text": (lora(TARGETS), {"lora_alpha": "x"}, "lora_alpha in adapter_config.json must be a number, got x"),
    "a scale beyond all numbers": (lora(TARGETS), {"lora_alpha": 10**400}, "lora_alpha in adapter_config.json must be a number"),
    "an alpha of nothing": ({**lora(TARGETS, ""), f"{AT}.q_proj.alpha": random(0)}, {}, r"q_proj.alpha must be one number, got F32 of shape \(0,\)"),
    "too few magnitudes": ({**lora(TARGETS), f"base_model.model.{AT}.q_proj.lora_magnitude_vector": random(3)}, {}, "must be one a row of B"),
    "another base": (lora({"other.q_proj": 8}), {}, "the base must hold other.q_proj.weight"),
    "another width": (lora({f"{AT}.q_proj": 9}), {}, "Is this its base"),
    "no adapter": ({"a": random(2)}, {}, "the adapter must hold matrices such as"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    """By its name."""
    arrays, config, match = BROKEN[name]
    base = folder(tmp_path / "base", llama(), CONFIG)
    with pytest.raises(CheckpointError, match=match):
        wild.read(base, adapter=adapter(tmp_path / "a", arrays, **config))
