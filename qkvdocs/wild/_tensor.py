# What every reader of a format gives: the tensors of one file by name, unread, and what the file says of its model.

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qkvdocs.errors import CheckpointError, DTypeError
from qkvdocs.wild._dtypes import FLOATS, NUMPY, widen_bf16
from qkvdocs.wild._sources import Source


@dataclass(frozen=True)
class Tensor:
    """Where one tensor stands in a file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, from the beginning of the file."""
    end: int
    """One past the last byte."""

    @property
    def floats(self) -> bool:
        """Whether it gives floats: those that are stored, or what they were packed from."""
        return self.dtype in FLOATS

    @property
    def plain(self) -> bool:
        """Whether it is stored as what it gives, and needs nothing beside it."""
        return True

    def load(self, source: Source, name: str) -> np.ndarray:
        """Give the values; bfloat16 as float32, bit for bit."""
        return as_numbers(source.array(self.begin, self.kind(name), self.shape), self.dtype)

    def kind(self, name: str) -> str:
        """Say how numpy is to see the stored numbers."""
        if self.dtype not in NUMPY:
            raise DTypeError(f"{name} must be stored as numbers that numpy can hold, got {self.dtype}")
        return NUMPY[self.dtype]


def as_numbers(array: np.ndarray, dtype: str) -> np.ndarray:
    """Turn bit patterns of bfloat16 into float32; what is read stays read-only."""
    if dtype == "BF16":
        array = np.asarray(widen_bf16(array))  # a single number would come as no array
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Contents:
    """What one file holds."""

    tensors: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    """What the file says of its model, under the names of config.json; empty in most formats."""


def check_apart(file: str, tensors: dict[str, Tensor], start: int, size: int) -> None:
    """Refuse places that overlap, or lie outside the data."""
    before, end = "the header", start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin < end or tensor.end > size:
            raise CheckpointError(
                f"{name} in {file} must stand between the end of {before} = {end} and that of the file = {size}, "
                f"got bytes {tensor.begin} to {tensor.end}. Cut short?"
            )
        before, end = name, tensor.end
