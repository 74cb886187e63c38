"""Shown digits must not hang on the last place of a float: another processor may round it the other way.

Each page is run again with the last place of every inexact number disturbed, and on other BLAS kernels. A digit
that changes is at risk. Numbers that are integers are left alone: sums of small integers are exact everywhere.
"""

import argparse
import ast
import builtins
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qkvdocs.lessons._errors import LessonError
from qkvdocs.lessons._forge import Mode
from qkvdocs.lessons._ledger import blocks
from qkvdocs.lessons._page import run_page

RUNS = 20
KERNELS = {
    "x86_64": ("Prescott", "Haswell"),
    "AMD64": ("Prescott", "Haswell"),
    "aarch64": ("ARMV8", "NEOVERSEN1"),
}
HOOK = "__qkvdocs_noise__"


def noisy(seed: int) -> Callable[[ast.AST], ast.AST]:
    """Make the rewriting that disturbs a page's numbers.

    Args:
        seed: Of the disturbances.

    Returns:
        A function from a syntax tree to one in which the result of every call and operation is disturbed.
    """
    rng = np.random.default_rng(seed)
    setattr(builtins, HOOK, lambda value: disturb(value, rng))

    def transform(tree: ast.AST) -> ast.AST:
        disturbed: ast.AST = Disturber().visit(tree)
        return ast.fix_missing_locations(disturbed)

    return transform


class Disturber(ast.NodeTransformer):
    """Wrap the expressions that can make an inexact number."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Rewrite from the inside out."""
        super().generic_visit(node)
        if isinstance(node, ast.Call | ast.BinOp):
            return ast.copy_location(ast.Call(ast.Name(HOOK, ast.Load()), [node], []), node)
        return node


def disturb(value: Any, rng: np.random.Generator) -> Any:
    """Move the inexact floats of a value by at most one unit in the last place.

    Args:
        value: Anything; only floats, and arrays and tuples of them, change.
        rng: Source of the disturbances.

    Returns:
        The same kind of value.
    """
    if isinstance(value, tuple):
        parts = [disturb(part, rng) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        exact = ~np.isfinite(value) | (value == np.round(np.where(np.isfinite(value), value, 0)))
        towards = rng.choice([-np.inf, np.inf], value.shape).astype(value.dtype)
        return np.where(exact | (rng.random(value.shape) < 1 / 3), value, np.nextafter(value, towards))
    if isinstance(value, float | np.floating):
        return type(value)(disturb(np.asarray(value), rng)[()])
    return value


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
    parser.add_argument("--runs", type=int, default=RUNS, help="how many times to disturb each page")
    given = parser.parse_args(arguments)
    found = 0
    for path in sorted(Path.cwd().joinpath("docs").rglob("*.md")):
        for line in at_risk(path, Path.cwd(), given.runs):
            found += 1
            print(line, file=sys.stderr)  # noqa: T201
    print(f"{found} digits at risk" if found else "no shown digit is at risk")  # noqa: T201
    return 1 if found else 0
