"""The build that publishes: all checks, in a folder of its own, which takes its place only at the end."""

import argparse
import fcntl
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from qkvdocs.engine.checks._builders import BUILDERS, command, complete
from qkvdocs.engine.checks._claims import check_claims
from qkvdocs.engine.pages import LessonError, read_utf8
from qkvdocs.engine.settings import Settings
from qkvdocs.errors import WAYS, QKVError

NOTICE = {
    "NO_MKDOCS_2_WARNING": "1"
}  # Material's banner about its end of life: README says what we do about it
WARNING = re.compile(r"^WARNING\s+-\s+(.*(?:\n[ \t]+.*)*)", re.M)
OMITTED = re.compile(r'The following pages exist in the docs directory, but are not included in the "nav".*')


def build(root: Path, site: Path, builder: str | list[str] = "mkdocs", *, quiet: bool = False) -> int:
    """Build, check and publish a site.

    Args:
        root: The folder that holds `mkdocs.yml` and `docs/`.
        site: Where to publish. It is replaced at the end, or left as it was if anything fails.
        builder: One of `BUILDERS`, or the command of another, to which `-d FOLDER` is added.
        quiet: Print errors only.

    Returns:
        The exit code.
    """
    try:
        for path in sorted((root / "docs").rglob("*")):
            if path.suffix in {".md", ".toml"}:
                read_utf8(path, root)
        _ = Settings.of(root / "docs").role
    except (LessonError, QKVError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    with _workplace(site) as folder:
        made, blank = folder / "site", folder / "blank"
        words, where = command(builder, root, made)
        with _started(words, where, blank) as running:
            claims, unbound = check_claims(root / "docs")  # it reads what was written, and need not wait
            # Nor need what takes long to load.
            from qkvdocs.engine.checks._check import check
            from qkvdocs.engine.export import export
            from qkvdocs.engine.publish import publish

            said, _ = running.communicate()
        if running.returncode:
            print(_failure(said), file=sys.stderr)  # noqa: T201
            return 1
        try:
            complete(builder, made, root / "docs")
            report, errors = check(made, blank, root / "docs", partial(export, made, root))
        except (LessonError, QKVError) as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        errors += unbound
        if errors or (warnings := list(_warnings(said))):
            print(*(errors or warnings), sep="\n", file=sys.stderr)  # noqa: T201
            return 1
        publish(made)
        _replace(made, site)
    if not quiet:
        print(*report, claims, f"built {os.path.relpath(site)}", sep="\n")  # noqa: T201
    return 0


@contextmanager
def _started(words: list[str], where: Path, blank: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a builder, and end it where we cannot wait for it."""
    surroundings = {**os.environ, **NOTICE, "QKVDOCS_BLANK": str(blank)}
    with subprocess.Popen(  # noqa: S603
        words, cwd=where, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as builder:
        try:
            yield builder
        except BaseException:
            builder.kill()
            raise


@contextmanager
def _workplace(site: Path) -> Iterator[Path]:
    """Give a folder beside the site, and take away those that killed builds have left: nobody holds their locks."""
    site.parent.mkdir(parents=True, exist_ok=True)
    for left in site.parent.glob(f".{site.name}-*"):
        with suppress(OSError), (left / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    with (
        tempfile.TemporaryDirectory(prefix=f".{site.name}-", dir=site.parent) as folder,
        Path(folder, "lock").open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)


def _failure(log: str) -> str:
    """Begin with the line that names a file, if there is one; say what to do where the machine is at fault."""
    lines = log.rstrip().split("\n")
    if (fault := re.fullmatch(r"\w+: \[Errno (\d+)\] (.*)", lines[-1])) and int(fault[1]) in WAYS:
        return f"{fault[2]}: {WAYS[int(fault[1])]}"
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
    parser.add_argument("--builder", choices=BUILDERS, default="mkdocs", help="what makes the pages")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("--strict", action="store_true", help="no effect: warnings are always errors")
    given = parser.parse_args(arguments)
    gc.disable()  # it ends before it must tidy up
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that folders and builders go
    return build(Path.cwd(), given.site_dir.absolute(), given.builder, quiet=given.quiet)
