"""What a mermaid flowchart says: its boxes and arrows as data, and in words."""

import re
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from qkvdocs.errors import QKVError

__all__ = ["Edge", "Flowchart", "MermaidError", "Node", "in_short", "in_words", "marked", "parse"]

_SUPPORTED = (
    'supported: A[label], A["label"], A(label), A([label]), A --> B, A -->|label| B, A & B --> C, %% comment'
)
_HEAD = re.compile(r"flowchart\s+(?:LR|TD|TB)\s*$")
_NODE = re.compile(
    r"""\s*(?P<id>\w+)
        (?:(?P<open>\(\[|\[|\()
           (?:"(?P<quoted>[^"]*)"|(?P<bare>[^"\[\](){}|]*))
           (?P<close>\]\)|\]|\)))?\s*""",
    re.VERBOSE,
)
_LINK = re.compile(r'-->\s*(?:\|\s*(?:"(?P<quoted>[^"|]*)"|(?P<bare>[^"|]*))\|)?')
_CLOSER = {"[": "]", "(": ")", "([": "])"}
_BREAK = re.compile(r"\s*<br\s*/?>\s*")
_SUBSCRIPT = re.compile(r"\b([A-Za-z])_([A-Z])\b")


class MermaidError(QKVError):
    """A diagram is not mermaid, or not of the part of mermaid that can be said in words.

    Attributes:
        line: Where, counted from one inside the diagram's source.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class Node:
    """A box: its label, its shape (`[`, `(`, `([`, or nothing) and the line that gave them."""

    label: str
    shape: str
    line: int


class Edge(NamedTuple):
    """An arrow between two boxes, by their ids, and what stands on it."""

    tail: str
    head: str
    label: str


@dataclass
class Flowchart:
    """Boxes and arrows in order of appearance."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)


def parse(source: str) -> Flowchart:
    r"""Read boxes and arrows out of mermaid source.

    Args:
        source: A flowchart, `LR`, `TD` or `TB`.

    Returns:
        What it says.

    Raises:
        MermaidError: If a line is not of the supported part of mermaid.

    Examples:
        >>> parse("flowchart LR\nx[One row] --> q & k").edges
        [Edge(tail='x', head='q', label=''), Edge(tail='x', head='k', label='')]
    """
    chart = Flowchart()
    lines = [(number, line.strip()) for number, line in enumerate(source.splitlines(), start=1)]
    statements = [(number, line) for number, line in lines if line and not line.startswith("%%")]
    for index, (number, statement) in enumerate(statements):
        if index:
            _read(statement, number, chart)
        elif not _HEAD.match(statement):
            raise MermaidError(f"diagram must be flowchart LR, TD or TB, got {statement}", number)
    if not chart.nodes:
        raise MermaidError("diagram must be a flowchart with a box, got none", 1)
    return chart


def _read(statement: str, number: int, chart: Flowchart) -> None:
    tails: list[str] = []
    label, at = "", 0
    while True:
        heads, more = [], True
        while more:
            node = _NODE.match(statement, at)
            if node is None or (node["open"] and _CLOSER[node["open"]] != node["close"]):
                raise MermaidError(f"cannot read {statement[at:] or 'its end'}, {_SUPPORTED}", number)
            _declare(node, number, chart)
            heads.append(node["id"])
            more = statement.startswith("&", node.end())
            at = node.end() + more
        chart.edges += [Edge(tail, head, label) for tail in tails for head in heads]
        if same := set(tails) & set(heads):
            raise MermaidError(
                f"an arrow must lead to another box, got one from {min(same)} to itself", number
            )
        if at == len(statement):
            return
        link = _LINK.match(statement, at)
        if link is None:
            raise MermaidError(f"cannot read {statement[at:]}, {_SUPPORTED}", number)
        tails, label, at = heads, _label(link), link.end()


def _declare(match: re.Match[str], number: int, chart: Flowchart) -> None:
    name, label = match["id"], _label(match)
    node = chart.nodes.get(name)
    if not match["open"]:
        chart.nodes.setdefault(name, Node(name, "", number))
    elif not label:
        raise MermaidError(f"box {name} must have a label, got an empty one", number)
    elif node is None or not node.shape:
        chart.nodes[name] = Node(label, match["open"], number)
    elif node.label != label:
        raise MermaidError(f"box {name} must keep its label {node.label}, got {label}", number)


def _label(match: re.Match[str]) -> str:
    return _BREAK.sub(" ", match["bare"] or match["quoted"] or "").strip()


def marked(label: str, subscript: str = r"\1<sub>\2</sub>") -> str:
    """Give a label as markup, W_Q with a subscript; code names such as c_attn stay as they are."""
    return _SUBSCRIPT.sub(subscript, escape(label, quote=False))


def in_words(chart: Flowchart) -> str:
    """Say a flowchart as an HTML list: who leads to whom, one item a box with arrows out of it."""
    items = []
    for name, node in chart.nodes.items():
        targets = [
            f"to {marked(chart.nodes[edge.head].label)}" + (f" ({marked(edge.label)})" if edge.label else "")
            for edge in chart.edges
            if edge.tail == name
        ]
        if targets or all(edge.head != name for edge in chart.edges):
            items.append(f"<li><b>{marked(node.label)}</b> {', '.join(targets)}".rstrip() + "</li>")
    return f"<ol>{''.join(items)}</ol>"


def in_short(chart: Flowchart) -> str:
    """Name a flowchart in plain text by where it starts and ends; a ring by its boxes."""
    heads, tails = {edge.head for edge in chart.edges}, {edge.tail for edge in chart.edges}
    first = ", ".join(node.label for name, node in chart.nodes.items() if name not in heads)
    last = ", ".join(node.label for name, node in chart.nodes.items() if name not in tails)
    if first and last:
        return f"Flowchart from {first} to {last}"
    return "Flowchart of " + ", ".join(node.label for node in chart.nodes.values())
