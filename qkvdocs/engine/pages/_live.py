"""The dev server after an edit: only pages that it could have changed are rendered again, the one being read first."""

import logging
import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Condition
from typing import Any
from urllib.parse import unquote

from markdown import Markdown
from markdown.preprocessors import NormalizeWhitespace
from mkdocs.commands.build import _build_page, _build_theme_template, _populate_page
from mkdocs.exceptions import Abort
from mkdocs.utils.meta import get_data

from qkvdocs.engine.pages._errors import read_utf8
from qkvdocs.engine.pages._extension import asked_by
from qkvdocs.engine.pages._forge import PACKAGE_ROOT, Limits
from qkvdocs.engine.pages._recall import Asked, Recall, stamps

ENGINE = PACKAGE_ROOT / "qkvdocs" / "engine"
"""What of the package this process itself has loaded."""
log = logging.getLogger("mkdocs.qkvdocs")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def asked_in(path: Path, config: Any) -> Asked:
    """Say what the page in a file asks for, as the builder will when it converts it."""
    docs = Path(config.docs_dir)
    body, _ = get_data(read_utf8(path, docs.parent))
    lines = NormalizeWhitespace(Markdown()).run(body.split("\n"))
    return asked_by(path, docs, lines, Limits.of(config.mdx_configs.get("qkvdocs.engine.pages", {})))


def held_free(host: str, port: int) -> None:
    """See before the first build, not after it, that nobody else listens there.

    Raises:
        Abort: If somebody does.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError as error:
            way = f"choose another, such as make serve SERVE='-a {host}:{port + 1}'"
            raise Abort(f"{host}:{port}: {os.strerror(error.errno or 0)}: {way}") from None


class Live:
    """The pages of a site as they were last rendered."""

    def __init__(self, recall: Recall) -> None:
        self.recall = recall
        self.config: Any = None
        self.files: Any = None
        self.nav: Any = None
        self.env: Any = None
        """What MkDocs last built with."""
        self.server: Any = None
        self.full: Callable[[], None] = lambda: None
        """MkDocs' own build of everything."""
        self.around: dict[str, Any] = {}
        self.titles: list[Any] = []
        """What all menus say."""
        self.engine = self._engine()
        self.stale: dict[str, Any] = {}
        """Files of pages still to be rendered, by address."""
        self.changed = Condition()
        self.read: list[str] = []
        """Addresses of pages that were asked for, the last one first."""

    def attend(self, server: Any, full: Callable[[], None]) -> None:
        """Take over a server's rebuilding, and see what is asked of it."""
        self.server, self.full = server, full
        server.builder = self.rebuild
        server.set_app(self.watching(server.serve_request))
        self.around, self.titles = self._around(), self._titles()

    def tell(self, page: Any) -> None:
        """Say which page of how many is being rendered."""
        pages = self.pages()
        if not self.server:
            log.info(f"page {pages.index(page.file) + 1} of {len(pages)}: {page.file.src_uri}")

    def watching(self, application: Application) -> Application:
        """Let a request for a page wait until that page is current, and no longer."""

        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            path = unquote(environ["PATH_INFO"])
            if path.startswith(self.server.mount_path):
                self.wait_for(path[len(self.server.mount_path) :].removesuffix("index.html"))
            return application(environ, start)

        return answer

    def wait_for(self, url: str) -> None:
        """Have a page rendered before all others, and wait for it."""
        with self.changed:
            if url in {file.page.url for file in self.pages()}:
                self.read = [url, *(other for other in self.read if other != url)]
            self.changed.wait_for(lambda: url not in self.stale, timeout=120)

    def rebuild(self) -> None:
        """Bring the folder up to date after an edit; where that fails, say why and serve what is there."""
        try:
            self.take_in()
        except (Exception, SystemExit) as error:
            trace = "" if isinstance(error, SystemExit) else traceback.format_exc()
            print(trace, error, sep="", file=sys.stderr)  # noqa: T201
            self.publish()

    def take_in(self) -> None:
        """Render what the edit could have changed.

        Raises:
            LessonError: If a page cannot even be read.
        """
        if self._engine() != self.engine:
            log.info("The engine has changed: starting anew")
            shutil.rmtree(self.config.site_dir)  # MkDocs' own, for as long as it serves
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, "-m", "mkdocs", *sys.argv[1:]])  # noqa: S606
        if (around := self._around()) != self.around:
            self.full()
            self.around, self.titles = around, self._titles()
            return
        stale = {file.page.url: file for file in self.pages() if not self.recall.is_fresh(self.asked(file))}
        with self.changed:
            self.stale = stale
        while file := self._next():
            _populate_page(file.page, self.config, self.files)
            self.config.plugins.on_env(self.env, config=self.config, files=self.files)
            self.write(file)
            with self.changed:
                del self.stale[file.page.url]
                self.changed.notify_all()
            self.publish()
            if self.server._want_rebuild:
                return  # what is left is found again
        if (titles := self._titles()) != self.titles:
            for template in self.config.theme.static_templates:
                _build_theme_template(template, self.env, self.files, self.config, self.nav)
            for file in self.pages():
                self.write(file)
            self.titles = titles
        self.config.plugins.on_post_build(config=self.config)

    def asked(self, file: Any) -> Asked:
        """Say what a page asks for as its file is now."""
        return asked_in(Path(file.abs_src_path), self.config)

    def pages(self) -> list[Any]:
        """List the files of all pages."""
        return list(self.files.documentation_pages()) if self.files else []

    def write(self, file: Any) -> None:
        """Write a page's HTML."""
        _build_page(file.page, self.config, self.pages(), self.nav, self.env)

    def publish(self) -> None:
        """Let browsers load what is there, while the pages that nobody looks at are rendered."""
        with self.server._epoch_cond:
            self.server._visible_epoch = self.server._wanted_epoch
            self.server._epoch_cond.notify_all()

    def _next(self) -> Any:
        with self.changed:
            for url in [*self.read, *self.stale]:
                if url in self.stale:
                    return self.stale[url]
        return None

    def _titles(self) -> list[Any]:
        return [file.page.title for file in self.pages()]

    def _around(self) -> dict[str, Any]:
        """Stamp what a full build alone takes in: settings, which files there are, and those that are no page."""
        docs = Path(self.config.docs_dir)
        files = [path for path in docs.rglob("*") if path.is_file()]
        others = [str(path) for path in files if path.suffix != ".md"]
        return {
            **stamps([self.config.config_file_path, *others]),
            **{str(path): 0 for path in files if path.suffix == ".md"},
        }

    @staticmethod
    def _engine() -> dict[str, Any]:
        return stamps(str(path) for path in ENGINE.rglob("*.py"))
