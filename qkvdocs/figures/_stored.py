"""A stored matrix as it lies in the file, and whose outputs are where."""

from collections.abc import Mapping, Sequence
from html import escape

from qkvdocs.errors import QKVError
from qkvdocs.figures._frame import frame

__all__ = ["stored_matrix"]

LONG, SHORT, EDGE = 320, 120, 26
MOST = 96


def stored_matrix(
    outputs: Mapping[str, Sequence[int]],
    *,
    inputs: int,
    columns: bool = False,
    caption: str = "",
    name: str = "weight",
) -> str:
    """Draw a stored matrix with the outputs of each role in its colour, and with its letter.

    Args:
        outputs: Role, such as `q` -> the places of its outputs along the matrix's output axis.
        inputs: Size of the other axis.
        columns: Whether outputs are columns, stored (in, out); otherwise they are rows, stored (out, in).
        caption: HTML of the caption.
        name: What the matrix is called.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        QKVError: If the outputs do not cover the axis once, or change role too often to be drawn.

    Examples:
        >>> "rows 2 to 3: K" in stored_matrix({"q": [0, 1], "k": [2, 3]}, inputs=4)
        True
    """
    owners = {place: role for role, places in outputs.items() for place in map(int, places)}
    count = sum(len(places) for places in outputs.values())
    if sorted(owners) != list(range(count)) or not count:
        raise QKVError(f"outputs must cover 0 to {count - 1} once each, got {len(owners)} places")
    strips = _strips([owners[place] for place in range(count)])
    if len(strips) > MOST:
        raise QKVError(f"outputs must change role at most {MOST} times, got {len(strips)}")
    axis = "columns" if columns else "rows"
    said = [f"<li>{axis} {start} to {stop - 1}: {escape(role.upper())}</li>" for role, start, stop in strips]
    drawn = "".join(_strip(role, start / count, stop / count, columns) for role, start, stop in strips)
    width, height = (LONG, SHORT) if columns else (SHORT, LONG)
    other, across = (
        ("rows are inputs", "columns are outputs") if columns else ("columns are inputs", "rows are outputs")
    )
    label = f"{name}: {count} outputs as {axis}, {inputs} inputs"
    svg = (
        f'<svg viewBox="0 0 {width + 2 * EDGE} {height + 2 * EDGE}" width="{width + 2 * EDGE}" role="img" '
        f'aria-label="{escape(label)}" style="max-width:100%;height:auto;display:block;margin:auto">{drawn}'
        f'<rect x="{EDGE}" y="{EDGE}" width="{width}" height="{height}" style="fill:none;stroke:currentColor"/>'
        f'<text x="{EDGE + width / 2:g}" y="{EDGE - 9}" style="fill:currentColor;text-anchor:middle;font-size:12px">'
        f"{escape(across if columns else other)}</text>"
        f'<text x="{EDGE + width / 2:g}" y="{EDGE + height + 18}" style="fill:currentColor;text-anchor:middle;'
        f'font-size:12px">{escape(other if columns else across)}</text></svg>'
    )
    twin = f"<p>{escape(label)}</p><ul>{''.join(said)}</ul>"
    return f'<div class="qkv">{frame(svg, caption, twin, "qkv-stored")}</div>'


def _strips(owners: list[str]) -> list[tuple[str, int, int]]:
    """Join neighbours of one role."""
    strips: list[tuple[str, int, int]] = []
    for place, role in enumerate(owners):
        if strips and strips[-1][0] == role:
            strips[-1] = (role, strips[-1][1], place + 1)
        else:
            strips.append((role, place, place + 1))
    return strips


def _strip(role: str, start: float, stop: float, columns: bool) -> str:
    length = LONG * (stop - start)
    x, y = (EDGE + LONG * start, EDGE) if columns else (EDGE, EDGE + LONG * start)
    width, height = (length, SHORT) if columns else (SHORT, length)
    size = max(6, min(14, length * 0.8))
    return (
        f'<rect class="{escape(role)}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
        f'<text x="{x + width / 2:g}" y="{y + height / 2 + size / 3:g}" '
        f'style="fill:currentColor;text-anchor:middle;font-size:{size:g}px">{escape(role.upper())}</text>'
    )
