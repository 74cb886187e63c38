"""Two checkpoints side by side: each mistake that converters make is called by its name."""

# ruff: noqa: E501  # one case a line

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import QKVError
from tests.wild.conftest import CONFIG, FIXTURES, Command, folder, random

FILES = Path(__file__).with_name("files")
D, HEADS, KV, D_HEAD = 32, 4, 2, 8
SETTINGS = {**CONFIG, "hidden_size": D, "num_attention_heads": HEADS, "num_key_value_heads": KV}
Parts = dict[str, np.ndarray]


def parts() -> Parts:
    """Give four matrices, stored (out, in)."""
    rows = {"q": HEADS * D_HEAD, "k": KV * D_HEAD, "v": KV * D_HEAD, "o": D}
    return {role: random(count, D, seed=n) for n, (role, count) in enumerate(rows.items())}


def store(path: Path, held: Parts, layers: int = 1, config: dict[str, object] = SETTINGS) -> Path:
    """Write them as a LLaMA of some layers."""
    tensors = {
        f"layers.{n}.self_attn.{role[0]}_proj.{'bias' if 'bias' in role else 'weight'}": part
        for n in range(layers)
        for role, part in held.items()
    }
    return folder(path, tensors, config)


def pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """Permute rows as llama.cpp does."""
    return rows.reshape(heads, 2, -1, D).swapaxes(1, 2).reshape(rows.shape)


def heads(rows: np.ndarray, order: list[int]) -> np.ndarray:
    """Lay heads in another order."""
    return rows.reshape(len(order), -1, D)[order].reshape(rows.shape)


def recut(held: Parts) -> Parts:
    """Fuse side by side, cut head by head: what reading GPT-NeoX as Phi-3 gives."""
    joined = np.concatenate([held[role] for role in "qkv"]).T
    return {role: part.T for role, part in wild.split(joined, "qkv", {"q": 32, "k": 16, "v": 16}, KV).items()}


def rounded(rows: np.ndarray) -> np.ndarray:
    """Keep eight bits."""
    return (rows.view("<u4") & 0xFFFF0000).view("<f4")


def packed(rows: np.ndarray) -> np.ndarray:
    """Keep four bits a weight."""
    scale = np.abs(rows).max() / 7
    return (np.round(rows / scale) * scale).astype("<f4")


CASES: dict[str, tuple[Callable[[Parts], Parts], dict[str, str]]] = {
    "equal": (lambda p: {}, {}),
    "pairs": (lambda p: {"q": pairs(p["q"], HEADS), "k": pairs(p["k"], KV)}, dict.fromkeys(("W_Q", "W_K"), "rows permuted pairs")),
    "a bias in pairs": (
        lambda p: {"q": pairs(p["q"], HEADS), "q bias": pairs(np.repeat(random(32)[:, None], D, 1), HEADS)[:, 0]},
        {"W_Q": "rows permuted pairs", "b_Q": "rows permuted pairs"}),
    "only Q in pairs": (lambda p: {"q": pairs(p["q"], HEADS)}, {"W_Q": "rows permuted pairs"}),
    "K and V exchanged": (lambda p: {"k": p["v"], "v": p["k"]}, dict.fromkeys(("W_K", "W_V"), "K and V exchanged")),
    "heads": (lambda p: {"q": heads(p["q"], [2, 0, 3, 1])}, {"W_Q": "heads in another order"}),
    "value heads": (lambda p: {"v": heads(p["v"], [1, 0])}, {"W_V": "heads in another order"}),
    "another cut": (recut, dict.fromkeys(("W_Q", "W_K", "W_V"), "fused cut in another order")),
    "zeros": (lambda p: {"k": 0 * p["k"]}, {"W_K": "zeros"}),
    "transposed": (lambda p: {"q": p["q"].T, "o": p["o"].T}, dict.fromkeys(("W_Q", "W_O"), "transposed")),
    "rounded": (lambda p: {"v": rounded(p["v"])}, {"W_V": "equal to rounding (largest error"}),
    "packed": (lambda p: {"v": packed(p["v"])}, {"W_V": "equal to quantisation (largest error"}),
    "another matrix": (lambda p: {"v": random(16, D, seed=9)}, {"W_V": "different (largest error"}),
    "a bias": (lambda p: {"q bias": random(32)}, {"b_Q": "missing"}),
    "a bias of zeros": (lambda p: {"q bias": np.zeros(32, "<f4")}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_has_its_name(tmp_path: Path, name: str, command: Command) -> None:
    """All else is equal; the exit code is 1 unless everything is."""
    change, expected = CASES[name]
    own = {**parts(), "q bias": random(32)} if name == "a bias in pairs" else parts()
    ours, theirs = store(tmp_path / "a", own), store(tmp_path / "b", {**parts(), **change(parts())})
    [pair] = wild.differences(wild.read(ours), wild.read(theirs))
    assert {key for key, told in pair.found.items() if told != "equal"} == set(expected)
    assert all(pair.found[key].startswith(told) for key, told in expected.items()), pair.found
    text = command(ours, "--against", theirs, code=int(bool(expected)))
    assert f"{int(not expected)} of 1 modules equal to the bit" in text
    assert all(told in text for told in expected.values())
    np.savez(tmp_path / "b.npz", **dict(wild.Checkpoint(theirs)))  # another format says the same
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    [again] = wild.differences(wild.read(ours), wild.read(tmp_path / "b.npz"))
    assert again.found == pair.found


def test_formats_may_differ(command: Command) -> None:
    """A file of llama.cpp, of torch and of Hugging Face: one layer, to the bit."""
    for name, heads in (("llama.gguf", []), ("llama.pt", ["--n-heads", "4", "--n-kv-heads", "2"])):
        found = json.loads(command(FIXTURES / "llama", "--against", FILES / name, *heads, "--json"))
        assert found["equal"]
        assert {*found["modules"][0]["found"].values()} == {"equal"}


def test_modules_are_paired_by_what_they_are_for(tmp_path: Path) -> None:
    """Three kinds in one model; a layer that only one of two has is missing."""
    whisper = wild.read(FIXTURES / "whisper")
    assert all(pair.equal and pair.path == pair.other for pair in wild.differences(whisper, whisper))
    short, long = (wild.read(store(tmp_path / name, parts(), n)) for name, n in (("a", 1), ("b", 2)))
    for one, other in ((short, long), (long, short)):
        found = [(pair.path, pair.other) for pair in wild.differences(one, other) if not pair.equal]
        assert found == [("layers.1.self_attn", "")[:: 1 if one is long else -1]]


def test_a_shape_that_differs_is_told(tmp_path: Path) -> None:
    """Grouped in one, not in the other."""
    more = {**parts(), "k": random(32, D), "v": random(32, D)}
    ours = wild.read(store(tmp_path / "a", parts()))
    theirs = wild.read(store(tmp_path / "b", more, config={**SETTINGS, "num_key_value_heads": 4}))
    [pair] = wild.differences(ours, theirs)
    assert pair.found["W_K"] == "another shape: 32 × 16, and 32 × 32"


def test_the_other_must_be_there(tmp_path: Path, command: Command) -> None:
    """Else one line and exit code 1; what is refused in one is no equality."""
    ours = store(tmp_path / "a", parts())
    assert "nothing there" in command(ours, "--against", tmp_path / "no", code=1)
    held = {role: part for role, part in parts().items() if role != "v"}
    assert "refused" in command(ours, "--against", store(tmp_path / "b", held), code=1)
    with pytest.raises(QKVError):
        wild.read(tmp_path / "b")
