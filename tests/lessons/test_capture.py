"""Captured means captured: whatever writes to standard output reaches the page, and nothing else does."""

import pytest

from tests.project import Project, fence

WAYS = {
    "print": "print('out')",
    "print with sep": "print('o', 'ut', sep='')",
    "sys.stdout.write": "import sys; sys.stdout.write('out')",
    "pprint": "import pprint; pprint.pprint({'a': 1}) or print('out')",
    "file descriptor": "import os; os.write(1, b'out')",
    "imported function": "import this_module; this_module.shout()",
    "child process": "import subprocess; subprocess.run(['echo', 'out'], check=True)",
}


@pytest.mark.parametrize("way", WAYS)
def test_output_reaches_the_page(project: Project, way: str) -> None:
    """Each way of writing ends in the entry."""
    code = WAYS[way].replace(
        "import this_module",
        "import types; this_module = types.ModuleType('m'); exec('def shout(): print(\"out\")', vars(this_module))",
    )

    assert project.run(fence(code)).entries[0].text.endswith("out")


def test_output_is_that_of_its_own_fence(project: Project) -> None:
    """What one fence printed is not printed again by the next."""
    page = project.run(fence("print('a')") + fence("print('b')") + fence("x = 1"))

    assert [entry.text for entry in page.entries] == ["a", "b", ""]


def test_no_output_leaves_nothing_behind(project: Project) -> None:
    """A silent fence is no empty box and no empty paragraph."""
    silent = fence("x = 1", 'exec="on" source="block" result="text"')
    project.write(f"# Page\n\n{silent}\n{fence('y = 1')}")

    html = project.html()

    assert '<div class="result">' not in html
    assert "<p></p>" not in html
