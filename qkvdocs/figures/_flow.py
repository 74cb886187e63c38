from collections.abc import Sequence
from itertools import pairwise

from qkvdocs.errors import QKVError

__all__ = ["flow"]


def flow(paths: Sequence[Sequence[str]], *, direction: str = "LR") -> str:
    """Write a flow diagram as mermaid source, in a fence that a fence may print.

    Args:
        paths: Labels of boxes in the order of the arrows; the same label is the same box.
        direction: `LR` from left to right, `TD` from the top down.

    Returns:
        A mermaid fence; the page draws it and says it in words.

    Raises:
        QKVError: If there is no arrow, the direction is unknown, or a label is empty or has a quotation mark,
            a bar or a line break.

    Examples:
        >>> print(flow([["x = [2, 3]", "W_Q", "q"], ["x = [2, 3]", "W_K", "k"]]))
        ```mermaid
        flowchart LR
            n0["x = [2, 3]"] --> n1["W_Q"]
            n1 --> n2["q"]
            n0 --> n3["W_K"]
            n3 --> n4["k"]
        ```
    """
    if direction not in {"LR", "TD"}:
        raise QKVError(f"direction must be LR or TD, got {direction!r}")
    numbers: dict[str, int] = {}

    def box(label: str) -> str:
        if label in numbers:
            return f"n{numbers[label]}"
        if not label.strip() or {'"', "\n", "|"} & set(label):
            raise QKVError(f"a label must have no quotation mark, bar or line break, got {label!r}")
        numbers[label] = len(numbers)
        return f'n{numbers[label]}["{label}"]'

    arrows = []
    for path in paths:
        arrows += [f"    {box(tail)} --> {box(tip)}" for tail, tip in pairwise(path)]
    if not arrows:
        raise QKVError(f"paths must hold at least one arrow, got {list(paths)}")
    return "\n".join(["```mermaid", f"flowchart {direction}", *arrows, "```"])
