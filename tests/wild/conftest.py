# Files made by hand, byte by byte, so that the reader is never tested against its own writer.

import importlib
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import __main__, wild
from qkvdocs.errors import QKVError

FIXTURES = Path(__file__).with_name("fixtures")
KINDS = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<u2": "BF16", "|i1": "I8", "|u1": "U8"}


Make = Callable[..., Path]
Command = Callable[..., str]


def header_of(
    tensors: dict[str, np.ndarray], kinds: dict[str, str] | None = None, at: int = 0
) -> dict[str, Any]:
    """Describe arrays laid one behind the other, of the dtypes that numpy has for them or of others."""
    header = {}
    for name, array in tensors.items():
        kind = kinds[name] if kinds else KINDS[array.dtype.str]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    return header


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """Put a file together from any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def file_of(tensors: dict[str, np.ndarray], kinds: dict[str, str] | None = None) -> bytes:
    """Put a file of arrays together."""
    return raw(header_of(tensors, kinds), b"".join(array.tobytes() for array in tensors.values()))


def folder(
    path: Path, tensors: dict[str, np.ndarray], config: object = None, file: str = "model.safetensors",
    named: str = "config.json",
) -> Path:  # fmt: skip
    """Write arrays, and what a config says of them, into a folder, a new one or not."""
    path.mkdir(exist_ok=True)
    (path / file).write_bytes(file_of(tensors))
    if config is not None:
        (path / named).write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def damaged(content: bytes, changes: list[tuple[float, int]], cut: int) -> bytes:
    """Change bytes, at places or at parts of the whole length, and cut the end off."""
    made = bytearray(content)
    for at, value in changes:
        made[at if isinstance(at, int) else int(at * (len(made) - 1))] = value
    return bytes(made[: len(made) - cut])


def read_all(path: Path, **heads: int) -> None:
    """Read all that a file offers: arrays, or an error of ours."""
    with suppress(QKVError):
        for weights in wild.read(path, **heads).values():
            assert weights.W_Q.size > 0


@contextmanager
def bounded(seconds: float = 10, peak: float | None = None) -> Iterator[None]:
    """Hold what is done to so many seconds of computing, and so many bytes at once."""
    if peak is not None:
        tracemalloc.start()
    start = time.process_time()
    try:
        yield
    finally:
        took, (_, most) = time.process_time() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert took < seconds
    assert peak is None or most < peak


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a checkpoint of given arrays and config into a fresh folder."""
    return partial(folder, tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `qkvdocs wild` in this process, hold it to its exit code, and give what it says."""

    def run(*words: object, code: int = 0) -> str:
        assert __main__.main(["wild", *map(str, words)]) == code
        told = capsys.readouterr()
        return told.out + told.err

    return run


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Give float32 noise."""
    return np.random.default_rng(seed).standard_normal(shape).astype("<f4")


def llama(
    d_model: int = 8, n_heads: int = 4, n_kv_heads: int = 2, at: str = "layers.0.self_attn"
) -> dict[str, np.ndarray]:
    """Give one attention module under LLaMA's names."""
    d_head = d_model // n_heads
    widths = {"q": n_heads * d_head, "k": n_kv_heads * d_head, "v": n_kv_heads * d_head}
    stored = {f"{at}.{r}_proj.weight": random(w, d_model, seed=n) for n, (r, w) in enumerate(widths.items())}
    return {**stored, f"{at}.o_proj.weight": random(d_model, n_heads * d_head, seed=3)}


CONFIG = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 8}


def package(name: str) -> Any:
    """Import a package of an optional extra: in CI it must be there, elsewhere its tests are skipped."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)
