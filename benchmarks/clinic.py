"""Precision and recall of the probes, as found, and what a healthy examination costs.

    python benchmarks/clinic.py [--list]

A named bug that is there is a hit; one that is not there a false name; one that is there and not named a miss.
Precision is hits among the names, recall what was named of all that is there. The held-out half was committed
before the probes were written, the reports before their faults were. The hard set was written after them, to
show where they end: nothing is tuned on it, and it counts for neither half.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from qkvdocs.clinic import Attention, Rotary, examine
from qkvdocs.core import QKVWeights, attend, causal_mask, merge_heads, rotate, split_heads
from qkvdocs.errors import ContractError
from tests.clinic import bugs_hard, bugs_held_out, bugs_open, bugs_reports, right, right_features
from tests.clinic.cases import Case
from tests.clinic.run import answer, score


def line(label: str, cases: Sequence[Case], *, every: bool) -> None:
    """Print one set."""
    hits = false = missed = 0
    seconds = []
    for case in cases:
        start = time.perf_counter()
        try:
            report = answer(case)
            here = score(case, report)
            said = ", ".join(" or ".join(sorted(finding.names)) for finding in report.findings) or "healthy"
        except ContractError as error:
            here, said = (0, 0, len(case.bugs)), f"ContractError: {error}"
        seconds.append(time.perf_counter() - start)
        hits, false, missed = hits + here[0], false + here[1], missed + here[2]
        if every or here[1:] != (0, 0):
            mark = "" if here[1:] == (0, 0) else "! "
            print(f"  {mark}{case.name}: {', '.join(sorted(case.bugs)) or 'healthy'} -> {said}")
    there = sum(len(case.bugs) for case in cases)
    precision = f"{hits / (hits + false):.3f}" if hits + false else "–"
    recall = f"{1 - missed / there:.3f}" if there else "–"
    middle = sorted(seconds)[len(seconds) // 2] * 1e3
    counts = f"{label:10} {len(cases):5} {there:5} {false:11} {precision:>9} {recall:>7}"
    print(f"{counts} {middle:9.1f} {max(seconds) * 1e3:9.0f}")


def large(n_heads: int = 8, n_kv_heads: int = 4, d_head: int = 64) -> None:
    """Print what one layer of a real size costs: right, with one to three bugs, and wrong in no known way."""
    rng, counts = np.random.default_rng(0), {"Q": n_heads, "K": n_kv_heads, "V": n_kv_heads}
    d_model = n_heads * d_head
    drawn = {
        f"W_{role}": rng.standard_normal((d_model, n * d_head)) / d_model**0.5 for role, n in counts.items()
    }
    out = rng.standard_normal((d_model, d_model)) / d_model**0.5
    W = QKVWeights(**drawn, W_O=out, n_heads=n_heads, n_kv_heads=n_kv_heads)

    def layer(
        x: np.ndarray, style: Any = "halves", scale: Any = None, tiled: bool = False, bent: float = 0.0
    ) -> Any:
        q, k, v = (split_heads(x @ drawn[f"W_{role}"], n) for role, n in counts.items())
        q, k = rotate(q, style=style), rotate(k, style=style)
        k, v = (np.tile(a, (1, n_heads // n_kv_heads, 1, 1)) if tiled else a for a in (k, v))
        seen = attend(q + bent * np.sin(q), k, v, causal_mask(x.shape[1], x.shape[1]), scale)
        return (merge_heads(seen.context) @ out).astype(np.float32)

    ways: dict[str, dict[str, Any]] = {
        "right": {}, "one bug": {"scale": 1.0}, "two": {"scale": 1.0, "tiled": True}, "unknown": {"bent": 0.5},
        "three": {"scale": 1.0, "tiled": True, "style": "pairs"},
    }  # fmt: skip
    print(f"\nOne layer of d_model={d_model} in float32, seconds of one core:")
    for name, way in ways.items():
        start = time.process_time()
        examine(
            Attention(partial(layer, **way), W, causal=True, rotary=Rotary(), like=np.zeros(1, np.float32))
        )
        print(f"  {name:8} {time.process_time() - start:.2f}")


def main() -> None:
    """Print one line a set; below it, with `!`, each case in which a name is wrong or missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="say of each case what was found")
    every = parser.parse_args().list
    warnings.simplefilter("ignore", RuntimeWarning)  # the buggy make NaNs
    head = f"{'':10} {'cases':>5} {'bugs':>5} {'false names':>11} {'precision':>9} {'recall':>7}"
    print(f"{head} {'median ms':>9} {'worst ms':>9}")
    sets = {
        "held out": bugs_held_out, "open": bugs_open, "reports": bugs_reports, "right": right,
        "features": right_features, "hard": bugs_hard,
    }  # fmt: skip
    for label, module in sets.items():
        line(label, module.CASES, every=every)
    large()


if __name__ == "__main__":
    main()
