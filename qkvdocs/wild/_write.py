import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from qkvdocs.errors import DTypeError
from qkvdocs.wild._dtypes import NUMPY, narrow_bf16

NAMES = {np.dtype(kind): name for name, kind in NUMPY.items() if name != "BF16"}


def save(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], *, bf16: Collection[str] = ()
) -> None:
    """Write arrays to a `.safetensors` file, such as `fuse` gives them.

    The bytes depend on nothing but the arrays, their names and order. The file appears when it is complete.

    Args:
        path: The file; replaced if it exists.
        tensors: Name -> array.
        bf16: Names of float32 arrays to be stored as bfloat16, which must hold them exactly.

    Raises:
        DTypeError: If an array is of a dtype that the format does not know, or bfloat16 would round it.

    Examples:
        >>> import tempfile
        >>> from qkvdocs.wild import Checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(Path(folder, "a.safetensors"), {"a": np.arange(3.0)})
        ...     Checkpoint(Path(folder, "a.safetensors"))["a"].tolist()
        [0.0, 1.0, 2.0]
    """
    header: dict[str, object] = {}
    chunks, at = [], 0
    for name, array in tensors.items():
        kind, stored = _stored(name, array, name in bf16)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + stored.nbytes]}
        chunks.append(stored)
        at += stored.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    target = Path(path)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for stored in chunks:
            file.write(stored.tobytes())
    partial.replace(target)


def _stored(name: str, array: np.ndarray, bf16: bool) -> tuple[str, np.ndarray]:
    if bf16:
        bits = narrow_bf16(array) if array.dtype == np.float32 else None
        if bits is None:
            raise DTypeError(f"{name} must be float32 that bfloat16 holds exactly, got {array.dtype}")
        return "BF16", bits
    kind = NAMES.get(array.dtype.newbyteorder("<"))
    if kind is None:
        raise DTypeError(f"{name} must have a dtype out of {', '.join(map(str, NAMES))}, got {array.dtype}")
    return kind, np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
