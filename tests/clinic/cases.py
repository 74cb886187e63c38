"""Buggy implementations, each with the bugs that it has. They know nothing of the probes.

What a function of each kind is given, and what it must return:

- `attend`: `f(q, k, v, mask)`, heads at (batch, heads, seq, d_head), mask (n_queries, n_keys) with True = may
  attend or None; the context. `causal=True`: it hides the future by itself and is given no mask.
- `attention`: `f(x, W)`, rows (batch, seq, d_model), a layer in the layout of `x @ W`; the output.
- `project`: `f(x, W)`, weights as stored; `(Q, K, V)`, heads cut. `fused` names the order of the roles in
  `W.W_QKV`, `blocks` how often it repeats; `transposed` weights are stored (out, in).
- `step`: `f(x, cache, W)`, one or several new rows, cache None at first; the output and the cache.
- `cache_bytes`: `f(config, batch, seq, itemsize)`; the bytes of keys and values.
- `head_width`: `f(config)`; the width of a head.
- `adapter`: `f()`; the targets and the names of the modules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One implementation and the truth about it."""

    name: str
    kind: str
    bugs: frozenset[str]
    function: Callable[..., Any]
    declared: dict[str, Any]


def collector(cases: list[Case]) -> Callable[..., Any]:
    """Make the decorator that adds to a list of cases."""

    def case(kind: str, *bugs: str, **declared: Any) -> Callable[..., Any]:
        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            cases.append(Case(function.__name__, kind, frozenset(bugs), function, declared))
            return function

        return add

    return case
