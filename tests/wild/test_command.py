"""The command line: rows for people and JSON for programs, and no traceback for any file."""

# one case a line

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qkvdocs import wild
from qkvdocs.wild import _command, _report
from tests.wild.conftest import CONFIG, FIXTURES, Command, Make, llama, raw


def test_text(command: Command, make: Make) -> None:
    """Layers that differ in nothing but their number share a paragraph."""
    folder = make({**llama(at="layers.0.self_attn"), **llama(at="layers.1.self_attn")}, CONFIG)
    text = command(folder, "--layers")
    for line in (
        "2 layers · 4 query heads on 2 key heads × 2 · separate matrices · no bias · F32",
        "layers.0.self_attn … layers.1.self_attn (2 alike)",
        "layout   LLaMA: one tensor each",
        "stored   layers.0.self_attn.k_proj.weight  4 × 8 (out, in) F32  K",
        "W_K      8 × 4",
        "biases   none",
        "heads    4 query, 2 key and value, d_head 2",
        "cache    32 bytes a token",
        "2 modules read, 0 refused; 64 cache bytes a token in all",
    ):
        assert line in text


def test_json(command: Command) -> None:
    """The same values, and the same numbers as the weights themselves."""
    [module] = json.loads(command(FIXTURES / "gpt2", "--json", "--values"))["modules"]
    weights = wild.read(FIXTURES / "gpt2")["h.0.attn"]
    assert module["layout"] == "GPT-2"
    assert module["biases"] == "qkvo"
    assert module["stored"][0]["orientation"] == "(in, out)"
    assert {name: tuple(shape) for name, shape in module["shapes"].items()} == weights.plan.shapes
    assert module["cache_bytes_per_token"] == 2 * weights.n_kv_heads * weights.d_head * 4
    assert module["values"]["W_Q"] == {"largest": float(abs(weights.W_Q).max()), "finite": True}


def test_pattern(command: Command) -> None:
    """Only the modules that are asked for."""
    found = json.loads(command(FIXTURES / "whisper", "--json", "--module", "encoder.*"))
    assert [module["module"] for module in found["modules"]] == ["encoder.layers.0.self_attn"]
    command(FIXTURES / "whisper", "--module", "nothing", code=1)


def test_refused_modules_are_listed(command: Command, make: Make) -> None:
    """With the reason; a file in which nothing can be read gives exit code 1."""
    folder = make(llama(), {"model_type": "llama"})
    text = command(folder, code=1)
    assert "layers.0.self_attn: refused" in text
    assert "n_heads must be known" in text
    command(folder, "--n-heads", "4", "--n-kv-heads", "2")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF" + bytes(20),
        raw([]),
        b"version https://git-lfs.github.com/spec/v1\n",
        raw({}, length=2**63),
    ],
)
def test_bad_files_give_one_line_and_exit_code_1(tmp_path: Path, content: bytes) -> None:
    """In a process of its own: no traceback, nothing on stdout."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "qkvdocs", "wild", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("qkvdocs wild: ")
    assert done.stderr.count("\n") == 1


def test_wrong_calls_give_exit_code_2(command: Command) -> None:
    """As every other command does."""
    command(code=2)
    command("a", "--n-heads", "four", code=2)
    assert "usage: qkvdocs wild" in command("--help")


def test_progress_shows_on_a_terminal_when_it_takes_long(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, taken away at the end; nothing where stderr is a file."""
    plain = command(FIXTURES / "gpt2", "--values")
    assert "\r" not in plain
    monkeypatch.setattr(_command, "PATIENCE", -1.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = command(FIXTURES / "gpt2", "--values").removeprefix(plain)
    assert "0 of 1: model.safetensors" in shown
    assert "0 of 1: h.0.attn" in shown
    assert shown.endswith("\r\x1b[K")


def test_one_long_step_is_told_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it goes on, without a second step; and what has ended says nothing more."""
    monkeypatch.setattr(_command, "PATIENCE", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = _command.Progress()
    progress(0, 1, "a large file")
    progress.timer.join(5)
    assert capsys.readouterr().err == "\r\x1b[K0 of 1: a large file"
    progress.clear()
    assert capsys.readouterr().err == "\r\x1b[K"
    later = _command.Progress()
    later(0, 1, "a small file")
    later.clear()
    later.timer.join(5)
    assert capsys.readouterr().err == ""


def keys(value: object) -> set[str]:
    """Collect the names of all facts; the names of matrices and modules are none."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    names = {name for name in value if not re.match(r"[Wb]_[A-Z]$|(en|de)coder\.", name)}
    return names.union(*map(keys, value.values()))


def test_every_fact_of_the_json_is_documented(command: Command) -> None:
    """On the page, each by its name."""
    page = (Path(__file__).parents[2] / "docs" / "wild" / "command.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", page.partition("{#json}")[2]))
    whisper = FIXTURES / "whisper"
    for words in (["--tokens", "9", "--shards", "1", "--values"], ["--against", whisper]):
        assert keys(json.loads(command(whisper, "--json", *words))) <= documented


def test_ctrl_c_is_no_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as shells expect."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_command, "Checkpoint", interrupt)
    command("anything", code=130)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("layers.0.self_attn.q_norm.weight", True),
        ("layers.0.self_attn.k_layernorm.weight", True),
        ("blk.0.attn_q_norm.weight", True),
        ("blocks.0.attn.norm_k.weight", True),
        ("blk.0.attn_norm.weight", False),
        ("blk.0.ffn_norm.weight", False),
        ("encoder.layer.0.attention.output.LayerNorm.weight", False),
    ],
)
def test_only_norms_of_queries_and_keys_are_told(name: str, told: bool) -> None:
    """llama.cpp keeps the norms of a whole layer beside its projections."""
    assert bool(_report.NORMS.search(name)) == told
