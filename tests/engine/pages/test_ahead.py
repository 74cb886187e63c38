"""Pages run ahead of the builder give what running each in its turn gives."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mkdocs.structure.files import get_files
from mkdocs.structure.pages import Page as MkDocsPage

from qkvdocs.engine.pages import _ahead, _extension
from qkvdocs.engine.pages._ahead import Ahead
from qkvdocs.engine.pages._live import asked_in
from qkvdocs.engine.pages._recall import Asked
from tests.project import HOOKS, LIMITS, ROOT, Project, configured, fence


def asked(code: str, name: str = "index.md") -> Asked:
    """Make a page of one fence."""
    return Asked(ROOT, f"docs/{name}", 1, tuple(fence(code).split("\n")), LIMITS)


def test_replies_are_those_of_the_page_itself() -> None:
    """Whichever is asked for first; each was run once."""
    pages = [asked(f"print({n})", f"{n}.md") for n in range(4)]
    ran = []

    def run(page: Asked) -> Sequence[Any]:
        ran.append(page.file)
        return page.run()

    ahead = Ahead(pages, run)

    for page in reversed(pages):
        assert ahead.replies(page) == page.run()
    assert sorted(ran) == [page.file for page in pages]


def test_an_error_comes_when_its_page_is_asked_for() -> None:
    """Not before, and the pages behind it are run all the same."""
    ahead = Ahead([asked("1 / 0", "a.md"), asked("print(2)", "b.md")], Asked.run)

    assert ahead.replies(asked("print(2)", "b.md"))[0]["stdout"] == "2\n"
    assert ahead.replies(asked("1 / 0", "a.md"))[0]["error"] == "ZeroDivisionError"


def test_a_page_of_another_text_is_run_when_it_is_asked_for() -> None:
    """It may have been edited since, or come from where nobody looked."""
    ahead = Ahead([asked("print(1)")], Asked.run)

    assert ahead.replies(asked("print(3)"))[0]["stdout"] == "3\n"


def test_what_is_stopped_begins_no_other_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that has failed leaves no work behind."""
    monkeypatch.setattr(_ahead.os, "cpu_count", lambda: 1)
    began, go, ran = threading.Event(), threading.Event(), []

    def run(page: Asked) -> Sequence[Any]:
        ran.append(page.file)
        began.set()
        go.wait(10)
        return ()

    ahead = Ahead([asked("print(1)", "a.md"), asked("print(2)", "b.md")], run)
    began.wait(10)
    ahead.stop()
    go.set()
    for thread in ahead.threads:
        thread.join(10)

    assert ran == ["docs/a.md"]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict[str, bool]]:
    """Ask a builder's hooks which pages they run ahead, and whether the extension then asks for the same."""

    def look(root: Path) -> dict[str, bool]:
        monkeypatch.setattr(_extension, "replies", None)
        config = configured(root, monkeypatch, site_dir=str(root / "nowhere"))
        [hooks] = (module for name, module in config.hooks.items() if name.endswith("pages/_hooks.py"))
        pages: list[Asked] = []
        monkeypatch.setattr(hooks, "Ahead", lambda told, run: (pages.extend(told), Ahead((), run))[1])
        files = config.plugins.on_files(get_files(config), config=config)
        found: dict[str, bool] = {}

        class EnoughError(Exception):
            pass

        def replies(page: Asked) -> Sequence[Any]:
            found[page.file] = page in pages
            raise EnoughError

        monkeypatch.setattr(_extension, "replies", replies)
        for file in files.documentation_pages():
            page = MkDocsPage(None, file, config)
            page.read_source(config)
            with pytest.raises(EnoughError):
                page.render(config, files)
        assert [page.file for page in pages] == list(found)
        return found

    return look


def test_every_page_of_the_site_is_known(known: Callable[[Path], dict[str, bool]]) -> None:
    """Else it would run twice: once for nobody."""
    found = known(ROOT)

    assert {name for name, same in found.items() if not same} == set()
    assert {
        f"docs/{path.relative_to(ROOT / 'docs').as_posix()}" for path in (ROOT / "docs").rglob("*.md")
    } == set(found)


def test_text_that_markdown_tidies_is_known(
    known: Callable[[Path], dict[str, bool]], project: Project
) -> None:
    """Front matter, tabs, ends of lines, blanks: what the extension gets is not what the file holds."""
    texts = {
        "index.md": "# One\n\n" + fence("print(1)"),
        "front.md": "---\ntitle: x\n---\n\n\n# Two\n\n" + fence("print(1)"),
        "tabs.md": "# Three\n\n\tcode\n \n   \n" + fence("print(1)") + "\n\n\n",
        "ends.md": "# Four\r\n\r\n" + fence("print(1)").replace("\n", "\r\n"),
        "mark.md": "\ufeff# Five\n\nthe end",
    }
    for name, text in texts.items():
        (project.root / "docs" / name).write_bytes(text.encode())
    project.set(HOOKS)

    assert known(project.root) == {f"docs/{name}": True for name in texts} | {"docs/index.md": True}


def test_a_build_says_the_same_with_and_without_the_hooks(project: Project) -> None:
    """Pages and messages; and what fails waits for nobody who is still running."""
    for name, text in {"index.md": "print(1)", "b.md": "import os; print(os.getpid() > 0)"}.items():
        project.write(fence(text), name)
    built, failed = [], []
    for hooks in ("", HOOKS):
        project.set(hooks)
        project.write(fence("print(3)"), "c.md")
        pages = (project.html(name) for name in ("index.html", "b/index.html", "c/index.html"))
        built.append([page.split("<footer")[0] for page in pages])  # which is dated
        project.write(fence("x = 1\n1 / 0"), "c.md")
        project.write(fence("import time; time.sleep(1.5)"), "d.md")
        done = project.command("mkdocs", "build", "-q")
        failed.append((done.returncode, done.stdout, done.stderr))
        (project.root / "docs" / "d.md").unlink()

    assert built[0] == built[1]
    assert failed[0] == failed[1]
    assert "docs/c.md:3: ZeroDivisionError: division by zero" in failed[0][2]


def test_the_reference_is_converted_first_then_pages_as_they_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is converted late has run by then."""
    for name, lines in {"index.md": 1, "longest.md": 9, "short.md": 3, "longer.md": 6}.items():
        project.write("# Page\n" + "word\n" * lines, name)
    project.write("# Page\n\n::: qkvdocs.roles\n", "reference.md")
    project.set(HOOKS)
    config, ran = configured(project.root, monkeypatch), list[str]()
    monkeypatch.setattr(_ahead.os, "cpu_count", lambda: 1)
    files = get_files(config)
    pages = [asked_in(Path(str(file.abs_src_path)), config) for file in files.documentation_pages()]

    def run(page: Asked) -> Sequence[Any]:
        ran.append(page.file)
        return ()

    ahead = Ahead(pages, run)
    ahead.threads[0].join(10)

    [hooks] = (module for name, module in config.hooks.items() if name.endswith("pages/_hooks.py"))
    hooks.on_nav(None, config, files)

    first, *others = (f"docs/{file.src_uri}" for file in files.documentation_pages())
    assert first == "docs/reference.md"
    assert others == [file for file in ran if file != first] != sorted(others)


def test_pages_are_run_while_others_are_converted(project: Project) -> None:
    """The point of it all: the builder's own work and a page's go on at one time."""
    log = project.root / "log.txt"
    for name in ("index.md", "b.md", "c.md"):
        code = f"with open({str(log)!r}, 'a') as log:\n    n = log.write('ran {name}\\n')"
        project.write(fence(code), name)
    slow = project.root / "slow.py"
    slow.write_text(
        "import time\n"
        "def on_page_content(html, page, **_):\n"
        f"    open({str(log)!r}, 'a').write(f'converted {{page.file.src_uri}}\\n')\n"
        "    time.sleep(3)\n"
    )
    project.set(HOOKS.replace("]", ", slow.py]"))

    project.html()

    order = log.read_text().split("\n")
    assert order.index("converted b.md") > order.index("ran c.md")
    assert order.count("ran c.md") == 1


def test_compiled_templates_are_kept(project: Project) -> None:
    """The next build finds them."""
    project.write("# Page")
    project.set(HOOKS)

    project.html()

    assert list((project.root / ".cache" / "templates").iterdir())


def test_coloured_code_is_kept_beside_diagrams(project: Project) -> None:
    """Where a site keeps diagrams."""
    project.write(fence("x = 1", 'exec="no"'))
    settings = project.root / "mkdocs.yml"
    told = settings.read_text("utf-8").replace("seconds: 2", "seconds: 2, cache: .cache/diagrams")
    settings.write_text(told, "utf-8")

    project.html()

    assert list((project.root / ".cache" / "code").iterdir())
