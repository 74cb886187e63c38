"""From a case to what the probes say of it."""

from dataclasses import replace
from typing import Any

import numpy as np

from qkvdocs.clinic import (
    AdapterTargets,
    Attend,
    Attention,
    CacheBytes,
    HeadWidth,
    Norm,
    Project,
    Report,
    Rotary,
    Step,
    examine,
)
from qkvdocs.clinic._arrays import Kind
from qkvdocs.core import QKVWeights
from tests.clinic.cases import Case


def weights(n_heads: int, n_kv_heads: int, d_head: int, *, bias: bool) -> QKVWeights:
    """Give a layer with every number random; full heads make all weights square."""
    rng = np.random.default_rng(5)
    d_model, few = n_heads * d_head, n_kv_heads * d_head
    shapes = {"Q": (d_model, d_model), "K": (d_model, few), "V": (d_model, few), "O": (d_model, d_model)}
    arrays = {f"W_{role}": rng.standard_normal(shape) / np.sqrt(d_model) for role, shape in shapes.items()}
    if bias:
        arrays |= {f"b_{role}": rng.standard_normal(shape[1]) for role, shape in shapes.items()}
    return QKVWeights(**arrays, n_heads=n_heads, n_kv_heads=n_kv_heads)


def contract_of(case: Case) -> Any:
    """Put a case under the contract that it declares."""
    declared = dict(case.declared)
    function: Any = case.function
    if isinstance(rotary := declared.pop("rotary", None), str):
        declared["rotary"] = Rotary(rotary)
    elif rotary is not None:
        declared["rotary"] = Rotary(**rotary)
    if "norm" in declared:
        declared["norm"] = Norm(**declared["norm"])
    if case.kind == "attend":
        return Attend(function, **declared)
    if case.kind == "project":
        if declared.get("bias") is False:
            declared["bias"] = ""
        return Project(function, **declared)
    if case.kind in ("attention", "step"):
        n_heads = declared.pop("n_heads", 4)
        W = weights(n_heads, declared.pop("n_kv_heads", n_heads), 8, bias=declared.pop("bias", True))
        if declared.pop("tied", False):
            W = replace(W, W_V=W.W_K)
        if before := declared.pop("before", None):
            delta = before if callable(before) else lambda W, role: W.W_Q * 0.1
            declared["before"] = replace(W, **{f"W_{r}": getattr(W, f"W_{r}") - delta(W, r) for r in "QKV"})
        if case.kind == "step":
            return Step(lambda x, cache: function(x, cache, W), W, **declared)
        return Attention(lambda *rows: function(*rows, W), W, **declared)
    if case.kind == "adapter":
        return AdapterTargets(*function())
    return {"cache_bytes": CacheBytes, "head_width": HeadWidth}[case.kind](function)


class Rounded(Kind):
    """Arrays of a dtype that numpy may not know, kept in float64."""

    def make(self, array: np.ndarray) -> Any:
        """Round."""
        return rounded(np.array(array), self.dtype)


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Round to float32, float16 or bfloat16, ties to even."""
    if array.dtype.kind != "f":
        return array
    if dtype != "bfloat16":
        return array.astype(dtype).astype(np.float64)
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = bits + 0x7FFF + ((bits >> 16) & 1) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def half(case: Case, dtype: str) -> Any:
    """Put a case into another precision: rounded in, rounded out."""
    contract = contract_of(case)
    function = contract.function

    def round_trip(*arguments: Any) -> Any:
        result = function(*arguments)
        if case.kind == "step":
            return rounded(result[0], dtype), result[1]
        return tuple(rounded(a, dtype) for a in result) if case.kind == "project" else rounded(result, dtype)

    return replace(contract, function=round_trip, like=Rounded(np, dtype))


def answer(case: Case) -> Report:
    """Examine a case."""
    return examine(contract_of(case))


def score(case: Case, report: Report) -> tuple[int, int, int]:
    """Count right names, wrong names and missed bugs; one answer for several bugs is right if one of them is it."""
    hits = sum(bool(finding.names & case.bugs) for finding in report.findings)
    named = frozenset[str]().union(*(finding.names for finding in report.findings))
    return hits, len(report.findings) - hits, len(case.bugs - named)
