"""The bare wheel needs numpy and what the signatures need, and nothing else."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = ("numpy", "jaxtyping", "wadler-lindig")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it into a folder with the base packages and no others."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    site = folder / "site"
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(site)
    for name in BASE:
        for top in {file.parts[0] for file in distribution(name).files or () if file.parts[0] != ".."}:
            (site / top).symlink_to(distribution(name).locate_file(top))
    return site


def run(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code that sees that folder and the standard library."""
    code = f"import sys; sys.path.append({str(site)!r}); {code}"
    words = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(words, cwd=site, capture_output=True, text=True, check=False)


def test_the_base_install_needs_numpy_only(wheel: Path) -> None:
    """Everything but the lessons' Markdown side."""
    done = run(wheel, "import qkvdocs.core as c, qkvdocs.numbers, qkvdocs.errors; print(c.__file__)")
    assert done.returncode == 0, done.stderr
    assert str(wheel) in done.stdout


def test_nothing_else_is_there(wheel: Path) -> None:
    """Were something missing from the list above, the import would fail as this one does."""
    assert "No module named 'markdown'" in run(wheel, "import markdown").stderr


def test_a_command_that_needs_more_says_what(wheel: Path) -> None:
    """One line, exit code 2, no traceback."""
    done = run(wheel, "import qkvdocs.__main__ as m; sys.exit(m.main(['build']))")
    assert done.returncode == 2
    assert re.fullmatch(r"build needs markdown\w*: pip install '\.\[site\]' in a copy of .*\n", done.stderr)


def test_the_version_is_told(wheel: Path) -> None:
    """That of the package that runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    done = run(wheel, "import qkvdocs.__main__ as m; sys.exit(m.main(['--version']))")
    assert (done.returncode, done.stdout) == (0, f"qkvdocs {project['version']}\n")


PAGE = """# Tides

```python exec="on" session="t" source="above"
def height(hour):
    return 3 + hour / 4
```

At noon the water stands at `{python} height(12)` metres.
"""


def test_pages_of_another_project(wheel: Path, tmp_path: Path) -> None:
    """The settings that the page on the engine gives are enough to build, to record and to test it."""
    reference = (ROOT / "docs" / "reference" / "engine.md").read_text("utf-8")
    for name, text in re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```$', reference, re.M | re.S):
        (tmp_path / name).write_text(text)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"

    def command(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        page.write_text(text)
        env = {**os.environ, "PYTHONPATH": str(wheel)}
        words = (sys.executable, "-m", *words)
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    done = command(PAGE, "qkvdocs", "ledger", "--update")
    assert done.stdout == "tests/ledger/index.txt\n", done.stderr
    done = command(PAGE, "qkvdocs", "build", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "stands at 6 metres" in (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "2 passed" in command(PAGE, "pytest", "-q").stdout
    said = command(PAGE.replace("/ 4", "/ 3"), "pytest", "-q").stdout
    assert "docs/index.md:8: value height(12)" in said
    assert "\n-    6\n+    7\n" in said
    said = command(PAGE.replace("`{python} height(12)`", "6"), "qkvdocs", "build", "-q").stderr
    assert said.startswith("docs/index.md:8: TypedNumber: '6' is typed in")
