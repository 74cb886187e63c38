"""The build that publishes: checks of the rendered pages, and a folder that changes at once or not at all."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qkvdocs.__main__ import main
from qkvdocs.engine.checks import _build
from qkvdocs.engine.checks._build import _failure, _replace
from qkvdocs.errors import WAYS
from tests.project import ROOT, Project, fence

# fmt: off
WRONG = {
    "broken link": ("[a](nowhere.md)",
        r"docs/index\.md:3: LinkError: 'nowhere\.md' leads to nowhere\.md, which.*"),
    "broken anchor": ("[a](other.md#gone)",
        r"docs/index\.md:3: LinkError: '.*' must name an anchor of .* no #gone"),
    "own anchor": ("text [a](#gone)",
        r"docs/index\.md:3: LinkError: '#gone' must name an anchor of index\.html.*"),
    "link printed by a fence": (fence("print('[a](nowhere.md)')"),
        r"docs/index\.md:5?4?: LinkError: 'nowhere\.md' leads to nowhere\.md.*"),
    "link in HTML": ('<a href="gone/">a</a>', r"docs/index\.md:3: LinkError: 'gone/' leads to gone, which.*"),
    "absolute link": ('<a href="/other/">a</a>',
        r"docs/index\.md:3: LinkError: '/other/' must be relative.*"),
    "missing picture": ("![a](gone.png)",
        r"docs/index\.md:3: LinkError: 'gone\.png' leads to gone\.png, which.*"),
    "typed number": ("It is 15.", r"docs/index\.md:3: TypedNumber: '15' is typed in “It is 15\.”: .*"),
    "bad citation": ("[9](https://example.org){.cited}",
        r"docs/index\.md:3: CitationError: .* a title with a date, got 'https://example\.org' and ''"),
    "cited in worked section": ('## By hand {.worked}\n\n[9](https://example.org "seen 2026-11-21"){.cited}',
        r"docs/index\.md:5: CitationError: a cited fact must not stand in a worked section"),
    "two typed numbers": ("It is `{python} 15` and\n15 or\n15 again.",
        r"docs/index\.md:4: TypedNumber: '15' is typed in .*\n" r"docs/index\.md:5: TypedNumber: '15' is typed in .*"),
    "typed beside code": (fence("x = 15", 'exec="on" source="above"') + "\nIt is 15.",
        r"docs/index\.md:7: TypedNumber: '15' is typed in “It is 15\.”: .*"),
    "typed in a diagram": ("```mermaid\nflowchart LR\n  a[15 rows] -->|16| b[17]\n```",
        r"docs/index\.md:5: TypedNumber: ('1[567]'(, )?){3} typed in a drawing: .*"),
    "page outside the navigation is fine, its error is not": (fence("1 / 0"),
        r"(?s)docs/index\.md:4: ZeroDivisionError.*"),
}
# fmt: on


def published(project: Project) -> str:
    """Read what readers have."""
    return (project.root / "site" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("kind", WRONG)
def test_a_failed_build_leaves_the_site_alone(project: Project, kind: str) -> None:
    """First line, exit code, and readers keep the page that they had, with the flags taken in turn."""
    flags = [(), ("-q",)][list(WRONG).index(kind) % 2]
    text, first_line = WRONG[kind]
    (project.root / "site").mkdir()
    (project.root / "site" / "index.html").write_text("the old page")
    project.write("# Other\n", "other.md")
    project.write(f"# Page\n\n{text}\n")

    done = project.command("qkvdocs", "build", *flags)

    assert re.fullmatch(first_line, done.stderr.strip()), done.stderr
    assert done.returncode == 1
    assert published(project) == "the old page"
    assert sorted(path.name for path in project.root.iterdir()) == ["docs", "mkdocs.yml", "site"]


def test_a_right_build_replaces_the_site(project: Project) -> None:
    """Old files go, the report counts the numerals of each kind."""
    (project.root / "site").mkdir()
    (project.root / "site" / "gone.html").write_text("old")
    project.write("# Other {#top}\n", "other.md")
    cited = '[9 MB](https://example.org "seen 2026-11-21"){.cited}'
    project.write(f"# Page\n\n{fence('x = 15')}\n`{{python}} x` [a](other.md#top) {cited}\n")

    done = project.command("qkvdocs", "build")

    assert done.returncode == 0, done.stderr
    assert "index.html: 1 computed, 1 cited, 0 recorded, 0 name, 0 constant" in done.stdout
    assert "<p>15 <a" in published(project)
    assert not (project.root / "site" / "gone.html").exists()


def test_a_warning_of_the_builder_fails(project: Project) -> None:
    """What MkDocs only warns of is an error without --strict too."""
    project.set("nav: [index.md, missing.md]\n")
    project.write("# Page\n")

    done = project.command("qkvdocs", "build")

    assert done.returncode == 1
    assert "missing.md" in done.stderr


def test_a_page_that_is_in_no_menu_is_named(project: Project) -> None:
    """Nobody would find it."""
    project.set("nav: [index.md]\nvalidation: {omitted_files: warn}\n")
    project.write("# Page\n")
    project.write("# More\n", "more/page.md")

    done = project.command("qkvdocs", "build", cold=True)

    assert done.stderr == (
        "docs/more/page.md:1: NavError: a page must be in the menu: add more/page.md under nav in mkdocs.yml\n"
    )
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["other.md", "claims.toml"])
def test_a_file_of_another_encoding_is_named(project: Project, name: str) -> None:
    """With the line, and in one line."""
    project.write("# Page\n")
    (project.root / "docs" / name).write_bytes(b"# Page\n\ncaf\xe9\n")

    done = project.command("qkvdocs", "build")

    assert (
        done.stderr
        == f"docs/{name}:3: EncodingError: the file must be UTF-8, got byte 0xe9: save it as UTF-8\n"
    )
    assert done.returncode == 1


def test_a_wrong_fence_of_any_page_is_named(project: Project) -> None:
    """By the builder, while its claims are read beside it."""
    for name in ("a.md", "index.md"):
        project.write("# Page\n", name)
    project.write('# Page\n\n```python exec="on"\n1\n', "b.md")

    done = project.command("qkvdocs", "build")

    assert done.stderr == ("docs/b.md:3: FenceError: this fence must end with a line '```', found none\n")
    assert done.returncode == 1


def test_a_swap_that_is_cut_short_loses_nothing(tmp_path: Path) -> None:
    """If the new folder cannot be moved, the old one is put back."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "page").write_text("old")
    (tmp_path / "work").mkdir()

    with pytest.raises(FileNotFoundError):
        _replace(tmp_path / "work" / "never-made", site)

    assert (site / "page").read_text() == "old"


def test_what_killed_builds_left_goes_and_what_others_need_stays(project: Project) -> None:
    """A folder whose lock nobody holds is nobody's."""
    project.write("# Page\n")
    for name in (".site-killed", ".site-other", ".site-theirs"):
        (project.root / name / "site").mkdir(parents=True)
        if name != ".site-theirs":
            (project.root / name / "lock").touch()
    with (project.root / ".site-other" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert project.command("qkvdocs", "build").returncode == 0

    names = {path.name for path in project.root.iterdir()}
    assert names == {"docs", "mkdocs.yml", "site", ".site-other", ".site-theirs"}


def test_a_build_that_is_ended_leaves_nothing(project: Project) -> None:
    """Neither its folder nor its builders nor what a page has started."""
    project.write("# Page\n\n" + fence("import time, pathlib\npathlib.Path('here').touch()\ntime.sleep(1.9)"))
    words = [sys.executable, "-m", "qkvdocs", "build"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    building = subprocess.Popen(words, cwd=project.root, env=environment, start_new_session=True)
    while not (project.root / "here").exists():
        time.sleep(0.02)

    building.terminate()

    assert building.wait(10) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 10
    while group_lives(building.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sorted(path.name for path in project.root.iterdir()) == ["docs", "here", "mkdocs.yml"]


def group_lives(group: int) -> bool:
    """Tell whether any process of a session is still there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [number for number, way in WAYS.items() if way])
def test_a_machine_that_does_not_let_us_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened, where, and what to do."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "x", "a/folder")

    monkeypatch.setattr(_build, "build", refuse)

    assert main(["build"]) == 1
    assert capsys.readouterr().err == f"build: {os.strerror(number)}: a/folder: {WAYS[number]}\n"


def test_a_fault_that_is_ours_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is to be mended."""

    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "x", "a/file")

    monkeypatch.setattr(_build, "build", fail)

    with pytest.raises(FileNotFoundError):
        main(["build"])


def test_a_builder_without_space_is_one_line() -> None:
    """Its log ends in a trace."""
    log = "Traceback (most recent call last):\n  File ...\nOSError: [Errno 28] No space left on device: 'x'"

    assert _failure(log) == "No space left on device: 'x': free some space, and try again"


@pytest.mark.parametrize(("where", "code"), [("> /dev/full", 1), ("| true", 0)])
def test_output_that_nobody_takes_is_no_trace(project: Project, where: str, code: int) -> None:
    """A full device is named, a reader that has gone is not."""
    project.write("# Page\n")
    done = subprocess.run(
        f"{sys.executable} -c 'import time; time.sleep(0.2); import sys; from qkvdocs.__main__ import main; "
        f'sys.exit(main(["build"]))\' {where}',
        shell=True,
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    expected = "build: No space left on device: free some space, and try again\n" if code else ""
    assert done.stderr == expected
