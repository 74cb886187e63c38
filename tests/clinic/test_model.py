"""A model in memory is found by what reads files; tests/parity examines whole ones."""

import numpy as np

from qkvdocs.clinic._model import Memory, attentions_of
from qkvdocs.wild import Checkpoint
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
    """The same modules, cut the same way; whatever a checkpoint knows, this stand-in knows."""
    checkpoint = Checkpoint(FIXTURES / "bert")
    model = Model(checkpoint)
    found = attentions_of(model)
    assert found.plans
    assert not found.refused
    assert set(vars(checkpoint)) - {"address"} <= set(vars(Memory(model.state_dict(), checkpoint.config)))
