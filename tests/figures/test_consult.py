"""A word asks: what the figure says and shades is what the head computed, and a false statement is refused."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.core import attend
from qkvdocs.errors import DTypeError, QKVError, ShapeError
from qkvdocs.figures import consult
from tests.project import ROOT

WORDS = ["the", "<cat>", "it"]
Q, K, V = np.random.default_rng(1).normal(size=(3, 3, 5)) * 2
CONTEXT, PATTERN, SCORES = attend(Q, K, V)
GIVEN = {
    "Q": Q,
    "K": K,
    "V": V,
    "scores": SCORES,
    "pattern": PATTERN,
    "context": CONTEXT,
    "at": 2,
    "name": "a",
}


@pytest.mark.parametrize("role", ["q", "k", "v", "c"])
def test_strips_are_the_vectors(role: str) -> None:
    """Read by another library: opacity is size, the upper half holds what is above 0, the lower what is below."""
    rows, top = {"q": (Q, Q), "k": (K, K), "v": (V, V), "c": (CONTEXT, V)}[role]
    found = re.search(rf"--{role}:url\(data:image/png;base64,([^)]*)\)", consult(WORDS, **GIVEN))
    assert found
    opacity = np.asarray(Image.open(BytesIO(b64decode(found[1]))).convert("RGBA"))[..., 3] / 255
    assert opacity.shape == (6, 5)
    signed = opacity[:3] - opacity[3:]
    assert np.abs(signed - rows / np.abs(top).max()).max() <= 0.5 / 15 + 1e-6


def test_a_query_is_worked_out() -> None:
    """Its largest entry: four products, the rest and the bias add up to what is said; what made it must make it."""
    rng = np.random.default_rng(2)
    X, W, b = rng.normal(size=(3, 9)), rng.normal(size=(9, 5)), rng.normal(size=5)
    q = X @ W + b
    context, pattern, scores = attend(q, K, V)
    given = {**GIVEN, "Q": q, "context": context, "pattern": pattern, "scores": scores}

    html = consult(WORDS, **given, made=(X, W, b))

    found = re.findall(
        r"a row of 9 numbers. Number (\d) of its query is .*?, added up: (.*?), together (.*?),"
        r" and a bias of (.*?): ≈ (.*?)</span>",
        html,
    )
    assert len(found) == 3
    for row, best, (entry, products, rest, bias, total) in zip(q, pattern.argmax(-1), found, strict=True):
        assert int(entry) == np.abs(row * K[best]).argmax()  # the first product of the fit
        factors = re.findall(r"\(?(-?[\d.]+)\)?·\(?(-?[\d.]+)\)?", products)
        assert len(factors) == 4
        added = sum(float(one) * float(other) for one, other in factors) + float(rest) + float(bias)
        assert added == pytest.approx(float(total), abs=0.15)
        assert float(total) == pytest.approx(row[int(entry)], abs=0.06)
    with pytest.raises(QKVError, match=r"^made must be X, W_Q and b_Q with Q = X W_Q \+ b_Q$"):
        consult(WORDS, **given, made=(X, W, b + 1))
    assert "comes as" not in consult(WORDS, **GIVEN)


def test_only_some_words_may_ask() -> None:
    """The others answer; what is said of a word stays the same."""
    whole, some = consult(WORDS, **GIVEN), consult(WORDS, **GIVEN, asking=[0, 2])

    parts = re.findall(r"<label>.*?(?=<label>|</div></figure>|<details)", whole, re.S)
    assert re.findall(r"<label>.*?(?=<label>|</div></figure>|<details)", some, re.S)[0] == parts[0]
    # Ribbons begin at the line of the word that asks.
    starts = [re.findall(r'd="M0 (\d+)', one)[0] for one in re.findall(r"<svg.*?</svg>", some)]
    assert [int(start) // 100 for start in starts] == [0, 1]
    assert some.count("<label>") == 2
    assert whole.count("<label>") == 3
    assert some.count(" asks: ") == 2


def test_each_word_has_its_answers() -> None:
    """Weights beside each word, the largest score written out, and its products add up to what is said."""
    html = consult(WORDS, **GIVEN)

    weights = re.findall(r"<u>([\d.]+)</u>", html)
    assert np.allclose(np.reshape(weights, (3, 3)).astype(float), PATTERN, atol=0.005)
    assert html.count(" checked") == 1
    assert "&lt;cat&gt;" in html
    assert "<cat>" not in html
    sums = re.findall(
        r"added up: (.*?), ≈ (-?[\d.]+); that by .*?≈ (-?[\d.]+)<.*?sum of all: ([\d.]+)<", html
    )
    assert len(sums) == 3
    for at, said in enumerate(sums):
        best = PATTERN[at].argmax()
        terms = sorted(Q[at] * K[best], key=abs)[::-1]
        factors = re.findall(r"\(?(-?[\d.]+)\)?·\(?(-?[\d.]+)\)?", said[0])
        assert np.allclose([float(a) * float(b) for a, b in factors], terms[:4], atol=0.4)
        rest = re.search(r" \+ 1 smaller product, together (-?[\d.]+)$", said[0])
        assert rest
        assert float(rest[1]) == pytest.approx(terms[4], abs=0.051)
        assert float(said[1]) == pytest.approx(Q[at] @ K[best], abs=0.051)
        assert float(said[2]) == pytest.approx(SCORES[at, best], abs=0.051)
        assert float(said[3]) == pytest.approx(PATTERN[at, best], abs=0.0051)


def test_a_script_may_ask_for_one_word_at_a_time() -> None:
    """The same for that word, nothing of the others' answers, and all words to pick from and to hear."""
    whole, one = consult(WORDS, **GIVEN), consult(WORDS, **GIVEN, alone=True)
    answers = re.findall(r'<div class="answers">.*?</div><div class="home">.*?</div>', whole)
    assert len(answers) == 3
    assert re.findall(r'<div class="answers">.*?</div><div class="home">.*?</div>', one) == answers[2:]
    for part in ("<label>", "asks: "):
        assert one.count(part) == whole.count(part) == 3


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"K": K[:2]}, ShapeError, "K must have a row for each word = 3, at most 48, got (2, 5)"),
        ({"K": K[:, :4]}, ShapeError, "Q must fit K, V the context, scores the words = 3"),
        ({"V": np.full((3, 5), np.nan)}, DTypeError, "V must hold finite real numbers"),
        ({"at": 3}, QKVError, "at must be in asking, places of words from 0 to 2, got 3 and [0, 1, 2]"),
        ({"asking": [0]}, QKVError, "at must be in asking, places of words from 0 to 2, got 2 and [0]"),
        ({"asking": [2, 3]}, QKVError, "at must be in asking, places of words from 0 to 2, got 2 and [2, 3]"),
        ({"name": "A b"}, QKVError, "name must be lower-case letters, digits and hyphens, got 'A b'"),
        ({"context": CONTEXT + 1}, QKVError, "context must be the values mixed by the pattern"),
        ({"scores": SCORES * 2}, QKVError, "must be what its sum says"),
        ({"pattern": PATTERN * 2, "context": CONTEXT * 2}, QKVError, "must be shares of one"),
    ],
)
def test_what_is_not_so_is_refused(change: dict[str, object], kind: type[Exception], message: str) -> None:
    """A figure says nothing that it has not tried."""
    with pytest.raises(kind, match=re.escape(message)):
        consult(WORDS, **{**GIVEN, **change})


def test_the_page_shades_what_the_strip_holds(browser: Browser) -> None:
    """A number above 0 in the upper half of its cell, one below in the lower half, and nothing else."""
    one = np.array([[1.0, -1.0]])
    html = consult(["a"], Q=one, K=one, V=one, scores=[[2**0.5]], pattern=[[1]], context=one, at=0, name="a")
    page = browser.new_page()
    page.set_content(f"<style>{(ROOT / 'qkvdocs/figures/assets/qkv.css').read_text()}</style>{html}")
    for role in ("q", "k", "v"):
        strip = np.asarray(Image.open(BytesIO(page.locator(f"i.{role}").first.screenshot())).convert("L"))
        (height, width), inside = strip.shape, strip < 250
        corners = [inside[height // 4 + y, width // 4 + x] for y in (0, height // 2) for x in (0, width // 2)]
        assert corners == [True, False, False, True], role
    page.close()
