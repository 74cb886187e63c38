"""What a built folder still needs, for any builder: the maths font."""

from pathlib import Path

from qkvdocs.lessons._fonts import glyphs_in, subset


def finish(site: Path) -> None:
    """Put the maths font, cut to the glyphs that the pages use, beside the stylesheet.

    Args:
        site: A folder of built pages.
    """
    glyphs = set().union(*(glyphs_in(page.read_text("utf-8")) for page in sorted(site.rglob("*.html"))))
    font = site / "assets" / "maths.woff2"
    font.parent.mkdir(exist_ok=True)
    font.write_bytes(subset(glyphs))
