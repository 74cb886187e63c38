"""How building and editing grow: 6, 60 and 600 generated lessons, with execution and without.

    python benchmarks/growth.py [--sizes 6 60 600] [--edits 3]

Each generated lesson has what a short real one has: eight fences that run, twelve values, a formula and a figure.
Without execution the same pages have their outputs pasted in (see benchmarks/build.py). Printed are seconds, the
seconds a lesson, and ratios measured in the same run; then how long the dev server takes from a saved edit to the
served page, in both forms (budget: 1.2 times).
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from build import build, pasted  # noqa: E402

BUDGET = 1.2
LESSON = """# Lesson {number}

```python exec="on" session="a"
import numpy as np
from qkvdocs.core import attend, project_qkv
from qkvdocs.figures import heatmap
from qkvdocs.numbers import fmt

rng = np.random.default_rng({number})
X = rng.integers(-3, 4, (3, 4))
W_Q, W_K, W_V = (rng.integers(-2, 3, (4, 2)) for _ in range(3))
```
{parts}

```python exec="on" html="on" session="a"
print(heatmap(attend(Q, K, V).pattern, caption="Who attends to whom."))
```
"""
PART = """
## Part {part} {{#part-{part}}}

The row is `{{python}} X[{row}]`, and its largest entry is `{{python}} X[{row}].max()`.

```python exec="on" session="a" source="above" result="text"
Q, K, V = project_qkv(X, W_Q, W_K, W_V)
print(Q[{row}] + {part})
```

\\(q = `{{python}} fmt(Q[{row}, 0])`\\)
"""


def generate(root: Path, size: int) -> None:
    """Write a site of so many lessons, in the project's own settings."""
    (root / "docs").mkdir(parents=True)
    shutil.copytree(ROOT / "qkvdocs", root / "qkvdocs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs" / "assets", root / "docs" / "assets")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    head, rest = settings.split("\nnav:\n")
    (root / "mkdocs.yml").write_text(head + "\n\nplugins:" + rest.split("\nplugins:")[1], "utf-8")
    (root / "docs" / "index.md").write_text("# Home\n\nGenerated.\n", "utf-8")
    for number in range(size):
        parts = "".join(PART.format(part=part, row=part % 3) for part in range(6))
        (root / "docs" / f"l{number:03}.md").write_text(LESSON.format(number=number, parts=parts), "utf-8")


def paste(root: Path) -> None:
    """Replace execution by its outputs."""
    for path in sorted((root / "docs").glob("l*.md")):
        path.write_text(pasted(path, root / "docs"), "utf-8")


def edit(root: Path, page: str, edits: int) -> float:
    """Time a saved edit until the dev server serves it; the median."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mkdocs", "serve", "-q", "-a", f"127.0.0.1:{port}"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(root)}
    server = subprocess.Popen(
        words, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def read() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}/", timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    path, times = root / "docs" / f"{page}.md", []
    text = path.read_text("utf-8")
    try:
        while not read():
            time.sleep(0.1)
        for number in range(edits):
            mark = f"edit{'x' * (number + 1)}y"
            began = time.perf_counter()
            path.write_text(f"{text}\n{mark}\n", "utf-8")
            while mark not in read():
                time.sleep(0.02)
            times.append(time.perf_counter() - began)
    finally:
        server.terminate()
        server.wait()
    return statistics.median(times)


def main() -> int:
    """Print tables; fail beyond the budget of an edit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 60, 600])
    parser.add_argument("--edits", type=int, default=5)
    given = parser.parse_args()
    print(f"{'lessons':>8}{'executed':>11}{'a lesson':>11}{'pasted':>9}{'ratio':>7}")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            roots = {name: Path(folder, f"{name}{size}") for name in ("executed", "pasted")}
            for root in roots.values():
                generate(root, size)
            paste(roots["pasted"])
            times = {name: build(root, Path(folder, "out")) for name, root in roots.items()}
            taken, still = times["executed"], times["pasted"]
            print(f"{size:8}{taken:9.2f} s{1000 * taken / size:8.0f} ms{still:7.2f} s{taken / still:7.2f}")
        for size in given.sizes[:1]:
            roots = {name: Path(folder, f"{name}{size}") for name in ("executed", "pasted")}
            waits = {name: edit(root, "l000", given.edits) for name, root in roots.items()}
            worst = waits["executed"] / waits["pasted"]
            print(
                f"edit of one of {size} lessons, until served: {waits['executed']:.2f} s executed, ", end=""
            )
            print(f"{waits['pasted']:.2f} s pasted: ratio {worst:.2f} (budget {BUDGET})")
    return worst > BUDGET


if __name__ == "__main__":
    sys.exit(main())
