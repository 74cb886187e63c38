# What one rank of a tensor-parallel model holds: whole heads of W_Q, W_K and W_V, and their rows of W_O.

from dataclasses import dataclass

from qkvdocs.errors import LayoutError
from qkvdocs.wild._plan import Plan


@dataclass(frozen=True)
class Shard:
    """What a rank holds of one attention module, outputs counted from 0.

    Examples:
        >>> Shard(rank=0, columns={"W_Q": (0, 8), "W_K": (0, 4), "W_V": (0, 4)}, copies=1).columns["W_K"]
        (0, 4)
    """

    rank: int
    columns: dict[str, tuple[int, int]]
    """W_Q, W_K, W_V -> first output, and the one behind the last; of W_O the rows of the same query heads."""
    copies: int
    """How many ranks hold these same key and value heads."""


def shards(plan: Plan, ranks: int) -> list[Shard]:
    """Cut a module among ranks, as Megatron and vLLM do.

    Query heads are shared out. Key heads are, too, while there are enough; else each is copied to several ranks.

    Args:
        plan: The module.
        ranks: How many.

    Returns:
        What each holds. To gather them, put the parts of each role together: to put whole fused tensors of ranks
        behind one another gives `[Q K V]` once a rank, which is another cut.

    Raises:
        LayoutError: If the heads do not come out even.

    Examples:
        >>> from qkvdocs import wild
        >>> plan = wild.read("tests/wild/fixtures/llama").plans["layers.0.self_attn"]
        >>> [(shard.columns["W_K"], shard.copies) for shard in shards(plan, 4)]
        [((0, 4), 2), ((0, 4), 2), ((4, 8), 2), ((4, 8), 2)]
    """
    check_ranks(plan.path, plan.n_heads, ranks)
    if plan.n_kv_heads % ranks and ranks % plan.n_kv_heads:
        raise LayoutError(
            f"n_kv_heads of {plan.path} must be a multiple of ranks={ranks} or divide it, got {plan.n_kv_heads}"
        )
    copies = max(1, ranks // plan.n_kv_heads)
    found = []
    for rank in range(ranks):
        heads = plan.n_heads // ranks
        q = (rank * heads * plan.d_head, (rank + 1) * heads * plan.d_head)
        kv_heads = max(1, plan.n_kv_heads // ranks)
        columns = {"W_Q": q}
        for role in "kv":
            width = plan.widths[role] // plan.n_kv_heads * kv_heads
            columns[f"W_{role.upper()}"] = (rank // copies * width, (rank // copies + 1) * width)
        found.append(Shard(rank, columns, copies))
    return found


def check_ranks(path: str, n_heads: int, ranks: int) -> int:
    """Check that the query heads come out even, and give the number of ranks."""
    if type(ranks) is not int or ranks < 1 or n_heads % ranks:
        raise LayoutError(f"n_heads of {path} must be a multiple of ranks={ranks}, got {n_heads}")
    return ranks
