"""TeX becomes MathML, mermaid becomes SVG with its words, and the maths font is cut to what is used."""

from qkvdocs.typeset._flowchart import MermaidError
from qkvdocs.typeset._fonts import FAMILY, glyphs_in, subset
from qkvdocs.typeset._maths import TeXError, mathml
from qkvdocs.typeset._mermaid import diagram

__all__ = ["FAMILY", "MermaidError", "TeXError", "diagram", "glyphs_in", "mathml", "subset"]
