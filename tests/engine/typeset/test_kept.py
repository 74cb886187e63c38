"""What is kept is what would be made: warm equals cold, whatever has happened to the folder."""

import os
import time
from pathlib import Path

import markdown
import pygments
import pymdownx.highlight
import pytest

from qkvdocs.engine.typeset import _code, _fonts, _kept, _mermaid
from qkvdocs.engine.typeset._kept import kept


def test_what_is_kept_is_made_once_and_of_all_its_parts(tmp_path: Path) -> None:
    """Another part is another file; no half-written one is left."""
    made = []

    def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    folder = tmp_path / "new" / "folder"
    assert [kept(folder, ["a", number], make) for number in (1, 1, 2, 1)] == [b"1", b"1", b"2", b"1"]
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"1", b"2"]
    assert kept(None, ["a", 1], make) == b"3"


def test_a_folder_that_takes_nothing_keeps_nothing(tmp_path: Path) -> None:
    """A read-only checkout builds all the same."""
    (tmp_path / "file").write_text("in the way")

    assert kept(tmp_path / "file" / "folder", ["a"], lambda: b"made") == b"made"


def test_what_nobody_asks_for_goes(tmp_path: Path) -> None:
    """By its age since it was last asked for."""
    for part in ("asked", "idle"):
        kept(tmp_path, [part], part.encode)
    old = time.time() - (_kept.DAYS + 1) * 86400
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    _kept._sweep.cache_clear()
    kept(tmp_path, ["asked"], b"".strip)
    kept(tmp_path, ["new"], b"new".strip)

    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"asked", b"new"]


@pytest.mark.parametrize("what", ["mermaidx", "novasvg", "quickjs-ng", "_mermaid", "_flowchart"])
def test_a_drawing_is_made_anew_after_any_change_of_what_draws(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, and our own code."""
    before = _mermaid._makers()
    _change(_mermaid, what, {"_mermaid": _mermaid, "_flowchart": _mermaid._flowchart}, tmp_path, monkeypatch)

    assert _mermaid._makers() != before


@pytest.mark.parametrize("what", ["fonttools", "brotli", "_fonts"])
def test_a_font_is_cut_anew_after_any_change_of_what_cuts(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before; other characters are another font."""
    cuts = []
    monkeypatch.setattr(_fonts, "_cut", lambda *asked: cuts.append(asked) or b"cut")
    for characters in ([65], [65], [66]):
        _fonts.subset(characters, tmp_path / "cache")
    assert len(cuts) == 2
    _change(_fonts, what, {"_fonts": _fonts}, tmp_path, monkeypatch)
    _fonts.subset([65], tmp_path / "cache")

    assert len(cuts) == 3


CODE = (
    "```python\nx = 1\n```",
    "```text\nx = 1\n```",
    '```python title="t"\nx = 1\n```',
    "```python\nx = 2\n```",
)


def test_code_has_the_same_colours_and_finds_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another language, another title, another text are found apart; another version finds all anew."""

    def converted() -> list[str]:
        extensions = ["pymdownx.superfences", "pymdownx.highlight"]
        return [markdown.markdown(text, extensions=extensions) for text in CODE]

    plain, found = converted(), []
    real = pygments.highlight
    monkeypatch.setattr(pygments, "highlight", lambda *asked: found.append(asked) or real(*asked))
    monkeypatch.setattr(pymdownx.highlight, "highlight", None)
    keep = _code.keep_colours.__wrapped__

    keep(tmp_path)
    assert converted() == converted() == plain
    assert len(set(plain)) == len(found) == len(CODE)
    monkeypatch.setattr(_code, "version", lambda name: "new")
    keep(tmp_path)
    assert converted() == plain
    assert len(found) == 2 * len(CODE)


def _change(module, what, files, tmp_path, monkeypatch) -> None:
    if what in files:
        (tmp_path / "edited.py").write_text("# edited", encoding="utf-8")
        monkeypatch.setattr(files[what], "__file__", str(tmp_path / "edited.py"))
    real = module.version
    monkeypatch.setattr(module, "version", lambda name: "new" if name == what else real(name))
