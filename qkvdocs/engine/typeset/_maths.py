"""TeX formulas become MathML while the site is built, so that no page needs a script for them."""

import re
from collections.abc import Callable

import math_core

from qkvdocs.errors import QKVError

__all__ = ["TeXError", "mathml"]

_CONVERTER = math_core.LatexToMathML(annotation=True, fancy_error=False)
# What math-core accepts and then draws wrongly or not at all.
_TOKEN = re.compile(
    r"\\begin\{(?P<begin>[^}]*)\}|(?P<end>\\end\b)|(?P<row>\\\\)|\\.|(?P<comment>%)", re.DOTALL
)
_NUMBERED = {"equation", "align", "gather", "multline"}
_BETTER = {
    "&ApplyFunction;": "\u2061",  # a name that HTML knows and XML (feeds, parsers) does not
    "\u0332</mo></mover>": "\u203e</mo></mover>",  # a combining mark is drawn beside its place
    "\u0332</mo></munder>": "_</mo></munder>",
}
_NAME = re.compile(
    r"(<msub>)<mi>(\w+)</mi>(?:<mrow>)?<m[in]>(\w+)</m[in]>.*?</msub>|<mi[^>]*>(\w+)</mi>", re.DOTALL
)
_EMPTY_LAST_ROW = re.compile(r"<mtr>(?:<mtd[^>]*></mtd>)+</mtr>(?=</mtable>)")


class TeXError(QKVError):
    """A formula is not TeX, or not of the part of TeX that browsers can draw."""


def _fail(what: str, tex: str, at: int) -> TeXError:
    # One line, counted from one as editors do.
    excerpt = " ".join(tex[at : at + 30].split()) or "its end"
    return TeXError(f"formula: {what} at character {at + 1}, near {excerpt}")


def _refuse_what_vanishes(tex: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(tex):
        if token["begin"] is not None:
            depth += 1
            if token["begin"] in _NUMBERED:
                name = token["begin"]
                raise _fail(f"equations are not numbered, write {name}* for {name}", tex, token.start())
        elif token["end"]:
            depth -= 1
        elif token["row"] and depth == 0:
            raise _fail(r"\\ breaks lines only inside an environment such as aligned", tex, token.start())
        elif token["comment"]:
            raise _fail(r"% hides the rest of its line, write \%", tex, token.start())


def mathml(tex: str, *, display: bool, role: Callable[[str], str] = lambda name: "") -> str:
    r"""Turn one formula into one `<math>` element.

    The TeX stays inside as an annotation: browsers neither show it nor hand it to screen readers (those read
    the MathML), but it can be copied from the source and is found by the site's search.

    Args:
        tex: The formula without its dollar signs.
        display: Whether it stands on a line of its own.
        role: Gives for a letter, or a letter with its index as in `W_Q`, the class that colours it, or nothing.

    Returns:
        HTML, also well-formed XML. A number is plain digits, so that it is found as text. Calls know nothing
            of each other.

    Raises:
        TeXError: If a command is unknown, a brace or environment is left open, or the browser would not show
            what the TeX says. The message is one line and names the place.

    Source:
        W3C, MathML Core (what browsers draw).

    Examples:
        >>> print(mathml("q = 15", display=False)[:60])
        <math><semantics><mrow><mi>q</mi><mo>=</mo><mn>15</mn></mrow
        >>> mathml(r"x + \nosuch", display=True)
        Traceback (most recent call last):
        qkvdocs.engine.typeset._maths.TeXError: formula: Unknown command "\nosuch" at character 5, near \nosuch
    """
    if not tex.strip():
        raise TeXError("formula: must hold something, got only spaces")
    _refuse_what_vanishes(tex)
    try:
        html = _CONVERTER.convert_with_local_state(tex, displaystyle=display)
    except math_core.LatexError as error:
        at, _, what = str(error).partition(": ")
        raise _fail(what.rstrip("."), tex, int(at)) from None
    for written, better in _BETTER.items():
        html = html.replace(written, better)
    html = _EMPTY_LAST_ROW.sub("", html)
    drawn = html.partition("<annotation")[0]
    if "<menclose" in drawn:
        raise TeXError(r"formula: browsers do not draw boxes and strokes (\boxed, \cancel)")
    for char in drawn:
        if char.isdigit() and not char.isascii():
            raise TeXError(
                f"formula: digits must be 0 to 9 to be found as text, got {char}. Put them outside \\mathbf"
            )
    head, mark, rest = html.partition("<annotation")
    made = _NAME.sub(lambda name: _coloured(name, role), head) + mark + rest
    # Only Chromium lets a formula scroll by itself.
    return f'<div class="formula">{made}</div>' if display else made


def _coloured(name: re.Match[str], role: Callable[[str], str]) -> str:
    found = role(f"{name[2]}_{name[3]}" if name[1] else name[4])
    return re.sub(r"(?<=^<m)(sub|i)", rf'\1 class="{found}"', name[0]) if found else name[0]
