# Faults of what only some layers have: scaled rotations, gates, relative terms, latent attention.

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qkvdocs.clinic._declared import scaling_kind
from qkvdocs.clinic._known import altered
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._layer import Fault, Spec, fuse, split
from qkvdocs.core import QKVWeights


def rare(spec: Spec) -> list[Fault]:
    """List what may be wrong with what a layer has of these."""
    faults = [*_scalings(spec), *_gates(spec), *_relatives(spec), *_latents(spec)]
    norm = spec.norm
    if norm is not None and (norm.q_bias is not None or norm.k_bias is not None):
        bare = altered(norm, q_bias=None, k_bias=None)
        faults.append(Fault("qk-norm", "the norm's biases are left out", {"norm": bare}))
    return faults


def _scalings(spec: Spec) -> list[Fault]:
    if (rotary := spec.rotary) is None or (told := rotary.rope_scaling) is None:
        return []
    if (kind := scaling_kind(told)) == "default":
        return []
    ways: dict[str, Mapping[str, Any] | None] = {f"frequencies are not scaled as {kind} scales them": None}
    if kind in ("yarn", "longrope"):
        ways["turned entries are not multiplied by the factor"] = {**told, "attention_factor": 1.0}
    if kind == "yarn":
        turned = {**told, "truncate": not told.get("truncate", True)}
        ways["the ramp is cut at whole planes, or is not"] = turned
    if kind == "longrope":
        ways["factors are those of long texts"] = {**told, "short_factor": told["long_factor"]}
    if kind in ("yarn", "llama3", "dynamic", "longrope") and told.get("factor"):
        ways["all frequencies are divided by the factor"] = {"rope_type": "linear", "factor": told["factor"]}
    return [
        Fault("rotary-style", says, {"rotary": replace(rotary, rope_scaling=other)})
        for says, other in ways.items()
    ]


def _gates(spec: Spec) -> list[Fault]:
    W, gate = spec.weights, spec.gate
    if gate is None or not isinstance(W, QKVWeights):
        return []
    faults = [Fault("fused-order", "the gate, stored with the queries, is left out", {"gate": None})]
    weight, bias = gate
    if W.n_heads > 1:
        cut = split(fuse([W.W_Q, weight], W.n_heads), [weight.shape[1]] * 2, 1)
        says = "queries and gate, stored head by head, are cut in halves"
        faults.append(Fault("fused-order", says, {"weights": replace(W, W_Q=cut[0]), "gate": (cut[1], bias)}))
    swapped = {"weights": replace(W, W_Q=weight), "gate": (W.W_Q, bias)}
    return [*faults, Fault("fused-order", "queries and gate have changed places", swapped)]


def _relatives(spec: Spec) -> list[Fault]:
    if spec.relative is None:
        return []
    ways = {
        "doubled": "what depends on contents and positions is added twice",
        "negated": "what depends on contents and positions has the wrong sign",
        "before scale": "what depends on contents and positions is scaled with the scores",
        "turned": "what depends on contents and positions is read from key to query",
    }
    faults = [Fault("score-bias", "what depends on contents and positions is left out", {"relative": None})]
    return faults + [Fault("score-bias", says, {"biased": way}) for way, says in ways.items()]


def _latents(spec: Spec) -> list[Fault]:
    W = spec.weights
    if not isinstance(W, LatentWeights):
        return []
    plain, rank = W.d_head - W.d_rotary, W.W_DKV.shape[1]
    faults = [
        Fault("scale", f"the scores are multiplied by {name}", {"scale": value**-0.5})
        for name, value in (("1/√d_plain", plain), ("1/√(kv_rank + d_rotary)", rank + W.d_rotary))
        if value and not np.isclose(value**-0.5, spec.scale)
    ]  # fmt: skip
    many, normed = W.n_heads > 1, W.kv_norm is not None
    ways = {
        "queries by column": ("head-split", "heads of queries are taken from every n-th column", many),
        "rotated part first": ("rotary-style", "queries are read as if the rotated part came first", True),
        "latent last": ("fused-order", "latent and rotated key are cut as if the latent came last", True),
        "in thirds": ("fused-order", "keys and values, stored head by head, are cut in halves", many),
        "swapped": ("fused-order", "each head's value is cut before its key", True),
        "latent not normed": ("qk-norm", "the latent is not normed", normed),
        "normed together": ("qk-norm", "latent and rotated key are normed as one row", normed),
        "queries not normed": ("qk-norm", "the short row of queries is not normed", W.q_norm is not None),
    }
    return faults + [Fault(bug, says, {"latent": way}) for way, (bug, says, there) in ways.items() if there]
