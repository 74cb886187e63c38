"""What is large by nature: a tenth of it in each run of the tests, all of it by `make evaluate`."""

import os
from collections.abc import Iterable
from typing import TypeVar

WHOLE = os.environ.get("QKVDOCS_WHOLE") == "1"
Case = TypeVar("Case")


def tenth(cases: Iterable[Case]) -> list[Case]:
    """Take every tenth case; all of them where everything is asked for."""
    return [*cases][:: 1 if WHOLE else 10]


def times(number: int) -> int:
    """Take a tenth of a number of draws; all of them where everything is asked for."""
    return number if WHOLE else -(-number // 10)
