# A numpy archive: each array with a header of its own, stored or deflated. Pickled arrays are refused.

import re
from dataclasses import dataclass
from math import prod

import numpy as np

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Contents, Tensor
from qkvdocs.wild._write import NAMES
from qkvdocs.wild._zip import STORED, Member, data_at, unpack

LONGEST = 10_000
"""Bytes of an array's header; numpy's own limit."""
KINDS = {f"{order}{dtype.str[1:]}".encode(): name for dtype, name in NAMES.items() for order in "<>|"}
"""How numpy calls a dtype -> how we do."""
START = re.compile(rb"\x93NUMPY(?:\x01\x00..|[\x02\x03]\x00....)", re.S)
HEADER = re.compile(
    rb"\{'descr': '([<>|][a-zA-Z]\d{1,5})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?)\), \} *\n"
)


@dataclass(frozen=True)
class Archived(Tensor):
    """An array of the archive; `begin` and `end` count from the member's first byte."""

    stored: str
    """Its dtype, byte order and all."""
    fortran: bool
    member: Member

    def load(self, source: Source, name: str) -> np.ndarray:
        """Map it, or unpack it."""
        shape = self.shape[::-1] if self.fortran else self.shape
        if self.member.method == STORED:
            array = source.array(data_at(source, self.member) + self.begin, self.stored, shape)
        else:
            array = np.frombuffer(unpack(source, self.member), self.stored, prod(shape), self.begin).reshape(
                shape
            )
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        array.flags.writeable = False
        return array.T if self.fortran else array


def read_npz(source: Source, members: dict[str, Member]) -> Contents:
    """Read the headers of all arrays of an archive; refuse what is no array of numbers, or cut short."""
    arrays = {name: member for name, member in members.items() if name.endswith(".npy")}
    return Contents({name.removesuffix(".npy"): _array(source, name, arrays[name]) for name in arrays})


def _array(source: Source, name: str, member: Member) -> Tensor:
    text = unpack(source, member, LONGEST)
    start = START.match(text)
    length = int.from_bytes(text[8 : start.end()], "little") if start else 0
    header = HEADER.fullmatch(text, start.end(), start.end() + length) if start else None
    if not start or not header or start.end() + length > len(text):
        raise CheckpointError(
            f"{name[:60]} in {source.name} must begin with numpy's header of an array of numbers, got {text[:80]!r}"
        )
    kind = KINDS.get(header[1])
    if kind is None:
        raise CheckpointError(
            f"{name[:60]} in {source.name} must hold numbers out of {', '.join(map(str, NAMES))}, got {header[1]!r}"
        )
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[3].split(b",") if size.strip())
    begin, size = header.end(), prod(shape) * dtype.itemsize
    if begin + size != member.size:
        raise CheckpointError(
            f"{name[:60]} in {source.name} must have {begin} + {size} bytes, as its header says, got {member.size}"
        )
    return Archived(kind, shape, begin, begin + size, dtype.str, header[2] == b"True", member)
