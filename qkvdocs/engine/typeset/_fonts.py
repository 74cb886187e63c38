"""Fonts, cut down to the characters that the pages show."""

import functools
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from html import unescape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from qkvdocs.engine.typeset._kept import kept, version
from qkvdocs.errors import QKVError

__all__ = ["FAMILY", "cut", "glyphs_in", "subset"]

FAMILY = "qkvdocs Maths"
"""The cut font's own name; `docs/assets/site.css` asks for it by this name."""

_MATH = re.compile(r"<math\b.*?</math>", re.DOTALL)
_ANNOTATION = re.compile(r"<annotation\b.*?</annotation>", re.DOTALL)
_LEAF = re.compile(r"<(mi|mn|mo|mtext|ms)\b([^>]*)>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def _slanted(letter: str) -> str:
    """Give the italic letter that a browser draws for a one-letter `<mi>` (MathML Core, section 2.1.5)."""
    if letter == "h":
        return "\u210e"  # Planck's constant: the place in the italic alphabet is empty
    for first, count, italic in (
        ("A", 26, 0x1D434),
        ("a", 26, 0x1D44E),
        ("Α", 25, 0x1D6E2),
        ("α", 25, 0x1D6FC),
    ):
        if 0 <= ord(letter) - ord(first) < count:
            return chr(italic + ord(letter) - ord(first))
    return letter


def glyphs_in(html: str) -> set[int]:
    """Collect the code points that the formulas of a page draw.

    Args:
        html: A page, or any piece of one.

    Returns:
        Code points, a one-letter `<mi>` as the italic letter that browsers draw for it.
        Empty without formulas.
    """
    drawn: set[str] = set()
    for math in _MATH.findall(html):
        for name, attributes, content in _LEAF.findall(_ANNOTATION.sub("", math)):
            text = unescape(_TAG.sub("", content)).strip()
            slant = name == "mi" and len(text) == 1 and "mathvariant" not in attributes
            drawn.update(_slanted(text) if slant else text)
        if "<msqrt" in math or "<mroot" in math:
            drawn.add("√")
    return {ord(char) for char in drawn if not char.isspace()} | ({0x20} if drawn else set())


def subset(codepoints: Iterable[int], cache: Path | None = None) -> bytes:
    """Cut STIX Two Math down to some characters, with what stretches them.

    Args:
        codepoints: The characters to keep, as `glyphs_in` collects them.
        cache: As for `cut`.

    Returns:
        A woff2 file, called `FAMILY` inside. The MATH table, which makes brackets and roots grow, stays; second
        drawings of letters for scripts (ssty) and other features go: they double the file, and Chromium never asks
        for them.

    Examples:
        >>> subset({ord("√")})[:4]
        b'wOF2'
    """
    source, drop = "ziamath/ziamath/fonts/STIXTwoMath-Regular.ttf", ("GDEF", "GPOS", "gasp")
    return cut(source, FAMILY, codepoints, drop=drop, cache=cache)


def cut(
    source: str,
    family: str,
    codepoints: Iterable[int],
    *,
    features: Sequence[str] = (),
    drop: Sequence[str] = (),
    cache: Path | None = None,
) -> bytes:
    """Cut a font down to some characters.

    Args:
        source: The file, as `package/path/inside/it`, of an installed package.
        family: What it is called from then on: a cut font is a modified one, and names of fonts are reserved.
        codepoints: The characters to keep.
        features: OpenType features to keep.
        drop: Tables to leave out.
        cache: Where cut fonts are kept by content, or None to cut anew. Warm equals cold byte for byte.

    Returns:
        A woff2 file whose bytes depend on the arguments alone; copyright and licence (OFL 1.1) stay in it.

    Raises:
        QKVError: If there is no such package, or no such file in it.
    """
    package, _, inside = source.partition("/")
    try:
        original = Path(str(distribution(package).locate_file(inside))).read_bytes()
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise QKVError(
            f"a font must be package/path of an installed package, got {source!r}: {error}"
        ) from None
    asked = family, tuple(sorted(set(codepoints))), tuple(features), tuple(drop)
    makers = [version("fonttools"), version("brotli"), Path(__file__).read_text("utf-8")]
    digest = hashlib.sha256(original).hexdigest()
    return kept(cache, [*makers, digest, *asked], lambda: _cut(original, *asked))


@functools.lru_cache(maxsize=16)  # where nothing is kept
def _cut(
    original: bytes,
    family: str,
    codepoints: tuple[int, ...],
    features: tuple[str, ...],
    drop: tuple[str, ...],
) -> bytes:
    from fontTools import subset as fonttools  # slow to load, and not needed while the cache answers
    from fontTools.ttLib import TTFont

    options = fonttools.Options()
    options.set(
        layout_features=[*features],
        bidi_closure=False,
        hinting=False,
        notdef_outline=True,
        name_IDs=[0, 1, 2, 4, 6, 7, 13, 14],
    )
    options.drop_tables += ["DSIG", *drop]
    with TTFont(io.BytesIO(original), recalcTimestamp=False) as font:
        cutter = fonttools.Subsetter(options)
        cutter.populate(unicodes=codepoints)
        cutter.subset(font)
        for name_id, name in {1: family, 4: family, 6: family.replace(" ", "")}.items():
            font["name"].setName(name, name_id, 3, 1, 0x409)
        font.flavor = "woff2"
        out = io.BytesIO()
        font.save(out)
    return out.getvalue()
