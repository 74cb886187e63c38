"""The atlas is data: every row can be stored and read back, and nothing is guessed."""

# ruff: noqa: E501  # one case a line

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from qkvdocs import wild
from qkvdocs.core import QKVWeights
from qkvdocs.errors import CheckpointError, DTypeError, LayoutError, QKVError, ShapeError
from qkvdocs.wild import ATLAS, Layout, Projections, _attentions
from qkvdocs.wild._attentions import look
from qkvdocs.wild._report import report
from tests.wild.conftest import CONFIG, FIXTURES, Make, llama, random

PLAIN = next(row for row in ATLAS if row.family == "q_proj, k_proj, v_proj")


def layer(
    n_heads: int = 4, n_kv_heads: int = 4, bias: str = "qkvo", d_head: int = 2, gate: bool = False
) -> QKVWeights:
    """Give a layer of noise, d_model 8."""
    widths = {"Q": n_heads * d_head, "K": n_kv_heads * d_head, "V": n_kv_heads * d_head, "O": 8}
    shapes = {f"W_{r}": (8, w) for r, w in widths.items()} | {"W_O": (n_heads * d_head, 8)}
    arrays = {name: random(*shape, seed=at) for at, (name, shape) in enumerate(shapes.items())}
    arrays |= {f"b_{r.upper()}": random(widths[r.upper()], seed=9 + at) for at, r in enumerate(bias)}
    arrays |= {"n_heads": n_heads, "n_kv_heads": n_kv_heads}
    if not gate:
        return QKVWeights(**arrays)
    plan = wild.read(FIXTURES / "llama").plans["layers.0.self_attn"]
    return Projections(plan=plan, W_G=random(8, n_heads * d_head, seed=20), **arrays)


def stored_at(weights: QKVWeights, row: Layout) -> dict[str, np.ndarray]:
    """Store a layer in a layout, under the name of a module."""
    return {f"at.{name}": array for name, array in wild.fuse(weights, row).items()}


def store(make: Make, weights: QKVWeights, row: Layout, **config: object) -> Projections:
    """Write a layer in a layout and read it again."""
    told = {
        "model_type": row.models[0] if row.models else "unheard-of", "hidden_size": 8,
        "num_attention_heads": weights.n_heads, "num_key_value_heads": weights.n_kv_heads,
        "multi_query": weights.n_kv_heads == 1, "new_decoder_architecture": 1 < weights.n_kv_heads < weights.n_heads,
    }  # fmt: skip
    return wild.read(make(stored_at(weights, row), {**told, **config}))["at"]


def assert_same(left: QKVWeights, right: QKVWeights) -> None:
    """Every array to the bit; a missing bias is a bias of zeros."""
    for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_G", "b_G"):
        a, b = getattr(left, name, None), getattr(right, name, None)
        if a is None or b is None:
            assert all(bias is None or not bias.any() for bias in (a, b)), name
        else:
            assert np.array_equal(a, b), name


@pytest.mark.parametrize("row", ATLAS, ids=lambda row: row.family)
def test_every_row_is_stored_and_read_back(make: Make, row: Layout) -> None:
    """To the bit, under the row's own name."""
    weights = layer(bias=row.bias, gate=row.gated)
    back = store(make, weights, row)
    assert back.layout.tensors == row.tensors
    assert back.layout.blocks == row.blocks
    assert_same(weights, back)


@pytest.mark.parametrize("row", [row for row in ATLAS if row.grouped], ids=lambda row: row.family)
@pytest.mark.parametrize("n_kv_heads", [1, 2])
def test_grouped_rows_hold_grouped_heads(make: Make, row: Layout, n_kv_heads: int) -> None:
    """Fewer key heads than query heads, down to one."""
    if row.family == "GPT-BigCode":  # one key head or all: its config can say nothing else
        n_kv_heads = 1
    weights = layer(n_kv_heads=n_kv_heads, bias=row.bias, gate=row.gated)
    assert_same(weights, store(make, weights, row))


def travels() -> dict[str, tuple[Layout, Layout, str]]:
    """Give each row a next one for each set of biases that it shares with any: all go by the same arrays between."""
    rows = [row for row in ATLAS if not row.gated]
    kept: dict[tuple[int, str], tuple[Layout, Layout, str]] = {}
    for at, source in enumerate(rows):
        for target in rows[at + 1 :] + rows[: at + 1]:
            bias = "".join(role for role in "qkvo" if role in source.bias and role in target.bias)
            kept.setdefault((at, bias), (source, target, bias))
    return {f"{at}-{bias}": travel for (at, bias), travel in kept.items()}


@pytest.mark.parametrize("travel", travels())
def test_a_row_becomes_another_and_back(make: Make, travel: str) -> None:
    """Without gate or grouping; biases only where both have a place for them."""
    source, target, bias = travels()[travel]
    weights = layer(bias=bias)
    there = store(make, weights, source)
    assert_same(weights, store(make, store(make, there, target), source))


def test_every_row_is_left_and_reached() -> None:
    """By some of these travels."""
    rows = {row.family for row in ATLAS if not row.gated}
    assert rows == {source.family for source, _, _ in travels().values()}
    assert rows == {target.family for _, target, _ in travels().values()}


def test_no_two_rows_claim_the_same_file() -> None:
    """One row a name and model type; unrestricted rows differ in their names."""
    rows = [row for row in ATLAS if row.fused]
    claims = [(name, model) for row in rows for name in row.tensors for model in (row.models or ("",))]
    twice = {name for name, model in claims if claims.count((name, model)) > 1}
    assert twice <= {"k_proj.{}", "v_proj.{}"}
    assert len({row.family for row in ATLAS}) == len(ATLAS)


def test_the_atlas_is_data() -> None:
    """It survives JSON, so that any program can read the rows."""
    rows = json.loads(json.dumps([asdict(row) for row in ATLAS]))
    again = (Layout(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in rows)
    assert tuple(again) == ATLAS


@pytest.mark.parametrize(
    ("row", "weights", "match"),
    [
        ("GPT-2", layer(n_kv_heads=2), "GPT-2 must have as many key heads as query heads, got 2 for 4: the grouping would be lost"),
        ("GPT-NeoX", layer(n_kv_heads=1), "the grouping would be lost"),
        ("Phi-3", layer(bias="v"), "Phi-3 must have a place for b_V, got none: the bias would be lost"),
        ("Whisper", layer(bias="k"), "Whisper must have a place for b_K, got none: the bias would be lost"),
        ("MPT", layer(bias="o"), "MPT must have a place for b_O, got none"),
        ("GPT-2", layer(d_head=4), "GPT-2 must have heads as wide together as d_model=8, got 16"),
        ("LLaMA", layer(gate=True), "LLaMA must have a place for a gate, got none: W_G would be lost"),
        ("Qwen3-Next", layer(), "weights must have a W_G to be stored as Qwen3-Next does, got None"),
        ("CodeGen", layer(n_heads=2, n_kv_heads=2, d_head=4, bias=""), "n_kv_heads must be a multiple of blocks=4 of CodeGen, got 2"),
        ("LLaMA", QKVWeights(W_Q=np.eye(2), W_K=np.eye(2), W_V=np.eye(2), n_heads=1), "weights must have a W_O"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(row: str, weights: QKVWeights, match: str) -> None:
    """By name, and nothing is dropped in silence."""
    with pytest.raises(LayoutError, match=match):
        wild.fuse(weights, next(layout for layout in ATLAS if layout.family == row))


def test_a_bias_of_zeros_is_no_loss() -> None:
    """It is left out where it has no place, and put in where it is demanded."""
    row = {layout.family: layout for layout in ATLAS}
    zero = np.zeros(8, "f4")
    weights = replace(layer(bias=""), b_V=zero)
    assert not [name for name in wild.fuse(weights, row["Phi-3"]) if "bias" in name]
    assert not wild.fuse(weights, row["GPT-2"])["c_attn.bias"].any()
    assert wild.fuse(layer(bias="q"), row["ViT"])["attention.query.bias"].shape == (8,)


def test_a_layout_of_ones_own(make: Make) -> None:
    """Declared, it is used alone."""
    form = {"tensors": {"to_kvq.{}": "kvq"}, "columns": ("to_kvq.{}",), "blocks": "n_kv_heads"}
    mine = Layout(family="mine", out=("to_out.{}",), **form)
    weights = layer(n_kv_heads=2)
    folder = make({**stored_at(weights, mine), **llama()})
    attentions = wild.read(folder, layout=mine, n_heads=4, n_kv_heads=2)
    assert list(attentions) == ["at"]
    assert_same(weights, attentions["at"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tensors": {"a.{}": "qk"}}, "must hold q, k and v once each"),
        ({"tensors": {"a.{}": "qkvv"}}, "must hold q, k and v once each"),
        ({"tensors": {"a.{}": "qkvgg"}}, "must hold q, k and v once each"),
        ({"out": ()}, "out must name at least one tensor"),
        ({"blocks": 0}, "blocks must be 'n_heads', 'n_kv_heads' or at least 1, got 0"),
        ({"blocks": True}, "blocks must be"),
        ({"blocks": "kv"}, "blocks must be"),
        ({"columns": ("b",)}, "columns must be names out of tensors and out, got 'b'"),
        ({"biases": {"g": "b"}}, "biases must belong to the roles 'qkv', got 'g'"),
    ],
)
def test_a_contradictory_layout_is_refused(changes: dict[str, object], match: str) -> None:
    """When it is declared, not when it is used."""
    with pytest.raises(LayoutError, match=match):
        Layout(**{"family": "mine", "tensors": {"a.{}": "qkv"}, "out": ("o.{}",), **changes})


OUT = {
    "c_attn": "c_proj",
    "query_key_value": "dense",
    "qkv_proj": "o_proj",
    "Wqkv": "out_proj",
    "qkv": "proj",
}


def fused(name: str, rows: int) -> dict[str, np.ndarray]:
    """Give a module with one fused matrix."""
    return {f"at.{name}.weight": random(rows, 8), f"at.{OUT[name]}.weight": random(8, 8)}


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("config", [{}, {"model_type": "unheard-of"}])
def test_an_ambiguous_name_of_an_unknown_model_is_refused(
    make: Make, name: str, config: dict[str, object]
) -> None:
    """Many reuse names of GPT-NeoX and GPT-2 with another order: the message says how to go on."""
    attentions = look(make(fused(name, 24), {**config, "num_attention_heads": 4}))
    got = config.get("model_type", "no config.json that names one")
    rule = f"the order inside at.{name}.weight must be known from the model_type, one of .*, got {got}"
    with pytest.raises(LayoutError, match=rf"{rule}. If it is cut as .* declare that: read\("):
        attentions["at"]
    assert "at" not in attentions


@pytest.mark.parametrize(
    "row", [row for row in ATLAS if row.fused and row.models], ids=lambda row: row.family
)
def test_the_suggested_layout_reads_the_file(make: Make, row: Layout) -> None:
    """Word for word: a bare file, refused, gives what it takes to read it."""
    weights = layer(bias=row.bias, gate=row.gated)
    folder = make(stored_at(weights, row), {"model_type": "unheard-of"})
    alone = tuple(other for other in ATLAS if other.family == row.family)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_attentions, "ATLAS", alone)  # otherwise a row of the same names may come first
        with pytest.raises(LayoutError, match="must be known from the model_type") as told:
            wild.read(folder)
    suggested = eval(re.search(r"layout=(Layout\(.*\))\)", str(told.value))[1], {"Layout": Layout})
    assert_same(weights, wild.read(folder, layout=suggested, n_heads=4)["at"])
    first = next(other for other in ATLAS if other.fused and other.tensors.keys() == row.tensors.keys())
    if (
        row is first and row.family != "Qwen3-Next"
    ):  # what the command prints; that one has the names of LLaMA
        [refused] = report(look(folder))["refused"]
        (folder / "mine.toml").write_text(refused["layout"])
        again = wild.read(folder, layout=wild.read_layout(folder / "mine.toml"), n_heads=4)["at"]
        assert_same(weights, again)


def test_nothing_read_is_never_silent(make: Make) -> None:
    """A bare GPT-2 file raises its reason, and says of how many modules it is true."""
    module = {f"h.{n}.attn.{name}": a for n in (0, 1) for name, a in wild.fuse(layer(), ATLAS[0]).items()}
    told = r"h\.0\.attn\.c_attn\.weight must be known.*columns=\('c_attn\.\{\}', 'c_proj\.\{\}'\).*"
    with pytest.raises(LayoutError, match=rf"{told}\(2 modules are refused, the first is h\.0\.attn\)"):
        wild.read(make(module))
    shown = repr(look(make(module)))
    assert "0 modules read, 2 refused" in shown
    assert "h.1.attn: refused: the order inside" in shown


REFUSED = {
    "W_Q against W_K": ({"num_key_value_heads": 1}, r"q_proj.weight must have the width n_heads \* width of K / n_kv_heads = 4 \* 4 / 1 = 16, got 8"),
    "n_heads no divisor": ({"num_attention_heads": 3, "num_key_value_heads": 3}, r"q_proj.weight must have a width that is a multiple of n_heads=3, got 8"),
    "n_heads no multiple": ({"num_attention_heads": 4, "num_key_value_heads": 3}, r"must be a multiple of n_kv_heads=3, got 4"),
    "zero": ({"num_attention_heads": 0}, r"num_attention_heads in config.json must be an integer of at least 1, got 0"),
    "negative": ({"num_key_value_heads": -2}, r"num_key_value_heads in config.json must be an integer of at least 1, got -2"),
    "fractional": ({"num_attention_heads": 4.0}, r"must be an integer of at least 1, got 4.0"),
    "a string": ({"num_attention_heads": "4"}, r"must be an integer of at least 1, got 4"),
    "true": ({"num_attention_heads": True}, r"must be an integer of at least 1, got True"),
    "a list": ({"num_attention_heads": [[4]]}, r"must be an integer of at least 1, got \[4\]"),
    "huge": ({"num_attention_heads": 10**30, "num_key_value_heads": 10**30}, r"must have a width that is a multiple of n_heads=10{30}, got 8"),
    "no head count": ({"num_attention_heads": None}, r"n_heads must be known to cut .*q_proj.weight, got no config.json that says it"),
    "another d_model": ({"hidden_size": 16}, r"q_proj.weight must take rows of the width that config.json gives = 16, got 8"),
    "another d_head": ({"head_dim": 4}, r"q_proj.weight must have heads of the width that config.json gives = 4, got 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_contradictions_name_tensor_rule_and_both_numbers(make: Make, case: str) -> None:
    """Between config and shapes; found when the file is opened, before a matrix is read."""
    changes, match = REFUSED[case]
    with pytest.raises(LayoutError, match=match):
        wild.read(make(llama(), {**CONFIG, **changes}))


SHAPES = {
    "W_O against W_V": ("o_proj.weight", (8, 4), r"o_proj.weight must take rows of the width n_heads \* width of V / n_kv_heads = 4 \* 4 / 2 = 8, got 4"),
    "W_O's outputs": ("o_proj.weight", (6, 8), r"o_proj.weight must give rows of width d_model=8, got 6"),
    "W_K's rows": ("k_proj.weight", (4, 6), r"k_proj.weight must have shape \(d_model, n_kv_heads \* d_head\) = \(8, 4\), got \(6, 4\)"),
    "one axis": ("q_proj.weight", (64,), r"q_proj.weight must have 2 axes of at least 1, got shape \(64,\)"),
    "four axes": ("q_proj.weight", (8, 8, 1, 1), r"q_proj.weight must have 2 axes"),
    "no rows": ("q_proj.weight", (0, 8), r"q_proj.weight must have 2 axes of at least 1, got shape \(0, 8\)"),
    "a bias too short": ("q_proj.bias", (7,), r"the bias of .*q_proj.weight must have the width of its weight = 8, got 7"),
    "a bias of two axes": ("q_proj.bias", (8, 1), r"q_proj.bias must have one axis"),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_impossible_shapes_are_refused(make: Make, case: str) -> None:
    """With the tensor's name as it stands in the file."""
    name, shape, match = SHAPES[case]
    with pytest.raises(LayoutError, match=match):
        wild.read(make({**llama(), f"layers.0.self_attn.{name}": random(*shape)}, CONFIG))


def test_a_fused_width_that_no_head_divides(make: Make) -> None:
    """The rule is written out: query heads and twice the key heads."""
    attentions = look(make(fused("qkv_proj", 20), {**CONFIG, "model_type": "phi3"}))
    told = r"at.qkv_proj.weight must be a multiple of n_heads \+ n_kv_heads \+ n_kv_heads = 8, got 20"
    with pytest.raises(LayoutError, match=told):
        attentions["at"]


def test_head_counts_can_be_given(make: Make) -> None:
    """Where there is no config; and they are checked like those of one."""
    folder = make(llama())
    assert wild.read(folder, n_heads=4, n_kv_heads=2)["layers.0.self_attn"].d_head == 2
    for wrong in (0, -1, 1.5, True, "4"):
        with pytest.raises(LayoutError, match="n_heads must be an integer of at least 1"):
            wild.read(folder, n_heads=wrong)  # type: ignore[arg-type]


def test_composite_models_take_the_part_that_the_path_names(make: Make) -> None:
    """A vision tower with other head counts than the text: the wrong part would cut heads of the wrong width."""
    tensors = llama(at="model.layers.0.self_attn")
    tensors |= llama(d_model=12, n_heads=2, n_kv_heads=1, at="visual.layers.0.self_attn")
    vision = {"model_type": "v", "num_heads": 2, "num_kv_heads": 1, "hidden_size": 12}
    attentions = wild.read(make(tensors, {"text_config": CONFIG, "vision_config": vision}))
    counts = {path: weights.n_heads for path, weights in attentions.items()}
    assert counts == {"model.layers.0.self_attn": 4, "visual.layers.0.self_attn": 2}
    attentions = wild.read(make(tensors, {"model_type": "both", "text_config": CONFIG}))
    assert "config.json gives = 8, got 12" in str(attentions.refused["visual.layers.0.self_attn"])


@pytest.mark.parametrize(("multi_query", "count"), [(True, 1), (False, 4)])
def test_multi_query_is_one_key_head(make: Make, multi_query: bool, count: int) -> None:
    """Falcon writes its number of key heads beside it, and does not mean it."""
    row = next(layout for layout in ATLAS if layout.family == "Falcon")
    weights = layer(n_kv_heads=count)
    back = store(make, weights, row, multi_query=multi_query, num_kv_heads=4, new_decoder_architecture=False)
    assert back.n_kv_heads == count
    with pytest.raises(LayoutError, match=r"multi_query in config\.json must be true or false, got None"):
        store(make, weights, row, multi_query=None, new_decoder_architecture=False)


def test_the_rest_of_a_module_is_named(make: Make) -> None:
    """Norms and sinks change what follows: the plan lists them."""
    attentions = wild.read(make({**llama(), "layers.0.self_attn.q_norm.weight": random(2)}, CONFIG))
    assert attentions.plans["layers.0.self_attn"].others == ("layers.0.self_attn.q_norm.weight",)


def test_modules_come_in_the_order_of_their_numbers(make: Make) -> None:
    """Two before ten."""
    many = {key: array for n in (10, 2, 1) for key, array in llama(at=f"layers.{n}.self_attn").items()}
    assert list(wild.read(make(many, CONFIG))) == [f"layers.{n}.self_attn" for n in (1, 2, 10)]


def test_split_and_join_refuse_what_does_not_fill_the_axis() -> None:
    """Sizes in symbols and numbers."""
    with pytest.raises(ShapeError, match=r"tensor must have a last axis of q \+ k \+ v = 6, got \(7,\)"):
        wild.split(np.arange(7), "qkv", {"q": 2, "k": 2, "v": 2})
    with pytest.raises(ShapeError, match=r"the width of k must be a multiple of blocks=2, got 3"):
        wild.split(np.arange(7), "qkv", {"q": 2, "k": 3, "v": 2}, 2)
    with pytest.raises(ShapeError, match=r"the width of q must be a multiple of blocks=0"):
        wild.join({"q": np.arange(2)}, "q", 0)


def test_errors_are_ours() -> None:
    """One base class to catch."""
    assert all(issubclass(kind, QKVError) for kind in (CheckpointError, DTypeError, LayoutError, ShapeError))
