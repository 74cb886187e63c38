from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from os import PathLike, fspath
from typing import Any, Self

import numpy as np

from qkvdocs.errors import CheckpointError, QKVError
from qkvdocs.wild._adapters import Adapter, find_adapters
from qkvdocs.wild._config import Config, Facts
from qkvdocs.wild._folder import find_files
from qkvdocs.wild._quantised import find_packed, parts_of
from qkvdocs.wild._readers import read_contents
from qkvdocs.wild._sources import NOWHERE, Source
from qkvdocs.wild._tensor import Tensor

DEEPEST = 4
"""Names below a module that count as its own; no layout declares longer ones."""
LONGEST = 10_000
"""Characters of a tensor's name, which messages repeat."""


def endings(name: str) -> Iterator[tuple[str, str]]:
    """Cut a tensor's name into a module and what is below it, each way that a layout could mean."""
    at = len(name)
    for _ in range(DEEPEST):
        at = name.rfind(".", 0, at)
        if at != 0:
            yield name[: max(at, 0)], name[at + 1 :]
        if at <= 0:
            return


Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what comes next."""


class Checkpoint(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint by name, read when they are asked for.

    Opening reads the headers alone. A local tensor is then memory-mapped, a remote one fetched by its range.
    bfloat16 is given as float32, bit for bit, and what is packed is unpacked into float32; all other dtypes come
    as they are stored, read-only.

    Args:
        address: A file of safetensors, GGUF, PyTorch or numpy, a folder with one or with shards and their index,
            or either behind an address that fsspec opens.
        progress: Told of each file that is opened.

    Raises:
        CheckpointError: If a file is of another kind, damaged, or outside the folder.

    Examples:
        >>> checkpoint = Checkpoint("tests/wild/fixtures/gpt2")
        >>> checkpoint["h.0.attn.c_attn.weight"].shape
        (16, 48)
    """

    address: str
    """What was opened."""
    config: dict[str, Any]
    """What the file says of its model, or config.json beside it; empty without both."""
    parts: frozenset[str]
    """Names of tensors that weights are packed into; the weights are here, too."""

    def __init__(self, address: str | PathLike[str], progress: Progress | None = None) -> None:
        files = find_files(fspath(address))
        self._start(fspath(address), files.config)
        by_file = defaultdict(list)
        for tensor, name in (files.weight_map or {}).items():
            by_file[name].append(tensor)
        for done, name in enumerate(files.names):
            if progress:
                progress(done, len(files.names), name)
            source = files.open(name)
            contents = read_contents(source)
            tensors = contents.tensors
            self.config = contents.config or self.config
            wanted = tensors if files.weight_map is None else by_file[name]
            for tensor in wanted:
                self._add(tensor, source, tensors.get(tensor))
        packed = find_packed(self._places, self.config)
        self.parts = frozenset(parts_of(packed))
        for name, weight in packed.items():
            self._places[name] = next(iter(weight.parts.values()))[0], weight

    @classmethod
    def held(cls, tensors: Mapping[str, Tensor], config: dict[str, Any]) -> Self:
        """Take tensors that stand in no file: each loads itself.

        Args:
            tensors: Name -> what says the shape, and gives the values when they are asked for.
            config: What config.json would say.

        Returns:
            A checkpoint of them.
        """
        made = cls.__new__(cls)
        made._start("the model", config)
        for name, tensor in tensors.items():
            made._add(name, NOWHERE, tensor)
        return made

    def _start(self, address: str, config: dict[str, Any]) -> None:
        self.address, self.config, self.parts = address, config, frozenset()
        self._known: Config | None = None
        self._places: dict[str, tuple[Source, Tensor]] = {}
        self._below: defaultdict[str, list[str]] | None = None

    def _add(self, name: str, source: Source, tensor: Tensor | None) -> None:
        if tensor is None:
            raise CheckpointError(f"{source.name} must hold {name}, as the index says, got no such tensor")
        if len(name) > LONGEST:
            raise CheckpointError(
                f"a tensor of {source.name} must have a name of at most {LONGEST} characters, got {len(name)}"
            )
        if name in self._places:
            first = self._places[name][0].name
            raise CheckpointError(
                f"{name} must stand in one file, got it in {first} and {source.name}. "
                "Two checkpoints, or ranks of a model that was cut: give one file, or join the ranks first"
            )
        self._places[name] = source, tensor

    def __getitem__(self, name: str) -> np.ndarray:
        source, tensor = self._places[name]
        return tensor.load(source, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def tensor(self, name: str) -> Tensor:
        """Say where a tensor stands, and its dtype and shape as stored, without reading it."""
        return self._places[name][1]

    def place(self, name: str) -> tuple[Source, Tensor]:
        """Say in which file a tensor stands, and where there."""
        return self._places[name]

    def replace(self, name: str, tensor: Tensor) -> None:
        """Give another tensor under a name."""
        self._places[name] = self._places[name][0], tensor

    @cached_property
    def adapters(self) -> dict[str, Adapter]:
        """The low-rank adapters in it, by the module that each adds to; empty for a checkpoint of weights."""
        return find_adapters(self)

    def facts(self, path: str) -> Facts:
        """Say what config.json tells about a module."""
        if self._known is None:
            self._known = Config(self.config)
        return self._known.facts(path)

    def under(self, path: str) -> list[str]:
        """List the tensors of a module and of the modules below it, up to four names deep."""
        if self._below is None:
            self._below = defaultdict(list)
            for name in self._places:
                for above, _ in endings(name):
                    self._below[above].append(name)
        return self._below.get(path, [])

    def file(self, name: str) -> str:
        """Say in which file a tensor stands."""
        return self._places[name][0].name


def facts_or_none(checkpoint: Checkpoint, path: str) -> Facts | None:
    """Say the facts of a module, or nothing where config.json refuses: it tells why when the module is planned."""
    try:
        return checkpoint.facts(path)
    except QKVError:
        return None
