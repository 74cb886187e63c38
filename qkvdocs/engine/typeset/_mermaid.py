"""Mermaid flowcharts become inline SVG with a text twin while the site is built.

Mermaid itself checks and lays out the source. What it draws (a stylesheet and ids of its own, colours,
sketched outlines) suits neither a dark scheme nor a printer, so the shapes are drawn anew from its geometry.
"""

import re
from collections.abc import Callable
from html import escape
from math import hypot
from pathlib import Path
from xml.etree import ElementTree  # reads nothing but what mermaid printed in this process

from qkvdocs.engine.typeset import _flowchart
from qkvdocs.engine.typeset._flowchart import Flowchart, MermaidError, in_short, in_words, marked, parse
from qkvdocs.engine.typeset._kept import kept, version

__all__ = ["MermaidError", "diagram"]

_LETTER, _LINE, _LEAST = 14, 18, 11  # px: letter size, from one line of a label to the next, smallest letter
_CONFIG = {
    "htmlLabels": False,
    "themeVariables": {"fontSize": f"{_LETTER}px"},
    "flowchart": {
        "htmlLabels": False,
        "padding": 9,
        "nodeSpacing": 24,
        "rankSpacing": 40,
        "wrappingWidth": 160,
    },
}


def diagram(source: str, *, cache: Path | None, role: Callable[[str], str] = lambda label: "") -> str:
    """Draw a flowchart and say it in words.

    Args:
        source: Mermaid source, `flowchart LR` or `TD`.
        cache: Where drawings are kept by content, or None to draw anew. Warm equals cold byte for byte.
        role: Gives for a box's label the class that colours it, or nothing.

    Returns:
        One `<figure class="diagram">`: an SVG of lines and real text in the page's own colour and font,
        without ids, and a folded list of who leads to whom. A screen reader hears a short name for the
        picture, and the list when it is unfolded.

    Raises:
        MermaidError: If mermaid rejects the source or it cannot be said in words; the error knows the line.
    """
    chart = parse(source)
    roles = {name: role(node.label) for name, node in chart.nodes.items()}

    def made() -> bytes:
        return (
            f'<figure class="diagram"><div class="diagram-box" tabindex="0">{_draw(source, chart, roles)}</div>'
            f"<details><summary>This diagram in words</summary>{in_words(chart)}</details></figure>"
        ).encode()

    return kept(cache, [*_makers(), source, roles], made).decode()


def _makers() -> list[str]:
    versions = [version(name) for name in ("mermaidx", "novasvg", "quickjs-ng")]
    return versions + [Path(module).read_text("utf-8") for module in (__file__, _flowchart.__file__)]


def _ask_mermaid(source: str) -> ElementTree.Element:
    import mermaidx  # slow to load, and not needed while the cache answers

    # Mermaid forgets comments before it counts lines.
    kept = "\n".join("" if line.strip().startswith("%%") else line for line in source.splitlines())
    try:
        svg: str = mermaidx.render(kept, config=_CONFIG).svg()
    except RuntimeError as error:
        found = re.search(r"on line (\d+)", str(error))
        line = min(int(found[1]) if found else 1, len(source.splitlines()))
        got = source.splitlines()[line - 1].strip()
        raise MermaidError(f"mermaid does not accept {got}. Reserved words cannot name boxes", line) from None
    if 'aria-roledescription="error"' in svg:
        raise MermaidError("mermaid drew its error picture", 1)
    return ElementTree.fromstring(svg)  # noqa: S314


def _draw(source: str, chart: Flowchart, roles: dict[str, str]) -> str:
    root = _ask_mermaid(source)
    boxes, arrows, texts = [], [], []
    labels: dict[str, str] = {}
    on_arrows: list[str] = []
    for group in root.iter():
        kinds, rows = group.get("class", "").split(), _rows(group)
        if "node" in kinds:
            name = group.get("id", "").removeprefix("my-svg-flowchart-").rpartition("-")[0]
            radius = _size(group[0])[1] / 2 if chart.nodes[name].shape == "([" else 6
            kind = f'class="{roles[name]}" ' if roles[name] else ""
            boxes.append(f'<rect {kind}{_place(group, group[0])} rx="{radius:.1f}"/>')
            texts += _text(rows, group)
            labels[name] = "".join(rows)
        elif "flowchart-link" in kinds:
            arrows.append(_arrow(group.get("d", "")))
        elif "edgeLabel" in kinds and rows:
            texts += _text(rows, group)
            under = next(part for part in group.iter() if part.get("class") == "background")
            boxes.append(f'<rect class="under" {_place(group, under)}/>')
            on_arrows.append("".join(rows))
    _compare(chart, labels, on_arrows, len(arrows))
    _, _, wide, high = _numbers(root.get("viewBox", ""))
    return (
        f'<svg role="img" aria-label="{escape(in_short(chart))}" viewBox="0 0 {wide:.0f} {high:.0f}"'
        f' width="{wide:.0f}" height="{high:.0f}" style="min-width:{wide * _LEAST / _LETTER:.0f}px">'
        f'<g class="arrows" fill="none" stroke="currentColor">{"".join(arrows)}</g>'
        f'<g class="boxes" fill="none" stroke="currentColor">{"".join(boxes)}</g>'
        f'<g aria-hidden="true" fill="currentColor" font-size="{_LETTER}" text-anchor="middle">'
        f"{''.join(texts)}</g></svg>"
    )


def _compare(chart: Flowchart, labels: dict[str, str], on_arrows: list[str], arrows: int) -> None:
    """Picture and words must say the same: mermaid read one, `parse` the other."""

    def bare(label: str) -> str:
        return "".join(label.split())

    for name, node in chart.nodes.items():
        if bare(labels.get(name, "")) != bare(node.label):
            got = labels.get(name) or "nothing"
            raise MermaidError(
                f"box {name} must show {node.label}, got {got}. Write plain characters", node.line
            )
    said = sorted(bare(edge.label) for edge in chart.edges if edge.label)
    if sorted(map(bare, on_arrows)) != said or arrows != len(chart.edges):
        raise MermaidError(f"arrows must show {said}, got {sorted(on_arrows)}. Write plain characters", 1)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]


def _rows(group: ElementTree.Element) -> list[str]:
    rows = [
        "".join(part.itertext()).strip() for part in group.iter() if "row" in part.get("class", "").split()
    ]
    return [row for row in rows if row]


def _size(shape: ElementTree.Element) -> tuple[float, float]:
    """Read the size off a rectangle, or off the outline that mermaid sketches around the middle of a pill."""
    if shape.get("width"):
        return float(shape.get("width", 0)), float(shape.get("height", 0))
    outline = _numbers(shape[0].get("d", ""))
    return 2 * max(outline[::2]), 2 * max(outline[1::2])


def _place(group: ElementTree.Element, shape: ElementTree.Element) -> str:
    x, y = _numbers(group.get("transform", ""))
    wide, high = _size(shape)
    return f'x="{x - wide / 2:.1f}" y="{y - high / 2:.1f}" width="{wide:.1f}" height="{high:.1f}"'


def _text(rows: list[str], group: ElementTree.Element) -> list[str]:
    """Set the rows of a label around its place; the anchor centres them in whatever font the reader has."""
    x, y = _numbers(group.get("transform", ""))
    out = []
    for index, row in enumerate(rows):
        base = y + 0.35 * _LETTER + _LINE * (index - (len(rows) - 1) / 2)
        text = marked(row, r'\1<tspan dy="3" font-size="75%">\2</tspan><tspan dy="-3">')
        text = (text + "</tspan>" * text.count('dy="-3"')).replace('<tspan dy="-3"></tspan>', "")
        out.append(f'<text x="{x:.1f}" y="{base:.1f}">{text}</text>')
    return out


def _arrow(d: str) -> str:
    line = re.sub(r"[\d.]+", lambda number: f"{float(number[0]):.1f}", d)
    *_, x0, y0, x1, y1 = _numbers(d)
    length = hypot(x1 - x0, y1 - y0)
    u, v = (x1 - x0) / length, (y1 - y0) / length
    # Mermaid ends its lines 4 px before the box, where the head's point goes.
    points = [
        (x1 + 4 * u, y1 + 4 * v),
        (x1 - 3 * (u + v), y1 - 3 * (v - u)),
        (x1 - 3 * (u - v), y1 - 3 * (v + u)),
    ]
    head = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<path d="{line}"/><path fill="currentColor" stroke="none" d="M{head}Z"/>'
