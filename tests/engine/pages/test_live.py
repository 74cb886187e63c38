"""After an edit the dev server has what a build from nothing gives, and has rendered what the edit could change."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.livereload import LiveReloadServer

from qkvdocs.engine.pages import _extension, _live, _recall
from qkvdocs.engine.pages._live import Live
from tests.project import HOOKS, THEME, Project, fence

READS = fence("from pathlib import Path\nprint(Path('data.txt').read_text())")


PAGES = {
    "index.md": "# One\n\n" + fence("x = 1\nprint(x)"),
    "b.md": "# Two\n\n[one](index.md)\n\n" + READS,
    "c.md": "# Three\n\n" + READS,
}


@dataclass
class Site:
    """A site under the dev server's care, without a socket and without its clock."""

    project: Project
    live: Live
    hooks: ModuleType | None = None
    rendered: list[str] = field(default_factory=list)

    def edit(self, text: str, name: str = "index.md") -> list[str]:
        """Write a page and let the server take it in; tell which pages it rendered."""
        self.project.write(text, name)
        return self.take_in()

    def take_in(self) -> list[str]:
        """Let the server take in what has changed."""
        time.sleep(1.5 * _recall.MARGIN / 1e9)
        self.rendered.clear()
        self.live.server.builder()
        return list(self.rendered)

    def build_afresh(self, folder: Path) -> None:
        """Build everything from nothing, behind the server's back."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.hooks, "_live", None)
            patch.setattr(self.hooks, "_replies", _recall.Asked.run)
            patch.setattr(_extension, "replies", None)
            build(load_config("mkdocs.yml", site_dir=str(folder)), serve_url="http://127.0.0.1/")

    def html(self, name: str = "index.html") -> str:
        """Read a page as a browser would get it."""
        return Path(self.live.config.site_dir, name).read_text("utf-8")


@pytest.fixture
def serve(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start to serve a small site."""

    def start(pages: dict[str, str] = PAGES, theme: str = "mkdocs") -> Site:
        (project.root / "data.txt").write_text("old")
        for name, text in pages.items():
            project.write(text, name)
        time.sleep(1.5 * _recall.MARGIN / 1e9)
        project.set(THEME.replace("name: mkdocs", f"name: {theme}") + HOOKS, without=THEME)
        monkeypatch.chdir(project.root)
        for name, value in {"SOURCE_DATE_EPOCH": "0", "NO_MKDOCS_2_WARNING": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(_extension, "forgiving", False)
        monkeypatch.setattr(_extension, "replies", None)

        def full() -> None:
            config = load_config("mkdocs.yml", site_dir=str(tmp_path / "served"))
            if not started:
                config.plugins.on_startup(command="serve", dirty=False)
                [started["hooks"]] = (
                    module for name, module in config.hooks.items() if name.endswith("_hooks.py")
                )
            build(config, serve_url="http://127.0.0.1/")
            site.rendered.append("everything")

        started = {}
        site = Site(project, Live(_recall.Recall()))
        full()
        hooks = site.hooks = started["hooks"]
        site.live = hooks._live
        server = LiveReloadServer(full, "127.0.0.1", 0, str(tmp_path / "served"))
        hooks.on_serve(server, site.live.config, full)
        real = _live._populate_page
        monkeypatch.setattr(
            _live,
            "_populate_page",
            lambda page, *more: (site.rendered.append(page.file.src_uri), real(page, *more)),
        )
        ends.append((hooks, server))
        return site

    ends = []
    yield start
    for hooks, server in ends:
        hooks._live, hooks._replies = None, _recall.Asked.run
        server.server_close()


def test_only_the_edited_page_is_rendered(serve: Callable[..., Site]) -> None:
    """And nothing where nothing has changed."""
    site = serve()

    assert site.take_in() == []
    assert site.edit(PAGES["index.md"] + "\nMore.\n") == ["index.md"]
    assert "More." in site.html()


def test_what_a_page_reads_is_part_of_it_and_the_page_that_is_read_comes_first(
    serve: Callable[..., Site], project: Project
) -> None:
    """Whoever reads sees the change before the other pages are rendered."""
    site = serve()
    site.live.wait_for("c/")
    (project.root / "data.txt").write_text("new")

    assert site.take_in() == ["c.md", "b.md"]
    assert "new" in site.html("b/index.html")


def test_a_wrong_page_shows_its_error_and_all_others_work(
    serve: Callable[..., Site], capfd: pytest.CaptureFixture[str]
) -> None:
    """From the first build on, until it is mended; the terminal says it too."""
    site = serve({**PAGES, "d.md": "# D\n\nSmall <b>\n\n" + fence("1 / 0")})
    error = "docs/d.md:6: ZeroDivisionError: division by zero"

    assert error in site.html("d/index.html")
    assert error in capfd.readouterr().err
    assert "1" in site.html()
    assert "ValueError" not in site.html("b/index.html")
    assert "b.md" in site.edit("# Two\n\n`{python} y`", "b.md")
    assert "docs/b.md:3: NameError" in site.html("b/index.html")
    assert site.edit("# D\n\n" + fence("print('is mended')"), "d.md") == ["b.md", "d.md"]
    assert "is mended" in site.html("d/index.html")
    assert "This page cannot be built" not in site.html("d/index.html")


def test_a_page_that_nobody_can_read_stops_nothing(
    serve: Callable[..., Site], project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    """It stays as it was until it is mended."""
    site = serve()
    site.live.server._wanted_epoch += 1
    (project.root / "docs" / "b.md").write_bytes(b"# Two\n\ncaf\xe9\n")

    assert site.take_in() == []
    assert "docs/b.md:3: EncodingError" in capfd.readouterr().err
    assert site.live.server._visible_epoch == site.live.server._wanted_epoch
    assert "old" in site.html("b/index.html")
    assert site.edit("# Two\n\nMended.\n", "b.md") == ["b.md"]


def test_a_page_that_comes_or_goes_and_a_setting_build_everything(
    serve: Callable[..., Site], project: Project
) -> None:
    """The menu of every page has it."""
    site = serve()

    assert site.edit("# New\n", "new.md") == ["everything"]
    assert "New" in site.html()
    (project.root / "docs" / "new.md").unlink()
    assert site.take_in() == ["everything"]
    assert "New" not in site.html()
    (project.root / "docs" / "site.css").write_text("a {}")
    assert site.take_in() == ["everything"]
    assert site.take_in() == []


def test_any_edits_leave_what_a_build_from_nothing_gives(
    serve: Callable[..., Site], project: Project, tmp_path: Path
) -> None:
    """Titles in the menus of other pages, what pages read, errors; and no second entry in the search."""
    site = serve(theme="material")
    edits: list[Callable[[], object]] = [
        lambda: project.write("# Another title\n\nText.\n", "b.md"),
        lambda: (project.root / "data.txt").write_text("new"),
        lambda: project.write("# Three\n\n" + fence("1 / 0"), "c.md"),
        lambda: project.write(PAGES["index.md"] + "\n## A section {#a}\n\n[b](b.md)\n"),
        lambda: project.write(PAGES["c.md"], "c.md"),
    ]
    for number, edit in enumerate(edits):
        edit()
        assert "everything" not in site.take_in()
        fresh = tmp_path / f"fresh{number}"
        site.build_afresh(fresh)
        served = Path(site.live.server.root)
        names = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*.html"))
        for name in names:
            assert (served / name).read_text() == (fresh / name).read_text(), name

        def found(folder: Path) -> list[str]:
            return sorted(map(json.dumps, json.loads((folder / "search" / "index.json").read_text())))

        assert found(served) == found(fresh)


def test_a_title_reaches_all_menus_though_another_edit_came_between(serve: Callable[..., Site]) -> None:
    """The server drops what it was at, and takes it up again."""
    site = serve()
    site.live.server._want_rebuild = True
    assert site.edit("# Another title\n", "b.md") == ["b.md"]
    site.live.server._want_rebuild = False

    assert site.edit(PAGES["index.md"] + "\nMore.\n") == ["index.md"]
    assert "Another title" in site.html("c/index.html")


def test_a_request_waits_for_its_own_page_only(serve: Callable[..., Site]) -> None:
    """Not for the others."""
    site = serve()
    site.live.stale = {"b/": None}
    began, got = threading.Event(), []

    def ask() -> None:
        began.set()
        site.live.wait_for("b/")
        got.append("b/")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    began.wait(5)
    site.live.wait_for("c/")
    assert got == []
    with site.live.changed:
        site.live.stale.clear()
        site.live.changed.notify_all()
    thread.join(5)

    assert got == ["b/"]


def test_another_engine_starts_anew(
    serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """This process has the old one loaded."""

    class StartedError(Exception):
        pass

    def execv(*words: object) -> None:
        raise StartedError

    site = serve()
    monkeypatch.setattr(os, "execv", execv)
    site.live.engine = {}

    site.take_in()

    assert "StartedError" in capfd.readouterr().err
    assert not Path(site.live.config.site_dir).exists()


def test_a_port_in_use_is_named_before_the_first_build(project: Project) -> None:
    """With another to choose."""
    project.write("# Page\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        project.set(f"{HOOKS}dev_addr: 127.0.0.1:{port}\n")
        done = project.command("mkdocs", "serve")

    assert done.returncode == 1
    assert done.stdout.strip() == (
        f"127.0.0.1:{port}: Address already in use: choose another, such as make serve SERVE='-a 127.0.0.1:{port + 1}'"
    )
    assert "page 1 of 1" not in done.stderr
