"""Values become HTML, SVG and mermaid source that explain themselves, each with its words.

A figure is given what the lesson computed and lays it out; it computes nothing. But what it says of an entry
is tried first, and a sum that is not true raises. Figures with fields work without JavaScript too: pointing
at an entry, by mouse, keyboard or touch, marks what it is made of.
"""

from qkvdocs.figures._attention import attention_steps
from qkvdocs.figures._cache import cache
from qkvdocs.figures._consult import consult
from qkvdocs.figures._exercise import exercise
from qkvdocs.figures._flow import flow
from qkvdocs.figures._hall import hall
from qkvdocs.figures._heads import heads
from qkvdocs.figures._heatmap import heatmap
from qkvdocs.figures._lines import line_chart
from qkvdocs.figures._product import vectors_on_axes, worked_product
from qkvdocs.figures._ribbons import ribbons
from qkvdocs.figures._shapes import shape_flow
from qkvdocs.figures._stored import stored_matrix
from qkvdocs.figures._visibility import visibility

__all__ = [
    "attention_steps",
    "cache",
    "consult",
    "exercise",
    "flow",
    "hall",
    "heads",
    "heatmap",
    "line_chart",
    "ribbons",
    "shape_flow",
    "stored_matrix",
    "vectors_on_axes",
    "visibility",
    "worked_product",
]
