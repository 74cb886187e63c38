"""Formulas: what they say, and that nothing of them vanishes."""

import re
from xml.etree import ElementTree

import math_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkvdocs.engine.typeset._maths import TeXError, mathml
from qkvdocs.roles import role

ATTENTION = [
    r"W_Q",
    r"\mathbf{Q} = \mathbf{X}\mathbf{W}_Q",
    r"\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_{head}}}\right)V",
    r"X\in\mathbb{R}^{D\times D}",
    r"\text{softmax}(x)_i = \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}",
    r"\begin{aligned} y_0 &= 2\cdot 1 + 3\cdot 0 \\ &= 2 \\ \end{aligned}",
    r"M_{ij} = \begin{cases}0 & j \le i \\ -\infty & \text{otherwise}\end{cases}",
    r"a < b > c \& d, x', \hat{x}, \overline{xy}, \underline{xy}, 10^{-6}, 5\%",
]


def read(tex: str, display: bool = False) -> ElementTree.Element:
    root = ElementTree.fromstring(mathml(tex, display=display))
    return root[0] if display else root


def shown(tex: str) -> str:
    root = read(tex)
    root.find(".//annotation").text = ""
    return "".join(root.itertext())


@pytest.mark.parametrize("tex", ATTENTION)
@pytest.mark.parametrize("display", [True, False])
def test_a_formula_is_one_math_element_that_keeps_its_tex(tex, display):
    root = read(tex, display)
    assert root.tag == "math"
    assert (root.get("display") == "block") == display
    assert root.find("semantics/annotation").text == tex
    assert len(root.find("semantics")) == 2


@pytest.mark.parametrize("environment", ["pmatrix", "bmatrix", "matrix", "aligned", "cases"])
@pytest.mark.parametrize("last", ["", r" \\"])
def test_tables_hold_the_cells_that_were_written(environment, last):
    r"""math-core draws a row too many after a closing \\."""
    root = read(rf"\begin{{{environment}}}1&20\\3&-4.5{last}\end{{{environment}}}")
    cells = [["".join(cell.itertext()) for cell in row] for row in root.iter("mtr")]
    assert cells == [["1", "20"], ["3", "−4.5"]]


@given(st.decimals(min_value=0, max_value=10**9, places=3))
def test_a_number_is_found_as_text(number):
    assert f"<mn>{number}</mn>" in mathml(f"x_1 = {number}", display=False)


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"q_2 \cdot k_1 = 15", "q2⋅k1=15"),
        (r"\mathbf{W}_Q", "𝐖Q"),
        (r"\mathrm{15} + \textbf{4} + \text{7}", "15+4+7"),
        (r"a < b", "a<b"),
        (r"\exp(x)", "exp\u2061(x)"),
    ],
)
def test_what_stands_on_the_page(tex, text):
    assert shown(tex) == text


@pytest.mark.parametrize(
    ("tex", "message"),
    [
        (r"x + \nosuch", r'formula: Unknown command "\\nosuch" at character 5, near \\nosuch$'),
        ("é = \\nosuch", r'formula: Unknown command "\\nosuch" at character 5, near'),
        (
            "{a",
            r'formula: Expected closing token "}", but reached end of input at character 3, near its end$',
        ),
        ("a}", r'formula: Unmatched closing token: "}" at character 2, near }$'),
        ("a & b", r'formula: Found "&", which may only appear in a table'),
        (r"\begin{pmatrix}1\end{bmatrix}", r'formula: Expected "\\end\{pmatrix\}", but found'),
        (r"\begin{nosuch}1\end{nosuch}", r'formula: Unknown environment "nosuch" at character 7'),
        (r"\frac{a}", "formula: Expected argument"),
        (r"\left( a", r'formula: Expected closing token "\\right"'),
        ("a_b_c", "formula: Duplicate subscript or superscript"),
        ("$x$", r'formula: Unexpected "\$" at character 1'),
        (" \n ", "formula: must hold something, got only spaces$"),
        ("a +\n\\nosuch\nb", r'formula: Unknown command "\\nosuch" at character 5, near \\nosuch b$'),
    ],
)
def test_a_mistake_is_named_in_one_line(tex, message):
    with pytest.raises(TeXError, match=f"^{message}") as caught:
        mathml(tex, display=True)
    assert "\n" not in str(caught.value)


TRAPS = [
    (
        r"a \\ b",
        r"formula: \\\\ breaks lines only inside an environment such as aligned at character 3, near",
    ),
    (
        r"\begin{matrix}a\\b\end{matrix} \\ c",
        r"formula: \\\\ breaks lines only inside .* at character 32, near",
    ),
    ("50% of x", r"formula: % hides the rest of its line, write \\% at character 3, near % of x$"),
    (
        r"\begin{align}a&=b\end{align}",
        r"formula: equations are not numbered, write align\* for align at character 1",
    ),
    (r"\begin{equation}a\end{equation}", r"formula: equations are not numbered, write equation\* for"),
    (
        r"\mathbf{15}",
        r"formula: digits must be 0 to 9 to be found as text, got 𝟏. Put them outside \\mathbf$",
    ),
    ("x²", "formula: digits must be 0 to 9 to be found as text, got ²"),
    (r"\boxed{x}", r"formula: browsers do not draw boxes and strokes \(\\boxed, \\cancel\)$"),
    (r"\cancel{x}", "formula: browsers do not draw boxes and strokes"),
]


@pytest.mark.parametrize(("tex", "message"), TRAPS)
def test_what_would_vanish_is_refused(tex, message):
    with pytest.raises(TeXError, match=f"^{message}"):
        mathml(tex, display=True)


@pytest.mark.parametrize("tex", [tex for tex, _ in TRAPS])
def test_the_refusal_bites_where_the_converter_is_silent(tex):
    """math-core alone takes each of these; should it learn better, our own check can go."""
    assert math_core.LatexToMathML().convert_with_local_state(tex, displaystyle=True)


@pytest.mark.parametrize(
    "tex", [r"5\%", r"\begin{aligned}a\\b\end{aligned}", r"\begin{align*}a&=b\end{align*}"]
)
def test_the_refusal_spares_what_is_right(tex):
    assert mathml(tex, display=True)


def test_formulas_know_nothing_of_each_other():
    before = [mathml(tex, display=True) for tex in ATTENTION]
    mathml(r"\newcommand{\head}{h}\def\other{x}\head\other", display=True)
    with pytest.raises(TeXError, match=r'^formula: Unknown command "\\head"'):
        mathml(r"\head", display=True)
    assert [mathml(tex, display=True) for tex in reversed(ATTENTION)] == before[::-1]


def test_letters_have_their_class() -> None:
    """A letter with its index is one name; an index alone is none, and the TeX stays as it is."""
    html = mathml(r"W_Q x_2 + q_2 \sqrt{d_k} K^\top", display=False, role=role)

    assert re.findall(r'<(m\w+) class="(\w)">(.*?)</', html) == [
        ("msub", "q", "<mi>W"),
        ("msub", "q", "<mi>q"),
        ("mi", "k", "K"),
    ]
    assert re.sub(r' class="\w"', "", html) == mathml(r"W_Q x_2 + q_2 \sqrt{d_k} K^\top", display=False)
