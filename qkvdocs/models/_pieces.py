"""BERT's word pieces: lower case, no accents, words cut into the longest pieces that the vocabulary holds."""

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

LONGEST = 100
"""Letters of a word; a longer one is unknown, as in BERT's own code."""
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Ranges whose letters are words of their own."""


class WordPieces:
    """Cut text into word pieces and number them.

    Text that looks like a special token, such as `[CLS]`, is cut like any other text.

    Args:
        vocabulary: The pieces in the order of their numbers; `##` marks one that goes on inside a word.

    Source:
        Devlin et al. 2018, "BERT", section 3, and its published `tokenization.py`.

    Examples:
        >>> pieces = WordPieces(["[UNK]", "[CLS]", "[SEP]", "cafe", "play", "##ing", "!"])
        >>> pieces.cut("Playing, Café!")
        ['[CLS]', 'play', '##ing', '[UNK]', 'cafe', '!', '[SEP]']
        >>> pieces.numbers(["play", "##ing"])
        [4, 5]
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._places = {piece: number for number, piece in enumerate(vocabulary)}

    def cut(self, text: str) -> list[str]:
        """Cut a text, with `[CLS]` before and `[SEP]` after it."""
        return ["[CLS]", *(piece for word in _words(text) for piece in self._pieces(word)), "[SEP]"]

    def numbers(self, pieces: Iterable[str]) -> list[int]:
        """Look up the number of each piece."""
        return [self._places[piece] for piece in pieces]

    def _pieces(self, word: str) -> list[str]:
        found: list[str] = []
        start = 0
        while start < len(word):
            stops = range(len(word), start, -1)
            tries = (f"{'##' if start else ''}{word[start:stop]}" for stop in stops)
            piece = next((piece for piece in tries if piece in self._places), "")
            if not piece or len(word) > LONGEST:
                return ["[UNK]"]
            found.append(piece)
            start += len(piece) - 2 * bool(start)
        return found


def _words(text: str) -> Iterator[str]:
    """Split at blanks; punctuation and ideographs stand alone."""
    clean = "".join(" " if _blank(c) else c for c in text if _blank(c) or not _control(c))
    clean = "".join(f" {c} " if _ideograph(c) else c for c in clean.replace("\ufffd", ""))
    bare = (c for c in unicodedata.normalize("NFD", clean) if unicodedata.category(c) != "Mn")
    for word in "".join(c.lower() for c in bare).split():
        for alone, letters in groupby(word, _punctuation):
            part = "".join(letters)
            yield from part if alone else [part]


def _blank(c: str) -> bool:
    return c in "\t\n\r" or unicodedata.category(c)[0] == "Z"


def _control(c: str) -> bool:
    # An unassigned code is kept: it may be a letter of a later Unicode.
    return unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"}


def _ideograph(c: str) -> bool:
    return any(low <= ord(c) <= high for low, high in IDEOGRAPHS)


def _punctuation(c: str) -> bool:
    # Signs such as $ and ^ count, though Unicode does not call them punctuation.
    return c in "$+<=>^`|~" or unicodedata.category(c)[0] == "P"
