"""What is made of the built pages: twins in Markdown, notebooks and scripts, the site for a folder, on paper."""

from qkvdocs.engine.export._export import export
from qkvdocs.engine.export._markdown import article, markdown

__all__ = ["article", "export", "markdown"]
