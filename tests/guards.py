"""Break each rule of the engine on purpose, in a copy: the test that `guards.toml` names must fail.

python -m tests.guards            all of them, some minutes
python -m tests.guards warning    those whose rule has this word
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("qkvdocs", "tests", "docs", "benchmarks", "mkdocs.yml", "pyproject.toml")


def copy_to(folder: Path) -> None:
    """Work on a copy, so that the checkout may be edited meanwhile."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def passes(folder: Path, *tests: str) -> bool:
    """Run tests over whatever the copy now holds."""
    words = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    code = subprocess.run(words, cwd=folder, env=env, capture_output=True, check=False).returncode
    if code not in {0, 1}:  # nothing was collected, or pytest itself failed
        sys.exit(f"pytest ended with {code}: {' '.join(tests)}")
    return code == 0


def broken(
    folder: Path, entries: Iterable[dict[str, str]], noticed: Callable[[dict[str, str]], bool]
) -> Iterator[tuple[dict[str, str], bool]]:
    """Break one line after the other, each for as long as it takes to ask who notices."""
    for entry in entries:
        path = folder / entry["file"]
        source = path.read_text("utf-8")
        if source.count(entry["old"]) != 1:
            sys.exit(f"{entry['old']!r} must stand once in {entry['file']}")
        path.write_text(source.replace(entry["old"], entry["new"]), "utf-8")
        yield entry, noticed(entry)
        path.write_text(source, "utf-8")


def silent(entries: list[dict[str, str]], *options: str) -> int:
    """Break, one at a time, in a copy; tell of each whether its test bites, and how many do not."""
    count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_to(folder)
        if not passes(folder, *options, *{entry["test"] for entry in entries}):
            sys.exit("the tests must pass before anything is broken, and they fail")
        noticed = broken(folder, entries, lambda entry: not passes(folder, *options, entry["test"]))
        for entry, bites in noticed:
            print("bites " if bites else "SILENT", entry["rule"], flush=True)
            count += not bites
    return count


def main(words: list[str]) -> int:
    """Tell which rules nobody watches."""
    guards = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["guard"]
    return bool(silent([guard for guard in guards if all(word in guard["rule"] for word in words)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
