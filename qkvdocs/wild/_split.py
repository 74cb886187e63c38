# One reshape and one cut undo every fused layout; the same in reverse makes it.

from collections.abc import Mapping

import numpy as np
from jaxtyping import Num

from qkvdocs.errors import ShapeError


def split(
    tensor: Num[np.ndarray, "*rows total"] | np.ndarray,
    roles: str,
    widths: Mapping[str, int],
    blocks: int = 1,
) -> dict[str, np.ndarray]:
    """Cut the last axis into its roles.

    That axis is `blocks` copies of one sequence of roles. With one block the parts are views.

    Args:
        tensor: Weight or bias, shape `(*rows, total)`, outputs on the last axis.
        roles: One letter a role, in the order of storage.
        widths: Letter -> width of that role over all blocks.
        blocks: How often the sequence repeats.

    Returns:
        Letter -> part, shape `(*rows, width)`, the blocks laid side by side.

    Raises:
        ShapeError: If the blocks do not fill the axis, or a width is not a multiple of `blocks`.

    Examples:
        >>> stored = np.array(["q0", "k0", "v0", "q1", "k1", "v1"])
        >>> {role: part.tolist() for role, part in split(stored, "qkv", {"q": 2, "k": 2, "v": 2}, 2).items()}
        {'q': ['q0', 'q1'], 'k': ['k0', 'k1'], 'v': ['v0', 'v1']}
    """
    sizes = _sizes(roles, widths, blocks)
    if tensor.ndim < 1 or blocks * sum(sizes) != tensor.shape[-1]:
        raise ShapeError(
            f"tensor must have a last axis of {' + '.join(roles)} = {blocks * sum(sizes)}, got {tensor.shape}"
        )
    parts = np.split(tensor.reshape(*tensor.shape[:-1], blocks, -1), np.cumsum(sizes)[:-1], axis=-1)
    return {role: part.reshape(*tensor.shape[:-1], -1) for role, part in zip(roles, parts, strict=True)}


def join(parts: Mapping[str, np.ndarray], roles: str, blocks: int = 1) -> np.ndarray:
    """Lay roles into one axis again: the inverse of `split`.

    Args:
        parts: Letter -> part, shape `(*rows, width)`.
        roles: The letters in the order of storage.
        blocks: How often their sequence repeats.

    Returns:
        Shape `(*rows, total)`.

    Raises:
        ShapeError: If a width is not a multiple of `blocks`.

    Examples:
        >>> join({"q": np.array([1, 2]), "k": np.array([3, 4]), "v": np.array([5, 6])}, "qkv", 2).tolist()
        [1, 3, 5, 2, 4, 6]
    """
    _sizes(roles, {role: parts[role].shape[-1] for role in roles}, blocks)
    cut = [parts[role].reshape(*parts[role].shape[:-1], blocks, -1) for role in roles]
    joined: np.ndarray = np.concatenate(cut, axis=-1)
    return joined.reshape(*joined.shape[:-2], -1)


def _sizes(roles: str, widths: Mapping[str, int], blocks: int) -> list[int]:
    for role in roles:
        if blocks < 1 or widths[role] % blocks:
            raise ShapeError(f"the width of {role} must be a multiple of blocks={blocks}, got {widths[role]}")
    return [widths[role] // blocks for role in roles]
