"""Text becomes the pieces that BERT was trained with; `tests/parity` compares with the `tokenizers` library."""

import pytest

from qkvdocs.models import WordPieces

VOCABULARY = [
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "##a",
    "cafe",
    "play",
    "##ing",
    "ing",
    "don",
    "'",
    "t",
    "中",
    ",",
    "ß",
    "$",
]
CUT = {
    "Café": ["cafe"],
    "Cafe\u0301": ["cafe"],
    "playing": ["play", "##ing"],
    "play ing": ["play", "ing"],
    "don't": ["don", "'", "t"],
    "a,a": ["a", ",", "a"],
    "中a中": ["中", "a", "中"],
    "a\u00a0a\ta": ["a", "a", "a"],
    "a\u0000\u200b\ufffda": ["a", "##a"],
    "ß$": ["ß", "$"],
    "plays": ["[UNK]"],
    "a" * 100: ["a"] + ["##a"] * 99,
    "a" * 101: ["[UNK]"],
    "": [],
}


@pytest.mark.parametrize("text", CUT)
def test_text_is_cut(text: str) -> None:
    """Lower case, no accents, longest piece first; what has no pieces is unknown as a whole word."""
    assert WordPieces(VOCABULARY).cut(text) == ["[CLS]", *CUT[text], "[SEP]"]


def test_numbers_are_places() -> None:
    """Of the pieces in the vocabulary."""
    assert WordPieces(VOCABULARY).numbers(["[CLS]", "cafe"]) == [1, 5]
