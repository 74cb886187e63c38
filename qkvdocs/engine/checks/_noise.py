"""Shown digits must not hang on the last place of a float: another processor may round it the other way.

Each page is run again with the last place of every inexact number disturbed, and on other BLAS kernels. A digit
that changes is at risk. Numbers that are integers are left alone: sums of small integers are exact everywhere.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qkvdocs.engine.checks._ledger import blocks
from qkvdocs.engine.pages import LessonError, Mode, run_page

RUNS = 20
KERNELS = {
    "x86_64": ("Prescott", "Haswell"),
    "AMD64": ("Prescott", "Haswell"),
    "aarch64": ("ARMV8", "NEOVERSEN1"),
}


def at_risk(path: Path, root: Path, runs: int = RUNS) -> Iterator[str]:
    """Find the shown digits of a page that a disturbance changes.

    Args:
        path: The page.
        root: The folder that messages are relative to.
        runs: How many times to disturb it.

    Yields:
        One line a digit at risk, `file:line: DigitAtRisk: …`.
    """
    quiet = list(blocks(run_page(path, root)))
    file = path.relative_to(root).as_posix()
    modes = [Mode(noise=seed) for seed in range(runs)]
    modes += [
        Mode(environment={"OPENBLAS_CORETYPE": kernel}) for kernel in KERNELS.get(platform.machine(), ())
    ]
    told = set()
    for mode in modes:
        try:
            disturbed = list(blocks(run_page(path, root, mode=mode)))
        except LessonError as error:
            yield f"{file}:{error.line}: DigitAtRisk: fails under noise: {error.kind}: {error.message}"
            return
        for before, after in zip(quiet, disturbed, strict=True):
            if before.text != after.text and before.name not in told:
                told.add(before.name)
                pairs = zip(before.text.split("\n"), after.text.split("\n"), strict=False)
                old, new = next(((old, new) for old, new in pairs if old != new), (before.text, after.text))
                yield f"{file}:{before.line}: DigitAtRisk: {before.name} shows {old!r} or {new!r}"


def main(arguments: list[str]) -> int:
    """Run the search over all pages as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs noise", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="the Markdown files; all, if none is named")
    parser.add_argument("--runs", type=int, default=RUNS, help="how many times to disturb each page")
    given = parser.parse_args(arguments)
    root = Path.cwd()
    paths = [path.absolute() for path in given.pages] or sorted(root.joinpath("docs").rglob("*.md"))
    found = 0
    # Threads only wait: each page runs in processes of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        risks = pool.map(lambda path: list(at_risk(path, root, given.runs)), paths)
        for number, (path, lines) in enumerate(zip(paths, risks, strict=True), 1):
            found += len(lines)
            print(f"{number}/{len(paths)} {path.relative_to(root).as_posix()}", *lines, sep="\n", flush=True)  # noqa: T201
    print(f"{found} digits at risk" if found else "no shown digit is at risk")  # noqa: T201
    return 1 if found else 0
