"""The blind set against a formula written out number by number, which knows nothing of the package's own."""

from math import exp, sqrt, tanh
from types import SimpleNamespace

import numpy as np
import pytest

from qkvdocs.clinic import BUGS
from tests.clinic.bugs_blind import HARD, NOTES, RIGHT, SINGLE
from tests.clinic.run import weights

LENGTHS, TEXTS, STEPS = (12, 7, 9), np.repeat([0, 1, 2], [5, 4, 3]), (4, 1, 1, 3, 1, 2)


def visible(d, i, j):
    """Say whether position i may see position j under a causal mask and what is declared."""
    causal = j <= i and (d.get("window") is None or i - j < d["window"])
    causal = causal and (d.get("chunk") is None or i // d["chunk"] == j // d["chunk"])
    return causal or j < d.get("prefix", 0)


def attend(q, k, v, seen, d):
    """Attend, score by score; `seen(b, i, j)`; queries are the last of the keys' positions."""
    b, h, n, width = q.shape
    m, group = k.shape[2], h // k.shape[1]
    scale = d.get("scale") or 1 / sqrt(width)
    bias = d.get("score_bias")
    if isinstance(bias, str):
        bias = [2 ** (-8 * (head + 1) / h) for head in range(h)]
    table = bias(n, m) if callable(bias) else None
    result = np.zeros((b, h, n, v.shape[-1]))
    for at in np.ndindex(b, h, n):
        batch, head, i = at
        shares = {}
        for j in range(m):
            if not seen(batch, i, j):
                continue
            score = float(q[at] @ k[batch, head // group, j]) * scale
            if cap := d.get("softcap"):
                score = cap * tanh(score / cap)
            if table is not None:
                score += table[head, i, j]
            elif bias is not None:
                score -= bias[head] * (m - n + i - j)
            shares[j] = exp(score)
        total = sum(shares.values()) + (exp(d["sinks"][head]) if "sinks" in d else 0)
        for j, share in shares.items():
            result[at] += share / total * v[batch, head // group, j]
    return result


def turned(rows, rotary):
    """Turn (batch, heads, seq, width) plane by plane."""
    if rotary is None:
        return rows
    rotary = {"style": rotary} if isinstance(rotary, str) else rotary
    width, result = rotary.get("width", rows.shape[-1]), rows.copy()
    for i in range(width // 2):
        a, b = (2 * i, 2 * i + 1) if rotary.get("style") == "pairs" else (i, i + width // 2)
        turn = np.arange(rows.shape[2]) / rotary.get("base", 10000.0) ** (2 * i / width)
        result[..., a] = rows[..., a] * np.cos(turn) - rows[..., b] * np.sin(turn)
        result[..., b] = rows[..., b] * np.cos(turn) + rows[..., a] * np.sin(turn)
    return result


def layer(x, W, d, memory=None, seen=None):
    """Run a whole layer, with the norms before the rotation."""
    memory = x if memory is None else memory
    parts = {}
    for role, rows, n in (("q", x, W.n_heads), ("k", memory, W.n_kv_heads), ("v", memory, W.n_kv_heads)):
        made = rows @ getattr(W, f"W_{role.upper()}") + getattr(W, f"b_{role.upper()}")
        norm = d.get("norm") if role != "v" else None
        if norm and norm.get("over") == "all":
            made = made / np.sqrt((made**2).mean(-1, keepdims=True) + norm.get("eps", 1e-6)) * norm[role]
        made = np.stack(np.split(made, n, axis=-1), axis=1)
        if norm and norm.get("over") != "all":
            made = made / np.sqrt((made**2).mean(-1, keepdims=True) + norm.get("eps", 1e-6)) * norm[role]
        parts[role] = made if role == "v" else turned(made, d.get("rotary"))
    context = attend(parts["q"], parts["k"], parts["v"], seen or (lambda b, i, j: True), d)
    return np.concatenate(list(context.transpose(1, 0, 2, 3)), axis=-1) @ W.W_O + W.b_O


def kept(padding, n=12):
    """Mark what is no padding."""
    places = np.arange(n)
    if padding == "left":
        places = places[::-1]
    return np.stack([places < length for length in LENGTHS])


def pairs(case):
    """Give what a case says beside what is right, on one or more inputs."""
    d, rng, f = case.declared, np.random.default_rng(11), case.function
    n_heads = d.get("n_heads", 4)
    n_kv = d.get("n_kv_heads", n_heads)
    if case.kind == "attend":
        for n, m in ((11, 11), (4, 11)):
            q, k = rng.standard_normal((2, n_heads, n, 8)), rng.standard_normal((2, n_kv, m, 8))
            v = rng.standard_normal((2, n_kv, m, d.get("d_value", 8)))
            masks = [None]
            if not d.get("causal"):
                masks.append(np.tri(n, m, m - n, dtype=bool) & (rng.random(m) < 0.8))
            for mask in masks:

                def seen(b, i, j, n=n, m=m, mask=mask):
                    return visible(d, m - n + i, j) if d.get("causal") else mask is None or mask[i, j]

                want = attend(q.copy(), k, v, seen, d)
                if "in-place" in case.bugs:
                    f(q, k, v, mask)
                yield f(q, k, v, mask), want
        return
    if case.kind == "project":
        parts = {role: rng.standard_normal((32, 4, 8)) for role in "qkv"}
        biases = {role: rng.standard_normal((4, 8)) for role in "qkv"}
        fused = np.concatenate([parts[role][:, h] for h in range(4) for role in "qkv"], axis=1)
        bias = np.concatenate([biases[role][h] for h in range(4) for role in "qkv"])
        x = rng.standard_normal((2, 5, 32))
        got = f(x, SimpleNamespace(W_QKV=fused, b_QKV=bias))
        for role, made in zip("qkv", got, strict=True):
            yield made, np.einsum("bnd,dhc->bhnc", x, parts[role]) + biases[role][:, None]
        return
    W, x = weights(n_heads, n_kv, 8, bias=True), rng.standard_normal((3, 12, n_heads * 8))
    if case.kind == "step":
        cache, got, start = None, [], 0
        for rows in STEPS:
            made, cache = f(x[:, start : start + rows], cache, W)
            got.append(made)
            start += rows
        yield np.concatenate(got, axis=1), layer(x, W, d, seen=lambda b, i, j: visible(d, i, j))
    elif padding := d.get("padding"):
        keep = kept(padding)
        want = layer(x, W, d, seen=lambda b, i, j: keep[b, j] and (not d.get("causal") or j <= i))
        yield f(x, keep, W)[keep], want[keep]
    elif d.get("packed"):
        want = layer(x[:1], W, d, seen=lambda b, i, j: j <= i and TEXTS[i] == TEXTS[j])
        yield f(x[:1], TEXTS, W), want
    elif d.get("memory"):
        memory = rng.standard_normal((3, 9, n_heads * 8))
        yield f(x, memory, W), layer(x, W, d, memory=memory)
    else:
        yield f(x, W), layer(x, W, d, seen=lambda b, i, j: not d.get("causal") or visible(d, i, j))


def off(case):
    """Give the largest relative distance from the right numbers."""
    return max(float(np.linalg.norm(got - want) / np.linalg.norm(want)) for got, want in pairs(case))


@pytest.mark.parametrize("case", [*SINGLE, *HARD], ids=lambda case: case.name)
def test_what_is_wrong_is_clearly_off(case):
    assert off(case) > 1e-3


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_what_is_right_agrees(case):
    assert off(case) < 1e-10


def test_the_set_is_as_large_as_it_says():
    assert (len(SINGLE), len(HARD), len(RIGHT)) == (40, 20, 15)
    assert len(NOTES) == 75
    assert sum(bool(NOTES[case.name].source) for case in (*SINGLE, *HARD)) >= 25
    assert all(case.bugs | NOTES[case.name].also <= BUGS.keys() for case in (*SINGLE, *HARD))
    assert not any(case.bugs for case in RIGHT)
