"""A small site of its own, for tests of the engine and of the checks."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import get_files
from mkdocs.structure.pages import Page as MkDocsPage

from qkvdocs.engine.pages import Limits, Mode, Page, _extension, run_page
from qkvdocs.engine.pages._recall import Asked
from tests import warm

ROOT = Path(__file__).parents[1]
HOOKS = f"hooks: [{(ROOT / 'qkvdocs/engine/pages/_hooks.py').as_posix()}]\n"
THEME = "theme: {name: mkdocs, highlightjs: false}\n"
SETTINGS = f"""\
site_name: test
{THEME}use_directory_urls: true
plugins: []
exclude_docs: "*.toml"
markdown_extensions:
  - admonition
  - attr_list
  - md_in_html
  - tables
  - pymdownx.arithmatex: {{generic: true}}
  - pymdownx.highlight
  - pymdownx.tabbed: {{alternate_style: true}}
  - pymdownx.superfences:
      custom_fences:
        - name: mermaid
          class: mermaid
          validator: !!python/name:qkvdocs.engine.pages.accept
          format: !!python/name:qkvdocs.engine.pages.draw
  - qkvdocs.engine.pages: {{seconds: 2, memory: 200000000, output: 2000}}
"""
LIMITS = Limits(seconds=2, memory=200_000_000, output=2000)


@dataclass
class Project:
    """A small site of its own."""

    root: Path

    def write(self, text: str, name: str = "index.md") -> Path:
        """Write a page."""
        path = self.root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def set(self, more: str, without: str = "") -> None:
        """Add to the settings, and leave some out."""
        file = self.root / "mkdocs.yml"
        file.write_text(file.read_text("utf-8").replace(without, "") + more, "utf-8")

    def run(self, text: str, mode: Mode | None = None) -> Page:
        """Write a page and run it, without rendering."""
        return run_page(self.write(text), self.root, LIMITS, mode)

    def command(
        self, *words: str, cold: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python module in the project's folder, as a user would; `cold` in an interpreter of its own."""
        words = (sys.executable, "-m", *words)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1", **environment}
        if not cold and (done := warm.run([*words], self.root, env)):
            return done
        return subprocess.run(
            words, cwd=self.root, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    def html(self, name: str = "index.html") -> str:
        """Build with MkDocs and read one page."""
        done = self.command("mkdocs", "build", "-q")
        assert done.returncode == 0, done.stderr
        return (self.root / "site" / name).read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make an empty site."""
    (tmp_path / "mkdocs.yml").write_text(SETTINGS, "utf-8")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "site.toml", tmp_path / "docs")  # pages of tests import what lessons import
    return Project(tmp_path)


def fence(code: str, options: str = 'exec="on"', language: str = "python") -> str:
    """Write a fence."""
    return f"```{language} {options}\n{code}\n```\n"


@pytest.fixture
def lesson() -> Path:
    """Give the real lesson."""
    return ROOT / "docs" / "lessons" / "04-qkv-projections.md"


@contextmanager
def served(root: Path, log: Path) -> Iterator[Callable[..., str]]:
    """Run the dev server in a folder, with the package that lies there; give a way to read a page."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    words = [sys.executable, "-m", "mkdocs", "serve", "-a", address]
    env = {**os.environ, "PYTHONPATH": str(root), "NO_MKDOCS_2_WARNING": "1"}

    def read(page: str = "") -> str:
        """Give nothing while there is no server."""
        try:
            with urllib.request.urlopen(f"http://{address}/{page}", timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    with log.open("w") as said:
        server = subprocess.Popen(words, cwd=root, env=env, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield read
        finally:
            server.kill()
            server.wait()


def until(is_so: Callable[[], bool]) -> None:
    """Wait, ten seconds at most."""
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("it never was so")


def is_there(process: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def configured(root: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> MkDocsConfig:
    """Read a site's settings inside this process, as its builder would, and leave no mark on later builds."""
    monkeypatch.chdir(root)
    # Else hook and theme set them, for as long as the process lives.
    for name, value in {"SOURCE_DATE_EPOCH": "0", "NO_MKDOCS_2_WARNING": "1"}.items():
        monkeypatch.setenv(name, value)
    config = load_config(str(root / "mkdocs.yml"), **settings)
    config.plugins.on_startup(command="build", dirty=False)
    return config.plugins.on_config(config)


@pytest.fixture
def rendered_blank(lesson: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """Render a text as the real lesson, with the site's own settings; give what its blank page says.

    The code is that of the lesson, so its process is asked once.
    """
    monkeypatch.setenv("QKVDOCS_BLANK", str(tmp_path / "blank"))
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("qkvdocs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    config = configured(ROOT, monkeypatch, site_dir=str(tmp_path / "site"), docs_dir=str(docs))
    files = get_files(config)
    name = lesson.relative_to(ROOT).as_posix()
    path, replies = tmp_path / name, list[Any]()

    def known(asked: Asked) -> Sequence[Any]:
        if not replies:
            replies.extend(asked.run())
        return replies

    monkeypatch.setattr(_extension, "replies", known)

    def render(text: str) -> str:
        path.write_text(text, "utf-8")
        page = MkDocsPage(None, files.get_file_from_path(path.relative_to(docs).as_posix()), config)
        page.read_source(config)
        page.render(config, files)
        return (tmp_path / "blank" / f"{name}.html").read_text("utf-8")

    return render
