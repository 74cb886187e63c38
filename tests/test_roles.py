"""Query, key and value have one colour each, and no figure takes a colour from elsewhere."""

import re
from itertools import pairwise

import pytest

from qkvdocs.roles import role
from tests.project import ROOT

FIGURES = ROOT / "qkvdocs" / "figures"
COLOUR = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch|lab|lch)\(|--md-code-hl-[\w-]*|"
    r"(?:fill|stroke|color|background)\s*[:=]\s*[\"']?(?:red|blue|green|orange|purple|black|white|gr[ae]y)\b",
    re.IGNORECASE,
)
TOKENS = re.compile(r"(?::root|\[data-md-color-scheme=\"slate\"\]) \{[^}]*\}")


@pytest.mark.parametrize(
    ("text", "whose"),
    [
        *(
            (name, "q")
            for name in ("Q", "q2", "W_Q", "b_q", "Q.T", "q_proj.weight", "Q_real", "query", "queries")
        ),
        *(
            (name, "k")
            for name in ("K", "k1", "W_K", "layers.0.self_attn.k_proj.weight", "x @ W_K", "The key.")
        ),
        *((name, "v") for name in ("V", "v2 = [3, 3]", "W_V", "b_V", "values")),
        *(
            (name, "")
            for name in ("x", "d_k", "kinds", "vocab", "Q @ K.T", "c_attn", "keys and values", "qkv", "")
        ),
    ],
)
def test_whose_a_name_is(text: str, whose: str) -> None:
    """One role, or none where two are named."""
    assert role(text) == whose


def colours(text: str) -> list[str]:
    """Find what is a colour, outside of the list of named ones."""
    return COLOUR.findall(TOKENS.sub("", text))


def test_no_colour_comes_from_elsewhere() -> None:
    """Figures, their script and the pages' own styles use the names at the top of `qkv.css`."""
    files = [*FIGURES.rglob("*.py"), *FIGURES.rglob("*.js"), *FIGURES.rglob("*.css")]
    files += [path for path in (ROOT / "docs" / "assets").glob("*.css") if path.name != "site.css"]
    found = {path.name: colours(path.read_text("utf-8")) for path in files}
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    "text", ["a { color: #123 }", "fill='red'", "rgb(1, 2, 3)", "var(--md-code-hl-number-color)"]
)
def test_a_colour_is_seen(text: str) -> None:
    """Written in any of these ways."""
    assert colours(text)


def luminance(colour: str) -> float:
    """By WCAG's formula."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("scheme", "paper"), [(":root", "#fbf9f4"), ("slate", "#191815")])
def test_the_three_can_be_read_and_told_apart(scheme: str, paper: str) -> None:
    """4.5 to 1 on the page; and for a reader without red or green cones their blue still differs."""
    block = next(
        text for text in TOKENS.findall((FIGURES / "assets" / "qkv.css").read_text()) if scheme in text
    )
    hues = dict(re.findall(r"--qkv-([qkv]): (#[0-9a-f]{6})", block))
    assert sorted(hues) == ["k", "q", "v"]
    for hue in hues.values():
        light, dark = sorted((luminance(hue), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    blues = sorted(int(hue[5:], 16) for hue in hues.values())
    assert min(later - earlier for earlier, later in pairwise(blues)) > 50
