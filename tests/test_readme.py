"""What the README says, it does."""

import contextlib
import io
import re
from pathlib import Path

from qkvdocs.engine.pages._reading import reading_minutes
from qkvdocs.models import read_head

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """List the README's own fences of a language; those it quotes stand in longer fences."""
    outside = re.sub(r"^````.*?^````$", "", TEXT, flags=re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```$", outside, re.M | re.S)


def test_the_example_prints_what_the_readme_shows() -> None:
    """Word for word."""
    (code, torch_code), (expected,) = blocks("python"), blocks("text")
    assert torch_code == (ROOT / "tests/parity/five_lines.py").read_text("utf-8"), (
        "the torch suite runs that file"
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue() == expected


def test_the_commands_exist() -> None:
    """Each `make` word is a target, and each target is in the README."""
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.M))
    told = set(re.findall(r"(?:`|\$ )make ([a-z]+)", TEXT))
    assert told == targets - {"format"}


def test_the_first_screen_has_the_two_commands() -> None:
    """A reader need not scroll: beside the picture there are two sentences."""
    first = TEXT[: TEXT.index("The commands need")]
    assert {"make serve", "make test"} <= set(re.findall(r"^\$ (make \w+)", first, re.M))
    words = re.sub(r"<picture>.*?</picture>", "", first[: first.index("```")], flags=re.S)
    assert len(re.findall(r"[.:](?:\s|$)", words)) <= 3


def test_the_picture_says_what_the_head_says() -> None:
    """The share in its text is computed anew; where links lead there is something."""
    look = read_head(ROOT / "docs/models/minilm-3-1.npz").look(
        "the students read the question before they answered it"
    )
    weights = look.pattern[look.words.index("they")]
    assert f"gives “{look.words[weights.argmax()]}” a share of {weights.max():.2f}" in TEXT
    for path in re.findall(r'(?:src|srcset)="([^"]+)"', TEXT):
        assert (ROOT / path).is_file()
    headings = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-")
        for line in TEXT.split("\n")
        if line.startswith("## ")
    }
    assert set(re.findall(r"\(#([\w-]+)\)", TEXT)) <= headings


def test_contributing_takes_six_minutes() -> None:
    """By the formula that counts lessons."""
    assert reading_minutes((ROOT / "CONTRIBUTING.md").read_text("utf-8")) <= 6
