"""What lesson 03 shows of torch's masks is what torch does today."""

import json

import numpy as np
import pytest
import torch

from tests.parity import masks


def test_the_recording_is_current(record: bool) -> None:
    """All of it but the day; with --record, it is written first."""
    fresh = masks.measurements()
    if record:
        masks.write(fresh)
    kept = json.loads(masks.FILE.read_text("utf-8"))

    assert {**kept, "date": "", "python": ""} == {**fresh, "date": "", "python": ""}


@pytest.mark.parametrize("kind", ["may attend", "blocked", "neither"])
def test_the_question_tells_the_answers_apart(kind: str) -> None:
    """Asked of attention whose polarity is known, it says so."""

    def known(x: torch.Tensor, values: torch.Tensor, attn_mask: torch.Tensor) -> torch.Tensor:
        mask = {"may attend": attn_mask, "blocked": ~attn_mask, "neither": torch.ones_like(attn_mask)}[kind]
        return torch.softmax((x @ x.T).masked_fill(~mask, -torch.inf), dim=-1).nan_to_num() @ values

    table = torch.from_numpy(np.tri(masks.KEYS, dtype=bool))
    assert masks.meaning(known, "attn_mask", table) == kind
