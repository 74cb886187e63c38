# What contracts declare is looked at once, when they are made.

import math
from collections.abc import Iterable, Sequence, Set
from numbers import Real
from typing import Any

import numpy as np

from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError

WIDEST = 2**15
"""The widest row that is tried."""
DEEPEST = 2**10
"""The widest head that is tried."""


def refuse(name: str, rule: str, value: Any, way_out: str = "") -> ContractError:
    """Word an error."""
    shown = repr(value)
    shown = shown if len(shown) < 80 and "\n" not in shown else f"a {type(value).__name__}"
    return ContractError(f"{name} must {rule}, got {shown}{way_out}")


def check_callables(contract: Any, *names: str) -> None:
    """Refuse what cannot be called."""
    for name in names:
        if not callable(value := getattr(contract, name)):
            raise refuse(name, "be callable", value)


def check_flags(contract: Any, *names: str) -> None:
    """Refuse all but True and False."""
    for name in names:
        if not isinstance(value := getattr(contract, name), bool | np.bool_):
            raise refuse(name, "be True or False", value)


def check_size(name: str, value: Any, least: int = 1, most: int = WIDEST) -> None:
    """Refuse all but integers of a range; True is not a size."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise refuse(name, f"be an integer from {least} to {most}", value)


def check_heads(contract: Any) -> None:
    """Refuse heads that no layer has."""
    check_size("n_heads", contract.n_heads)
    check_size("d_head", contract.d_head, most=DEEPEST)
    check_size("n_heads * d_head", contract.n_heads * contract.d_head)
    if contract.n_kv_heads is not None:
        check_size("n_kv_heads", contract.n_kv_heads)
        if contract.n_heads % contract.n_kv_heads:
            raise refuse("n_heads", f"be a multiple of n_kv_heads={contract.n_kv_heads}", contract.n_heads)


def check_scale(value: Any) -> None:
    """Refuse what is no factor."""
    if value is None:
        return
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not value or math.isinf(1 / value):
        raise refuse("scale", "be a finite number other than 0, or None for 1/√d_head", value)


def scale_of(contract: Any, d_head: int) -> float:
    """Give the declared scale, or the usual one."""
    return float(d_head**-0.5 if contract.scale is None else contract.scale)


def kv_heads(contract: Any) -> int:
    """Give the declared count of key heads, or that of the query heads."""
    return int(contract.n_kv_heads or contract.n_heads)


def check_rotary(rotary: Any, d_head: int | None, wanted: type) -> None:
    """Refuse a rotation that does not fit the heads."""
    if rotary is None:
        return
    if not isinstance(rotary, wanted):
        raise refuse("rotary", "be a Rotary or None", rotary, ". Say Rotary('halves') or Rotary('pairs')")
    if d_head is None:
        return
    if rotary.width is None and d_head % 2:  # type: ignore[attr-defined]
        raise refuse("d_head", "be even where whole heads are rotated", d_head, ". Say Rotary(width=…)")
    if (rotary.width or 0) > d_head:  # type: ignore[attr-defined]
        raise refuse("rotary.width", f"be at most d_head = {d_head}", rotary.width)  # type: ignore[attr-defined]


def check_layer(contract: Any, rotary: type) -> None:
    """Refuse weights that are none, or of another width."""
    W, d_model = contract.weights, contract.d_model
    if W is not None and not isinstance(W, QKVWeights):
        raise refuse(
            "weights", "be QKVWeights or None", W, ". Make them with weights_from(q, k, v, o, n_heads=…)"
        )
    if W is not None:
        for name, array in vars(W).items():
            if isinstance(array, np.ndarray) and not np.isfinite(array).all():
                raise ContractError(f"weights must be finite, got NaN or inf in {name}")
    if d_model is not None:
        check_size("d_model", d_model)
        if W is not None and d_model != W.d_model:
            raise refuse("d_model", f"be that of the weights = {W.d_model}", d_model)
    elif W is None:
        raise refuse("d_model", "be given where weights are not", None)
    check_scale(contract.scale)
    check_rotary(contract.rotary, None if W is None else W.d_head, rotary)


def check_fused(contract: Any) -> None:
    """Refuse orders and blocks that no file has."""
    if not isinstance(contract.fused, str) or sorted(contract.fused) not in ([], ["k", "q", "v"]):
        raise refuse("fused", "be '' or an order of q, k and v, such as 'qkv'", contract.fused)
    bias = contract.bias
    if not isinstance(bias, str) or not set(bias) <= set("qkv") or len(set(bias)) < len(bias):
        raise refuse("bias", "name roles of 'qkv', each once", bias, ". Without biases, say ''")
    check_size("blocks", contract.blocks)
    columns = kv_heads(contract) * contract.d_head
    if columns % contract.blocks:
        raise refuse("blocks", f"divide n_kv_heads * d_head = {columns}", contract.blocks)
    if contract.blocks > 1 and not contract.fused:
        raise refuse("blocks", "be 1 where weights are stored apart", contract.blocks, ". Say fused='qkv'")


def check_names(name: str, value: Any, least: int, way_out: str = "") -> None:
    """Refuse all but lists of names."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | Set):
        raise refuse(name, "be a list of names", value, way_out)
    for item in value:
        if not isinstance(item, str):
            raise refuse(name, "hold strings", item, way_out)
    if len(value) < least:
        raise ContractError(f"{name} must hold at least {least} name, got none")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse all but a few words."""
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise refuse(name, f"be {' or '.join(map(repr, words))}", value)
