"""The little that MkDocs must be told; everything else is a Markdown extension, so that another builder has it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.exceptions import Abort

from qkvdocs.errors import QKVError
from qkvdocs.lessons import _extension
from qkvdocs.lessons._errors import LessonError
from qkvdocs.lessons._recall import Recall
from qkvdocs.lessons._site import date_of, finish


def on_startup(command: str, dirty: bool) -> None:
    """Let the dev server run those pages only that an edit could have changed."""
    if command == "serve":
        _extension.recall = Recall()


def on_config(config: Any) -> None:
    """Date the site by its last commit, where nobody has said otherwise."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", date_of(Path(config.docs_dir)))


def on_post_build(config: Any) -> None:
    """Finish the folder, in the dev server too."""
    try:
        finish(Path(config.site_dir), Path(config.docs_dir))
    except QKVError as error:
        raise Abort(str(error)) from None


def on_serve(server: Any, config: Any, builder: Callable[[], None]) -> Any:
    """Let the dev server outlive a wrong page: it carries on after an `Abort` and after nothing else that exits."""

    def build() -> None:
        try:
            builder()
        except LessonError as error:
            raise Abort(str(error)) from None

    server.builder = build
    return server
