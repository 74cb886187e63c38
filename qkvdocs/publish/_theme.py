"""Barriers that the theme's own markup puts up, taken down in the built folder."""

from pathlib import Path

MENDS = {
    "*.html": [
        # A dialog without a name: a screen reader says just "dialog".
        ('<div class="md-search" data-md-component="search" role="dialog">',
         '<div class="md-search" data-md-component="search" role="dialog" aria-label="Search">'),
    ],
    "assets/javascripts/bundle.*.js": [
        # A landmark for each code block, all alike, drowns the real ones.
        ('"nav",{class:"md-code__nav"}', '"div",{class:"md-code__nav"}'),
    ],
}  # fmt: skip


def mend(site: Path) -> None:
    """Replace what the theme wrote.

    Args:
        site: A folder built with Material for MkDocs, changed in place.

    Raises:
        RuntimeError: If the theme no longer writes it, so that the list above is looked at again.
    """
    for pattern, pairs in MENDS.items():
        paths = [path for path in site.rglob(pattern) if path.suffix != ".map"]
        for old, new in pairs:
            texts = {path: path.read_text("utf-8") for path in paths}
            if not any(old in text for text in texts.values()):
                raise RuntimeError(f"{pattern} must hold {old!r}: the theme has changed, see {__name__}")
            for path, text in texts.items():
                path.write_text(text.replace(old, new), "utf-8")
