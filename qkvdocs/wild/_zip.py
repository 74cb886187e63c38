# The members of a zip archive, read from its directory alone. Two members never share a byte, so no archive is
# larger unpacked than it says, and what it says is a limit.

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._sources import Source

MAGIC = b"PK\x03\x04"
LARGEST = 100_000_000
"""Bytes of the directory."""
END, END64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY = struct.Struct("<4s4x2sH8xII3H8xI")
LOCAL = struct.Struct("<4s2x2sH16xHH")
STORED, DEFLATED = 0, 8
WIDE = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """One file in the archive."""

    name: str
    at: int
    """Where its own header begins; its data follow that."""
    packed: int
    """Bytes in the archive."""
    size: int
    """Bytes unpacked."""
    method: int


def read_members(source: Source) -> dict[str, Member]:
    """List what an archive holds, by name; refuse one that is cut short, or whose directory contradicts itself."""
    data, before = _directory(source)
    members: dict[str, Member] = {}
    at = 0
    while at < len(data):
        member, at = _member(source, data, at)
        if member.name in members:
            raise CheckpointError(f"{source.name} must name each member once, got {member.name[:60]!r} twice")
        members[member.name] = member
    end = 0
    for member in sorted(members.values(), key=lambda member: member.at):
        last = member.at + LOCAL.size + len(member.name.encode()) + member.packed
        if member.at < end or last > before:
            raise CheckpointError(
                f"{member.name[:60]} in {source.name} must stand apart from other members, and before the directory at "
                f"{before}, got {member.packed} bytes at {member.at}"
            )
        end = last
    return members


def data_at(source: Source, member: Member) -> int:
    """Say where a member's data begin."""
    mark, flags, method, name, more = LOCAL.unpack(source.read(member.at, member.at + LOCAL.size))
    if mark != MAGIC or method != member.method or flags[0] & 1:
        raise CheckpointError(
            f"{member.name[:60]} in {source.name} must begin with its own header, not encrypted, got {mark!r}"
        )
    begin = int(member.at + LOCAL.size + name + more)
    if begin + member.packed > source.size:
        raise CheckpointError(
            f"{member.name[:60]} must end inside {source.name} = {source.size} bytes. Cut short?"
        )
    return begin


def unpack(source: Source, member: Member, most: int | None = None) -> bytes:
    """Give a member's bytes, or the first of them, and never more than its size."""
    begin, want = data_at(source, member), member.size if most is None else min(most, member.size)
    if member.method == STORED:
        return source.read(begin, begin + want)
    machine, found, at = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), 0
    try:
        while len(found) < want and at < member.packed and not machine.eof:
            part = source.read(begin + at, begin + min(member.packed, at + (1 << 20)))
            at += len(part)
            found += machine.decompress(part, want - len(found))
            while machine.unconsumed_tail and len(found) < want:
                found += machine.decompress(machine.unconsumed_tail, want - len(found))
    except zlib.error as error:
        raise CheckpointError(f"{member.name[:60]} in {source.name} must be deflated, got: {error}") from None
    if len(found) < want:
        raise CheckpointError(
            f"{member.name[:60]} in {source.name} must have {want} bytes unpacked, got {len(found)}. Cut short?"
        )
    return bytes(found)


def _directory(source: Source) -> tuple[bytes, int]:
    start = max(0, source.size - 22 - 0xFFFF)
    tail = source.read(start, source.size)
    end = tail.rfind(END)
    if end < 0 or len(tail) - end < 22:
        raise CheckpointError(
            f"{source.name} must end with the directory of a zip archive, got none. Cut short?"
        )
    size, offset = struct.unpack_from("<II", tail, end + 12)
    if tail[max(0, end - 20) : end][:4] == LOCATOR:
        [at] = struct.unpack_from("<Q", tail, end - 12)
        wide = source.read(at, at + 56) if at + 56 <= source.size else b""
        if len(wide) < 56 or wide[:4] != END64:
            raise CheckpointError(
                f"{source.name} must end with the directory of a zip archive, got a broken one"
            )
        size, offset = struct.unpack_from("<QQ", wide, 40)
    if size > LARGEST or offset + size > source.size:
        raise CheckpointError(
            f"the directory of {source.name} must end inside the file = {source.size} bytes and have at most "
            f"{LARGEST}, got {size} bytes at {offset}"
        )
    return source.read(offset, offset + size), offset


def _member(source: Source, data: bytes, at: int) -> tuple[Member, int]:
    broken = CheckpointError(
        f"the directory of {source.name} must hold whole entries, got a broken one at byte {at}"
    )
    if at + ENTRY.size > len(data):
        raise broken
    mark, flags, method, packed, size, name, more, comment, where = ENTRY.unpack_from(data, at)
    at += ENTRY.size
    stop = at + name + more + comment
    if mark != b"PK\x01\x02" or stop > len(data):
        raise broken
    text, rest = data[at : at + name], data[at + name : at + name + more]
    if WIDE in (packed, size, where):
        wide = _wide(rest)
        values = [next(wide, None) if value == WIDE else value for value in (size, packed, where)]
        if None in values:
            raise broken
        size, packed, where = values
    if method not in (STORED, DEFLATED) or flags[0] & 1 or (method == STORED and packed != size):
        raise CheckpointError(
            f"{text[:60]!r} in {source.name} must be stored or deflated, not encrypted, got method {method}, "
            f"{packed} bytes for {size}"
        )
    return Member(text.decode(errors="replace"), where, packed, size, method), stop


def _wide(rest: bytes) -> Iterator[int]:
    """Give the sizes of eight bytes that stand behind an entry."""
    while len(rest) >= 4:
        kind, length = struct.unpack_from("<HH", rest)
        if kind == 1:
            return (value for (value,) in struct.iter_unpack("<Q", rest[4 : 4 + length // 8 * 8]))
        rest = rest[4 + length :]
    return iter(())
