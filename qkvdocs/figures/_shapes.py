from collections.abc import Sequence
from html import escape

from qkvdocs.errors import ShapeError
from qkvdocs.figures._frame import frame
from qkvdocs.numbers import fmt

__all__ = ["shape_flow"]

LARGEST = 84
"""Pixels of the longest side of all boxes."""


def shape_flow(stages: Sequence[tuple[str, tuple[int, ...], str]], *, caption: str = "") -> str:
    """Follow a shape along its path: each stage a box drawn to scale, with names and sizes of its axes.

    Args:
        stages: What each stage is called, its shape (`Q.shape`), and the names of its axes (`seq d_model`).
        caption: HTML of the caption; what the boxes mean follows it.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If there is no stage, or a shape has not one size for each name.

    Examples:
        >>> html = shape_flow([("X", (2, 4), "seq d_model"), ("Q = X W_Q", (2, 2), "seq d_head")])
        >>> "seq 2 × d_model 4" in html
        True
    """
    if not stages:
        raise ShapeError("stages must hold at least one stage, got none")
    for name, shape, axes in stages:
        if not shape or len(shape) != len(axes.split()) or min(shape) < 1:
            raise ShapeError(f"{name} must have a size from 1 for each of its axes = {axes!r}, got {shape}")
    unit = LARGEST / max(size for _, shape, _ in stages for size in shape[-2:])
    boxes, said = [], []
    for name, shape, axes in stages:
        named = [f"{axis} {size}" for axis, size in zip(axes.split(), shape, strict=True)]
        text = escape(" × ".join(named))
        boxes.append(f"<li>{_box(shape, unit)}<b>{escape(name)}</b><span>{text}</span></li>")
        said.append(f"<li>{escape(name)} has {escape(', '.join(named))}</li>")
    caption = f"{caption} Height and width of a box are its last two axes, drawn to one scale.".strip()
    body = f'<ol class="qkv-flow">{"".join(boxes)}</ol>'
    twin = f"<ol>{''.join(said)}</ol>"
    return f'<div class="qkv">{frame(body, caption, twin, "qkv-shapes")}</div>'


def _box(shape: tuple[int, ...], unit: float) -> str:
    """Draw the last two axes; earlier ones as sheets behind."""
    high, wide = (shape[-2] if len(shape) > 1 else 1) * unit, shape[-1] * unit
    high, wide = max(high, 4), max(wide, 4)
    sheets = min(3, max((size for size in shape[:-2]), default=1))
    deep = 5 * (sheets - 1)
    rects = "".join(
        f'<rect x="{fmt(1 + 5 * sheet, 1)}" y="{fmt(1 + deep - 5 * sheet, 1)}"'
        f' width="{fmt(wide, 1)}" height="{fmt(high, 1)}"></rect>'
        for sheet in reversed(range(sheets))
    )
    across, down = fmt(wide + deep + 2, 1), fmt(high + deep + 2, 1)
    size = f'width="{across}" height="{down}" viewBox="0 0 {across} {down}"'
    return f'<svg {size} aria-hidden="true">{rects}</svg>'
