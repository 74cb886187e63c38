# What contracts declare is looked at once, when they are made.

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Real
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.clinic._latent import LatentWeights
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


def raised(rule: str, error: Exception) -> ContractError:
    """Word what somebody's code raised."""
    return ContractError(f"{rule}, it raised {type(error).__name__}: {error}")


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
    rule = "be a finite number other than 0, or None for 1/√d_head"
    if value is not None:
        check_number("scale", value, rule)
        if not value or math.isinf(1 / value):
            raise refuse("scale", rule, value)


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


KINDS: dict[str, tuple[str, ...]] = {
    "default": (), "linear": ("factor",), "proportional": (),
    "dynamic": ("factor", "original_max_position_embeddings"),
    "yarn": ("factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor", "original_max_position_embeddings"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}  # fmt: skip
"""Kinds of scaling -> the numbers that each needs."""


def check_scaling(told: Any) -> None:
    """Refuse a scaling that lacks a number."""
    if told is None:
        return
    if not isinstance(told, Mapping):
        raise refuse("rope_scaling", "be a mapping or None", told)
    check_choice("rope_scaling['rope_type']", kind := scaling_kind(told), KINDS)
    for name in KINDS[kind]:
        value = told.get(name)
        rule = f"be finite and above 0, as {kind} needs it"
        for number in value if isinstance(value, list | tuple) and "_factor" in name else [value]:
            check_number(f"rope_scaling[{name!r}]", number, rule, least=0)


def scaling_kind(told: Mapping[str, Any]) -> str:
    """Name the kind of a scaling, under its new name or its old one."""
    return str(told.get("rope_type") or told.get("type") or "default")


def check_number(name: str, value: Any, rule: str, *, least: float = -math.inf) -> None:
    """Refuse all but finite numbers above a least one; a whole number that no float holds is none."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not abs(value) <= sys.float_info.max or not value > least:
        raise refuse(name, rule, value)


def numbers(name: str, value: Any, sizes: Sequence[int], rule: str) -> np.ndarray:
    """Read a row of finite numbers of one of several lengths, from any library."""
    try:
        row = np.asarray(to_numpy(value), np.float64)
    except Exception:  # what is no array may fail in any way
        raise refuse(name, rule, value) from None
    fits = not row.shape or row.size in sizes
    if isinstance(value, np.ma.MaskedArray) or not np.isfinite(row).all() or not fits:
        raise refuse(name, rule, value)
    return np.broadcast_to(row.ravel(), (sizes[0],)) if not row.shape else row


def check_features(contract: Any, n_heads: int | None) -> None:
    """Refuse what no scores have."""
    if contract.softcap is not None:
        check_number("softcap", contract.softcap, "be a finite number above 0, or None", least=0)
    for name in ("window", "chunk"):
        if getattr(contract, name) is not None:
            check_size(name, getattr(contract, name), 1, 2**40)
    check_size("prefix", contract.prefix, 0, 2**40)
    if contract.relative is not None:
        check_callables(contract, "relative")
    sizes, bias = [n_heads] if n_heads else range(1, WIDEST), contract.score_bias
    if contract.sinks is not None:
        numbers("sinks", contract.sinks, sizes, "be a number a head, or one, or None")
    if not (bias is None or callable(bias) or (isinstance(bias, str) and bias == "alibi")):
        numbers("score_bias", bias, sizes, "be 'alibi', a slope a head, or a function, or None")


def check_norm(norm: Any) -> None:
    """Refuse what is no norm."""
    check_choice("kind", norm.kind, ("rms", "layer", "unit"))
    check_choice("over", norm.over, ("head", "all"))
    check_choice("when", norm.when, ("before", "after"))
    check_number("eps", norm.eps, "be a finite number of at least 0", least=-1e-300)
    for name in ("q", "k", "q_bias", "k_bias"):
        if (value := getattr(norm, name)) is not None:
            gains = numbers(name, value, range(1, WIDEST), "be a row of finite numbers, or None")
            object.__setattr__(norm, name, gains)


def check_kind(name: str, value: Any, wanted: type) -> None:
    """Refuse all but one type, and None."""
    if value is not None and not isinstance(value, wanted):
        raise refuse(name, f"be a {wanted.__name__} or None", value)


def check_rows(contract: Any) -> None:
    """Refuse what cannot be asked of one layer."""
    if contract.padding is not None:
        check_choice("padding", contract.padding, ("left", "right"))
    kinds = [name for name in ("padding", "packed", "memory") if getattr(contract, name)]
    if len(kinds) > 1:
        raise refuse(kinds[1], f"be left out beside {kinds[0]}", getattr(contract, kinds[1]))
    if contract.memory and contract.causal:
        raise refuse("causal", "be False where there is a memory", True)


def check_layer(contract: Any, rotary: type, norm: type) -> None:
    """Refuse weights that are none, or of another width."""
    W, d_model = contract.weights, contract.d_model
    check_kind("norm", contract.norm, norm)
    known = isinstance(W, QKVWeights | LatentWeights)
    check_features(contract, W.n_heads if known else None)
    check_kind("before", contract.before, QKVWeights)
    if W is not None and not known:
        way_out = ". Make them with weights_from(q, k, v, o, n_heads=…)"
        raise refuse("weights", "be QKVWeights, LatentWeights or None", W, way_out)
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
    latent = isinstance(W, LatentWeights)
    check_rotary(contract.rotary, None if W is None else W.d_rotary if latent else W.d_head, rotary)
    for name in ("norm", "before", "gate", "clip") if latent else ():
        if getattr(contract, name) is not None:
            raise refuse(name, "be None where weights are latent", getattr(contract, name))
    if contract.clip is not None:
        check_number("clip", contract.clip, "be a finite number above 0, or None", least=0)
    if contract.gate is not None and W is not None:
        gate_of(contract.gate, (W.d_model, W.n_heads * W.d_value))
    if contract.before is not None and W is not None and contract.before.W_Q.shape != W.W_Q.shape:
        raise refuse("before", f"have weights of shape {W.W_Q.shape}", contract.before.W_Q.shape)
    if W is not None and contract.norm is not None:
        check_gains(contract.norm, W.n_heads, W.n_kv_heads, W.d_head)


def gate_of(gate: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Read a gate's weight and bias; a bias that is left out is 0."""
    weight, bias = gate if isinstance(gate, tuple) and len(gate) == 2 else (gate, None)
    try:
        matrix = np.asarray(to_numpy(weight), np.float64)
        row = np.zeros(shape[1]) if bias is None else np.asarray(to_numpy(bias), np.float64)
    except Exception:  # what is no array may fail in any way
        raise refuse("gate", "be a matrix, or a pair of it and a bias", gate) from None
    if matrix.shape != shape or row.shape != shape[1:]:
        raise ContractError(
            f"gate must have shape (d_model, n_heads * d_value) = {shape}, got {matrix.shape}"
        )
    return matrix, row


def check_gains(norm: Any, n_heads: int, n_kv_heads: int, d_head: int) -> None:
    """Refuse gains that fit no head."""
    for name, heads in (("q", n_heads), ("k", n_kv_heads), ("q_bias", n_heads), ("k_bias", n_kv_heads)):
        gain = getattr(norm, name)
        if gain is not None and gain.size not in (1, d_head, heads * d_head):
            raise refuse(f"norm.{name}", f"have d_head = {d_head} or {heads * d_head} entries", gain.size)


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


def check_expression(name: str, value: Any) -> None:
    """Refuse what is no regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError):
        raise refuse(name, "be a regular expression", value) from None
    if not isinstance(value, str):
        raise refuse(name, "be a string", value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse all but a few words."""
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise refuse(name, f"be {' or '.join(map(repr, words))}", value)
