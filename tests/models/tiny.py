"""Models of the two kinds with every number random: small enough for a test, and with nothing that is zero."""

import numpy as np

from qkvdocs.core import QKVWeights
from qkvdocs.models import Decoder, Encoder, WordPieces


def decoder(seed: int = 14, n_heads: int = 2, n_kv_heads: int = 1, d_head: int = 4) -> Decoder:
    """Two layers, and eleven tokens."""
    rng, d, few = np.random.default_rng(seed), n_heads * d_head, n_kv_heads * d_head
    sizes = {"attn_q": (d, d), "attn_k": (few, d), "attn_v": (few, d), "attn_output": (d, d)}
    sizes |= {
        "ffn_gate": (12, d),
        "ffn_up": (12, d),
        "ffn_down": (d, 12),
        "attn_norm": (d,),
        "ffn_norm": (d,),
    }
    tensors = {
        f"blk.{n}.{name}.weight": rng.normal(size=size) for n in (0, 1) for name, size in sizes.items()
    }
    tensors |= {"token_embd.weight": rng.normal(size=(11, d)), "output_norm.weight": rng.normal(size=d)}
    return Decoder(tensors, n_heads=n_heads, n_kv_heads=n_kv_heads, base=100.0, epsilon=1e-5)


def encoder(seed: int = 14, n_heads: int = 4, d_head: int = 4) -> Encoder:
    """Two layers; its pieces are the letters from a to h, alone and inside a word."""
    rng, d = np.random.default_rng(seed), n_heads * d_head
    pieces = ["[UNK]", "[CLS]", "[SEP]", *"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")]
    tensors = {
        f"embeddings.{name}_embeddings.weight": rng.normal(size=(20, d))
        for name in ("word", "position", "token_type")
    }
    norms = ["embeddings"]
    for path in ("encoder.layer.0", "encoder.layer.1"):
        norms += [f"{path}.attention.output", f"{path}.output"]
        for name, size in (("intermediate", (12, d)), ("output", (d, 12))):
            tensors[f"{path}.{name}.dense.weight"] = rng.normal(size=size)
            tensors[f"{path}.{name}.dense.bias"] = rng.normal(size=size[0])
    for path in norms:
        for part in ("weight", "bias"):
            tensors[f"{path}.LayerNorm.{part}"] = rng.normal(size=d)
    layers = [
        QKVWeights(
            **{f"W_{role}": rng.normal(size=(d, d)) / 2 for role in "QKVO"},
            **{f"b_{role}": rng.normal(size=d) for role in "QKVO"},
            n_heads=n_heads,
        )
        for _ in range(2)
    ]
    return Encoder(tensors, layers, WordPieces(pieces), 1e-12)
