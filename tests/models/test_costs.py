"""What bugs cost: the record belongs to this code and these sentences, and the numbers mean what they say.

`tests/parity` runs a tenth of it again, and compares right and broken models with transformers.
"""

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import BUGS, Rotary
from qkvdocs.core import QKVWeights, attention
from qkvdocs.errors import CheckpointError
from qkvdocs.models import Cost, Costs, read_costs
from tests.clinic import bugs_held_out
from tests.clinic.run import weights
from tests.models import costs, record, tiny

RECORD = json.loads(costs.FILE.read_bytes())
SMOOTH = "close", "far", "loss", "short"
"""Numbers that no rounding makes jump."""
STATIC = {"adapter-targets", "cache-bytes", "head-width"}
"""Bugs that change no number of a forward pass."""
ABSENT = {"adapter-merge", "cross-source", "qk-norm", "score-bias", "sink", "softcap", "window"}
"""Bugs of features that neither model has."""
UNMEASURED = STATIC | ABSENT | {"dropout"}  # which gives other numbers at each run


def drift(twins: list[dict[str, Any]]) -> list[str]:
    """Name the rows whose numbers on the tiny models are no longer those that were recorded with the big ones."""
    told = {(row["bug"], row["name"]): row for row in RECORD["twins"]}
    return [
        row["name"]
        for row in twins
        for model in costs.MODELS
        for what, value in row.get(model, {}).items()
        if what in SMOOTH and abs(told[row["bug"], row["name"]][model][what] - value) > 1e-3
    ]


@pytest.fixture(scope="module")
def twins() -> list[dict[str, Any]]:
    """Measure the tiny models anew."""
    return list(costs.rows(costs.tiny_models()))


def test_the_record_is_of_this_code(twins: list[dict[str, Any]]) -> None:
    """The same bugs, and on tiny models the same numbers."""
    keys = [[(row["bug"], row["name"]) for row in rows] for rows in (RECORD["rows"], RECORD["twins"], twins)]
    assert set(keys[0]) == set(keys[1]) == set(keys[2])
    assert not drift(twins)
    for row, twin in zip(RECORD["rows"], RECORD["twins"], strict=True):
        assert row.keys() == twin.keys()


def test_other_code_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scale that changes by a hundredth, in the attention that the bugs are switches of."""
    right = costs.layer
    monkeypatch.setattr(
        costs, "layer", lambda rows, spec: right(rows, costs.replace(spec, scale=1.01 * spec.scale))
    )
    assert "right" in drift(list(costs.rows(costs.tiny_models())))


def test_the_record_is_of_these_words_and_files() -> None:
    """A sentence changed, or another model pinned, and it must be made anew."""
    for model, path in costs.ASKED.items():
        card, pin, told = record.CARDS[model], record.PINNED[model], RECORD[model]
        assert {**told, **card} == told
        assert (told["package"], told["file_sha256"]) == (pin.package, pin.sha256)
        assert told["asked_sha256"] == costs.sha256(path)
    assert RECORD["minilm"]["pairs"] == len(costs.pairs(costs.PAIRS.read_text("utf-8"))) >= 200
    assert RECORD["smollm2"]["tokens"] >= 500


def test_the_pairs_are_graded_evenly() -> None:
    """As many of each of five grades, no sentence twice."""
    asked = costs.pairs(costs.PAIRS.read_text("utf-8"))
    count = len(asked) // 5
    assert sorted(grade for grade, *_ in asked) == sorted([0, 1, 2, 3, 4] * count)
    assert len({text for _, *both in asked for text in both}) == 6 * count


def test_every_bug_that_moves_a_number_was_measured() -> None:
    """In at least one of the models."""
    assert {row["bug"] for row in RECORD["rows"]} - {""} == set(BUGS) - UNMEASURED


# The layers are the clinic's


def test_without_a_bug_it_is_the_models_own_attention() -> None:
    """Of a decoder and of an encoder."""
    decoder, encoder = tiny.decoder(), tiny.encoder()
    X = np.random.default_rng(1).normal(size=(6, 8))
    ours = costs.through(costs.same, causal=True, rotary=Rotary("pairs", base=decoder.base))
    assert np.allclose(ours(X, decoder.weights(0)), decoder.attention(X, decoder.weights(0)))
    X, W = np.random.default_rng(1).normal(size=(2, 6, 16)), encoder.weights[0]
    plain = costs.around(
        lambda q, k, v, mask: bugs_held_out.soft(q @ k.mT / 2) @ v, causal=False, rotary=None
    )
    for run in (costs.through(costs.same, causal=False, rotary=None), plain):
        assert np.allclose(run(X, W), [attention(x, W) for x in X])


def broken(W: QKVWeights, name: str, **settings: Any) -> costs.Layer:
    """Give the one layer that has a bug of that name or description."""
    [run] = [run for said, run in costs.broken(W, **settings).items() if name in said]
    return run


STEPS = {
    "the cache keeps the last call alone": ("forgets_all_but_the_last_call", None),
    "the mask of each later call starts in the top left corner": ("new_rows_get_the_mask_of_the_first", None),
    "positions start at 0 again with each call": ("every_step_is_position_zero", Rotary("halves")),
}


@pytest.mark.parametrize("name", STEPS)
def test_with_a_cache_it_is_the_clinics_wrong_step(name: str) -> None:
    """Run row by row, with the cache that it returns."""
    wrong, rotary = STEPS[name]
    step, W = getattr(bugs_held_out, wrong), weights(4, 2, 8, bias=rotary is None)
    X, cache, rows = np.random.default_rng(2).normal(size=(7, 32)), None, []
    for x in X:
        output, cache = step(x[None, None], cache, W)
        rows.append(output[0, 0])
    run = broken(W, name, causal=True, rotary=rotary)
    assert np.allclose(run(X, W), rows)


def test_two_texts_with_their_axes_exchanged() -> None:
    """Each token attends to what stands in its place in the other text, and to itself."""
    W = weights(2, 2, 4, bias=True)
    X = np.random.default_rng(3).normal(size=(6, 8))
    run = broken(W, "batch-leak", causal=True, rotary=None)
    got = run(X, W)
    for at in range(3):
        both = attention(X[[at, at + 3]], W, np.tri(2, dtype=bool))
        assert np.allclose(got[[at, at + 3]], both)


PROJECTED = {
    "each head sees its slice of the row, through one small matrix": "one_small_linear_for_every_head",
    "the bias of keys is left out": "key_bias_forgotten",
    "weights stored in thirds are cut head by head": "gpt2_cut_head_by_head",
}


@pytest.mark.parametrize("name", PROJECTED)
def test_it_projects_as_the_clinics_wrong_projection(name: str) -> None:
    """Then attends and merges rightly. Biases are cut rightly too, so the fused weight has none here."""
    W = weights(4, 4, 8, bias="bias" in name)
    x = np.random.default_rng(5).normal(size=(2, 5, 32))
    fused = SimpleNamespace(**vars(W), W_QKV=np.hstack([W.W_Q, W.W_K, W.W_V]).T, b_QKV=None, d_head=8)
    q, k, v = getattr(bugs_held_out, PROJECTED[name])(x, fused)
    output = bugs_held_out.joined(bugs_held_out.soft(q @ k.mT / np.sqrt(8)) @ v) @ W.W_O
    run = broken(W, name, causal=False, rotary=None)
    assert np.allclose(run(x, W), output if W.b_O is None else output + W.b_O)


OTHERWISE = {
    "batch-leak",
    "cache-differs",
    "dtype-loss",
    "fused-order",
    "in-place",
    "key-bias",
    "rotary-style",
    "shared-linear",
}
"""Bugs whose probe says where a number went or what it moves, or whose page has another model."""


@pytest.mark.parametrize("bug", sorted(set(BUGS) - UNMEASURED - OTHERWISE))
def test_the_mistake_of_the_page_was_measured(bug: str) -> None:
    """What the probe says of the page's wrong function is one of the names in the record."""
    said = " ".join((costs.record.ROOT / f"tests/ledger/clinic/{bug}.txt").read_text("utf-8").split())
    [*_, found] = re.findall(rf"{bug} \(\w+\): (.*?); the output is off", said)
    assert any(
        row["bug"] == bug and re.split(" and are |: ", found)[0] == row["name"] for row in RECORD["rows"]
    )


# What is measured


def test_ranks_agree_as_by_hand() -> None:
    """The formula of squared differences holds without ties; equal values share a rank; a constant says nothing."""
    a, b = np.random.default_rng(4).normal(size=(2, 30))
    d = costs.ranks(a) - costs.ranks(b)
    assert costs.spearman(a, b) == pytest.approx(1 - 6 * (d**2).sum() / (30 * (30**2 - 1)))
    assert costs.ranks(np.array([5, 1, 5, 9])).tolist() == [2.5, 1, 2.5, 4]
    assert costs.spearman(a, np.exp(a)) == pytest.approx(1)
    assert costs.spearman(a, np.ones(30)) == 0


def test_the_loss_is_that_of_what_comes_next() -> None:
    """Minus the log of its share, each token worked out alone."""
    model, numbers = tiny.decoder(), [3, 1, 4, 1, 5]
    loss, correct = costs.losses(model, model.attention, numbers)
    for at, answer in enumerate(numbers[1:]):
        logits = model.run(numbers[: at + 1])[1][-1]
        shares = np.exp(logits) / np.exp(logits).sum()
        assert loss[at] == pytest.approx(-np.log(shares[answer]))
        assert correct[at] == (shares.argmax() == answer)


def test_text_is_cut_by_the_pair_learned_first() -> None:
    """`b c` comes before `a b`, spaces belong to the word behind them; `tests/parity` compares with a library."""
    merges = ["b c", "a b", "Ġ a", "a bc"]
    assert costs.byte_pairs("abc abc ab", merges) == ["abc", "Ġa", "bc", "Ġ", "ab"]
    with pytest.raises(ValueError, match=r"^text must be ASCII without digits$"):
        costs.byte_pairs("in 1999", merges)


# What pages show


def made(**scores: float) -> Costs:
    """Measure one bug, by hand."""
    right = {"graded": 0.8, "agrees": 1.0, "error": 0.02}, {"loss": 2.0, "correct": 0.5, "error": 0.1}
    row = Cost("scale", "no scale", None, None)
    for model, was in zip(("minilm", "smollm2"), right, strict=True):
        if was.keys() & scores.keys():
            row = row._replace(**{model: {**was, **scores}})
    return Costs([Cost("", "right", *right), Cost("", "no attention at all", None, None), row], {})


@pytest.mark.parametrize(
    ("scores", "harm", "noticed"),
    [
        ({"graded": 0.4}, 0.5, True),
        ({"graded": 0.77}, 0.0375, False),
        ({"graded": -0.3}, 1, True),
        ({"loss": 2.1, "correct": 0.5}, 0, False),
        ({"loss": 1.0, "correct": 0.75}, -0.5, True),
        ({"graded": 0.8, "loss": 4.0, "correct": 0.25}, 0.5, True),
    ],
)
def test_harm_and_notice(scores: dict[str, float], harm: float, noticed: bool) -> None:
    """The share lost by the model that suffers more; two standard errors, either way."""
    found = made(**scores)
    assert found.harm(found.rows[2]) == pytest.approx(harm)
    assert found.noticed(found.rows[2]) is noticed


def test_a_table_begins_with_the_right_models() -> None:
    """A model that cannot have the bug has a dash."""
    assert made(loss=4.0, correct=0.25).table("scale").splitlines()[2:] == [
        "| **right** | "
        + " | ".join(f'<span class="recorded">{said}</span>' for said in ("0.80", "1.00", "2.00", "50 %"))
        + " |",
        "| **no attention at all** | – | – | – | – |",
        '| no scale | – | – | <span class="recorded">4.00</span> | <span class="recorded">25 %</span> |',
    ]


def test_what_was_not_measured_is_refused() -> None:
    """A misspelt bug gives no empty table."""
    with pytest.raises(
        CheckpointError, match=r"^names must be bugs that were measured, got 'scales'\. Run make costs$"
    ):
        read_costs(costs.FILE).table("scale", "scales")
    with pytest.raises(CheckpointError, match="got ''"):
        read_costs(costs.FILE).of("")
