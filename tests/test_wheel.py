"""The bare wheel needs numpy and what the signatures need, and nothing else."""

import re
import subprocess
import sys
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
    assert re.fullmatch(r"build needs markdown\w*: pip install 'qkvdocs\[site\]'\n", done.stderr)
