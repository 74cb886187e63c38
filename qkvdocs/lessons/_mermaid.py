"""Mermaid flowcharts become inline SVG with a text twin while the site is built.

Mermaid itself reads and lays out the source; what it draws (a stylesheet and ids of its own, sketched paths) is
not fit for a page that has a dark scheme and a printer, so the shapes are drawn anew from its geometry.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from math import hypot
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree  # reads nothing but what mermaid printed in this process

from qkvdocs.errors import QKVError

__all__ = ["Edge", "Flowchart", "MermaidError", "Node", "diagram", "parse"]

_SUPPORTED = 'supported: A[label], A["label"], A(label), A([label]), A --> B, A -->|label| B, A & B --> C, %% comments'
_HEAD = re.compile(r"flowchart\s+(?:LR|TD|TB)\s*$")
_NODE = re.compile(
    r"""\s*(?P<id>\w+)(?:(?P<open>\(\[|\[|\()\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^"\[\](){}|]*))(?P<close>\]\)|\]|\)))?\s*"""
)
_LINK = re.compile(r'-->\s*(?:\|\s*(?:"(?P<quoted>[^"|]*)"|(?P<bare>[^"|]*))\|)?')
_CLOSERS = {"[": "]", "(": ")", "([": "])"}
_BREAK = re.compile(r"\s*<br\s*/?>\s*")
_SUBSCRIPT = re.compile(r"\b([A-Za-z])_([A-Z])\b")
_LINE, _LETTER = 18, 14  # px from one line of a label to the next; letter size
_CONFIG = {
    "htmlLabels": False,
    "themeVariables": {"fontSize": f"{_LETTER}px"},
    "flowchart": {"htmlLabels": False, "padding": 12, "nodeSpacing": 24, "rankSpacing": 44, "wrappingWidth": 160},
}


class MermaidError(QKVError):
    """A diagram is not mermaid, or not of the part of mermaid that has a text twin.

    Attributes:
        line: Where, counted from one inside the diagram's source.
    """

    def __init__(self, what: str, line: int) -> None:
        super().__init__(f"mermaid line {line}: {what}")
        self.line = line


@dataclass
class Node:
    """A box: its label, its shape (`[`, `(` or `([`) and the line that gave them."""

    label: str
    shape: str
    line: int


class Edge(NamedTuple):
    """An arrow between the ids of two boxes, and what stands on it."""

    tail: str
    head: str
    label: str


@dataclass
class Flowchart:
    """What a flowchart says, both in order of appearance."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)


def _text(match: re.Match[str]) -> str:
    return _BREAK.sub(" ", match["bare"] or match["quoted"] or "").strip()


def parse(source: str) -> Flowchart:
    """Read boxes and arrows out of mermaid source.

    Args:
        source: A flowchart, `LR`, `TD` or `TB`.

    Returns:
        Its boxes and arrows.

    Raises:
        MermaidError: If a line is not of the supported part of mermaid.

    Examples:
        >>> parse("flowchart LR\\nx[One row] --> q & k").edges
        [Edge(tail='x', head='q', label=''), Edge(tail='x', head='k', label='')]
    """
    chart, headed = Flowchart(), False
    for number, line in enumerate(source.splitlines(), start=1):
        statement = line.strip()
        if not statement or statement.startswith("%%"):
            continue
        if not headed:
            if not _HEAD.match(statement):
                raise MermaidError(f"must be flowchart LR, TD or TB, got {statement}", number)
            headed = True
            continue
        _read(statement, number, chart)
    if not chart.nodes:
        raise MermaidError("must be a flowchart with at least one box, got none", 1)
    return chart


def _read(statement: str, number: int, chart: Flowchart) -> None:
    tails, label, at = [], "", 0
    while True:
        heads = []
        while True:
            node = _NODE.match(statement, at)
            if node is None or (node["open"] and _CLOSERS[node["open"]] != node["close"]):
                raise MermaidError(f"cannot read {statement[at:].strip() or 'its end'}. {_SUPPORTED}", number)
            _declare(node, number, chart)
            heads.append(node["id"])
            at = node.end()
            if not statement.startswith("&", at):
                break
            at += 1
        chart.edges += [Edge(tail, head, label) for tail in tails for head in heads]
        if at == len(statement):
            return
        link = _LINK.match(statement, at)
        if link is None:
            raise MermaidError(f"cannot read {statement[at:]}. {_SUPPORTED}", number)
        tails, label, at = heads, _text(link), link.end()


def _declare(match: re.Match[str], number: int, chart: Flowchart) -> None:
    node = chart.nodes.get(match["id"])
    if not match["open"]:
        chart.nodes.setdefault(match["id"], Node(match["id"], "", number))
    elif not _text(match):
        raise MermaidError(f"box {match['id']} must have a label, got an empty one", number)
    elif node is None or not node.shape:
        chart.nodes[match["id"]] = Node(_text(match), match["open"], number)
    elif node.label != _text(match):
        raise MermaidError(f"box {match['id']} must keep its label {node.label}, got {_text(match)}", number)


def _words(label: str) -> str:
    return _SUBSCRIPT.sub(r"\1<sub>\2</sub>", escape(label, quote=False))


def _twin(chart: Flowchart) -> str:
    items = []
    for name, node in chart.nodes.items():
        targets = [
            f"to <b>{_words(chart.nodes[edge.head].label)}</b>" + (f" ({_words(edge.label)})" if edge.label else "")
            for edge in chart.edges
            if edge.tail == name
        ]
        if targets or all(edge.head != name for edge in chart.edges):
            items.append(f"<li><b>{_words(node.label)}</b> {', '.join(targets)}".rstrip() + "</li>")
    return "<ol>" + "".join(items) + "</ol>"


def _accessible_name(chart: Flowchart) -> str:
    first = [n.label for name, n in chart.nodes.items() if all(e.head != name for e in chart.edges)]
    last = [n.label for name, n in chart.nodes.items() if all(e.tail != name for e in chart.edges)]
    return escape(f"Flowchart from {', '.join(first)} to {', '.join(last)}")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]


def _rows(group: ElementTree.Element) -> list[str]:
    rows = ["".join(span.itertext()).strip() for span in group.iter() if "row" in span.get("class", "").split()]
    return [row for row in rows if row]


def _lines(rows: list[str], x: float, y: float, kind: str = "") -> str:
    """Set the rows of a label around a point; the anchor keeps them centred in whatever font the reader has."""
    out = []
    for index, row in enumerate(rows):
        base = y + _LETTER * 0.35 + _LINE * (index - (len(rows) - 1) / 2)
        text = _SUBSCRIPT.sub(r'\1<tspan dy="3" font-size="75%">\2</tspan><tspan dy="-3">', escape(row, quote=False))
        text += "</tspan>" * text.count('dy="-3"')
        out.append(f'<text{kind} x="{x:.1f}" y="{base:.1f}">{text}</text>')
    return "".join(out)


def _draw(source: str, chart: Flowchart) -> str:
    root = ElementTree.fromstring(_render(source))  # noqa: S314
    boxes, arrows, labels = [], [], []
    drawn: dict[str, Node] = {}
    for group in root.iter():
        kinds = group.get("class", "").split()
        if "node" in kinds:
            name = group.get("id", "").removeprefix("my-svg-flowchart-").rpartition("-")[0]
            x, y = _numbers(group.get("transform", ""))
            shape = group[0] if group[0].get("width") else group[0][0]
            outline = _numbers(shape.get("d", ""))
            wide = float(shape.get("width") or 2 * max(outline[::2]))
            high = float(shape.get("height") or 2 * max(outline[1::2]))
            radius = high / 2 if chart.nodes[name].shape == "([" else 6
            boxes.append(
                f'<rect x="{x - wide / 2:.1f}" y="{y - high / 2:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="{radius:g}"/>'
            )
            labels.append(_lines(_rows(group), x, y))
            drawn[name] = Node(" ".join(_rows(group)), chart.nodes[name].shape, chart.nodes[name].line)
        elif "flowchart-link" in kinds:
            d = group.get("d", "")
            arrows.append(f'<path d="{re.sub(r"[0-9.]+", lambda n: f"{float(n[0]):.1f}", d)}"/>{_arrowhead(d)}')
        elif "edgeLabel" in kinds and _rows(group):
            x, y = _numbers(group.get("transform", ""))
            labels.append(_lines(_rows(group), x, y, ' class="on-arrow"'))
    _compare(chart, drawn, len(arrows))
    _, _, width, height = _numbers(root.get("viewBox", ""))
    return (
        f'<svg role="img" aria-label="{_accessible_name(chart)}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}" style="min-width:{width * 11 / _LETTER:.0f}px">'
        f'<g class="arrows" fill="none" stroke="currentColor">{"".join(arrows)}</g>'
        f'<g class="boxes" fill="none" stroke="currentColor">{"".join(boxes)}</g>'
        f'<g class="labels" fill="currentColor" font-size="{_LETTER}" text-anchor="middle">{"".join(labels)}</g></svg>'
    )


def _arrowhead(d: str) -> str:
    *_, x0, y0, x1, y1 = _numbers(d)
    length = hypot(x1 - x0, y1 - y0)
    u, v = (x1 - x0) / length, (y1 - y0) / length
    tip, left, right = (x1 + 4 * u, y1 + 4 * v), (x1 - 3 * u - 3 * v, y1 - 3 * v + 3 * u), (x1 - 3 * u + 3 * v, y1 - 3 * v - 3 * u)
    return '<path fill="currentColor" stroke="none" d="M{:.1f},{:.1f}L{:.1f},{:.1f}L{:.1f},{:.1f}Z"/>'.format(*tip, *left, *right)


def _compare(chart: Flowchart, drawn: dict[str, Node], arrows: int) -> None:
    """Picture and twin must say the same: mermaid drew these labels, `parse` read the others."""
    for name, node in chart.nodes.items():
        if name not in drawn or "".join(drawn[name].label.split()) != "".join(node.label.split()):
            got = drawn[name].label if name in drawn else "no box"
            raise MermaidError(f"box {name} must show {node.label}, got {got}. Write the characters themselves", node.line)
    if arrows != len(chart.edges):
        raise MermaidError(f"must have {len(chart.edges)} arrows, got {arrows}", 1)


def _render(source: str) -> str:
    import mermaidx  # slow to load, and not needed while the cache answers

    # Mermaid forgets comments before it counts lines.
    kept = "\n".join("" if line.strip().startswith("%%") else line for line in source.splitlines())
    try:
        svg = mermaidx.render(kept, config=_CONFIG).svg()
    except RuntimeError as error:
        what = " ".join(str(error).split()).removeprefix("Mermaid rendering failed: ")
        found = re.search(r"on line (\d+)", what)
        line = min(int(found[1]) if found else 1, len(source.splitlines()))
        raise MermaidError(f"mermaid does not accept {source.splitlines()[line - 1].strip()} ({what[:120]})", line) from None
    if 'aria-roledescription="error"' in svg:
        raise MermaidError("mermaid drew its error picture", 1)
    return svg


def _address(source: str) -> str:
    versions = [version(name) for name in ("mermaidx", "novasvg", "quickjs-ng")]
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return hashlib.sha256("\0".join([*versions, own, source]).encode()).hexdigest()


def diagram(source: str, *, cache: Path | None) -> str:
    """Draw a flowchart and say it in words.

    Args:
        source: Mermaid source, `flowchart LR` or `TD`.
        cache: Where drawings are kept by content, or None to draw anew. Warm equals cold byte for byte.

    Returns:
        One `<figure class="diagram">`: an SVG of lines and real text in the page's colours and font, without ids,
        and its twin, a list of who leads to whom.

    Raises:
        MermaidError: If mermaid rejects the source or the twin cannot be computed; it knows the line.
    """
    kept = cache / f"{_address(source)}.html" if cache else None
    if kept and kept.exists():
        return kept.read_text(encoding="utf-8")
    chart = parse(source)
    html = (
        f'<figure class="diagram"><div class="diagram-box" tabindex="0">{_draw(source, chart)}</div>'
        f"<details><summary>This diagram in words</summary>{_twin(chart)}</details></figure>"
    )
    if cache and kept:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as part:
            part.write(html.encode())
        os.replace(part.name, kept)
    return html
