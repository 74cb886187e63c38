# The door to other array libraries. Probes think in numpy; whoever is examined is given arrays of its own kind.
# No library is imported here: what the caller uses is loaded already.

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from qkvdocs.errors import ContractError

EPS = {"float64": 2.3e-16, "float32": 1.2e-7, "float16": 9.8e-4, "bfloat16": 7.9e-3}
HOMES = {"jaxlib": "jax.numpy", "jax": "jax.numpy", "mlx": "mlx.core"}
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
        make = getattr(self.library, "asarray", None) or self.library.convert_to_tensor
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
    def eps(self) -> float:
        """The distance from 1 to the next number."""
        return EPS.get(self.dtype, 1e-7)


def kind_of(like: Any) -> Kind:
    """Tell the kind of an array, or of a module by its first parameter."""
    if callable(getattr(like, "parameters", None)):
        like = next(iter(like.parameters()))
    if isinstance(like, np.ndarray):
        return Kind(np, like.dtype.name if like.dtype.kind == "f" else "float64")
    home = type(like).__module__.split(".")[0]
    library = sys.modules.get(HOMES.get(home, home))
    if library is None or not hasattr(like, "dtype"):
        raise ContractError(f"like must be an array or a module with parameters, got {type(like).__name__}")
    return Kind(library, dtype_of(like), getattr(like, "device", None) if home == "torch" else None)


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


def settle(function: Callable[..., Any], like: Any, call: Callable[[Kind], Any]) -> Kind:
    """Choose the kind of arrays that a function takes: the one asked for, else the first that works."""
    if like is not None:
        return kind_of(like)
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
