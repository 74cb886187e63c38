"""A page stands alone: nothing of another page, or of an earlier run, is visible to it."""

import itertools
import os
import random

import pytest

from qkvdocs.engine.pages import _forge
from tests.project import Project, fence

LEAKS = {
    "name": ("leak = 1", "print('leak' in globals())"),
    "module attribute": (
        "import qkvdocs.core as c; c.leak = 1",
        "import qkvdocs.core as c; print(hasattr(c, 'leak'))",
    ),
    "print options": (
        "import numpy as np; np.set_printoptions(precision=1)",
        "import numpy as np; print(np.array([1.2345]))",
    ),
    "environment": ("import os; os.environ['LEAK'] = '1'", "import os; print(os.environ.get('LEAK'))"),
    "working directory": ("import os; os.chdir('/')", "import os; print(os.getcwd() == '/')"),
    "random state": ("import random; random.seed(1)", "import random; print(random.getrandbits(0))"),
    "new module": (
        "import sys, types; sys.modules['leak'] = types.ModuleType('leak')",
        "import sys; print('leak' in sys.modules)",
    ),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_pages_do_not_see_each_other(project: Project, kind: str) -> None:
    """The second page prints the same whether the first one ran before it or not."""
    leak, probe = LEAKS[kind]
    alone = project.run(fence(probe)).entries[0].text

    project.run(fence(leak))

    assert project.run(fence(probe)).entries[0].text == alone


@pytest.mark.parametrize("kind", sorted(set(LEAKS) - {"name", "random state"}))
def test_the_probe_sees_a_leak_where_there_is_one(project: Project, kind: str) -> None:
    """Within one page, all this is shared: were two pages to share a process, the test above would fail."""
    leak, probe = LEAKS[kind]
    alone = project.run(fence(probe)).entries[0].text

    assert project.run(fence(leak) + fence(probe)).entries[1].text != alone


def test_pages_in_any_order_give_the_same(project: Project) -> None:
    """Alone, in order, and shuffled with a fixed seed."""
    texts = [
        fence(f"import numpy as np\nnp.x = {n}\nprint(hash('a'), np.arange({n}) / 3)") for n in range(1, 5)
    ]
    alone = [project.run(text).entries for text in texts]
    order = list(range(4))
    random.Random(0).shuffle(order)

    for n in itertools.chain(order, reversed(order)):
        assert project.run(texts[n]).entries == alone[n]


def test_a_changed_file_of_the_package_is_seen() -> None:
    """The warm process is replaced as soon as a file that it loaded is not what it was."""
    forge = _forge.Forge({}, ["qkvdocs.core"])
    names = [name for name in forge.files if name.endswith("_projection.py")]
    assert names, "the package is loaded, so its files are watched"
    assert forge.is_current()

    forge.files[names[0]] = (0, 0)

    assert not forge.is_current()
    forge.close()


def test_nothing_outlives_its_page(project: Project) -> None:
    """A page's process ends when the builder hangs up."""
    page = project.run(fence("import os; print(os.getpid())"))
    pid = int(page.entries[0].text)
    status = project.root.joinpath("/proc", str(pid), "status")
    for _ in range(100):
        if not status.exists():
            return
        _forge.threading.Event().wait(0.05)
    pytest.fail(f"process {pid} is still there")


def test_the_builder_comes_before_pages(project: Project) -> None:
    """On a machine with few cores, a page that runs ahead must not keep it waiting."""
    page = project.run(fence("import os; print(os.nice(0))"))

    assert int(page.entries[0].text) == min(os.nice(0) + 5, 19)


def test_memory_that_a_page_lets_go_is_there_for_its_next_array(project: Project) -> None:
    """Else the system would clear and hand over the same pages again and again: half of all page faults of a build."""
    code = (
        "import resource\nimport numpy as np\n\n"
        "def faults():\n    [np.ones(10**4) for _ in range(50)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n\n"
        "first = faults()\nprint([faults() for _ in range(5)][-1] - first < 100)"
    )

    assert project.run(fence(code)).entries[0].text.strip() == "True"
