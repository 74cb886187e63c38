# Weights that are stored packed, in several tensors: together they are offered as the one weight that they were.
# Names and shapes decide which format it is; each one's arithmetic is that of its own library.

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import Any

import numpy as np

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._dtypes import FLOATS
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Tensor

Place = tuple[Source, Tensor]
Arrays = Mapping[str, np.ndarray]
By = Callable[[Arrays], np.ndarray]
BITS = (2, 4, 8)
"""Bits of a weight that fill a word without a rest."""
CROSSING = (2, 3, 4, 5, 6, 8)
"""Those of formats whose entries may lie across two words."""
FOUR = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], "f4")
"""What the 16 patterns of a float of four bits stand for: a sign, two bits of exponent, one of mantissa."""
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""In which order AWQ lays eight columns into one word, from its lowest bits on."""
LARGEST_STATE = 10_000
"""Bytes of what bitsandbytes says about one weight."""


@dataclass(frozen=True)
class Unpacked(Tensor):
    """A weight that several tensors make up."""

    parts: Mapping[str, Place]
    by: By
    floats, plain = True, False

    def load(self, source: Source, name: str) -> np.ndarray:
        """Unpack it into float32."""
        arrays = {key: _numbers(*place, name) for key, place in self.parts.items()}
        with np.errstate(all="ignore"):  # a scale may be zero or no number: then so is what it scales
            found = np.ascontiguousarray(self.by(arrays), "<f4")
        if found.shape != self.shape:
            raise CheckpointError(f"{name} must unpack to {self.shape}, got {found.shape}")
        found.flags.writeable = False
        return found


def find_packed(places: Mapping[str, Place], config: Mapping[str, Any]) -> dict[str, Unpacked]:
    """Find weights that are stored packed, under whatever names; what config.json says tells what shapes cannot."""
    told = config.get("quantization_config") or config.get("quantization")
    told = told if isinstance(told, dict) else {}
    held: defaultdict[str, dict[str, Place]] = defaultdict(dict)
    for name, place in places.items():
        at = f".{name}".rfind(".weight.")  # what bitsandbytes lays beside a weight hangs below its name
        stem, _, key = name.rpartition(".") if at < 0 else (name[: max(at - 1, 0)], ".", name[at:])
        if key in PARTS:
            held[stem][key] = place
    found: dict[str, Unpacked] = {}
    for stem, parts in held.items():
        if len(parts) > 1 and (weight := _recognise(Held(stem, parts, told))):
            found[f"{stem}.weight" if stem else "weight"] = weight
    return found


PARTS = (
    "qweight", "qzeros", "scales", "g_idx", "biases", "weight", "weight_packed", "weight_scale", "weight_scale_inv",
    "weight_shape", "weight_zero_point", "weight_g_idx", "weight_global_scale", "weight_scale_2", "SCB",
    "weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map",
    "weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4",
)  # fmt: skip


STORED_AS = {
    **dict.fromkeys(("qweight", "qzeros", "weight_zero_point"), ("I32",)),
    **dict.fromkeys(("g_idx", "weight_g_idx", "weight_shape"), ("I32", "I64")),
    **dict.fromkeys(("scales", "biases", "SCB", "weight_scale", "weight_scale_inv"), FLOATS),
    "weight_packed": ("I32", "U8"),
}
"""Dtypes of a part; those of bitsandbytes are floats or bytes."""


@dataclass(frozen=True)
class Held:
    """What stands under the name of one weight."""

    stem: str
    parts: dict[str, Place]
    told: Mapping[str, Any]
    """What config.json tells of quantisation."""

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: tensor.shape for key, (_, tensor) in self.parts.items()}

    @cached_property
    def kinds(self) -> dict[str, str]:
        return {key: tensor.dtype for key, (_, tensor) in self.parts.items()}

    @property
    def own(self) -> dict[str, Any]:
        """What MLX tells of one weight: its own facts, before those of all."""
        own = self.told.get(self.stem)
        return {**self.told, **(own if isinstance(own, dict) else {})}

    def matrices(self, *keys: str) -> bool:
        return all(len(self.shapes.get(key, ())) == 2 and 0 not in self.shapes[key] for key in keys)

    def unpacked(self, label: str, shape: tuple[int, ...], by: By, *keys: str) -> Unpacked:
        """Make a weight of these parts, or of all."""
        return Unpacked(label, shape, 0, 0, {key: self.parts[key] for key in keys or self.parts}, by)


def _recognise(it: Held) -> Unpacked | None:
    if weight := _floats_of_four(it):
        return weight
    kinds = it.kinds.items()
    if any(kind not in STORED_AS.get(key, (*FLOATS, "U8")) for key, kind in kinds if key != "weight"):
        return None
    readers = (_gptq, _awq, _bnb_four, _bnb_eight, _compressed, _mlx, _scaled)
    return next((weight for reader in readers if (weight := reader(it))), None)


def _gptq(it: Held) -> Unpacked | None:
    if not it.matrices("qweight", "qzeros", "scales") or it.kinds["qweight"] != "I32":
        return None
    (words, out), (groups, zeros) = it.shapes["qweight"], it.shapes["qzeros"]
    bits, rest = divmod(32 * zeros, out)
    rows = words * 32 // max(bits, 1)
    if rest or bits not in CROSSING or it.shapes["scales"] != (groups, out) or rows % groups:
        return None
    if "g_idx" in it.shapes and it.shapes["g_idx"] != (rows,):
        return None
    one = it.told.get("checkpoint_format") != "gptq_v2"  # the first version stores zero points less one

    def unpack(arrays: Arrays) -> np.ndarray:
        group = _groups(it.stem, arrays, "g_idx", rows, groups)
        values = _spread(arrays["qweight"].T, bits).T.astype("f4")
        points = _spread(arrays["qzeros"], bits).astype("f4") + one
        scales = arrays["scales"].astype("f4")
        return np.asarray(((values - points[group]) * scales[group]).T)

    return it.unpacked(f"GPTQ {bits} bits", (out, rows), unpack)


def _awq(it: Held) -> Unpacked | None:
    if not it.matrices("qweight", "qzeros", "scales") or it.kinds["qweight"] != "I32":
        return None
    (rows, words), (groups, out) = it.shapes["qweight"], it.shapes["scales"]
    if out != 8 * words or it.shapes["qzeros"] != (groups, words) or rows % groups:
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        order = np.argsort(AWQ_ORDER)
        values, points = (
            _spread(arrays[key], 4).reshape(-1, words, 8)[..., order].reshape(-1, out).astype("f4")
            for key in ("qweight", "qzeros")
        )
        group = np.arange(rows) // (rows // groups)
        return np.asarray(((values - points[group]) * arrays["scales"].astype("f4")[group]).T)

    return it.unpacked("AWQ 4 bits", (out, rows), unpack)


def _bnb_four(it: Held) -> Unpacked | None:
    state = next((key for key in it.parts if key.startswith("weight.quant_state")), "")
    absmax, outer = it.shapes.get("weight.absmax"), it.shapes.get("weight.nested_absmax")
    if not state or it.kinds.get("weight") != "U8" or absmax is None:
        return None
    if it.shapes.get("weight.quant_map") != (16,):
        return None
    source, tensor = it.parts[state]
    if prod(tensor.shape) > LARGEST_STATE:
        return None
    try:
        text = bytes(tensor.load(source, it.stem)).decode()
        if text.count("[") + text.count("{") > 2:  # no nest that some machines could not follow
            raise ValueError("another form")
        says = json.loads(text)
        shape, block = tuple(says["shape"]), says["blocksize"]
        offset, nested = says.get("nested_offset", 0.0), says.get("nested_blocksize", 1)
        whole = all(type(n) is int and n > 0 for n in (*shape, block, nested))
        if len(shape) != 2 or not whole or type(offset) not in (int, float):
            raise ValueError("another form")
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{it.stem}.{state} must say shape and blocksize, as bitsandbytes writes it, got another form"
        ) from None
    blocks = -(-prod(shape) // block)
    if 2 * prod(it.shapes["weight"]) != prod(shape) + prod(shape) % 2 or absmax != (blocks,):
        raise CheckpointError(
            f"{it.stem}.weight must have half a byte for each of {shape}, got {it.shapes['weight']}"
        )
    twice = outer is not None
    if twice != (it.kinds["weight.absmax"] == "U8") or it.kinds["weight.quant_map"] == "U8":
        return None
    if twice and (it.shapes.get("weight.nested_quant_map"), outer) != ((256,), (-(-blocks // nested),)):
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        scales = arrays["weight.absmax"]
        if twice:
            wide = arrays["weight.nested_quant_map"][scales]
            scales = wide * np.repeat(arrays["weight.nested_absmax"], nested)[:blocks] + np.float32(offset)
        halves = arrays["weight"].reshape(-1)
        codes = np.stack([halves >> 4, halves & 15], -1).reshape(-1)[: prod(shape)]
        scale = np.repeat(scales.astype("f4"), block)[: prod(shape)]
        return np.asarray(arrays["weight.quant_map"][codes] * scale).reshape(shape)

    return it.unpacked(
        f"bitsandbytes {state[-3:]}", shape, unpack, *(key for key in it.parts if key != state)
    )


def _bnb_eight(it: Held) -> Unpacked | None:
    if it.kinds.get("weight") != "I8" or "SCB" not in it.parts or not it.matrices("weight"):
        return None
    if it.shapes["SCB"] != it.shapes["weight"][:1]:
        return None
    return it.unpacked(
        "bitsandbytes int8", it.shapes["weight"],
        lambda arrays: np.asarray(arrays["weight"].astype("f4") * (arrays["SCB"].astype("f4") / 127)[:, None]),
    )  # fmt: skip


def _compressed(it: Held) -> Unpacked | None:
    if it.kinds.get("weight_packed") != "I32" or not it.matrices("weight_packed", "weight_scale"):
        return None
    (out, words), groups = it.shapes["weight_packed"], it.shapes["weight_scale"][1]
    numbers = re.findall(r"'num_bits': (\d)", str(it.told)[:10_000])
    bits = int(numbers[0]) if numbers else 4
    if bits not in BITS or it.shapes["weight_scale"][0] != out or it.shapes.get("weight_shape") != (2,):
        return None
    source, tensor = it.parts["weight_shape"]
    rows, width = (int(size) for size in tensor.load(source, it.stem))
    if rows != out or not 0 < width <= words * 32 // bits or width % groups:
        return None
    if it.shapes.get("weight_g_idx", (width,)) != (width,):
        return None
    if it.shapes.get("weight_zero_point", (-(-out * bits // 32), groups)) != (-(-out * bits // 32), groups):
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        group = _groups(it.stem, arrays, "weight_g_idx", width, groups)
        values = _spread(arrays["weight_packed"], bits)[:, :width].astype("f4")
        points: Any = 2 ** (bits - 1)
        if "weight_zero_point" in arrays:
            points = _spread(arrays["weight_zero_point"].T, bits).T[:out, group].astype("f4")
        return np.asarray((values - points) * arrays["weight_scale"].astype("f4")[:, group])

    return it.unpacked(f"compressed-tensors {bits} bits", (out, width), unpack)


def _mlx(it: Held) -> Unpacked | None:
    if it.kinds.get("weight") != "U32" or not it.matrices("weight", "scales", "biases"):
        return None
    own = it.own
    bits, size = own.get("bits"), own.get("group_size")
    (out, words), groups = it.shapes["weight"], it.shapes["scales"][1]
    if bits not in CROSSING or type(size) is not int or 32 * words != groups * size * bits:
        return None
    if it.shapes["scales"] != (out, groups) or it.shapes["biases"] != (out, groups):
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        scales, biases = (np.repeat(arrays[key].astype("f4"), size, 1) for key in ("scales", "biases"))
        return np.asarray(_spread(arrays["weight"], bits).astype("f4") * scales + biases)

    return it.unpacked(f"MLX {bits} bits", (out, groups * size), unpack)


def _scaled(it: Held) -> Unpacked | None:
    """Numbers of eight bits with a scale: one, one a row, or one a block."""
    if "weight_zero_point" in it.parts:
        return None
    key = next((key for key in ("weight_scale_inv", "weight_scale") if key in it.parts), "")
    if it.kinds.get("weight") not in ("F8_E4M3", "F8_E5M2", "I8") or not key or not it.matrices("weight"):
        return None
    shape, scale = it.shapes["weight"], it.shapes[key]
    block = it.told.get("weight_block_size", [128, 128])
    sizes = tuple(block) if isinstance(block, list) and all(type(n) is int and n > 0 for n in block) else ()
    if scale in ((), (1,), (1, 1), (shape[0], 1), shape[:1]):
        steps = (shape[0] if prod(scale) == 1 else 1, shape[1])
    elif len(sizes) == 2 and scale == tuple(
        -(-side // step) for side, step in zip(shape, sizes, strict=True)
    ):
        steps = (sizes[0], sizes[1])
    else:
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        scales = arrays[key].astype("f4").reshape(-1, scale[1] if len(scale) == 2 else 1)
        wide = np.repeat(np.repeat(scales, steps[0], 0)[: shape[0]], steps[1], 1)[:, : shape[1]]
        return np.asarray(arrays["weight"].astype("f4") * wide)

    return it.unpacked(f"{it.kinds['weight']} with scales", shape, unpack, "weight", key)


def _floats_of_four(it: Held) -> Unpacked | None:
    """Floats of four bits: NVFP4 with an eight-bit scale for 16 and one for all, MXFP4 with a power of two for 32."""
    key = next((key for key in ("weight_packed", "weight") if it.kinds.get(key) in ("U8", "U32")), "")
    scale = next((name for name in ("weight_scale", "scales") if name in it.parts), "")
    if not key or not scale or not it.matrices(key, scale) or "weight_zero_point" in it.parts:
        return None
    out, width = it.shapes[key][0], it.shapes[key][1] * (2 if it.kinds[key] == "U8" else 8)
    size, kind = width // it.shapes[scale][1], it.kinds[scale]
    if kind == "U8":
        kind = "F8_E4M3" if it.own.get("mode") == "nvfp4" else "F8_E8M0"
    if kind != {16: "F8_E4M3", 32: "F8_E8M0"}.get(size) or it.shapes[scale] != (out, width // size):
        return None
    whole = [name for name in ("weight_global_scale", "weight_scale_2") if name in it.parts]
    if any(prod(it.shapes[name]) != 1 or it.kinds[name] not in FLOATS for name in whole):
        return None

    def unpack(arrays: Arrays) -> np.ndarray:
        stored = np.ascontiguousarray(arrays[key]).view("u1")
        values = FOUR[np.stack([stored & 15, stored >> 4], -1)].reshape(out, width)
        scales = arrays[scale]
        scales = eight_bit_values(kind)[scales] if scales.dtype == "u1" else scales
        if "weight_global_scale" in arrays:
            scales = scales / arrays["weight_global_scale"].astype("f4").reshape(())
        if "weight_scale_2" in arrays:
            scales = scales * arrays["weight_scale_2"].astype("f4").reshape(())
        return np.asarray(values * np.repeat(scales, size, 1))

    return it.unpacked("NVFP4" if size == 16 else "MXFP4", (out, width), unpack, key, scale, *whole)


def _groups(stem: str, arrays: Arrays, key: str, entries: int, groups: int) -> np.ndarray:
    """Say to which group of a scale each entry belongs: as the file says, or side by side."""
    found = arrays.get(key, np.arange(entries) // (entries // groups))
    if found.min() < 0 or found.max() >= groups:
        raise CheckpointError(
            f"{stem}.{key} must be from 0 to {groups - 1}, got {found.min()} to {found.max()}"
        )
    return found


def _spread(words: np.ndarray, bits: int) -> np.ndarray:
    """Take words of 32 bits apart, the lowest bits first: shape `(rows, words)` to `(rows, entries)`."""
    if 32 % bits:
        one = np.unpackbits(np.ascontiguousarray(words).view("u1"), axis=1, bitorder="little")
        entries = one[:, : one.shape[1] // bits * bits].reshape(len(words), -1, bits)
        return np.asarray(np.packbits(entries, axis=-1, bitorder="little")[..., 0])
    shifts = np.arange(0, 32, bits, dtype="u4")
    apart = np.ascontiguousarray(words).view("u4")[..., None] >> shifts & np.uint32(2**bits - 1)
    return np.asarray(apart.reshape(len(words), -1))


def _numbers(source: Source, tensor: Tensor, name: str) -> np.ndarray:
    if not tensor.dtype.startswith("F8"):
        return tensor.load(source, name)
    return np.asarray(eight_bit_values(tensor.dtype)[source.array(tensor.begin, "u1", tensor.shape)])


@cache
def eight_bit_values(dtype: str) -> np.ndarray:
    """List what the 256 patterns of F8_E4M3, F8_E5M2 or F8_E8M0 stand for, shape `(256,)`."""
    if dtype == "F8_E8M0":
        return np.append(2.0 ** (np.arange(255) - 127), np.nan).astype("<f4")
    mantissa, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)
    patterns = np.arange(256)
    exponent, rest = patterns >> mantissa & (2 ** (7 - mantissa) - 1), patterns & (2**mantissa - 1)
    values = np.where(
        exponent, (1 + rest / 2**mantissa) * 2.0 ** (exponent - bias), rest / 2**mantissa * 2.0 ** (1 - bias)
    )
    if dtype == "F8_E4M3":
        values[patterns & 127 == 127] = np.nan
    else:
        top = exponent == 31
        values[top] = np.where(rest[top], np.nan, np.inf)
    return np.asarray(np.where(patterns >= 128, -values, values), "<f4")


def parts_of(found: Mapping[str, Unpacked]) -> Iterator[str]:
    """Name what the weights are made of."""
    for name in found:
        stem = name.removesuffix("weight")
        yield from (f"{stem}{part}" for part in PARTS if part != "weight")
