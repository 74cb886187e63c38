# Rotations that are stretched to longer texts, as configs declare them.

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qkvdocs.clinic._contracts import Rotary
from qkvdocs.clinic._declared import scaling_kind


def frequencies(rotary: Rotary, width: int, seq: int) -> tuple[np.ndarray | None, float]:
    """Give the turn of each plane for one position, None for the powers of the base, and a factor for what is turned.

    So many entries of a head turn; some kinds depend on the length of the text.

    Source:
        Peng et al. 2023, "YaRN", section 3; Ding et al. 2024, "LongRoPE"; Grattafiori et al. 2024, "The Llama 3 Herd of
        Models", section 3.2, with the numbers of their code.
    """
    told = rotary.rope_scaling
    if told is None or (kind := scaling_kind(told)) == "default":
        return None, 1.0
    factor, original = float(told.get("factor") or 1.0), told.get("original_max_position_embeddings")
    planes = np.arange(0, width, 2) / width
    turns: np.ndarray = rotary.base**-planes
    if kind == "linear":
        return turns / factor, 1.0
    if kind == "proportional":  # all entries turn, the later planes by nothing
        share = float(told.get("partial_rotary_factor") or 1.0)
        return np.where(np.arange(width // 2) < int(share * width // 2), turns, 0.0) / factor, 1.0
    assert original is not None  # noqa: S101  # the contract holds to it
    if kind == "dynamic":
        grown = factor * max(seq, original) / original - (factor - 1)
        return (rotary.base * grown ** (width / max(width - 2, 1))) ** -planes, 1.0
    if kind == "longrope":
        by = np.asarray(told["long_factor" if seq > original else "short_factor"], np.float64)
        usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        return turns / by, float(told.get("attention_factor") or usual)
    if kind == "llama3":
        low, high = float(told["low_freq_factor"]), float(told["high_freq_factor"])
        kept = np.clip((original * turns / (2 * math.pi) - low) / (high - low), 0, 1)
        return turns * (kept + (1 - kept) / factor), 1.0
    return turns * _ramp(told, rotary.base, width, factor, original), _yarn_factor(told, factor)


def _ramp(told: Mapping[str, Any], base: float, width: int, factor: float, original: float) -> np.ndarray:
    """Give YaRN's share of each frequency: whole for fast planes, divided by the factor for slow ones."""

    def plane(rotations: float) -> float:
        return width * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = plane(told.get("beta_fast") or 32), plane(told.get("beta_slow") or 1)
    if told.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high += 0.001 * (low == high)
    slow = np.clip((np.arange(width // 2) - low) / (high - low), 0, 1)
    share: np.ndarray = slow / factor + 1 - slow
    return share


def _yarn_factor(told: Mapping[str, Any], factor: float) -> float:
    if (given := told.get("attention_factor")) is not None:
        return float(given)
    top, below = told.get("mscale"), told.get("mscale_all_dim")
    return mscale(factor, top) / mscale(factor, below) if top and below else mscale(factor)


def mscale(factor: float, by: float = 1.0) -> float:
    """Give YaRN's factor for a stretch."""
    return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0
