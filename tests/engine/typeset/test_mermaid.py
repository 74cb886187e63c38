"""Diagrams: picture and words say the same, and it is what the source says."""

import os
import re
import subprocess
import sys
from math import hypot
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkvdocs.engine.typeset import _mermaid
from qkvdocs.engine.typeset._flowchart import Edge, Flowchart, Node, in_short, in_words, parse
from qkvdocs.engine.typeset._mermaid import MermaidError, diagram
from qkvdocs.roles import role

PROJECTION = """\
flowchart LR
    %% one row, three jobs
    x[One embedding row x] --> WQ[Multiply by W_Q] & WK[Multiply by W_K] & WV[Multiply by W_V]
    WQ --> q(Query row)
    WK --> k(Key row)
    WV --> v(Value row)
"""
ATTENTION = """\
flowchart TD
    q2["Query 2"] -->|asks| s1([Score with k1]) & s2([Score with k2])
    s1 & s2 -->|"q · k / √d"| w["Softmax: weights ≥ 0"]
    w --> mix["Mix v1, v2<br>by weight"] --> c(Context)
"""
PILL = "flowchart TD\na[Score with k1] & b[Score with k2] --> s([Softmax])"
PICTURES = {PROJECTION: (7, 6), ATTENTION: (6, 6), PILL: (3, 2)}


@pytest.fixture(scope="module")
def figures():
    return {source: ElementTree.fromstring(diagram(source, cache=None)) for source in PICTURES}


@pytest.fixture(scope="module")
def small():
    return _mermaid._ask_mermaid("flowchart LR\nA[Query] --> B[Key]")


labels = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='"[](){}|<>'), min_size=1)


@given(st.lists(labels, min_size=2, max_size=6), st.data())
def test_any_graph_is_read_back(texts, data):
    """The graph is data first; its source is written from it in every spelling that is supported."""
    numbers = st.integers(0, len(texts) - 1)
    wanted = data.draw(st.lists(st.tuples(numbers, numbers, labels | st.just("")), min_size=1, max_size=6))
    wanted = [(tail, head, label) for tail, head, label in wanted if tail != head]
    spell = st.sampled_from(["[{}]", '["{}"]', "({})", '("{}")', "([{}])", '(["{}"])', "[ {} ]"])
    lines = ["%% comment", "flowchart TD", ""]
    lines += [f"  n{i}{data.draw(spell).format(text)}" for i, text in enumerate(texts)]
    lines += [f"n{tail} -->{f'|{label}|' if label else ''} n{head}" for tail, head, label in wanted]
    chart = parse("\n".join(lines))
    assert [node.label for node in chart.nodes.values()] == [text.strip() for text in texts]
    assert [node.line for node in chart.nodes.values()] == [4 + i for i in range(len(texts))]
    assert chart.edges == [Edge(f"n{tail}", f"n{head}", label.strip()) for tail, head, label in wanted]


def test_chains_and_groups_are_short_for_single_arrows():
    long = "flowchart LR\na --> c\nb --> c\na --> d\nb --> d\nc -->|x| e\nd -->|x| e"
    short = "flowchart LR\na & b --> c & d -->|x| e"
    assert sorted(parse(short).edges) == sorted(parse(long).edges)


def test_words():
    chart = Flowchart(
        {
            "x": Node("Row <x>", "[", 2),
            "q": Node("q = x W_Q", "(", 2),
            "k": Node("c_attn", "", 3),
            "z": Node("z", "", 4),
        },
        [Edge("x", "q", "W_Q & b"), Edge("x", "k", ""), Edge("q", "k", "")],
    )
    assert in_words(chart) == (
        "<ol><li><b>Row &lt;x&gt;</b> to q = x W<sub>Q</sub> (W<sub>Q</sub> &amp; b), to c_attn</li>"
        "<li><b>q = x W<sub>Q</sub></b> to c_attn</li><li><b>z</b></li></ol>"
    )
    assert in_short(chart) == "Flowchart from Row <x>, z to c_attn, z"
    assert in_short(parse("flowchart LR\na --> b --> a")) == "Flowchart of a, b"


def boxes(figure):
    """Map each label to the rectangle that it stands in."""
    found = {}
    for text in figure.iter("text"):
        x, y = float(text.get("x")), float(text.get("y"))
        inside = [
            rect
            for rect in (
                tuple(float(box.get(k, 0)) for k in ("x", "y", "width", "height", "rx"))
                for box in figure.iter("rect")
            )
            if rect[0] < x < rect[0] + rect[2] and rect[1] < y < rect[1] + rect[3]
        ]
        assert len(inside) == 1, f"{text.text} stands in {len(inside)} boxes"
        assert x == pytest.approx(inside[0][0] + inside[0][2] / 2, abs=0.11), "not in the middle"
        found[inside[0]] = (found.get(inside[0], "") + " " + "".join(text.itertext())).strip()
    return found


def distance(x, y, rect):
    """How far a point is from the outline of a rectangle with round corners."""
    left, top, width, height, radius = rect
    across = abs(x - left - width / 2) - width / 2 + radius
    down = abs(y - top - height / 2) - height / 2 + radius
    return abs(hypot(max(across, 0), max(down, 0)) + min(max(across, down), 0) - radius)


@pytest.mark.parametrize("source", PICTURES)
def test_each_arrow_of_the_picture_joins_the_boxes_that_the_words_name(source, figures):
    """Read back from coordinates: no id and no order of elements is trusted."""
    n_boxes, n_arrows = PICTURES[source]
    chart = parse(source)
    places = boxes(figures[source])
    nodes = [rect for rect, text in places.items() if text not in {edge.label for edge in chart.edges}]
    lines = [path.get("d") for path in figures[source].iter("path")]
    assert len(nodes) == n_boxes
    assert len(lines) == 2 * n_arrows
    drawn = []
    for line, head in zip(lines[::2], lines[1::2], strict=True):
        numbers = [float(number) for number in re.findall(r"[\d.]+", line)]
        tip = [float(number) for number in re.findall(r"[\d.]+", head)[:2]]
        ends = [min(nodes, key=lambda rect, end=end: distance(*end, rect)) for end in (numbers[:2], tip)]
        assert distance(*numbers[:2], ends[0]) < 2
        assert distance(*tip, ends[1]) < 2
        drawn.append(tuple(places[end] for end in ends))
    plain = {name: node.label.replace("W_", "W") for name, node in chart.nodes.items()}
    assert sorted(drawn) == sorted((plain[edge.tail], plain[edge.head]) for edge in chart.edges)


@pytest.mark.parametrize("source", PICTURES)
def test_the_picture_brings_nothing_along(source, figures):
    tags = {element.tag for element in figures[source].iter()}
    words = {"figure", "details", "summary", "ol", "li", "b", "sub", "div"}
    assert tags - words <= {"svg", "g", "rect", "path", "text", "tspan"}
    attributes = {name for element in figures[source].iter() for name in element.keys()}  # noqa: SIM118
    assert not attributes & {"id", "href", "xlink:href", "src", "font-family"}
    colours = {element.get(name) for element in figures[source].iter() for name in ("fill", "stroke")}
    assert colours <= {None, "none", "currentColor"}
    assert b"url(" not in ElementTree.tostring(figures[source])


def test_a_screen_reader_hears_a_name_and_can_unfold_the_words(figures):
    figure = figures[PROJECTION]
    (picture,) = (element for element in figure.iter() if element.get("role") == "img")
    assert picture.get("aria-label") == "Flowchart from One embedding row x to Query row, Key row, Value row"
    assert [child.tag for child in figure] == ["div", "details"]
    assert len(figure.findall("details/ol/li")) == 4


def test_labels_are_text_and_never_markup():
    html = diagram("flowchart LR\nA[\"a < b & c 'd'\"] --> B[x]", cache=None)
    assert "a &lt; b &amp; c 'd'</text>" in html
    assert 'aria-label="Flowchart from a &lt; b &amp; c &#x27;d&#x27; to x"' in html


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("", 1, "diagram must be a flowchart with a box, got none$"),
        (
            "%% x\nsequenceDiagram\nA->>B: x",
            2,
            "diagram must be flowchart LR, TD or TB, got sequenceDiagram$",
        ),
        ("flowchart LR\n\nA -->", 3, "cannot read its end, supported: A\\[label\\], "),
        ("flowchart LR\nA --- B", 2, "cannot read --- B, supported: "),
        ("flowchart LR\nA{x} --> B", 2, r"cannot read \{x\} --> B, supported: "),
        ("flowchart LR\nA[x (y)]", 2, r"cannot read \[x \(y\)\], supported: "),
        ("flowchart LR\nA([x)]", 2, r"cannot read A\(\[x\)\], supported: "),
        ("flowchart LR\nsubgraph x\nA\nend", 2, "cannot read x, supported: "),
        ("flowchart LR\nA[x] --> B\nA[y]", 3, "box A must keep its label x, got y$"),
        ("flowchart LR\nA[ ]", 2, "box A must have a label, got an empty one$"),
        ("flowchart LR\nA --> B & A", 2, "an arrow must lead to another box, got one from A to itself$"),
    ],
)
def test_what_has_no_words_is_refused_with_its_line(source, line, message):
    with pytest.raises(MermaidError, match=f"^{message}") as caught:
        diagram(source, cache=None)
    assert caught.value.line == line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        (
            "flowchart LR\nA --> B\n%% x\n\nend --> B\nB --> C",
            5,
            "mermaid does not accept end --> B. Reserved words",
        ),
        ('flowchart LR\nB\nA["#35; x"]', 3, "box A must show #35; x, got &#35; x. Write plain characters$"),
        ('flowchart LR\nA["x > y"]', 2, "box A must show x > y, got x y. Write plain characters$"),
        ('flowchart LR\nA["`x`"]', 2, "box A must show `x`, got x. Write plain characters$"),
        ('flowchart LR\nA["<script>x</script>"]', 2, "box A must show <script>x</script>, got nothing. "),
        (
            'flowchart LR\nA -->|"`x`"| B',
            1,
            r"arrows must show \['`x`'\], got \['x'\]. Write plain characters$",
        ),
    ],
)
def test_what_mermaid_reads_otherwise_is_refused_with_its_line(source, line, message):
    with pytest.raises(MermaidError, match=f"^{message}") as caught:
        diagram(source, cache=None)
    assert caught.value.line == line


def test_an_error_picture_is_an_error(monkeypatch):
    """Mermaid may draw a bomb where it should fail."""
    import mermaidx

    class Bomb:
        def svg(self):
            return '<svg aria-roledescription="error"/>'

    monkeypatch.setattr(mermaidx, "render", lambda source, config: Bomb())
    with pytest.raises(MermaidError, match=r"^mermaid drew its error picture$"):
        diagram("flowchart LR\nA", cache=None)


@pytest.mark.parametrize(
    "other",
    [
        "flowchart LR\nA[Query] --> B[Value]",
        "flowchart LR\nA[Query]\nB[Key]",
        "flowchart LR\nA[Query] --> B[Key]\nB --> A",
        "flowchart LR\nA[Query] --> B[Key] & C[Value]",
        "flowchart LR\nA[Query] -->|asks| B[Key]",
    ],
)
def test_words_of_another_graph_do_not_pass(other, small, monkeypatch):
    """The guard that compares picture and words bites."""
    monkeypatch.setattr(_mermaid, "_ask_mermaid", lambda source: small)
    monkeypatch.setattr(_mermaid, "parse", lambda source: parse(other))
    with pytest.raises(MermaidError, match=r"^(box|arrows) .*must show"):
        diagram("any", cache=None)


def test_a_warm_cache_gives_the_same_bytes_without_mermaid(tmp_path, monkeypatch):
    cold = diagram(PROJECTION, cache=tmp_path)
    monkeypatch.setattr(_mermaid, "_ask_mermaid", None)
    assert diagram(PROJECTION, cache=tmp_path) == cold
    with pytest.raises(TypeError):
        diagram(PROJECTION + " ", cache=tmp_path)


def test_bytes_do_not_depend_on_the_process(tmp_path):
    code = f"import {_mermaid.__name__} as m; print(ascii(m.diagram({ATTENTION!a}, cache=None)))"
    env = {"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, check=True)
    assert out.stdout.decode().strip() == ascii(diagram(ATTENTION, cache=None))


def test_boxes_have_their_class(tmp_path: Path) -> None:
    """By their labels; a drawing kept for other classes is not taken."""
    source = "flowchart LR\nA[x] --> B[query]"
    plain, coloured = (diagram(source, cache=tmp_path, role=kind) for kind in (lambda label: "", role))

    assert 'class="q"' not in plain
    assert coloured.replace('<rect class="q"', "<rect") == plain
    assert coloured.count('class="q"') == 1
