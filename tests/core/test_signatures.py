"""Shapes stand in the signatures, and the test run executes them."""

import functools
import inspect

import numpy as np
import pytest
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

from qkvdocs import core
from qkvdocs.errors import ShapeError

FUNCTIONS = [getattr(core, name) for name in core.__all__ if inspect.isfunction(getattr(core, name))]


def test_public_names_are_sorted_and_documented():
    """`__all__` is the whole list, in order, each name with its docstring."""
    assert core.__all__ == sorted(core.__all__)
    assert all(inspect.getdoc(getattr(core, name)) for name in core.__all__)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_signatures_are_executed(function):
    """The import hook has wrapped each public function, so its annotations are checked at each call."""
    assert inspect.unwrap(function) is not function


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (core.project_qkv, (np.ones((3, 4)), *[np.ones((4, 2))] * 3)),
        (core.split_heads, (np.ones((3, 4)), 2)),
        (core.attention_scores, (np.ones((3, 4)), np.ones((2, 4)))),
        (core.softmax, (np.ones((3, 4)),)),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_wrong_result_shape_bites(function, arguments):
    """The axes of the arguments bind those of the result: a function that returns a row too few is caught."""
    right = inspect.unwrap(function)

    @functools.wraps(right)
    def wrong(*args):
        result = right(*args)
        return tuple(part[:-1] for part in result) if isinstance(result, tuple) else result[:-1]

    assert jaxtyped(right, typechecker=beartype)(*arguments) is not None
    with pytest.raises(TypeCheckError, match="checking the return value"):
        jaxtyped(wrong, typechecker=beartype)(*arguments)


def test_our_message_comes_first():
    """A wrong array meets our own error, with or without the hook."""
    with pytest.raises(ShapeError):
        core.split_heads(np.ones(3), 1)
