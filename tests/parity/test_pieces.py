"""Text is cut as the `tokenizers` library cuts it, wherever `make runtime` has fetched the model."""

import random
import unicodedata
import zipfile
from pathlib import Path

import tokenizers

from qkvdocs.engine.runtime import Pack, folder
from qkvdocs.engine.settings import Settings
from qkvdocs.models import WordPieces
from tests.conftest import needed

ROOT = Path(__file__).parents[2]
LINES = 10_000
(PACK,) = map(Pack.of, Settings.of(ROOT / "docs").packs)


def lines() -> list[str]:
    """Lines of this repository, and as many of letters drawn from many alphabets."""
    pages = [
        line for path in sorted((ROOT / "docs").rglob("*.md")) for line in path.read_text("utf-8").split("\n")
    ]
    draw = random.Random(14)
    # Letters that no Unicode since version 3.2 has reassigned: the two libraries have tables of different age.
    old = unicodedata.ucd_3_2_0.category
    letters = [c for c in map(chr, range(0x20, 0x3100)) if old(c) == unicodedata.category(c)]
    letters += list("中文字한국어𝑄 \t\u00a0\u200b\x01ſﬁİ")
    drawn = ["".join(draw.choices(letters, k=draw.randint(0, 30))) for _ in range(LINES // 2)]
    words = ["".join(draw.choices("aeioustr", k=draw.randint(1, 9))) for _ in range(LINES // 2)]
    return [line for line in pages if "[CLS]" not in line] + drawn + words


def test_text_is_cut_as_the_tokenizers_library_cuts_it() -> None:
    """Line by line, at least ten thousand; with the vocabulary that the page loads."""
    archive = needed(ROOT / folder() / PACK.source.name)
    with zipfile.ZipFile(archive) as members:
        theirs = tokenizers.Tokenizer.from_str(members.read("tokenizer.json").decode())
    theirs.no_truncation()
    theirs.no_padding()
    pieces = (ROOT / folder() / PACK.folder / "pieces.txt").read_text("utf-8").split("\n")
    ours, said = WordPieces(pieces), lines()
    assert len(said) >= LINES
    other = [line for line in said if ours.cut(line) != theirs.encode(line).tokens]
    assert not other, other[:5]
