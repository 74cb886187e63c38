"""The main claim: what `wild.read` takes from a file is what the model multiplies with."""

from pathlib import Path

import pytest
import torch

from tests.parity.capture import capture
from tests.parity.compare import LIMITS, compare, worst
from tests.parity.families import EXTRA, FAMILIES, Family

OVERFLOWS = {"xglm": "transformers itself overflows in float64"}


@pytest.mark.parametrize("family", [*FAMILIES, *EXTRA], ids=lambda family: family.name)
def test_float32(family: Family, tmp_path: Path) -> None:
    """q, k, v, the attention weights and the output agree with the library's own operands."""
    errors = compare(capture(family, tmp_path))
    assert worst(errors) <= LIMITS["float32"], errors


@pytest.mark.parametrize(
    "family", [f for f in [*FAMILIES, *EXTRA] if f.name not in OVERFLOWS], ids=lambda f: f.name
)
def test_float64(family: Family, tmp_path: Path) -> None:
    """In double precision the error shrinks, unless the library itself falls back to float32."""
    errors = compare(capture(family, tmp_path, torch.float64))
    assert worst(errors) <= LIMITS["float64"], errors
