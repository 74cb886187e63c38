"""From a saved edit of the real site to the served page, in the dev server. `python benchmarks/edits.py [--times 5]`.

Printed are medians for edits of pages, beyond what the page's own fences take (budget 1.5 s), and for an edit of the
package, until the page that is being read shows it, likewise (budget 3 s).
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from build import copy_to  # noqa: E402

from qkvdocs.engine.pages import run_page  # noqa: E402
from tests.project import served  # noqa: E402

PAGES = ("index.md", "lessons/04-qkv-projections.md", "concepts/softmax.md")
Read = Callable[[str], str]
PAGE, PACKAGE = 1.5, 3.0
SHOWN = "qkvdocs/figures/_frame.py", "This figure in words"
"""Of the package, a text that every page with a figure shows."""


def main() -> int:
    """Serve a copy, edit it, and print; exit 1 above a budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    rounds = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_to(root)
        shutil.copytree(ROOT / ".cache" / "diagrams", root / ".cache" / "diagrams")
        with served(root, root / "log") as read:
            return measure(root, read, rounds)


def measure(root: Path, read: Read, rounds: int) -> int:
    """Edit, wait, print."""
    late = False
    for page in PAGES:
        path, marks = root / "docs" / page, [f"edit{'x' * turn}y" for turn in range(rounds)]
        text = path.read_text("utf-8")
        waits = [wait(read, page, mark, path, f"{text}\n{mark}\n") for mark in marks]
        late |= told(page, waits, own(page, rounds), PAGE)
    file, shown = SHOWN
    path, page, marks = root / file, PAGES[1], [f"{shown} {'x' * turn}y" for turn in range(rounds)]
    text = path.read_text("utf-8")
    waits = [wait(read, page, mark, path, text.replace(shown, mark)) for mark in marks]
    return late | told(f"{file}, {page}", waits, own(page, rounds), PACKAGE)


def own(page: str, rounds: int) -> float:
    """Time what the page's fences and values take by themselves."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run_page(ROOT / "docs" / page, ROOT)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def wait(read: Read, page: str, mark: str, file: Path, text: str) -> float:
    """Edit a file, and read the page until it shows the mark."""
    url = page.removesuffix("index.md").replace(".md", "/")
    while not read(url):
        time.sleep(0.2)
    began = time.perf_counter()
    file.write_text(text, "utf-8")
    while mark not in read(url):
        time.sleep(0.02)
    return time.perf_counter() - began


def told(what: str, waits: list[float], fences: float, budget: float) -> bool:
    """Print a line; tell whether it is above the budget."""
    median = statistics.median(waits)
    print(
        f"{what}: {median:.2f} s ({min(waits):.2f} to {max(waits):.2f}), own fences {fences:.2f} s, ", end=""
    )
    print(f"beyond them {median - fences:.2f} s (budget {budget} s)", flush=True)
    return median - fences > budget


if __name__ == "__main__":
    sys.exit(main())
