"""What a mask means to torch, asked of torch: whose output moves when a value is changed."""

import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tests.parity import patterns

FILE = Path(__file__).parents[2] / "docs" / "wild" / "masks.json"
COMMAND = "make parity"
WIDTH, KEYS = 8, 5


def sdpa(x: Tensor, changed: Tensor, **mask: Any) -> Tensor:
    """Attend with one head; the last rows ask where the mask is wider than tall."""
    queries = x[len(x) - mask.pop("queries", len(x)) :]
    return scaled_dot_product_attention(queries[None], x[None], changed[None], **mask)[0]


def layer(x: Tensor, changed: Tensor, **mask: Any) -> Tensor:
    """The same with torch's module, which has weights of its own."""
    return module()(x[None], x[None], changed[None], **{"need_weights": False, **mask})[0][0]


def one_tensor(x: Tensor, _: Tensor, **mask: Any) -> Tensor:
    """The same as most call it: one tensor for all three arguments, which opens torch's fast path for inference."""
    rows = x[None]
    return module()(rows, rows, rows, **{"need_weights": False, **mask})[0][0]


def module() -> torch.nn.MultiheadAttention:
    """Give the same layer each time."""
    torch.manual_seed(7)
    return torch.nn.MultiheadAttention(WIDTH, 2, batch_first=True, dtype=torch.float64).eval()


def seen(attend: Callable[..., Tensor], **mask: Any) -> np.ndarray:
    """Tell which query sees which key: its output moves when the value of that key does."""
    x = torch.from_numpy(np.random.default_rng(11).normal(size=(KEYS, WIDTH)))
    with torch.no_grad():
        before = attend(x, x, **mask)
        found = np.zeros((len(before), KEYS), dtype=bool)
        for key in range(KEYS):
            changed = x.clone()
            changed[key] += 1
            moved = (attend(x, changed, **mask) - before).abs().amax(dim=-1)
            found[:, key] = (moved > 1e-9).numpy()
    return found


def meaning(attend: Callable[..., Tensor], name: str, mask: Tensor) -> str:
    """Say what True does: let through, or block."""
    table = np.broadcast_to(mask.numpy().reshape(-1, KEYS), (KEYS, KEYS))
    found = seen(attend, **{name: mask})
    if np.array_equal(found, table):
        return "may attend"
    return "blocked" if np.array_equal(found, ~table) else "neither"


def added(attend: Callable[..., Tensor]) -> bool:
    """Tell whether a mask of floats is added: zeros let all through, minus infinity blocks."""
    table = np.tri(KEYS, dtype=bool)
    zeros = torch.zeros(KEYS, KEYS, dtype=torch.float64)
    hidden = zeros.masked_fill(torch.from_numpy(~table), -torch.inf)
    return bool(seen(attend, attn_mask=zeros).all() and np.array_equal(seen(attend, attn_mask=hidden), table))


def nothing_to_see(attend: Callable[..., Tensor], **mask: Any) -> str:
    """Say what comes out of a row in which a mask of booleans hides everything."""
    x = torch.from_numpy(np.random.default_rng(11).normal(size=(KEYS, WIDTH)))
    with torch.no_grad():
        row = attend(x, x, **mask)[0]
    if row.isnan().all():
        return "not numbers"
    return "zeros" if (row == 0).all() else "numbers"


def measurements() -> dict[str, Any]:
    """Ask all questions."""
    table = torch.ones(KEYS, KEYS, dtype=torch.bool).tril()
    padding = torch.tensor([[True, False, True, True, False]])
    empty = table.clone()
    empty[0] = False
    corner = seen(sdpa, queries=2, is_causal=True)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": COMMAND,
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "python": platform.python_version(),
        "true": {
            "scaled_dot_product_attention attn_mask": meaning(sdpa, "attn_mask", table),
            "nn.MultiheadAttention attn_mask": meaning(layer, "attn_mask", ~table),
            "nn.MultiheadAttention key_padding_mask": meaning(layer, "key_padding_mask", padding),
        },
        "floats_are_added": {
            "scaled_dot_product_attention": added(sdpa),
            "nn.MultiheadAttention": added(layer),
        },
        "is_causal": {"queries": 2, "keys": KEYS, "seen": corner.astype(int).tolist()},
        "nothing_to_see": {
            "scaled_dot_product_attention": nothing_to_see(sdpa, attn_mask=empty),
            "nn.MultiheadAttention": nothing_to_see(layer, attn_mask=~empty),
            "nn.MultiheadAttention, weights too": nothing_to_see(layer, attn_mask=~empty, need_weights=True),
            "nn.MultiheadAttention, one tensor": nothing_to_see(one_tensor, attn_mask=~empty),
            "nn.MultiheadAttention, one tensor, weights too": nothing_to_see(
                one_tensor, attn_mask=~empty, need_weights=True
            ),
        },
        "patterns": patterns.measurements(),
    }


def write(found: dict[str, Any]) -> None:
    """Write the file, one line an entry."""
    lines = (f' "{key}": {json.dumps(value)}' for key, value in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
