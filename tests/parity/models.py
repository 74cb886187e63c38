"""Building a model with every parameter random, and what to feed it."""

import importlib
import sys
from typing import Any

import torch
import transformers

from tests.parity.families import VOCABULARY, Family


def build(family: Family, dtype: torch.dtype) -> Any:
    """Build a tiny model; nothing may stay at zero or one, or a lost bias or norm would not be seen."""
    cls = find_class(family.cls)
    torch.manual_seed(0)
    config = cls.config_class(**family.config)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = cls(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            fan_in = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.copy_(noise * (0.5 / max(1, fan_in) ** 0.5) + (0.8 if parameter.ndim == 1 else 0))
    return model.to(dtype)


def find_class(name: str) -> Any:
    """Find a model class that the package may not export: `model.Class` where nothing else imports it."""
    folder, _, name = name.rpartition(".")
    if folder:
        return getattr(importlib.import_module(f"transformers.models.{folder}.modeling_{folder}"), name)
    if hasattr(transformers, name):
        return getattr(transformers, name)
    return next(
        getattr(module, name) for _, module in sorted(sys.modules.items())
        if module.__name__.startswith("transformers.models") and hasattr(module, name)
    )  # fmt: skip


def inputs(family: Family, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Make the arguments of one forward pass."""
    ids = torch.tensor([[5, 17, 23, 42, 7, 61, 88, 9, 3]])
    assert int(ids.max()) < VOCABULARY

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(2)).to(dtype)

    return {
        "ids": lambda: {"input_ids": ids},
        "s2s": lambda: {"input_ids": ids, "decoder_input_ids": ids[:, :6]},
        "pix": lambda: {"pixel_values": noise(1, 3, 16, 16)},
        "wav": lambda: {"input_values": noise(1, 64)},
        "whisper": lambda: {"input_features": noise(1, 8, 24), "decoder_input_ids": ids},
        "video": lambda: {"pixel_values": noise(1, 2, 3, 16, 16)},
        "patches": lambda: {"hidden_states": noise(16, 96), "grid_thw": torch.tensor([[1, 4, 4]])},
        "flat patches": lambda: {"hidden_states": noise(16, 48), "grid_thw": torch.tensor([[1, 4, 4]])},
        "pixel patches": lambda: {"pixel_values": noise(16, 48), "grid_thw": torch.tensor([[1, 4, 4]])},
        "hidden pix": lambda: {"hidden_states": noise(1, 3, 16, 16)},
        "features": lambda: {"hidden_states": noise(1, 9, 16)},
        "seggpt": lambda: {
            "pixel_values": noise(1, 3, 16, 16),
            "prompt_pixel_values": noise(1, 3, 16, 16),
            "prompt_masks": noise(1, 3, 16, 16),
        },
        "vectors": lambda: {"inputs_embeds": noise(1, 9, 32)},
    }[family.inputs]()
