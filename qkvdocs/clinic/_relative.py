# Relative positions as models add them to scores: by the distance alone, or by contents and distance.

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qkvdocs.clinic._layer import apart
from qkvdocs.core import rotate

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


def bucketed(table: np.ndarray, both: bool, far: int) -> Callable[[int, int], np.ndarray]:
    """Give T5's bias: one number a head for each distance, and for each range of large distances.

    The table has shape (buckets, heads); with `both`, later keys have buckets of their own; all that is `far` shares
    one. The bias gives (heads, n, m) for n queries, the last of m keys.

    Source:
        Raffel et al. 2020, section 2.1, with the numbers of their code.
    """

    def bias(n: int, m: int) -> np.ndarray:
        behind = apart(n, m)
        buckets = len(table) // (2 if both else 1)
        first = (behind < 0) * buckets if both else 0
        off = np.abs(behind) if both else np.maximum(behind, 0)
        near = buckets // 2
        grown = np.log(np.maximum(off, near) / near) / math.log(far / near) * (buckets - near)
        chosen = np.where(off < near, off, np.minimum(near + grown.astype(int), buckets - 1))
        made: np.ndarray = table[first + chosen].transpose(2, 0, 1)
        return made

    return bias


def disentangled(
    keys: np.ndarray | None,
    queries: np.ndarray | None,
    scale: float,
    place: Callable[[np.ndarray, int], np.ndarray],
) -> Scores:
    """Give DeBERTa's terms: queries meet keys of distances, keys meet queries of distances.

    Both are (heads, distances, d_head), or None. `place` says where a distance from key to query stands among them,
    told the longer of both texts.

    Source:
        He et al. 2021, "DeBERTa", section 3.1.
    """

    def added(q: np.ndarray, k: np.ndarray) -> np.ndarray:
        n, m = q.shape[-2], k.shape[-2]
        places, made = place(apart(n, m), max(n, m)), np.zeros((*q.shape[:-1], m))
        if keys is not None:
            met = q @ keys.swapaxes(-1, -2)
            made += np.take_along_axis(met, np.broadcast_to(places, made.shape), -1)
        if queries is not None:
            met = k @ queries.swapaxes(-1, -2)
            turned = np.broadcast_to(places.T, (*k.shape[:-1], n))
            made += np.take_along_axis(met, turned, -1).swapaxes(-1, -2)
        return made * scale

    return added


def spans(most: int, buckets: int, longest: bool) -> Callable[[np.ndarray, int], np.ndarray]:
    """Say where a distance stands in a table of twice so many: cut off, or in ever wider buckets as DeBERTa-v2 has."""

    def place(behind: np.ndarray, seq: int) -> np.ndarray:
        half = buckets if buckets > 0 else most
        if buckets > 0:
            middle = buckets // 2
            far = np.abs(behind) > middle
            grown = np.log(np.maximum(np.abs(behind), middle) / middle) / math.log((most - 1) / middle)
            wide = np.sign(behind) * (np.ceil(grown * (middle - 1)) + middle)
            behind = np.where(far, wide, behind).astype(int)
        # The first DeBERTa numbers the middle of its table by the text's length, which cuts no distance off.
        cut = min(seq, half) if longest else half
        found: np.ndarray = np.clip(behind + cut, 0, 2 * cut - 1) + half - cut
        return found

    return place


def transformer_xl(W: dict[str, np.ndarray], scale: float) -> Scores:
    """Give the terms of Transformer-XL as XLNet has them: queries meet a wave of the distance.

    W holds the module's own tensors: `r` (d_model, heads, d_head), and the biases `r_w_bias` and `r_r_bias`.

    Source:
        Dai et al. 2019, "Transformer-XL", section 3.3.
    """

    def added(q: np.ndarray, k: np.ndarray) -> np.ndarray:
        behind, width = apart(q.shape[-2], k.shape[-2]), W["r"].shape[0]
        unit = np.broadcast_to(np.arange(width) < width // 2, (*behind.shape, width)).astype(np.float64)
        waves = np.roll(rotate(unit, behind), width // 2, axis=-1)  # sines first, then cosines
        keys = np.einsum("nmw,whd->hnmd", waves, W["r"])
        met: np.ndarray = np.einsum("bhnd,hnmd->bhnm", q + W["r_r_bias"][:, None], keys)
        met = scale * (met + np.einsum("hd,bhmd->bhm", W["r_w_bias"], k)[:, :, None])
        return met

    return added


def tables(
    load: Callable[[str], Any], path: str, names: tuple[str, str], rows: np.ndarray, n_heads: int
) -> list[Any]:
    """Project embeddings of distances by two layers of a module; None where one is missing."""
    made: list[Any] = [None, None]
    for at, name in enumerate(names):
        weight, bias = load(f"{path}.{name}.weight"), load(f"{path}.{name}.bias")
        if weight is not None:
            projected = rows @ weight.T + (0 if bias is None else bias)
            made[at] = projected.reshape(len(rows), n_heads, -1).swapaxes(0, 1)
    return made
