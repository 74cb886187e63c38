# Which files make up a checkpoint, and the JSON beside them. Nothing outside the folder is opened.

import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._formats import SUFFIXES, refuse_suffix
from qkvdocs.wild._remote import RemoteFile, exists
from qkvdocs.wild._sources import LocalFile, Source

INDEX = "model.safetensors.index.json"
WHOLE = ("model.safetensors", "consolidated.safetensors", "diffusion_pytorch_model.safetensors")
CONFIGS = ("config.json", "params.json")
OTHERS = ("pytorch_model.bin", "model.gguf", "tf_model.h5", "flax_model.msgpack")
LARGEST_JSON = 32_000_000
"""Bytes of config.json or of the index; the largest published index is a third of that."""


@dataclass(frozen=True)
class Files:
    """The files of one checkpoint, not yet opened."""

    names: list[str]
    open: Callable[[str], Source]
    weight_map: dict[str, str] | None
    """Tensor -> file, where an index says so."""
    config: dict[str, Any]
    """What config.json says; empty without one."""


def find_files(address: str) -> Files:
    """Find the files of a checkpoint.

    Args:
        address: A .safetensors file, a folder, or either behind an address that fsspec opens.

    Returns:
        What to open.

    Raises:
        CheckpointError: If it is another kind of file, or the folder holds no checkpoint.
    """
    refuse_suffix(address)
    folder, name = address, ""
    if "://" in address:
        folder = address.rstrip("/")
        if folder.endswith(".safetensors"):
            folder, name = folder.rsplit("/", 1)

        def remote(child: str) -> str:
            return f"{folder}/{child}"

        return _lay_out(name, lambda child: RemoteFile(remote(child)), lambda child: exists(remote(child)))
    try:
        path = Path(address)
        if path.is_dir():
            return _lay_out("", lambda child: LocalFile(inside(path, child), child), _has(path), _glob(path))
        if not path.exists():
            raise CheckpointError(f"{address} must be a .safetensors file or a folder, got nothing there")
        parent = path.parent
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{address} must be a path that can be followed, got: {error}") from None

    def local(child: str) -> LocalFile:
        return LocalFile(path if child == path.name else inside(parent, child), child)

    return _lay_out(path.name, local, _has(parent))


def inside(folder: Path, name: str) -> Path:
    """Follow a name to a file in the folder, or refuse it.

    A link may leave the folder in one case: from a snapshot of the Hugging Face cache to its blobs.
    """
    if not name or name != Path(name).name or name in {".", ".."} or "\\" in name or "\0" in name:
        raise CheckpointError(f"a file of the index must be a plain name inside the folder, got {name!r}")
    try:
        home, target = folder.resolve(strict=True), (folder / name).resolve(strict=True)
    except FileNotFoundError:
        raise CheckpointError(f"{name} must be in the folder {folder}, got no such file") from None
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{name} must be a file that can be followed, got: {error}") from None
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if target.parent not in homes:
        raise CheckpointError(
            f"{name} must stay inside the folder {folder}, got a link to {target}. Name the file itself"
        )
    return target


def _has(folder: Path) -> Callable[[str], bool]:
    return lambda name: (folder / name).is_symlink() or (folder / name).exists()


def _glob(folder: Path) -> list[str]:
    # Mistral's folders hold the same weights twice, and others keep strangers beside the model.
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    for kind in ("model.safetensors", "model-*-of-*.safetensors", "consolidated*.safetensors"):
        if chosen := [name for name in names if fnmatchcase(name, kind)]:
            return chosen
    return names


def _lay_out(
    name: str, open_: Callable[[str], Source], has: Callable[[str], bool], found: list[str] | None = None
) -> Files:
    config = next((read_json(open_(file), file) for file in CONFIGS if has(file)), {})
    if name:
        return Files([name], open_, None, config)
    if has(INDEX):
        weight_map = read_json(open_(INDEX), INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
            raise CheckpointError(
                f"{INDEX} must map tensors to files, got the weight_map {str(weight_map)[:60]}"
            )
        return Files(sorted(set(weight_map.values())), open_, weight_map, config)
    names = found if found is not None else [file for file in WHOLE if has(file)][:1]
    if not names:
        others = [file for file in OTHERS if has(file)]
        got = f"{others[0]}: {SUFFIXES[Path(others[0]).suffix]}" if others else "none"
        raise CheckpointError(f"the folder must hold a .safetensors file, got {got}")
    return Files(names, open_, None, config)


def read_json(source: Source, name: str) -> dict[str, Any]:
    """Read a small JSON object."""
    if source.size > LARGEST_JSON:
        raise CheckpointError(f"{name} must be at most {LARGEST_JSON} bytes long, got {source.size}")
    try:
        content = json.loads(source.read(0, source.size).decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} must be JSON in UTF-8, got: {str(error)[:100]}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{name} must hold a JSON object, got {type(content).__name__}")
    return content
