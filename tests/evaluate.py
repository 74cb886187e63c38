"""Run whole what takes long, and record what came of it and of which files: `make evaluate`.

python -m tests.evaluate            what has changed since it was recorded
python -m tests.evaluate clinic     that, changed or not
"""

import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".json")
PYTEST = ("pytest", "-q", "-n", "auto", "--dist", "worksteal")


@dataclass(frozen=True)
class Evaluation:
    """Something that takes minutes."""

    about: tuple[str, ...]
    """Files and folders: when they change, the record is old."""
    module: tuple[str, ...]
    """The Python module that runs it, and its arguments; the last line that it prints is what came of it."""


EVALUATIONS = {
    "core": Evaluation(("qkvdocs/core", "tests/core"), ("tests.mutants",)),
    "clinic": Evaluation(("qkvdocs/clinic", "qkvdocs/core", "tests/clinic"), (*PYTEST, "tests/clinic")),
    "figures": Evaluation(("qkvdocs/clinic", "qkvdocs/core", "tests/clinic"), ("tests.clinic.record",)),
    "wild": Evaluation(
        ("qkvdocs/wild", "tests/wild"),
        (*PYTEST, *(f"tests/wild/test_{name}.py" for name in ("fuzz", "gguf", "torch", "npz", "quantised"))),
    ),
}


def git(*arguments: str) -> list[str]:
    """Words of a git command's answer."""
    words = ["git", *arguments]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def files(about: Iterable[str]) -> list[str]:
    """List files, those that git does not know yet included."""
    found = git("ls-files", "--cached", "--others", "--exclude-standard", *about)
    return sorted(name for name in found if (ROOT / name).exists())


def digest(about: Iterable[str]) -> str:
    """One hash over files and their names."""
    whole = hashlib.sha256()
    for name in files(about):
        whole.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return whole.hexdigest()


def stale() -> list[str]:
    """Name what is recorded of other files than these, or not at all."""
    recorded = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    return [
        name
        for name, evaluation in EVALUATIONS.items()
        if recorded.get(name, {}).get("digest") != digest(evaluation.about)
    ]


def evaluate(name: str) -> bool:
    """Run one of them; if it passes, record it."""
    evaluation = EVALUATIONS[name]
    before, last = digest(evaluation.about), ""
    print(f"{name}: {' '.join(evaluation.module)}", flush=True)
    words = [sys.executable, "-m", *evaluation.module]
    env = {**os.environ, "QKVDOCS_WHOLE": "1"}
    with subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip("= \n").partition(" in ")[0] or last
    if process.returncode:
        return False
    recorded = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    recorded[name] = {
        "command": f"make evaluate EVALUATE={name}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "said": last,
        "digest": before,
    }
    RECORD.write_text(json.dumps(dict(sorted(recorded.items())), indent=2) + "\n", "utf-8")
    return True


def main(names: list[str]) -> int:
    """Run what is asked for, or all that is old."""
    if unknown := {*names} - {*EVALUATIONS}:
        sys.exit(f"evaluations must be among {', '.join(EVALUATIONS)}, got {', '.join(sorted(unknown))}")
    return sum(not evaluate(name) for name in names or stale())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
