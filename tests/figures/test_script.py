"""The page's script computes, says and draws what Python does: properties, in a real browser."""

import math
import os
import re

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qkvdocs.core import attend, softmax
from qkvdocs.figures import _words
from qkvdocs.figures._plot import Part, plot
from qkvdocs.numbers import factor, fmt, relation
from tests.figures.examples import attention, product

CASES = int(os.environ.get("QKVDOCS_CASES", "60"))
PROPERTY = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FEWER = settings(PROPERTY, max_examples=max(CASES // 3, 10))

# What a reader types: whole numbers, exact ties, up to four decimals.
typed = st.one_of(
    st.integers(-20, 20).map(float),
    st.integers(-999 * 16, 999 * 16).map(lambda k: k / 16),
    st.integers(-99_999, 99_999).map(lambda k: k / 10_000),
)


def matrices(rows, columns):
    """Matrices of typed numbers."""
    return st.lists(st.lists(typed, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


@st.composite
def chains(draw):
    """Two matrices that can be multiplied."""
    rows, inner, columns = (draw(st.integers(1, 4)) for _ in range(3))
    return draw(matrices(rows, inner)), draw(matrices(inner, columns))


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def same(a: str, b: str, step: float) -> bool:
    """Equal words, and numbers that differ by one unit of the last shown decimal at most.

    numpy and JavaScript add in different orders, so a result next to a tie may round either way.
    """
    if a == b:
        return True
    a, b = a.replace("≈", "="), b.replace("≈", "=")
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=False)
    return NUMBER.split(a) == NUMBER.split(b) and all(
        abs(float(x) - float(y)) <= step + 1e-9 * abs(float(x)) for x, y in pairs
    )


def test_the_comparison_can_fail():
    """It forgives a last digit, and nothing else."""
    assert same("y_0 = 0.3333", "y_0 = 0.3334", 1.01e-4)
    assert not same("y_0 = 0.3333", "y_1 = 0.3333", 1.01e-4)
    assert not same("y_0 = 0.3333", "y_0 = 0.3335", 1.01e-4)
    assert not same("y_0 = 3", "z_0 = 3", 1.01e-4)


@PROPERTY
@given(st.one_of(typed, st.floats(-1e15, 1e15), st.integers(-(10**8), 10**8).map(lambda k: k / 20_000)))
@example(-0.0)
@example(-0.00001)
@example(0.00005)
@example(-0.03125)
@example(1e9)
def test_numbers_are_written_alike(bench, value):
    """Rounding, factors and signs: exactly the same text."""
    js = bench.evaluate("v => [qkv.fmt(v), qkv.factor(v), qkv.relation(1, v), qkv.fmt(v, 1)]", value)
    assert js == [fmt(value), factor(value), relation(1, value), fmt(value, 1)]


def test_what_is_no_number_is_a_question_mark(bench):
    """In Python such a value is refused; a reader may well type one."""
    assert bench.evaluate("[NaN, -Infinity].map(v => qkv.fmt(v))") == ["?", fmt(-math.inf)]


RUN = """([name, operands]) => {
    const [M, say] = qkv.operations[name](...operands.map(o => Array.isArray(o)
        ? o.map(row => row.map(v => v === null ? -Infinity : v)) : o));
    return [M.map(row => row.map(v => v === -Infinity ? null : v)), M.map((row, i) => row.map((_, j) => say(i, j)))];
}"""


def run(bench, name, *operands):
    """Run one operation of the script; None stands for minus infinity."""
    values, words = bench.evaluate(RUN, [name, list(operands)])
    return np.array([[-math.inf if v is None else v for v in row] for row in values], float), words


def close(a, b, scale):
    """Equal up to the order of additions."""
    assert np.all(np.abs(a - b) <= 1e-12 * scale)


@PROPERTY
@given(chains())
def test_products(bench, pair):
    """Row times column, in value and in words."""
    X, W = (np.array(matrix) for matrix in pair)
    product, words = run(bench, "product", *pair)
    close(product, X @ W, np.abs(X) @ np.abs(W) + 1)
    for i, j in np.ndindex(product.shape):
        said = _words.product("y", X[i].tolist(), W[:, j].tolist(), float((X @ W)[i, j]))
        assert same(f"y = {words[i][j]}", said, 1.01e-4)


@PROPERTY
@given(matrices(2, 3), st.integers(0, 8))
def test_scaling(bench, scores, width):
    """By the root of the width, or by one."""
    S = np.array(scores) * 7
    scaled = S / math.sqrt(width or 1)
    divided, words = run(bench, "scale", S.tolist(), width)
    close(divided, scaled, 1 + np.abs(S))
    for i, j in np.ndindex(S.shape):
        assert same(f"s = {words[i][j]}", _words.scaled("s", S[i, j], width, scaled[i, j]), 1.01e-4)


masks = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=2)


@PROPERTY
@given(matrices(2, 3), masks)
@example([[0.0, 800.0, -800.0], [1.0, 1.0, 1.0]], [[True, True, True], [False, False, False]])
@example([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]], [[True, False, False], [True, True, False]])
def test_masks_and_softmax(bench, scores, mask):
    """A row is shared out among what it may see; a row that sees nothing gets nothing."""
    S, see = np.array(scores), np.array(mask)
    hidden, said = run(bench, "mask", scores, mask)
    assert np.array_equal(hidden, np.where(see, S, -math.inf))
    pattern, shares = run(
        bench, "softmax", [[None if v == -math.inf else v for v in row] for row in hidden.tolist()]
    )
    right = softmax(S, see)
    close(pattern, right, 1 + np.abs(S).max())
    for i, j in np.ndindex(S.shape):
        assert ("≈" in shares[i][j]) == ("≈" in _words.share("p", hidden[i].tolist(), j, right[i, j]))
        assert f"m = {said[i][j]}" == _words.masked("m", S[i, j], see=bool(see[i, j]))
        assert same(f"p = {shares[i][j]}", _words.share("p", hidden[i].tolist(), j, right[i, j]), 1.01e-4)


@PROPERTY
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(matrices(1, n), matrices(n, 2))))
@example(([[2.0, 3.0]], [[1.0, 10.0], [0.0, -1.0]]))
@example(([[0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))
@example(([[-1.0, -1.0]], [[1.0, 2.0], [3.0, 4.0]]))
@example(([[2.0, 2.0]], [[2.0, 2.0], [0.0, 0.0]]))
def test_pictures(bench, pair):
    """Coordinate by coordinate."""
    x, W = np.array(pair[0])[0], np.array(pair[1])
    steps, y = x[:, None] * W, x @ W
    vectors = [("x", x.tolist()), ("y", y.tolist())] if len(x) == 2 else [("y", y.tolist())]
    drawn = bench.evaluate(
        "([vectors, parts]) => qkv.plot(vectors, parts)",
        [vectors, [[by, row] for by, row in zip(x.tolist(), W.tolist(), strict=True)]],
    )
    parts = [Part(*part) for part in zip(x.tolist(), W.tolist(), steps.tolist(), strict=True)]
    assert same(drawn, plot(vectors, parts), 0.101)


# Everything a reader sees or hears, fields as the numbers in them; what a switch hides is left out.
CONTENT = """figure => {
    const copy = figure.cloneNode(true), values = [...figure.querySelectorAll("td input")].map(f => f.value);
    copy.querySelectorAll("td input").forEach((f, i) => f.replaceWith(qkv.fmt(parseFloat(values[i]))));
    const { scaled, shared } = figure.dataset, unseen = [".qkv-bar", ".qkv-status",
        scaled === "1" ? ".if-unscaled" : ".if-scaled", shared === "1" ? ".own tbody" : ".if-shared"];
    copy.querySelectorAll(unseen.join()).forEach(e => e.remove());
    for (const e of copy.querySelectorAll("[data-pad]")) {
        if (e.dataset.pad) e.append(`|${e.dataset.pad}`);
        delete e.dataset.pad;
    }
    const pictures = [...copy.querySelectorAll("svg")].map(e => e.innerHTML);
    copy.querySelectorAll("svg").forEach(e => e.replaceChildren());
    return [copy.outerHTML, ...pictures];
}"""


def show(bench, html):
    """Put a figure on the page."""
    bench.evaluate(
        "html => { history.replaceState(null, '', '#'); document.querySelector('main').innerHTML = html }",
        html,
    )


def content(bench):
    """What the figure says."""
    return bench.evaluate(f"({CONTENT})(document.querySelector('qkv-live'))")


TYPE = """([values, switches]) => {
    const figure = document.querySelector("qkv-live"), fields = [...figure.querySelectorAll("td input")];
    if (fields.length !== values.length) throw Error(`${fields.length} fields, ${values.length} values`);
    fields.forEach((field, i) => { field.value = values[i]; });
    for (const [name, value] of Object.entries(switches)) figure.querySelector(`[name=${name}]`).checked = value;
    fields[0].dispatchEvent(new Event("input", {bubbles: true}));
    clearTimeout(figure.timer);
}"""


def type_in(bench, *arrays, **switches):
    """Type numbers into all fields, in their order."""
    values = [repr(float(v)).removesuffix(".0") for array in arrays for v in np.ravel(array)]
    bench.evaluate(TYPE, [values, switches])


def rebuilt(bench, html):
    """What Python's own figure says, read the same way, before any script has touched it."""
    still = html.replace("qkv-live", "qkv-still")
    show(bench, still)
    said = bench.evaluate(f"({CONTENT})(document.querySelector('qkv-still'))")
    return [said[0].replace("qkv-still", "qkv-live"), *said[1:]]


def alike(got, expected):
    """Compare words and pictures."""
    assert same(got[0], expected[0], 1.01e-4)
    assert len(got) == len(expected)
    for a, b in zip(got[1:], expected[1:], strict=True):
        assert same(a, b, 0.101)


@FEWER
@given(matrices(1, 2), matrices(2, 2))
@example([[0.5, -1.0]], [[3.0, 0.0], [0.0, 0.25]])
def test_editing_a_product_equals_rebuilding_it(bench, x, W):
    """The figure that a reader makes by typing is the one that Python makes of the same numbers."""
    show(bench, product())
    type_in(bench, x, W)
    alike(content(bench), rebuilt(bench, product(x[0], W)))


modest = st.integers(-40, 40).map(lambda k: k / 8)


def small(rows, columns):
    """Numbers whose scores stay readable."""
    return st.lists(st.lists(modest, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


@FEWER
@given(small(2, 4), small(4, 2), small(4, 2), small(4, 2), st.booleans(), st.booleans(), st.booleans())
@example([[1, 2, 1, 2], [1, 0, 2, 1]], np.eye(4, 2), np.ones((4, 2)), np.eye(4, 2), False, False, True)
def test_editing_attention_equals_rebuilding_it(bench, X, W_Q, W_K, W_V, scaled, masked, shared):
    """Also under every switch."""
    show(bench, attention())
    type_in(bench, X, W_Q, W_K, W_V, scaled=scaled, masked=masked, shared=shared)
    switches = {"scaled": scaled, "masked": masked, "shared": shared}
    typed_in, made = content(bench), rebuilt(bench, attention(X, W_Q, W_K, W_V, **switches))
    alike(typed_in, made)


def test_switches_reach_the_mathematics(bench):
    """The context under each switch is that of core."""
    X, W = np.array([[1.0, 2, 1, 2], [1, 0, 2, 1]]), np.array([[1.0, 0], [0, 1], [1, 1], [0, 1]])
    Q = X @ W
    show(bench, attention())
    type_in(bench, X, W, W * 2, W * 3, scaled=False, masked=False, shared=True)
    shown = bench.locator("[data-m=context].out b").all_text_contents()
    assert shown == [fmt(v) for v in attend(Q, Q, Q, scale=1.0).context.ravel()]
