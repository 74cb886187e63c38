"""One forward pass: what goes into an attention module, and what it really multiplies."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qkvdocs import wild
from tests.parity.families import Family
from tests.parity.models import build, inputs
from tests.parity.spy import Spy


@dataclass
class Capture:
    """Arrays of one module's run, heads first: (heads, rows, d_head); None where it cannot be seen."""

    family: Family
    attention_class: str
    weights: wild.Projections
    extra: dict[str, np.ndarray]
    """The module's other tensors, from the file."""
    config: Any
    x: np.ndarray
    """Rows that give the queries."""
    y: np.ndarray
    """Rows that give keys and values."""
    cosines: tuple[np.ndarray, np.ndarray] | None
    q: np.ndarray | None = None
    k: np.ndarray | None = None
    v: np.ndarray | None = None
    pattern: np.ndarray | None = None
    context: np.ndarray | None = None
    output: np.ndarray | None = None
    memory_names: tuple[str, ...] = field(default=())
    """Parameters of the module in memory."""


def capture(family: Family, folder: Path, dtype: torch.dtype = torch.float32) -> Capture:
    """Build, run and save one model, then read its file with numpy."""
    model = build(family, dtype)
    module = model.get_submodule(family.module)
    spy = Spy(module)
    with torch.no_grad(), spy:
        model(**inputs(family, dtype))
    spy.close()
    model.save_pretrained(folder)
    attentions = wild.read(folder)
    paths = sorted([*attentions, *attentions.refused], key=len)
    path = next(path for path in paths if f".{path}".endswith(f".{family.path}"))
    checkpoint = attentions.checkpoint
    extra = {name.removeprefix(f"{path}."): np.array(checkpoint[name]) for name in checkpoint.under(path)}
    x, y = _rows(family, spy)
    cosines = spy.kwargs.get("position_embeddings")
    seen = Capture(
        family, type(module).__name__, attentions[path], extra, model.config, x, y,
        tuple(_array(part) for part in cosines) if family.rotary == "given" else None,
        memory_names=tuple(name for name, _ in module.named_parameters()),
    )  # fmt: skip
    _products(seen, spy)
    _output(seen, spy, model)
    return seen


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _rows(family: Family, spy: Spy) -> tuple[np.ndarray, np.ndarray]:
    def argument(name: str, at: int) -> torch.Tensor:
        return spy.kwargs[name] if spy.kwargs.get(name) is not None else spy.args[at]

    x = argument("hidden_states", 0) if family.special != "mha" else spy.args[0]
    y = x
    if family.cross:
        y = argument(family.cross, 1)
    if family.special == "mha":
        y = spy.args[1]
    if family.special == "xlnet":
        x = y = x.transpose(0, 1)
    rows = []
    for tensor in (_array(x), _array(y)):
        if family.inputs in ("pix", "seggpt") and tensor.ndim == 4:  # an image, (1, height, width, d_model)
            rows.append(tensor.reshape(-1, tensor.shape[-1]))
        else:
            rows.append(tensor.reshape(-1, *tensor.shape[-2:])[0] if tensor.ndim > 2 else tensor)
    return rows[0], rows[1]


def _products(seen: Capture, spy: Spy) -> None:
    family, n_heads = seen.family, seen.weights.n_heads
    if family.special == "mha":  # torch's own fused kernel: nothing inside is visible
        return
    if family.special == "xlnet":
        seen.q, seen.k, seen.v = (_array(part)[:, 0].transpose(1, 0, 2) for part in spy.einsums[:3])
        return
    rows, keys, d_head = len(seen.x), len(seen.y), seen.weights.d_head
    products = [p for p in spy.products if all(isinstance(t, torch.Tensor) and t.ndim >= 3 for t in p)]
    at = next(
        at
        for at, (left, right, result) in enumerate(products)
        if left.shape[-1] == d_head and right.shape[-2] == d_head and result.shape[-2:] == (rows, keys)
    )
    mixing = next(
        (left, right, result)
        for left, right, result in products[at + 1 :]
        if left.shape[-2:] == (rows, keys)
        and right.shape[-2] == keys
        and _array(left).min() >= 0
        and _array(left).sum(-1).max() < 1.001
    )

    def heads(tensor: torch.Tensor) -> np.ndarray:  # of the first window, where there are several
        flat = _array(tensor).reshape(-1, *tensor.shape[-2:])
        return flat[: n_heads if len(flat) >= n_heads else 1]

    seen.q, seen.k = heads(products[at][0]), heads(products[at][1]).transpose(0, 2, 1)
    seen.pattern, seen.v, seen.context = (heads(tensor) for tensor in mixing)


def _output(seen: Capture, spy: Spy, model: torch.nn.Module) -> None:
    family = seen.family
    if family.output == "skip":
        return
    output = _array(spy.output).reshape(-1, spy.output.shape[-1])[: len(seen.x)]
    if family.output == "parent":  # BERT's output projection lives in a sibling module
        parent = model.get_submodule(family.module.rsplit(".", 1)[0])
        output = _array(parent.output.dense(torch.from_numpy(np.ascontiguousarray(output))))
    if family.residual:
        output = output - _array(spy.args[1])[0]
    seen.output = output
