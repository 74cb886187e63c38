"""A model in memory is found by what reads files; tests/parity examines whole ones."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import assert_healthy, examine_model
from qkvdocs.clinic._model import attentions_of
from qkvdocs.core import attend, causal_mask, merge_heads, split_heads
from qkvdocs.errors import ContractError
from qkvdocs.wild import Checkpoint, read
from tests.wild.conftest import FIXTURES


class Model:
    """As much of a loaded model as the clinic asks for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.config = self

    def to_dict(self) -> dict[str, object]:
        """Give the config."""
        return dict(self.checkpoint.config)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Give the tensors."""
        return {name: self.checkpoint[name] for name in self.checkpoint}


def test_a_model_in_memory_is_found_as_its_file_is() -> None:
    """The same modules, planned the same way, with the same weights."""
    file = read(FIXTURES / "bert")
    found = attentions_of(Model(file.checkpoint))
    assert found.plans == file.plans
    assert found.refused == file.refused == {}
    for path in file:
        assert (found[path].W_K == file[path].W_K).all()


class Linear:
    """A layer as torch has it."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.weight = np.random.default_rng(n_out).normal(size=(n_out, n_in)) / n_in**0.5

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Project."""
        made: np.ndarray = x @ self.weight.T
        return made


class Small:
    """Attention as nanoGPT has it, with numpy alone."""

    def __init__(self, order: str = "qkv", broken: bool = False) -> None:
        self.n_head, self.order, self.broken = 4, order, broken
        self.c_attn, self.c_proj = Linear(32, 96), Linear(32, 32)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Give the tensors."""
        return {"c_attn.weight": self.c_attn.weight, "c_proj.weight": self.c_proj.weight}

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """Give itself."""
        yield "", self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Attend."""
        if self.broken:
            raise RuntimeError("no")
        parts = dict(zip(self.order, np.split(self.c_attn(x), 3, axis=-1), strict=True))
        q, k, v = (split_heads(parts[role], 4) for role in "qkv")
        n = x.shape[1]
        return self.c_proj(merge_heads(attend(q, k, v, causal_mask(n, n)).context))


def test_a_model_of_numpy_is_examined() -> None:
    """Whatever behaves like a module is one."""
    assert assert_healthy(Small()).tried
    with pytest.raises(AssertionError, match="swapped-projection"):
        assert_healthy(Small("qvk"))


def test_a_model_that_cannot_be_called_is_not_healthy() -> None:
    """Nothing was tried, so nothing was found."""
    told = "must have an attention module that can be examined, got none"
    with pytest.raises(ContractError, match=rf"{told}\. .*no"):
        examine_model(Small(broken=True))
    with pytest.raises(ContractError, match=told):
        assert_healthy(Named())


class Named(Model):
    """A model of which only names and weights are there."""

    def __init__(self) -> None:
        super().__init__(Checkpoint(FIXTURES / "bert"))

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """Give nothing."""
        return iter(())


def test_torch_is_never_imported() -> None:
    """Not by the clinic, nor by examining a model of numpy."""
    code = (
        "import sys; from tests.clinic.test_model import Small; from qkvdocs.clinic import assert_healthy; "
        "assert_healthy(Small()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
