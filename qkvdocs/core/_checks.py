# The door of the package: what comes in is looked at once, here, and the formulas behind it stay bare.
#
# Public signatures give each array as `Num[np.ndarray, "axes"] | np.ndarray`. Under the tests' import hook
# the first half binds the axis names, so that the annotated result is really checked against them; the
# second half lets a wrong array through to the checks below, so that readers and tests meet the same error.

import math
from numbers import Real
from typing import SupportsFloat, SupportsIndex

import numpy as np

from qkvdocs.errors import DTypeError, ShapeError

# float64 holds every integer up to here, and not the next one.
EXACT = 2**53
# More rows, columns or heads than this are a mistake, and numpy has its own words for it.
MOST = 2**31 - 1


def real_array(name: str, x: np.ndarray) -> np.ndarray:
    """Refuse all but plain arrays of integers or floats, up to 64 bits."""
    if not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
        raise DTypeError(f"{name} must be a plain numpy array, got {type(x).__name__}")
    if x.dtype.kind not in "iuf" or x.dtype.itemsize > 8:
        raise DTypeError(f"{name} must hold integers or floats of at most 64 bits, got dtype {x.dtype}")
    return np.asarray(x)


def float_array(name: str, x: np.ndarray) -> np.ndarray:
    """Widen integers to float64 and float16 to float32; float32 and float64 stay as they are."""
    x = real_array(name, x)
    if x.dtype.kind == "f":
        return x.astype(np.result_type(x.dtype, np.float32), copy=False)
    largest = max(int(x.max(initial=0)), int(x.min(initial=0)), key=abs)
    if abs(largest) > EXACT:
        raise DTypeError(f"{name} must hold integers of magnitude at most 2**53 = {EXACT}, got {largest}")
    return x.astype(np.float64)


def size(name: str, value: SupportsIndex, least: int) -> int:
    """Refuse all but integers from `least` on; True is not a size."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ShapeError(f"{name} must be an integer of at least {least}, got {value!r}")
    if value > MOST:
        raise ShapeError(f"{name} must be an integer of at most 2**31 - 1 = {MOST}, got {value!r}")
    return int(value)


def scale_factor(scale: SupportsFloat | None, d_head: int) -> float:
    """Fill in the usual scale, refuse what is not a finite number."""
    return 1 / math.sqrt(d_head) if scale is None else finite("scale", scale)


def finite(name: str, value: SupportsFloat) -> float:
    """Refuse all but finite numbers; True is not a number."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DTypeError(f"{name} must be a finite number, got {value!r}")
    return number


def check_type(name: str, value: object, wanted: type) -> None:
    """Refuse what is no instance of one of our classes."""
    if not isinstance(value, wanted):
        raise DTypeError(f"{name} must be a {wanted.__name__}, got {type(value).__name__}")


def check_axes(name: str, x: np.ndarray, symbols: str, least: int) -> None:
    """Refuse arrays of fewer than `least` axes."""
    if x.ndim < least:
        raise ShapeError(f"{name} must have shape {symbols}, got {x.shape}")


def check_shape(name: str, x: np.ndarray, symbols: str, shape: tuple[int | str, ...]) -> None:
    """Refuse all but `shape`, in which a string stands for an axis of any size."""
    if x.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, x.shape, strict=True)
    ):
        return
    sizes = ", ".join(map(str, shape)) + "," * (len(shape) == 1)
    raise ShapeError(f"{name} must have shape {symbols} = ({sizes}), got {x.shape}")


def broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Tell whether the shape is the wanted one, each axis but the last possibly 1."""
    return (
        len(shape) == len(wanted)
        and shape[-1:] == wanted[-1:]
        and all(got in (1, want) for got, want in zip(shape, wanted, strict=True))
    )


def check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse all but bool arrays that fit scores of this shape, each axis but the last possibly 1.

    Two axes fit scores of any rank. Between two and the full rank nothing fits: a mask a sequence would be
    read as a mask a head wherever the two counts agree.
    """
    plain = isinstance(mask, np.ndarray) and not isinstance(mask, np.ma.MaskedArray)
    if not plain or mask.dtype != np.bool_:
        kind = f"dtype {mask.dtype}" if plain else type(mask).__name__
        raise DTypeError(f"mask must be a bool array, True = may attend, got {kind}")
    wanted = shape[-mask.ndim :] if mask.ndim == 2 else shape
    if broadcasts(mask.shape, wanted):
        return
    raise ShapeError(
        f"mask must have shape (n_queries, n_keys) = {shape[-2:]} or that of scores = {shape}, "
        f"each axis but the last possibly 1, got {mask.shape}"
    )
