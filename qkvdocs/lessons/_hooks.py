"""The little that MkDocs must be told; everything else is a Markdown extension, so that another builder has it."""

from pathlib import Path
from typing import Any

from qkvdocs.lessons._site import finish


def on_post_build(config: Any) -> None:
    """Finish the folder, in the dev server too."""
    finish(Path(config.site_dir))
