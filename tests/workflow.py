"""Do here what the workflow would do there: its jobs, their steps, in order, each job in a clone of its own.

    python -m tests.workflow [--job NAME …] [--set SITE_URL=https://…] --into FOLDER

`.github/workflows/site.yml` is read, not repeated. A `run` step runs as it stands; of the actions, those that are
known are done in their stead, and an unknown one ends the run. What would be published ends in FOLDER/published,
with the one before beside it, and `--back` puts that one back.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FLOW = ".github/workflows/site.yml"


class StepError(Exception):
    """A step did not do what it must; the message names job and step."""


class Runner:
    """One machine: a clone, an environment, and what earlier jobs have handed over."""

    def __init__(self, flow: Mapping[Any, Any], source: Path, into: Path, values: Mapping[str, str]) -> None:
        self.flow, self.source, self.into, self.values = flow, source, into, values
        self.actions: dict[str, Callable[[dict[str, Any], Path], None]] = {
            "actions/checkout": self.checkout,
            "actions/setup-python": self.python,
            "actions/upload-pages-artifact": lambda given, clone: self.keep(clone / given["path"], "site"),
            "actions/upload-artifact": lambda given, clone: self.keep(clone / given["path"], given["name"]),
            "actions/deploy-pages": lambda given, clone: self.deploy(),
        }

    def run(self, *names: str) -> None:
        """Run jobs, each after those that it needs.

        Raises:
            StepError: At the first step that fails; no job after it begins, so nothing is published.
        """
        done: set[str] = set()
        for name in names or tuple(self.flow["jobs"]):
            self.job(name, done)

    def job(self, name: str, done: set[str]) -> None:
        """Run one job, and first those that it needs."""
        if name in done:
            return
        job = self.flow["jobs"][name]
        for needed in job.get("needs", ()):
            self.job(needed, done)
        if self.applies(job.get("if", "")):
            with tempfile.TemporaryDirectory() as folder:
                for number, step in enumerate(job["steps"], 1):
                    if self.applies(step.get("if", "")):
                        print(f"{name}, step {number}: {step.get('run') or step['uses']}", flush=True)
                        self.step(step, job, Path(folder, "clone"), f"{name}, step {number}")
        done.add(name)

    def applies(self, condition: str) -> bool:
        """Tell whether a condition holds for what is done here: a push to main."""
        facts = {"github.event_name": "push", "github.ref": "refs/heads/main"}
        parts = [part.strip() for part in condition.split("&&")] if condition else []
        compared = [re.fullmatch(r"([\w.]+) == '([^']*)'", part) for part in parts]
        if not all(compared):
            raise StepError(f"a condition must compare a name with a text, got {condition!r}")
        return all(facts.get(found[1]) == found[2] for found in compared if found)

    def step(self, step: dict[str, Any], job: dict[str, Any], clone: Path, where: str) -> None:
        """Run one step."""
        if "run" not in step:
            action = step["uses"].split("@")[0]
            if action not in self.actions:
                raise StepError(f"{where}: {action} is not known here: add it to {Path(__file__).name}")
            self.actions[action](step.get("with", {}), clone)
            return
        given = {**self.flow.get("env", {}), **job.get("env", {}), **step.get("env", {})}
        env = {**os.environ, **{name: self.filled(value) for name, value in given.items()}}
        if code := subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=clone, env=env, check=False
        ).returncode:
            raise StepError(f"{where}: {step['run']} ended with {code}")

    def filled(self, value: str) -> str:
        """Put the repository's variables in their places; empty where none was given."""
        return re.sub(r"\$\{\{ vars\.(\w+) \}\}", lambda found: self.values.get(found[1], ""), str(value))

    def checkout(self, given: dict[str, Any], clone: Path) -> None:
        """Clone the commit; what is not committed is not published."""
        subprocess.run(["git", "clone", "-q", self.source, clone], check=True)

    def python(self, given: dict[str, Any], clone: Path) -> None:
        """Look for the Python that is asked for; `make` finds it by its name."""
        version = str(given["python-version"])
        if "matrix" not in version and not shutil.which(f"python{version}"):
            raise StepError(f"python{version} must be on the path, got none")

    def keep(self, made: Path, name: str) -> None:
        """Hand a folder over to the jobs that follow."""
        if not made.is_dir() or not any(made.iterdir()):
            raise StepError(f"{made.name}/ must have been made, got none or an empty one")
        kept = self.into / "artefacts" / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(made, kept)

    def deploy(self) -> None:
        """Put the handed-over site in place, the one before beside it."""
        made, now, before = self.into / "artefacts" / "site", self.into / "published", self.into / "before"
        if not made.is_dir():
            raise StepError("publish must follow a job that hands over the site")
        if now.exists():
            shutil.rmtree(before, ignore_errors=True)
            now.rename(before)
        made.rename(now)


def back(into: Path) -> None:
    """Put the previous site back; a second time, the newer one again.

    Raises:
        StepError: If there is none.
    """
    now, before, aside = into / "published", into / "before", into / "aside"
    if not before.is_dir():
        raise StepError(f"{before} must hold the site before, got none")
    now.rename(aside)
    before.rename(now)
    aside.rename(before)


def main(arguments: list[str] | None = None) -> int:
    """Run the workflow, or put the previous site back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", action="append", default=[], help="only this job and those it needs")
    parser.add_argument("--set", action="append", default=[], help="a variable of the repository, NAME=VALUE")
    parser.add_argument("--into", type=Path, required=True, help="where sites and artefacts go")
    parser.add_argument("--back", action="store_true", help="put the previous site back, and do nothing else")
    given = parser.parse_args(arguments)
    try:
        if given.back:
            back(given.into)
        else:
            flow = yaml.safe_load((ROOT / FLOW).read_text("utf-8"))
            values = dict(one.split("=", 1) for one in given.set)
            Runner(flow, ROOT, given.into.absolute(), values).run(*given.job)
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
