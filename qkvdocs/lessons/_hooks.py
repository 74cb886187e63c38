"""The little that MkDocs must be told; everything else is a Markdown extension, so that another builder has it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.preprocessors import NormalizeWhitespace
from mkdocs.exceptions import Abort
from mkdocs.utils.meta import get_data

from qkvdocs.errors import QKVError
from qkvdocs.lessons import Lessons, _extension
from qkvdocs.lessons._ahead import Ahead
from qkvdocs.lessons._errors import LessonError, read_utf8
from qkvdocs.lessons._page import Reply
from qkvdocs.lessons._recall import Asked, Recall
from qkvdocs.lessons._site import date_of, finish

_replies: Callable[[Asked], Sequence[Reply]]
_ahead: Ahead | None = None


def on_startup(command: str, dirty: bool) -> None:
    """Let the dev server run those pages only that an edit could have changed."""
    global _replies
    _replies = Recall().replies if command == "serve" else Asked.run


def on_config(config: Any) -> None:
    """Date the site by its last commit, where nobody has said otherwise."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", date_of(Path(config.docs_dir)))


def on_files(files: Any, config: Any) -> None:
    """Run the pages in the order in which they will be asked for."""
    global _ahead
    if os.environ.get("QKVDOCS_BLANK") == "1":
        return
    limits, docs = Lessons(**config.mdx_configs.get("qkvdocs.lessons", {})).limits, Path(config.docs_dir)
    clean = NormalizeWhitespace(Markdown()).run
    pages = []
    for path in (Path(file.abs_src_path) for file in files.documentation_pages()):
        body, _ = get_data(read_utf8(path, docs.parent))
        pages.append(_extension.asked_by(path, docs, clean(body.split("\n")), limits))
    if _ahead:
        _ahead.stop()
    _ahead = Ahead(pages, _replies)
    _extension.replies = _ahead.replies


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
