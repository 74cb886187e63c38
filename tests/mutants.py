"""Break the core in every small way that a tool knows, and in some that we know: tests must notice.

python -m tests.mutants                 all mutants, about ten minutes on two processors
python -m tests.mutants --since main    modules changed since then; all, if tests changed

A mutant that no test notices must stand in `core/equivalent_mutants.toml`, with the reason why nobody can.
What mutmut does not touch (properties, constants, whole statements) is broken by hand in `core/hand_mutants.toml`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tests.evaluate import files, git
from tests.guards import broken

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests" / "core"
CORE = "qkvdocs/core"
WATCHED = (CORE, "tests/core")
KILLED = {1: "killed", 24: "timeout", -24: "timeout"}
# Mutants are read from source: a stale .pyc of the same size and second would hide them.
FRESH = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def changed_modules(revision: str) -> list[str]:
    """Core modules to break: those that differ from `revision`, or all if something around them does."""
    modules = [name for name in files(WATCHED) if name.startswith(CORE)]
    changed = {*git("diff", "--name-only", revision, "--", *WATCHED)}
    changed |= {*git("ls-files", "--others", "--exclude-standard", *WATCHED)}
    return [name for name in modules if name in changed] if changed <= set(modules) else modules


def copy_to(folder: Path) -> None:
    """Work on a copy, so that the checkout may be edited meanwhile."""
    for name in [*files(WATCHED), "qkvdocs/__init__.py", "qkvdocs/errors.py", "pyproject.toml"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def run_mutmut(folder: Path, modules: list[str]) -> dict[str, int | None]:
    """Run the tool with a line of progress every few seconds; exit code of the tests by mutant."""
    prefixes = [name.removesuffix(".py").replace("/", ".") + "." for name in modules]
    command = [sys.executable, "-B", "-m", "mutmut", "run", "--max-children", str(os.cpu_count() or 1)]
    shown, last = 0.0, ""
    with subprocess.Popen(
        [*command, *(f"{prefix}*" for prefix in prefixes)],
        cwd=folder, env=FRESH, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            last = line.strip() or last
            if time.monotonic() - shown > 5 and re.search(r"\d+/\d+", line):
                print(" ", last, flush=True)
                shown = time.monotonic()
    if process.returncode:
        sys.exit(f"mutmut failed: {last}")
    codes: dict[str, int | None] = {}
    for meta in sorted((folder / "mutants" / CORE).glob("*.meta")):
        codes |= json.loads(meta.read_text())["exit_code_by_key"]
    return {name: code for name, code in codes.items() if name.startswith(tuple(prefixes))}


def changed_lines(folder: Path, name: str) -> tuple[str, str, str]:
    """Where a mutant is and what it changes, without the number that the next edit would shift."""
    command = [sys.executable, "-B", "-m", "mutmut", "show", name]
    diff = subprocess.run(command, cwd=folder, env=FRESH, check=True, capture_output=True, text=True).stdout
    removed, added = (
        " ".join(re.findall(rf"^\{sign}(?!{re.escape(sign * 2)})(.*)$", diff, re.M)) for sign in "-+"
    )
    module = name.split(".x")[0]
    return module, " ".join(removed.split()), " ".join(added.split())


def tests_pass(folder: Path) -> bool:
    """Run the tests of the core over whatever the copy now holds."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--import-mode=importlib", "tests/core"]
    return subprocess.run(command, cwd=folder, env=FRESH, capture_output=True).returncode == 0


def hand_mutants(folder: Path, modules: list[str]) -> tuple[int, list[str]]:
    """Break by hand, one at a time; how many, and which of them nobody noticed."""
    if not tests_pass(folder):
        sys.exit("the tests of the core must pass before it is broken, and they fail")
    mutants = tomllib.loads((HERE / "hand_mutants.toml").read_text())["mutant"]
    mutants = [mutant for mutant in mutants if mutant["file"] in modules]
    alive = []
    noticed = broken(folder, mutants, lambda _: not tests_pass(folder))
    for number, (mutant, bites) in enumerate(noticed, start=1):
        alive += [] if bites else [f"{mutant['file']}: {mutant['old']} -> {mutant['new']}"]
        print(f"  {number}/{len(mutants)} by hand, {len(alive)} alive", flush=True)
    return len(mutants), alive


def main() -> None:
    """Run, compare with the list of equivalents, fail if anything else is alive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--since", metavar="REVISION")
    options = parser.parse_args()
    everything = [name for name in files(WATCHED) if name.startswith(CORE)]
    modules = changed_modules(options.since) if options.since else everything
    if not modules:
        print("no module of the core has changed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_to(folder)
        by_hand, unnoticed = hand_mutants(folder, modules)
        codes = run_mutmut(folder, modules)
        alive = {
            changed_lines(folder, mutant): mutant for mutant, code in codes.items() if code not in KILLED
        }
        not_killed = sum(code not in KILLED for code in codes.values())
    listed = {
        (entry["module"], entry["old"], entry["new"])
        for entry in tomllib.loads((HERE / "equivalent_mutants.toml").read_text())["equivalent"]
        if entry["module"].replace(".", "/") + ".py" in modules
    }
    unnoticed += [f"{alive[key]}: {key[1]} -> {key[2]}" for key in alive if key not in listed]
    stale = [f"{key[0]}: {key[1]} -> {key[2]}" for key in listed if key not in alive]
    killed = len(codes) - not_killed
    if unnoticed or stale or not codes:
        sys.exit("\n".join(["alive:", *unnoticed, "listed as equivalent but not alive:", *stale]))
    print(f"{len(codes)} mutants: {killed} killed, {not_killed} listed; {by_hand} by hand: all killed")


if __name__ == "__main__":
    main()
