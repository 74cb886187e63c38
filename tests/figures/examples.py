# The figures that the tests look at, made as a lesson makes them: core computes, figures lays out.

import numpy as np

from qkvdocs.core import KVCache, attend, attention_scores, causal_mask, project_qkv, softmax, split_heads
from qkvdocs.figures import (
    attention_steps,
    cache,
    consult,
    flow,
    hall,
    heads,
    heatmap,
    line_chart,
    ribbons,
    shape_flow,
    vectors_on_axes,
    visibility,
    worked_product,
)

X = np.array([[1, 2, 1, 2], [1, 0, 2, 1]])
W_Q = np.array([[1, 0], [0, 1], [1, 1], [0, 1]])
W_K = np.array([[1, 1], [1, 0], [0, 1], [1, -1]])
W_V = np.array([[0, 1], [1, 0], [1, 1], [1, 0]])
CODE = "x = np.array({x})\nW = np.array({W})\ny = x @ W  # {y}"


def product(x=(2, 3), W=((1, 10), (0, -1)), **options):
    """The seed's projection, or that of other numbers."""
    x, W = np.asarray(x), np.asarray(W)
    settings = {"code": CODE, "parts": x[:, None] * W if W.shape[1] == 2 else None, **options}
    return worked_product(x, W, x @ W, **settings)


def attention(X=X, W_Q=W_Q, W_K=W_K, W_V=W_V, *, scaled=True, masked=True, shared=False, mask=..., **options):
    """Lesson 04's two tokens, or others."""
    X, W_Q, W_K, W_V = (np.asarray(value) for value in (X, W_Q, W_K, W_V))
    if shared:
        W_K = W_V = W_Q
    Q, K, V = project_qkv(X, W_Q, W_K, W_V)
    mask = causal_mask(len(X), len(X)) if mask is ... else mask
    context, pattern, scores = attend(Q, K, V, mask if masked else None, None if scaled else 1.0)
    return attention_steps(
        X=X, W_Q=W_Q, W_K=W_K, W_V=W_V, Q=Q, K=K, V=V,
        scores=attention_scores(Q, K, scale=1.0), scaled_scores=scores, pattern=pattern, context=context,
        mask=mask, scaled=scaled, masked=masked, shared=shared, **options,
    )  # fmt: skip


def column():
    """The same numbers in the column convention."""
    x, W = np.array([2, 3]), np.array([[1, 10], [0, -1]])
    return worked_product(W, x, W @ x, names=("W", "x", "y"), name="column")


def pattern_heatmap():
    """Weights of six tokens."""
    tokens = ["the", "cat", "sat", "on", "the", "mat"]
    rng = np.random.default_rng(4)
    mask = causal_mask(6, 6)
    pattern = softmax(rng.normal(size=(6, 6)), mask)
    return heatmap(pattern, rows=tokens, columns=tokens, mask=mask)


def split():
    """Heads, the right way and the silent one."""
    Q = np.arange(12).reshape(3, 4)
    ways = {
        "split_heads(Q, 2)": lambda x: split_heads(x, 2),
        "Q.reshape(2, 3, 2)": lambda x: x.reshape(2, 3, 2),
    }
    return heads(Q, ways, tokens=["the", "cat", "sat"])


def stored():
    """A cache after each of three steps."""
    held = KVCache()
    K, V = np.arange(6).reshape(3, 2), np.arange(6, 12).reshape(3, 2)
    steps = [tuple(part.copy() for part in held.append(K[i : i + 1], V[i : i + 1])) for i in range(3)]
    return cache(steps, tokens=["the", "cat", "sat"])


def shapes():
    """One layer's shapes."""
    return shape_flow([
        ("X", (2, 3, 8), "batch seq d_model"), ("Q = X W_Q", (2, 3, 4), "batch seq d_head"),
        ("scores = Q Kᵀ", (2, 3, 3), "batch seq seq"), ("context", (2, 3, 4), "batch seq d_head"),
    ])  # fmt: skip


def axes():
    """Two keys and a query."""
    return vectors_on_axes({"q": [3, 3], "k": [5, 0]}, scales="equal", caption="A query and a key.")


def curves(**options):
    """Three runs of each of four kinds, their mean and their spread, and a level."""
    rng = np.random.default_rng(6)
    x = np.arange(0, 60, 3)
    runs = {
        name: 2 * np.exp(-x / (8 + 9 * i)) + 0.1 * rng.random((3, len(x))) for i, name in enumerate("abcd")
    }
    settings = {
        "bands": {name: (part.min(axis=0), part.max(axis=0)) for name, part in runs.items()},
        "levels": {"blind guess": 1.2}, "low": 0, "x_label": "steps", "y_label": "loss", "caption": "Losses.",
    }  # fmt: skip
    return line_chart(x, {name: part.mean(axis=0) for name, part in runs.items()}, **{**settings, **options})


def seen():
    """A wide mask, as with a cache."""
    return visibility(causal_mask(2, 4), rows=["on", "it"], columns=["the", "cat", "on", "it"])


def asked():
    """Whom two words of a short text ask."""
    words = ["the", "cat", "sat", "and", "it", "slept"]
    pattern = softmax(np.random.default_rng(3).normal(size=(6, 6)) * 2)
    return ribbons({words[at]: (at, pattern[at], words) for at in (4, 5)}, caption="Whom two words ask.")


def consulted():
    """Whom the words of a short text ask, and what they take home."""
    words = ["the", "cat", "sat", "and", "it", "slept"]
    Q, K, V = np.random.default_rng(4).normal(size=(3, 6, 5)) * 2
    context, pattern, scores = attend(Q, K, V)
    given = {"Q": Q, "K": K, "V": V, "scores": scores, "pattern": pattern, "context": context}
    return consult(words, **given, at=4, name="asked", caption="A head of random numbers.")


def examined():
    """The hall with the cards of one student."""
    words = ["the", "students", "read", "the", "question", "before", "they", "answered", "it"]
    cards = {"query": "what is meant?", "key": "a thing", "value": "what was asked"}
    return hall(words, at=8, cards=cards, caption="Three cards.")


def graded():
    """The same hall, asked by two graders."""
    words = ["the", "cat", "sat", "and", "it", "slept"]
    pattern = softmax(np.random.default_rng(3).normal(size=(6, 6)) * 2)
    return hall(words, at=4, graders={"first": pattern[4], "second": pattern[5]}, caption="Two graders.")


def walled():
    """Cards on the wall, while one student has just come."""
    words = ["the", "students", "read", "the", "question", "before", "they", "answered", "it"]
    return hall(words, at=6, wall=7, caption="Keys and values are kept.")


GALLERY = {
    "product": product,
    "column": column,
    "attention": attention,
    "axes": axes,
    "heatmap": pattern_heatmap,
    "shapes": shapes,
    "heads": split,
    "cache": stored,
    "lines": curves,
    "visibility": seen,
    "ribbons": asked,
    "consult": consulted,
    "hall": examined,
    "graders": graded,
    "wall": walled,
}
FLOW = flow([["x = [2, 3]", f"W_{name}", name.lower()] for name in "QKV"])
