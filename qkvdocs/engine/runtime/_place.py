"""Putting the runtime beside built pages: every file checked again, its licence, and the index for the loader."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from qkvdocs.engine.runtime._pins import LICENCES, PINS, Pack, Pin
from qkvdocs.engine.runtime._wheel import wheel
from qkvdocs.errors import QKVError

WORKER, RUN = "qkv-worker.mjs", "run.py"
NEEDS = {"qkvdocs": ["numpy", "jaxtyping"], "jaxtyping": ["wadler-lindig"]}
NOTICE = """\
Python for the browser, as its makers publish it. Each file is unchanged and known by its sha256.

pyodide.mjs, pyodide.asm.mjs, pyodide.asm.wasm
    Pyodide 314.0.3, Mozilla Public License 2.0: licences/pyodide.txt
    Source: https://github.com/pyodide/pyodide/tree/314.0.3
pyodide.asm.wasm, python_stdlib.zip
    CPython 3.14, Python Software Foundation License: licences/python.txt
    Source: https://github.com/python/cpython
    Pyodide's source names the libraries that are compiled in, and their licences.
"""


def place(cache: Path, target: Path, packs: Sequence[Pack] = (), docs: Path = Path("docs")) -> None:
    """Copy the runtime to where a browser finds it.

    Args:
        cache: The folder of fetched files.
        target: The folder to make, beside the site's own assets.
        packs: What pages load besides; one that was not fetched is left out.
        docs: The folder that their licences are in.

    Raises:
        QKVError: If a file is not the one that is meant.
    """
    target.joinpath("licences").mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {}
    notice = NOTICE
    for pin in PINS + LICENCES:
        data = _copy(pin, cache, target)
        if pin.name.endswith(".whl"):
            index |= _entry(pin.name, data)
            notice += "\n    ".join([pin.name, *_licences(data, target)]) + "\n"
    for pack in packs:
        if not pack.is_there(cache):
            continue
        for pin in pack.files:
            _copy(pin, cache, target)
        licence = f"licences/{pack.folder}.txt"
        (target / licence).write_bytes((docs / pack.licence).read_bytes())
        notice += f"{pack.folder}/\n    {pack.notice}\n    {licence}\n"
    name, data = wheel()
    (target / name).write_bytes(data)
    index |= _entry(name, data)
    (target / "NOTICE.txt").write_text(notice, "utf-8")
    (target / "pyodide-lock.json").write_text(json.dumps(_lock(index)), "utf-8")
    ours = files("qkvdocs.engine").joinpath("runtime")
    (target / WORKER).write_bytes(ours.joinpath("assets", WORKER).read_bytes())
    (target / RUN).write_bytes(ours.joinpath("_run.py").read_bytes())


def _copy(pin: Pin, cache: Path, target: Path) -> bytes:
    try:
        data = pin.refuse((cache / pin.name).read_bytes())
    except QKVError as error:
        raise QKVError(f"{error}. Delete {cache}, then: make runtime") from None
    (target / pin.name).parent.mkdir(parents=True, exist_ok=True)
    (target / pin.name).write_bytes(data)
    return data


def _lock(index: dict[str, Any]) -> dict[str, Any]:
    about = {"abi_version": "2026_0", "arch": "wasm32", "platform": "emscripten_5_0_3", "python": "3.14.0"}
    return {"info": about, "packages": index}


def _entry(name: str, data: bytes) -> dict[str, Any]:
    """Describe a wheel as the loader wants it; the browser refuses one of another hash."""
    project, release, *_ = name.split("-")
    project = project.replace("_", "-")
    return {
        project: {
            "name": project,
            "version": release,
            "file_name": name,
            "install_dir": "site",
            "sha256": hashlib.sha256(data).hexdigest(),
            "package_type": "package",
            "imports": [project.replace("-", "_")],
            "depends": NEEDS.get(project, []),
            "unvendored_tests": False,
        }
    }


def _licences(data: bytes, target: Path) -> list[str]:
    """Lay a wheel's licences beside it, so that nobody has to unpack it to read them."""
    found = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            top, _, inside = name.partition(".dist-info/licenses/")
            if inside:
                found.append(
                    f"licences/{top.split('-')[0]}/{inside.replace('/', '-').removesuffix('.txt')}.txt"
                )
                (target / found[-1]).parent.mkdir(exist_ok=True)
                (target / found[-1]).write_bytes(archive.read(name))
    return found
