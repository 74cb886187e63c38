# Which modules of a checkpoint are attention, by the names of their tensors.

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from qkvdocs.errors import LayoutError, QKVError
from qkvdocs.wild._atlas import ADDED, ATLAS, BREAKS, MIXERS
from qkvdocs.wild._checkpoint import Checkpoint, endings
from qkvdocs.wild._config import short
from qkvdocs.wild._layers import few
from qkvdocs.wild._layout import Layout
from qkvdocs.wild._plan import dotted

NAMED = re.compile(r"(?:attn|attention)\d*\Z", re.IGNORECASE)
"""How a module is called that is attention, whatever stands in it."""
Endings = dict[str, list[str]]
"""Ending of a tensor's name -> the modules that hold it."""


def find_modules(
    checkpoint: Checkpoint, layouts: Sequence[Layout] = ATLAS
) -> tuple[dict[str, Layout], dict[str, QKVError]]:
    """Find attention modules wherever the names of their tensors occur, whatever stands before.

    Args:
        checkpoint: The names.
        layouts: The rows to try, in order.

    Returns:
        Module -> its layout, and module -> why it is refused.
    """
    held = _endings(checkpoint)
    found: dict[str, Layout] = {}
    used: set[str] = set()
    for layout in layouts:
        for path, name in _matches(checkpoint, held, layout):
            if name not in used and path not in found and _holds(layout, checkpoint, path):
                found[path] = layout
                used.update(_names(checkpoint, path, layout))
    refused: dict[str, QKVError] = {}
    models = _models(layouts)
    for fits, layout in ((fits, layout) for fits in (True, False) for layout in layouts):
        for path, name in _matches(checkpoint, held, layout):
            if name not in used and path not in found and (not fits or _fits(checkpoint, path, layout)):
                refused.setdefault(path, _unknown_order(models, layout, checkpoint, path, name))
                used.update(_names(checkpoint, path, layout))
    for ending, what in breaks(layouts).items():
        for path in held.get(ending, ()):
            name = dotted(path, ending)
            if path not in found and name not in used:
                refused.setdefault(path, LayoutError(f"{name} must be one projection, got {what}"))
                used.update(checkpoint.under(path))
    refused |= _incomplete(checkpoint, held, layouts, found, refused, used)
    refused |= _unknown(checkpoint, {*found, *refused})
    return found, refused


def _endings(names: Iterable[str]) -> Endings:
    found = defaultdict(list)
    for name in names:
        for path, ending in endings(name):
            if path.rsplit(".", 1)[-1] not in MIXERS:  # told by `_layers`
                found[ending].append(path)
    return found


def _matches(checkpoint: Checkpoint, held: Endings, layout: Layout) -> Iterable[tuple[str, str]]:
    first, *rest = (template.format("weight") for template in layout.tensors)
    outs = [template.format("weight") for template in layout.out]
    for path in held.get(first, ()):
        if all(dotted(path, name) in checkpoint for name in rest) and any(
            dotted(path, name) in checkpoint for name in outs
        ):
            yield path, dotted(path, first)


def _names(checkpoint: Checkpoint, path: str, layout: Layout) -> list[str]:
    names = (dotted(path, template.format("weight")) for template in (*layout.tensors, *layout.out))
    return [name for name in names if name in checkpoint]


def _holds(layout: Layout, checkpoint: Checkpoint, path: str) -> bool:
    return not layout.models or bool(set(layout.models) & set(_model_types(checkpoint, path)))


def _model_types(checkpoint: Checkpoint, path: str) -> tuple[str, ...]:
    try:
        return checkpoint.facts(path).model_types
    except QKVError:  # told again, with its reason, when the module is planned
        kind = checkpoint.config.get("model_type")
        return (kind,) if isinstance(kind, str) else ()


def _fits(checkpoint: Checkpoint, path: str, layout: Layout) -> bool:
    """Say whether inputs and outputs lie as the row has them: both ends of a module are d_model wide."""
    first, *_, out = _names(checkpoint, path, layout)
    shapes = [checkpoint.tensor(name).shape for name in (first, out)]
    if any(len(shape) != 2 for shape in shapes):
        return False
    turned = bool(layout.columns)
    return shapes[0][not turned] == shapes[1][turned]


def _models(layouts: Sequence[Layout]) -> dict[str, str]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for layout in layouts:
        for template in layout.tensors:
            found[template].update(layout.models)
    return {template: ", ".join(sorted(models)) for template, models in found.items()}


def _unknown_order(
    models: dict[str, str], layout: Layout, checkpoint: Checkpoint, path: str, name: str
) -> LayoutError:
    got = " / ".join(_model_types(checkpoint, path)) or "no config.json that names one"
    out = next(template for template in layout.out if dotted(path, template.format("weight")) in checkpoint)
    return LayoutError(
        f"the order inside {name} must be known from the model_type, one of "
        f"{models[next(iter(layout.tensors))]}, got {got}. "
        f"If it is cut as {layout.family} cuts it, declare that: read(…, layout={_declaration(layout, out)})"
    )


def _declaration(layout: Layout, out: str) -> str:
    columns = tuple(name for name in layout.columns if name in layout.tensors or name == out)
    told = {"blocks": layout.blocks, "columns": columns, "axes": layout.axes, "biases": layout.biases}
    usual = {"blocks": 1, "columns": (), "axes": 2, "biases": {}}
    more = "".join(f", {name}={value!r}" for name, value in told.items() if value != usual[name])
    return f"Layout(family='mine', tensors={layout.tensors!r}, out=({out!r},){more})"


def breaks(layouts: Sequence[Layout]) -> dict[str, str]:
    """Ending -> what is no plain weight: the atlas's own, and every projection that is quantised or adapted."""
    found = {ending.format("weight"): what for ending, what in BREAKS.items()}
    for layout in layouts:
        for template in layout.tensors:
            stem = template.removesuffix(".{}").replace("in_proj_{}", "in_proj")
            found |= {f"{stem}.{ending}": what for ending, what in ADDED.items()}
    return found


def _incomplete(
    checkpoint: Checkpoint,
    held: Endings,
    layouts: Sequence[Layout],
    found: dict[str, Layout],
    refused: dict[str, QKVError],
    used: set[str],
) -> dict[str, QKVError]:
    """Find modules of which a tensor is there and another is not."""
    kinds = {_kind(path): layout for path, layout in found.items()}
    best: dict[str, tuple[int, Layout]] = {}
    for layout in layouts:
        for template in layout.tensors:
            for path in held.get(template.format("weight"), ()):
                if path in found or path in refused or dotted(path, template.format("weight")) in used:
                    continue
                alike = kinds.get(_kind(path)) is layout
                inputs = sum(dotted(path, name.format("weight")) in checkpoint for name in layout.tensors)
                if (inputs < 2 and not alike) or not _holds(layout, checkpoint, path):
                    continue
                score = len(_names(checkpoint, path, layout)) + 100 * alike
                if score > best.get(path, (0, layout))[0]:
                    best[path] = score, layout
    told: dict[str, QKVError] = {}
    for path, (_, layout) in best.items():
        names = _names(checkpoint, path, layout)
        if used.intersection(names):
            continue
        used.update(names)
        outs = [out.format("weight") for out in layout.out]
        wanted = [template.format("weight") for template in layout.tensors]
        wanted += outs[:1] if not any(dotted(path, out) in names for out in outs) else []
        missing = [name for name in wanted if dotted(path, name) not in names]
        got = ", ".join(name[len(path) :].lstrip(".") for name in names)
        told[path] = LayoutError(
            f"{path or 'the file'} must have {', '.join(missing)} too, as {layout.family} has, got {got}. "
            + _reason(checkpoint, path, inputs=missing != outs[:1])
        )
    return told


def _unknown(checkpoint: Checkpoint, known: set[str]) -> dict[str, QKVError]:
    """Find what is named attention, has matrices, and is neither above nor below a module that is known."""
    above = {path for module in known for path, _ in endings(module)}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name in checkpoint:
        if len(checkpoint.tensor(name).shape) in (2, 3) and (path := _named_attention(name)):
            near = {path, *(outer for outer, _ in endings(path))}
            if path not in above and not near & known:
                names[path].append(name[len(path) + 1 :])
    return {path: _unknown_names(path, below) for path, below in names.items()}


def _named_attention(name: str) -> str:
    for path, _ in endings(name):
        last = path.rpartition(".")[2]
        if NAMED.search(last) and last not in MIXERS:
            return path
    return ""


def _unknown_names(path: str, below: list[str]) -> LayoutError:
    for ending, what in ADDED.items():
        if added := next((name for name in below if name.endswith(f".{ending}")), ""):
            return LayoutError(f"{path}.{added} must be one projection, got {what}")
    return LayoutError(
        f"{path} must have projections under names that the atlas knows, got {few(below)}. "
        "If they are some, declare them: read(…, layout=Layout(…))"
    )


def _kind(path: str) -> str:
    return re.sub(r"\d+", "#", path)


SHARED = {
    "attention_k_eq_v": "its values may be its keys",
    "num_kv_shared_layers": "it may use the keys and values of an earlier layer",
}


def _reason(checkpoint: Checkpoint, path: str, *, inputs: bool) -> str:
    try:
        values = checkpoint.facts(path).values
    except QKVError:
        values = checkpoint.config
    for name, what in SHARED.items():
        if values.get(name):
            return f"config.json says {name}={short(values[name])}, so {what}"
    if inputs:
        return "Was the file cut short or exported in part?"
    return "Was the file cut short, or is the output projection called otherwise? Then declare a Layout"


FUSED = re.compile(r"qkv|query_key_value|kqv|c_attn|att_proj", re.IGNORECASE)
OUT = re.compile(
    r"(?:^|[._])(?:w?o|out|proj|projection|dense|c_proj|fc|o_proj|output)(?:[._0-9]|$)|out", re.IGNORECASE
)
ROLE = {role: re.compile(rf"(?:^|[._])(?:to_|w|linear_)?{role}(?:[._0-9]|$)|{word}", re.IGNORECASE)
        for role, word in (("q", "query"), ("k", "key"), ("v", "value"))}  # fmt: skip


def suggest(checkpoint: Checkpoint, path: str) -> Layout | None:
    """Make up a layout to start from, out of the names of a module that is refused."""
    shapes = {
        name[len(path) :].lstrip("."): checkpoint.tensor(name).shape
        for name in checkpoint.under(path)
        if name.endswith("weight") and len(checkpoint.tensor(name).shape) == 2
    }
    fused = next((name for name in shapes if FUSED.search(name)), None)
    roles = {role: next((n for n in shapes if word.search(n)), None) for role, word in ROLE.items()}
    taken = {fused} if fused else {*roles.values()}
    out = next((name for name in shapes if name not in taken and OUT.search(name)), None)
    if out is None or (fused is None and (None in taken or len(taken) < 3)):
        return None
    tensors = {fused: "qkv"} if fused else {name: role for role, name in roles.items() if name}
    turned = bool(fused) and shapes[fused or ""][1] > shapes[fused or ""][0]
    template = {name: name.removesuffix("weight") + "{}" for name in (*tensors, out)}
    columns = tuple(template.values()) if turned else ()
    named = {template[name]: role for name, role in tensors.items()}
    return Layout(family="mine", tensors=named, out=(template[out],), columns=columns)
