# The door to other array libraries. Probes think in numpy; whoever is examined is given arrays of its own kind.
# No library is imported here: what the caller uses is loaded already.

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from qkvdocs.errors import ContractError

# By what share of the largest entry a right answer may be off. The halves keep three and two digits: right
# code was off by up to 0.002 and 0.012 in them.
LIMITS = {"float64": 1e-5, "float32": 2.4e-5, "float16": 0.01, "bfloat16": 0.03}
HALVES = ("float16", "bfloat16")
HOMES = {"jaxlib": "jax.numpy", "jax": "jax.numpy", "mlx": "mlx.core"}
MAKERS = ("asarray", "array", "convert_to_tensor")
OTHERS = ("torch", "jax.numpy", "cupy", "tensorflow", "mlx.core")


@dataclass(frozen=True)
class Kind:
    """A kind of arrays: the library, the dtype, and where they live."""

    library: ModuleType
    dtype: str
    device: Any = None

    def make(self, array: np.ndarray) -> Any:
        """Give a fresh array of this kind; floats in its dtype, bools and integers as they are."""
        fresh = np.array(array)
        if self.library is np:
            return fresh.astype(self.dtype) if fresh.dtype.kind == "f" else fresh
        make = next(getattr(self.library, name) for name in MAKERS if hasattr(self.library, name))
        made = make(
            fresh.astype("float64" if self.dtype == "float64" else "float32")
            if fresh.dtype.kind == "f"
            else fresh
        )
        if fresh.dtype.kind == "f" and dtype_of(made) != self.dtype:
            kind = getattr(self.library, self.dtype)
            made = made.to(kind) if hasattr(made, "to") else made.astype(kind)
        return made if self.device is None or not hasattr(made, "to") else made.to(self.device)

    @property
    def limit(self) -> float:
        """The share of the largest entry by which a right answer may be off."""
        return LIMITS.get(self.dtype, 1e-5)


def kind_of(like: Any) -> Kind:
    """Tell the kind of an array, or of a module by its first parameter."""
    if callable(getattr(like, "parameters", None)):
        if (first := next(iter(like.parameters()), None)) is None:
            raise ContractError(
                f"like must have parameters, got a {type(like).__name__} without. Give an array"
            )
        like = first
    if isinstance(like, np.ndarray):
        return Kind(np, like.dtype.name if like.dtype.kind == "f" else "float64")
    home = type(like).__module__.split(".")[0]
    library = sys.modules.get(HOMES.get(home, home))
    if not hasattr(like, "dtype") or not any(hasattr(library, name) for name in MAKERS) or library is None:
        raise ContractError(f"like must be an array or a module with parameters, got {type(like).__name__}")
    if (dtype := dtype_of(like)) not in LIMITS:
        raise ContractError(f"like must hold {', '.join(LIMITS)}, got {dtype}")
    return Kind(library, dtype, getattr(like, "device", None) if home == "torch" else None)


def dtype_of(array: Any) -> str:
    """Name a dtype as numpy would: float32, not torch.float32."""
    dtype = array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
    return str(dtype).split(".")[-1].strip("'<>")


def to_numpy(array: Any) -> np.ndarray:
    """Read any array; floats become float64."""
    for name in ("detach", "cpu"):
        if callable(method := getattr(array, name, None)):
            array = method()
    try:
        plain = np.asarray(array)
    except (TypeError, ValueError):  # bfloat16, which numpy does not know
        plain = np.asarray(array.float() if hasattr(array, "float") else array.astype("float32"))
    if plain.dtype.kind == "V":
        plain = np.asarray(array.astype("float32"))
    return plain.astype(np.float64) if plain.dtype.kind == "f" or plain.dtype.name == "bfloat16" else plain


def read(name: str, result: Any) -> np.ndarray:
    """Read what somebody's function returned."""
    try:
        plain = to_numpy(result)
    except Exception as error:
        raise ContractError(f"{name} must return an array of numbers, got {type(result).__name__}") from error
    if plain.dtype.kind not in "fiu":
        got = type(result).__name__ if plain.dtype.kind == "O" else f"dtype {plain.dtype}"
        raise ContractError(f"{name} must return an array of numbers, got {got}")
    return plain


def settle(function: Callable[..., Any], like: Any, call: Callable[[Kind], Any]) -> Kind:
    """Choose the kind of arrays that a function takes: the one asked for, else the first that works."""
    if like is not None:
        return like if isinstance(like, Kind) else kind_of(like)
    if callable(getattr(function, "parameters", None)):
        return kind_of(function)
    kinds = [Kind(np, "float64")]
    kinds += [Kind(sys.modules[name], "float32") for name in OTHERS if name in sys.modules]
    for kind in kinds:
        try:
            call(kind)
        except Exception:  # noqa: S112  # a wrong kind may fail in any way
            continue
        return kind
    return kinds[0]
