"""Values of two ledgers that differ."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

AROUND = 30
"""Characters that are shown on each side of what differs."""


@dataclass(frozen=True)
class Value:
    """One block of the ledger; a text is None where there was none."""

    page: str
    name: str
    old: str | None
    new: str | None

    def shown(self) -> tuple[str, str]:
        """Give both texts as words, without what they begin and end with alike."""
        old, new = (_words(text or "") for text in (self.old, self.new))
        if self.old is None or self.new is None:
            return old, new
        shorter = min(len(old), len(new))
        start = next((at for at in range(shorter) if old[at] != new[at]), shorter)
        end = next((at for at in range(shorter - start) if old[-1 - at] != new[-1 - at]), shorter - start)
        return _cut(old, start, end), _cut(new, start, end)


def compare_values(old: Path, new: Path) -> list[Value]:
    """Compare two ledgers block by block.

    Args:
        old: A folder of ledger files.
        new: Another.

    Returns:
        What differs, page by page; on a page in the new order, then what is gone.
    """
    files = sorted({path.relative_to(folder) for folder in (old, new) for path in folder.rglob("*.txt")})
    found = []
    for file in files:
        before, after = (_blocks(folder / file) for folder in (old, new))
        page = file.with_suffix("").as_posix().removesuffix("/index")
        found += [
            Value(page, name, before.get(name), after.get(name))
            for name in [*after, *(gone for gone in before if gone not in after)]
            if before.get(name) != after.get(name)
        ]
    return found


def _blocks(path: Path) -> dict[str, str]:
    text = path.read_text("utf-8") if path.exists() else ""
    pairs = (block.partition("\n") for block in re.split(r"\n(?=\S)", text) if block.strip())
    return {name: re.sub(r"^ {4}", "", body, flags=re.M).strip() for name, _, body in pairs}


def _words(text: str) -> str:
    """Take markup for what it says."""
    plain = html.unescape(re.sub(r"<[^>]+>", " ", text)) if text.startswith("<") else text
    return re.sub(r"[ \t]+", " ", plain).strip()


def _cut(text: str, start: int, end: int) -> str:
    first, last = max(start - AROUND, 0), max(end - AROUND, 0)
    return f"{'…' if first else ''}{text[first : len(text) - last]}{'…' if last else ''}"
