"""Whatever is wrong on a page ends the build, names file and line first, and publishes nothing."""

import re
from pathlib import Path

import pytest

from qkvdocs.engine.pages import LessonError, Page
from qkvdocs.engine.pages._page import run as run_parts
from tests.project import ROOT, Project, fence

# fmt: off
PAGES = {
    "syntax error": (fence("x = = 1"), r"docs/index\.md:4: SyntaxError: invalid syntax"),
    "name error": (fence("x = 1\ny"), r"docs/index\.md:5: NameError: name 'y' is not defined"),
    "false claim": (fence("assert 1 == 2, 'one is two'"), r"docs/index\.md:4: AssertionError: one is two"),
    "error inside the package": (
        fence("from qkvdocs.core import split_heads\nimport numpy as np\nsplit_heads(np.ones((2, 3)), 2)"),
        r"docs/index\.md:6: ShapeError: .*"),
    "value": ("some text\n\n`{python} nothing`\n",
        r"docs/index\.md:5: NameError: name 'nothing' is not defined"),
    "value of no kind": ("`{python} None`\n",
        r"docs/index\.md:3: QKVError: value must be a number.*got None"),
    "warning": (fence("import warnings\nwarnings.warn('beware')"), r"docs/index\.md:5: UserWarning: beware"),
    "floating point": (fence("import numpy as np\nnp.ones(1) / np.zeros(1)"),
        r"docs/index\.md:5: FloatingPointError: divide by zero.*"),
    "exit": (fence("import sys\nsys.exit(0)"),
        r"docs/index\.md:5: SystemExit: a lesson must not end.*exit\(0\).*"),
    "hard exit": (fence("import os\nos._exit(0)"), r"docs/index\.md:3: KernelDied: .*"),
    "endless loop": (fence("while True: pass"),
        r"docs/index\.md:3: TimeLimit: a fence or value may take 2 s"),
    "output flood": (fence("while True: print('x' * 99)"),
        r"docs/index\.md:\d: OutputLimit: .* may print 2000 bytes"),
    "memory flood": (fence("x = [0]\nwhile True: x += x"),
        r"docs/index\.md:5: MemoryError: .*may use 190 MB.*"),
    "stderr": (fence("import sys\nprint('oh', file=sys.stderr)"), r"docs/index\.md:3: StderrError: .*'oh'"),
    "bare scalar": (fence("import numpy as np\nprint([np.float64(1)])"),
        r"docs/index\.md:3: OutputError: .*fmt\(\)"),
    "misspelt option": (fence("x", 'exec="on" sesion="a"'),
        r"docs/index\.md:3: FenceError: .*one of .*got 'sesion'"),
    "misspelt exec": (fence("x", 'exce="on"'), r"docs/index\.md:3: FenceError: .*got 'exce'"),
    "misspelt yes": (fence("x", 'exec="onn"'),
        r"docs/index\.md:3: FenceError: exec must be one of on, got 'onn'"),
    "bad source": (fence("x", 'exec="on" source="bogus"'),
        r"docs/index\.md:3: FenceError: source must be one of.*"),
    "unquoted option": (fence("x", "exec=on"),
        r"docs/index\.md:3: FenceError: .*must read: language option=.*"),
    "bare option": (fence("x", "exec"), r"docs/index\.md:3: FenceError: .*must read: language option=.*"),
    "braces": (fence("x", '{ .python exec="on" }', ""), r"docs/index\.md:3: FenceError: .*must read.*"),
    "unknown language": (fence("x", language="pyhton"),
        r"docs/index\.md:3: FenceError: only python fences run.*"),
    "unmarked python": (fence("x", ""), r"docs/index\.md:3: FenceError: a python fence must say exec.*"),
    "comment": (f"<!--\n\n{fence('x = 1')}\n-->\n",
        r"docs/index\.md:5: FenceError: a fence inside a comment.*"),
    "indented code": ('text\n\n    ```python exec="on"\n    x = 1\n    ```\n',
        r"docs/index\.md:5: FenceError: .*"),
    "fence within a line": ('- ```python exec="on"\n  x = 1\n  ```\n',
        r"docs/index\.md:3: FenceError: .*its line"),
    "never closed": ('```python exec="on"\nx = 1\n', r"docs/index\.md:3: FenceError: .*must end.*"),
    "printed fence": (fence("print('````python exec=\"on\"\\nx = 1\\n````')"),
        r"docs/index\.md:3: FenceError: a fence must not print a fence that runs"),
    "forgotten exec": (fence("x", 'session="a"'),
        r"docs/index\.md:3: FenceError: session must stand with exec=\"on\", got a fence that does not run"),
    "name of another session": (
        fence("y = 1", 'exec="on" session="a"') + fence("y", 'exec="on" session="b"'),
        r"docs/index\.md:7: NameError: name 'y' is not defined\. Session 'a' has it: .*"),
    "value before its fence": ("`{python} y`\n\n" + fence("y = 1"),
        r"docs/index\.md:3: NameError: .*The fence on line 5 sets it, below: .*"),
    "name of a fence that does not run": (fence("y = 1", 'exec="no"') + fence("y"),
        r"docs/index\.md:7: NameError: .*The fence on line 3 sets it, and does not run: let it say exec=.*"),
    "name of a fence without a session": (fence("y = 1") + fence("y"),
        r"docs/index\.md:7: NameError: .*The fence on line 3 sets it, and has no session: .*"),
    "missing error": (fence("x = 1", 'exec="on" raises="ValueError"'),
        r"docs/index\.md:3: FenceError: must raise.*"),
    "other error": (fence("1 / 0", 'exec="on" raises="ValueError"'),
        r".*:4: .*got ZeroDivisionError: division.*"),
    "broken mermaid": ("```mermaid\nflowchart LR\n  A[x --> B\n```\n", r"docs/index\.md:5: MermaidError: .*"),
    "broken TeX": ("text\n\nand \\(\\nosuch{x}\\) here\n", r"docs/index\.md:5: TeXError: .*nosuch.*"),
    "open value": ("`{python} 1 +\n2`\n",
        r"docs/index\.md:3: ValueError: an inline value must end on its line"),
    "printed mark": (fence("print('larger `{check} 1 > 2`')"),
        r"docs/index\.md:3: FenceError: a fence must not print a value or a mark: nobody reads it"),
    "other value": ("`{r} x`\n",
        r"docs/index\.md:3: ValueError: an inline value must begin \{python\}.* or \{unfolded\}, got \{r\}"),
    "value in a heading": ("## Head `{python} 1`\n", r"docs/index\.md:3: ValueError: .*anchor.*"),
}
# fmt: on
FLAGS = ((), ("--strict",), ("-q",))


@pytest.mark.parametrize("kind", PAGES)
def test_a_wrong_page_is_never_published(project: Project, kind: str) -> None:
    """Exit code, first line and empty folder, with the flags taken in turn."""
    text, first_line = PAGES[kind]
    project.write(f"# Page\n\n{text}")
    project.write("# Fine\n", "fine.md")

    done = project.command("mkdocs", "build", *FLAGS[list(PAGES).index(kind) % 3])

    lines = [line for line in done.stderr.split("\n") if not line.startswith("INFO ")]
    assert re.fullmatch(first_line, lines[0]), done.stderr
    assert done.returncode == 1
    assert not list((project.root / "site").rglob("*.html"))


def test_an_interpreter_of_its_own_changes_nothing(project: Project) -> None:
    """As for everybody, without any flag."""
    project.write(f"# Page\n\n{fence('1 / 0')}")

    done = project.command("mkdocs", "build", cold=True)

    assert done.returncode == 1
    assert "docs/index.md:4: ZeroDivisionError: division by zero" in done.stderr


def test_front_matter_moves_no_line(project: Project) -> None:
    """Lines are those of the file, which MkDocs strips of its front matter."""
    project.write(f"---\ntitle: x\nother: y\n---\n\n\n# Page\n\n{fence('1 / 0')}")

    assert "docs/index.md:10: ZeroDivisionError" in project.command("mkdocs", "build", "-q").stderr


def test_the_way_of_an_error_follows_its_line(project: Project) -> None:
    """The second line on shows where the package raised, without the engine's own frames."""
    call = "from qkvdocs.core import split_heads\nimport numpy as np\nsplit_heads(np.ones((2, 3)), 2)"
    project.write(f"# Page\n\n{fence(call)}")

    text = project.command("mkdocs", "build", "-q").stderr

    assert 'File "docs/index.md", line 6' in text
    assert "qkvdocs/core/" in text
    assert "_kernel.py" not in text


def test_an_error_that_is_asked_for_is_shown(project: Project) -> None:
    """`raises` turns the error into the fence's output."""
    project.write(fence("print('before')\n1 / 0", 'exec="on" raises="ZeroDivisionError" result="text"'))

    assert re.search(r"before\nZeroDivisionError: division by zero", project.html())


BROKEN = {
    "misspelt option": ('```python exec="on" sesion="04"\nx = 1\n```', "FenceError"),
    "unquoted option": ("```python exec=on\nx = 1\n```", "FenceError"),
    "unknown language": ('```pyhton exec="on"\nx = 1\n```', "FenceError"),
    "forgotten exec": ('```python session="04"\nx = 1\n```', "FenceError"),
    "never closed": ('````python exec="on" session="04"\nx = 1', "FenceError"),
    "name": ('```python exec="on" session="04"\nnothing_of_the_kind\n```', "NameError"),
    "claim": ("larger `{check} 1 > 2`", "ClaimError"),
    "value": ("`{r} x`", "ValueError"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_real_lesson_broken_anywhere_names_its_line(lesson: Path, kind: str, place: str) -> None:
    """A real lesson has a reading time, formulas, marks and folds, which a small page lacks."""
    lines = lesson.read_text("utf-8").split("\n")
    heads = [at for at, line in enumerate(lines) if line.startswith("## ")]
    at = {"first": heads[0], "middle": heads[len(heads) // 2], "last": heads[-1]}[place]
    text, name = BROKEN[kind]
    broken = [*lines[:at], *text.split("\n"), "", *lines[at:]]
    run = 1 + at + (name == "NameError")

    page = Page(lesson.relative_to(ROOT).as_posix(), ROOT, broken)
    with pytest.raises(LessonError) as failure:
        run_parts(page)

    assert str(failure.value).startswith(f"docs/lessons/04-qkv-projections.md:{run}: {name}: ")
