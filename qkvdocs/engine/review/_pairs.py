"""Which figure of the new page was which of the old, and where the two pictures differ."""

import io
from collections.abc import Sequence
from difflib import SequenceMatcher

from PIL import Image, ImageChops, ImageOps

from qkvdocs.engine.review._figures import Figure

Pair = tuple[int | None, int | None]
Step = tuple[str, int, int, int, int]
MARK = (208, 0, 60)


def pair(old: Sequence[Figure], new: Sequence[Figure]) -> list[Pair]:
    """Bring the figures of two versions of a page together.

    Args:
        old: Figures of the old page, in order.
        new: Figures of the new.

    Returns:
        Positions in both; None on one side for a figure that came or went. Figures with the same markup belong
        together, wherever they stand; of those between, as many as there are, or those of the same name.
    """
    steps = _steps([one.markup for one in old], [one.markup for one in new])
    pairs: list[Pair] = [both for step in steps if step[0] == "equal" for both in _together(step)]
    gone, came = _left(pairs, len(old), len(new))
    for before in gone:
        moved = (after for after in came if new[after].markup == old[before].markup)
        if (at := next(moved, None)) is not None:
            pairs.append((before, at))
            came.remove(at)
    there, here = ({one[side] for one in pairs} for side in (0, 1))
    for tag, a, b, c, d in steps:
        if tag != "equal":
            was, now = (
                [at for at in range(a, b) if at not in there],
                [at for at in range(c, d) if at not in here],
            )
            for step in _steps([old[at].name for at in was], [new[at].name for at in now]):
                if step[2] - step[1] == step[4] - step[3]:
                    pairs += [(was[one], now[other]) for one, other in _together(step)]
    gone, came = _left(pairs, len(old), len(new))
    found = [*pairs, *((at, None) for at in gone), *((None, at) for at in came)]
    return sorted(found, key=lambda one: (one[1] is None, one[0] if one[1] is None else one[1]))


def _steps(old: list[str], new: list[str]) -> Sequence[Step]:
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _together(step: Step) -> list[tuple[int, int]]:
    return list(zip(range(step[1], step[2]), range(step[3], step[4]), strict=True))


def _left(pairs: list[Pair], n_old: int, n_new: int) -> tuple[list[int], list[int]]:
    there, here = ({one[side] for one in pairs} for side in (0, 1))
    return [at for at in range(n_old) if at not in there], [at for at in range(n_new) if at not in here]


def difference(old: bytes, new: bytes) -> bytes | None:
    """Mark where two pictures differ.

    Args:
        old: A PNG.
        new: Another; where one is larger, the other is white.

    Returns:
        The new picture, pale, with what differs in red, or None if nothing does.
    """
    if old == new:
        return None
    before, after = (Image.open(io.BytesIO(data)).convert("RGB") for data in (old, new))
    size = max(before.width, after.width), max(before.height, after.height)
    before, after = (_widened(picture, size) for picture in (before, after))
    bands = ImageChops.difference(before, after).split()
    differs = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2]).point(_any)
    if differs.getbbox() is None:
        return None
    pale = ImageOps.grayscale(after).point(_paler).convert("RGB")
    pale.paste(MARK, mask=differs)
    written = io.BytesIO()
    pale.save(written, "PNG")
    return written.getvalue()


def _any(level: int) -> int:
    return 255 if level else 0


def _paler(level: int) -> int:
    return 170 + level // 3


def _widened(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    whole = Image.new("RGB", size, "white")
    whole.paste(picture)
    return whole
