"""TeX becomes MathML, mermaid becomes SVG with its words, code gets its colours, fonts are cut to what is used."""

from qkvdocs.engine.typeset._code import keep_colours
from qkvdocs.engine.typeset._flowchart import MermaidError
from qkvdocs.engine.typeset._fonts import FAMILY, cut, glyphs_in, subset
from qkvdocs.engine.typeset._maths import TeXError, mathml
from qkvdocs.engine.typeset._mermaid import diagram

__all__ = [
    "FAMILY",
    "MermaidError",
    "TeXError",
    "cut",
    "diagram",
    "glyphs_in",
    "keep_colours",
    "mathml",
    "subset",
]
