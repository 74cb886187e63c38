"""What the real site costs: with all checks, as the builder leaves it, with outputs pasted in, and as it once was.

    python benchmarks/build.py [--rounds 3] [--old 18abd8b]

Each round builds all of them once, in turn, so that a busy machine slows all. Printed are medians and two ratios:
executed to pasted (budget 1.2), and all checks to one plain build of an older commit (budget 1.5); and what
experiments take one after the other (fences over 10 ms: training, draws by the hundred, whole examinations; budget
10 s), since pages run while others are converted. Diagrams are cached in all.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qkvdocs.engine.pages import _forge, run_page

ROOT = Path(__file__).parents[1]
RUN, CHECK = 1.2, 1.5
EXPERIMENT, EXPERIMENTS = 0.01, 10
"""Seconds: what takes longer is an experiment, and what all may take."""


def pasted(path: Path, docs: Path) -> str:
    """Write a page as it would be without execution: the same code and outputs as static text."""
    page = run_page(path, docs.parent)
    head = path.read_text("utf-8").split("\n")[: page.first - 1]
    text = "\n".join(head + page.lines)
    text = re.sub(r'^(\s*`{3,})mermaid line="\d+"$', r"\1mermaid", text, flags=re.M)
    # What shows code is a fence that says nothing of running.
    return re.sub(r"^([ \t>]*`{3,})python\b(?!.*\bexec=)", r'\1python exec="no"', text, flags=re.M)


def build(root: Path, out: Path, *command: str) -> float:
    """Time one build, as a whole process, with the package that lies there."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *(command or ("mkdocs", "build")), "-q", "-d", str(out)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(root)},
        check=True,
    )
    return time.perf_counter() - began


def copy_to(root: Path) -> None:
    """Lay out what a build of the real site reads."""
    for name in ("docs", "qkvdocs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", root)


def checkout(commit: str, root: Path) -> Path:
    """Lay out an older commit."""
    archive = root.with_suffix(".tar")
    subprocess.run(["git", "archive", "-o", str(archive), commit], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, root, filter="data")
    return root


def experiments() -> tuple[int, float]:
    """Run all pages; count what takes long, and add it up."""
    asked, long = _forge.Kernel.ask, []

    def timed(kernel: _forge.Kernel, requests: Any) -> Iterator[Any]:
        began = time.perf_counter()
        for reply in asked(kernel, requests):
            long.append(time.perf_counter() - began)
            yield reply
            began = time.perf_counter()

    run_page(ROOT / "docs" / "index.md", ROOT)  # warms up
    _forge.Kernel.ask = timed  # type: ignore[method-assign]
    for path in sorted((ROOT / "docs").rglob("*.md")):
        run_page(path, ROOT)
    _forge.Kernel.ask = asked  # type: ignore[method-assign]
    taken = [seconds for seconds in long if seconds > EXPERIMENT]
    return len(taken), sum(taken)


def main() -> int:
    """Print the medians, the spread and the ratios; exit 1 above a budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--old", default="18abd8b")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder, name) for name in ("executed", "pasted")}
        for root in roots.values():
            copy_to(root)
        for path in sorted((roots["pasted"] / "docs").rglob("*.md")):
            path.write_text(pasted(path, roots["pasted"] / "docs"), "utf-8")
        roots |= {"checked": roots["executed"], "old": checkout(given.old, Path(folder, "old"))}
        times: dict[str, list[float]] = {name: [] for name in roots}
        apart = []
        for number in range(given.rounds + 1):
            for name, root in roots.items():
                command = ("qkvdocs", "build") if name == "checked" else ()
                taken = build(root, Path(folder, "out", name), *command)
                if number:  # the first fills the cache of diagrams
                    times[name].append(taken)
            apart.append(experiments())
            print(f"\rround {number} of {given.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:10}{medians[name]:6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    count, seconds = statistics.median(count for count, _ in apart), statistics.median(s for _, s in apart)
    print(f"{count:.0f} experiments {seconds:.2f} s (budget {EXPERIMENTS} s)")
    run, check = medians["executed"] / medians["pasted"], medians["checked"] / medians["old"]
    print(f"executed to pasted {run:.2f} (budget {RUN}); checked to {given.old} {check:.2f} (budget {CHECK})")
    return run > RUN or check > CHECK or seconds > EXPERIMENTS


if __name__ == "__main__":
    sys.exit(main())
