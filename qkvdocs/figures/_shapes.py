from collections.abc import Sequence
from html import escape

from qkvdocs.errors import ShapeError
from qkvdocs.figures._frame import frame
from qkvdocs.figures._matrix import pretty
from qkvdocs.numbers import fmt
from qkvdocs.roles import role

__all__ = ["shape_flow"]

LARGEST, LEAST, GRID, LETTER = 96, 16, 9, 6.6
"""Pixels of the longest side of all boxes, of the shortest, of a cell that is drawn, and about of a letter."""

Stage = tuple[str, tuple[int, ...], str]


def shape_flow(stages: Sequence[Stage], *, caption: str = "") -> str:
    """Follow a shape along its path: each stage a box with its sizes at its edges, and each matrix between.

    A stage that is called `Q = X W_Q` after a stage X is a product, so W_Q stands between the two.

    Args:
        stages: What each stage is called, its shape (`Q.shape`), and the names of its axes (`seq d_model`).
        caption: HTML of the caption; what the boxes mean follows it.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If there is no stage, or a shape has not one size for each name.

    Examples:
        >>> html = shape_flow([("X", (2, 4), "seq d_model"), ("Q = X W_Q", (2, 2), "seq d_head")])
        >>> "W_Q has d_model 4, d_head 2" in html
        True
    """
    if not stages:
        raise ShapeError("stages must hold at least one stage, got none")
    for name, shape, axes in stages:
        if not shape or len(shape) != len(axes.split()) or min(shape) < 1:
            raise ShapeError(f"{name} must have a size from 1 for each of its axes = {axes!r}, got {shape}")
    shown = _with_factors(stages)
    sizes = [size for _, (_, shape, _) in shown for size in shape[-2:]]
    unit = LARGEST / max(sizes)
    boxes, said = [], []
    sheaves = any(len(shape) > 2 for _, (_, shape, _) in shown)
    for sign, (name, shape, axes) in shown:
        named = [f"{axis} {size}" for axis, size in zip(axes.split(), shape, strict=True)]
        sheets = f"<br><span>{escape(' × '.join(named[:-2])) or '&nbsp;'}</span>" if sheaves else ""
        svg, aside = _box(shape, named, unit)
        boxes.append(
            f'<li data-sign="{sign}" class="{role(name)}">{svg}<b style="padding-left:{fmt(aside, 1)}px">'
            f"{pretty(name.replace('ᵀ', '.T'))}{sheets}</b></li>"
        )
        said.append(f"<li>{escape(name)} has {escape(', '.join(named))}</li>")
    if min(sizes) * unit >= LEAST:
        caption = f"{caption} All boxes are drawn to one scale.".strip()
    body = f'<ol class="qkv-flow">{"".join(boxes)}</ol>'
    twin = f"<ol>{''.join(said)}</ol>"
    caption = caption or f"From {escape(stages[0][0])} to {escape(stages[-1][0])}."
    return f'<div class="qkv">{frame(body, caption, twin, "qkv-shapes")}</div>'


def _with_factors(stages: Sequence[Stage]) -> list[tuple[str, Stage]]:
    """Put between two stages the matrix that a name such as `Q = X W_Q` tells of, and a sign before each."""
    shown: list[tuple[str, Stage]] = []
    for name, shape, axes in stages:
        short, _, formula = name.partition(" = ")
        left = shown[-1][1] if shown else ("", (), "")
        first, _, factor = formula.partition(" ")
        if not factor or first != left[0]:
            shown.append(("→" if shown else "", (name, shape, axes)))
            continue
        between = (factor, (left[1][-1], shape[-1]), f"{left[2].split()[-1]} {axes.split()[-1]}")
        shown += [("×", between), ("=", (short, shape, axes))]
    return shown


def _box(shape: tuple[int, ...], named: Sequence[str], unit: float) -> tuple[str, float]:
    """Draw the last two axes with their names at the edges; earlier ones as sheets behind.

    Returns:
        The drawing, and how much its box is to the right of its middle, twice.
    """
    high, wide = (max(LEAST, size * unit) for size in (shape[-2] if len(shape) > 1 else 1, shape[-1]))
    deep = 5 * (min(3, max((size for size in shape[:-2]), default=1)) - 1)
    down = named[-2] if len(named) > 1 else ""
    left = max(LETTER * len(down) + 6, (LETTER * len(named[-1]) - wide) / 2)
    across = left + max(wide + deep, (wide + LETTER * len(named[-1])) / 2) + 2
    top = 17 + deep
    rects = "".join(
        f'<rect x="{fmt(left + ahead, 1)}" y="{fmt(top - ahead, 1)}"'
        f' width="{fmt(wide, 1)}" height="{fmt(high, 1)}"></rect>'
        for ahead in range(deep, -1, -5)
    )
    lines = ""
    if unit >= GRID:
        lines += "".join(f"M{fmt(left + i * unit, 1)} {top}v{fmt(high, 1)}" for i in range(1, shape[-1]))
        lines += "".join(
            f"M{fmt(left, 1)} {fmt(top + i * unit, 1)}h{fmt(wide, 1)}" for i in range(1, (1, *shape)[-2])
        )
    texts = (
        f'<text x="{fmt(left + deep + wide / 2, 1)}" y="11" text-anchor="middle">{escape(named[-1])}</text>'
        f'<text x="{fmt(left - 6, 1)}" y="{fmt(top + high / 2 + 4, 1)}" text-anchor="end">{escape(down)}</text>'
    )
    size = f'width="{fmt(across, 1)}" height="{fmt(top + high + 2, 1)}"'
    grid = f'<path d="{lines}"></path>' if lines else ""
    return f'<svg {size} aria-hidden="true">{rects}{grid}{texts}</svg>', max(0.0, 2 * left + wide - across)
