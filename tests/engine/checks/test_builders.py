"""The same pages in MkDocs, in its dev server and in Zensical; the same bytes wherever they are built."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qkvdocs.engine.pages._site import date_of
from qkvdocs.engine.runtime import folder, is_there
from tests.project import ROOT, THEME, Project, fence, served

TEXT = f"""# Page

{fence("import numpy as np; x = np.arange(3)", 'exec="on" session="a" source="above"')}
It is `{{python}} x`, and \\(x_0 = `{{python}} x[0]`\\).

{fence("print(x / 3)", 'exec="on" session="a" source="above" result="text"')}

```mermaid
flowchart LR
  A[x ends in `{{python}} x[-1]`] --> B[y]
```
"""


def hashes(site: Path) -> dict[str, str]:
    """Digest every file that a reader may get."""
    files = (path for path in sorted(site.rglob("*")) if path.is_file())
    return {
        path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_two_builds_of_the_site_are_the_same_bytes(site: Path, elsewhere: Path) -> None:
    """Another folder, hash seed, locale and time zone: no byte of a file moves, nor of what can be taken along."""
    ours, theirs = hashes(site), hashes(elsewhere)
    assert {"index.html", "lessons/04-qkv-projections/index.md", "search/index.json"} <= {*ours}
    assert [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)] == []
    assert ("runtime/pyodide.asm.wasm" in ours) == is_there(ROOT / folder())


def test_the_site_is_dated_by_its_last_commit(project: Project) -> None:
    """Not by the day on which it is built; outside a repository it has the epoch's date."""
    assert date_of(project.root) == "0"

    for words in (
        ["init", "-q"],
        ["commit", "-q", "--allow-empty", "-m", "x", "--date", "2001-02-03T04:05:06Z"],
    ):
        who = {"GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z"}
        for name in ("AUTHOR", "COMMITTER"):
            who |= {f"GIT_{name}_NAME": "x", f"GIT_{name}_EMAIL": "x@example.org"}
        subprocess.run(["git", *words], cwd=project.root, env={**os.environ, **who}, check=True)

    assert date_of(project.root) == "981173106"


def test_pages_alone_and_together_are_the_same_bytes(project: Project) -> None:
    """No counter of one page shows in another."""
    texts = {f"p{n}.md": TEXT.replace("arange(3)", f"arange({n})") for n in (4, 5, 6)}
    articles = []
    for group in (list(texts), list(reversed(texts)), ["p5.md"]):
        shutil.rmtree(project.root / "docs")
        for name in group:
            project.write(texts[name], name)
        assert project.command("mkdocs", "build", "-q").returncode == 0
        pages = {name: project.root / "site" / name[:2] / "index.html" for name in group}
        articles.append(
            {
                name: page.read_text("utf-8").split('role="main">')[1].split("<footer")[0]
                for name, page in pages.items()
            }
        )
    assert articles[0] == articles[1]
    for alone in articles[2:]:
        assert alone.items() <= articles[0].items()


def test_zensical_fails_on_a_wrong_page(project: Project) -> None:
    """There, exit code and message are promised."""
    project.write(f"# Page\n\n{fence('1 / 0')}")
    project.set("", without=THEME)

    done = project.command("zensical", "build", "--clean")

    assert done.returncode != 0
    assert "docs/index.md:4: ZeroDivisionError: division by zero" in done.stdout + done.stderr


def wait_for(what: Callable[[], object], why: str, log: Path) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.1)
    pytest.fail(f"{why}\n{log.read_text('utf-8')[-3000:]}")


def test_the_dev_server_shows_every_edit(project: Project) -> None:
    """Of a lesson and of the package; a syntax error in either is shown, and recovered from."""
    page = project.write(fence("from qkvdocs.core import version_of_test\nprint('now', version_of_test())"))
    log = project.root / "log.txt"
    core = project.root / "qkvdocs" / "core" / "__init__.py"
    project.write(fence("print('first')"))
    project.set("hooks: [qkvdocs/engine/pages/_hooks.py]\nwatch: [qkvdocs]\n")
    shutil.copytree(ROOT / "qkvdocs", project.root / "qkvdocs", ignore=shutil.ignore_patterns("__pycache__"))
    with served(project.root, log) as read:
        wait_for(lambda: "first" in read(), "the first page", log)
        original = core.read_text("utf-8")

        def package(value: str) -> None:
            core.write_text(original + f"\ndef version_of_test() -> str:\n    return {value}\n", "utf-8")

        package("'one'")
        page.write_text(
            fence("from qkvdocs.core import version_of_test\nprint('now', version_of_test())"), "utf-8"
        )
        wait_for(lambda: "now one" in read(), "an edit of the lesson and of the package", log)
        package("'two'")
        wait_for(lambda: "now two" in read(), "an edit of the package of the same size", log)
        package("= oops")
        wait_for(
            lambda: "docs/index.md:2: SyntaxError" in log.read_text("utf-8"), "an error in the package", log
        )
        package("'three'")
        wait_for(lambda: "now three" in read(), "recovery", log)
        page.write_text(fence("print('now' 'four'"), "utf-8")
        wait_for(
            lambda: re.search(r"docs/index.md:\d: SyntaxError: '\('", log.read_text("utf-8")), "lesson", log
        )
        page.write_text(fence("print('now', 'five')\nprint('x' in globals())"), "utf-8")
        wait_for(lambda: "now five\nFalse" in read(), "recovery of the lesson", log)
