"""How far the atlas reaches: every model type of the pinned transformers, on the meta device."""

import json
import warnings
from collections import Counter
from typing import Any

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qkvdocs import wild
from qkvdocs.errors import QKVError
from qkvdocs.wild._config import facts
from qkvdocs.wild._find import find_modules
from qkvdocs.wild._header import Tensor
from qkvdocs.wild._plan import make_plan

ATTENTIVE = ("attn", "attention", "q_proj", "query", "qkv", "c_attn", "in_proj")
"""What a tensor name must contain for its model to count as one with attention."""


class Names(wild.Checkpoint):
    """A checkpoint of which nothing but names and shapes exists."""

    def __init__(self, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
        self.config = config
        self._below = None
        self._places = {name: (None, Tensor("F32", shape, 0, 0)) for name, shape in shapes.items()}


def names_on_disk(model_type: str) -> Names:
    """Build the default model of a type without memory, and name its tensors as its file would."""
    config = CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    state = revert_weight_conversion(model, model.state_dict())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return Names(json.loads(config.to_json_string()), shapes)


def look(model_type: str) -> dict[str, Any]:
    """Say what the atlas makes of one model type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = names_on_disk(model_type)
    except Exception as error:  # a missing optional dependency, or a default config that cannot be built
        return {
            "state": "not built",
            "why": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120] if str(error).strip() else ''}",
        }
    found, refused = find_modules(checkpoint)
    planned, rows = 0, Counter()
    for path, layout in found.items():
        try:
            make_plan(checkpoint, path, layout, facts(checkpoint.config, path))
        except QKVError as error:
            refused[path] = error
        else:
            planned += 1
            rows[layout.family] += 1
    if planned and not refused:
        state = "read"
    elif planned:
        state = "in part"
    elif refused:
        state = "refused"
    else:
        state = (
            "unknown" if any(word in name for name in checkpoint for word in ATTENTIVE) else "no attention"
        )
    reasons = Counter(str(error) for error in refused.values())
    first = next(iter(refused.items()), None)
    return {
        "state": state, "modules": planned, "refused": len(refused), "layouts": sorted(rows),
        "why": "" if first is None else str(first[1]), "reasons": len(reasons),
        "example": next((n for n in checkpoint if any(w in n for w in ATTENTIVE)), "") if state == "unknown" else "",
    }  # fmt: skip


def survey() -> dict[str, dict[str, Any]]:
    """Look at all model types."""
    transformers.logging.set_verbosity_error()
    return {model_type: look(model_type) for model_type in sorted(CONFIG_MAPPING)}


if __name__ == "__main__":
    for name, row in survey().items():
        print(json.dumps({"type": name, **row}))
