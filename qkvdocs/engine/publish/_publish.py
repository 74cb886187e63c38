"""From a built folder to the one that is published, in the order in which the steps need each other."""

import re
import shutil
from pathlib import Path

from qkvdocs.engine.cores import divided
from qkvdocs.engine.publish._describe import described
from qkvdocs.engine.publish._policy import policy, protected
from qkvdocs.engine.publish._slim import Used, light, slim

THEMES = re.compile(r'name="generator" content="(?:.*mkdocs-material|zensical)')


def publish(site: Path) -> None:
    """Make a built folder light and closed.

    Args:
        site: The folder, changed in place: each page described, nothing that no page uses, one style sheet cut down
            to the rules in use, and a Content-Security-Policy in each page. A site in another theme is left as it is.

    Raises:
        ValueError: If pages link different style sheets.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = Path(folder, "index.html")
        ...     written = page.write_text("a site  in another theme")
        ...     publish(Path(folder))
        ...     page.read_text()
        'a site  in another theme'
    """
    home = site / "index.html"
    if not home.is_file() or not THEMES.search(home.read_text("utf-8")):
        return
    for path in site.rglob("*.map"):
        path.unlink()
    if not any("/javascripts/" in path.read_text("utf-8") for path in site.rglob("*.html")):
        shutil.rmtree(
            site / "assets" / "javascripts", ignore_errors=True
        )  # the theme's, which no page asks for
    lighten(site)


def lighten(site: Path) -> None:
    """Describe and close each page, and leave out of pages, style sheets and scripts what is not in use."""
    texts = {path: path.read_text("utf-8") for path in sorted(site.rglob("*.html"))}
    pages = divided(lambda path: Used.by(texts[path]), texts)
    slim(site, pages)
    said = policy(set().union(*(page.scripts for page in pages)))
    divided(lambda path: path.write_text(protected(light(described(texts[path])), said), "utf-8"), texts)
