"""What qkvdocs raises on bad input.

* QKVError (a ValueError)
    - ShapeError
    - DTypeError
    - CheckpointError
    - LayoutError
    - ContractError
"""

import errno

__all__ = ["CheckpointError", "ContractError", "DTypeError", "LayoutError", "QKVError", "ShapeError"]


class QKVError(ValueError):
    """Base class of every error that qkvdocs raises on bad input."""


class ShapeError(QKVError):
    """An array's shape, or a size, contradicts what it is used with."""


def printable(text: str) -> str:
    r"""Spell out what could act on a terminal or hide in a line: controls, line ends, directions, surrogates.

    Args:
        text: What a file says.

    Returns:
        One line that shows what it holds.

    Examples:
        >>> print(printable("attn\x1b[2J\n0 refused é"))
        attn\x1b[2J\n0 refused é
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _FileError(QKVError):
    def __str__(self) -> str:
        return printable(super().__str__())


class DTypeError(_FileError):
    """An argument is of a kind, or holds a value, that the mathematics is not defined for."""


class CheckpointError(_FileError):
    """A file is not a checkpoint, or is damaged, or may not be read."""


class LayoutError(_FileError):
    """It is not known, or contradictory, how a checkpoint keeps its projections."""


class ContractError(QKVError):
    """What is to be examined does not keep the contract that it declares."""


WAYS = {
    errno.ENOSPC: "free some space, and try again",
    errno.EDQUOT: "free some space, and try again",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EPIPE: "",  # whoever read has enough
}
"""What to do where the machine does not let us, by the error's number."""
