"""What a built folder still needs, for any builder: the maths font, and what the figures bring."""

import subprocess
from importlib.resources import files
from pathlib import Path

from qkvdocs.typeset import glyphs_in, subset

FIGURES = ("qkv.css", "qkv-live.js")


def finish(site: Path) -> None:
    """Put beside the stylesheet the maths font, cut to the glyphs in use, and the figures' style and script.

    Args:
        site: A folder of built pages.
    """
    glyphs = set().union(*(glyphs_in(page.read_text("utf-8")) for page in sorted(site.rglob("*.html"))))
    assets = site / "assets"
    assets.mkdir(exist_ok=True)
    (assets / "maths.woff2").write_bytes(subset(glyphs))
    for name in FIGURES:
        (assets / name).write_bytes(files("qkvdocs").joinpath("figures", "assets", name).read_bytes())


def date_of(root: Path) -> str:
    """Tell when the pages were last committed, so that a build says the same whenever it is made.

    Args:
        root: A folder of the repository.

    Returns:
        Seconds since the epoch, as `SOURCE_DATE_EPOCH` wants them; 0 outside a repository.
    """
    words = ["git", "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "0"
    return done.stdout.strip() or "0"
