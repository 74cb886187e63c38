# Latent attention (MLA): keys and values are made of one short row a token, and a rotated part that heads share.

from dataclasses import dataclass
from typing import Any

import numpy as np

from qkvdocs.errors import ContractError


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentWeights:
    """The weights of a layer of latent attention, in the layout of `x @ W`.

    A head's query is a plain part and a rotated one, side by side; its key is made of the latent and followed by the
    rotated key, which all heads share. Whether a layer decompresses keys and values or absorbs W_UK and W_UV into
    queries and output, it computes the same.

    Raises:
        ContractError: If a shape contradicts the others.

    Source:
        DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.

    Examples:
        >>> eye = np.eye(4)
        >>> W = LatentWeights(W_UQ=eye, W_DKV=eye, W_KR=eye[:, :2], W_UK=eye[:, :2], W_UV=eye, W_O=eye, n_heads=1)
        >>> W.d_head, W.d_rotary, W.d_value
        (4, 2, 4)
    """

    W_DQ: np.ndarray | None = None
    """Makes the short row of queries, (d_model, q_rank); None where queries are made of the row itself."""
    W_UQ: np.ndarray
    """Makes queries, (q_rank or d_model, n_heads * d_head), each head's plain part first."""
    W_DKV: np.ndarray
    """Makes the latent, (d_model, kv_rank)."""
    W_KR: np.ndarray
    """Makes the rotated key that heads share, (d_model, d_rotary)."""
    W_UK: np.ndarray
    """Makes plain keys, (kv_rank, n_heads * d_plain)."""
    W_UV: np.ndarray
    """Makes values, (kv_rank, n_heads * d_value)."""
    W_O: np.ndarray | None = None
    """Output weight, (n_heads * d_value, d_model)."""
    q_norm: np.ndarray | None = None
    """Gain of the norm of the short row of queries; None means no norm."""
    kv_norm: np.ndarray | None = None
    """Gain of the norm of the latent; None means no norm."""
    eps: float = 1e-6
    """What the norms add below the root."""
    n_heads: int
    """Heads."""

    def __post_init__(self) -> None:
        for name, array in vars(self).items():
            if name not in ("eps", "n_heads") and array is not None:
                object.__setattr__(self, name, np.asarray(array, np.float64))
        d_model, short = self.d_model, self.W_UQ if self.W_DQ is None else self.W_DQ
        rank = self.W_DKV.shape[1]
        rules: tuple[tuple[str, str, Any, tuple[int, ...]], ...] = (
            ("W_DKV", "(d_model, kv_rank)", self.W_DKV, (d_model, rank)),
            ("W_DQ" if self.W_DQ is not None else "W_UQ", "(d_model, …)", short, (d_model, short.shape[1])),
            ("W_UQ", "(q_rank, …)", self.W_UQ, (short.shape[self.W_DQ is not None], self.W_UQ.shape[1])),
            ("W_UK", "(kv_rank, …)", self.W_UK, (rank, self.n_heads * (self.d_head - self.d_rotary))),
            ("W_UV", "(kv_rank, …)", self.W_UV, (rank, self.n_heads * self.d_value)),
            ("W_O", "(n_heads * d_value, d_model)", self.W_O, (self.n_heads * self.d_value, d_model)),
            ("q_norm", "(q_rank,)", self.q_norm, (self.W_UQ.shape[0],)),
            ("kv_norm", "(kv_rank,)", self.kv_norm, (rank,)),
        )
        for name, symbols, array, shape in rules:
            if array is not None and array.shape != shape:
                raise ContractError(f"{name} must have shape {symbols} = {shape}, got {array.shape}")

    @property
    def n_kv_heads(self) -> int:
        """As many as query heads, once decompressed."""
        return self.n_heads

    @property
    def d_model(self) -> int:
        """Width of a token row."""
        return int(self.W_KR.shape[0])

    @property
    def d_rotary(self) -> int:
        """Width of the rotated part."""
        return int(self.W_KR.shape[1])

    @property
    def d_head(self) -> int:
        """Width of a query: its plain part and its rotated one."""
        return int(self.W_UQ.shape[1]) // self.n_heads

    @property
    def d_value(self) -> int:
        """Width of a value."""
        return int(self.W_UV.shape[1]) // self.n_heads
