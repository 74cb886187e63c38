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

ATTENTIVE = ("attn", "attention", "q_proj", "query", "qkv")
"""What a tensor name must contain for its model to count as one with attention."""
STATES = ("read", "in part", "refused", "not recognised", "no attention", "not built", "no model of its own")


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
        reason = (str(error).strip().splitlines() or [""])[0][:100]
        alone = "Unrecognized configuration class" in reason
        return {
            "state": "no model of its own" if alone else "not built",
            "why": f"{type(error).__name__}: {reason}",
        }
    found, refused = find_modules(checkpoint)
    rows: Counter[str] = Counter()
    for path, layout in found.items():
        try:
            make_plan(checkpoint, path, layout, facts(checkpoint.config, path))
        except QKVError as error:
            refused[path] = error
        else:
            rows[layout.family] += 1
    attentive = any(word in name for name in checkpoint for word in ATTENTIVE)
    seen = {(True, False): "read", (True, True): "in part", (False, True): "refused"}
    state = seen.get((bool(rows), bool(refused)), "not recognised" if attentive else "no attention")
    why = next((str(error) for error in refused.values()), "")
    return {
        "state": state,
        "modules": rows.total(),
        "refused": len(refused),
        "layouts": sorted(rows),
        "why": why,
    }


def survey() -> dict[str, dict[str, Any]]:
    """Look at all model types."""
    return {model_type: look(model_type) for model_type in sorted(CONFIG_MAPPING)}
