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

from qkvdocs.lessons import fences, run_page

ROOT = Path(__file__).parents[1]
BUDGET = 1.3


def pasted(path: Path, docs: Path) -> str:
    """Write a page as it would be without execution: the same fences and outputs as static text."""
    page = run_page(docs / path.relative_to(docs), docs.parent)
    written = path.read_text("utf-8").split("\n")
    head, lines = "\n".join(written[: page.first - 1]), list(page.lines)
    running = [fence for fence in fences(written[page.first - 1 :]) if fence.runs]
    entries = [entry for entry in page.entries if entry.fence]
    for entry, fence in reversed(list(zip(entries, running, strict=True))):
        asked = entry.fence.options if entry.fence else {}
        parts = []
        if asked.get("source"):
            parts += [f'```python exec="no"\n{entry.code}\n```', ""]
        if entry.text and asked.get("html") == "on":
            parts += [f"<div>{entry.text}</div>"]
        elif entry.text and asked.get("result"):
            parts += [f"```{asked['result']}\n{entry.text}\n```"]
        elif entry.text:
            parts += [entry.text]
        block = "\n".join(parts).split("\n")
        lines[fence.line : fence.end + 1] = [fence.prefix + line for line in block]
    text = re.sub(r'^(\s*`{3,})mermaid line="\d+"$', r"\1mermaid", "\n".join(lines), flags=re.M)
    return f"{head}\n{text}" if head else text


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
            for name in ("docs", "qkvdocs"):
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
