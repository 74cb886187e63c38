"""The search, loaded when somebody searches: until then a page carries none of it."""

import json
import re
from importlib.resources import files
from pathlib import Path

from rjsmin import jsmin

WORKER = re.compile(r'(?<="search":)(\s*)"([^"]*/)?workers/(search\.[\w.]+\.js)"')


def delay_search(site: Path) -> None:
    """Put a small worker before the theme's own, and an empty index before the full one.

    The theme starts its search worker and fetches the whole index on every first visit. The small worker says at
    once that it is ready, and brings the real ones when the first letter is typed.

    Args:
        site: A built folder, changed in place; left alone if it has no search.
    """
    index = site / "search" / "search_index.json"
    workers = site / "assets" / "javascripts" / "workers"
    if not index.is_file() or not workers.is_dir():
        return
    (real,) = workers.glob("search.*.js")
    shim = files("qkvdocs.engine").joinpath("publish", "assets", "search.js").read_text("utf-8")
    (workers / "search.js").write_text(jsmin(shim).replace("REAL", real.name), "utf-8")
    full = json.loads(index.read_text("utf-8"))
    index.rename(index.with_name("index.json"))
    index.write_text(json.dumps({**full, "docs": []}, ensure_ascii=False), "utf-8")
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        path.write_text(WORKER.sub(r'\1"\2workers/search.js"', text), "utf-8")
