"""The same masks in three interfaces: which query sees which key, asked of the outputs."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig
from transformers.masking_utils import (
    create_causal_mask,
    create_chunked_causal_mask,
    create_sliding_window_causal_mask,
)

N, WINDOW, CHUNK, PREFIX, LEFT, RIGHT = 6, 3, 3, 2, 2, 4
TEXTS = torch.tensor([0, 0, 1, 1, 1, 1])
Rule = Callable[[Any, Any, Any, Any], Any]

RULES: dict[str, Rule] = {
    "causal": lambda batch, head, i, j: j <= i,
    "sliding": lambda batch, head, i, j: (j <= i) & (i - j < WINDOW),
    "chunked": lambda batch, head, i, j: (j <= i) & (i // CHUNK == j // CHUNK),
    "prefix": lambda batch, head, i, j: (j <= i) | (j < PREFIX),
    "packed": lambda batch, head, i, j: (j <= i) & (TEXTS[i] == TEXTS[j]),
    "padded left": lambda batch, head, i, j: (j <= i) & (j >= LEFT),
    "padded right": lambda batch, head, i, j: (j <= i) & (j < RIGHT),
}
"""Each mask as a rule that FlexAttention takes; on whole axes of indices it gives a table."""


def by_transformers(name: str) -> Tensor:
    """Let transformers make the table, by the function and the argument that it has for it."""
    config = LlamaConfig(num_hidden_layers=1, attn_implementation="sdpa")
    config.sliding_window, config.attention_chunk_size = WINDOW, CHUNK
    rows, places = torch.zeros(1, N, 8), torch.arange(N)[None]
    make, real, more = create_causal_mask, None, {}
    if name == "sliding":
        make = create_sliding_window_causal_mask
    elif name == "chunked":
        make = create_chunked_causal_mask
    elif name == "prefix":
        more = {"or_mask_function": lambda batch, head, i, j: j < PREFIX}
    elif name == "packed":
        more = {"position_ids": torch.tensor([[0, 1, 0, 1, 2, 3]])}
    elif name == "padded left":
        real = (places >= LEFT).long()
    elif name == "padded right":
        real = (places < RIGHT).long()
    mask = make(config, rows, real, None, allow_is_causal_skip=False, **more)
    assert isinstance(mask, Tensor)
    return mask[0, 0]


def by_table(x: Tensor, values: Tensor, table: Tensor) -> Tensor:
    """Attend with a table of booleans."""
    return scaled_dot_product_attention(x, x, values, attn_mask=table)


def by_rule(x: Tensor, values: Tensor, rule: Rule) -> Tensor:
    """Attend with a rule; without a compiler it does the same more slowly, and says so."""
    block = create_block_mask(rule, None, None, N, N, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flex_attention(x, x, values, block_mask=block)


def seen(attend: Callable[[Tensor, Tensor, Any], Tensor], mask: Any) -> list[str]:
    """Tell which query sees which key, as rows of ones and noughts: its output moves when the value does."""
    x = torch.from_numpy(np.random.default_rng(11).normal(size=(1, 1, N, 16)))
    found = np.zeros((N, N), dtype=int)
    with torch.no_grad():
        before = attend(x, x, mask)
        for key in range(N):
            changed = x.clone()
            changed[..., key, :] += 1
            found[:, key] = ((attend(x, changed, mask) - before).abs().amax(dim=-1) > 1e-9)[0, 0].numpy()
    return ["".join(map(str, row)) for row in found]


def measurements() -> dict[str, dict[str, list[str]]]:
    """Ask all three, for each mask."""
    i, j = torch.arange(N)[:, None], torch.arange(N)[None]
    return {
        name: {
            "scaled_dot_product_attention": seen(by_table, rule(0, 0, i, j)),
            "flex_attention": seen(by_rule, rule),
            "transformers": seen(by_table, by_transformers(name)),
        }
        for name, rule in RULES.items()
    }
