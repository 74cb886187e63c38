"""The little that MkDocs must be told; everything else is a Markdown extension, so that another builder has it."""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import FileSystemBytecodeCache
from mkdocs.exceptions import Abort

from qkvdocs.engine.pages import _extension
from qkvdocs.engine.pages._ahead import Ahead
from qkvdocs.engine.pages._errors import read_utf8
from qkvdocs.engine.pages._live import Live, asked_in, held_free
from qkvdocs.engine.pages._page import Reply
from qkvdocs.engine.pages._recall import Asked, Recall
from qkvdocs.engine.pages._site import date_of, finish
from qkvdocs.errors import QKVError

REFERENCE = "\n::: "
"""Asks mkdocstrings for a part of the reference."""
_replies: Callable[[Asked], Sequence[Reply]] = Asked.run
_ahead: Ahead | None = None
_live: Live | None = None


def on_startup(command: str, dirty: bool) -> None:
    """Let the dev server remember pages, and show a wrong one as it is; a build ends before it must tidy up."""
    global _live, _replies
    if command == "build":
        gc.disable()
    if command == "serve":
        _live, _extension.forgiving = Live(Recall()), True
        _replies = _live.recall.replies


def on_config(config: Any) -> None:
    """Date the site by its last commit, where nobody has said otherwise."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", date_of(Path(config.docs_dir)))
    if _live and not _live.config:
        held_free(*config.dev_addr)


def on_files(files: Any, config: Any) -> None:
    """Run the pages in the order in which they will be asked for."""
    global _ahead
    if _ahead:
        _ahead.stop()
    _ahead = Ahead(
        (asked_in(Path(file.abs_src_path), config) for file in files.documentation_pages()), _replies
    )
    _extension.replies = _ahead.replies


def on_nav(nav: Any, config: Any, files: Any) -> None:
    """Convert the reference while lessons run, then pages as they have run; hand the dev server all that."""
    for file in sorted(files.documentation_pages(), key=lambda file: _turn(Path(file.abs_src_path))):
        files.remove(file)
        files.append(file)
    if _live:
        _live.config, _live.files, _live.nav = config, files, nav


def _turn(page: Path) -> tuple[bool, int]:
    text = read_utf8(page, page.parent)
    return REFERENCE not in text, -text.count("\n")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> None:
    """Say how far a first build has come."""
    if _live:
        _live.tell(page)


def on_env(env: Any, config: Any, files: Any) -> None:
    """Keep compiled templates; hand them to the dev server, which knows from here on of each page if it is current."""
    folder = Path(config.docs_dir).parent / ".cache" / "templates"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        env.bytecode_cache = FileSystemBytecodeCache(str(folder))
    if _live:
        _live.env, _extension.replies = env, _live.recall.replies


def on_post_build(config: Any) -> None:
    """Finish the folder, in the dev server too."""
    try:
        finish(Path(config.site_dir), Path(config.docs_dir))
    except QKVError as error:
        raise Abort(str(error)) from None


def on_serve(server: Any, config: Any, builder: Callable[[], None]) -> Any:
    """Let the dev server render after an edit what the edit could have changed."""
    if _live:
        _live.attend(server, builder)
    return server
