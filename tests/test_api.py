"""Every public name is documented once, shown running, used on a page and listed in the reference."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml
from griffe import Docstring, DocstringSectionKind

from qkvdocs.engine.pages import fences, parse

ROOT = Path(__file__).parents[1]
LAYERS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in (ROOT / "qkvdocs", ROOT / "qkvdocs" / "engine")
    for path in folder.iterdir()
    if path.stem not in {"__init__", "__main__", "engine"}
    and (path.suffix == ".py" or (path / "__init__.py").exists())
)
TAUGHT = [
    f"qkvdocs.{name}"
    for name in ("clinic", "core", "figures", "numbers", "wild")
    if f"qkvdocs.{name}" in LAYERS
]


def public(layer: str) -> dict[str, object]:
    """List a layer's public names."""
    module = importlib.import_module(layer)
    return {name: getattr(module, name) for name in module.__all__}


@pytest.mark.parametrize("layer", LAYERS)
def test_public_names_are_documented(layer: str) -> None:
    """Each with a docstring; ruff keeps them sorted."""
    assert not [
        name for name, value in public(layer).items() if callable(value) and not inspect.getdoc(value)
    ]


def test_no_name_is_public_twice() -> None:
    """Two layers never export the same name."""
    names = [name for layer in LAYERS for name in public(layer)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("layer", TAUGHT)
def test_public_functions_have_an_example_that_runs(layer: str) -> None:
    """The examples themselves are run as doctests."""
    finder = doctest.DocTestFinder(recurse=True)
    bare = [
        name
        for name, value in public(layer).items()
        if inspect.isfunction(value) and not any(test.examples for test in finder.find(value, name))
    ]
    assert not bare


def page_code() -> str:
    """All code that runs on pages."""
    code = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text("utf-8")
        code += [fence.code for fence in fences(text) if fence.runs]
        code += [value.code for values in parse(text).values.values() for value in values]
    return "\n".join(code)


@pytest.mark.parametrize("layer", TAUGHT)
def test_public_functions_are_used_on_a_page(layer: str) -> None:
    """What no page needs is no part of the lessons' package."""
    code = page_code()
    unused = [
        name
        for name, value in public(layer).items()
        if inspect.isfunction(value) and not re.search(rf"\b{name}\(", code)
    ]
    assert not unused


def test_the_reference_covers_every_layer() -> None:
    """Each layer has its page."""
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    assert set(re.findall(r"^::: (\S+)", pages, re.M)) == set(LAYERS)


def test_what_is_returned_is_said_in_one_piece() -> None:
    """On the pages of the reference, which would else take a sentence of two lines for two things."""
    [written] = re.findall(r"docstring_options: (.*)", (ROOT / "mkdocs.yml").read_text("utf-8"))
    texts = (
        inspect.getdoc(value)
        for layer in LAYERS
        for value in public(layer).values()
        if inspect.isfunction(value)
    )
    sections = (
        section
        for text in texts
        if text
        for section in Docstring(text).parse("google", **yaml.safe_load(written))
        if section.kind is DocstringSectionKind.returns
    )
    counts = [len(section.value) for section in sections]
    assert len(counts) > 50
    assert set(counts) == {1}
