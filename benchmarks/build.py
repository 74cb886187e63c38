"""What execution costs the build: the site against the same pages with their outputs pasted in.

    python benchmarks/build.py [--rounds 5]

Each round builds both sites once, in turn, so that a busy machine slows both. Printed are medians and their ratio;
the budget is 1.3. Diagrams are cached in both.
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

from qkvdocs.lessons import run_page

ROOT = Path(__file__).parents[1]
BUDGET = 1.3


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
        for number in range(rounds + 1):
            for name, root in roots.items():
                taken = build(root, Path(folder, "out", name))
                if number:  # the first fills the cache of diagrams
                    times[name].append(taken)
                print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:10}{medians[name]:6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    ratio = medians["executed"] / medians["pasted"]
    print(f"ratio     {ratio:6.2f}     (budget {BUDGET})")
    return ratio > BUDGET


if __name__ == "__main__":
    sys.exit(main())
