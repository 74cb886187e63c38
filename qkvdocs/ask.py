"""A reader's own sentence, asked of a trained model: what the page on asking shows of it.

The page's script calls `reply` in the reader's browser; nothing here knows of browsers.
"""

import functools
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from qkvdocs.errors import QKVError
from qkvdocs.figures import consult, ribbons
from qkvdocs.figures._consult import shades
from qkvdocs.models import Encoder, Heads, see
from qkvdocs.numbers import even

__all__ = ["PIECES", "WORDS", "Model", "Text", "reply"]

WORDS, PIECES = 32, 48
"""The longest sentence: in words, and in the pieces that the model cuts them into."""
MARKS = {"[CLS]", "[SEP]"}
KEPT = 8
"""Texts whose rows are kept."""


class Text:
    """One sentence in one model, right or with a bug in every layer; rows are computed as far as they are asked for.

    Args:
        encoder: The model.
        sentence: The sentence.
        bug: One of `models.SILENT`; empty for none.

    Raises:
        QKVError: If the sentence is empty or too long.
    """

    def __init__(self, encoder: Encoder, sentence: str, bug: str = "") -> None:
        if not (count := len(sentence.split())):
            raise QKVError("Type a sentence first.")
        if count > WORDS:
            raise QKVError(f"That is {count} words; this page shows at most {WORDS}.")
        self.words = encoder.pieces.cut(sentence)
        """The pieces that the model reads."""
        if len(self.words) > PIECES:
            raise QKVError(
                f"The model cuts rare words into pieces: these make {len(self.words)}, and this page shows at most"
                f" {PIECES}. Leave some out."
            )
        self._encoder, self._bug = encoder, bug
        self._rows = [encoder.embed(self.words)]
        self._heads: list[Heads] = []
        self._maps: list[str] = []

    def rows(self, layer: int) -> np.ndarray:
        """Give the rows that enter a layer; behind the last, those that leave the model."""
        while len(self._rows) <= layer:
            at = len(self._rows) - 1
            self._rows.append(self._encoder.step(self._rows[at], self.heads(at).output, at))
        return self._rows[layer]

    def heads(self, layer: int) -> Heads:
        """Give what the heads of a layer compute."""
        while len(self._heads) <= layer:
            at = len(self._heads)
            self._heads.append(see(self.rows(at), self._encoder.weights[at], self._bug))
        return self._heads[layer]

    def maps(self) -> list[str]:
        """Draw the attention weights of each layer that was computed, all heads side by side."""
        self._maps += [shades(np.hstack([*heads.pattern])) for heads in self._heads[len(self._maps) :]]
        return self._maps

    def vector(self) -> np.ndarray:
        """Give the sentence's own vector: the mean of the rows that leave the last layer, of length one."""
        mean = self.rows(len(self._encoder.weights)).mean(axis=0)
        vector: np.ndarray = mean / np.linalg.norm(mean)
        return vector

    def decided(self, layer: int, head: int) -> int:
        """Find the word that listens most to a single other one; the marks around the text do not count."""
        pattern = self.heads(layer).pattern[head].copy()
        np.fill_diagonal(pattern, 0)
        marks = [word in MARKS for word in self.words]
        pattern[marks] = pattern[:, marks] = 0
        return int(pattern.max(axis=1).argmax()) if pattern.any() else 0


class Model:
    """A packed model in a folder, and the texts that were asked of it.

    Args:
        folder: Where the files of `models.pack` are; a layer's file is read when it is needed.
    """

    def __init__(self, folder: str) -> None:
        self.folder, self.encoder = Path(folder), Encoder.open_packed(folder)
        self._text = functools.lru_cache(KEPT)(functools.partial(Text, self.encoder))

    def text(self, sentence: str, layers: int, bug: str = "") -> Text:
        """Give a text, with so many layers read."""
        while len(self.encoder.weights) < layers:
            self.encoder.add_layer(self.folder)
        return self._text(sentence, bug)

    def look(self, sentence: str, layer: int, head: int, at: int | None, bug: str) -> dict[str, Any]:
        """Show one head on a sentence.

        Args:
            sentence: What was typed.
            layer: Which layer.
            head: Which head of it.
            at: The place of the word that asks; None takes the one that is most decided.
            bug: A bug to compare with; empty for none.

        Returns:
            HTML by name, the words, and the place of the word.
        """
        text = self.text(sentence, layer + 1)
        heads = text.heads(layer)
        if at is None or not 0 <= at < len(text.words):
            at = text.decided(layer, head)
        row = heads.pattern[head, at]
        asks, asked, share = text.words[at], text.words[row.argmax()], even(row.max().item())
        found: dict[str, Any] = {
            "words": text.words,
            "at": at,
            "said": f"“{asks}” listens most to “{asked}”, with a share of {share}.",
            "numbers": _numbers(text.words, heads, head, at),
        }
        title = f"layer {layer}, head {head}"
        weights, width = self.encoder.weights[layer], heads.Q.shape[-1]
        own = slice(head * width, head * width + width)
        bias = np.zeros(width) if weights.b_Q is None else weights.b_Q[own]
        found["figure"] = consult(
            text.words, Q=heads.Q[head], K=heads.K[head], V=heads.V[head], scores=heads.scores[head],
            pattern=heads.pattern[head], context=heads.context[head], at=at, name="asked", alone=True,
            made=(text.rows(layer), weights.W_Q[:, own], bias),
            caption=f"{title.capitalize()}, on your sentence, computed in your browser.",
        )  # fmt: skip
        found["maps"] = text.maps()
        if bug:
            wrong = self.text(sentence, layer + 1, bug).heads(layer).pattern[head]
            found["said"] += (
                f" Broken: to “{text.words[wrong[at].argmax()]}”, {even(wrong[at].max().item())}."
            )
            pair = {"right": heads.pattern[head], "broken": wrong}
            found["broken"] = ribbons(
                {name: (at, pattern[at], text.words) for name, pattern in pair.items()},
                caption=f"{title.capitalize()}, the same sentence, right and broken in every layer.",
            )
        return found

    def compare(self, first: str, second: str, bug: str) -> list[str]:
        """Tell how near two sentences are for the model: the cosine of their vectors, right and with the bug."""
        layers = sum(1 for _ in self.folder.glob("layer-*"))
        near = []
        for broken in ("", bug) if bug else ("",):
            left, right = (self.text(sentence, layers, broken).vector() for sentence in (first, second))
            near.append(even(float(left @ right)))
        return near


def reply(request: str) -> str:
    """Answer the page.

    Args:
        request: As JSON: `folder`, and either `first`, `second` and `bug` for `Model.compare`, or the arguments of
            `Model.look`.

    Returns:
        As JSON: what `look` gives; or `near`; or `error`, in words for the reader.
    """
    asked = json.loads(request)
    model = _model(asked.pop("folder"))
    try:
        found = {"near": model.compare(**asked)} if "second" in asked else model.look(**asked)
    except QKVError as error:
        found = {"error": str(error)}
    return json.dumps(found)


@functools.cache
def _model(folder: str) -> Model:
    return Model(folder)


def _numbers(words: list[str], heads: Heads, head: int, at: int) -> str:
    """Write out the query, the key that fits best, and their products, cell by cell."""
    to = int(heads.pattern[head, at].argmax())
    query, key = heads.Q[head, at], heads.K[head, to]
    products = query * key
    cells = "".join(
        f"<tr><th scope=row>{cell}</th>"
        + "".join(f"<td>{even(number.item())}</td>" for number in numbers)
        + "</tr>"
        for cell, numbers in enumerate(zip(query, key, products, strict=True))
    )
    asks, offers = (
        f'<b class="{role}">{escape(word)}</b>' for role, word in (("q", words[at]), ("k", words[to]))
    )
    return (
        f"<table><thead><tr><th scope=col>number</th><th scope=col>query of {asks}</th>"
        f"<th scope=col>key of {offers}</th><th scope=col>product</th></tr></thead><tbody>{cells}</tbody>"
        f"<tfoot><tr><th scope=row colspan=3>sum</th><td>{even(products.sum().item())}</td></tr></tfoot></table>"
    )
