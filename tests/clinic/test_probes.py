"""The probes name the bugs of both halves and are silent about what is right."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import (
    BUGS,
    AdapterTargets,
    Attend,
    Attention,
    CacheBytes,
    Rotary,
    assert_healthy,
    examine,
)
from qkvdocs.core import QKVWeights, attend, attention, causal_mask
from qkvdocs.errors import ContractError
from tests.clinic import bugs_held_out, bugs_open, bugs_reports, right, right_features
from tests.clinic.cases import Case
from tests.clinic.run import answer, score, weights

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the buggy make NaNs
name = pytest.mark.parametrize


@name("case", [*bugs_open.CASES, *bugs_held_out.CASES, *bugs_reports.CASES], ids=lambda case: case.name)
def test_a_bug_is_named(case: Case) -> None:
    """Each of its bugs, and no other."""
    report = answer(case)
    assert score(case, report)[1:] == (0, 0), str(report)


@name("case", [*right.CASES, *right_features.CASES], ids=lambda case: case.name)
def test_what_is_right_raises_no_alarm(case: Case) -> None:
    """And the report says what was tried."""
    report = answer(case)
    assert report.healthy, str(report)
    assert report.tried


def test_every_bug_of_the_catalogue_is_in_both_halves() -> None:
    """No probe stands untested."""
    for cases in (bugs_open.CASES, bugs_held_out.CASES, bugs_reports.CASES):
        assert frozenset[str]().union(*(case.bugs for case in cases)) <= set(BUGS)
    written_before = [*bugs_held_out.CASES, *bugs_reports.CASES]
    assert {bug for case in written_before for bug in case.bugs} == set(BUGS) - {"dropout"}


def test_a_finding_has_a_number_and_advice() -> None:
    """The sentence proves it, and the report says how to mend it and where it happened."""
    text = str(examine(Attend(lambda q, k, v, mask: attend(q, k, v, mask, scale=1.0).context)))
    assert "2.828 times what they should be" in text
    assert BUGS["scale"].mend in text
    assert BUGS["scale"].where[0] in text


def test_assert_healthy_shows_the_report() -> None:
    """A failing test says why."""
    wrong = Attend(lambda q, k, v, mask: attend(q, k, v, None if mask is None else ~mask).context)
    with pytest.raises(
        AssertionError, match=r"\nmask-polarity \(attend\): the mask hides what it should show"
    ):
        assert_healthy(wrong)


def test_what_could_not_be_tested_is_listed() -> None:
    """A key bias without rotary, layers without weights, contracts that were not given."""
    layer = weights(4, 4, 8, bias=True)
    told = examine(Attention(lambda x: attention(x, layer), layer)).untested
    assert any("key bias" in line for line in told)
    assert any(line.startswith("the cache") for line in told)
    assert any("weights" in line for line in examine(Attention(lambda x: x, d_model=8)).untested)


def test_two_bugs_that_nothing_can_tell_apart_are_one_answer() -> None:
    """With W_K equal to W_V, keys made with either are the same."""
    rng = np.random.default_rng(0)
    W_Q, W_K = rng.normal(size=(2, 8, 8))
    layer = QKVWeights(W_Q=W_Q, W_K=W_K, W_V=W_K.T, n_heads=1)
    tied = QKVWeights(W_Q=W_Q, W_K=W_K.T, W_V=W_K.T, n_heads=1)
    (finding,) = examine(Attention(lambda x: attention(x, tied), layer)).findings
    assert finding.names >= {"transposed-weight", "shared-projection"}


def test_a_healthy_layer_is_behaviour_tested_without_weights() -> None:
    """Causality is seen without knowing a weight."""
    layer = weights(4, 4, 8, bias=True)
    sees_all = Attention(lambda x: attention(x, layer), d_model=32, causal=True)
    assert [finding.bug for finding in examine(sees_all).findings] == ["causality"]
    masked = lambda x: attention(x, layer, causal_mask(x.shape[1], x.shape[1]))  # noqa: E731
    assert examine(Attention(masked, d_model=32, causal=True)).healthy


def test_the_reference_is_the_core() -> None:
    """With all switches right, the probes' own attention is `core.attention`."""
    from qkvdocs.clinic._layer import Rows, Spec, layer

    W = weights(6, 3, 8, bias=True)
    x = np.random.default_rng(1).normal(size=(2, 5, 48))
    ours = layer(Rows(x), Spec(8**-0.5, causal=True, weights=W))
    np.testing.assert_allclose(ours, attention(x, W, causal_mask(5, 5)), atol=1e-12)


def test_nothing_to_examine() -> None:
    """An empty examination would be healthy for nothing."""
    with pytest.raises(ContractError, match=r"^contracts must hold at least one"):
        examine()


def test_rotary_defaults_are_those_of_llama() -> None:
    """Halves, base ten thousand."""
    assert Rotary() == Rotary("halves", 10000.0)


@name(
    "contract",
    [
        Attend(lambda q, k, v, mask: np.full(q.shape, np.nan)),
        Attend(lambda q, k, v, mask: np.full(q.shape, np.inf)),
        Attend(lambda q, k, v, mask: attend(q, k, v).context if mask is None else 1 / 0),
        Attention(lambda x: x * np.nan, d_model=8),
        CacheBytes(lambda config, batch, seq, itemsize: float("nan")),
        AdapterTargets([], ["layers.0.self_attn.q_proj"]),
    ],
    ids=["nan", "inf", "raises under a mask", "layer of nan", "nan bytes", "no targets"],
)
def test_what_could_not_be_seen_is_not_healthy(contract: Attend | Attention) -> None:
    """Each of these was healthy once."""
    assert examine(contract).findings


def sees_the_past(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Attend causally, whatever mask is given."""
    return attend(q, k, v, causal_mask(q.shape[2], k.shape[2])).context


CAUSAL = weights(2, 2, 4, bias=True)


@name(
    "undeclared",
    [
        Attend(sees_the_past),
        Attend(lambda q, k, v, mask: sees_the_past(q, k, v, mask) if mask is None else attend(q, k, v,
            mask & causal_mask(*mask.shape)).context),
        Attend(lambda q, k, v, mask: attend(q, k, v, np.tri(q.shape[2], k.shape[2], dtype=bool)).context),
        Attention(lambda x: attention(x, CAUSAL, causal_mask(x.shape[1], x.shape[1])), CAUSAL),
        Attention(lambda x: attention(x, CAUSAL, causal_mask(x.shape[1], x.shape[1])), d_model=8),
        Attention(lambda x: attention(x, CAUSAL, causal_mask(x.shape[1], x.shape[1])), d_model=8, rotary=Rotary()),
    ],
    ids=["attend", "attend with a mask too", "attend from the top left", "layer", "unknown weights", "rotary"],
)  # fmt: skip
def test_a_causal_function_that_was_not_declared_is_asked(undeclared: Attend | Attention) -> None:
    """The report said: remove the mask. A user might have broken right code."""
    (finding,) = examine(undeclared).findings
    assert "is it causal? Then declare causal=True" in finding.sentence
    assert finding.advice.startswith("  Is it causal? Then declare causal=True. In an encoder, remove")


@name("layer", [lambda x: x, lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1]], ids=["each alone", "the future"])
def test_what_is_not_causal_is_not_asked(layer: Callable[..., Any]) -> None:
    """Rows that see only themselves, or only what follows."""
    assert "is it causal" not in str(examine(Attention(layer, d_model=4)).findings)


def test_a_leak_into_the_second_text_alone_is_one() -> None:
    """Texts laid end to end under one causal mask: the first never sees the second. It was called causality."""

    def packed(x: np.ndarray) -> np.ndarray:
        flat = x.reshape(1, -1, x.shape[-1])
        return attention(flat, CAUSAL, causal_mask(flat.shape[1], flat.shape[1])).reshape(x.shape)

    for contract in (Attention(packed, CAUSAL, causal=True), Attention(packed, d_model=8, causal=True)):
        assert [finding.bug for finding in examine(contract).findings] == ["batch-leak"]
