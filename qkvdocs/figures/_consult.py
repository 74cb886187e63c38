"""One sentence in one head: a word asks, all words answer, and it takes home a mixture. It needs no script."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from zlib import compress, crc32

import numpy as np
from numpy.typing import ArrayLike

from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures import _words
from qkvdocs.figures._frame import check_name, frame
from qkvdocs.figures._ribbons import MANY, NOTHING, by_weight, evens, heard, ribbon, shares
from qkvdocs.numbers import even, factor

__all__ = ["consult"]

LEVELS, TERMS = 15, 4
"""Shades of an entry besides nothing, and how many products of a score are written out."""
DEEP = 60
"""Part of a line, in hundredths, that a ribbon of weight one fills."""
ASK = "Pick a word: whom does it listen to?"
HEADS = '<span class="row"><b></b> <b class="k">key</b> <s>fit</s> <u>share</u> <b class="v">value</b></span>'
LEAST = 0.02
"""The thinnest ribbon that can be seen."""


def consult(
    words: Sequence[str],
    *,
    Q: ArrayLike,
    K: ArrayLike,
    V: ArrayLike,
    scores: ArrayLike,
    pattern: ArrayLike,
    context: ArrayLike,
    at: int,
    name: str,
    asking: Sequence[int] = (),
    made: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    alone: bool = False,
    caption: str = "",
) -> str:
    """Let a reader pick a word of a sentence and see whom it asks, in one attention head.

    Each word has its query, its key and its value as strips of shades, a cell for each entry: coloured where
    the entry is above 0, grey where it is below, the stronger the larger. For the picked word there are a
    ribbon to each word, as thick as its weight, the scores, the weights, how the largest came about, and what
    it takes home.

    Args:
        words: The words, at most 48.
        Q: Queries, shape `(words, d_head)`.
        K: Keys, shape `(words, d_head)`.
        V: Values, shape `(words, d_value)`.
        scores: Scaled dot products, shape `(words, words)`.
        pattern: Attention weights, shape `(words, words)`.
        context: What each word takes home, shape `(words, d_value)`.
        at: The place of the word that is picked at first.
        asking: The places of the words that can be picked; all if empty.
        made: What made the queries: the rows X of shape `(words, d_model)`, W_Q of shape `(d_model, d_head)` and
            b_Q of shape `(d_head,)`. Then one entry of the picked word's query is worked out.
        alone: Whether only the word at `at` has its answers, for a script that draws the figure anew for each.
        name: Its name on the page; no other figure there may have it.
        caption: HTML of the caption; how to read the strips follows it.

    Returns:
        HTML for a fence with `html="on"`.

    Raises:
        ShapeError: If arrays do not fit to the words.
        DTypeError: If an entry is not a finite number.
        QKVError: If a row of weights is no shares of one, a query, a score or a mixture is not what it is said to be,
            a place is not that of a word, or the name is none.

    Examples:
        >>> from qkvdocs.core import attend
        >>> Q = K = V = np.eye(2)
        >>> context, pattern, scores = attend(Q, K, V)
        >>> html = consult(["cat", "it"], Q=Q, K=K, V=V, scores=scores, pattern=pattern, context=context,
        ...                at=1, name="two")
        >>> "it asks: it 0.67, cat 0.33" in html
        True
    """
    n = len(words)
    given = {"Q": Q, "K": K, "V": V, "scores": scores, "pattern": pattern, "context": context}
    q, k, v, s, p, c = (_rows(label, values, n) for label, values in given.items())
    if q.shape != k.shape or v.shape != c.shape or s.shape != (n, n):
        shapes = ", ".join(f"{label} {np.shape(values)}" for label, values in given.items())
        raise ShapeError(f"Q must fit K, V the context, scores the words = {n}, got {shapes}")
    asking = asking or range(n)
    if at not in asking or not {*asking} <= {*range(n)}:
        raise QKVError(f"at must be in asking, places of words from 0 to {n - 1}, got {at} and {[*asking]}")
    check_name(name)
    if not np.allclose(p @ v, c, rtol=1e-3, atol=1e-3 * max(1, np.abs(v).max())):
        raise QKVError("context must be the values mixed by the pattern")
    if made:
        X, W, b = (np.asarray(part, dtype=float) for part in made)
        if not np.allclose(X @ W + b, q, rtol=1e-3, atol=1e-3 * np.abs(q).max()):
            raise QKVError("made must be X, W_Q and b_Q with Q = X W_Q + b_Q")
    parts, said = "", ""
    for line, i in enumerate(asking):
        word, row = words[i], evens(shares(words[i], p[i], n))
        order = by_weight(row)
        most = order[0]
        said += f"<li>{escape(word)} asks: {heard(words, row)}</li>"
        picked = " checked" if i == at else ""
        parts += (
            f'<label>{_strip("q", i)}<input type="radio" name="{name}"{picked}><b>{escape(word)}</b></label>'
        )
        if alone and not picked:
            continue
        worked = _made(word, X[i], W, b, np.abs(q[i] * k[most]).argmax().item()) if made else ""
        worked += _sum((word, i), (words[most], most), q[i], k[most], s[i, most], row[most])
        parts += (
            f'<div class="answers">{_ribbons(line, row)}<ul>{_answers(words, s[i], row)}</ul></div>'
            f'<div class="home">{worked}'
            + _line(
                '<b class="v">value</b>', f"taken home: {_strip('v c', i)} ≈ {_mixture(words, row, order)}"
            )
            + "</div>"
        )
    largest, asked = max(np.abs(v).max(), np.abs(c).max()), np.isin(range(n), asking)[:, None]
    sprites = "".join(
        f"--{role}:url({_sprite(rows, top)});"
        for role, rows, top in (
            ("q", q * asked, np.abs(q).max()),
            ("k", k, np.abs(k).max()),
            ("v", v, largest),
            ("c", c * asked, largest),
        )
    )
    body = (
        f'<p class="qkv-hint">{ASK}</p>'
        f'<div class="qkv-body" role="radiogroup" aria-label="{ASK}" style="--n:{n};{sprites}">'
        f'<p class="heads"><span class="q">query</span> <span class="answers"><span></span> {HEADS}</span></p>'
        f"{parts}</div>"
    )
    if made:
        queries, keys, values = map(_learned, "qkv")
        caption += f" {keys} makes the keys and {values} the values as {queries} makes the queries."
    caption = (
        f"{caption} Each strip is a card of {q.shape[1]} numbers, a cell each: in its upper half where the number is"
        " above 0, in its lower half where it is below, the stronger the larger. The thicker a ribbon, the larger"
        " the share at its end."
    ).strip()
    return f'<div class="qkv">{frame(body, caption, f"<ul>{said}</ul>", "qkv-consult")}</div>'


def _rows(label: str, values: ArrayLike, count: int) -> np.ndarray:
    rows = np.asarray(values)
    if rows.dtype.kind not in "iuf" or not np.isfinite(rows).all():
        raise DTypeError(f"{label} must hold finite real numbers, got {rows.dtype}")
    if rows.ndim != 2 or len(rows) != count or not 1 <= count <= MANY or not rows.size:
        raise ShapeError(f"{label} must have a row for each word = {count}, at most {MANY}, got {rows.shape}")
    return rows.astype(float)


def _sprite(rows: np.ndarray, top: float) -> str:
    """Draw how strong each entry is, rows of entries above 0 first, then those below, as a PNG of shades alone."""
    return shades(np.vstack([rows.clip(0), (-rows).clip(0)]) / (top or 1))


def shades(strong: np.ndarray) -> str:
    """Draw numbers of 0 to 1 as a PNG, the larger the more opaque: an address for a style sheet."""
    levels = np.rint(strong * LEVELS).astype(np.uint8)
    height, width = levels.shape
    if width % 2:
        levels = np.hstack([levels, np.zeros((height, 1), np.uint8)])
    packed = levels[:, ::2] << 4 | levels[:, 1::2]
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    head = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)  # four bits that choose from a palette
    alphas = bytes(round(255 * level / LEVELS) for level in range(LEVELS + 1))
    chunks = (
        (b"IHDR", head),
        (b"PLTE", bytes(3 * (LEVELS + 1))),
        (b"tRNS", alphas),
        (b"IDAT", compress(lines, 9)),
    )
    data = b"".join(_chunk(kind, part) for kind, part in (*chunks, (b"IEND", b"")))
    return f"data:image/png;base64,{b64encode(bytes.fromhex('89504e470d0a1a0a') + data).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


def _ribbons(line: int, row: Sequence[str]) -> str:
    """Draw them over lines of height 100, as wide as the page leaves room; they begin at the line of who asks."""
    weights = [float(text) * DEEP for text in row]
    begin, drawn = line * 100 + 50 - sum(weights) / 2, ""
    for j, weight in enumerate(weights):
        if weight >= LEAST * DEEP:
            path = ribbon(begin, j * 100 + 50 - weight / 2, weight, left=0, right=100, digits=0)
            drawn += f'<path d="{path}"></path>'
        begin += weight
    return (
        f'<svg viewBox="0 0 100 {100 * len(row)}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
    )


def _answers(words: Sequence[str], scores: np.ndarray, row: Sequence[str]) -> str:
    most = max(row, key=float)

    def look(text: str) -> str:
        return " passed" if text == NOTHING else f'{" most" if text == most else ""}" style="--w:{text}'

    return "".join(
        f'<li class="row{look(text)}"><b>{escape(word)}</b> {_strip("k", j)} <s>{score}</s> <u>{text}</u>'
        f" {_strip('v', j)}</li>"
        for j, (word, score, text) in enumerate(zip(words, evens(scores, 1), row, strict=True))
    )


def _line(head: str, said: str) -> str:
    """Say something of a column of the picture, beside its name."""
    return f"<p>{head} <span>{said}</span></p>"


def _learned(name: str) -> str:
    return f'<b class="{name}">W<sub>{name.upper()}</sub></b>'


def _strip(role: str, at: int) -> str:
    return f'<i class="{role}" style="--at:{at}"></i>'


def _sum(
    asks: tuple[str, int],
    offers: tuple[str, int],
    query: np.ndarray,
    key: np.ndarray,
    score: float,
    weight: str,
) -> str:
    """Say how the largest weight came about: products, largest first, the root, and the share."""
    total, root = (query * key).sum().item(), len(query)
    _words.scaled(offers[0], total, root, score)
    names = " · ".join(
        f'<b class="{role}">{escape(word)}</b> {_strip(role, at)}'
        for role, (word, at) in (("q", asks), ("k", offers))
    )
    return _line(
        "<b>fit</b>",
        f"{names}, cell by cell, added up: {_products(query, key)}, ≈ {even(total, 1)}; that by √{root}, for cards of"
        f" {root} numbers, ≈ {even(score, 1)}",
    ) + _line("<b>share</b>", f"softmax raises e to each fit and divides by the sum of all: {weight}")


def _products(a: np.ndarray, b: np.ndarray, digits: int = 1) -> str:
    """Write out the largest products of two rows, and what the others come to."""
    terms = a * b
    first = np.argsort(-np.abs(terms), kind="stable")[:TERMS]
    shown = " + ".join(f"{factor(a[e], digits)}·{factor(b[e], digits)}" for e in first)
    if more := len(terms) - len(first):
        rest = (terms.sum() - terms[first].sum()).item()
        shown += f" + {more} smaller product{'s' * (more > 1)}, together {even(rest, digits)}"
    return shown


def _made(word: str, row: np.ndarray, W: np.ndarray, b: np.ndarray, e: int) -> str:
    """Work out an entry of a query: the row times a column, and the bias."""
    return _line(
        '<b class="q">query</b>',
        f"<em>{escape(word)}</em> comes as a row of {len(row)} numbers. Number {e} of its query is that row times"
        f" column {e} of {_learned('q')}, added up: {_products(row, W[:, e], 2)}, and a bias of"
        f" {even(b[e], 2)}: ≈ {even(row @ W[:, e] + b[e], 1)}",
    )


def _mixture(words: Sequence[str], row: Sequence[str], order: Sequence[int]) -> str:
    """Name the largest parts of what is taken home."""
    named = " + ".join(f"{row[j]} × {escape(words[j])} {_strip('v', j)}" for j in order[:MOSTLY])
    return named + (" + the rest" if len(order) > MOSTLY else "")


MOSTLY = 3
