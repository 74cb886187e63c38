# What config.json says about one module. Names differ from family to family, and a composite model has a
# config for each of its parts; the two width rules of `_plan` and the sizes below catch a wrong choice.

import re
import reprlib
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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


LAYERS = ("num_hidden_groups", "num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth")
DEEPEST, WIDEST = 8, 64
"""Parts within parts, and parts side by side, that a config may have."""


@dataclass(frozen=True)
class Facts:
    """What a config says about one module; None where it says nothing."""

    n_heads: int | None
    n_kv_heads: int | None
    d_model: int | None
    d_head: int | None
    model_types: tuple[str, ...] = ()
    """The model's, and that of the part which the module belongs to."""
    n_layers: int | None = None
    part: str = ""
    """The names of the parts, from the outside in: `text`, or `thinker.vision`."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """All that the module's part says, itself or inherited."""


class Config:
    """What config.json says, part by part: each part is looked through once, however many modules ask."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._whole = _Level(values)
        self._known: dict[str, Facts | LayoutError] = {}

    def facts(self, path: str) -> Facts:
        """Read what concerns one attention module.

        Args:
            path: The module's name, such as `vision_model.encoder.layers.0.self_attn`.

        Returns:
            The facts.

        Raises:
            LayoutError: If a count is not a positive integer, or there are more parts than a config has.
        """
        if path not in self._known:
            try:
                self._known[path] = self._facts(path)
            except LayoutError as error:
                self._known[path] = error
        known = self._known[path]
        if isinstance(known, LayoutError):
            raise known
        return known

    def _facts(self, path: str) -> Facts:
        levels, parts = self._levels(path)
        values = ChainMap(*(level.values for level in levels[:1]), *(level.plain for level in levels[1:]))
        types = tuple(
            level.values["model_type"]
            for level in reversed(levels)
            if isinstance(level.values.get("model_type"), str)
        )
        if "pretrained_cfg" in values and isinstance(values.get("architecture"), str):
            types = ("timm", *types)
        side = "decoder" if "decoder" in path.lower() else "encoder"
        n_heads, staged = _count(
            values, (f"{side}_attention_heads", f"num_{side}_attention_heads", *HEADS), path
        )
        n_kv_heads = _kv_heads(values, types, n_heads, path)
        d_model = None if staged else _count(values, D_MODEL, path)[0]
        layers = (f"{side}_layers", f"num_{side}_layers", f"{side}_num_hidden_layers", *LAYERS)
        own = next((level.values for level in levels if _counts(level.values)), {})
        counted = next((own[name] for name in layers if type(own.get(name)) is int), None)
        d_head = _count(values, D_HEAD, path)[0]
        return Facts(n_heads, n_kv_heads, d_model, d_head, types, counted, ".".join(parts), values)

    def _levels(self, path: str) -> tuple[list["_Level"], list[str]]:
        levels, names, place = [self._whole], [], f".{path}".replace("_", ".")
        while step := levels[0].part(place):
            levels.insert(0, step[1])
            names.append(step[0])
            if len(levels) > DEEPEST:
                raise LayoutError(f"config.json must nest at most {DEEPEST} parts, got more")
        return levels, names


class _Level:
    """One part of a config."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @cached_property
    def plain(self) -> dict[str, Any]:
        """What the parts below inherit."""
        return {name: value for name, value in self.values.items() if not isinstance(value, dict)}

    @cached_property
    def parts(self) -> dict[str, tuple[tuple[str, ...], "_Level"]]:
        found = {
            name.removesuffix("_config"): part
            for name, part in self.values.items()
            if isinstance(part, dict) and (_counts(part) or any(map(_counts, part.values())))
        }
        return {
            name: (
                tuple("." + word.replace("_", ".") for word in (name, *ALSO_CALLED.get(name, ())) if word),
                _Level(part),
            )
            for name, part in found.items()
        }

    def part(self, place: str) -> tuple[str, "_Level"] | None:
        if len(self.parts) > WIDEST:
            raise LayoutError(
                f"config.json must have at most {WIDEST} parts side by side, got {len(self.parts)}"
            )
        for name, (words, level) in self.parts.items():
            if any(word in place for word in words):
                return name, level
        return next(((name, self.parts[name][1]) for name in DEFAULT if name in self.parts), None)


def _counts(part: object) -> bool:
    return isinstance(part, dict) and any(name in part for name in (*HEADS, "decoder_attention_heads"))


def _count(config: Mapping[str, Any], names: tuple[str, ...], path: str) -> tuple[int | None, bool]:
    name = next((name for name in names if config.get(name) is not None), None)
    if name is None:
        return None, False
    value, staged = config[name], isinstance(config[name], list)
    if staged:  # one entry a stage, as Swin has it: the path's first number says which
        stage = re.search(r"\d+", path)
        value = value[int(stage[0])] if stage and len(stage[0]) < 4 and int(stage[0]) < len(value) else value
    if type(value) is not int or value < 1:
        raise LayoutError(f"{name} in config.json must be an integer of at least 1, got {short(value)}")
    return value, staged


def _kv_heads(
    config: Mapping[str, Any], model_types: tuple[str, ...], n_heads: int | None, path: str
) -> int | None:
    if set(model_types) & set(MULTI_QUERY) and config.get("new_decoder_architecture") is not True:
        if type(config.get("multi_query")) is not bool:
            got = short(config.get("multi_query"))
            raise LayoutError(f"multi_query in config.json must be true or false, got {got}")
        return 1 if config["multi_query"] else n_heads
    attention = config.get("attn_config")
    if isinstance(attention, dict) and attention.get("kv_n_heads") is not None:
        return _count(attention, ("kv_n_heads",), path)[0]
    found, _ = _count(config, KV_HEADS, path)
    return n_heads if found is None else found


def short(value: object) -> str:
    """Quote a value without laying out all that is in it."""
    return value[:60] if isinstance(value, str) else reprlib.repr(value)[:60]


def from_open_clip(told: Mapping[str, Any]) -> dict[str, Any]:
    """Say in the words of config.json what open_clip_config.json says of both towers."""
    parts = {}
    model = told.get("model_cfg")
    for name in ("vision", "text"):
        part = model.get(f"{name}_cfg") if isinstance(model, dict) else None
        width = part.get("width") if isinstance(part, dict) else None
        if part and type(width) is int and width > 0:
            narrow = part.get("head_width", 64)
            heads = part.get("heads") or (width // narrow if type(narrow) is int and narrow > 0 else None)
            parts[f"{name}_config"] = {
                "num_attention_heads": heads,
                "hidden_size": width,
                "num_layers": part.get("layers"),
            }
    return {"model_type": "open_clip", **parts}
