"""What the page on asking shows: the numbers of the model, and words for what cannot be shown."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkvdocs import ask
from qkvdocs.models import SILENT, Encoder, read_head
from tests.project import ROOT

EXAM = "the students read the question before they answered it"


@pytest.fixture
def place(packed: Path) -> str:
    """The packed model's folder."""
    return str(packed)


def asked(place: str, **request: Any) -> dict[str, Any]:
    """Ask as the page's script does."""
    usual = {"sentence": EXAM, "layer": 3, "head": 1, "at": None, "bug": ""}
    return json.loads(
        ask.reply(json.dumps({"folder": place} | (request if "second" in request else usual | request)))
    )


def test_the_figure_has_the_recorded_weights(place: str) -> None:
    """On a recorded sentence, those of the model in float32, to a hundredth and the last digit shown."""
    for layer, head in ((3, 1), (0, 2), (4, 5)):
        record = read_head(f"{ROOT}/docs/models/minilm-{layer}-{head}.npz").record["sentences"]
        for sentence, facts in record.items():
            for at, row in enumerate(facts["pattern"]):
                found = asked(place, sentence=sentence, layer=layer, head=head, at=at)
                shown = [float(share) for share in re.findall(r"<u>([\d.]+)</u>", found["figure"])]
                assert np.abs(np.subtract(shown, row)).max() < 0.015
            assert found["words"] == facts["words"]
            assert len(found["maps"]) > layer


def test_the_word_is_the_readers_or_the_most_decided(place: str) -> None:
    """And what is said of it, and its numbers, are its own."""
    found = asked(place, at=7)
    assert found["said"] == "“they” listens most to “students”, with a share of 0.71."
    cells = re.findall(r"<td>(-?[\d.]+)</td><td>(-?[\d.]+)</td><td>(-?[\d.]+)</td>", found["numbers"])
    assert len(cells) == 32
    for query, key, product in cells:
        assert float(query) * float(key) == pytest.approx(float(product), abs=0.05)
    total = re.search(r"<td>(-?[\d.]+)</td></tr></tfoot>", found["numbers"])
    assert float(total[1]) == pytest.approx(sum(float(product) for *_, product in cells), abs=0.2)

    at, pattern = asked(place)["at"], ask._model(place).text(EXAM, 4).heads(3).pattern[1, 1:-1, 1:-1]
    others = pattern - np.diag(np.diag(pattern))
    assert others[at - 1].max() == others.max()
    assert asked(place, at=99)["at"] == at


@pytest.mark.parametrize("bug", SILENT)
def test_a_bug_is_shown_beside(place: str, bug: str) -> None:
    """In every layer: so the rows that reach a later one differ, too."""
    found = asked(place, at=7, bug=bug)
    right, wrong = re.findall(r"<li>(?:right|broken), they asks: (.*?)</li>", found["broken"])
    assert "students 0.71" in right
    assert right != wrong
    model = ask._model(place)
    wrong_text, text = model.text(EXAM, 4, bug), model.text(EXAM, 4)
    assert not np.allclose(wrong_text.rows(3), text.rows(3), atol=0.1)


def test_rows_are_those_of_the_encoder(place: str) -> None:
    """Step by step as far as asked, or all at once; the vector is their mean."""
    encoder = Encoder.open_packed(place)
    for _ in range(6):
        encoder.add_layer(place)
    text = ask.Text(encoder, EXAM)
    rows = encoder.rows(text.words)
    for layer in (2, 0, 6):
        assert np.allclose(text.rows(layer), rows[layer], atol=1e-5)
    assert np.allclose(text.vector(), rows[-1].mean(axis=0) / np.linalg.norm(rows[-1].mean(axis=0)))


def test_two_sentences(place: str) -> None:
    """Near in meaning is near in direction; a broken model finds everything near."""
    near = {"first": "the recipe needs two eggs and flour", "second": "add flour and a pair of eggs"}
    far = {"first": "the recipe needs two eggs and flour", "second": "the student reads the question"}
    alike, apart = (asked(place, **both, bug="swapped-projection")["near"] for both in (near, far))
    assert float(alike[0]) > 0.8
    assert float(apart[0]) < 0.1
    assert float(apart[1]) > 0.7
    assert len(asked(place, **far, bug="")["near"]) == 1


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (" \n", "Type a sentence first."),
        ("a " * 33, "That is 33 words; this page shows at most 32."),
        (
            "antidisestablishmentarianism " * 9,
            r"The model cuts rare words into pieces: these make \d+, and .* 48\. Leave",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(place: str, sentence: str, message: str) -> None:
    """In words for a reader."""
    assert re.match(message, asked(place, sentence=sentence)["error"])


def test_letters_that_the_model_does_not_know(place: str) -> None:
    """Are there, and markup stays text."""
    assert "[UNK]" in asked(place, sentence="ᚠᚢᚦ is old")["words"]
    found = asked(place, sentence="<img src=x onerror=alert(1)>", bug="scale")
    assert "<img" not in found["figure"] + found["numbers"] + found["broken"]


def test_the_longest_sentence_fits(place: str) -> None:
    """As many words as the page allows, and as many pieces."""
    found = asked(place, sentence="word " * ask.WORDS)
    assert len(found["words"]) == ask.WORDS + 2
    assert len(asked(place, sentence="a, " * 23)["words"]) == ask.PIECES
