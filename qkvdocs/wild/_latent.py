# Latent attention (MLA): queries, keys and values come out of short rows, and a norm stands between the two matrices.

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Num

from qkvdocs.errors import LayoutError
from qkvdocs.wild._atlas import LatentNames
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._config import Facts
from qkvdocs.wild._kinds import rotary_of
from qkvdocs.wild._plan import Modules, Piece, below, check_quantised, dotted, item_size, others
from qkvdocs.wild._split import split

Matrix = Num[np.ndarray, "inputs outputs"] | np.ndarray
Row = Num[np.ndarray, " width"] | np.ndarray


@dataclass(frozen=True)
class LatentPlan:
    """Where the parts of one module of latent attention stand, and in which shapes they come out."""

    path: str
    layout: LatentNames
    n_heads: int
    stored: dict[str, Piece]
    """Part -> its tensor."""
    shapes: dict[str, tuple[int, ...]]
    """W_DQ, W_UQ, … -> shape."""
    d_plain: int
    """Columns of a query or key head that are not rotated."""
    d_turned: int
    """Columns that are; those of the key are one head that all share."""
    d_value: int
    rank: int
    """Width of the row that is kept in place of keys and values, without the rotated part."""
    rotary: str
    others: tuple[str, ...]
    kind: str = "latent"
    rows: str = ""

    @property
    def n_kv_heads(self) -> int:
        """Key heads, as many as query heads."""
        return self.n_heads

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The tensors."""
        return tuple(self.stored.values())

    @property
    def d_model(self) -> int:
        """Width of a token row."""
        return self.shapes["W_DKV"][0]

    @property
    def d_head(self) -> int:
        """Width of one head of queries or keys."""
        return self.d_plain + self.d_turned

    @property
    def biases(self) -> tuple[str, ...]:
        """Parts that have a bias."""
        return tuple(name[2:] for name in self.shapes if name[0] == "b")

    @property
    def cached(self) -> int:
        """Numbers that a cache keeps of a token: the short row, and the rotated part of its key."""
        return self.rank + self.d_turned

    @property
    def cache_bytes(self) -> int:
        """Bytes of them in the stored dtype."""
        return self.cached * item_size(self.stored["down"].dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Latent:
    """The parts of latent attention, in the letters of its paper and the layout of `X @ W`; norms are gains.

    A row x gives a short row `norm(x @ W_DKV) * g_KV`; from it come the keys' plain part by `W_UK` and the values
    by `W_UV`. The rotated part of the key is `x @ W_KR`, one head for all. Queries come from `norm(x @ W_DQ) * g_Q`
    by `W_UQ` and `W_QR`; where there is no `W_DQ`, from x itself.

    Source:
        DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.

    Examples:
        >>> noise = np.random.default_rng(0).standard_normal
        >>> parts = Latent(
        ...     W_UQ=noise((8, 6)), W_QR=noise((8, 4)), W_DKV=noise((8, 5)), W_KR=noise((8, 2)), g_KV=np.ones(5),
        ...     W_UK=noise((5, 6)), W_UV=noise((5, 8)), W_O=noise((8, 8)), n_heads=2,
        ... )
        >>> [part.shape for part in parts.absorb()]
        [(8, 14), (10, 8)]
    """

    n_heads: int
    W_UQ: Matrix
    W_QR: Matrix
    W_DKV: Matrix
    W_KR: Matrix
    g_KV: Row  # noqa: N815  # as W_DKV
    W_UK: Matrix
    W_UV: Matrix
    W_O: Matrix
    W_DQ: Matrix | None = None
    g_Q: Row | None = None  # noqa: N815  # as b_Q
    biases: Mapping[str, Row] = field(default_factory=dict)
    """Part -> its bias, such as `DQ`; most models have none."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__ if name[:2] in ("W_", "g_")}
        parts |= {f"b_{name}": bias for name, bias in self.biases.items()}
        return {name: array for name, array in parts.items() if array is not None}

    def absorb(self) -> tuple[Matrix, Matrix]:
        """Fold `W_UK` into the queries and `W_UV` into the output: then the short row is key and value at once.

        Returns:
            `W_Q`, whose heads are `[plain | rotated]` as wide as `[short row | x @ W_KR]`, and `W_O`, which takes
            mixtures of short rows, head by head.

        Raises:
            LayoutError: If keys or values have a bias, which has no place there.
        """
        if {"UK", "UV", "UQ"} & self.biases.keys():
            raise LayoutError(
                f"biases must have no UQ, UK or UV to be absorbed, got {', '.join(self.biases)}"
            )
        heads = self.n_heads
        plain, turned, up_k, up_v = (
            part.reshape(len(part), heads, -1) for part in (self.W_UQ, self.W_QR, self.W_UK, self.W_UV)
        )
        q = np.concatenate([np.einsum("ihp,khp->ihk", plain, up_k), turned], -1)
        o = np.einsum("khv,hvd->hkd", up_v, self.W_O.reshape(heads, -1, self.W_O.shape[1]))
        return q.reshape(len(q), -1), o.reshape(-1, o.shape[-1])


class Latents(Modules[Latent]):
    """Modules of latent attention by name; each is read when it is asked for."""

    def __init__(self, checkpoint: Checkpoint, plans: dict[str, LatentPlan]) -> None:
        self.checkpoint, self.plans = checkpoint, plans

    def __getitem__(self, path: str) -> Latent:
        return _load(self.checkpoint, self.plans[path])


def plan_latent(checkpoint: Checkpoint, path: str, names: LatentNames, known: Facts) -> LatentPlan:
    """Plan one module of latent attention; refuse a part that is missing, and shapes that contradict the config.

    `names` are those of its tensors, `known` is what config.json, or the caller, says about it.
    """
    stored = _stored(checkpoint, path, names)
    heads = known.n_heads
    if heads is None:
        raise LayoutError(
            f"n_heads must be known to cut {stored['q'].name}, got no config.json that says it. "
            "Put the model's config.json beside the file, or give n_heads and n_kv_heads"
        )
    down, out, q = (stored[part].shape for part in ("down", "out", "q"))
    split_up = "up" not in stored
    up = stored["up_k"].shape if split_up else stored["up"].shape
    rank = up[1] if split_up else up[-1]
    turned, value = down[0] - rank, out[1] // heads
    plain = q[0] // heads - turned
    want = {
        "down": (rank + turned, down[1]), "out": (down[1], heads * value), "norm": (rank,),
        "q": (heads * (plain + turned), stored["q_down"].shape[0] if "q_down" in stored else down[1]),
        **({"up_k": (heads, rank, plain), "up_v": (heads, value, rank)} if split_up
           else {"up": (heads * (plain + value), rank)}),
        **({"q_down": (q[1], down[1]), "q_norm": (q[1],)} if "q_down" in stored else {}),
    }  # fmt: skip
    for part, shape in want.items():
        if stored[part].shape != shape or min(shape) < 1 or min(plain, value) < 1 or turned < 0:
            raise LayoutError(
                f"{stored[part].name} must have shape {shape} for {heads} heads of {plain} + {turned} columns and "
                f"values of {value}, got {stored[part].shape}"
            )
    sizes = {"kv_lora_rank": rank, "qk_nope_head_dim + qk_rope_head_dim": plain + turned, "v_head_dim": value}
    for rule, size in sizes.items():
        said: list[Any] = [known.values.get(name) for name in rule.split(" + ")]
        if all(type(told) is int for told in said) and sum(said) != size:
            raise LayoutError(f"{rule} in config.json must be what the shapes give = {size}, got {sum(said)}")
    shapes: dict[str, tuple[int, ...]] = {
        **({"W_DQ": (down[1], q[1])} if "q_down" in stored else {}),
        "W_UQ": (q[1], heads * plain), "W_QR": (q[1], heads * turned), "W_DKV": (down[1], rank),
        "W_KR": (down[1], turned), "W_UK": (rank, heads * plain), "W_UV": (rank, heads * value),
        "W_O": (heads * value, down[1]),
    }  # fmt: skip
    ends = {"q_down": "DQ", "q": "UQ QR", "down": "DKV KR", "up": "UK UV", "out": "O"}
    shapes |= {
        f"b_{one}": shapes[f"W_{one}"][1:]
        for part, both in ends.items()
        if f"{part} bias" in stored
        for one in both.split()
    }
    pieces = [*stored.values()]
    check_quantised(checkpoint, pieces, beside := others(checkpoint, path, pieces))
    turns = known.values.get("rope_interleave")
    rotary = rotary_of(known, "") if type(turns) is not bool else "pairs" if turns else "halves"
    return LatentPlan(path, names, heads, stored, shapes, plain, turned, value, rank, rotary, beside)


def _stored(checkpoint: Checkpoint, path: str, names: LatentNames) -> dict[str, Piece]:
    parts = {
        "q_down": (names.q_down, "q"), "q_norm": (names.q_norm, "q"),
        "q": (names.q_up if dotted(path, f"{names.q_down}.weight") in checkpoint else names.q, "q"),
        "down": (names.down, "kv"), "norm": (names.norm, "kv"), "up": (names.up, "kv"),
        "up_k": (names.up_k, "k"), "up_v": (names.up_v, "v"), "out": (names.out, "o"),
    }  # fmt: skip
    stored: dict[str, Piece] = {}
    for part, (name, roles) in parts.items():
        for kind in ("weight", "bias"):
            if (full := dotted(path, f"{name}.{kind}")) in checkpoint:
                tensor, letter = checkpoint.tensor(full), "b" if kind == "bias" or "norm" in part else "W"
                piece = Piece(full, letter, roles, False, 1, tensor.shape, tensor.dtype)
                stored[part + " bias" * (kind == "bias")] = piece
    halves = ("up_k", "up_v") if {"up_k", "up_v"} & stored.keys() else ("up",)
    wanted = ("q", "down", "norm", "out", *(halves if "up" not in stored else ()))
    if missing := [parts[part][0] for part in wanted if part not in stored]:
        raise LayoutError(
            f"{path} must have {', '.join(f'{name}.weight' for name in missing)} too, as {names.family} has, "
            f"got {', '.join(below(path, piece.name) for piece in stored.values())}. "
            "Was the file cut short or exported in part?"
        )
    return stored


def _load(checkpoint: Checkpoint, plan: LatentPlan) -> Latent:
    heads, parts = plan.n_heads, plan.stored
    get: Callable[[str], np.ndarray] = lambda part: checkpoint[parts[part].name].T  # noqa: E731
    q = {"p": heads * plan.d_plain, "t": heads * plan.d_turned}
    kv = {"k": heads * plan.d_plain, "v": heads * plan.d_value}
    cuts = {"q": ("pt", q, heads, "UQ QR"), "down": ("lt", {"l": plan.rank, "t": plan.d_turned}, 1, "DKV KR"),
            "up": ("kv", kv, heads, "UK UV")}  # fmt: skip
    found: dict[str, np.ndarray] = {}
    for part, (roles, widths, blocks, names) in cuts.items():
        for kind, letter in (("", "W"), (" bias", "b")):
            if part + kind in parts:
                pieces = split(get(part + kind), roles, widths, blocks)
                found |= {f"{letter}_{n}": pieces[role] for n, role in zip(names.split(), roles, strict=True)}
    if "up" not in parts:  # (heads, rank, plain) and (heads, values, rank), as llama.cpp has them
        found["W_UK"] = get("up_k").transpose(1, 2, 0).reshape(plan.rank, -1)
        found["W_UV"] = get("up_v").transpose(0, 2, 1).reshape(plan.rank, -1)
    for part, name in (("q_down", "W_DQ"), ("q_norm", "g_Q"), ("norm", "g_KV"), ("out", "W_O"),
                       ("q_down bias", "b_DQ"), ("out bias", "b_O")):  # fmt: skip
        if part in parts:
            found[name] = get(part)
    biases = {name[2:]: found.pop(name) for name in list(found) if name[0] == "b"}
    return Latent(n_heads=heads, biases=biases, **found)
