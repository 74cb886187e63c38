# Rounding, emulated: what a right answer may be off by is measured, in the dtype of whoever is examined.

from collections.abc import Callable

import numpy as np

Rounding = Callable[[np.ndarray], np.ndarray]


def exact(array: np.ndarray) -> np.ndarray:
    """Round nothing."""
    return array


def rounding(dtype: str) -> Rounding:
    """Give what rounds float64 to the nearest number of a dtype, ties to even."""
    if dtype == "bfloat16":
        return _bfloat16
    if dtype == "float16":
        return lambda array: array.astype(np.float16).astype(np.float64)
    # Right code may compute softmax in single precision whatever comes in.
    return lambda array: array.astype(np.float32).astype(np.float64)


def shifted(rnd: Rounding, by: float) -> Rounding:
    """Round to a grid that is a little off: other errors, as large."""
    return lambda array: rnd(array * (1 + by)) / (1 + by)


def _bfloat16(array: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    nearest = (bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)
    special = ~np.isfinite(array)
    return np.where(special, array, nearest.view(np.float32).astype(np.float64))
