# A small site with every figure on one page, made with the theme of the real one.

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from qkvdocs.figures import vectors_on_axes, worked_product
from tests.browser.conftest import serve
from tests.figures.examples import GALLERY, W_K, W_Q, W_V, X, attention, product
from tests.figures.exercises import exercises

ASSETS = Path(__file__).parents[2] / "qkvdocs" / "figures" / "assets"
CONFIG = """\
site_name: Gallery
theme:
  name: material
  font: false
  palette:
    - {media: "(prefers-color-scheme: light)", scheme: default, toggle: {icon: material/brightness-7, name: dark}}
    - {media: "(prefers-color-scheme: dark)", scheme: slate, toggle: {icon: material/brightness-4, name: light}}
extra_css: [assets/qkv.css]
extra_javascript: [{path: assets/qkv-live.js, defer: true}]
markdown_extensions: [pymdownx.details, admonition]
plugins: []
"""


def practice(lesson):
    """All exercises of a lesson."""
    parts = [html for name, (*_, html) in exercises().items() if name.startswith(lesson)]
    return "\n\n".join([*parts, "## A heading", "[Product](product.md)"])


def shared():
    """Products and the path of attention with the same rows and weights, one with others, and what cannot follow."""
    x2 = X[1]
    parts = [
        worked_product(x2, W, x2 @ W, names=("x2", f"W_{name}", out), name=title)
        for name, W, out, title in (("Q", W_Q, "q2", "query"), ("K", W_K, "k2", "key"))
    ]
    other = W_V + np.eye(4, 2, dtype=int) * [5, 0]
    parts += [
        attention(tokens=["one", "two"], rows=["x1", "x2"], name="path"),
        worked_product(X, other, X @ other, names=("rows", "W_V", "V"), name="other"),
        vectors_on_axes({"q2": x2 @ W_Q, "k2": x2 @ W_K}),
        '<figure class="diagram"><p>q2 = 3</p></figure>',
        '<figure class="diagram"><p>no number</p></figure>',
    ]
    return "\n\n".join(parts)


PAGES = {
    "index": lambda: "\n\n".join(f"## {name.title()} figure\n\n{make()}" for name, make in GALLERY.items()),
    "product": lambda: f"{product()}\n\n## A heading\n\n[All](index.md) [Attention](attention.md)",
    "attention": lambda: f"{attention(tokens=['the', 'cat'])}\n\n[All](index.md) [Product](product.md)",
    "shared": shared,
    **{f"practice-{name[:2]}": partial(practice, name[:2]) for name in exercises()},
}


VIEW = {"width": 1220, "height": 900}
MEDIA = ("color_scheme", "forced_colors", "reduced_motion")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server of an empty folder."""
    root = tmp_path_factory.mktemp("gallery")
    with serve(root) as host:
        yield root, host


@pytest.fixture(scope="session")
def gallery(server):
    """The built folder."""
    root, host = server
    (root / "docs" / "assets").mkdir(parents=True)
    for name in ("qkv.css", "qkv-live.js", "qkv-practice.js"):
        (root / "docs" / "assets" / name).write_bytes((ASSETS / name).read_bytes())
    (root / "mkdocs.yml").write_text(f"site_url: {host}site/\n{CONFIG}", "utf-8")
    for name, make in PAGES.items():
        (root / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{make()}\n", "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(root / "mkdocs.yml")]
    subprocess.run(command, check=True, capture_output=True)
    return root / "site"


@pytest.fixture(scope="session")
def address(server, gallery):
    """Where the gallery is served: under a path of its own, as on a project's pages."""
    return f"{server[1]}{gallery.name}"


@pytest.fixture(scope="session")
def tabs(browser):
    """Tabs of usual readers, with JavaScript and without, that no test uses at the moment."""
    free = {True: [], False: []}
    yield free
    for tab in free[True] + free[False]:
        tab.context.close()


@pytest.fixture
def open_page(browser, address, tabs):
    """Open a page as some reader has it; a script error fails the test.

    A tab is used again: nothing stored, the pointer in a corner. What no open tab can become has one of its own.
    """
    used, errors = [], []

    def failed(error):
        errors.append(str(error))

    def open_page(path="index.html", *, at=None, viewport=VIEW, java_script_enabled=True, **reader):
        media = {name: reader.pop(name, "null") for name in MEDIA}
        free = [] if reader else tabs[java_script_enabled]
        new = partial(browser.new_context, java_script_enabled=java_script_enabled, **reader)
        tab = free.pop() if free else new().new_page()
        used.append((tab, bool(reader), java_script_enabled))
        tab.set_viewport_size(viewport)
        tab.emulate_media(media="null", **media)
        tab.on("pageerror", failed)
        tab.goto(f"{at or address}/{path}")
        return tab

    yield open_page
    for tab, apart, scripts in used:
        tab.remove_listener("pageerror", failed)
        if apart:
            tab.context.close()
            continue
        if scripts:
            tab.evaluate("localStorage.clear(); sessionStorage.clear()")
        tab.mouse.move(0, 0)
        tabs[scripts].append(tab)
    assert not errors


@pytest.fixture(scope="session")
def bench(browser):
    """A blank page with the script: for properties that need no theme."""
    page = browser.new_page()
    page.set_content("<!doctype html><main></main>")
    page.add_style_tag(content=(ASSETS / "qkv.css").read_text("utf-8"))
    page.add_script_tag(content=(ASSETS / "qkv-live.js").read_text("utf-8"))
    yield page
    page.close()
