"""The recorded heads are those that the code asks for, unchanged, and give the weights that the models had."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from qkvdocs.errors import CheckpointError, QKVError
from qkvdocs.models import read_head
from tests.models.record import CARDS, DOCS, HEADS, PINNED, PINS, REPORTS, Wanted, hollow, printed

LIMIT = 1e-3
"""What float16 may change of an attention weight."""
IDS = [wanted.file.stem for wanted in HEADS]


def test_nothing_else_is_recorded() -> None:
    """Each file belongs to a head of the list."""
    assert {path.stem for path in DOCS.glob("*.npz")} == set(IDS)


@pytest.mark.parametrize("wanted", HEADS, ids=IDS)
def test_the_record_is_what_the_code_asks_for(wanted: Wanted) -> None:
    """The same model, head and sentences, from the pinned file, within its budget."""
    record, card, pin = read_head(wanted.file).record, CARDS[wanted.model], PINNED[wanted.model]
    assert (record["layer"], record["head"]) == (wanted.layer, wanted.head)
    assert {**record, **card} == record
    assert (record["package"], record["file"], record["file_sha256"]) == (pin.package, pin.member, pin.sha256)
    assert tuple(record["sentences"]) == wanted.sentences
    assert tuple(record["weights_of"]) == wanted.weights_of
    assert wanted.file.stat().st_size <= wanted.most


@pytest.mark.parametrize("wanted", HEADS, ids=IDS)
def test_the_head_gives_what_the_model_had(wanted: Wanted) -> None:
    """Weights worked out from the float16 slices against those that the whole model had in float32."""
    head = read_head(wanted.file)
    for sentence, told in head.record["sentences"].items():
        look = head.look(sentence)
        assert look.words == told["words"]
        assert np.abs(look.pattern - np.array(told["pattern"])).max() < LIMIT
        assert len(look.X) == len(look.words)
    assert head.record["moved"] < LIMIT


@pytest.mark.parametrize("wanted", HEADS, ids=IDS)
def test_a_look_is_what_the_formula_says(wanted: Wanted) -> None:
    """One row, from X to the context, in float64 and without `core`."""
    head = read_head(wanted.file)
    sentence = head.sentences[0]
    look, w = head.look(sentence), head.weights
    X = look.X.astype(float)
    Q, K, V = (
        X @ getattr(w, f"W_{r}") + (0 if getattr(w, f"b_{r}") is None else getattr(w, f"b_{r}"))
        for r in "QKV"
    )
    if base := head.record["rotary_base"]:
        angles = np.arange(len(X))[:, None] * base ** (-np.arange(0, w.d_head, 2) / w.d_head)
        cos, sin = np.cos(angles), np.sin(angles)
        for rows in (Q, K):
            even, odd = rows[:, 0::2].copy(), rows[:, 1::2].copy()
            rows[:, 0::2], rows[:, 1::2] = even * cos - odd * sin, even * sin + odd * cos
    at = len(X) - 2
    seen = at + 1 if head.record["causal"] else len(X)
    scores = np.array([sum(Q[at] * K[j]) for j in range(seen)]) / np.sqrt(w.d_head)
    raised = np.exp(scores - scores.max())
    assert look.scores[at, :seen] == pytest.approx(scores, rel=1e-3, abs=1e-3)
    assert look.pattern[at, :seen] == pytest.approx(raised / raised.sum(), abs=1e-4)
    assert look.pattern[at, seen:] == pytest.approx(0)
    mixed = sum(raised[j] / raised.sum() * V[j] for j in range(seen))
    assert look.context[at] == pytest.approx(mixed, rel=1e-3, abs=1e-3)


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    """A byte is enough."""
    for suffix in (".npz", ".json"):
        shutil.copy(HEADS[0].file.with_suffix(suffix), tmp_path)
    file = tmp_path / HEADS[0].file.name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    told = json.loads(file.with_suffix(".json").read_bytes())["sha256"]
    with pytest.raises(
        CheckpointError, match=rf"^minilm-3-1.npz must have sha256 {told}, got \w+. Run make heads$"
    ):
        read_head(file)


def test_only_recorded_sentences_can_be_looked_at() -> None:
    """The file holds rows, no model."""
    head = read_head(HEADS[0].file)
    with pytest.raises(
        QKVError, match=f"^{re.escape(f'sentence must be one of {head.sentences}, got ')}'another'$"
    ):
        head.look("another")


@pytest.mark.parametrize("model", CARDS)
def test_the_reports_are_what_the_command_prints(model: str, tmp_path: Path) -> None:
    """Of files with the recorded names, kinds and shapes: the command reads nothing else."""
    told = json.loads(REPORTS.read_bytes())[model]
    assert printed(hollow(told, tmp_path)) == told["printed"]
    told["config"]["num_attention_heads"] //= 3
    assert printed(hollow(told, tmp_path)) != told["printed"]


def test_the_licence_is_shipped() -> None:
    """The text that came with a package."""
    assert PINS[2].refuse((DOCS / "apache-2.0.txt").read_bytes())
