"""How far the arrays from the file are from what the module multiplied."""

from typing import Any

import numpy as np

from qkvdocs import wild
from qkvdocs.core import repeat_kv_heads
from tests.parity.capture import Capture
from tests.parity.rebuild import project_out, rebuild

LIMITS = {"float32": 5e-6, "float64": 1e-6}
"""Above these, parity is broken. float64 is bounded by what transformers itself computes in float32."""


def scaled(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, float]:
    """Fit the scale that some families put on q or k before the product; give it and the error left."""
    scale = float((theirs * ours).sum() / (ours * ours).sum())
    return scale, float(np.abs(theirs - scale * ours).max())


def compare(seen: Capture, weights: wild.Projections | None = None, **changes: Any) -> dict[str, float]:
    """Give the largest error of each array that can be compared, and the scales found on q and k."""
    weights = weights or seen.weights
    ours = rebuild(seen, weights, **changes)
    errors = {}
    for name, theirs in (("q", seen.q), ("k", seen.k), ("v", seen.v)):
        if theirs is not None:
            mine = ours[name] if len(ours[name]) == len(theirs) else repeat_kv_heads(ours[name], len(theirs))
            scale, errors[name] = scaled(theirs, mine)
            if name != "v":
                errors[f"scale_{name}"] = scale
    context = ours["context"]
    if seen.family.relative:  # weights not rebuilt: judge W_O alone
        context = seen.context
    elif seen.pattern is not None:
        errors["weights"] = float(np.abs(ours["pattern"] - seen.pattern).max())
    if seen.output is not None and context is not None:
        output = project_out(seen, weights, context)[: len(seen.output)]
        errors["output"] = float(np.abs(output - seen.output).max())
    return errors


def worst(errors: dict[str, float]) -> float:
    """Give the largest of the errors."""
    return max(value for name, value in errors.items() if not name.startswith("scale"))
