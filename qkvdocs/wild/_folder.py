# Which files make up a checkpoint, and the JSON beside them. Nothing outside the folder is opened.

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._config import from_open_clip
from qkvdocs.wild._formats import FOLDERS, READ, refuse_suffix, what_is_there
from qkvdocs.wild._remote import WEB, RemoteFile, find
from qkvdocs.wild._sources import LocalFile, Source

INDEXES = (
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
WHOLE = (
    "model.safetensors",
    "consolidated.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "model.gguf",
)
CONFIGS = ("config.json", "params.json", "adapter_config.json", "open_clip_config.json")
OTHERS = ("tf_model.h5", "flax_model.msgpack", "adapter_model.safetensors")
LARGEST_JSON = 32_000_000
"""Bytes of config.json or of the index; the largest published index is a third of that."""
DEEPEST = 100
NESTS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.S)
"""A text in JSON, which hides the brackets in it, or a bracket."""


@dataclass(frozen=True)
class Files:
    """The files of one checkpoint, not yet opened."""

    names: list[str]
    open: Callable[[str], Source]
    weight_map: dict[str, str] | None
    """Tensor -> file, where an index says so."""
    config: dict[str, Any]
    """What config.json says; empty without one."""


class Folder(Protocol):
    """Where the files of a checkpoint stand."""

    def open(self, name: str) -> Source:
        """Open a file by its plain name."""

    def has(self, name: str) -> bool:
        """Ask whether there is such a file."""

    def names(self) -> list[str]:
        """List the files, as far as that can be known."""

    def below(self) -> list[str]:
        """List the files of the folders in it, as far as that can be known."""


class LocalFolder:
    """A folder on disk; a link may not lead out of it."""

    def __init__(self, path: Path, named: str | None = None) -> None:
        self.path, self.named = path, named
        """The file that the caller named may be a link: it was meant."""

    def open(self, name: str) -> Source:
        if name == self.named:
            return LocalFile((self.path / name).resolve(), name)
        return LocalFile(inside(self.path, name), name)

    def has(self, name: str) -> bool:
        return (self.path / name).is_symlink() or (self.path / name).exists()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    def below(self) -> list[str]:
        found: list[str] = []
        for folder in sorted(path for path in self.path.iterdir() if path.is_dir() and not path.is_symlink()):
            with suppress(OSError):
                found += sorted(path.relative_to(self.path).as_posix() for path in folder.iterdir())
        return found


class RemoteFolder:
    """A folder behind an address. Few servers list one, so known names are tried."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opened: dict[str, RemoteFile | None] = {}

    def open(self, name: str) -> Source:
        return self._find(name) or RemoteFile(self._address(name))

    def has(self, name: str) -> bool:
        """Ask whether there is such a file; its first bytes then are known."""
        return self._find(name) is not None

    def names(self) -> list[str]:
        """Try the names that a checkpoint may have."""
        return [name for name in WHOLE if self.has(name)][:1] or [name for name in OTHERS if self.has(name)]

    def below(self) -> list[str]:
        """Nothing: no server is asked for that."""
        return []

    def _find(self, name: str) -> RemoteFile | None:
        if name not in self._opened:
            self._opened[name] = find(self._address(name))
        return self._opened[name]

    def _address(self, name: str) -> str:
        _check_plain(name)
        return f"{self.address}/{quote(name) if self.address.startswith(WEB) else name}"


class RemoteSingle(RemoteFolder):
    """The folder of one file whose address was given, as it was given."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(urlsplit(address)._replace(query="", fragment="").geturl().rsplit("/", 1)[0])
        self._named = name, address

    def _address(self, name: str) -> str:
        return self._named[1] if name == self._named[0] else super()._address(name)


def find_files(address: str) -> Files:
    """Find the files of a checkpoint: a file, a folder, or either behind an address that fsspec opens."""
    address = _path_of(address)
    if "://" in address:
        try:
            name = urlsplit(address).path.rsplit("/", 1)[-1]
        except ValueError as error:
            raise CheckpointError(f"{address} must be an address, got: {error}") from None
        refuse_suffix(name)
        if name.lower().endswith(tuple(READ)):
            return _lay_out(name, RemoteSingle(address, name))
        return _lay_out("", RemoteFolder(address.rstrip("/")))
    try:
        path = Path(address)
        if path.is_dir():
            return _lay_out("", LocalFolder(path))
        refuse_suffix(address)
        if not path.exists():
            raise CheckpointError(f"{address} must be a file or a folder, got nothing there")
        return _lay_out(path.name, LocalFolder(path.parent, path.name))
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{address} must be a path that can be followed, got: {error}") from None


def _path_of(address: str) -> str:
    """Turn file://… into the path that it means: the rules of a local folder then hold for it."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in ("file", "local") or not rest:
        return address
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise CheckpointError(f"{address} must be file:/// and an absolute path")
    return url2pathname(f"/{path}")


def _check_plain(name: str) -> None:
    if not name or name != Path(name).name or name in {".", ".."} or set("\\\0") & set(name) or "::" in name:
        raise CheckpointError(
            f"a file of the index must be a plain name inside the folder, got {name[:200]!r}"
        )


def inside(folder: Path, name: str) -> Path:
    """Follow a name to a file in the folder, or refuse it.

    A link may leave the folder in one case: from a snapshot of the Hugging Face cache to its blobs.
    """
    _check_plain(name)
    try:
        home, target = folder.resolve(strict=True), (folder / name).resolve(strict=True)
    except FileNotFoundError:
        raise CheckpointError(f"{name} must be in the folder {folder}, got no such file") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{name} must be a file that can be followed, got: {error}") from None
    snapshots = next((parent for parent in home.parents if parent.name == "snapshots"), None)
    homes = [home, snapshots.parent / "blobs"] if snapshots else [home]
    if target.parent not in homes:
        raise CheckpointError(
            f"{name} must stay inside the folder {folder}, got a link to {target}. Name the file itself"
        )
    return target


def _chosen(names: list[str]) -> list[str]:
    # Mistral's folders hold the same weights twice, and others keep strangers beside the model.
    for suffix in READ:
        held = [name for name in names if name.lower().endswith(suffix) and not _stranger(name)]
        for kind in ("model{}", "model-*-of-*{}", "pytorch_model*{}", "consolidated*{}"):
            if chosen := [name for name in held if fnmatchcase(name, kind.format(suffix))]:
                return chosen
        if held:
            return _one(held, suffix)
    return []


def _stranger(name: str) -> bool:
    beside = (
        "mmproj*",
        "training_args.bin",
        "optimizer*.*",
        "scheduler.*",
        "rng_state*",
        "openvino*",
    )
    return any(fnmatchcase(name, pattern) for pattern in (*beside, *FOLDERS))


def _one(names: list[str], suffix: str) -> list[str]:
    """Take parts that are numbered as parts together; of several whole files somebody must choose."""
    groups = {re.sub(r"-\d{5}-of-\d{5}", "", name) for name in names}
    if suffix == ".safetensors" or len(groups) == 1:
        return names
    raise CheckpointError(f"the folder must hold one checkpoint, got {', '.join(names[:5])}. Name the file")


def _lay_out(name: str, folder: Folder) -> Files:
    config = next((read_json(folder.open(file), file) for file in CONFIGS if folder.has(file)), {})
    if "model_cfg" in config:
        config = from_open_clip(config)
    if name:
        return Files([name], folder.open, None, config)
    if index := next((index for index in INDEXES if folder.has(index)), ""):
        weight_map = read_json(folder.open(index), index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
            raise CheckpointError(
                f"{index} must map tensors to files, got the weight_map {str(weight_map)[:60]}"
            )
        return Files(sorted(set(weight_map.values())), folder.open, weight_map, config)
    held = folder.names()
    if names := _chosen(held):
        return Files(names, folder.open, None, config)
    raise CheckpointError(f"the folder must hold a checkpoint, got {what_is_there(held, folder.below())}")


def read_json(source: Source, name: str) -> dict[str, Any]:
    """Read a small JSON object."""
    if source.size > LARGEST_JSON:
        raise CheckpointError(f"{name} must be at most {LARGEST_JSON} bytes long, got {source.size}")
    text = source.read(0, source.size)
    try:
        content = json.loads(_flat(text.decode()), parse_constant=_no_constant)
    except ValueError as error:
        raise CheckpointError(f"{name} must be JSON in UTF-8, got: {str(error)[:100]}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} must hold a JSON object, got {type(content).__name__}")
    return content


def _flat(text: str) -> str:
    """Refuse a nest that is deeper than some machines can follow."""
    if text.count("[") + text.count("{") > DEEPEST:
        depth = 0
        for mark in NESTS.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} brackets within brackets")
    return text


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
