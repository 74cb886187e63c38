"""What the checks and the names of `qkvdocs.core` cost, beside the same arithmetic written bare.

    python benchmarks/core.py [--seconds 1.0]

Each line is one size. All candidates take turns within one run, one thread each, so that a busy machine slows
them alike; a ratio is the median over the rounds, 1.0 being bare numpy (`@` for a projection, einsum and a
plain softmax for attention). Memory is the peak of one call as Python's allocator sees it, what is returned
included; torch allocates elsewhere, so its memory is not shown.
"""

import argparse
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable

for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # read once, at the import of numpy

import numpy as np  # noqa: E402  # after the threads

from qkvdocs.core import attend, project_qkv, repeat_kv_heads  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

Candidates = dict[str, Callable[[], object]]


def bare_attention(Q: np.ndarray, K: np.ndarray, V: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Attention as one writes it without a library, heads repeated beforehand."""
    scores = np.einsum("bhqd,bhkd->bhqk", Q, K, optimize=True) / np.sqrt(np.float32(Q.shape[-1]))
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bhkd->bhqd", weights, V, optimize=True)


def attention_candidates(seq: int, n_heads: int, n_kv_heads: int, d_head: int) -> Candidates:
    """Causal attention in float32, one sequence; all agree before they are timed."""
    rng = np.random.default_rng(0)
    Q = rng.normal(size=(1, n_heads, seq, d_head)).astype(np.float32)
    K, V = rng.normal(size=(2, 1, n_kv_heads, seq, d_head)).astype(np.float32)
    mask = np.tri(seq, dtype=bool)
    candidates: Candidates = {
        "bare": lambda: bare_attention(Q, repeat_kv_heads(K, n_heads), repeat_kv_heads(V, n_heads), mask),
        "ours": lambda: attend(Q, K, V, mask).context,
    }
    if torch is not None:
        q, k, v = (torch.from_numpy(rows) for rows in (Q, K, V))
        visible = torch.from_numpy(mask)
        fused = torch.nn.functional.scaled_dot_product_attention
        candidates["torch"] = lambda: fused(q, k, v, attn_mask=visible, enable_gqa=n_heads != n_kv_heads)
    return agreeing(candidates)


def projection_candidates(seq: int, d_model: int) -> Candidates:
    """Three square projections with biases, in float32."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1, seq, d_model)).astype(np.float32)
    weights = rng.normal(size=(3, d_model, d_model)).astype(np.float32)
    biases = rng.normal(size=(3, d_model)).astype(np.float32)
    candidates: Candidates = {
        "bare": lambda: [X @ weight + bias for weight, bias in zip(weights, biases, strict=True)],
        "ours": lambda: project_qkv(X, *weights, *biases),
    }
    if torch is not None:
        x, ws, bs = (torch.from_numpy(array) for array in (X, weights, biases))
        turned = [weight.T.contiguous() for weight in ws]
        linear = torch.nn.functional.linear
        candidates["torch"] = lambda: [linear(x, w, b) for w, b in zip(turned, bs, strict=True)]
    return agreeing(candidates)


def agreeing(candidates: Candidates) -> Candidates:
    """A benchmark of different things would be worth nothing."""
    wanted = None
    for name, call in candidates.items():
        result = call()
        parts = result if isinstance(result, list | tuple) else [result]
        rows = np.array([np.asarray(part) for part in parts])
        wanted = rows if wanted is None else wanted
        np.testing.assert_allclose(rows, wanted, rtol=1e-3, atol=1e-3, err_msg=name)
    return candidates


def rounds(candidates: Candidates, seconds: float) -> dict[str, list[float]]:
    """Seconds a call, the candidates taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(spent["bare"]) < 5:
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    return spent


def peak(call: Callable[[], object]) -> int:
    """Bytes that one call held at most."""
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def line(label: str, candidates: Candidates, seconds: float) -> None:
    """Print one size."""
    spent = rounds(candidates, seconds)
    ratios = {
        name: statistics.median(time / bare for time, bare in zip(times, spent["bare"], strict=True))
        for name, times in spent.items()
    }
    rival = f"{ratios['torch']:6.2f}" if "torch" in ratios else "     –"
    memory = peak(candidates["ours"]) / peak(candidates["bare"])
    bare = statistics.median(spent["bare"]) * 1e3
    print(f"{label:36} {bare:9.3f} {ratios['ours']:7.2f} {rival} {memory:9.2f}")


def main() -> None:
    """Print the tables: growth with seq, with d_model, and with grouped heads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each line")
    seconds = parser.parse_args().seconds
    numpy_and_torch = f"numpy {np.__version__}, torch {'absent' if torch is None else torch.__version__}"
    print(f"{numpy_and_torch}; ratios to bare numpy")
    print(f"{'':36} {'bare ms':>9} {'ours':>7} {'torch':>6} {'memory':>9}")
    for seq in (1, 16, 128, 512, 1024):
        line(f"attend, 8 heads of 64, seq {seq}", attention_candidates(seq, 8, 8, 64), seconds)
    for d_head in (16, 64, 256):
        line(f"attend, 8 heads of {d_head}, seq 256", attention_candidates(256, 8, 8, d_head), seconds)
    for few in (4, 1):
        candidates = attention_candidates(512, 8, few, 64)
        line(f"attend, 8 on {few} heads of 64, seq 512", candidates, seconds)
    for d_model in (64, 256, 1024):
        line(f"project_qkv, d_model {d_model}, seq 128", projection_candidates(128, d_model), seconds)
    for seq in (1, 16, 1024):
        line(f"project_qkv, d_model 512, seq {seq}", projection_candidates(seq, 512), seconds)


if __name__ == "__main__":
    main()
