# Low-rank adapters: what they add to which projection, and a checkpoint with it added.

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from qkvdocs.errors import CheckpointError
from qkvdocs.wild._atlas import ATLAS
from qkvdocs.wild._dtypes import FLOATS
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Tensor

if TYPE_CHECKING:
    from qkvdocs.wild._checkpoint import Checkpoint

NAME = re.compile(
    r"(?:base_model\.model\.)?(.+)\.(?:lora_|lora\.)(A|B|down|up|magnitude_vector)(?:\.default)?(?:\.weight)?\Z"
)
LARGEST = 1e9
"""Of lora_alpha: far beyond what anybody trains with."""
PART = {"A": "A", "down": "A", "B": "B", "up": "B", "magnitude_vector": "magnitude"}
PLAIN = [row for row in ATLAS if not row.gated]
ROLES = {name.removesuffix(".{}"): roles for row in reversed(PLAIN) for name, roles in row.tensors.items()}
ROLES |= {"to_q": "q", "to_k": "k", "to_v": "v"}
"""What a projection is called -> the roles it holds."""


@dataclass(frozen=True)
class Adapter:
    """What is added to one matrix: `scale * B @ A`, shape (out, in).

    Examples:
        >>> from qkvdocs.wild import Checkpoint
        >>> Checkpoint("tests/wild/fixtures/llama").adapters
        {}
    """

    target: str
    """The matrix's module, as its base calls it."""
    roles: str
    """The roles that it holds, q, k or v; empty where the atlas does not know its name."""
    rank: int
    scale: float
    parts: Mapping[str, tuple[Source, Tensor]]
    """A, B, and the magnitudes of DoRA."""

    @property
    def kind(self) -> str:
        """LoRA, or DoRA, which also sets the length of each row."""
        return "DoRA" if "magnitude" in self.parts else "LoRA"

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of what is added."""
        return self.parts["B"][1].shape[0], self.parts["A"][1].shape[1]

    def delta(self) -> np.ndarray:
        """Give what is added, shape (out, in)."""
        A, B = (self._array(part).astype("f4") for part in "AB")  # noqa: N806  # as its paper has it
        return np.asarray(np.float32(self.scale) * (B @ A))

    def merged(self, weight: np.ndarray) -> np.ndarray:
        """Add it to a weight, shape (out, in); DoRA then sets the rows' lengths."""
        whole = weight.astype("f4") + self.delta()
        if "magnitude" in self.parts:
            with np.errstate(all="ignore"):  # a row of zeros has no direction
                lengths = np.sqrt((whole * whole).sum(1, keepdims=True))
                whole = whole * (self._array("magnitude").astype("f4").reshape(-1, 1) / lengths)
        return np.asarray(whole)

    def _array(self, part: str) -> np.ndarray:
        source, tensor = self.parts[part]
        return tensor.load(source, f"{self.target}.{part}")


@dataclass(frozen=True)
class Merged(Tensor):
    """A weight of a base, with what an adapter adds."""

    base: tuple[Source, Tensor]
    adapter: Adapter
    turned: bool
    """Whether the base stores (in, out)."""
    floats = True

    @property
    def plain(self) -> bool:
        return self.base[1].plain

    def load(self, source: Source, name: str) -> np.ndarray:
        """Read both and add them."""
        weight = self.base[1].load(self.base[0], name)
        found = self.adapter.merged(weight.T).T if self.turned else self.adapter.merged(weight)
        found.flags.writeable = False
        return found


def find_adapters(checkpoint: "Checkpoint") -> dict[str, Adapter]:
    """Find the adapters of a checkpoint, by the module that each adds to; refuse one that is not whole."""
    held: defaultdict[str, dict[str, tuple[Source, Tensor]]] = defaultdict(dict)
    alphas: dict[str, str] = {}
    for name in checkpoint:
        if found := NAME.match(name):
            held[found[1]][PART[found[2]]] = checkpoint.place(name)
        elif name.endswith(".alpha"):
            alphas[name.removesuffix(".alpha")] = name
    adapters = {}
    for target, parts in held.items():
        if any(len(parts[part][1].shape) != 2 for part in "AB" if part in parts):
            continue  # of a convolution
        ranks = {parts[part][1].shape[axis] for part, axis in (("A", 0), ("B", 1)) if part in parts}
        if not {"A", "B"} <= parts.keys() or len(ranks) > 1 or 0 in ranks:
            got = ", ".join(f"{part} {tensor.shape}" for part, (_, tensor) in parts.items())
            raise CheckpointError(
                f"the adapter of {target} must have A (rank, in) and B (out, rank), got {got}"
            )
        [rank] = ranks
        magnitude = parts["magnitude"][1].shape if "magnitude" in parts else ()
        if magnitude and prod(magnitude) != parts["B"][1].shape[0]:
            raise CheckpointError(
                f"the magnitudes of {target} must be one a row of B {parts['B'][1].shape}, got shape {magnitude}"
            )
        alpha = _number(checkpoint, alphas[target]) if target in alphas else None
        last = target.rpartition(".")[2]
        roles = ROLES.get(".".join(target.split(".")[-2:]), ROLES.get(last, ""))
        adapters[target] = Adapter(target, roles, rank, _scale(checkpoint.config, target, rank, alpha), parts)
    return adapters


def _number(checkpoint: "Checkpoint", name: str) -> float:
    tensor = checkpoint.tensor(name)
    if prod(tensor.shape) != 1 or tensor.dtype not in (*FLOATS, "I64", "I32"):
        raise CheckpointError(f"{name} must be one number, got {tensor.dtype} of shape {tensor.shape}")
    return float(checkpoint[name].reshape(()))


def _scale(config: Mapping[str, Any], target: str, rank: int, alpha: float | None) -> float:
    if alpha is None:
        told = config.get("lora_alpha")
        patterns = config.get("alpha_pattern")
        for name, value in patterns.items() if isinstance(patterns, dict) else ():
            told = value if f".{target}".endswith(f".{name}") else told
        if told is None:
            return 1.0
        if type(told) not in (int, float) or not abs(told) <= LARGEST:
            raise CheckpointError(f"lora_alpha in adapter_config.json must be a number, got {str(told)[:60]}")
        alpha = float(told)
    return alpha / (sqrt(rank) if config.get("use_rslora") is True else rank)


def merge(checkpoint: "Checkpoint", adapter: "Checkpoint") -> None:
    """Add an adapter's matrices to those of its base."""
    found = adapter.adapters
    if not found:
        raise CheckpointError(
            "the adapter must hold matrices such as …lora_A.weight and …lora_B.weight, got none"
        )
    for target, one in found.items():
        names = (f"{target}.weight", f"{target.partition('.')[2]}.weight")
        name = next((name for name in names if name in checkpoint), "")
        if not name:
            raise CheckpointError(
                f"the base must hold {target}.weight, which the adapter adds to, got no such tensor"
            )
        source, tensor = checkpoint.place(name)
        turned = adapter.config.get("fan_in_fan_out") is True and tensor.plain
        if tensor.shape != (one.shape[::-1] if turned else one.shape):
            raise CheckpointError(
                f"{name} must have the shape of what the adapter adds = {one.shape}, got {tensor.shape}. "
                "Is this its base?"
            )
        checkpoint.replace(
            name, Merged(f"{tensor.dtype} + {one.kind}", tensor.shape, 0, 0, (source, tensor), one, turned)
        )
