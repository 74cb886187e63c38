"""The instances of an exercise. `assets/qkv-practice.js` draws the same ones."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures._traced import OPERATIONS, Traced

__all__ = ["RIGHT", "Answers", "Drawn", "instance", "read", "tied"]

Drawn = tuple[str, int, np.ndarray]
"""Name, how many whole numbers to draw from, and the lowest for each entry; one number is no choice."""
Answers = dict[str, tuple[Traced, ...]]
"""What comes out, the right answer first."""

NEAR = 6e-4
"""Three decimals are enough for a reader."""
TRIES = 1000
RIGHT = "right"


def read(inputs: Mapping[str, Any]) -> list[Drawn]:
    """Take what an exercise is made of: arrays, `range(low, end)`, or `((rows, columns), range(low, end))`.

    Raises:
        QKVError: If a name or an input is not one.
    """
    drawn: list[Drawn] = []
    for name, given in inputs.items():
        if not name.isidentifier() or name in {*OPERATIONS, "pick"}:
            raise QKVError(f"an input must be named like a variable and not like an operation, got {name!r}")
        if isinstance(given, np.ndarray):
            drawn.append((name, 1, np.atleast_2d(given)))
            continue
        shape, numbers = ((1, 1), given) if isinstance(given, range) else given
        if not isinstance(numbers, range) or numbers.step != 1 or not numbers:
            raise QKVError(
                f"{name} must be an array, range(low, end) or (shape, range(low, end)), got {given!r}"
            )
        drawn.append((name, len(numbers), np.full(shape, numbers[0])))
    return drawn


def stream(seed: int) -> Iterator[int]:
    """Count by an odd step and stir each count: whole numbers of 32 bits, the same in every language."""
    while True:
        seed = (seed + 0x9E3779B9) & 0xFFFFFFFF
        mixed = (seed ^ seed >> 16) * 0x85EBCA6B & 0xFFFFFFFF
        yield mixed ^ mixed >> 13


def draw(inputs: list[Drawn], numbers: Iterator[int]) -> dict[str, Traced]:
    """Draw every input once, in order."""
    return {
        name: Traced([[low + next(numbers) % count for low in row] for row in lowest.tolist()], [name])
        for name, count, lowest in inputs
    }


def answer(
    solve: Callable[..., Mapping[str, Any]], env: Mapping[str, Traced]
) -> tuple[dict[str, Traced], Answers]:
    """Let the page's function work an instance out.

    Returns:
        The steps to the right answer, and all answers.

    Raises:
        QKVError: If the function does not begin with the right answer.
        ShapeError: If a mistake does not have the shape of the right answer.
    """
    known = dict(solve(**env))
    if next(iter(known), "") != RIGHT or not isinstance(known[RIGHT], Mapping):
        raise QKVError(f"answers must begin with {RIGHT!r}: a dict of named results, got {list(known)}")
    steps = {name: Traced.of(value) for name, value in known.pop(RIGHT).items()}
    answers = {
        name: tuple(map(Traced.of, value if isinstance(value, tuple) else (value,)))
        for name, value in known.items()
    }
    return steps, answers


def alike(left: tuple[Traced, ...], right: tuple[Traced, ...], apart: float = 2 * NEAR) -> bool:
    """Tell whether nobody could tell two answers apart."""
    pairs = zip(left, right, strict=True)
    return all(bool((np.abs(a.value - b.value) < apart).all()) for a, b in pairs)


def tied(answers: Answers) -> list[list[str]]:
    """Group the answers that come out the same; those that stand alone are left out."""
    groups: list[list[str]] = []
    for name, value in answers.items():
        home = next((group for group in groups if alike(answers[group[0]], value)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return [group for group in groups if len(group) > 1]


def instance(
    solve: Callable[..., Mapping[str, Any]], inputs: list[Drawn], asked: tuple[str, ...], seed: int
) -> tuple[dict[str, Traced], dict[str, Traced], Answers]:
    """Draw until every answer is a different one.

    Args:
        solve: The page's function.
        inputs: What it is given.
        asked: Which results the reader is asked for; none means all.
        seed: From 0; the same instance for the same seed.

    Returns:
        The inputs, the steps to the right answer, and all answers.

    Raises:
        QKVError: If two answers are always the same.
        ShapeError: If a mistake does not have the shape of the right answer.
    """
    numbers = stream(seed)
    for _ in range(TRIES):
        env = draw(inputs, numbers)
        steps, wrong = answer(solve, env)
        if missing := [name for name in asked if name not in steps]:
            raise QKVError(f"asked must be among the right results = {list(steps)}, got {missing}")
        answers: Answers = {RIGHT: tuple(steps[name] for name in asked or steps), **wrong}
        shapes = [one.value.shape for one in answers[RIGHT]]
        for name, value in answers.items():
            if (got := [one.value.shape for one in value]) != shapes:
                raise ShapeError(f"{name!r} must have the shapes of the right answer = {shapes}, got {got}")
        if not (same := tied(answers)):
            return env, steps, answers
    raise QKVError(f"answers must differ in some instance, got the same for {' and '.join(same[0])}")
