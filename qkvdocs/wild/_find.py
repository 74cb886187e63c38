# Which modules of a checkpoint are attention, by the names of their tensors.

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from qkvdocs.errors import LayoutError, QKVError
from qkvdocs.wild._atlas import ATLAS, BREAKS
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._config import facts
from qkvdocs.wild._layout import Layout
from qkvdocs.wild._plan import dotted

LONGEST = 4
"""Parts of the longest tensor name that a layout may declare."""
DECLARE = (
    "If you know the order, declare it: "
    "read(…, layout=Layout(family=…, tensors={{{name!r}: 'qkv'}}, out=(…), blocks=…))"
)


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
    endings = _endings(checkpoint)
    found: dict[str, Layout] = {}
    taken: set[str] = set()
    for layout in layouts:
        for path, name in _matches(checkpoint, endings, layout):
            if name not in taken and path not in found and _holds(layout, checkpoint.config, path):
                found[path] = layout
                taken.add(name)
    refused: dict[str, QKVError] = {}
    for layout in layouts:
        for path, name in _matches(checkpoint, endings, layout):
            if name not in taken and path not in found:
                refused.setdefault(path, _unknown_order(layouts, layout, checkpoint.config, path, name))
                taken.add(name)
    for ending, what in BREAKS.items():
        for path in endings.get(ending.format("weight"), ()):
            if path not in found:
                name = dotted(path, ending.format("weight"))
                refused.setdefault(path, LayoutError(f"{name} must be one projection, got {what}"))
    return found, refused


def _endings(names: Iterable[str]) -> dict[str, list[str]]:
    """Ending -> what stands before it, for endings of one part and more."""
    endings = defaultdict(list)
    for name in names:
        parts = name.split(".")
        for length in range(1, min(LONGEST, len(parts)) + 1):
            endings[".".join(parts[-length:])].append(".".join(parts[:-length]))
    return endings


def _matches(
    checkpoint: Checkpoint, endings: dict[str, list[str]], layout: Layout
) -> Iterable[tuple[str, str]]:
    first, *rest = (template.format("weight") for template in layout.tensors)
    outs = [template.format("weight") for template in layout.out]
    for path in endings.get(first, ()):
        if all(dotted(path, name) in checkpoint for name in rest) and any(
            dotted(path, name) in checkpoint for name in outs
        ):
            yield path, dotted(path, first)


def _holds(layout: Layout, config: dict[str, Any], path: str) -> bool:
    return not layout.models or bool(set(layout.models) & set(_model_types(config, path)))


def _model_types(config: dict[str, Any], path: str) -> tuple[str, ...]:
    try:
        return facts(config, path).model_types
    except QKVError:  # told again, with its reason, when the module is planned
        kind = config.get("model_type")
        return (kind,) if isinstance(kind, str) else ()


def _unknown_order(
    layouts: Sequence[Layout], layout: Layout, config: dict[str, Any], path: str, name: str
) -> LayoutError:
    template = next(iter(layout.tensors))
    models = sorted({model for row in layouts if template in row.tensors for model in row.models})
    got = " / ".join(_model_types(config, path)) or "no config.json that names one"
    return LayoutError(
        f"the order inside {name} must be known from the model_type, one of {', '.join(models)}, got {got}. "
        + DECLARE.format(name=template)
    )
