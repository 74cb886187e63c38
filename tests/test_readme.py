"""What the README says, it does."""

import contextlib
import io
import re
from pathlib import Path

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
    """A reader need not scroll."""
    assert "make serve" in "\n".join(TEXT.split("\n")[:12])
    assert "make test" in "\n".join(TEXT.split("\n")[:12])
