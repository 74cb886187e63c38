# GGUF, the format of llama.cpp, versions 2 and 3: metadata that hold the config, tensors that are mostly packed in
# blocks. Lengths and counts are believed only as far as the file goes on.

import struct
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from qkvdocs.errors import CheckpointError, DTypeError
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Contents, Tensor, check_apart

MAGIC = b"GGUF"
LARGEST = 50_000_000
"""Bytes of metadata and of the list of tensors; the largest vocabularies take a fifth of that."""
CHUNK = 1 << 20
NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
TEXT, ARRAY = 8, 9
LISTED, DEEPEST, LONGEST, MOST = 4096, 4, 1 << 16, 1 << 16
"""Numbers of an array, arrays within arrays, and bytes of a text that are kept; and entries of the metadata."""
MOST_AXES = 4
PLAIN = {
    0: ("F32", 4), 1: ("F16", 2), 24: ("I8", 1), 25: ("I16", 2), 26: ("I32", 4), 27: ("I64", 8),
    28: ("F64", 8), 30: ("BF16", 2),
}  # fmt: skip
BLOCKS = {
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Number of the type -> its name, entries of a block, bytes of a block."""
PERMUTED = frozenset({
    "llama", "deci", "baichuan", "xverse", "internlm2", "minicpm", "olmo", "granite", "granitemoe",
    "granitehybrid", "smollm3", "arcee", "mistral3", "bailingmoe", "arctic", "llada",
})  # fmt: skip
"""Architectures whose rows of W_Q and W_K the converter of llama.cpp puts from halves into pairs."""
NAMES = {
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "embedding_length": "hidden_size",
    "attention.key_length": "head_dim",
    "block_count": "num_hidden_layers",
    "attention.causal": "causal",
    "rope.freq_base": "rope_theta",
    "attention.sliding_window": "sliding_window",
    "attention.sliding_window_pattern": "sliding_window_pattern",
}
"""What a fact is called behind the architecture's name, and in config.json."""
PATTERN = {
    "gemma2": 2, "gpt-oss": 2, "cohere2": 4, "exaone4": 4, "olmo2": 4, "gemma3n": 5, "gemma3": 6,
}  # fmt: skip
"""One layer of so many sees all, the last of them, where older files of an architecture do not say it."""


@dataclass(frozen=True)
class Packed(Tensor):
    """A tensor of blocks, which the `gguf` package turns into floats."""

    number: int
    floats = True

    def load(self, source: Source, name: str) -> np.ndarray:
        """Unpack the blocks into float32."""
        try:
            from gguf.constants import GGMLQuantizationType
            from gguf.quants import dequantize
        except ModuleNotFoundError:
            raise DTypeError(
                f"{name} is packed as {self.dtype} and needs gguf: pip install 'gguf>=0.19.0'"
            ) from None
        rows = prod(self.shape[:-1])
        if 0 in self.shape:
            return np.empty(self.shape, "<f4")
        stored = source.array(self.begin, "u1", (rows, (self.end - self.begin) // rows))
        try:
            found: np.ndarray = dequantize(stored, GGMLQuantizationType(self.number)).reshape(self.shape)
        except (NotImplementedError, ValueError, KeyError):
            raise DTypeError(
                f"{name} must be packed in a way that the gguf package unpacks, got {self.dtype}"
            ) from None
        found.flags.writeable = False
        return found


def read_gguf(source: Source) -> Contents:
    """Read what a GGUF file holds, its metadata under the names of config.json; refuse what contradicts itself."""
    cursor = _Cursor(source)
    cursor.take(4)
    version = cursor.number("<I")
    if version not in (2, 3):
        swapped = version & 0xFFFF == 0 and version
        got = "a file for big-endian machines" if swapped else f"version {version}"
        raise CheckpointError(
            f"{source.name} must be GGUF of version 2 or 3, little-endian, got {got}. "
            "Convert the original checkpoint again with a current llama.cpp"
        )
    count, facts = cursor.number("<Q"), cursor.number("<Q")
    if facts > MOST:
        raise CheckpointError(f"the metadata of {source.name} must have at most {MOST} entries, got {facts}")
    values: dict[str, Any] = {}
    for _ in range(facts):
        key = cursor.text()
        if key in values:
            raise CheckpointError(
                f"the metadata of {source.name} must name each key once, got {key[:60]!r} twice"
            )
        values[key] = cursor.value(cursor.number("<I"), DEEPEST)
    tensors: dict[str, Tensor] = {}
    for _ in range(count):
        # T5 names its cross-attention beside its self-attention; it is a module of its own.
        name = cursor.text().replace("cross_attn_", "cross.attn_")
        if name in tensors:
            raise CheckpointError(f"{source.name} must name each tensor once, got {name[:60]!r} twice")
        tensors[name] = _tensor(cursor, name)
    step = values.get("general.alignment", 32)
    if type(step) is not int or not 0 < step <= CHUNK or step & (step - 1):
        raise CheckpointError(
            f"general.alignment of {source.name} must be a power of two, got {str(step)[:60]}"
        )
    start = -(-cursor.at // step) * step
    for name, tensor in tensors.items():
        if tensor.begin % step:
            raise CheckpointError(
                f"{name} in {source.name} must begin at a multiple of {step}, got {tensor.begin}"
            )
        tensors[name] = replace(tensor, begin=start + tensor.begin, end=start + tensor.end)
    check_apart(source.name, tensors, start, source.size)
    return Contents(tensors, _config(values))


class _Cursor:
    """Reads a header from its beginning, a stretch at a time, and no further than it may go."""

    def __init__(self, source: Source) -> None:
        self.source, self.at = source, 0
        self._from, self._held = 0, b""

    def take(self, count: int) -> bytes:
        """Give the next bytes."""
        self._reach(count)
        begin = self.at - self._from
        self.at += count
        return self._held[begin : begin + count]

    def skip(self, count: int) -> None:
        """Pass over bytes without reading them."""
        self._within(count)
        self.at += count

    def number(self, form: str) -> Any:
        """Give the next number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        """Give the next text, which is a name."""
        length = self.number("<Q")
        if length > LONGEST:
            raise CheckpointError(
                f"a name in the header of {self.source.name} must have at most {LONGEST} bytes, got {length}"
            )
        data = self.take(length)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise CheckpointError(
                f"the header of {self.source.name} must be UTF-8, got {data[:60]!r}"
            ) from None

    def value(self, kind: int, depth: int) -> Any:
        """Give the next value; None for a long text and for what is in a long array."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == TEXT:
            length = self.number("<Q")
            if length > LONGEST:
                return self.skip(length)
            return self.take(length).decode(errors="replace")
        if kind != ARRAY or not depth:
            raise CheckpointError(
                f"a value in {self.source.name} must be a number, a text or an array of these, got type {kind}"
            )
        kind, count = self.number("<I"), self.number("<Q")
        if kind in NUMBERS:
            size = struct.calcsize(NUMBERS[kind])
            if count > LISTED:
                return self.skip(count * size)
            return [self.number(NUMBERS[kind]) for _ in range(count)]
        if kind == TEXT:
            return self._skip_texts(count)
        if count > LISTED:
            raise CheckpointError(
                f"an array of arrays in {self.source.name} must have at most {LISTED}, got {count}"
            )
        for _ in range(count):
            self.value(kind, depth - 1)
        return None

    def _skip_texts(self, count: int) -> None:
        self._within(8 * count)
        for _ in range(count):  # a vocabulary has a quarter of a million: no function is called for most
            begin = self.at - self._from
            if begin + 8 > len(self._held):
                self._reach(8)
                begin = 0
            self.at += 8 + int.from_bytes(self._held[begin : begin + 8], "little")
        self._within(0)

    def _reach(self, count: int) -> None:
        self._within(count)
        if not self._from <= self.at <= self.at + count <= self._from + len(self._held):
            stop = min(self.source.size, self.at + max(count, CHUNK))
            self._from, self._held = self.at, self.source.read(self.at, stop)

    def _within(self, count: int) -> None:
        if self.at + count > min(self.source.size, LARGEST):
            raise CheckpointError(
                f"the header of {self.source.name} must end inside the file = {self.source.size} bytes, and within "
                f"{LARGEST}, got {count} more at {self.at}. Cut short?"
            )


def _tensor(cursor: _Cursor, name: str) -> Tensor:
    file, axes = cursor.source.name, cursor.number("<I")
    if axes > MOST_AXES:
        raise CheckpointError(f"{name} in {file} must have at most {MOST_AXES} axes, got {axes}")
    shape = tuple(cursor.number("<Q") for _ in range(axes))[::-1]
    number, begin = cursor.number("<I"), cursor.number("<Q")
    if number in PLAIN:
        kind, size = PLAIN[number]
        return Tensor(kind, shape, begin, begin + prod(shape) * size)
    if number not in BLOCKS:
        known = ", ".join([*(kind for kind, _ in PLAIN.values()), *(kind for kind, _, _ in BLOCKS.values())])
        raise CheckpointError(f"{name} in {file} must have a type out of {known}, got number {number}")
    kind, entries, size = BLOCKS[number]
    if not shape or shape[-1] % entries:
        raise CheckpointError(
            f"{name} in {file} must have rows of a multiple of {entries}, a block of {kind}, got shape {shape}"
        )
    return Packed(kind, shape, begin, begin + prod(shape) // entries * size, number)


def _config(values: dict[str, Any]) -> dict[str, Any]:
    kind = values.get("general.architecture")
    if not isinstance(kind, str):
        return {}
    prefix = "clip.vision" if kind == "clip" else kind
    found = {
        ours: value
        for theirs, ours in NAMES.items()
        if (value := values.get(f"{prefix}.{theirs}")) is not None
    }
    pixtral = kind == "clip" and values.get("clip.projector_type") == "pixtral"
    if kind in PATTERN:
        found.setdefault("sliding_window_pattern", PATTERN[kind])
    if isinstance(kinds := found.get("sliding_window_pattern"), list):
        found["layer_types"] = ["sliding_attention" if slides else "full_attention" for slides in kinds]
    rows = {"rows": "pairs"} if kind in PERMUTED or pixtral else {}
    return {"model_type": kind, **found, **rows}
