"""The build that publishes: all checks, in a folder of its own, which takes its place only at the end."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from qkvdocs.checks._check import check
from qkvdocs.export import export
from qkvdocs.lessons import LessonError, read_utf8
from qkvdocs.publish import publish

NOTICE = {
    "NO_MKDOCS_2_WARNING": "1"
}  # Material's banner about its end of life: README says what we do about it
WARNING = re.compile(r"^WARNING\s+-\s+(.*(?:\n[ \t]+.*)*)", re.M)
OMITTED = re.compile(r'The following pages exist in the docs directory, but are not included in the "nav".*')


def build(root: Path, site: Path, builder: list[str], *, quiet: bool = False) -> int:
    """Build, check and publish a site.

    Args:
        root: The folder that holds `mkdocs.yml` and `docs/`.
        site: Where to publish. It is replaced at the end, or left as it was if anything fails.
        builder: The command that builds a site; `-d FOLDER` is added to it.
        quiet: Print errors only.

    Returns:
        The exit code.
    """
    try:
        for path in sorted((root / "docs").rglob("*")):
            if path.suffix in {".md", ".toml"}:
                read_utf8(path, root)
    except LessonError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory(prefix=f".{site.name}-", dir=site.parent) as folder:
        made, blank = Path(folder, "site"), Path(folder, "blank")
        # The second build runs nothing; it takes the other core meanwhile.
        second = _start([*builder, "-q", "-d", str(blank)], root, {"QKVDOCS_BLANK": "1"})
        first = _start([*builder, "-d", str(made)], root, {})
        log, blank_log = first.communicate()[0], second.communicate()[0]
        if first.returncode or second.returncode:
            print(_failure(log if first.returncode else blank_log), file=sys.stderr)  # noqa: T201
            return 1
        try:
            export(made, root)
        except LessonError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        report, errors = check(made, blank, root / "docs")
        if errors or (warnings := list(_warnings(log))):
            print(*(errors or warnings), sep="\n", file=sys.stderr)  # noqa: T201
            return 1
        publish(made)
        _replace(made, site)
    if not quiet:
        print(*report, f"built {os.path.relpath(site)}", sep="\n")  # noqa: T201
    return 0


def _start(command: list[str], root: Path, extra: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        command,
        cwd=root,
        env={**os.environ, **NOTICE, **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _failure(log: str) -> str:
    """Begin with the line that names a file, if there is one."""
    lines = log.rstrip().split("\n")
    named = [at for at, line in enumerate(lines) if re.match(r"[\w./-]+\.md:\d+: ", line)]
    return "\n".join(lines[named[0] :] if named else lines)


def _warnings(log: str) -> Iterator[str]:
    """Give what the builder warned of; a page that no reader would find, as an error of that page."""
    for warning in WARNING.findall(log):
        if not OMITTED.match(warning):
            yield warning
            continue
        for name in re.findall(r"^\s+- (.+)$", warning, re.M):
            yield f"docs/{name}:1: NavError: a page must be in the menu: add {name} under nav in mkdocs.yml"


def _replace(made: Path, site: Path) -> None:
    """Swap folders, so that readers get the old site or the new one, never a mixture."""
    old = made.with_name("old")
    if site.exists():
        site.rename(old)
    try:
        made.rename(site)
    except OSError:
        if old.exists():
            old.rename(site)
        raise
    shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the build as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs build", description=__doc__)
    parser.add_argument("-d", "--site-dir", type=Path, default=Path("site"), help="where to publish")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("--strict", action="store_true", help="no effect: warnings are always errors")
    given = parser.parse_args(arguments)
    builder = [sys.executable, "-m", "mkdocs", "build"]
    return build(Path.cwd(), given.site_dir.absolute(), builder, quiet=given.quiet)
