import json
import tomllib
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from qkvdocs.errors import LayoutError

ROLES = "qkvg"
Blocks = int | Literal["n_heads", "n_kv_heads"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one family of models stores its projections: declared, never guessed from sizes.

    The output axis of every stored tensor is `blocks` copies of one sequence of roles. With one block that
    is `[Q | K | V]`, or nothing fused at all; with `n_kv_heads` blocks each key head comes with its queries
    and its value.

    Names count from the attention module; `{}` in a name stands for `weight` and for `bias`.

    Raises:
        LayoutError: If the roles are not q, k and v once each (and at most one gate g), or a field
            contradicts another.

    Examples:
        >>> mine = Layout(family="mine", tensors={"to_qkv.{}": "qkv"}, out=("to_out.{}",))
        >>> mine.fused
        True
    """

    family: str
    """What people call it."""
    tensors: dict[str, str]
    """Stored tensor -> the roles it holds, in storage order: q, k, v, or g for a gate on the output."""
    out: tuple[str, ...]
    """The output projection, under one of these names."""
    blocks: Blocks = 1
    """How often the sequence of roles repeats: a number, or `n_heads` or `n_kv_heads`."""
    columns: tuple[str, ...] = ()
    """Tensors stored (in, out); all others are (out, in), as nn.Linear has it."""
    axes: int = 2
    """Axes of the stored weights; three where heads have an axis of their own."""
    biases: dict[str, str] = field(default_factory=dict)
    """Role -> bias, where biases are kept apart from the weights."""
    models: tuple[str, ...] = ()
    """The `model_type`s for which this row is known to hold; empty where the names alone leave no doubt."""
    bias: str = "qkvo"
    """Roles whose bias has a place."""
    always: str = ""
    """Roles whose bias is always stored, if only as zeros."""
    grouped: bool = True
    """Whether there may be fewer key heads than query heads."""
    square: bool = False
    """Whether the heads together must be as wide as the token row."""

    def __post_init__(self) -> None:
        roles = "".join(self.tensors.values())
        if sorted(roles.replace("g", "", 1)) != ["k", "q", "v"]:
            raise LayoutError(f"tensors must hold q, k and v once each, and g at most once, got {roles!r}")
        if not self.out:
            raise LayoutError("out must name at least one tensor, got none")
        if self.blocks not in ("n_heads", "n_kv_heads") and not (
            type(self.blocks) is int and self.blocks > 0
        ):
            raise LayoutError(f"blocks must be 'n_heads', 'n_kv_heads' or at least 1, got {self.blocks!r}")
        if unknown := set(self.columns) - {*self.tensors, *self.out}:
            raise LayoutError(f"columns must be names out of tensors and out, got {min(unknown)!r}")
        if not self.biases.keys() <= set(roles):
            raise LayoutError(f"biases must belong to the roles {roles!r}, got {''.join(self.biases)!r}")

    def copies(self, n_heads: int, n_kv_heads: int) -> int:
        """Say how often the sequence of roles repeats in a module with these head counts."""
        if isinstance(self.blocks, int):
            return self.blocks
        return n_heads if self.blocks == "n_heads" else n_kv_heads

    @property
    def fused(self) -> bool:
        """Whether one tensor holds several roles."""
        return any(len(roles) > 1 for roles in self.tensors.values())

    @property
    def gated(self) -> bool:
        """Whether a gate on the output is stored with the projections."""
        return any("g" in roles for roles in self.tensors.values())

    @property
    def cut(self) -> str:
        """The rule in short, for example `qkv × n_kv_heads`."""
        if not self.fused:
            return "one tensor each"
        return f"{' '.join(self.tensors.values())} × {self.blocks}"


LARGEST = 100_000
"""Bytes of a file that declares a layout."""


def read_layout(path: str | PathLike[str]) -> Layout:
    """Read a layout that is declared in TOML, a field a key.

    Args:
        path: The file.

    Returns:
        The layout.

    Raises:
        LayoutError: If it is no TOML, or a field is missing, unknown or of another type.

    Examples:
        >>> read_layout("tests/wild/files/mine.toml").tensors
        {'to_qkv.{}': 'qkv'}
    """
    try:
        with Path(path).open("rb") as file:
            told = tomllib.loads(file.read(LARGEST).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise LayoutError(f"{path} must be a file of TOML, got: {str(error)[:100]}") from None
    wrong = [name for name, value in told.items() if not _fits(name, value)]
    if wrong or not {"tensors", "out"} <= told.keys():
        got = ", ".join(sorted(wrong)) or ", ".join(told) or "nothing"
        raise LayoutError(
            f'{path} must have tensors = {{"name.{{}}" = "qkv"}}, out = ["name.{{}}"] and at most '
            f"{', '.join(FIELDS)} beside them, got {got[:100]}"
        )
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
    return Layout(**{"family": "mine", **fields})


FIELDS: dict[str, Any] = {
    "family": str, "blocks": (int, str), "columns": list, "axes": int, "biases": dict, "tensors": dict, "out": list,
}  # fmt: skip


def _fits(name: str, value: object) -> bool:
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    known = name in FIELDS and isinstance(value, FIELDS[name]) and not isinstance(value, bool)
    return known and all(isinstance(part, str) for part in parts)


USUAL: dict[str, Any] = {"blocks": 1, "columns": (), "axes": 2, "biases": {}}
"""What goes without saying in a layout that somebody declares."""


def as_toml(layout: Layout) -> str:
    """Write what `read_layout` reads."""
    told = {name: getattr(layout, name) for name in ("tensors", "out", *USUAL)}
    return "\n".join(f"{name} = {_toml(value)}" for name, value in told.items() if value != USUAL.get(name))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items()) + "}"
    return "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, tuple) else json.dumps(value)
