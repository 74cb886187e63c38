"""Nothing is passed over in silence: modules in part, layers, ranks, and what a cache holds of each kind."""

import json
import re
from typing import Any

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.errors import CheckpointError, LayoutError
from qkvdocs.wild._attentions import look
from qkvdocs.wild._report import report
from tests.wild.conftest import CONFIG, FIXTURES, Command, Make, llama, random

TWO = {**CONFIG, "num_hidden_layers": 2}


def layers(*numbers: int, **without: str) -> dict[str, np.ndarray]:
    """Give layers with attention and one more matrix each; of layer N, leave out what `lN` names."""
    held: dict[str, np.ndarray] = {}
    for number in numbers:
        held |= llama(at=f"model.layers.{number}.self_attn") | {
            f"model.layers.{number}.mlp.up.weight": random(2, 2)
        }
        gone = without.get(f"l{number}", "").split()
        for name in [name for name in held if gone and name.split(".")[-2] in gone and f".{number}." in name]:
            del held[name]
    return held


@pytest.mark.parametrize("lost", ["q_proj", "k_proj", "v_proj", "o_proj", "k_proj v_proj", "q_proj o_proj"])
def test_a_module_in_part_is_named(make: Make, command: Command, lost: str) -> None:
    """With what it lacks and what it has; the other layer is read, and the exit code is 1."""
    folder = make(layers(0, 1, l1=lost), TWO)
    missing = ", ".join(f"{name}.weight" for name in lost.split())
    attentions = wild.read(folder)
    assert list(attentions) == ["model.layers.0.self_attn"]
    refused = rf"layers.1.self_attn must have {missing} too, as LLaMA has, got .*cut short"
    with pytest.raises(LayoutError, match=refused):
        attentions["model.layers.1.self_attn"]
    shown = command(folder, code=1)
    assert f"must have {missing} too" in shown
    assert "1 modules read, 1 refused; 32 cache bytes a token in the modules read" in shown
    told = command(make(layers(0, 1), TWO))
    assert "2 modules read, 0 refused; 64 cache bytes a token in all" in told


def test_what_a_config_lets_a_module_lack_is_read(make: Make) -> None:
    """Values that are keys; keys and values of an earlier layer, whether the file repeats them or not."""
    folder = make(layers(0, 1, l1="v_proj"), {**TWO, "attention_k_eq_v": True})
    weights = wild.read(folder)["model.layers.1.self_attn"]
    assert np.array_equal(weights.W_V, weights.W_K)
    for without in ("k_proj v_proj", ""):
        shared = wild.read(make(layers(0, 1, l1=without), {**TWO, "num_kv_shared_layers": 1}))
        lent, own = (shared[f"model.layers.{n}.self_attn"] for n in (1, 0))
        assert lent.plan.kind == "shared"
        assert lent.plan.lender == "model.layers.0.self_attn"
        assert lent.plan.cache_bytes == 0 < own.plan.cache_bytes
        assert np.array_equal(lent.W_K, own.W_K)
        assert [piece.name[13] for piece in lent.plan.pieces] == ["1", "0", "0", "1"]
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    told = {**CONFIG, "num_hidden_layers": 3, "num_kv_shared_layers": 1, "layer_types": kinds}
    plan = wild.read(make(layers(0, 1, 2), told)).plans["model.layers.2.self_attn"]
    assert plan.lender.endswith("0.self_attn")
    assert "cut short" in str(look(make(layers(0, 1, l1="v_proj"), TWO)).refused["model.layers.1.self_attn"])


def test_what_was_read_listed_and_refused_is_printed(make: Make) -> None:
    """With the reasons; where all is listed, to read raises what it is."""
    points = {
        f"decoder.{n}.encoder_attn.{name}.weight": random(8, 8)
        for n in range(10)
        for name in ("sampling_offsets", "value_proj")
    }
    shown = repr(wild.read(make({**layers(0, 1, l1="v_proj"), **points}, TWO)))
    assert "1 modules read, 1 refused, 10 listed" in shown
    assert "decoder.0.encoder_attn: deformable attention" in shown
    assert "and 2 more" in shown
    assert "model.layers.1.self_attn: refused: model.layers.1.self_attn must have v_proj.weight too" in shown
    got = "got deformable attention"
    with pytest.raises(LayoutError, match=rf"decoder.0.encoder_attn must have W_Q, W_K and W_V, {got}"):
        wild.read(make(points, TWO))


def test_layers_are_counted_against_the_config(make: Make, command: Command) -> None:
    """A file cut after two of four layers, one with a hole, one whose layer lost all of its attention."""
    for tensors, count, told in (
        (layers(0, 1), 4, "model.layers.{2, 3}: not in the file, though config.json gives 4 layers"),
        (layers(0, 2), None, "model.layers.{1}: not in the file, though the others are numbered so"),
        (layers(0, 1, l1="q_proj k_proj v_proj o_proj"), 2, "model.layers.{1}: no attention that is known"),
        (layers(0), 10**12, "and 999999999987 more}: not in the file"),
    ):
        assert told in command(make(tensors, {**TWO, "num_hidden_layers": count}), code=1)
    command(make(layers(0, 1, 2), TWO))  # more than promised, such as layers that predict ahead


def test_a_pattern_asks_for_its_modules_alone(make: Make, command: Command) -> None:
    """What was not asked for does not decide the exit code."""
    folder = make(layers(0, 1, l1="v_proj"), {**TWO, "num_hidden_layers": 3})
    command(folder, "--module", "*.0.*")
    command(folder, "--module", "*.1.*", code=1)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("linear_attn.in_proj_qkvz.weight", "linear attention (a gated delta rule)"),
        ("linear_attn.q_proj.weight", "linear attention"),
        ("mamba.in_proj.weight", "a state-space mixer"),
        ("mixer.A_log", "a state-space mixer"),
        ("conv.in_proj.weight", "a short convolution"),
    ],
)
def test_what_stands_for_attention_is_mentioned(make: Make, command: Command, name: str, what: str) -> None:
    """Qwen3-Next, OLMo hybrid, Jamba, Nemotron-H, LFM: the layer is accounted for, and said to be what it is."""
    others = {f"model.layers.{n}.{name}": random(2, 2) for n in (0, 1)}
    if name.startswith("linear_attn.q"):  # the names of LLaMA, which they are not
        others |= {key.replace("self_attn", "linear_attn"): a for key, a in layers(0, 1).items()}
    shown = command(make({**layers(2), **others}, {**TWO, "num_hidden_layers": 3}))
    assert f"model.layers.{{0, 1}}: {what}" in shown
    assert name in shown
    assert "1 modules read, 0 refused" in shown


def test_a_layer_that_the_config_calls_otherwise_is_accounted_for(make: Make, command: Command) -> None:
    """A layer of experts alone, where the list of kinds says so."""
    tensors = {**layers(1), "model.layers.0.moe.weight": random(2)}
    for code, kind in enumerate(("moe", "attention")):
        command(make(tensors, {**TWO, "layers_block_type": [kind, "attention"]}), code=code)


def cut(rank: int, ranks: int = 2) -> dict[str, np.ndarray]:
    """Give what one rank holds of two layers, d_model 8, four query heads, two of keys."""
    held = {}
    for name, array in layers(0, 1).items():
        axis = 1 if "o_proj" in name else 0
        held[name] = np.split(array, ranks, axis)[rank] if "self_attn" in name else array
    return held


def test_a_rank_of_a_cut_model_is_refused(make: Make) -> None:
    """Two heads of two, not four heads of one: the shapes alone would allow both."""
    for config in (TWO, {**TWO, "head_dim": 2}):
        with pytest.raises(LayoutError, match=r"one of 2 ranks of a model that was cut, with 2 of 4 heads"):
            wild.read(make(cut(0), config))
    assert wild.read(make(cut(0), TWO), n_heads=2, n_kv_heads=1)["model.layers.0.self_attn"].d_head == 2


def test_two_ranks_in_one_folder_are_refused(make: Make) -> None:
    """They hold the same names."""
    for rank in (0, 1):
        folder = make(cut(rank), TWO, f"model-rank-0{rank}.safetensors")
    with pytest.raises(CheckpointError, match=r"must stand in one file.*ranks of a model that was cut"):
        wild.read(folder)


def module(path: str, config: dict[str, Any], make: Make) -> dict[str, Any]:
    """Report on one module of a name and a config."""
    [found] = report(wild.read(make(llama(at=path), {**CONFIG, **config})))["modules"]
    return {name: found[name] for name in found if name.startswith("cache") or name == "kind"}


@pytest.mark.parametrize(
    ("path", "config", "kind"),
    [
        ("model.layers.0.self_attn", {}, "self"),
        ("encoder.layer.0.attention", {"model_type": "bert"}, "encoder"),
        ("encoder.layer.0.attention", {"model_type": "bert", "is_decoder": True}, "self"),
        ("layers.0.attn", {"model_type": "modernbert"}, "encoder"),
        ("vision_tower.layers.0.self_attn", {}, "encoder"),
        ("layers.0.self_attn", {"model_type": "qwen3_vl_vision"}, "encoder"),
        ("shared.block.0.attn", {"model_type": "t5", "is_encoder_decoder": True}, "encoder"),
        ("decoder.layers.0.self_attn", {"model_type": "bart", "is_encoder_decoder": True}, "self"),
        ("decoder.layers.0.encoder_attn", {"model_type": "bart", "is_encoder_decoder": True}, "cross"),
        ("decoder.block.0.layer.1.EncDecAttention", {"model_type": "t5"}, "cross"),
        ("h.0.crossattention", {"model_type": "gpt2"}, "cross"),
    ],
)
def test_a_cache_holds_what_its_kind_says(make: Make, path: str, config: dict[str, Any], kind: str) -> None:
    """By the token, once a text, or nothing."""
    held = 2 * 2 * 2 * 4  # keys and values, two heads of two, four bytes
    assert module(path, config, make) == {
        "kind": kind,
        "cache_bytes_per_token": held if kind == "self" else 0,
        "cache_bytes_per_source_token": held if kind == "cross" else 0,
    }


def test_whisper_and_bert(command: Command) -> None:
    """Of Whisper's three modules one grows with the text; BERT keeps nothing."""
    shown = command(FIXTURES / "whisper")
    assert "128 cache bytes a token in all, and 128 once a text for each of its rows" in shown
    assert "cache    none: an encoder sees all positions at once" in command(FIXTURES / "bert", "--layers")


HOSTILE = "a\x1b[2J\x9b1m\r\n0 refused\u202e\u2028\u200f\x00\x7f"


def test_what_a_file_says_reaches_no_terminal_raw(make: Make, command: Command) -> None:
    """Names of tensors, of files and of models: spelt out in text, escaped in JSON, in errors too."""
    at, file = f"{HOSTILE}.self_attn", f"{HOSTILE[2:-2]}.safetensors"
    good = {**llama(at=at), f"{at}.{HOSTILE}": random(2)}
    bad = {**good, f"{at}.q_proj.weight": random(6, 8)}
    for code, tensors in enumerate((good, bad)):
        folder = make(tensors, {**CONFIG, HOSTILE: 1, "model_type": HOSTILE}, file)
        for words in ((), ("--json",), ("--values",)):
            told = command(folder, *words, code=code)
            assert all(c.isprintable() or c == "\n" for c in told), ascii(told)
            assert "\n0 refused" not in told
            if words == ("--json",):
                found = json.loads(told)
                assert found["model_type"] == HOSTILE
                assert HOSTILE in (found["modules"] + found["refused"])[0]["module"]
    assert repr(look(folder)).isprintable() is False
    assert all(line.isprintable() for line in repr(look(folder)).split("\n"))
    with pytest.raises(LayoutError) as refused:
        wild.read(folder)
    assert str(refused.value).isprintable()


def test_json_stays_json(make: Make, command: Command) -> None:
    """NaN and infinity have no place in it, in matrices or in a config."""
    wrong = llama()
    wrong["layers.0.self_attn.q_proj.weight"][0, 0] = np.nan
    wrong["layers.0.self_attn.k_proj.weight"][:] = np.inf
    told = command(make(wrong, {**CONFIG, "model_type": [1]}), "--json", "--values")
    found = json.loads(told, parse_constant=pytest.fail)
    values = found["modules"][0]["values"]
    assert found["model_type"] is None
    assert values["W_Q"]["finite"] is False
    assert values["W_Q"]["largest"] == float(np.nanmax(np.abs(wrong["layers.0.self_attn.q_proj.weight"])))
    assert values["W_K"] == {"finite": False, "largest": 0.0}
    with pytest.raises(CheckpointError, match="NaN is no JSON"):
        wild.read(make(llama(), json.dumps({**CONFIG, "x": float("nan")})))


@pytest.mark.parametrize("at", ["{0}", "{:>9999999999}", "{0.__class__}", "{", "%s", r"\g<0>", "$&"])
def test_a_name_is_never_a_pattern(make: Make, at: str) -> None:
    """Nothing that a file says is filled in, repeated or widened."""
    [found] = report(wild.read(make(llama(at=at), CONFIG)))["modules"]
    assert found["module"] == at
    assert found["stored"][0]["name"] == f"{at}.q_proj.weight"


def test_a_width_that_config_leaves_open_is_computed(make: Make) -> None:
    """`head_dim: null` says as little as no head_dim, also where an outer part has one."""
    open_ = {**CONFIG, "head_dim": None}
    for config in (open_, {"head_dim": 7, "text_config": open_}):
        [weights] = wild.read(make(llama(), config)).values()
        assert weights.d_head == 2


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ("attn.kqv_all attn.back", r"0\.attn must have projections under names.*got kqv_all.weight, back"),
        ("cross_attn.to_q", r"0\.cross_attn must have projections under names that the atlas knows"),
        ("attn1.to_q.lora_A", r"0\.attn1\.to_q\.lora_A\.weight must be one projection, got an adapter"),
    ],
)
def test_attention_of_unknown_names_is_never_passed_over(
    make: Make, command: Command, names: str, match: str
) -> None:
    """BLIP's vision, deformable attention, diffusers: beside modules that are read they were not mentioned."""
    strange = {f"vision.blocks.0.{name}.weight": random(2, 2) for name in names.split()}
    folder = make({**layers(0, 1), **strange}, TWO)
    [error] = look(folder).refused.values()
    assert re.search(match, str(error))
    command(folder, code=1)
    with pytest.raises(LayoutError, match=match):
        wild.read(make(strange, TWO))


@pytest.mark.parametrize(
    "beside",
    ["self_attn.relative_attention_bias.weight", "attention_norm.weight", "self_attn.inner_attn.mlp.weight"],
)
def test_what_stands_beside_attention_is_none(make: Make, command: Command, beside: str) -> None:
    """Tables, norms, and parts of a module that is read."""
    command(make({**layers(0, 1), f"model.layers.0.{beside}": random(2, 2)}, TWO))


def test_a_config_nests_a_few_parts(make: Make) -> None:
    """As deep as a config has them, and no deeper."""
    config: dict[str, Any] = CONFIG
    for _ in range(7):
        config = {**CONFIG, "text_config": config}
    assert len(wild.read(make(llama(), config))) == 1
    with pytest.raises(LayoutError, match="must nest at most 8 parts, got more"):
        wild.read(make(llama(), {**CONFIG, "text_config": config}))
