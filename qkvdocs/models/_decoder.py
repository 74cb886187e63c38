"""LLaMA's decoder in numpy: causal attention with grouped heads and rotary positions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qkvdocs.core import QKVWeights, attend, causal_mask, merge_heads, rotate, split_heads

Layer = Callable[[np.ndarray, QKVWeights], np.ndarray]


@dataclass(frozen=True, eq=False)
class Decoder:
    """A trained LLaMA decoder whose embedding also reads out the next token.

    Source:
        Touvron et al. 2023, "LLaMA", section 2.2.
    """

    tensors: Mapping[str, np.ndarray]
    """By their names in a GGUF file, each as it is stored there: (out, in)."""
    n_heads: int
    """Query heads."""
    n_kv_heads: int
    """Key and value heads."""
    base: float
    """Of the rotary positions."""
    epsilon: float
    """What each norm adds to the mean square."""

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return sum(name.endswith(".attn_q.weight") for name in self.tensors)

    def weights(self, layer: int) -> QKVWeights:
        """Give the attention weights of one layer, in the layout of `core`."""
        named = {"W_Q": "q", "W_K": "k", "W_V": "v", "W_O": "output"}
        arrays = {name: self.tensors[f"blk.{layer}.attn_{stored}.weight"].T for name, stored in named.items()}
        return QKVWeights(**arrays, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads)

    def attention(self, X: np.ndarray, weights: QKVWeights) -> np.ndarray:
        """Run one layer of attention: project, rotate, attend to what came before, merge."""
        counts = self.n_heads, self.n_kv_heads, self.n_kv_heads
        Q, K, V = (split_heads(rows, n) for rows, n in zip(weights.project(X), counts, strict=True))
        Q, K = (rotate(rows, style="pairs", base=self.base) for rows in (Q, K))
        output: np.ndarray = merge_heads(attend(Q, K, V, causal_mask(len(X), len(X))).context) @ weights.W_O
        return output

    def run(self, numbers: Sequence[int], layer: Layer | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Run the model.

        Args:
            numbers: The tokens' numbers.
            layer: Attention from rows to output; left out, the right one.

        Returns:
            The rows that each layer's projections get, and the logits of the token after each, of shape
            `(seq, vocabulary)`.
        """
        X = self.tensors["token_embd.weight"][numbers]
        rows = []
        for number in range(self.n_layers):
            path = f"blk.{number}"
            rows.append(self._norm(X, f"{path}.attn_norm"))
            X = X + (layer or self.attention)(rows[-1], self.weights(number))
            hidden = self._norm(X, f"{path}.ffn_norm")
            gate = hidden @ self.tensors[f"{path}.ffn_gate.weight"].T
            up = hidden @ self.tensors[f"{path}.ffn_up.weight"].T
            X = X + (gate / (1 + np.exp(-gate)) * up) @ self.tensors[f"{path}.ffn_down.weight"].T
        return rows, self._norm(X, "output_norm") @ self.tensors["token_embd.weight"].T

    def _norm(self, X: np.ndarray, path: str) -> np.ndarray:
        size = np.sqrt((X * X).mean(axis=-1, keepdims=True) + self.epsilon)
        rows: np.ndarray = X / size * self.tensors[f"{path}.weight"]
        return rows
