"""An exercise that checks itself in the page, by `assets/qkv-practice.js`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from json import dumps
from re import fullmatch, sub
from typing import Any

import numpy as np

from qkvdocs.errors import QKVError
from qkvdocs.figures._matrix import Matrix, check_labels, pretty, table
from qkvdocs.figures._practice import RIGHT, instance, read
from qkvdocs.figures._traced import Recipe, Traced, shorten
from qkvdocs.figures._words import entry, product
from qkvdocs.numbers import factor, fmt, relation

__all__ = ["exercise"]

SIGNS = {"@": "×", "+": "+", "-": "-", "*": "·", "/": "/", "<=": "≤"}
BUTTONS = '<button>Check</button> <button type="button" name="new">New numbers</button>'
UNCHECKED = (
    "<noscript><p>Without JavaScript nothing checks these fields; the answer unfolds below.</p></noscript>"
)
OWN = ' <button type="button" name="own">My own matrices</button>'


def exercise(
    answers: Callable[..., Mapping[str, Any]],
    mistakes: Mapping[str, str],
    *,
    task: str,
    asked: Sequence[str] = (),
    columns: Sequence[str] = (),
    ticks: bool = False,
    own: bool = False,
    hint: str = "Another mistake: go through it entry by entry.",
    after: str = "",
    seed: int = 1,
    name: str = "practice",
    **inputs: Any,
) -> str:
    """Set an exercise that knows the usual mistakes.

    Python writes one instance, with its answer behind a fold; that needs no JavaScript. With it, the reader's
    answer is checked in the page, a mistake is called by its name, and there are always new numbers, or the
    reader's own.

    Args:
        answers: The page's function. From the inputs, matrices all, it gives a dict: `"right"` first, itself
            a dict of named results, each made of those before it; then, for each mistake, what is asked for as
            it comes out then. It may use `@ + - * / <= >=`, `abs`, `.T`, `.reshape` and slices.
        mistakes: For each mistake, what was done, in a sentence.
        task: What to do, as HTML, with inputs in braces where they stand in a sentence. The others are shown
            as matrices.
        asked: Which results the reader works out; all, if left out.
        columns: Labels above the entries that are asked for.
        ticks: Whether entries are ticked, one where it holds and zero elsewhere, instead of written.
        own: Whether readers may bring matrices of their own.
        hint: What to say to an answer that nobody knows.
        after: HTML below the answer.
        seed: Of the instance that is built.
        name: Its name in the page's address, where the seed stands: `?practice=17`.
        **inputs: What is drawn, in order: `range(low, end)` for a number, `((rows, columns), range(low, end))`
            for a matrix; an array is as it is.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If a mistake does not have the shape of the right answer.
        QKVError: If mistakes and answers do not go together, or two answers cannot be told apart.

    Examples:
        >>> html = exercise(
        ...     lambda x, W: {"right": {"y": x @ W}, "rows for columns": x @ W.T},
        ...     {"rows for columns": "Each entry took a row of W instead of a column."},
        ...     task="Work out y = xW.", x=((1, 2), range(1, 4)), W=((2, 2), range(4)))
        >>> "rows for columns" in html, "y_0 = " in html
        (True, True)
    """
    drawn = read(inputs)
    if not fullmatch(r"[a-z][a-z0-9-]*", name):
        raise QKVError(f"name must be lower-case letters, digits and hyphens, got {name!r}")
    given, right, known = instance(answers, drawn, tuple(asked), seed)
    asked = asked or tuple(right)
    wrong = {key: value for key, value in known.items() if key != RIGHT}
    if wrong.keys() != mistakes.keys():
        raise QKVError(f"mistakes must be those of answers = {list(wrong)}, got {list(mistakes)}")
    steps: dict[str, Recipe] = {}
    for key, step in right.items():
        steps[key] = shorten(step.recipe, steps)
    plan = {
        "seed": seed,
        "ticks": ticks,
        "draw": [[key, count, lowest.tolist()] for key, count, lowest in drawn],
        "steps": list(steps.items()),
        "known": [["the right answer", "", [[key] for key in asked]]]
        + [[key, mistakes[key], [shorten(one.recipe, steps) for one in wrong[key]]] for key in wrong],
        "hint": hint,
    }
    said, tables = _given(task, given)
    boxes = "".join(_boxes(key, right[key].value.shape, columns, ticks=ticks) for key in asked)
    worked = "".join(
        _worked(key, step, steps[key], columns if ticks or key in asked else (), ticks=ticks)
        for key, step in right.items()
    )
    return (
        f'<div><qkv-practice id="{name}" class="qkv" data-plan="{escape(dumps(plan, separators=(",", ":")))}">'
        f"<p>{said}</p>{tables}"
        f'<form><div class="qkv-row">{boxes}</div><div class="qkv-bar">{BUTTONS}{OWN if own else ""}</div>'
        f'{UNCHECKED}<p role="status" class="qkv-verdict"></p></form>'
        f'<details class="qkv-answer"><summary>Unfold when you have your own answer</summary>{worked}{after}</details>'
        "</qkv-practice></div>"
    )


def _given(task: str, given: Mapping[str, Traced]) -> tuple[str, str]:
    """Put inputs where the task names them, and the others into tables."""
    inline = set()

    def value_of(key: str) -> str:
        if key not in given or given[key].value.size > 1:
            raise QKVError(f"task must name a single number of {', '.join(given)} in braces, got {{{key}}}")
        inline.add(key)
        return f'<span data-py="{key}">{fmt(given[key].value.item())}</span>'

    said = sub(r"\{(\w+)\}", lambda found: value_of(found[1]), task)
    tables = ""
    for key, one in given.items():
        if key not in inline:
            matrix = Matrix(key, one.value)
            tables += table(matrix, "given", attributes=partial(_named, matrix))
    return said, f'<div class="qkv-row">{tables}</div>' if tables else ""


def _named(matrix: Matrix, row: int, column: int) -> str:
    return f' data-name="{entry(matrix.name, row, column, matrix.shape)}"'


def _boxes(name: str, shape: tuple[int, ...], labels: Sequence[str], *, ticks: bool) -> str:
    """Write a table of empty fields."""
    rows, columns = shape
    check_labels(f"columns of {name}", labels, columns)
    kind = 'type="checkbox" value=""' if ticks else 'autocomplete="off"'
    fields = (
        f'<input {kind} aria-label="{escape(_label(name, i, j, shape, labels))}">'
        for i, j in np.ndindex(rows, columns)
    )
    blank = Matrix(name, np.zeros(shape), columns=labels)
    return table(blank, "asked", write=lambda _: next(fields))


def _label(name: str, row: int, column: int, shape: tuple[int, ...], labels: Sequence[str]) -> str:
    return labels[column] if labels else entry(name, row, column, (shape[0], shape[1]))


def _worked(name: str, step: Traced, recipe: Recipe, labels: Sequence[str], *, ticks: bool) -> str:
    """Write a step of the right answer, and how each of its entries came about."""
    said = ""
    for (i, j), value in np.ndenumerate(step.value):
        label = _label(name, i, j, step.value.shape, labels)
        how = ("no", "yes")[int(value)] if ticks else _say(label, step, i, j)
        said += f"<li>{escape(label)}{':' if ticks else ' ='} <b>{how}</b></li>"
    formula = "" if ticks else _formula(recipe)
    title = f"{pretty(name)}{formula and f' = {formula}'}"
    return f'<p>{title}</p><ul class="qkv-sums{" qkv-ticks" if ticks else ""}">{said}</ul>'


def _say(label: str, step: Traced, i: int, j: int) -> str:
    """Say an entry, with its sum where one operation made it."""
    value = step.value[i, j].item()
    if not step.made:
        return fmt(value)
    sign, left, right = step.made
    if sign == "@":
        return product(label, left[i].tolist(), right[:, j].tolist(), value).removeprefix(f"{label} = ")
    a, b = (np.broadcast_to(side, step.value.shape)[i, j].item() for side in (left, right))
    return f"{fmt(a)} {SIGNS[sign]} {factor(b)} {relation(value)} {fmt(value)}"


def _formula(recipe: Recipe) -> str:
    """Write a recipe of one operation as a formula, and no other."""
    match recipe:
        case [str(left), str(right), str(sign)] if sign in SIGNS:
            return f"{pretty(left)} {SIGNS[sign]} {pretty(right)}"
        case [str(left), float(right), str(sign)] if sign in SIGNS:
            return f"{pretty(left)} {SIGNS[sign]} {fmt(right)}"
        case [str(left), str(right), [*places], "pick", "@"] if _turned(places):
            return f"{pretty(left)} × {pretty(right)}<sup>T</sup>"
    return ""


def _turned(places: list[Any]) -> bool:
    """Tell whether entries are taken so that the matrix is transposed."""
    return bool((np.ravel(np.transpose(places)) == np.arange(np.size(places))).all())
