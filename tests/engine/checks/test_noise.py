"""A digit that hangs on the last place of a float is found."""

import numpy as np
import pytest

from qkvdocs.engine.checks._noise import at_risk
from qkvdocs.engine.pages._disturb import disturb
from tests.project import Project, fence

RISKY = {
    "a difference that should be zero": fence("import numpy as np\nd = np.sqrt(2) ** 2 - 2")
    + "`{python} d * 1e16`",
    "many digits": fence("import numpy as np\nx = np.exp(1.5)") + "`{python} repr(float(x))`",
    "a tie": fence("x = 1 / 32 + 1 / 1024") + "`{python} f'{x:.9f}'`",
    "an exact comparison": fence("import numpy as np\nassert np.exp(np.log(3.3)) == np.exp(np.log(3.3) * 1)"),
    "an argmax of equals": fence("import numpy as np\nprint(int(np.argmax(np.array([0.1, 0.1]) * 3)))"),
}
SAFE = {
    "integers": fence(
        "import numpy as np\nx = np.ones((2, 2)) @ np.ones(2)\nassert (x == 2).all()\nprint(x)"
    ),
    "four digits": fence("import numpy as np\nx = np.exp(1.5) / 7") + "`{python} x`",
    "a tolerance": fence("import numpy as np\nassert np.isclose(np.exp(np.log(3.3)), 3.3)"),
    "special values": fence("import numpy as np\nx = np.array([np.nan, np.inf, -np.inf]) * 1\nprint(x)"),
}


@pytest.mark.parametrize("kind", RISKY)
def test_a_digit_at_risk_is_named(project: Project, kind: str) -> None:
    """With the file and the line that show it."""
    found = list(at_risk(project.write(RISKY[kind]), project.root))

    assert found
    assert found[0].startswith("docs/index.md:")
    assert "DigitAtRisk" in found[0]


@pytest.mark.parametrize("kind", SAFE)
def test_a_safe_digit_is_not(project: Project, kind: str) -> None:
    """No false alarm: rounded floats, exact integers, tolerances."""
    assert not list(at_risk(project.write(SAFE[kind]), project.root))


def test_a_digit_that_hangs_on_the_kernel_is_named(project: Project) -> None:
    """The last place of a long sum shows that another kernel is really another."""
    code = "import numpy as np\na = np.random.default_rng(0).normal(size=(200, 200))\nprint(repr(float((a @ a).sum())))"

    assert "DigitAtRisk" in next(at_risk(project.write(fence(code)), project.root, runs=0))


def test_noise_is_at_most_one_unit_in_the_last_place() -> None:
    """Exact numbers and those that are no floats stay; tuples keep their type."""
    rng = np.random.default_rng(0)
    x = np.array([0.1, 2.0, np.nan, -np.inf, 1e300])

    moved = [disturb(x, rng) for _ in range(50)]

    assert any(y[0] != x[0] for y in moved)
    assert all(abs(y[0] - x[0]) <= np.spacing(0.1) for y in moved)
    assert all(np.array_equal(y[1:], x[1:], equal_nan=True) for y in moved)
    assert disturb("text", rng) == "text"
    assert disturb((1, True), rng) == (1, True)
    assert x[0] == 0.1
