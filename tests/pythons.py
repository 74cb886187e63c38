"""Run the engine's tests and a build on the oldest and the newest Python found here; the sites must be the same.

`make pythons` does it: what `requires-python` promises is tested. An environment is made for each, once. The site of
this Python is the one in `QKVDOCS_SITE`, just built, if that is set.
"""

import filecmp
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
TESTS = ("tests/engine/pages",)  # all checks run in the build
PROBE = "import platform; print(platform.python_version())"
Version = tuple[int, int]


def promised() -> SpecifierSet:
    """Read `requires-python`."""
    return SpecifierSet(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    )


def candidates() -> Iterator[Path]:
    """List what may be a Python: on the path, pyenv's, uv's."""
    yield Path(sys.executable)
    for folder in map(Path, os.get_exec_path()):
        yield from sorted(folder.glob("python3.[0-9]*"))
    home = Path.home()
    roots = (
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python")),
    )
    for root in roots:
        yield from sorted(root.glob("*/bin/python3"))


def found(programs: Iterable[Path]) -> dict[Version, Path]:
    """Ask each program which Python it is; keep the first of each version that is promised, in order."""
    pythons: dict[Version, Path] = {}
    for program in programs:
        if not re.fullmatch(r"python(3(\.\d+)?)?", program.name):
            continue
        asked = subprocess.run([program, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
        if not asked.returncode and promised().contains(asked.stdout.strip(), prereleases=False):
            major, minor = map(int, asked.stdout.split(".")[:2])
            pythons.setdefault((major, minor), program)
    return dict(sorted(pythons.items()))


def differences(one: Path, other: Path) -> list[str]:
    """Name the files in which two folders differ, byte for byte."""
    names = sorted(
        {
            path.relative_to(folder).as_posix()
            for folder in (one, other)
            for path in folder.rglob("*")
            if path.is_file()
        }
    )
    same, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return [name for name in names if name not in set(same)]


def main() -> int:
    """Make the environments, run the tests, build, compare."""
    here = sys.version_info[:2]
    pythons = found(candidates())
    chosen = sorted({min(pythons), max(pythons), here})
    print("Python", *(f"{major}.{minor}" for major, minor in chosen), flush=True)
    built = {}
    for version in chosen:
        name = ".".join(map(str, version))
        if version == here and (given := os.environ.get("QKVDOCS_SITE")):
            built[name] = ROOT / given
            continue
        venv = ".venv" if version == here else f".venv-{name}"
        site = built[name] = ROOT / ".cache" / "pythons" / name
        steps = [[f"{venv}/bin/python", "-m", "qkvdocs", "build", "-q", "-d", str(site)]]
        if version != here:
            steps = [
                [
                    "make",
                    "-s",
                    f"VENV={venv}",
                    f"PYTHON={pythons[version]}",
                    f"{venv}/has-site",
                    f"{venv}/has-test",
                ],
                [f"{venv}/bin/python", "-m", "pytest", "-q", "-n", "auto", *TESTS],
                *steps,
            ]
        site.parent.mkdir(parents=True, exist_ok=True)
        for step in steps:
            if code := subprocess.run(step, cwd=ROOT, check=False).returncode:
                print(f"failed on Python {name}: {' '.join(step)}", file=sys.stderr)
                return code
    first, *others = built
    unlike = {name: differences(built[first], built[name]) for name in others}
    print(*(f"Python {name}: {told(files, first)}" for name, files in unlike.items()), sep="\n")
    return 1 if any(unlike.values()) else 0


def told(files: list[str], name: str) -> str:
    """Say whether a site is that of another Python, from which it differs in some files."""
    return (
        f"{len(files)} files unlike those of {name}: {', '.join(files[:9])}"
        if files
        else f"the site of {name}"
    )


if __name__ == "__main__":
    sys.exit(main())
