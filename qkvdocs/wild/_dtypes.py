# The dtypes of the format, and how numpy is to see them.

import numpy as np

BITS = {
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["I64", "U64", "F64", "C64"], 64),
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}
NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "C64": "<c8", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")


def widen_bf16(bits: np.ndarray) -> np.ndarray:
    """Read bfloat16 bit patterns, shape `(*any)`: they are the upper halves of float32."""
    widened: np.ndarray = np.left_shift(bits, 16, dtype="<u4")
    return widened.view("<f4")


def narrow_bf16(array: np.ndarray) -> np.ndarray | None:
    """Turn float32 into bfloat16 bit patterns, or give None where a value would be rounded."""
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    return None if (bits & 0xFFFF).any() else (bits >> 16).astype("<u2")
