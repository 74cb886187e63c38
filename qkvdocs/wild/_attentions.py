from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TypeVar

import numpy as np
from jaxtyping import Num

from qkvdocs.core import QKVWeights
from qkvdocs.errors import LayoutError, QKVError, printable
from qkvdocs.wild._adapters import merge
from qkvdocs.wild._atlas import ADDED, ATLAS
from qkvdocs.wild._checkpoint import Checkpoint, Progress, facts_or_none
from qkvdocs.wild._config import Facts
from qkvdocs.wild._find import Listed, find_modules
from qkvdocs.wild._latent import LatentPlan, Latents, plan_latent
from qkvdocs.wild._layers import Layers, count_layers
from qkvdocs.wild._layout import Layout
from qkvdocs.wild._plan import Modules, Plan, make_plan
from qkvdocs.wild._rotary import pairs_to_halves
from qkvdocs.wild._split import split

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Projections(QKVWeights):
    """The weights of one attention module of a checkpoint, and where they came from.

    What the model does besides (norms on q and k, rotation, another scale) is not in here: `plan.others`
    names the tensors of the module that were left alone.

    Examples:
        >>> weights = read("tests/wild/fixtures/llama")["layers.0.self_attn"]
        >>> weights.n_heads, weights.n_kv_heads, weights.d_head, weights.layout.family
        (4, 2, 4, 'LLaMA')
    """

    plan: Plan
    """Which tensors were cut, and how."""
    W_G: Num[np.ndarray, "d_model q_width"] | np.ndarray | None = None
    """Weight of a gate on the output, stored with the queries; None in most models."""
    b_G: Num[np.ndarray, " q_width"] | np.ndarray | None = None  # noqa: N815  # as b_Q
    """Bias of the gate."""

    def __post_init__(self) -> None:
        if self.plan.plain:  # else rows of several widths, which the plan has checked
            super().__post_init__()

    @property
    def layout(self) -> Layout:
        """The row of the atlas that matched."""
        return self.plan.layout


class Attentions(Modules[Projections]):
    """The attention modules of a checkpoint by name; each is read when it is asked for.

    Modules that look like attention and cannot be read safely stand in `refused` with the reason; to ask for
    one raises that reason. Printed, it says what was read, what was not, and which layers have no attention.

    Examples:
        >>> attentions = read("tests/wild/fixtures/whisper")
        >>> for path, weights in attentions.items():
        ...     print(path, weights.plan.biases)
        decoder.layers.0.encoder_attn qvo
        decoder.layers.0.self_attn qvo
        encoder.layers.0.self_attn qvo
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        plans: dict[str, Plan],
        refused: dict[str, QKVError],
        latent: dict[str, LatentPlan],
        listed: dict[str, Listed],
    ) -> None:
        self.checkpoint = checkpoint
        """The file or files, for the tensors beside the projections."""
        self.plans: dict[str, Plan] = plans
        """Module -> what will be cut from where; nothing is read for it."""
        self.refused = refused
        """Module -> why it is not given."""
        self.latent = Latents(checkpoint, latent)
        """Modules of latent attention (MLA), in their parts."""
        self.listed = listed
        """Module -> what it is, where it has not W_Q, W_K and W_V of each token to give."""
        self.layers: list[Layers] = count_layers(checkpoint, self.paths)
        """Layers without attention: of another kind, or missing."""

    def __repr__(self) -> str:
        """Say what was read and what was not."""
        read, rest = len(self.plans) + len(self.latent), f", {len(self.listed)} listed" * bool(self.listed)
        told = (
            [f"{path}: {plan.layout.family}, {plan.layout.cut}" for path, plan in self.plans.items()],
            [f"{path}: latent attention, in parts" for path in self.latent],
            [f"{path}: {listed.what}" for path, listed in self.listed.items()],
            [f"{path}: refused: {error}" for path, error in self.refused.items()],
            [layers.text for layers in self.layers],
        )
        lines = [f"<Attentions: {read} modules read, {len(self.refused)} refused{rest}>"]
        for part in told:
            lines += [f"  {line}" for line in part[:MOST]]
            lines += [f"  and {len(part) - MOST} more"] * (len(part) > MOST)
        return "\n".join(map(printable, lines))

    @property
    def paths(self) -> list[str]:
        """All modules, whatever is to be had of them."""
        return [*self.plans, *self.latent, *self.listed, *self.refused]

    def plan(self, path: str) -> Plan | LatentPlan:
        """Give the plan of a module, latent or not."""
        return self.latent.plans[path] if path in self.latent else self.plans[path]

    def arrays(self, path: str) -> dict[str, np.ndarray]:
        """Read the matrices and biases of a module, latent or not, by name."""
        if path in self.latent:
            return self.latent[path].arrays
        weights = self[path]
        found = {name: getattr(weights, name) for name in weights.plan.shapes}
        return {name: array for name, array in found.items() if array is not None}

    def __getitem__(self, path: str) -> Projections:
        if path in self.refused:
            raise self.refused[path]
        if path in self.latent or path in self.listed:
            parts = "latent attention. Read its parts: .latent[…]"
            got = parts if path in self.latent else self.listed[path].what
            raise LayoutError(f"{path} must have one W_Q, W_K and W_V, got {got}")
        plan = self.plans[path]
        arrays: dict[str, np.ndarray] = {}
        for piece in plan.pieces:
            stored = self.checkpoint[piece.name]
            if (mask := f"{piece.name}_mask") in self.checkpoint:
                kept = self.checkpoint[mask]  # DINOv3's keys have a bias that is masked away
                stored = np.where(kept == 0, 0, stored * kept).astype(stored.dtype)
            if piece.letter == "W":
                stored = stored.reshape(len(stored), -1)
                stored = stored if piece.columns else stored.T
            cut = {piece.roles: stored}
            if len(piece.roles) > 1:
                cut = split(stored, piece.roles, plan.widths, piece.blocks)
            arrays |= {f"{piece.letter}_{role.upper()}": part for role, part in cut.items()}
        found = Projections(plan=plan, n_heads=plan.n_heads, n_kv_heads=plan.n_kv_heads, **arrays)
        return pairs_to_halves(found) if plan.rows else found


MOST = 8
"""Modules of a kind that are printed; all are there."""


def read(
    address: str | PathLike[str],
    *,
    layout: Layout | None = None,
    n_heads: int | None = None,
    n_kv_heads: int | None = None,
    adapter: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Attentions:
    """Open a checkpoint and find its attention modules.

    Only headers are read. A module's matrices are read when it is asked for, and nothing else.

    Args:
        address: A file of safetensors, GGUF, PyTorch or numpy, a folder with one or with shards and their index,
            or either behind an address that fsspec opens, such as https://… (extra `remote`).
        layout: How the weights are stored, where the atlas does not know it; the atlas is then left aside.
        n_heads: Query heads of each module, where config.json is missing or wrong.
        n_kv_heads: Key and value heads; left out with `n_heads` given, as many as query heads.
        adapter: A low-rank adapter (LoRA, DoRA) that is added to the weights.
        progress: Called with files done, files in all and the next file's name.

    Returns:
        Module name -> checked weights.

    Raises:
        CheckpointError: If a file is of another kind, damaged, or outside the folder.
        LayoutError: If there is no attention module, or none that can be read.

    Examples:
        >>> attentions = read("tests/wild/fixtures/gpt2")
        >>> list(attentions)
        ['h.0.attn']
        >>> attentions["h.0.attn"].W_K.shape
        (16, 16)
    """
    attentions = look(
        address, layout=layout, n_heads=n_heads, n_kv_heads=n_kv_heads, adapter=adapter, progress=progress
    )
    if not attentions and not attentions.latent:
        if not attentions.refused:
            path, listed = next(iter(attentions.listed.items()))
            raise LayoutError(f"{path} must have W_Q, W_K and W_V, got {listed.what}")
        path, error = next(iter(attentions.refused.items()))
        count = len(attentions.refused)
        raise type(error)(f"{error}" + (f" ({count} modules are refused, the first is {path})" * (count > 1)))
    return attentions


def look(
    address: str | PathLike[str] | Checkpoint,
    *,
    layout: Layout | None = None,
    n_heads: int | None = None,
    n_kv_heads: int | None = None,
    adapter: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Attentions:
    """Do what `read` does, and give the reasons where nothing can be read."""
    for name, value in (("n_heads", n_heads), ("n_kv_heads", n_kv_heads)):
        if value is not None and (type(value) is not int or value < 1):
            raise LayoutError(f"{name} must be an integer of at least 1, got {value!r}")
    checkpoint = address if isinstance(address, Checkpoint) else Checkpoint(address, progress)
    if adapter is not None:
        merge(checkpoint, Checkpoint(adapter, progress))
    attentions = plan_modules(
        checkpoint,
        ATLAS if layout is None else (replace(layout, models=()),),
        lambda path: _facts(checkpoint, path, n_heads, n_kv_heads),
    )
    if not attentions.paths:
        added = (what for name in checkpoint for end, what in ADDED.items() if name.endswith(f".{end}"))
        some = ", ".join(sorted(checkpoint)[:3]) or "none"
        raise LayoutError(
            f"{checkpoint.address} must hold an attention module that the atlas knows, "
            f"got {next(added, f'{len(checkpoint)} tensors')}: {some} …"
        )
    return attentions


def plan_modules(
    checkpoint: Checkpoint,
    layouts: Sequence[Layout] = ATLAS,
    facts: Callable[[str], Facts] | None = None,
) -> Attentions:
    """Find the attention modules, in their natural order, and plan how each is read; none is no error.

    `facts` says what is known of a module; None means what the checkpoint's config says.
    """
    found = find_modules(checkpoint, layouts)
    plans: dict[str, Plan] = {}
    latent: dict[str, LatentPlan] = {}
    for path in (*found.rows, *found.latent):
        try:
            known = (facts or checkpoint.facts)(path)
            if path in found.rows:
                plans[path] = make_plan(checkpoint, path, found.rows[path], known)
            else:
                latent[path] = plan_latent(checkpoint, path, found.latent[path], known)
        except QKVError as error:
            found.refused[path] = error
    return Attentions(
        checkpoint, _sorted(plans), _sorted(found.refused), _sorted(latent), _sorted(found.listed)
    )


def _sorted(modules: dict[str, T]) -> dict[str, T]:
    return {path: modules[path] for path in sorted(modules, key=_natural)}


def _facts(checkpoint: Checkpoint, path: str, n_heads: int | None, n_kv_heads: int | None) -> Facts:
    if n_heads is None:
        known = checkpoint.facts(path)
        return known if n_kv_heads is None else replace(known, n_kv_heads=n_kv_heads)
    few = n_heads if n_kv_heads is None else n_kv_heads
    known = facts_or_none(checkpoint, path) or Facts(None, None, None, None)
    return replace(known, n_heads=n_heads, n_kv_heads=few, d_model=None, d_head=None)


def _natural(path: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in path.split(".")
    ]
