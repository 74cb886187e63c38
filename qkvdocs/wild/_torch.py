# What torch.save writes since 1.6: a zip archive of storages, and a pickle that says which tensor lies where in
# them. The pickle is followed, never run; a tensor that anything but torch's own rebuilding would make is refused.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from qkvdocs.errors import CheckpointError, DTypeError
from qkvdocs.wild._dtypes import BITS
from qkvdocs.wild._pickle import Made, Name, Stored, follow
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Contents, Tensor, as_numbers
from qkvdocs.wild._zip import STORED, Member, data_at

LARGEST = 100_000_000
"""Bytes of the pickle; the tensors stand beside it."""
STORAGES = {
    "FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "UntypedStorage": "U8",
}  # fmt: skip
DTYPES = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
INNER = ("state_dict", "model_state_dict", "model", "module", "params", "net")
"""Under these names a training checkpoint keeps its state dict, beside its optimizer's; the first counts."""
DEEPEST = 6
REBUILT = (
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v3",
)
WRAPPED = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
TYPED = ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type")
NANOGPT = {"n_layer", "n_head", "n_embd", "block_size"}
"""What nanoGPT's checkpoints say of their model, under model_args."""


@dataclass(frozen=True)
class Strided(Tensor):
    """A tensor in a storage, which may be transposed there, or a part of it."""

    strides: tuple[int, ...]
    """In entries."""
    member: Member

    def load(self, source: Source, name: str) -> np.ndarray:
        """Map what it takes of its storage."""
        begin, kind = data_at(source, self.member) + self.begin, np.dtype(self.kind(name))
        if 0 in self.shape:
            return np.empty(self.shape, kind)
        count = (self.end - self.begin) // kind.itemsize
        flat = source.array(begin, kind.str, (count,))
        steps = tuple(step * kind.itemsize for step in self.strides)
        found = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        return as_numbers(found, self.dtype)


@dataclass(frozen=True)
class Unread(Tensor):
    """A tensor that is known to be there, and why it is not given."""

    why: str
    floats = True  # its place in a module is told; its values are not

    def load(self, source: Source, name: str) -> np.ndarray:
        raise DTypeError(f"{name} must be {self.why}")


def read_torch(source: Source, members: Mapping[str, Member]) -> Contents:
    """Read the state dict that torch.save stored, without running its pickle or reading a storage.

    What is no state dict is refused, and a tensor that does not lie in its storage.
    """
    pickle, *more = (name for name in members if name.rpartition("/")[2] == "data.pkl")
    if more:
        raise CheckpointError(f"{source.name} must hold one data.pkl, got {pickle[:60]} and {more[0][:60]}")
    root = pickle.removesuffix("data.pkl")
    if f"{root}constants.pkl" in members or any(name.startswith(f"{root}code/") for name in members):
        raise CheckpointError(
            f"{source.name} must be a state dict, got TorchScript, a program. Store its weights: "
            "python -c \"import torch; torch.save(torch.jit.load('FILE', 'cpu').state_dict(), 'model.pt')\""
        )
    if members[pickle].method != STORED or members[pickle].size > LARGEST:
        raise CheckpointError(
            f"{pickle} in {source.name} must be stored as it is, with at most {LARGEST} bytes, got "
            f"{members[pickle].size}, {'packed' if members[pickle].method else 'stored'}"
        )
    if order := members.get(f"{root}byteorder"):
        begin = data_at(source, order)
        if order.size != 6 or source.read(begin, begin + 6) != b"little":
            raise CheckpointError(f"{source.name} must be written in the order little, got another")
    begin = data_at(source, members[pickle])
    told = follow(source.name, source.read(begin, begin + members[pickle].size))
    state = _state(source.name, told)
    tensors = {name: _tensor(source.name, name, value, root, members) for name, value in _named(state)}
    return Contents(tensors, _config(told))


def _is_tensor(value: object) -> bool:
    return isinstance(value, Made) and value.name in (*REBUILT, *WRAPPED, *TYPED)


def _state(file: str, told: object) -> Mapping[str, Any]:
    """Find the state dict: what was stored, or what is in it under one of a few names."""
    for _ in range(DEEPEST):
        if not isinstance(told, dict):
            break
        if any(_is_tensor(value) for value in told.values()):
            return told
        inner = next((name for name in INNER if isinstance(told.get(name), dict)), None)
        if inner is None:
            return told
        told = told[inner]
    got = f"an object of {told.name}" if isinstance(told, Made) else type(told).__name__
    raise CheckpointError(
        f"{file} must hold a state dict: names and tensors, got {got}. "
        "Store it: torch.save(model.state_dict(), 'model.pt')"
    )


def _named(state: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Give tensors, and what stands in place of one; numbers and texts beside them are left alone."""
    for name, value in state.items():
        if isinstance(value, Made | Name | Stored):
            yield name, value


def _tensor(file: str, name: str, value: Any, root: str, members: Mapping[str, Member]) -> Tensor:
    for _ in range(DEEPEST):  # a parameter around a tensor, a subclass around that
        match value:
            case Made(name=by, given=(inner, *_)) if by in WRAPPED:
                value = inner
            case Made(name=by, given=(Name() as inner, _, given, *_)) if by in TYPED:
                value = Made(inner, given)
    match value:
        case Made(given=(Stored(told=told), int(offset), tuple(shape), tuple(strides), *rest)) if (
            value.name in REBUILT
        ):
            return _place(f"{name} in {file}", told, (offset, shape, strides), rest, root, members)
    made = value.name if isinstance(value, Made) else getattr(value, "text", "a storage")
    why = f"a tensor that torch itself rebuilds, got one of {made[:80]}, which is not run"
    return Unread("?", (), 0, 0, why)


def _place(
    named: str,
    told: Any,
    where: tuple[Any, Any, Any],
    rest: list[Any],
    root: str,
    members: Mapping[str, Member],
) -> Tensor:
    offset, shape, strides = where
    match told:
        case ("storage", Name(text=kind), str(key), _, int(_)):
            dtype = STORAGES.get(kind.rpartition(".")[2], kind)
        case _:
            raise CheckpointError(f"{named} must lie in a storage of the archive, got {type(told).__name__}")
    typed = next((value.text.rpartition(".")[2] for value in rest if isinstance(value, Name)), "")
    dtype = DTYPES.get(typed, typed) if typed else dtype
    member = members.get(f"{root}data/{key}")
    if member is None or member.method != STORED:
        raise CheckpointError(f"{named} must lie in data/{key[:60]}, stored as it is, got no such member")
    if dtype not in BITS:
        return Unread(dtype[:40], shape, 0, 0, f"of a dtype that is known, got {dtype[:40]}")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > 32 or any(type(n) is not int or n < 0 for n in numbers):
        raise CheckpointError(f"{named} must have as many steps as sizes, all whole and from 0")
    item, entries, last = BITS[dtype] // 8, prod(shape), offset
    if entries:
        last += sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + 1
    if last * item > member.size or entries * item > member.size:
        raise CheckpointError(
            f"{named} must lie in its storage of {member.size} bytes, got {entries} entries of {item} bytes "
            f"up to {last * item}"
        )
    return Strided(dtype, shape, offset * item, last * item, strides, member)


def _config(told: object) -> dict[str, Any]:
    values = told.get("model_args") if isinstance(told, dict) else None
    if not isinstance(values, dict) or not values.keys() >= NANOGPT:
        return {}
    return {"model_type": "nanogpt"} | {
        name: value for name, value in values.items() if type(value) in (int, bool)
    }
