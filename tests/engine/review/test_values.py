"""What differs between two ledgers, as short as a reviewer needs it."""

from pathlib import Path

import pytest

from qkvdocs.engine.review._values import Value, compare_values


def write(folder: Path, **pages: str) -> Path:
    """Write a ledger."""
    folder.mkdir()
    for name, text in pages.items():
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder


def test_exactly_what_differs(tmp_path: Path) -> None:
    """Values that changed, came and went, on pages that stayed, came and went."""
    old = write(
        tmp_path / "old",
        p="value a\n    1\n\nvalue b\n    2\n\nfence c\n    x\n     y\n",
        gone="value g\n    1\n",
    )
    new = write(
        tmp_path / "new",
        p="value a\n    1\n\nfence c\n    x\n      y\n\nvalue d\n    4\n",
        new="value n\n    1\n",
    )

    assert compare_values(old, new) == [
        Value("gone", "value g", "1", None),
        Value("new", "value n", None, "1"),
        Value("p", "fence c", "x\n y", "x\n  y"),
        Value("p", "value d", None, "4"),
        Value("p", "value b", "2", None),
    ]
    assert compare_values(new, new) == []


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("1", "2", ("1", "2")),
        ("12", "1", ("12", "1")),
        (None, "2", ("", "2")),
        ("<td>1</td>", "<td>2</td>", ("1", "2")),
        ("<p>a &lt; 1", "<p>a &lt; 2", ("a < 1", "a < 2")),
        ("a" * 90 + "1" + "b" * 90, "a" * 90 + "2" + "b" * 90,
         (f"…{'a' * 30}1{'b' * 30}…", f"…{'a' * 30}2{'b' * 30}…")),
        ("aa", "aaa", ("aa", "aaa")),
    ],
)  # fmt: skip
def test_long_texts_are_cut_to_what_differs(old: str | None, new: str | None, shown: tuple[str, str]) -> None:
    """With some letters around it; markup is read as its words."""
    assert Value("p", "v", old, new).shown() == shown
