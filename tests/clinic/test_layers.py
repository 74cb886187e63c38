"""What a layer may have: each is compared with code that shares nothing with the reference, right and wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import Attention, LatentWeights, Norm, Report, Rotary, Step, examine
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError

rng = np.random.default_rng(3)
D, H, PLAIN, TURNED, VALUE, RANK, SHORT = 24, 4, 6, 4, 5, 10, 12


def draw(*shape: int) -> np.ndarray:
    """Draw a matrix, or a row."""
    made: np.ndarray = rng.standard_normal(shape) / (shape[0] ** 0.5 if len(shape) > 1 else 1)
    return made


LATENT = LatentWeights(
    W_DQ=draw(D, SHORT), W_UQ=draw(SHORT, H * (PLAIN + TURNED)), W_DKV=draw(D, RANK), W_KR=draw(D, TURNED),
    W_UK=draw(RANK, H * PLAIN), W_UV=draw(RANK, H * VALUE), W_O=draw(H * VALUE, D), n_heads=H,
    q_norm=1 + draw(SHORT) / 3, kv_norm=1 + draw(RANK) / 3,
)  # fmt: skip


def spin(row: np.ndarray, position: int, base: float = 1e4) -> np.ndarray:
    """Rotate neighbours, as complex numbers."""
    planes = row[0::2] + row[1::2] * np.array(1j)
    planes = planes * np.exp(np.array(1j) * position * base ** (-np.arange(0, len(row), 2) / len(row)))
    return np.stack([planes.real, planes.imag], -1).ravel()


def root(row: np.ndarray) -> np.ndarray:
    """Divide by the root mean square."""
    made: np.ndarray = row / np.sqrt((row * row).mean() + 1e-6)
    return made


def latent(x: np.ndarray, *, absorbed: bool, wrong: str = "") -> np.ndarray:
    """Attend to latents, a query and a head at a time."""
    out = np.zeros_like(x)
    W, width = LATENT, PLAIN + TURNED
    for b, text in enumerate(x):
        rows = [row @ W.W_DKV if wrong == "not normed" else root(row @ W.W_DKV) * W.kv_norm for row in text]
        shared = [spin(row @ W.W_KR, 0 if wrong == "not turned" else at) for at, row in enumerate(text)]
        for at, row in enumerate(text):
            queries = (root(row @ W.W_DQ) * W.q_norm) @ W.W_UQ
            heads = []
            for h in range(H):
                q = queries[h * width : h * width + width]
                W_K, W_V = W.W_UK[:, h * PLAIN : h * PLAIN + PLAIN], W.W_UV[:, h * VALUE : h * VALUE + VALUE]
                plain, turned = q[:PLAIN], spin(q[PLAIN:], at)
                if absorbed:  # one key and value for all heads: the latent itself
                    plain = W_K @ plain
                    met = [plain @ rows[j] + turned @ shared[j] for j in range(at + 1)]
                else:
                    met = [plain @ (rows[j] @ W_K) + turned @ shared[j] for j in range(at + 1)]
                weights = np.exp(np.array(met) / (PLAIN if wrong == "scale" else width) ** 0.5)
                weights /= weights.sum()
                if absorbed:
                    heads.append(sum(weights[j] * rows[j] for j in range(at + 1)) @ W_V)
                else:
                    heads.append(sum(weights[j] * (rows[j] @ W_V) for j in range(at + 1)))
            out[b, at] = np.concatenate(heads) @ W.W_O
    return out


def latent_report(function: Callable[..., Any], **more: Any) -> Report:
    """Examine latent attention."""
    return examine(Attention(function, LATENT, causal=True, rotary=Rotary("pairs"), **more))


@pytest.mark.parametrize("absorbed", [True, False])
def test_latent_attention_in_both_its_forms(absorbed: bool) -> None:
    """Keys and values decompressed, or latents met by queries that absorbed W_UK: the same numbers."""
    assert latent_report(lambda x: latent(x, absorbed=absorbed)).healthy
    for wrong, bug in (("not normed", "qk-norm"), ("not turned", "rotary-offset"), ("scale", "scale")):
        report = latent_report(lambda x, wrong=wrong: latent(x, absorbed=absorbed, wrong=wrong))
        assert bug in {name for finding in report.findings for name in finding.names}, report


def test_latent_weights_must_fit() -> None:
    """With the name of the one that does not."""
    told = r"^W_UV must have shape \(kv_rank, …\) = \(10, 20\), got \(9, 20\)"
    with pytest.raises(ContractError, match=told):
        LatentWeights(**{**vars(LATENT), "W_UV": LATENT.W_UV[:9]})
    with pytest.raises(ContractError, match=r"^norm must be None where weights are latent"):
        latent_report(lambda x: x, norm=Norm())


DRAWN = {f"W_{role}": draw(D, D) for role in "QKVO"} | {f"b_{role}": draw(D) for role in "QKVO"}
W = QKVWeights(**DRAWN, n_heads=H)
GATE, GATE_BIAS = draw(D, D), draw(D)
FAR = draw(H, 15, D // H)
GAINS = {name: 1 + draw(D // H) / 3 for name in ("q", "k", "q_bias", "k_bias")}
SCALED: dict[str, dict[str, Any]] = {
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0, "original_max_position_embeddings": 5},
    "longrope": {"factor": 8.0, "short_factor": [1.0, 1.5, 2.0], "long_factor": [2.0, 4.0, 8.0],
                 "original_max_position_embeddings": 5},
}  # fmt: skip


def turn_of(kind: str, plane: int, seq: int) -> tuple[float, float]:
    """Give the turn of one of three planes, and the factor, by the words of each paper."""
    plain = 1e4 ** (-plane / 3)
    if kind == "not":
        return plain, 1.0
    told = SCALED[kind]
    if kind == "linear":
        return plain / 4, 1.0
    if kind == "dynamic":
        base = 1e4 if seq <= 5 else 1e4 * (4 * seq / 5 - 3) ** (6 / 4)
        return base ** (-plane / 3), 1.0
    if kind == "longrope":
        row = told["long_factor"] if seq > 5 else told["short_factor"]
        return plain / row[plane], float((1 + np.log(8) / np.log(5)) ** 0.5)
    waves = 16 / (2 * np.pi / plain)  # how often it turns in the original text
    if waves < 1:
        return plain / 8, 1.0
    if waves > 4:
        return plain, 1.0
    smooth = (waves - 1) / 3
    return (1 - smooth) * plain / 8 + smooth * plain, 1.0


def layer(
    x: np.ndarray, *, gate: bool = False, clip: float = 0.0, relative: bool = False, norm: bool = False,
    scaled: str = "", keep_factor: bool = True,
) -> np.ndarray:  # fmt: skip
    """Attend, a query and a head at a time."""
    out, d = np.zeros_like(x), D // H
    for b, text in enumerate(x):
        made = {role: text @ getattr(W, f"W_{role}") + getattr(W, f"b_{role}") for role in "QKV"}
        if clip:
            made = {role: np.minimum(np.maximum(rows, -clip), clip) for role, rows in made.items()}
        for at, row in enumerate(text):
            heads = []
            for h in range(H):
                own = slice(h * d, h * d + d)
                q, keys, values = made["Q"][at, own], made["K"][:, own], made["V"][:, own]
                if norm:
                    q = (q - q.mean()) / np.sqrt(q.var() + 1e-6) * GAINS["q"] + GAINS["q_bias"]
                    keys = np.array([(k - k.mean()) / np.sqrt(k.var() + 1e-6) for k in keys])
                    keys = keys * GAINS["k"] + GAINS["k_bias"]
                if scaled:
                    how = scaled, len(text), keep_factor
                    q, keys = (
                        stretched(q, at, *how),
                        np.array([stretched(k, j, *how) for j, k in enumerate(keys)]),
                    )
                met = np.array([q @ keys[j] for j in range(at + 1)]) * d**-0.5
                if relative:
                    met += [q @ FAR[h, at - j] for j in range(at + 1)]
                weights = np.exp(met - met.max())
                heads.append((weights / weights.sum()) @ values[: at + 1])
            joined = np.concatenate(heads)
            if gate:
                joined = joined / (1 + np.exp(-(row @ GATE + GATE_BIAS)))
            out[b, at] = joined @ W.W_O + W.b_O
    return out


def stretched(row: np.ndarray, position: int, kind: str, seq: int, keep_factor: bool) -> np.ndarray:
    """Rotate halves by a scaled rotation, a plane at a time."""
    made = row.copy()
    for plane in range(3):
        turn, factor = turn_of(kind, plane, seq)
        z = complex(row[plane], row[plane + 3]) * np.exp(complex(0, position * turn))
        z *= factor if keep_factor else 1
        made[plane], made[plane + 3] = z.real, z.imag
    return made


def relative(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Let queries meet a vector of the distance."""
    n, m = q.shape[-2], k.shape[-2]
    apart = np.maximum(np.arange(m - n, m)[:, None] - np.arange(m), 0)
    made: np.ndarray = np.einsum("bhnd,hnmd->bhnm", q, FAR[:, apart])
    return made


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "gate": ({"gate": True}, {"gate": (GATE, GATE_BIAS)}, {}, "fused-order"),
    "clip": ({"clip": 1.0}, {"clip": 1.0}, {}, "unexplained"),
    "relative": ({"relative": True}, {"relative": relative}, {}, "score-bias"),
    "norm": ({"norm": True}, {"norm": Norm("layer", **GAINS)}, {}, "qk-norm"),
    **{
        kind: ({"scaled": kind}, {"rotary": Rotary(rope_scaling={"rope_type": kind, **told})}, {"scaled": "not"},
               "rotary-style")
        for kind, told in SCALED.items()
    },
    "factor": ({"scaled": "longrope"}, {"rotary": Rotary(rope_scaling={"rope_type": "longrope", **SCALED["longrope"]})},
               {"scaled": "longrope", "keep_factor": False}, "rotary-style"),
}  # fmt: skip
"""How the layer is run, what is declared, how it is run wrong, and the bug that this is."""


@pytest.mark.parametrize("name", CASES)
def test_a_feature_is_simulated_exactly_and_missed(name: str) -> None:
    """Right as loops compute it; and where it is left out, never healthy."""
    how, declared, wrongly, bug = CASES[name]
    report = examine(Attention(lambda x: layer(x, **how), W, causal=True, **declared))
    assert report.healthy, report
    report = examine(Attention(lambda x: layer(x, **wrongly), W, causal=True, **declared))
    found = {one for finding in report.findings for one in finding.names}
    assert bug in found, report


def test_values_wider_than_keys() -> None:
    """Grouped heads too; scaled by their width, or their heads tiled, it is named."""
    widths = {"W_Q": (D, 4 * 6), "W_K": (D, 2 * 6), "W_V": (D, 2 * 9), "W_O": (4 * 9, D)}
    W = QKVWeights(**{name: draw(*shape) for name, shape in widths.items()}, n_heads=4, n_kv_heads=2)

    def run(x: np.ndarray, width: int = 6, tiled: bool = False) -> np.ndarray:
        q, k, v = x @ W.W_Q, x @ W.W_K, x @ W.W_V
        out = []
        for h in range(4):
            own = h % 2 if tiled else h // 2
            q_h, k_h = q[..., 6 * h : 6 * h + 6], k[..., 6 * own : 6 * own + 6]
            raised = np.exp(np.einsum("bid,bjd->bij", q_h, k_h) / width**0.5)
            out.append(raised / raised.sum(-1, keepdims=True) @ v[..., 9 * own : 9 * own + 9])
        made: np.ndarray = np.concatenate(out, -1) @ W.W_O
        return made

    wrong = {"scale": lambda x: run(x, 9), "kv-head-order": lambda x: run(x, tiled=True)}
    assert examine(Attention(run, W)).healthy
    for bug, function in wrong.items():
        assert {one.bug for one in examine(Attention(function, W)).findings} == {bug}


def test_a_gate_and_latents_with_a_cache() -> None:
    """A step keeps what it saw, and runs the layer on all of it."""

    def step(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
        def run(x: np.ndarray, cache: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
            whole = x if cache is None else np.concatenate([cache, x], 1)
            return function(whole)[:, -x.shape[1] :], whole

        return run

    assert examine(Step(step(lambda x: layer(x, gate=True)), W, gate=(GATE, GATE_BIAS))).healthy
    wrong = examine(Step(step(layer), W, gate=(GATE, GATE_BIAS)))
    assert {finding.bug for finding in wrong.findings} == {"fused-order"}
    decompressed = step(lambda x: latent(x, absorbed=True))
    assert examine(Step(decompressed, LATENT, rotary=Rotary("pairs"))).healthy


def test_a_scaling_that_lacks_a_number_is_refused() -> None:
    """With the number."""
    message = r"^rope_scaling\['low_freq_factor'\] must be finite and above 0, as llama3 needs it, got None"
    with pytest.raises(ContractError, match=message):
        Rotary(rope_scaling={"rope_type": "llama3", "factor": 8.0})
    with pytest.raises(ContractError, match=r"^rope_scaling\['rope_type'\] must be 'default' or"):
        Rotary(rope_scaling={"rope_type": "axial"})
    told = r"^gate must have shape \(d_model, n_heads \* d_value\) = \(24, 24\)"
    with pytest.raises(ContractError, match=told):
        Attention(layer, W, gate=GATE[:9])
