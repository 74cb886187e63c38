"""What qkvdocs raises on bad input.

* QKVError (a ValueError)
    - ShapeError
    - DTypeError
    - CheckpointError
    - LayoutError
    - ContractError
"""

__all__ = ["CheckpointError", "ContractError", "DTypeError", "LayoutError", "QKVError", "ShapeError"]


class QKVError(ValueError):
    """Base class of every error that qkvdocs raises on bad input."""


class ShapeError(QKVError):
    """An array's shape, or a size, contradicts what it is used with."""


class DTypeError(QKVError):
    """An argument is of a kind, or holds a value, that the mathematics is not defined for."""


class CheckpointError(QKVError):
    """A file is not a checkpoint, or is damaged, or may not be read."""


class LayoutError(QKVError):
    """It is not known, or contradictory, how a checkpoint keeps its projections."""


class ContractError(QKVError):
    """What is to be examined does not keep the contract that it declares."""
