"""What lesson 03 shows of torch's masks is what torch does today."""

import json

import numpy as np
import pytest
import torch

from tests.parity import masks, patterns


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


def test_a_window_of_another_width_is_seen() -> None:
    """The question about rules would notice a mask that differs in one key."""
    narrow = patterns.seen(
        patterns.by_rule, lambda batch, head, i, j: (j <= i) & (i - j < patterns.WINDOW - 1)
    )
    kept = json.loads(masks.FILE.read_text("utf-8"))["patterns"]["sliding"]["flex_attention"]
    assert [row.count("1") for row in narrow] == [1, 2, 2, 2, 2, 2] != [row.count("1") for row in kept]
