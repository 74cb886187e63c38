"""What a built folder still needs, for any builder: the maths font, what the figures bring, Python to run in a page."""

import re
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from qkvdocs.engine.pages._runnable import place_all
from qkvdocs.engine.settings import Settings
from qkvdocs.engine.typeset import cut, glyphs_in, subset

RUN = "runtime/assets/qkv-run.js"
PRINTABLE = frozenset(range(0x20, 0x7F))


def finish(site: Path, docs: Path) -> None:
    """Put beside the stylesheet the fonts, cut to the characters in use, the figures' style, and the scripts.

    Args:
        site: A folder of built pages.
        docs: The Markdown files that it was built from.

    Raises:
        QKVError: If a file of the fetched runtime is not the one that is meant, or a font is not there.
    """
    settings = Settings.of(docs)
    pages = [page.read_text("utf-8") for page in sorted(site.rglob("*.html"))]
    assets = site / "assets"
    assets.mkdir(exist_ok=True)
    (assets / "maths.woff2").write_bytes(subset(set().union(*map(glyphs_in, pages))))
    used = PRINTABLE | set().union(*(map(ord, set(page)) for page in pages))
    for font in settings.fonts:
        made = cut(font["source"], font["family"], used, features=("kern", "liga", "lnum", "tnum"))
        (assets / font["file"]).write_bytes(made)
    (assets / Path(RUN).name).write_bytes(files("qkvdocs.engine").joinpath(RUN).read_bytes())
    for name in settings.assets:
        package, _, inside = name.partition("/")
        (assets / Path(name).name).write_bytes(files(package).joinpath(inside).read_bytes())
    # By a name that templates can know.
    for worker in (assets / "javascripts" / "workers").glob("search.*.js"):
        worker.replace(worker.with_name("search.js"))
    place_all(docs.parent, docs, site / "runtime")


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


def prose(html: str, classes: Sequence[str]) -> str:
    """Leave what a search should read: words, and short formulas as they are typed; nothing that is drawn.

    Args:
        html: A page's content.
        classes: Of the elements that go.

    Examples:
        >>> prose('<p>Let <math><mi>x</mi><annotation>x_0</annotation></math> be</p>', [])
        '<p>Let x_0 be</p>'
        >>> prose('a<div class="b c"><div>1</div>2</div><math><mo>∑</mo></math>', ["c"])
        'a∑'
    """
    names = "|".join(map(re.escape, classes)) or r"\b\B"
    marked = rf"<(math|svg)\b|<([\w-]+) class=[\"'](?:[^\"']* )?(?:{names})[ \"']"
    kept, end = [], 0
    for found in re.finditer(marked, html):
        if found.start() < end:
            continue
        kept.append(html[end : found.start()])
        depth = 0
        for tag in re.compile(rf"<(/?){found[1] or found[2]}\b[^>]*>").finditer(html, found.start()):
            depth += -1 if tag[1] else 1
            end = tag.end()
            if not depth:
                break
        if found[1] == "math" and 'display="block"' not in html[found.start() : found.start() + 60]:
            drawn, _, rest = html[found.start() : end].partition("<annotation")
            source = rest.partition(">")[2].partition("<")[0]
            kept.append(source if source and "\\" not in source else re.sub(r"<[^>]+>", "", drawn))
    return "".join([*kept, html[end:]])
