"""How building grows: 6, 60 and 600 generated lessons, with execution, without, and run by bare markdown-exec.

    python benchmarks/growth.py [--sizes 6 60 600] [--rounds 3]

Each generated lesson has what a short real one has: eight fences that run, twelve values, a formula and a figure.
Without execution the same pages have their outputs pasted in (see benchmarks/build.py); for markdown-exec, which
knows no values in the text, only the values are. Each site has a search: ours, or the theme's. Every build is a new
process; what a first one leaves in .cache is there for all. Printed are medians, the seconds a lesson, and ratios
measured in the same run; the budget is 1.1 times markdown-exec, with the same theme, for the smallest size.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from build import build, pasted  # noqa: E402

from qkvdocs.engine.pages import run_page  # noqa: E402

BUDGET = 1.1
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
PRELOAD = [f"numpy.{part}" for part in ("linalg", "ma", "random")]
PRELOAD += ["jaxtyping", *(f"qkvdocs.{layer}" for layer in ("core", "figures", "numbers"))]
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
    for name in ("assets", "theme"):
        shutil.copytree(ROOT / "docs" / name, root / "docs" / name)
    site = (ROOT / "docs" / "site.toml").read_text("utf-8")
    site = re.sub(r"^preload = \[[^]]*\]", f"preload = {json.dumps(PRELOAD)}", site, flags=re.M)
    (root / "docs" / "site.toml").write_text(site, "utf-8")
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


def bare(root: Path) -> None:
    """Leave the fences to markdown-exec alone, and paste the values."""
    for path in sorted((root / "docs").glob("l*.md")):
        values = (entry.text for entry in run_page(path, root).entries if entry.fence is None)
        text = re.sub(r"`\{python\} [^`]*`", lambda _: next(values), path.read_text("utf-8"))  # noqa: B023
        path.write_text(text, "utf-8")
    settings = (root / "mkdocs.yml").read_text("utf-8")
    settings = re.sub(
        r"^hooks:.*\n(?:  .*\n)*|^  - qkvdocs.engine.pages:.*\n(?:      .*\n)*", "", settings, flags=re.M
    )
    settings = re.sub(r"^( +)- name: mermaid\n(?: +.*\n)*", "", settings, flags=re.M).replace(
        "custom_fences:\n", "{}\n"
    )
    (root / "mkdocs.yml").write_text(
        settings.replace("plugins:\n", "plugins:\n  - search\n  - markdown-exec\n"), "utf-8"
    )


def main() -> int:
    """Print a table; fail beyond the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 60, 600])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    forms = {"executed": lambda root: None, "pasted": paste, "markdown-exec": bare}
    print(f"{'lessons':>8}{'executed':>11}{'a lesson':>11}{'to pasted':>11}{'to markdown-exec':>18}")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            times: dict[str, list[float]] = {}
            for name, change in forms.items():
                generate(Path(folder, f"{name}{size}"), size)
                change(Path(folder, f"{name}{size}"))
            for number in range(given.rounds + 1):
                for name in forms:
                    taken = build(Path(folder, f"{name}{size}"), Path(folder, "out"))
                    if number:  # the first fills the caches
                        times.setdefault(name, []).append(taken)
            run, still, theirs = (statistics.median(times[name]) for name in forms)
            ratios.append(run / theirs)
            print(f"{size:8}{run:9.2f} s{1000 * run / size:8.0f} ms{run / still:11.2f}{run / theirs:18.2f}")
    print(f"{given.sizes[0]} lessons to markdown-exec {ratios[0]:.2f} (budget {BUDGET})")
    return ratios[0] > BUDGET


if __name__ == "__main__":
    sys.exit(main())
