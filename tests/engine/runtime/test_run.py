"""What runs in the browser, run here: it prints what the build prints, and shows errors by the reader's own lines."""

import numpy as np
import pytest

from qkvdocs.engine.runtime import answer, run_fence
from tests.project import Project, fence

BLOCKS = [
    "print(np.array([1, 2 / 3, 1e-9]))",
    "print('a  ');print('  b\\t');print()",
    "import sys; sys.stdout.write('no end of line')",
    "print('é ∞ <b>&amp;</b>')",
    "x = 2",
    "rng = np.random.default_rng(1); print(rng.normal(size=(3, 3)))",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\nprint(A())",
    "print(np.arange(2000))",
]
WRONG = [
    ("from qkvdocs.core import causal_mask\nprint('so far')\ncausal_mask(3, 2)", "ShapeError"),
    ("raise KeyError('k')", "KeyError"),
    ("raise ValueError", "ValueError"),
    ("import warnings; warnings.warn('careful')", "UserWarning"),
    ("1 / 0", "ZeroDivisionError"),
    ("np.array([1.0]) / 0", "FloatingPointError"),
]
FIRST = {"code": "import numpy as np\nprint('above')", "session": "a"}


def run(code: str, *above: dict[str, str], **fence: str) -> dict[str, str]:
    """Run one block below others."""
    fences = [FIRST, *above, {"code": "", "session": "a", **fence}]
    return run_fence(fences, len(fences) - 1, code)


@pytest.mark.parametrize("code", BLOCKS)
def test_it_prints_what_the_build_prints(project: Project, code: str) -> None:
    """The page's own process and the browser's function agree, word for word."""
    page = project.run(
        fence(FIRST["code"], 'exec="on" session="a"') + fence(code, 'exec="on" session="a" result="text"')
    )
    assert run(code) == {"text": page.entries[-1].text, "error": ""}


@pytest.mark.parametrize(("code", "kind"), WRONG)
def test_an_expected_error_is_shown_as_the_build_shows_it(project: Project, code: str, kind: str) -> None:
    """What was printed before, then its name and message; and where it is not expected, the line besides."""
    page = project.run(
        fence(FIRST["code"], 'exec="on" session="a"')
        + fence(code, f'exec="on" session="a" result="text" raises="{kind}"')
    )
    assert run(code, raises=kind)["text"] == page.entries[-1].text
    assert run(code)["text"] != page.entries[-1].text
    assert run(code)["text"].endswith(page.entries[-1].text.split("\n")[-1])


def test_it_runs_after_its_own_session_only() -> None:
    """Names of the session's earlier blocks are there, those of others are not, and what they print is not shown."""
    other = {"code": "y = 5", "session": "b"}
    mine = {"code": "x = 3; print('loud')", "session": "a"}
    assert run("print(x, 'y' in globals())", mine, other) == {"text": "3 False", "error": ""}
    assert run_fence([mine, {"code": ""}], 1, "print('x' in globals())")["text"] == "False"


def test_each_run_begins_anew() -> None:
    """Neither names nor print options nor error settings stay."""
    before = np.get_printoptions(), np.geterr()
    run("left = 1; np.set_printoptions(precision=1, threshold=2); np.seterr(all='ignore')")
    assert (np.get_printoptions(), np.geterr()) == before
    assert run("print('left' in globals(), np.array([1 / 3]))")["text"] == "False [0.3333]"


def test_an_expected_error_above_does_not_stop_what_is_below() -> None:
    """A page goes on after a block that shows an error."""
    above = {"code": "z = 1\n1 / 0", "session": "a", "raises": "ZeroDivisionError"}
    assert run("print(z)", above) == {"text": "1", "error": ""}


def test_a_file_of_the_repository_is_not_there() -> None:
    """A block above that reads one is passed over, and what needs its names too; the reader's own fails by name."""
    above = {"code": "before = 1\ntext = open('docs/none.json').read()", "session": "a"}
    assert run("print(before)", above) == {"text": "1", "error": ""}
    assert run("print(text)", above)["text"].endswith("NameError: name 'text' is not defined")
    needs = {"code": "words = text.split()\nmore = 1", "session": "a"}
    assert run("print(before)", above, needs) == {"text": "1", "error": ""}
    assert run("print(before)", needs, above)["error"] == "NameError"
    broken = {"code": "1 / 0", "session": "a"}
    assert run("print(1)", broken)["error"] == "ZeroDivisionError"


def test_a_traceback_is_short_and_names_the_readers_line() -> None:
    """Only frames of the page's own code; the last of the reader's lines stands in the summary."""
    helper = {"code": "def f(m):\n    return m @ np.ones(3)", "session": "a"}
    found = run("m = np.ones(2)\n\nf(m)", helper)
    assert found["error"] == "ValueError in line 3"
    lines = found["text"].split("\n")
    assert lines[0] == '  File "this block", line 3, in <module>'
    assert lines[1] == "    f(m)"
    assert '  File "a block above", line 2, in f' in lines
    assert lines[-1].startswith("ValueError: matmul")
    assert "qkvdocs" not in found["text"]

    found = run("from qkvdocs.core import causal_mask\ncausal_mask(3, 2)")
    assert found["error"] == "ShapeError in line 2"
    assert "_masks.py" not in found["text"]


def test_a_syntax_error_names_its_line() -> None:
    """And shows it."""
    found = run("x = 1\ny = (2\n")
    assert found["error"] == "SyntaxError in line 2"
    assert found["text"].split("\n")[-1] == "SyntaxError: '(' was never closed"
    assert "    y = (2" in found["text"]


def test_leaving_and_flooding_end_the_run_only() -> None:
    """`sys.exit` ends nothing else; output without end does not fill the memory."""
    assert run("import sys; sys.exit(3)")["error"] == "SystemExit in line 1"
    found = run("while True:\n    print('x' * 1000)")
    assert found["error"] == "OverflowError in line 2"
    assert len(found["text"]) < 110_000


def test_the_script_speaks_json() -> None:
    """Text in, text out: no object crosses between the languages."""
    assert answer('[[{"code": ""}], 0, "print(\\"<b>\\")"]') == '{"text": "<b>", "error": ""}'
