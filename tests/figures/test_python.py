"""What the figures refuse, and what they say without a browser."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures import (
    cache,
    flow,
    hall,
    heads,
    heatmap,
    line_chart,
    ribbons,
    shape_flow,
    vectors_on_axes,
    visibility,
    worked_product,
)
from qkvdocs.figures._ribbons import evens
from qkvdocs.numbers import even
from tests.figures.examples import (
    FLOW,
    GALLERY,
    W_K,
    W_Q,
    W_V,
    X,
    attention,
    column,
    product,
    split,
    stored,
    walled,
)

x, W = np.array([2, 3]), np.array([[1, 10], [0, -1]])
# fmt: off
REFUSED = {
    "a wrong result": (lambda: worked_product(x, W, [2, 18]), QKVError,
        "y_1 must be what its sum says = 17, got 18"),
    "wrong parts": (lambda: worked_product(x, W, x @ W, parts=W), QKVError,
        "an entry of parts must be what its sum says = 2, got 1"),
    "parts of another shape": (lambda: worked_product(x, W, x @ W, parts=[[1, 2]]), ShapeError,
        "parts must have shape (rows of W, 2) = (2, 2), got (1, 2)"),
    "axes for three entries": (lambda: worked_product(x, np.ones((2, 3)), [5, 5, 5], parts=np.ones((2, 3))),
        ShapeError, "y must have shape (1, 2) to be drawn on axes, got (1, 3)"),
    "no product": (lambda: worked_product([1, 2, 3], W, [1, 2]), ShapeError,
        "W must have shape (columns of x, columns) = (3, columns), got (2, 2)"),
    "a result of another shape": (lambda: worked_product(x, W, [1, 2, 3]), ShapeError,
        "y must have shape (rows of x, columns of W) = (1, 2), got (1, 3)"),
    "NaN": (lambda: worked_product([np.nan, 1], W, x @ W), DTypeError,
        "x must hold finite real numbers, got float64: [nan, 1.0]"),
    "too many rows to mark": (lambda: worked_product(np.ones(9), np.ones((9, 1)), [9]), ShapeError,
        "x must have 1 or 2 axes of 1 to 8 entries, got shape (9,)"),
    "too large to edit": (lambda: worked_product([1000, 0], W, [1000, 10000]), QKVError,
        "entries of x must be from -999 to 999, got [1000, 0]"),
    "too fine to edit": (lambda: worked_product([0.00001, 0], W, [0.00001, 0.0001]), QKVError,
        "entries of x must have at most 4 decimals, got [1e-05, 0.0]. Round them, or edit=False"),
    "one name twice": (lambda: worked_product(x, W, x @ W, names=("x", "W", "x")), QKVError,
        "names must differ, got ('x', 'W', 'x')"),
    "a name with a blank": (lambda: worked_product(x, W, x @ W, names=("x y", "W", "z")), QKVError,
        "a matrix must be named like a variable, got 'x y'"),
    "a name that no address keeps": (lambda: product(name="My figure"), QKVError,
        "name must be lower-case letters, digits and hyphens, got 'My figure'"),
    "unknown scales": (lambda: product(scales="same"), QKVError, "scales must be equal, got 'same'"),
    "unknown name in code": (lambda: product(code="{z}"), QKVError,
        "code must name one of x, W, y in braces, got {z}"),
    "labels that do not fit": (lambda: attention(tokens=["one"]), ShapeError,
        "rows of X must have as many labels as entries = 2, got 1"),
    "no vector": (lambda: vectors_on_axes({}), ShapeError, "vectors must be from 1 to 8, got 0"),
    "a vector of three": (lambda: vectors_on_axes({"q": [1, 2, 3]}), ShapeError,
        "q must have shape (2,) to be drawn on axes, got (1, 3)"),
    "a value beyond the scale": (lambda: heatmap([[2.0]]), QKVError,
        "values must be from low to high = 0 to 1, got 2 to 2"),
    "a scale upside down": (lambda: heatmap([[0.0]], low=1, high=0), QKVError,
        "low must be below high = 0, got 1"),
    "a mask of another shape": (lambda: heatmap([[0.0]], mask=[[True, False]]), ShapeError,
        "mask must have the shape of values = (1, 1), got (1, 2)"),
    "no picture": (lambda: ribbons({}), ShapeError, "asked must hold at least one picture, got none"),
    "a weight too few": (lambda: ribbons({"it": (0, [1.0], ["cat", "it"])}), ShapeError,
        "weights of it must have shape (words,) = (2,), at most 48, got (1,)"),
    "weights that are scores": (lambda: ribbons({"it": (0, [3.0, -2.0], ["cat", "it"])}), QKVError,
        "weights of it must be shares of one, got least -2, sum 1"),
    "weights that do not sum to one": (lambda: ribbons({"it": (0, [0.5, 0.25], ["cat", "it"])}), QKVError,
        "weights of it must be shares of one, got least 0.25, sum 0.75"),
    "no weight at all": (lambda: ribbons({"it": (0, [np.nan, 1], ["cat", "it"])}), DTypeError,
        "weights of it must hold finite real numbers, got float64"),
    "a word that is not there": (lambda: ribbons({"it": (2, [0.5, 0.5], ["cat", "it"])}), QKVError,
        "it must ask from a place of 0 to 1, got 2"),
    "no stage": (lambda: shape_flow([]), ShapeError, "stages must hold at least one stage, got none"),
    "a size without a name": (lambda: shape_flow([("X", (2, 4), "seq")]), ShapeError,
        "X must have a size from 1 for each of its axes = 'seq', got (2, 4)"),
    "heads without an axis": (lambda: heads(X, {"x": lambda rows: rows}), ShapeError,
        "x must have shape (n_heads, seq, d_head), got (2, 4)"),
    "no step": (lambda: cache([]), ShapeError, "steps must hold at least one step, got none"),
    "keys without values": (lambda: cache([(X, X[:1])]), ShapeError,
        "V of step 0 must have the rows of K = 2, got 1"),
    "a step that adds nothing": (lambda: cache([(X, X), (X, X)]), ShapeError,
        "K of step 1 must have more rows than before = 2, got 2"),
    "a row that changed": (lambda: cache([(X[:1], X[:1]), (X, X[::-1])]), QKVError,
        "rows of V stored before step 1 must stay as they were"),
    "a student who is not there": (lambda: hall(["the", "cat"], at=2), QKVError,
        "at and wall must be within the words = 2, got 2 and 0"),
    "an empty hall": (lambda: hall([], at=0), ShapeError, "words must be from 1 to 48, got 0"),
    "a fourth card": (lambda: hall(["the"], at=0, cards={"output": "x"}), QKVError,
        "cards must be of query, key, value, got ['output']"),
    "a wrong curve that is none": (lambda: line_chart([0, 1], {"a": [0, 1]}, wrong=["b"]), QKVError,
        "wrong must name curves = a, got ['b']"),
    "no curve": (lambda: line_chart([0, 1], {}), ShapeError, "series must be from 1 to 4, got 0"),
    "five curves": (lambda: line_chart([0, 1], {name: [0, 1] for name in "abcde"}), ShapeError,
        "series must be from 1 to 4, got 5"),
    "a curve of another length": (lambda: line_chart([0, 1], {"a": [0, 1, 2]}), ShapeError,
        "a must have shape (2,), got (3,)"),
    "a curve with a hole": (lambda: line_chart([0, 1], {"a": [0, np.nan]}), DTypeError,
        "a must hold finite real numbers, got float64"),
    "an axis that turns back": (lambda: line_chart([0, 1, 1], {"a": [0, 1, 2]}), QKVError,
        "x must hold 2 to 2000 increasing numbers, got 3: [0, 1, 1]"),
    "one point": (lambda: line_chart([0], {"a": [0]}), QKVError,
        "x must hold 2 to 2000 increasing numbers, got 1: [0]"),
    "a band of nobody": (lambda: line_chart([0, 1], {"a": [0, 1]}, bands={"b": ([0, 1], [0, 1])}), QKVError,
        "a band must have the name of a curve = a, got 'b'"),
    "a band beside its curve": (lambda: line_chart([0, 1], {"a": [0, 1]}, bands={"a": ([0, 0], [1, 0.9])}),
        QKVError, "the band of a must hold its curve everywhere"),
    "a curve beyond the axis": (lambda: line_chart([0, 1], {"a": [0, 3]}, high=2), QKVError,
        "values must be from low to high = 0 to 2, got 0 to 3"),
    "a level beyond the axis": (lambda: line_chart([0, 1], {"a": [0, 1]}, levels={"far": 3}, high=2),
        QKVError, "values must be from low to high = 0 to 2, got 0 to 3"),
    "an axis upside down": (lambda: line_chart([0, 1], {"a": [1, 1]}), QKVError,
        "low must be below high = 1, got 1"),
    "a mask of numbers": (lambda: visibility([[0.0, -1e9]]), DTypeError,
        "mask must be bool, True = may attend, got float64"),
    "a mask of a batch": (lambda: visibility(np.ones((1, 1, 2, 2), bool)), ShapeError,
        "mask must have 2 axes of 1 to 32 entries, got shape (1, 1, 2, 2)"),
    "names that do not fit the mask": (lambda: visibility(np.ones((2, 2), bool), columns=["a"]), ShapeError,
        "columns of mask must have as many labels as entries = 2, got 1"),
    "no arrow": (lambda: flow([["x"]]), QKVError, "paths must hold at least one arrow, got [['x']]"),
    "a direction": (lambda: flow([["x", "y"]], direction="RL"), QKVError, "direction must be LR or TD, got 'RL'"),
    "a quotation mark": (lambda: flow([['"', "y"]]), QKVError,
        "a label must have no quotation mark, bar or line break, got '\"'"),
}  # fmt: skip
# fmt: on


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    """Each message names the argument, the rule, and what came."""
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize("wrong", ["Q", "K", "V", "scores", "scaled", "pattern", "context"])
def test_no_step_of_attention_says_what_is_not_true(wrong):
    """One entry of one result is off by a hundredth: the figure does not appear."""
    from qkvdocs.core import attend, attention_scores, project_qkv
    from qkvdocs.figures import attention_steps

    Q, K, V = project_qkv(X, W_Q, W_K, W_V)
    context, pattern, scaled = attend(Q, K, V)
    values = {"Q": Q, "K": K, "V": V, "scores": attention_scores(Q, K, scale=1.0), "scaled": scaled}
    values |= {"pattern": pattern, "context": context}

    def make(values):
        renamed = {"scaled_scores" if name == "scaled" else name: value for name, value in values.items()}
        return attention_steps(X=X, W_Q=W_Q, W_K=W_K, W_V=W_V, **renamed)

    assert "context[1,0]" in make(values)
    off = values[wrong].copy()
    off[0, 0] += 0.01
    with pytest.raises(QKVError, match=r"must be what its sum says"):
        make({**values, wrong: off})


@pytest.mark.parametrize("name", GALLERY)
def test_each_figure_has_a_caption_and_its_words(name):
    """And is made the same way twice."""
    html = GALLERY[name]()
    assert re.search(r"<figcaption>\S.*?</figcaption>", html)
    assert re.search(r"This figure in words</summary><(p|ul|ol)>", html)
    assert "\n\n" not in html
    assert html == GALLERY[name]()


def test_the_matrix_stands_between_its_boxes():
    """Its sizes are those that meet and those that stay; boxes are as wide and high as their sizes, in one unit."""
    html = shape_flow([("X", (2, 4), "seq d_model"), ("Q = X W_Q", (2, 3), "seq d_head")])
    assert re.findall(r"<li>(.*?)</li>", html.split("<ol>")[1]) == [
        "X has seq 2, d_model 4", "W_Q has d_model 4, d_head 3", "Q has seq 2, d_head 3",
    ]  # fmt: skip
    assert re.findall(r'data-sign="(.*?)"', html) == ["", "×", "="]
    sizes = [
        (float(w), float(h)) for w, h in re.findall(r'<rect [^>]*width="([\d.]+)" height="([\d.]+)"', html)
    ]
    assert np.allclose(np.array(sizes) / sizes[0][0] * 4, [(4, 2), (3, 4), (3, 2)])
    assert "drawn to one scale" in html
    assert "drawn to one scale" not in shape_flow([("X", (2, 400), "seq d_model")])


@pytest.mark.parametrize(
    "vectors", [{"q": [3, 3], "a": [5, 0], "b": [2, 2], "c": [-1, 2]}, {"q": [1, -2], "k": [0, 0]}]
)
def test_the_shadow_of_an_arrow_falls_on_the_query(vectors):
    """In pixels: each bar has the direction of the query and the length that times the query's is the dot product."""
    html = vectors_on_axes(vectors)
    arrows = dict.fromkeys(vectors)
    for name, path in zip(
        vectors, re.findall(r'<g class="v\d[^"]*"><(?:path d="M([^"M]*)|circle)', html), strict=True
    ):
        tail, tip = (
            ([float(v) for v in at.split()] for at in path.split("L")[:2]) if path else ([0, 0], [0, 0])
        )
        arrows[name] = np.subtract(tip, tail)
    q = arrows.pop("q")
    unit = np.hypot(*q) / np.hypot(*vectors["q"])
    bars = re.findall(
        r'class="fall" d="M([^"]*)L([^"]*)"></path><path class="bar" d="M([^"]*)L([^"]*)"', html
    )
    for (name, arrow), bar in zip(arrows.items(), bars, strict=True):
        assert np.allclose(arrow, unit * np.array(vectors[name]) * [1, -1], atol=0.2), (
            "both axes have one unit"
        )
        tip, foot, begin, end = (np.array([float(v) for v in at.split()]) for at in bar)
        assert np.allclose(foot, end)
        assert (end - begin) @ q / unit**2 == pytest.approx(np.dot(vectors[name], vectors["q"]), abs=0.05)
        assert abs((tip - foot) @ q) < 0.2 * np.hypot(*q), "a line down stands upright on the query"


def test_an_arrow_of_no_length_is_a_dot():
    """It has no direction that could be drawn."""
    html = vectors_on_axes({"q": [0, 0], "k": [1, 2]})
    assert re.search(r'<g class="v0 q"><circle', html)
    assert "shadow" not in html


def test_graders_ribbons_are_as_thick_as_their_shares():
    """One for each word that gets something, but for the one who asks."""
    html = hall(["the", "cat", "it"], at=2, graders={"a": [0.25, 0.5, 0.25], "b": [0, 0, 1]})
    assert [float(width) for width in re.findall(r'class="asks"[^>]*stroke-width:([\d.]+)', html)] == [3.5, 7]
    assert re.findall(r'class="share"[^>]*>([\d.]+)<', html) == ["0.25", "0.50", "0.25", "1.00"]
    assert "a, it asks: cat 0.50, the 0.25, it 0.25</li>" in html


def test_the_wall_has_the_cards_that_are_kept():
    """A key and a value for each of the words that came, one query in hand, and nobody who has not come yet."""
    html = hall(["a", "b", "c", "d", "e"], at=2, wall=3)
    cards = re.findall(r'<text class="card"[^>]*>(.)<', html)
    assert sorted(cards) == ["k", "k", "k", "q", "v", "v", "v"]
    assert html.count('class="absent"') == 2
    assert "on the wall, key and value of: a, b, c; no query is kept" in html
    assert len(walled()) < 8192


def test_what_is_wrong_is_dashed():
    """And what is right is whole, by name, as in the bug clinic."""
    html = line_chart([0, 1], {"peeks": [2, 0], "honest": [2, 1]}, wrong=["peeks"])
    assert re.findall(r'<path class="curve (\w+)"', html) == ["wrong", "right"]
    assert re.findall(r'class="name (\w+)"[^>]*>(\w+)<', html) == [("right", "honest"), ("wrong", "peeks")]


def test_the_exact_words():
    """Those that the project promises, and the same numbers under the other convention."""
    html = product()
    assert "y_0 = 2·1 + 3·0 = 2" in html
    assert "y_1 = 2·10 + 3·(-1) = 17" in html
    assert "y_0 = 1·2 + 10·3 = 32" in column()
    assert "y_1 = 0·2 + (-1)·3 = -3" in column()


def test_the_right_way_keeps_tokens_apart():
    """The verdict is read off the function itself."""
    right, wrong = split().split('class="qkv-way"')[2:]
    assert "✓ each row keeps its token" in right
    assert "✗ mixes up the tokens" in wrong


def test_the_cache_says_what_is_new():
    """Row by row."""
    assert re.findall(r"(\d) rows? of K and V stored, (\d) of them new: (\w+)<", stored()) == [
        ("1", "1", "the"),
        ("2", "1", "cat"),
        ("3", "1", "sat"),
    ]


def test_the_flow_is_drawn_and_said():
    """By the engine that draws diagrams."""
    from qkvdocs.engine.typeset._mermaid import diagram

    html = diagram(FLOW.removeprefix("```mermaid\n").removesuffix("\n```"), cache=None)
    assert "x = [2, 3]" in html
    assert html.count("<rect") == 7


@given(st.lists(st.floats(-1e18, 1e18) | st.floats(-2, 2, width=32)), st.integers(1, 4))
@example([0.125, -0.001, 2.5], 2)
@example([-0.25], 1)
@example([1e17], 1)
def test_many_numbers_are_written_as_each_of_them(numbers: list[float], digits: int) -> None:
    """The short way gives what the exact one does, ties and minus zero included."""
    array = np.array(numbers, np.float64)
    assert evens(array, digits) == [even(number, digits) for number in array.tolist()]
