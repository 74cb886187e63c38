"""The mathematics of attention: projections, heads, rotary positions, masks, scores, softmax, the KV cache.

One formula, one line, in the letters of the lessons. Rows multiply from the left, `Q = X @ W_Q`; masks say
True = may attend; heads stand at `(*batch, n_heads, seq, d_head)`. No argument is ever changed in place.

Floats keep their dtype, but float16 is computed and returned as float32. Integers become float64. Bool,
object and complex arrays are refused, and shapes must agree without broadcasting.
"""

from qkvdocs.core._attention import AttentionParts, attend, attention
from qkvdocs.core._cache import KVCache
from qkvdocs.core._heads import merge_heads, repeat_kv_heads, split_heads
from qkvdocs.core._masks import causal_mask, padding_mask, sliding_window_mask
from qkvdocs.core._projection import project_qkv
from qkvdocs.core._rotary import rotate
from qkvdocs.core._scores import attention_scores, softmax
from qkvdocs.core._weights import QKVWeights

__all__ = [
    "AttentionParts",
    "KVCache",
    "QKVWeights",
    "attend",
    "attention",
    "attention_scores",
    "causal_mask",
    "merge_heads",
    "padding_mask",
    "project_qkv",
    "repeat_kv_heads",
    "rotate",
    "sliding_window_mask",
    "softmax",
    "split_heads",
]
