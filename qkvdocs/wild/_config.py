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
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "multi_query_group_num")
D_MODEL = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "emb_dim")
D_HEAD = ("head_dim", "d_kv", "d_head")
ALSO_CALLED = {
    "vision": ("visual", "image", "video"), "text": ("language",), "llm": ("language", "text"),
    "adaptor": ("projector",), "backbone": ("pixel_level_module_encoder",),
}  # fmt: skip
DEFAULT = ("text", "llm", "language", "thinker", "decoder")
"""Parts that own what no other part's name stands for."""
SIDES = ("encoder_attention_heads", "decoder_attention_heads")
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
    counts: frozenset[int] = frozenset()
    """All numbers of key heads that the module's part names."""
    widths: frozenset[int] = frozenset()
    """All widths of rows that the module's part names, its own and those of what it looks at."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """All that the module's part says, itself or inherited."""


class Config:
    """What config.json says, part by part: each part is looked through once, however many modules ask."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._whole = _Level(values)
        self._known: dict[str, Facts | LayoutError] = {}

    def facts(self, path: str) -> Facts:
        """Read what concerns one attention module; refuse a count that is none, and more parts than a config has."""
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
        told = (level.values.get("model_type") for level in reversed(levels))
        types = tuple(kind for kind in told if isinstance(kind, str))
        types = (*_told_apart(values, types), *types)
        side = "decoder" if "decoder" in path.lower() else "encoder"
        own = next((level.values for level in levels if _counts(level.values)), {})
        near = [_Level(_of_the_layer(values, path)), *_whole(levels)]  # what one level says hangs together
        names = (f"{side}_attention_heads", f"num_{side}_attention_heads", *HEADS)
        n_heads, staged = _count(near, names, path, HEADS)
        n_kv_heads = _kv_heads(values, near, types, n_heads, path)
        d_model = None if staged else _count(levels, D_MODEL, path)[0]
        layers = (f"{side}_layers", f"num_{side}_layers", f"{side}_num_hidden_layers", *LAYERS)
        counted = next((own[name] for name in layers if type(own.get(name)) is int), None)
        d_head = None if _is_unet(values) else _count(near, D_HEAD, path, D_HEAD)[0]
        counts = near[-1].counts
        widths = frozenset(size for level in levels for size in level.widths)
        known = ChainMap(near[0].values, *values.maps)
        part = ".".join(parts)
        return Facts(n_heads, n_kv_heads, d_model, d_head, types, counted, part, counts, widths, known)

    def _levels(self, path: str) -> tuple[list["_Level"], list[str]]:
        stem = re.split(r"\.\d+(?:\.|$)", path)  # the name of a part stands before the number of a layer
        levels, names, place = [self._whole], [], f".{'.'.join(stem[:-1] or stem)}.".replace("_", ".")
        while step := levels[0].part(place):
            levels.insert(0, step[1])
            names.append(step[0])
            if len(levels) > DEEPEST:
                raise LayoutError(f"config.json must nest at most {DEEPEST} parts, got more")
        return levels, names


class _Level:
    """One part of a config."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if isinstance(name, str)}

    @cached_property
    def plain(self) -> dict[str, Any]:
        """What the parts below inherit."""
        return {name: value for name, value in self.values.items() if not isinstance(value, dict)}

    @cached_property
    def named(self) -> list[tuple[list[str], str, str]]:
        """Names that begin with words of their own: the words, as a path has them, the rest, and the name."""
        found = []
        for name in self.values:
            if told := NAMED.fullmatch(name):
                words = [f".{word}" for word in (told["word"] or told["inner"]).split("_")]
                found.append((words, told["end"] or "attention_heads", name))
        return found[:WIDEST]

    @cached_property
    def counts(self) -> frozenset[int]:
        return _integers(self.values, KV_COUNTS)

    @cached_property
    def widths(self) -> frozenset[int]:
        return _integers(self.values, WIDTHS)

    @cached_property
    def parts(self) -> dict[str, tuple[tuple[str, ...], "_Level"]]:
        found = {}
        for full, part in self.values.items():
            if isinstance(part, dict) and (_counts(part) or any(map(_counts, part.values()))):
                name = full.removesuffix("_config")
                words = filter(None, (name.removesuffix("_model"), *ALSO_CALLED.get(name, ())))
                found[name] = tuple("." + word.replace("_", ".") for word in words), _Level(part)
        return found

    def part(self, place: str) -> tuple[str, "_Level"] | None:
        if len(self.parts) > WIDEST:
            raise LayoutError(
                f"config.json must have at most {WIDEST} parts side by side, got {len(self.parts)}"
            )
        for name, (words, level) in self.parts.items():
            if any(word in place for word in words):
                return name, level
        for name, (_, level) in self.parts.items():  # a part of a part, whose own name the path leaves out
            if any(word in place for words, _ in level.parts.values() for word in words):
                return name, level
        if any(name in self.values for name in SIDES):  # an outer model of its own, around other parts
            return None
        return next(((name, self.parts[name][1]) for name in DEFAULT if name in self.parts), None)


def _counts(part: object) -> bool:
    return isinstance(part, dict) and any(COUNTS.search(name) for name in part if isinstance(name, str))


COUNTS = re.compile(rf"(?:^|_)(?:{'|'.join(HEADS)})$")
KV_COUNTS = re.compile(r"(?:key_value|kv)\w*heads?$")
WIDTHS = re.compile(rf"(?:^|_)(?:{'|'.join(D_MODEL)})(?:_per_stage)?$")


NAMED = re.compile(
    rf"num_(?P<inner>(?!key_value_)[a-z]+)_attention_heads"
    rf"|(?P<word>\w+?)_(?P<end>{'|'.join((*HEADS, *KV_HEADS, *D_HEAD))})"
)


def _integers(values: Mapping[str, Any], names: re.Pattern[str]) -> frozenset[int]:
    told = [value for name, value in values.items() if names.search(name)][:WIDEST]
    sizes = [size for value in told for size in (value if isinstance(value, list) else [value])]
    return frozenset(size for size in sizes[: WIDEST * DEEPEST] if type(size) is int and size > 0)


def _whole(levels: list[_Level]) -> list[_Level]:
    """Take the levels up to the first that says both how many heads there are, and how wide a row is."""
    for at, level in enumerate(levels):
        if all(any(level.values.get(name) is not None for name in names) for names in (HEADS, D_MODEL)):
            return levels[: at + 1]
    return levels


def _told_apart(values: Mapping[str, Any], types: tuple[str, ...]) -> tuple[str, ...]:
    """Name what one name is used for twice: ChatGLM cuts by whether it groups, and timm has models of two orders."""
    if "chatglm" in types:
        return ("chatglm, grouped" if values.get("multi_query_attention") is True else "chatglm, whole",)
    name = values.get("architecture")
    if "pretrained_cfg" in values and isinstance(name, str):
        by_heads = name.startswith(("maxvit", "maxxvit", "coatnet", "coatnext"))
        return ("timm, by heads" if by_heads else "timm",)
    return ()


def _is_unet(values: Mapping[str, Any]) -> bool:
    named = str(values.get("_class_name")).startswith("UNet2DCondition")
    return named and not values.get("num_attention_heads")


def _of_a_unet(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Give the heads of one block of diffusers' UNet, which its config calls their width."""
    told, block = values.get("attention_head_dim"), re.match(r"(down|mid|up)_block(?:s\.(\d{1,2}))?\.", path)
    if not _is_unet(values) or not block:
        return {}
    if isinstance(told, list):
        order = told[::-1] if block[1] == "up" else told
        at = -1 if block[1] == "mid" else int(block[2] or 0)
        told = order[at] if order and at < len(order) else None
    return {"num_attention_heads": told}


def _of_the_layer(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Say what holds for one layer alone, by its number or by its kind."""
    number = re.search(r"(?:^|[._])(\d{1,5})(?:\.|$)", path)
    at = int(number[1]) if number else 0
    each = values.get("per_layer_config")
    each = each if isinstance(each, dict) else {}
    told = next((each[key] for key in (f"{at:02d}", str(at)) if key in each), None)
    own: dict[str, Any] = told if isinstance(told, dict) else {}
    kind = kind_of_layer(values, at)
    if unet := _of_a_unet(values, path):
        return unet
    if "sliding" in kind:
        swa = {name.replace("swa_", ""): values[name] for name in values if name.startswith("swa_")}
        return {**swa, **own}
    if kind == "full_attention":
        other = {"num_key_value_heads": "num_global_key_value_heads", "head_dim": "global_head_dim"}
        return {name: size for name, key in other.items() if (size := values.get(key)) is not None} | own
    return own


def kind_of_layer(values: Mapping[str, Any], number: int) -> str:
    """Say what config.json calls a layer, where it has a list of kinds; else give an empty text."""
    for name in ("layer_types", "layers_block_type", "block_types"):
        kinds = values.get(name)
        kind = kinds[number] if isinstance(kinds, list) and number < len(kinds) else None
        if isinstance(kind, str):
            return kind[:40]
    return ""


def _count(
    levels: list[_Level], names: tuple[str, ...], path: str, ends: tuple[str, ...] = ()
) -> tuple[int | None, bool]:
    """Take a number from the innermost level that has it; a name that begins with a word of the path goes first."""
    place = f".{path}".replace("_", ".")
    for level in levels:
        ours = [
            (-len(words), place.find(words[0]), name)
            for words, end, name in level.named
            if end in ends and all(word in place for word in words)
        ]
        told = (*(name for _, _, name in sorted(ours)), *names)
        nothing = (None, 0) if ends is D_HEAD else (None,)
        if name := next((name for name in told if level.values.get(name) not in nothing), ""):
            return _size(name, level.values, path)
    return None, False


def _size(name: str, level: Mapping[str, Any], path: str) -> tuple[int, bool]:
    value = level[name]
    staged = isinstance(value, list)
    if staged:  # one entry a stage, as Swin has it: the path's first number says which
        stage = re.search(r"\d+", path)
        value = value[int(stage[0])] if stage and len(stage[0]) < 4 and int(stage[0]) < len(value) else value
    if type(value) is not int or value < 1:
        raise LayoutError(f"{name} in config.json must be an integer of at least 1, got {short(value)}")
    return value, staged


def _kv_heads(
    config: Mapping[str, Any],
    levels: list[_Level],
    model_types: tuple[str, ...],
    n_heads: int | None,
    path: str,
) -> int | None:
    if "chatglm, whole" in model_types:
        return n_heads
    if set(model_types) & set(MULTI_QUERY) and config.get("new_decoder_architecture") is not True:
        if type(config.get("multi_query")) is not bool:
            got = short(config.get("multi_query"))
            raise LayoutError(f"multi_query in config.json must be true or false, got {got}")
        return 1 if config["multi_query"] else n_heads
    attention = config.get("attn_config")
    if isinstance(attention, dict) and attention.get("kv_n_heads") is not None:
        return _size("kv_n_heads", attention, path)[0]
    found, _ = _count(levels, KV_HEADS, path, KV_HEADS)
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
