"""Latent attention: its parts, the absorbed form, and what is refused."""

# ruff: noqa: E501  # one case a line

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import LayoutError
from qkvdocs.wild import Latent
from qkvdocs.wild._attentions import look
from tests.wild.conftest import Command, Make, folder, random

D, HEADS, PLAIN, TURNED, VALUE, RANK, Q_RANK = 16, 2, 3, 4, 5, 6, 7
CONFIG = {
    "model_type": "deepseek_v3", "hidden_size": D, "num_attention_heads": HEADS, "num_hidden_layers": 1,
    "kv_lora_rank": RANK, "qk_rope_head_dim": TURNED, "qk_nope_head_dim": PLAIN, "v_head_dim": VALUE, "head_dim": TURNED,
}  # fmt: skip
AT = "model.layers.0.self_attn"
SHAPES = {
    "q_a_proj.weight": (Q_RANK, D), "q_a_layernorm.weight": (Q_RANK,), "q_b_proj.weight": (HEADS * (PLAIN + TURNED), Q_RANK),
    "kv_a_proj_with_mqa.weight": (RANK + TURNED, D), "kv_a_layernorm.weight": (RANK,),
    "kv_b_proj.weight": (HEADS * (PLAIN + VALUE), RANK), "o_proj.weight": (D, HEADS * VALUE),
}  # fmt: skip


def stored(**changes: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    """Give a module of noise under DeepSeek's names; some with another shape, or left out."""
    shapes = {**SHAPES, **{name.replace("__", "."): shape for name, shape in changes.items()}}
    return {f"{AT}.{name}": random(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items()) if shape}


def by_hand(tensors: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Compute scores of plain parts and mixtures of values as DeepSeek's own code does, a head at a time."""
    get = {name.removeprefix(f"{AT}."): array.astype("f8") for name, array in tensors.items()}

    def norm(rows: np.ndarray, name: str) -> np.ndarray:
        return rows / np.sqrt((rows**2).mean(-1, keepdims=True)) * get[f"{name}.weight"]

    short_q = norm(x @ get["q_a_proj.weight"].T, "q_a_layernorm")
    q = (short_q @ get["q_b_proj.weight"].T).reshape(len(x), HEADS, PLAIN + TURNED)
    down = x @ get["kv_a_proj_with_mqa.weight"].T
    kv = norm(down[:, :RANK], "kv_a_layernorm") @ get["kv_b_proj.weight"].T
    kv = kv.reshape(len(x), HEADS, PLAIN + VALUE)
    out = np.zeros((len(x), D))
    for head in range(HEADS):
        scores = q[:, head, :PLAIN] @ kv[:, head, :PLAIN].T + q[:, head, PLAIN:] @ down[:, RANK:].T
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = weights @ kv[:, head, PLAIN:]
        out += mixed @ get["o_proj.weight"].T[head * VALUE : (head + 1) * VALUE]
    return out


def absorbed(parts: Latent, x: np.ndarray) -> np.ndarray:
    """Attend to short rows: one head of keys, which are the values, too."""

    def norm(rows: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return rows / np.sqrt((rows**2).mean(-1, keepdims=True)) * gain

    W_Q, W_O = parts.absorb()
    assert parts.g_Q is not None
    q = norm(x @ parts.W_DQ, parts.g_Q) @ W_Q
    short = norm(x @ parts.W_DKV, parts.g_KV)
    keys = np.concatenate([short, x @ parts.W_KR], -1)
    mixed = []
    for rows in np.split(q, HEADS, -1):
        scores = rows @ keys.T
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed.append(weights / weights.sum(-1, keepdims=True) @ short)
    return np.concatenate(mixed, -1) @ W_O


def test_both_forms_compute_what_the_stored_matrices_do(make: Make) -> None:
    """The absorbed form needs no keys and values: the short row is both."""
    tensors, x = stored(), random(9, D, seed=20).astype("f8")
    attentions = wild.read(make(tensors, CONFIG))
    parts = attentions.latent[AT]
    assert {name: array.shape for name, array in parts.arrays.items() if name[0] == "W"} == {
        name: shape for name, shape in attentions.plan(AT).shapes.items() if name[0] == "W"
    }
    assert np.allclose(absorbed(parts, x), by_hand(tensors, x), atol=1e-5)


def test_llama_cpp_keeps_the_two_halves_apart(make: Make) -> None:
    """Keys turned, (heads, rank, plain), and values, (heads, values, rank): the parts are the same to the bit."""
    whole = {name: part.copy() for name, part in wild.read(make(stored(), CONFIG)).latent[AT].arrays.items()}
    names = {
        "q_a_proj": "attn_q_a", "q_a_layernorm": "attn_q_a_norm", "q_b_proj": "attn_q_b", "o_proj": "attn_output",
        "kv_a_proj_with_mqa": "attn_kv_a_mqa", "kv_a_layernorm": "attn_kv_a_norm",
    }  # fmt: skip
    tensors = {
        f"blk.0.{names[key]}.weight": array
        for name, array in stored().items()
        if (key := name.removeprefix(f"{AT}.").removesuffix(".weight")) in names
    }
    up = stored()[f"{AT}.kv_b_proj.weight"].reshape(HEADS, PLAIN + VALUE, RANK)
    tensors |= {
        "blk.0.attn_k_b.weight": np.ascontiguousarray(up[:, :PLAIN].transpose(0, 2, 1)),
        "blk.0.attn_v_b.weight": np.ascontiguousarray(up[:, PLAIN:]),
    }
    split = wild.read(make(tensors, CONFIG)).latent["blk.0"]
    assert all(np.array_equal(array, split.arrays[name]) for name, array in whole.items())


def test_queries_may_come_straight_from_the_row(make: Make) -> None:
    """DeepSeek-V2-Lite has no short row for them; biases of the others are given by part."""
    changes = {"q_a_proj__weight": None, "q_a_layernorm__weight": None, "q_b_proj__weight": None}
    more = {"q_proj__weight": (HEADS * (PLAIN + TURNED), D), "kv_a_proj_with_mqa__bias": (RANK + TURNED,)}
    parts = wild.read(make(stored(**changes, **more), CONFIG)).latent[AT]
    assert parts.W_DQ is None
    assert parts.W_UQ.shape == (D, HEADS * PLAIN)
    assert {name: bias.shape for name, bias in parts.biases.items()} == {"DKV": (RANK,), "KR": (TURNED,)}


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a part is lost": ({"kv_b_proj__weight": None}, {}, r"must have kv_b_proj.weight too, as DeepSeek has, got q_a_proj.*cut short"),
    "a rank is cut": ({"o_proj__weight": (D, VALUE)}, {}, r"must have shape .* for 2 heads of .* got"),
    "config's rank": ({}, {"kv_lora_rank": 9}, r"kv_lora_rank in config.json must be what the shapes give = 6, got 9"),
    "config's heads": ({}, {"v_head_dim": 4}, r"v_head_dim in config.json must be what the shapes give = 5, got 4"),
    "no head count": ({}, {"num_attention_heads": None}, r"n_heads must be known to cut .*q_b_proj.weight"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_contradictions_are_refused(make: Make, case: str) -> None:
    """Before a matrix is read."""
    changes, config, match = WRONG[case]
    with pytest.raises(LayoutError, match=match):
        wild.read(make(stored(**changes), {**CONFIG, **config}))


def test_parts_have_no_single_matrix(make: Make) -> None:
    """To ask for one says where the parts are; a bias of keys cannot be absorbed."""
    attentions = look(make(stored(kv_b_proj__bias=(HEADS * (PLAIN + VALUE),)), CONFIG))
    told = rf"{AT} must have one W_Q, W_K and W_V, got latent attention.*\.latent"
    with pytest.raises(LayoutError, match=told):
        attentions[AT]
    with pytest.raises(LayoutError, match="biases must have no UQ, UK or UV to be absorbed, got UK, UV"):
        attentions.latent[AT].absorb()
    assert "1 modules read, 0 refused" in repr(attentions)
    assert "latent attention, in parts" in repr(attentions)


def test_the_command_tells_of_parts(make: Make, tmp_path: Path, command: Command) -> None:
    """In text and JSON, with values, ranks, a cache, and against another file."""
    path = make(stored(), {**CONFIG, "rope_interleave": True})
    assert "1 latent attention layer · 2 heads × 7 · in parts · rotary pairs · no bias · F32" in command(path)
    shown = command(path, "--tokens", "10", "--dtype", "float32", "--shards", "2")
    assert f"cache: 1 latent layer, each keeps 10 tokens: {10 * 4 * (RANK + TURNED)} bytes" in shown
    assert "rank 1: heads 1 to 1 of W_UQ, W_QR, W_UK, W_UV and rows of W_O" in shown
    [module] = json.loads(command(path, "--json", "--values"))["modules"]
    assert module["kind"] == "latent"
    assert module["values"].keys() == {*module["shapes"], "g_Q", "g_KV"}
    assert "1 of 1 modules equal to the bit" in command(path, "--against", path)
    other = stored()
    other[f"{AT}.kv_b_proj.weight"] = other[f"{AT}.kv_b_proj.weight"] + 1
    shown = command(path, "--against", folder(tmp_path / "elsewhere", other, CONFIG), code=1)
    assert "W_UK, W_UV: different (largest error 1)" in shown
