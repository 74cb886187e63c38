"""What stands in a reader's way in the theme's own markup, changed in the built folder."""

import re
from pathlib import Path

MENDS = {
    "*.html": [
        # A dialog without a name: a screen reader says just "dialog".
        (
            r'(<div class="md-search" data-md-component="search" role="dialog")(?: aria-label="Search")?>',
            r'\1 aria-label="Search">',
        ),
        # The theme's script stands at the end of the page, and still keeps the first words back.
        (r'<script (src="[^"]*/bundle\.[^"]*">)', r"<script defer \1"),
    ],
    "bundle.*.js": [
        # A landmark for each code block, all alike, drowns the real ones.
        (r'"nav",(\{class:"md-code__nav"\})', r'"div",\1'),
    ],
}


def mend(site: Path) -> None:
    """Replace what the theme wrote.

    Args:
        site: A folder built with Material for MkDocs or with Zensical, changed in place.

    Raises:
        RuntimeError: If the theme no longer writes it, so that the list above is looked at again.
    """
    for files, pairs in MENDS.items():
        texts = {path: path.read_text("utf-8") for path in site.rglob(files)}
        for pattern, replacement in pairs:
            if not any(re.search(pattern, text) for text in texts.values()):
                raise RuntimeError(f"{files} must hold {pattern}: the theme has changed, see {__name__}")
            texts = {path: re.sub(pattern, replacement, text) for path, text in texts.items()}
        for path, text in texts.items():
            path.write_text(text, "utf-8")
