"""What a layer has and does not declare is recognised, with its number, and never called a bug."""

from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import Attend, Attention, Norm, Project, Rotary, _explain, examine
from qkvdocs.clinic._explain import Evidence
from qkvdocs.clinic._layer import Spec
from qkvdocs.clinic._report import UNDECLARED
from qkvdocs.core import QKVWeights
from tests.clinic import right_features as ok
from tests.clinic.bugs_reports import SINKS, heads, hide, qkv, rms, rope, scores, soft, with_sink
from tests.clinic.run import weights

W = weights(4, 2, 8, bias=False)


def capped(cap: float) -> Any:
    """Cap the scores."""
    return lambda q, k, v, mask: soft(hide(cap * np.tanh(scores(q, k) / cap), mask)) @ v


def layer(change: Any, W: QKVWeights = W) -> Any:
    """Run a causal layer with changed queries and keys."""

    def run(x: np.ndarray) -> Any:
        q, k, v = qkv(x, W)
        return ok.causal_layer(x, W, *change(q, k), v)

    return run


def sunk(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> Any:
    """Attend as gpt-oss does."""
    return soft(with_sink(hide(scores(q, k), mask), SINKS))[..., :-1] @ v


def projected(x: np.ndarray, W: Any) -> Any:
    """Project as Qwen3 does, without gains."""
    return rms(heads(x @ W.W_Q, 4)), rms(heads(x @ W.W_K, 4)), heads(x @ W.W_V, 4)


CASES = {
    "a cap of fifty": (Attend(capped(50.0)), "softcap=50"),
    "a cap of two": (Attend(capped(2.0)), "softcap=2 "),
    "a sink a head": (Attend(sunk), "sinks=[0.3, -1, 2, 0.5]"),
    "off by one": (Attend(ok.softmax_plus_one), "sinks=0.0"),
    "a window": (Attend(ok.band, causal=True), "window=3"),
    "chunks": (Attend(ok.llama4_chunks, causal=True), "chunk=4"),
    "a prefix": (Attend(ok.prefix_language_model, causal=True), "prefix=2"),
    "alibi": (Attend(ok.bloom, causal=True), "score_bias='alibi'"),
    "normed heads": (Attention(layer(lambda q, k: (rms(q), rms(k))), W, causal=True), "norm=Norm('rms', 'head')"),
    "rotated": (Attention(layer(lambda q, k: (rope(q), rope(k))), W, causal=True), "rotary=Rotary('halves', 10000, 8)"),
    "normed projections": (Project(projected, bias=""), "norm=Norm('rms', 'head')"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_it_is_asked_about(what: str) -> None:
    """A right layer of this year was accused of softmax over the wrong axis, or of lost precision."""
    contract, declare = CASES[what]
    (finding,) = examine(contract).findings
    assert finding.bug == UNDECLARED
    assert f"declare {declare}".strip() in finding.sentence
    assert not finding.advice


def test_once_declared_it_is_healthy() -> None:
    """With the very words of the question."""
    assert examine(Attend(capped(50.0), softcap=50)).healthy
    assert examine(Attend(sunk, sinks=[0.3, -1, 2, 0.5])).healthy
    assert examine(Attention(layer(lambda q, k: (rope(q), rope(k))), W, causal=True, rotary=Rotary())).healthy
    assert examine(Project(projected, bias="", norm=Norm("rms", "head"))).healthy


def test_a_bias_of_the_wrong_shape_is_an_error() -> None:
    """It is somebody's function too."""
    with pytest.raises(ValueError, match=r"^score_bias must give shape \(n_heads, n, m\) = \(4, "):
        examine(Attend(capped(5.0), score_bias=lambda n, m: np.zeros((3, n, m))))


def test_what_gives_another_shape_is_no_nearer_explanation() -> None:
    """Some faults change the shape of an output: they explain no output of the right one, and end no search."""
    right, wrong = Spec(scale=1.0), Spec(scale=2.0)
    seen = Evidence(
        [np.ones(4)], [None], lambda trial, spec, *_: np.ones(4 if spec is right else 2), right, "float64"
    )

    assert seen.closer(wrong) == (float("inf"), 0.0)
    assert seen.closer(right) == (0.0, 0.0)


@pytest.mark.parametrize(
    "function",
    [
        capped(0.7),
        capped(7.3),
        capped(90.0),
        sunk,
        lambda q, k, v, mask: soft(hide(0.37 * scores(q, k), mask)) @ v,
    ],
)
def test_a_search_that_ends_early_misses_no_number(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what a search to the end tells; one that ends too early does not."""
    said = {}
    for steep in (_explain.STEEP, float("inf"), 0.0):
        monkeypatch.setattr(_explain, "STEEP", steep)
        said[steep] = str(examine(Attend(function)))
    assert said[10.0] == said[float("inf")] != said[0.0]


def test_what_was_computed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fields give the same array, whoever asks; where too much is kept, all of it is let go."""
    calls: list[float] = []

    def run(trial: Any, spec: Spec, *_: Any) -> np.ndarray:
        calls.append(spec.scale)
        return np.full(4, spec.scale)

    spec = Spec(scale=1.0)
    seen = Evidence([np.ones(4)], [None], run, spec, "float64")
    two, three = spec.but(scale=2.0), spec.but(scale=3.0)
    for wrong in (two, three, two.but(), three.but()):
        assert seen.simulate(wrong, 0)[0] == wrong.scale
    assert calls == [2.0, 3.0]

    monkeypatch.setattr(_explain, "LARGEST", 0)
    for wrong in (spec, two, spec):
        assert seen.simulate(wrong, 0)[0] == wrong.scale
    assert calls == [2.0, 3.0, 1.0, 2.0, 1.0]
