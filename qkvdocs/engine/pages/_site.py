"""What a built folder still needs, for any builder: fonts, figures' style, an index of words, Python to run."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

from qkvdocs.engine.pages._runnable import place_all
from qkvdocs.engine.pages._search import sections
from qkvdocs.engine.settings import Settings
from qkvdocs.engine.typeset import cut, glyphs_in, subset

RUN = "runtime/assets/qkv-run.js"
PRINTABLE = frozenset(range(0x20, 0x7F))
FEATURES = ("kern", "liga", "lnum", "tnum")


def finish(site: Path, docs: Path) -> None:
    """Put beside the pages the fonts, cut to the characters in use, the figures' style, the scripts, and the index.

    Args:
        site: A folder of built pages.
        docs: The Markdown files that it was built from.

    Raises:
        QKVError: If a file of the fetched runtime is not the one that is meant, or a font is not there.
    """
    settings = Settings.of(docs)
    pages = texts(site)
    assets = site / "assets"
    assets.mkdir(exist_ok=True)
    cache = docs.parent / ".cache" / "fonts"
    (assets / "maths.woff2").write_bytes(subset(set().union(*map(glyphs_in, pages.values())), cache))
    used = PRINTABLE | set().union(*(map(ord, set(page)) for page in pages.values()))
    for font in settings.fonts:
        features = font.get("features", FEATURES)
        made = cut(font["source"], font["family"], used, features=features, cache=cache)
        (assets / font["file"]).write_bytes(made)
    (assets / Path(RUN).name).write_bytes(files("qkvdocs.engine").joinpath(RUN).read_bytes())
    for name in settings.assets:
        package, _, inside = name.partition("/")
        (assets / Path(name).name).write_bytes(files(package).joinpath(inside).read_bytes())
    index = [
        (f"{address.removesuffix('index.html')}#{anchor}".removesuffix("#"), *words)
        for address, page in pages.items()
        for anchor, *words in sections(page, settings.unsearched)
    ]
    (site / "search").mkdir(exist_ok=True)
    (site / "search" / "index.json").write_text(json.dumps(index, ensure_ascii=False), "utf-8")
    place_all(docs.parent, docs, site / "runtime")


def texts(site: Path) -> dict[str, str]:
    """Read a built folder: each page by its path inside it, in a fixed order; not the page for wrong addresses."""
    paths = (path for path in sorted(site.rglob("*.html")) if path != site / "404.html")
    return {path.relative_to(site).as_posix(): path.read_text("utf-8") for path in paths}


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
