"""How far the atlas reaches: every model type of the pinned transformers, on the meta device."""

import json
import re
import warnings
from collections import Counter
from typing import Any

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qkvdocs import wild
from qkvdocs.wild._attentions import plan_modules
from qkvdocs.wild._plan import Plan
from qkvdocs.wild._tensor import Tensor

ATTENTIVE = ("attn", "attention", "q_proj", "query", "qkv")
"""What a tensor name must contain for its model to count as one with attention."""
SQUEEZE = re.compile(r"\battention\.\d+\.")
"""RegNet's squeeze-and-excitation, two convolutions that weigh channels, bears the name too."""
STATES = (
    "read", "listed", "in part", "refused", "not recognised", "no attention", "not built", "no model of its own",
)  # fmt: skip


def names_on_disk(model_type: str) -> tuple[wild.Checkpoint, dict[str, bool]]:
    """Build the default model of a type without memory, and name its tensors as its file would.

    Besides, say of each module whose class tells it whether it is causal.
    """
    config = CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    state = revert_weight_conversion(model, model.state_dict())
    shapes = {name: Tensor("F32", tuple(tensor.shape), 0, 0) for name, tensor in state.items()}
    causal = {
        name: bool(part.is_causal) for name, part in model.named_modules() if hasattr(part, "is_causal")
    }
    return wild.Checkpoint.held(shapes, json.loads(config.to_json_string())), causal


def count_kinds(causal: dict[str, bool], plans: dict[str, Plan]) -> Counter[str]:
    """Count the modules whose class says whether it is causal, and that this agrees with their kind."""
    found: Counter[str] = Counter()
    for path, plan in plans.items():
        says = {told for name, told in causal.items() if f"{name}.".startswith(f"{path}.")}
        if len(says) == 1:
            found["same" if (plan.kind in ("self", "shared")) in says else "differ"] += 1
    return found


def look(model_type: str) -> dict[str, Any]:
    """Say what the atlas makes of one model type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint, causal = names_on_disk(model_type)
    except Exception as error:  # a missing optional dependency, or a default config that cannot be built
        reason = (str(error).strip().splitlines() or [""])[0][:100]
        alone = "Unrecognized configuration class" in reason
        return {
            "state": "no model of its own" if alone else "not built",
            "why": f"{type(error).__name__}: {reason}",
        }
    attentions = plan_modules(checkpoint)
    refused = attentions.refused
    plans = map(attentions.plan, [*attentions.plans, *attentions.latent])
    rows = Counter(plan.layout.family for plan in plans)
    attentive = any(word in SQUEEZE.sub("", name) for name in checkpoint for word in ATTENTIVE)
    seen = {(True, False): "read", (True, True): "in part", (False, True): "refused"}
    other = sorted({found.what for found in attentions.layers if found.accounted})
    listed = sorted({listed.what for listed in attentions.listed.values()} | {*other})
    none = "listed" if listed else "not recognised" if attentive else "no attention"
    state = seen.get((bool(rows), bool(refused)), none)
    why = next((str(error) for error in refused.values()), "")
    kinds = count_kinds(causal, attentions.plans)
    return {
        "state": state,
        "modules": rows.total(),
        "refused": len(refused),
        "other": listed,
        "not_counted": sum(found.count for found in attentions.layers if not found.accounted),
        "kinds": [kinds["same"], kinds["differ"]],
        "layouts": sorted(rows),
        "why": why,
    }


def survey() -> dict[str, dict[str, Any]]:
    """Look at all model types."""
    return {model_type: look(model_type) for model_type in sorted(CONFIG_MAPPING)}
