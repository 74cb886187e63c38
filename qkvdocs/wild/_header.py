# The header of a .safetensors file, read as if its author were an enemy: nothing is looked up, allocated or
# repeated on its word, and what it says must be exactly right. Length (8 bytes, little-endian), JSON, data.

import json
import re
from math import prod

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._dtypes import BITS
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Contents, Tensor

LARGEST = 100_000_000
"""Bytes of a header; the format's own limit."""
SPACE = rb"[ \t\r\n]*+"
ESCAPE = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
STRING = rb'"[^"\\\x00-\x1f]*+(?:' + ESCAPE + rb'[^"\\\x00-\x1f]*+)*+"'
PAIR = SPACE + STRING + SPACE + b":" + SPACE + STRING + SPACE
NAME = re.compile(SPACE + b"(" + STRING + b")" + SPACE + b":" + SPACE)
ENTRY = re.compile(rb"\{[^{}]{0,4096}+\}")
SIZE = rb"(?:0|[1-9]\d{0,18})"
USUAL = re.compile(
    rb'\{"dtype": ?"([A-Z\d_]+)", ?"shape": ?\[((?:' + SIZE + rb"(?:, ?" + SIZE + rb"){0,31})?)\], "
    rb'?"data_offsets": ?\[(' + SIZE + rb"), ?(" + SIZE + rb")\]\}"
)
METADATA = re.compile(rb"null|\{(?:" + PAIR + b"(?:," + PAIR + b")*+)?+" + SPACE + rb"\}")
"""MLX writes null where there is nothing to say."""
WHOLE = re.compile(rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u(?=[dD][c-fC-F]))*+", re.S)
"""Escapes of characters, where each half of a surrogate pair has its other half."""
MARK = re.compile(SPACE + b"([,}])")


def read_safetensors(source: Source) -> Contents:
    """Read what a file holds; refuse one that is cut short, or whose header is not exactly what the format demands."""
    length = int.from_bytes(source.read(0, min(8, source.size)), "little")
    if source.size < 8 or length > source.size - 8:
        raise CheckpointError(
            f"{source.name} must be at least as long as its header = 8 + {length} bytes, got {source.size}. "
            "Cut short, or not a .safetensors file"
        )
    if length > LARGEST:
        raise CheckpointError(f"the header of {source.name} must have at most {LARGEST} bytes, got {length}")
    entries = _parse(source.name, source.read(8, 8 + length))
    tensors = {
        name: _check(source.name, name, entry, 8 + length, source.size) for name, entry in entries.items()
    }
    _check_tiling(source.name, tensors, 8 + length, source.size)
    return Contents(tensors)


def _parse(file: str, text: bytes) -> dict[str, bytes]:
    entries: dict[str, bytes] = {}
    seen_metadata = False
    if text[:1] != b"{":
        raise _unreadable(file, text, 0)
    at, mark = 1, b"{"
    if (empty := MARK.match(text, at)) and empty[1] == b"}":
        at, mark = empty.end(), b"}"
    while mark in (b"{", b","):
        if not (key := NAME.match(text, at)):
            raise _unreadable(file, text, at)
        name = _decode(file, key[1])
        known = seen_metadata if name == "__metadata__" else name in entries
        if known:
            raise CheckpointError(f"the header of {file} must name each tensor once, got {name!r} twice")
        body = (METADATA if name == "__metadata__" else ENTRY).match(text, key.end())
        if not body or not (after := MARK.match(text, body.end())):
            raise _unreadable(file, text, key.start(1))
        if name == "__metadata__":
            seen_metadata = True
            _check_text(file, body[0])
        else:
            entries[name] = body[0]
        at, mark = after.end(), after[1]
    if mark != b"}" or text[at:].strip(b" "):
        raise _unreadable(file, text, at - 1)
    return entries


def _decode(file: str, literal: bytes) -> str:
    try:
        name = json.loads(literal.decode()) if b"\\" in literal else literal[1:-1].decode()
        name.encode()
    except (UnicodeError, ValueError):
        raise CheckpointError(f"the header of {file} must be UTF-8, got the name {literal[:60]!r}") from None
    return str(name)


def _check_text(file: str, text: bytes) -> None:
    try:
        text.decode()
        if not WHOLE.fullmatch(text):
            raise ValueError("half a character")
    except ValueError:
        raise CheckpointError(f"the header of {file} must be UTF-8, got the metadata {text[:60]!r}") from None


def _unreadable(file: str, text: bytes, at: int) -> CheckpointError:
    form = '{name: {"dtype": …, "shape": […], "data_offsets": [begin, end]}, …}'
    return CheckpointError(
        f"the header of {file} must be JSON {form}, got {text[at : at + 60]!r} at byte {8 + at}"
    )


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _unsigned(text: str) -> int:
    if text.startswith("-"):  # also -0, which would be read as 0
        raise ValueError("a sign")
    return int(text)


def _natural(values: object, most: int) -> bool:
    return isinstance(values, list) and len(values) <= most and all(type(n) is int and n >= 0 for n in values)


def _described(file: str, name: str, entry: bytes) -> tuple[str, list[int], int, int]:
    if usual := USUAL.fullmatch(entry):  # as every writer writes it: in a fraction of the time
        sizes = [int(size) for size in usual[2].split(b",") if size]
        return usual[1].decode(), sizes, int(usual[3]), int(usual[4])
    try:
        if entry.count(b"[") > 2:  # a nest of thousands is more than some machines can follow
            raise ValueError("another form")
        match json.loads(entry.decode(), object_pairs_hook=_once, parse_int=_unsigned):
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end], **rest} if (
                not rest and _natural(shape, 32) and _natural([begin, end], 2)
            ):
                return dtype, shape, begin, end
            case _:
                raise ValueError("another form")
    except ValueError:
        form = '{"dtype": …, "shape": […], "data_offsets": [begin, end]} with sizes from 0'
        raise CheckpointError(f"{name} in {file} must be described as {form}, got {entry[:120]!r}") from None


def _check(file: str, name: str, entry: bytes, start: int, size: int) -> Tensor:
    dtype, shape, begin, end = _described(file, name, entry)
    if dtype not in BITS:
        raise CheckpointError(
            f"{name} in {file} must have a dtype out of {', '.join(BITS)}, got {dtype[:40]!r}"
        )
    bits = prod(shape) * BITS[dtype]
    if begin > end or bits % 8 or bits // 8 != end - begin:
        sizes = " * ".join(map(str, [*shape, f"{BITS[dtype]} bits"]))
        raise CheckpointError(f"{name} in {file} must take {sizes} = {bits // 8} bytes, got {end} - {begin}")
    if start + end > size:
        raise CheckpointError(
            f"{name} in {file} must end inside the data = {size - start} bytes, got {end}. Cut short?"
        )
    return Tensor(dtype, tuple(shape), start + begin, start + end)


def _check_tiling(file: str, tensors: dict[str, Tensor], start: int, size: int) -> None:
    before, end = "the header", start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end:
            raise CheckpointError(
                f"{name} in {file} must begin where {before} ends = {end - start}, got {tensor.begin - start}"
            )
        before, end = name, tensor.end
    if end != size:
        raise CheckpointError(f"{file} must end with its last tensor = {end} bytes, got {size}")
