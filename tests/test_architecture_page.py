"""The architecture page shows what is there: the imports as Python itself resolves them, the lines as they are."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from qkvdocs.engine.architecture import arrows, layers
from qkvdocs.engine.pages import run_page
from tests.project import ROOT
from tests.test_architecture import table

PACKAGE = ROOT / "qkvdocs"
# One process a layer, forked from one that has other people's libraries and nothing of the package.
LOAD = """
import importlib, os, pkgutil, sys
import bs4, fontTools.subset, jaxtyping, markdown_exec, mkdocs.commands.build, numpy, pytest
assert not [word for word in sys.modules if word.startswith("qkvdocs")]
for name in sys.argv[1:]:
    if os.fork():
        assert os.wait()[1] == 0, name
        continue
    top = importlib.import_module(f"qkvdocs.{name}")
    for each in pkgutil.iter_modules(getattr(top, "__path__", ())):
        if each.name not in {"_kernel", "pytest_plugin"}:
            importlib.import_module(f"{top.__name__}.{each.name}")
    print(*(word.removeprefix("qkvdocs.") for word in sys.modules if word.startswith("qkvdocs.")), flush=True)
    os._exit(0)
"""


def test_every_layer_and_module_is_there_with_a_word() -> None:
    """Those of the table on the page, every file, none without a description."""
    found = layers(PACKAGE)
    assert {layer.name for layer in found} == {name.removesuffix(".py").replace("/", ".") for name in table()}
    files = set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py", PACKAGE / "engine" / "__init__.py"}
    assert sum(len(layer.modules) for layer in found) == len(files)
    cut = [
        (layer.name, each.name)
        for layer in found
        for each in layer.modules
        if not each.what.endswith((".", "?"))
    ]
    assert not cut
    assert sum(layer.lines for layer in found) == sum(
        len(path.read_text("utf-8").split("\n")) - 1 for path in files
    )


def test_imports_are_those_that_python_makes() -> None:
    """Loading a layer in a fresh process loads, by whatever way, exactly the layers that the arrows lead to."""
    arrows = {layer.name: layer.imports for layer in layers(PACKAGE)}
    names = sorted(arrows.keys() - {"__main__"})
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for name, words in zip(names, done.stdout.split("\n"), strict=False):
        reached, fresh = {name}, {name}
        while fresh:
            fresh = set().union(*(arrows[each] for each in fresh)) - reached
            reached |= fresh
        loaded = arrows.keys() & set(words.split())
        assert name in loaded
        assert loaded <= reached, name
        assert reached - loaded <= {"numbers"}, f"{name}: imported inside a function only"


def misread(package: Path) -> list[str]:
    """Name the modules whose imports or first words are not those of their syntax trees."""
    found, wrong = layers(package), []
    for layer in found:
        place = package.joinpath(*layer.name.split("."))
        for module in layer.modules:
            path = place / f"{module.name}.py" if place.is_dir() else place.with_suffix(".py")
            tree, names = ast.parse(text := path.read_text("utf-8")), set[str]()
            for node in ast.walk(tree):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                    names |= {f"{home}{alias.name}." for alias in node.names}
            imports = {
                other.name
                for other in found
                for name in names
                if name.startswith(f"{package.name}.{other.name}.")
            }
            words = None if re.match("# (?!ruff)", text) else ast.get_docstring(tree)
            if module.imports != imports - {layer.name} or (words and module.what != words.split("\n")[0]):
                wrong.append(f"{layer.name}.{module.name}")
    return sorted(wrong)


def test_every_file_is_read_as_its_syntax_tree_says() -> None:
    """Its imports, and the first line of its docstring."""
    assert not misread(PACKAGE)


def test_a_misread_file_is_named(tmp_path: Path) -> None:
    """Imports are read over several lines, renamed and inside functions; after a semicolon they are not."""
    package = tmp_path / "made"
    package.mkdir()
    for name in "abcde":
        (package / f"{name}.py").write_text(f'"""{name}."""\n')
    file = package / "all.py"
    file.write_text(
        '# ruff: noqa\n"""All.\n\n>>> import made.e\n"""\nimport os, made.c as renamed  # and more\n'
        "from made import (  # two\n    a,  # one\n    b as other,\n)\n\ndef f():\n    from made.d import x\n"
    )
    module = layers(package)[-1].modules[0]
    assert (module.what, sorted(module.imports)) == ("All.", ["a", "b", "c", "d"])
    assert not misread(package)

    for text in (
        '"""All."""\nimport os; import made.a\n',
        '"""All.\n\nimport made.a\n"""\n',
        '"""A\\x6cl."""\n',
    ):
        file.write_text(text)
        assert misread(package) == ["all.all"]


def test_the_order_follows_the_imports(tmp_path: Path) -> None:
    """Also for a package of three files, one of which imports inside a function; a ring does not hang."""
    package = tmp_path / "made"
    (package / "high").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "high" / "__init__.py").write_text('"""High."""\ndef f():\n    from made import low\n')
    (package / "low.py").write_text("# Low.\nimport made.base\n")
    (package / "base.py").write_text(
        'def _g():\n    """Private."""\n\ndef f():\n    """Base.\n\n    More."""\n'
    )

    found = layers(package)

    assert [(layer.name, layer.what, sorted(layer.imports)) for layer in found] == [
        ("base", "Base.", []),
        ("low", "Low.", ["base"]),
        ("high", "High.", ["low"]),
    ]
    (package / "base.py").write_text('"""Base."""\nfrom made import high\n')
    assert len(layers(package)) == 3


def test_what_is_drawn_leads_wherever_the_imports_lead() -> None:
    """By one way or a longer one; and without any of the arrows something would be out of reach."""

    def leads(pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
        known = set(pairs)
        while more := {(a, d) for a, b in known for c, d in known if b == c} - known:
            known |= more
        return known

    found = layers(PACKAGE)
    drawn, every = arrows(found), [(layer.name, name) for layer in found for name in layer.imports]

    assert leads(drawn) == leads(every)
    for arrow in drawn:
        assert leads([other for other in drawn if other != arrow]) != leads(every), arrow
    assert len(drawn) < len(every)


def test_the_page_types_no_digit() -> None:
    """All of its numbers come out of a fence; names of packages may have one."""
    page = ROOT / "docs" / "reference" / "architecture.md"
    assert not re.search(r"\d", re.sub(r"`[\w.]+`", "", page.read_text("utf-8")))
    shown = "\n".join(entry.text for entry in run_page(page, ROOT).entries)
    core = next(layer for layer in layers(PACKAGE) if layer.name == "core")
    assert f"Imports: `errors`. Lines: {core.lines}." in shown
