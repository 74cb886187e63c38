"""What execution costs the build: the site against the same pages with their outputs pasted in.

    python benchmarks/build.py [--rounds 5]

Each round builds both sites once, in turn, so that a busy machine slows both, and runs all pages without building
them. Printed are medians, their ratio (budget 1.3, experiments and all: pages run while others are converted), and
what experiments take one after the other (fences over 10 ms: training, draws by the hundred, whole examinations;
budget 10 s). Diagrams are cached in both.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qkvdocs.engine.pages import _forge, run_page

ROOT = Path(__file__).parents[1]
BUDGET = 1.3
EXPERIMENT, EXPERIMENTS = 0.01, 10
"""Seconds: what takes longer is an experiment, and what all may take."""


def pasted(path: Path, docs: Path) -> str:
    """Write a page as it would be without execution: the same code and outputs as static text."""
    page = run_page(path, docs.parent)
    head = path.read_text("utf-8").split("\n")[: page.first - 1]
    text = "\n".join(head + page.lines)
    text = re.sub(r'^(\s*`{3,})mermaid line="\d+"$', r"\1mermaid", text, flags=re.M)
    # What shows code is a fence that says nothing of running.
    return re.sub(r"^([ \t>]*`{8,})python\b(?!.*\bexec=)", r'\1python exec="no"', text, flags=re.M)


def build(root: Path, out: Path) -> float:
    """Time one build, as a whole process."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(out)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return time.perf_counter() - began


def experiments() -> tuple[int, float]:
    """Run all pages; count what takes long, and add it up."""
    asked, long = _forge.Kernel.ask, []

    def timed(kernel: _forge.Kernel, **request: Any) -> dict[str, Any]:
        began = time.perf_counter()
        reply = asked(kernel, **request)
        long.append(time.perf_counter() - began)
        return reply

    run_page(ROOT / "docs" / "index.md", ROOT)  # warms up
    _forge.Kernel.ask = timed  # type: ignore[method-assign]
    for path in sorted((ROOT / "docs").rglob("*.md")):
        run_page(path, ROOT)
    _forge.Kernel.ask = asked  # type: ignore[method-assign]
    taken = [seconds for seconds in long if seconds > EXPERIMENT]
    return len(taken), sum(taken)


def main() -> int:
    """Print the medians, the spread and the ratio; exit 1 above the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder, name) for name in ("executed", "pasted")}
        for root in roots.values():
            for name in ("docs", "qkvdocs", "tests"):
                shutil.copytree(ROOT / name, root / name)
            shutil.copy(ROOT / "mkdocs.yml", root)
        for path in sorted((roots["pasted"] / "docs").rglob("*.md")):
            path.write_text(pasted(path, roots["pasted"] / "docs"), "utf-8")
        times: dict[str, list[float]] = {name: [] for name in roots}
        apart = []
        for number in range(rounds + 1):
            for name, root in roots.items():
                taken = build(root, Path(folder, "out", name))
                if number:  # the first fills the cache of diagrams
                    times[name].append(taken)
            apart.append(experiments())
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:10}{medians[name]:6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    count, seconds = statistics.median(count for count, _ in apart), statistics.median(s for _, s in apart)
    print(f"{count:.0f} experiments {seconds:.2f} s (budget {EXPERIMENTS} s)")
    ratio = medians["executed"] / medians["pasted"]
    print(f"ratio {ratio:.2f} (budget {BUDGET})")
    return ratio > BUDGET or seconds > EXPERIMENTS


if __name__ == "__main__":
    sys.exit(main())
