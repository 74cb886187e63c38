"""The picture on the README: the landing page's figure, in light and in dark.

python -m tests.browser.picture [SITE]
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.engine.export._browser import chromium

ROOT = Path(__file__).parents[2]
FIGURE = "figure.qkv-consult .qkv-body"
EDGE = 20
FILES = {scheme: ROOT / ".github" / f"figure-{scheme}.png" for scheme in ("light", "dark")}


def draw(browser: Browser, page: Path, scheme: str) -> Image.Image:
    """Picture the figure as a reader with that scheme sees it, in few colours."""
    opened = browser.new_page(
        viewport={"width": 1100, "height": 900}, color_scheme=scheme, device_scale_factor=1.5
    )
    opened.goto(page.as_uri())
    opened.evaluate("document.fonts.ready")
    # What stands above would move it by parts of a dot.
    opened.locator(FIGURE).evaluate(
        "figure => document.querySelectorAll('article > *').forEach(e => e.contains(figure) || e.remove())"
    )
    box = opened.locator(FIGURE).bounding_box()
    assert box
    clip = {
        "x": box["x"] - EDGE,
        "y": box["y"] - EDGE,
        "width": box["width"] + 2 * EDGE,
        "height": box["height"] + EDGE,
    }
    drawn = Image.open(io.BytesIO(opened.screenshot(clip=clip, full_page=True)))
    opened.close()
    return drawn.convert("RGB").quantize(64, dither=Image.Dither.NONE)


def main() -> int:
    """Draw both anew."""
    page = Path(*sys.argv[1:] or ["site"]).absolute() / "index.html"
    with chromium() as browser:
        for scheme, file in FILES.items():
            draw(browser, page, scheme).save(file, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
