# What config.json says about one module. Names differ from family to family, and a composite model has a
# config for each of its parts; the two width rules of `_plan` and the sizes below catch a wrong choice.

import re
from dataclasses import dataclass
from typing import Any

from qkvdocs.errors import LayoutError

HEADS = (
    "num_attention_heads",
    "n_head",
    "n_heads",
    "num_heads",
    "attention_heads",
    "encoder_attention_heads",
)
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv")
D_MODEL = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "emb_dim")
D_HEAD = ("head_dim", "d_kv", "d_head")
ALSO_CALLED = {"vision": ("visual", "image"), "text": ("language",), "llm": ("language", "text")}
DEFAULT = ("text", "llm", "language", "thinker", "decoder")
"""Parts that own what no other part's name stands for."""
MULTI_QUERY = ("gpt_bigcode", "falcon", "RefinedWebModel", "RefinedWeb")


@dataclass(frozen=True)
class Facts:
    """What a config says about one module; None where it says nothing."""

    n_heads: int | None
    n_kv_heads: int | None
    d_model: int | None
    d_head: int | None
    model_types: tuple[str, ...]
    """The model's, and that of the part which the module belongs to."""


def facts(config: dict[str, Any], path: str) -> Facts:
    """Read what concerns one attention module.

    Args:
        config: The whole config.json.
        path: The module's name, such as `vision_model.encoder.layers.0.self_attn`.

    Returns:
        The facts.

    Raises:
        LayoutError: If a count is not a positive integer.
    """
    model_types = _types(config)
    while part := _part(config, path):
        config = {**{name: value for name, value in config.items() if not isinstance(value, dict)}, **part}
        model_types = (*model_types, *_types(part))
    side = "decoder" if "decoder" in path.lower() else "encoder"
    sided = (f"{side}_attention_heads", f"num_{side}_attention_heads")
    n_heads, staged = _count(config, (*sided, *HEADS), path)
    n_kv_heads = _kv_heads(config, model_types, n_heads, path)
    d_model = None if staged else _count(config, D_MODEL, path)[0]
    return Facts(n_heads, n_kv_heads, d_model, _count(config, D_HEAD, path)[0], model_types)


def _types(config: dict[str, Any]) -> tuple[str, ...]:
    return (config["model_type"],) if isinstance(config.get("model_type"), str) else ()


def _part(config: dict[str, Any], path: str) -> dict[str, Any] | None:
    parts = {name.removesuffix("_config"): part for name, part in config.items() if isinstance(part, dict)}
    parts = {name: part for name, part in parts.items() if _counts(part) or any(map(_counts, part.values()))}
    for name, part in parts.items():
        if any(re.search(rf"(^|[._]){re.escape(word)}", path) for word in (name, *ALSO_CALLED.get(name, ()))):
            return part
    return next((parts[name] for name in DEFAULT if name in parts), None)


def _counts(part: object) -> bool:
    return isinstance(part, dict) and any(name in part for name in (*HEADS, "decoder_attention_heads"))


def _count(config: dict[str, Any], names: tuple[str, ...], path: str) -> tuple[int | None, bool]:
    name = next((name for name in names if config.get(name) is not None), None)
    if name is None:
        return None, False
    value, staged = config[name], isinstance(config[name], list)
    if staged:  # one entry a stage, as Swin has it: the path's first number says which
        stage = re.search(r"\d+", path)
        value = value[int(stage[0])] if stage and len(stage[0]) < 4 and int(stage[0]) < len(value) else value
    if type(value) is not int or value < 1:
        raise LayoutError(f"{name} in config.json must be an integer of at least 1, got {str(value)[:60]}")
    return value, staged


def _kv_heads(
    config: dict[str, Any], model_types: tuple[str, ...], n_heads: int | None, path: str
) -> int | None:
    if set(model_types) & set(MULTI_QUERY) and config.get("new_decoder_architecture") is not True:
        if type(config.get("multi_query")) is not bool:
            got = str(config.get("multi_query"))[:60]
            raise LayoutError(f"multi_query in config.json must be true or false, got {got}")
        return 1 if config["multi_query"] else n_heads
    attention = config.get("attn_config")
    if isinstance(attention, dict) and attention.get("kv_n_heads") is not None:
        return _count(attention, ("kv_n_heads",), path)[0]
    found, _ = _count(config, KV_HEADS, path)
    return n_heads if found is None else found
