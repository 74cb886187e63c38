# Which modules of a checkpoint are attention, by the names of their tensors.

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qkvdocs.errors import LayoutError, QKVError
from qkvdocs.wild._atlas import (
    ADDED,
    ATLAS,
    BESIDE,
    BREAKS,
    CALLED,
    LATENT,
    MIXERS,
    STATE,
    STATEFUL,
    LatentNames,
)
from qkvdocs.wild._checkpoint import Checkpoint, endings, facts_or_none
from qkvdocs.wild._config import kind_of_layer, short
from qkvdocs.wild._layers import few, place, roles_in
from qkvdocs.wild._layout import USUAL, Layout
from qkvdocs.wild._plan import below, borrows, dotted

NAMED = re.compile(r"(?:attn|attention)\d*\Z", re.IGNORECASE)
"""How a module is called that is attention, whatever stands in it."""
Endings = dict[str, list[str]]
"""Ending of a tensor's name -> the modules that hold it."""


@dataclass(frozen=True)
class Listed:
    """A module that does what attention does, and has not W_Q, W_K and W_V of each token to give."""

    path: str
    what: str
    holds: dict[str, str]
    """Role -> the matrix whose name speaks of it, counted from the module: what of Q, K and V there is."""


@dataclass(frozen=True)
class Found:
    """The attention modules of a checkpoint, by what is to be done with each."""

    rows: dict[str, Layout] = field(default_factory=dict)
    latent: dict[str, LatentNames] = field(default_factory=dict)
    listed: dict[str, Listed] = field(default_factory=dict)
    refused: dict[str, QKVError] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        """All of them."""
        return {*self.rows, *self.latent, *self.listed, *self.refused}


def find_modules(checkpoint: Checkpoint, layouts: Sequence[Layout] = ATLAS) -> Found:
    """Find attention modules wherever the names of their tensors occur, whatever stands before."""
    held = _endings(checkpoint)
    found = Found()
    rows, refused = found.rows, found.refused
    used: set[str] = set()
    for layout in layouts:
        for path, name in _matches(checkpoint, held, layout):
            if name not in used and path not in rows and _holds(layout, checkpoint, path):
                rows[path] = layout
                used.update(_names(checkpoint, path, layout))
    _latent(checkpoint, held, found, used)
    for ending, what in BREAKS.items():
        beside = BESIDE.get(ending)
        for path in held.get(ending.format("weight"), ()):
            free = dotted(path, ending.format("weight")) not in used or ending.startswith("multihead_attn.")
            if path not in rows and free and (beside is None or dotted(path, beside) in checkpoint):
                _list(checkpoint, found, used, path, what)
    models = _models(layouts)
    for fits, layout in ((fits, layout) for fits in (True, False) for layout in layouts):
        for path, name in _matches(checkpoint, held, layout):
            if name not in used and path not in rows and (not fits or _fits(checkpoint, path, layout)):
                refused.setdefault(path, _unknown_order(models, layout, checkpoint, path, name))
                used.update(_names(checkpoint, path, layout))
    for ending, what in added(layouts).items():
        for path in held.get(ending, ()):
            name = dotted(path, ending)
            if path not in rows and name not in used:
                refused.setdefault(path, LayoutError(f"{name} must be one projection, got {what}"))
                used.update(checkpoint.under(path))
    _incomplete(checkpoint, held, layouts, found, used)
    refused |= _unknown(checkpoint, found.paths)
    for path in [*rows, *refused]:
        if what := _other_kind(checkpoint, path, known=path in rows):
            _list(checkpoint, found, used, path, what)
    return found


def _latent(checkpoint: Checkpoint, held: Endings, found: Found, used: set[str]) -> None:
    for down in {names.down: None for names in LATENT}:
        rows = [names for names in LATENT if names.down == down]
        for path in held.get(f"{down}.weight", ()):
            if path not in found.rows:
                whole = (names for names in rows if dotted(path, f"{names.out}.weight") in checkpoint)
                found.latent[path] = next(whole, rows[0])
                used.update(checkpoint.under(path))


def _list(checkpoint: Checkpoint, found: Found, used: set[str], path: str, what: str) -> None:
    found.rows.pop(path, None)
    found.refused.pop(path, None)
    names = checkpoint.under(path)
    matrices = [below(path, name) for name in names if len(checkpoint.tensor(name).shape) > 1]
    found.listed[path] = Listed(path, what, roles_in(name for name in matrices if name.endswith("weight")))
    used.update(names)


def _other_kind(checkpoint: Checkpoint, path: str, *, known: bool) -> str:
    """Say what a module is that bears the names of attention and is another thing.

    What a list of kinds says of a number may be meant for another stack, so a module of known names is left alone.
    """
    last = ".".join(path.split(".")[-2:])
    if what := next((what for word, what in CALLED.items() if word in last), ""):
        return what
    if {below(path, name).partition(".")[0] for name in checkpoint.under(path)} & set(STATEFUL):
        return STATE
    at = None if known else place(f"{path}.")
    kind = kind_of_layer(_values(checkpoint, path), at[1]) if at else ""
    return f"{STATE} ({kind}, as config.json says)" if "linear" in kind else ""


def _values(checkpoint: Checkpoint, path: str) -> Mapping[str, Any]:
    known = facts_or_none(checkpoint, path)
    return known.values if known else checkpoint.config


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
    if known := facts_or_none(checkpoint, path):
        return known.model_types
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
    mine = _declared(checkpoint, path, layout)
    told = {name: getattr(mine, name) for name in ("tensors", "out", *USUAL)}
    fields = ", ".join(f"{name}={value!r}" for name, value in told.items() if value != USUAL.get(name))
    return LayoutError(
        f"the order inside {name} must be known from the model_type, one of "
        f"{models[next(iter(layout.tensors))]}, got {got}. If it is cut as {layout.family} cuts it, declare that: "
        f"read(…, layout=Layout(family='mine', {fields}))"
    )


def _declared(checkpoint: Checkpoint, path: str, layout: Layout) -> Layout:
    """Give a row as somebody would declare it for one file."""
    out = next(template for template in layout.out if dotted(path, template.format("weight")) in checkpoint)
    columns = tuple(name for name in layout.columns if name in layout.tensors or name == out)
    told = {name: getattr(layout, name) for name in ("tensors", "blocks", "axes", "biases")}
    return Layout(family="mine", out=(out,), columns=columns, **told)


def added(layouts: Sequence[Layout]) -> dict[str, str]:
    """Ending -> what is no plain weight: every projection that is quantised or adapted."""
    found: dict[str, str] = {}
    for layout in layouts:
        for template in layout.tensors:
            stem = template.removesuffix(".{}").replace("in_proj_{}", "in_proj")
            found |= {f"{stem}.{ending}": what for ending, what in ADDED.items()}
    return found


def _incomplete(
    checkpoint: Checkpoint,
    held: Endings,
    layouts: Sequence[Layout],
    found: Found,
    used: set[str],
) -> None:
    """Find modules of which a tensor is there and another is not."""
    known, kinds = found.paths, {unnumbered(path): layout for path, layout in found.rows.items()}
    best: dict[str, tuple[int, Layout]] = {}
    for layout in layouts:
        for template in layout.tensors:
            for path in held.get(template.format("weight"), ()):
                if path in known or dotted(path, template.format("weight")) in used:
                    continue
                usual = kinds.get(unnumbered(path)) is layout
                inputs = sum(dotted(path, name.format("weight")) in checkpoint for name in layout.tensors)
                if (inputs < 2 and not usual) or not _holds(layout, checkpoint, path):
                    continue
                score = len(_names(checkpoint, path, layout)) + 100 * usual
                if score > best.get(path, (0, layout))[0]:
                    best[path] = score, layout
    for path, (_, layout) in best.items():
        names = _names(checkpoint, path, layout)
        if used.intersection(names):
            continue
        used.update(names)
        outs = [out.format("weight") for out in layout.out]
        wanted = [template.format("weight") for template in layout.tensors]
        wanted += outs[:1] if not any(dotted(path, out) in names for out in outs) else []
        missing = [name for name in wanted if dotted(path, name) not in names]
        if borrows(checkpoint, path, layout, missing):
            found.rows[path] = layout
            continue
        got = ", ".join(below(path, name) for name in names)
        found.refused[path] = LayoutError(
            f"{path or 'the file'} must have {', '.join(missing)} too, as {layout.family} has, got {got}. "
            + _reason(checkpoint, path, inputs=missing != outs[:1])
        )


def _unknown(checkpoint: Checkpoint, known: set[str]) -> dict[str, QKVError]:
    """Find what is named attention, has matrices, and is neither above nor below a module that is known."""
    above = {path for module in known for path, _ in endings(module)}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name in checkpoint:
        if len(checkpoint.tensor(name).shape) in (2, 3) and (path := _named_attention(name)):
            near = {path, *(outer for outer, _ in endings(path))}
            if path not in above and not near & known:
                names[path].append(name[len(path) + 1 :])
    return {path: _unknown_names(path, inner) for path, inner in names.items()}


def _named_attention(name: str) -> str:
    for path, _ in endings(name):
        last = path.rpartition(".")[2]
        if NAMED.search(last) and last not in MIXERS:
            return path
    return ""


def _unknown_names(path: str, inner: list[str]) -> LayoutError:
    for ending, what in ADDED.items():
        if added := next((name for name in inner if name.endswith(f".{ending}")), ""):
            return LayoutError(f"{path}.{added} must be one projection, got {what}")
    return LayoutError(
        f"{path} must have projections under names that the atlas knows, got {few(inner)}. "
        "If they are some, declare them: read(…, layout=Layout(…))"
    )


def unnumbered(path: str) -> str:
    """Leave out in what layers of a stack differ."""
    return re.sub(r"\d+", "#", path)


SHARED = {
    "attention_k_eq_v": "its values may be its keys",
    "num_kv_shared_layers": "it may use the keys and values of an earlier layer",
}


def _reason(checkpoint: Checkpoint, path: str, *, inputs: bool) -> str:
    values = _values(checkpoint, path)
    for name, what in SHARED.items():
        if values.get(name):
            return f"config.json says {name}={short(values[name])}, so {what}"
    if inputs:
        return "Was the file cut short or exported in part?"
    return "Was the file cut short, or is the output projection called otherwise? Then declare a Layout"


OUT = re.compile(
    r"(?:^|[._])(?:w?o|out|proj|projection|dense|c_proj|fc|o_proj|output)(?:[._0-9]|$)|out", re.IGNORECASE
)


def suggest(checkpoint: Checkpoint, path: str) -> Layout | None:
    """Give a layout to start from for a module that is refused: that of a row with its names, or by the names alone."""
    inner = {below(path, name): checkpoint.tensor(name).shape for name in checkpoint.under(path)}
    rows = [row for row in ATLAS if all(name.format("weight") in inner for name in row.tensors)]
    rows = [row for row in rows if any(name.format("weight") in inner for name in row.out)]
    if rows:
        fitting = (row for row in rows if _fits(checkpoint, path, row))
        return _declared(checkpoint, path, next(fitting, rows[0]))
    shapes = {name: shape for name, shape in inner.items() if name.endswith("weight") and len(shape) == 2}
    roles = roles_in(shapes)
    out = next((name for name in shapes if name not in roles.values() and OUT.search(name)), None)
    if out is None or sorted("".join(roles)) != ["k", "q", "v"] or len({*roles.values()}) < len(roles):
        return None
    turned = [name for name in roles.values() if len(roles) == 1 and shapes[name][1] > shapes[name][0]]
    template = {name: name.removesuffix("weight") + "{}" for name in (*roles.values(), out)}
    named = {template[name]: role for role, name in roles.items()}
    biases = {role: name for role in "qkv" if dotted(path, name := f"{role}_bias") in checkpoint}
    columns = tuple(template.values()) if turned else ()
    return Layout(family="mine", tensors=named, out=(template[out],), columns=columns, biases=biases)
