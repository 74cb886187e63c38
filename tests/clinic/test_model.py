"""A model in memory is found by what reads files; tests/parity examines whole ones."""

import numpy as np

from qkvdocs.clinic._model import attentions_of
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
