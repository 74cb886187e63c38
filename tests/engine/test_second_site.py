"""The engine alone makes a site about something else: nothing of this site's subject comes with it."""

import re

import pytest

from qkvdocs.engine.settings import Settings
from qkvdocs.errors import QKVError
from tests.project import HOOKS, ROOT, Project, fence

SUBJECT = ("core", "clinic", "wild", "models", "figures")
PAGE = f"""# Tides

{fence("from tides import height", 'exec="on" session="t" source="above"')}
At noon the water stands at `{{python}} height(12)` metres, higher than at six. `{{check}} height(12) > height(6)`

{fence("import sys; print(sorted(name for name in sys.modules if name.startswith('qkvdocs.')))")}
"""


@pytest.fixture
def tides(project: Project) -> Project:
    """A site about tides, with a package and a list of words of its own."""
    (project.root / "tides").mkdir()
    (project.root / "tides" / "__init__.py").write_text("def height(hour):\n    return 3 + hour / 4\n")
    (project.root / "tides" / "tide.css").write_text("b { color: navy }\n")
    for name, text in {
        "site.toml": 'preload = ["numpy", "tides"]\nassets = ["tides/tide.css"]\n',
        "numerals.toml": '[units]\nebb = "ebbs"\n',
        "claims.toml": 'words = ["higher"]\n',
    }.items():
        (project.root / "docs" / name).write_text(text)
    project.set(HOOKS)
    return project


def build(tides: Project, text: str, *, cold: bool = False) -> tuple[int, str]:
    """Build the site of one page as its author would."""
    tides.write(text)
    done = tides.command("qkvdocs", "build", cold=cold, PYTHONPATH=f"{ROOT}:{tides.root}")
    return done.returncode, done.stderr


def test_it_is_built_and_checked(tides: Project) -> None:
    """Its own package is loaded for its pages, its own style lies in the assets, and none of ours."""
    assert build(tides, PAGE, cold=True) == (0, "")

    html = (tides.root / "site" / "index.html").read_text("utf-8")
    assert "stands at 6 metres" in html
    loaded = re.findall(r"qkvdocs\.(\w+)", html)
    assert "engine" in loaded
    assert not set(loaded) & set(SUBJECT)
    assert (tides.root / "site" / "assets" / "tide.css").read_text() == "b { color: navy }\n"
    assert not (tides.root / "site" / "assets" / "qkv.css").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("`{python} height(12)`", "6", "docs/index.md:7: TypedNumber: '6' is typed in"),
        ("At noon", "After two ebbs", "docs/index.md:7: TypedNumber: 'two ebbs' is typed in"),
        ("`{check} height(12) > height(6)`", "", "docs/index.md:7: UnboundClaim: 'higher' makes a claim"),
        ("height(12) >", "height(1) >", "docs/index.md:7: ClaimError: height(1) > height(6) is False"),
    ],
)
def test_its_own_rules_bite(tides: Project, old: str, new: str, message: str) -> None:
    """Its numbers, its nouns and its claims are held to its lists."""
    assert old in PAGE
    code, errors = build(tides, PAGE.replace(old, new))

    assert code == 1
    assert errors.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'preloads = ["numpy"]',
            "docs/site.toml must have entries from ['assets', 'book', 'controls', 'drawings', 'fonts', 'packs', "
            "'preload', 'previews', 'roles', 'unsearched'], "
            "got 'preloads'",
        ),
        ('preload = "numpy"', "preload in docs/site.toml must be a list of texts, got 'numpy'"),
        ("book = 1", "book in docs/site.toml must be a text, got 1"),
        ("preload = [1]", "preload in docs/site.toml must be a list of texts, got [1]"),
        ("preload", "docs/site.toml must be TOML, got Expected '=' after a key in a key/value pair"),
    ],
)
def test_a_wrong_setting_is_named(project: Project, text: str, message: str) -> None:
    """Before anything is built, in one line."""
    project.write("# Page\n")
    (project.root / "docs" / "site.toml").write_text(text)

    with pytest.raises(QKVError, match=re.escape(message)):
        Settings.of(project.root / "docs")
    done = project.command("qkvdocs", "build")
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_names_are_coloured_by_its_own_function(tides: Project) -> None:
    """And by none of ours: here whatever begins with h."""
    (tides.root / "tides" / "__init__.py").write_text(
        "def hue(name):\n    return 'h' * name.startswith('h')\n"
    )
    (tides.root / "docs" / "site.toml").write_text('roles = "tides:hue"\n')

    assert build(tides, "# Tides\n\n`height` of `Q`, **high**\n") == (0, "")
    html = (tides.root / "site" / "index.html").read_text("utf-8")
    assert '<code class="h">height</code> of <code>Q</code>, <strong class="h">high</strong>' in html

    (tides.root / "docs" / "site.toml").write_text('roles = "tides:none"\n')
    code, errors = build(tides, "# Tides\n")
    assert code == 1
    assert errors.startswith("roles in docs/site.toml must be module:function, got 'tides:none'")


def test_the_browser_gets_no_engine() -> None:
    """The wheel that readers load holds the subject alone."""
    import io
    import zipfile

    from qkvdocs.engine.runtime._wheel import wheel

    names = zipfile.ZipFile(io.BytesIO(wheel()[1])).namelist()
    assert {f"qkvdocs/{name}/__init__.py" for name in SUBJECT} <= set(names)
    assert not [name for name in names if "engine" in name]
