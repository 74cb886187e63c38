"""What lies beside the pages: the right files, their licences, the package as it is; or nothing at all."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from qkvdocs.engine.runtime import folder, is_there, place
from qkvdocs.engine.runtime._pins import LICENCES, PINS
from qkvdocs.engine.runtime._wheel import wheel
from qkvdocs.errors import QKVError
from tests.project import HOOKS, ROOT, Project, fence

RUNS = 'exec="on" session="a" source="above" result="text"'


@pytest.fixture(autouse=True)
def finished(project: Project) -> None:
    """A small site, finished as the real one is."""
    project.set(HOOKS)


def build(project: Project, options: str, runtime: Path) -> dict[str, bytes]:
    """Build a page with one fence; give its files."""
    project.write("# Page\n\n" + fence("print(1 / 3)", options))
    done = project.command("mkdocs", "build", "-q", QKVDOCS_RUNTIME=str(runtime))
    assert done.returncode == 0, done.stderr
    site = project.root / "site"
    return {
        path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()
    }


def test_without_the_runtime_a_page_is_what_it_would_be(project: Project, tmp_path: Path) -> None:
    """Not a byte tells that a fence could run; half a runtime is none."""
    half = tmp_path / "half"
    half.mkdir()
    (half / PINS[0].name).write_bytes(b"x" * PINS[0].size)

    plain = build(project, RUNS, tmp_path / "none")

    assert build(project, f'{RUNS} run="on"', tmp_path / "none") == plain
    assert build(project, f'{RUNS} run="on"', half) == plain
    assert not [name for name in plain if name.startswith("runtime/")]


def test_with_the_runtime_a_page_says_so(project: Project, fetched: Path) -> None:
    """The element, and what it needs; for a site without a runnable fence nothing is placed."""
    plain = build(project, RUNS, fetched)
    assert not [name for name in plain if name.startswith("runtime/")]

    files = build(project, f'{RUNS} run="on"', fetched)

    assert b'<div><qkv-run data-page="pages/index.json" data-fence="0"' in files["index.html"]
    assert json.loads(files["runtime/pages/index.json"]) == [{"code": "print(1 / 3)", "session": "a"}]
    for pin in PINS + LICENCES:
        assert hashlib.sha256(files[f"runtime/{pin.name}"]).hexdigest() == pin.sha256
    assert build(project, f'{RUNS} run="on"', fetched) == files


def test_a_changed_file_ends_the_build(project: Project, fetched: Path, tmp_path: Path) -> None:
    """One byte of it, at the same size."""
    changed = shutil.copytree(fetched, tmp_path / "changed")
    data = bytearray((changed / "pyodide.mjs").read_bytes())
    data[1000] ^= 1
    (changed / "pyodide.mjs").write_bytes(data)
    assert is_there(changed)
    with pytest.raises(
        QKVError, match=r"^pyodide.mjs must have sha256 \w+, got \w+. Delete .*: make runtime$"
    ):
        place(changed, tmp_path / "out")

    project.write("# Page\n\n" + fence("print(1)", f'{RUNS} run="on"'))
    done = project.command("mkdocs", "build", "-q", QKVDOCS_RUNTIME=str(changed))

    assert done.returncode == 1
    assert "pyodide.mjs must have sha256" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ('exec="on" run="on"', "print(1)", "index.md:3: FenceError: run must stand with"),
        ('exec="on" source="below" run="on"', "print(1)", "index.md:3: FenceError: run must stand with"),
        ('exec="on" source="above" run="on"', "print(1)", 'a fence with run must have result="text"'),
        ('exec="on" html="on" run="on"', "print('<p>')", "one block of code to run, got 0"),
        ('exec="on" source="above" run="yes"', "1", "run must be one of on, got 'yes'"),
    ],
)
def test_a_fence_that_cannot_be_offered_is_named(
    project: Project, fetched: Path, options: str, code: str, message: str
) -> None:
    """A build with the runtime says what is missing, and where."""
    project.write("# Page\n\n" + fence(code, options))
    done = project.command("mkdocs", "build", "-q", QKVDOCS_RUNTIME=str(fetched))
    assert done.returncode == 1
    assert message in done.stderr
    assert "docs/index.md:3" in done.stderr


def test_licences_lie_beside_the_files(fetched: Path, tmp_path: Path) -> None:
    """Of the loader, of Python and of every wheel; the notice names each text, and each is one."""
    place(fetched, tmp_path)
    notice = (tmp_path / "NOTICE.txt").read_text("utf-8")
    texts = {
        path.relative_to(tmp_path).as_posix(): path.read_text("utf-8")
        for path in tmp_path.rglob("licences/**/*.txt")
    }
    assert all(name in notice for name in texts)
    assert all(pin.name in notice for pin in PINS)
    for name, words in {
        "licences/pyodide.txt": "Mozilla Public License Version 2.0",
        "licences/python.txt": "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2",
        "licences/numpy/LICENSE.txt": "NumPy Developers",
        "licences/jaxtyping/LICENSE.txt": "MIT License",
        "licences/wadler_lindig/LICENSE.txt": "Apache License",
    }.items():
        assert words in texts[name]


def test_the_index_names_what_is_there(fetched: Path, tmp_path: Path) -> None:
    """Every wheel by the hash that the browser holds it to, and every dependency."""
    place(fetched, tmp_path)
    packages = json.loads((tmp_path / "pyodide-lock.json").read_text())["packages"]
    assert set(packages) == {"numpy", "jaxtyping", "wadler-lindig", "qkvdocs"}
    for package in packages.values():
        data = (tmp_path / package["file_name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == package["sha256"]
        with zipfile.ZipFile(tmp_path / package["file_name"]) as archive:
            (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            needs = {
                line.split(":")[1].split(";")[0].split(">")[0].strip()
                for line in archive.read(about).decode().split("\n\n")[0].split("\n")
                if line.startswith("Requires-Dist") and "extra" not in line
            }
        if package["name"] != "qkvdocs":
            assert needs == set(package["depends"])


def test_the_price_is_what_is_sent(fetched: Path) -> None:
    """The sizes in the table are those of the files as a server compresses them."""
    for pin in PINS:
        data = (fetched / pin.name).read_bytes()
        sent = len(zlib.compress(data)) if pin.wire else len(data)
        assert abs(sent - (pin.wire or pin.size)) <= 0.02 * len(data), pin.name


def test_our_wheel_is_the_one_that_hatchling_builds(tmp_path: Path) -> None:
    """The same files with the same contents, but for the engine; and bytes that depend on nothing else."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    name, data = wheel()
    (tmp_path / name).write_bytes(data)
    contents = []
    for path in sorted(tmp_path.glob("*.whl")):
        with zipfile.ZipFile(path) as archive:
            contents.append(
                {
                    file: archive.read(file)
                    for file in archive.namelist()
                    if file.startswith("qkvdocs/") and "__pycache__" not in file and "/engine/" not in file
                }
            )
    assert len(contents) == 2
    assert contents[0] == contents[1]
    assert wheel() == (name, data)


def test_pip_takes_our_wheel(tmp_path: Path) -> None:
    """It is a wheel by the rules: pip checks its record."""
    name, data = wheel()
    (tmp_path / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / name) as archive:
        record = archive.read(next(file for file in archive.namelist() if file.endswith("RECORD"))).decode()
        for line in record.strip().split("\n")[:-1]:
            file, _, size = line.split(",")
            assert len(archive.read(file)) == int(size)
        assert {line.split(",")[0] for line in record.strip().split("\n")} == set(archive.namelist())


def test_the_folder_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`QKVDOCS_RUNTIME` overrides the folder that git ignores."""
    monkeypatch.delenv("QKVDOCS_RUNTIME", raising=False)
    assert folder() == Path(".cache/runtime")
    assert ".cache/" in (ROOT / ".gitignore").read_text().split("\n")
    monkeypatch.setenv("QKVDOCS_RUNTIME", "elsewhere")
    assert folder() == Path("elsewhere")
