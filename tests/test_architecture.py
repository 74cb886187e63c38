"""The layers import each other as the table in the architecture page says, and in no other way."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "qkvdocs"


def table() -> dict[str, set[str]]:
    """Read who may import whom, as contributors read it."""
    rows = re.findall(
        r"^\| `([\w./]+)` \|[^|]*\|([^|]*)\|$",
        (ROOT / "docs/reference/architecture.md").read_text("utf-8"),
        re.M,
    )
    return {layer.rstrip("/"): set(re.findall(r"`([\w.]+)`", allowed)) for layer, allowed in rows}


def imports(path: Path) -> set[str]:
    """List the modules that a file imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def strangers(path: Path, layer: str, allowed: set[str]) -> list[str]:
    """List what a file imports although its layer may not."""
    own = {f"qkvdocs.{name}" for name in {layer.removesuffix(".py").replace("/", "."), *allowed}} | allowed
    return sorted(
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == ok or name.startswith(f"{ok}.") for ok in own)
    )


def files(layer: str) -> list[Path]:
    """List a layer's modules."""
    path = PACKAGE / layer
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def test_every_module_has_a_row() -> None:
    """A new module or layer gets its place in the table first."""
    there = {
        path.relative_to(PACKAGE).as_posix()
        for path in (*PACKAGE.iterdir(), *(PACKAGE / "engine").iterdir())
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert there - {"engine"} == set(table())


@pytest.mark.parametrize("layer", table())
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    """Itself, the standard library, and what its row names."""
    assert files(layer)
    offenders = {str(path.relative_to(ROOT)): strangers(path, layer, table()[layer]) for path in files(layer)}
    assert not {path: names for path, names in offenders.items() if names}


def test_a_stranger_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: also for an import inside a function, and for a relative one."""
    path = tmp_path / "module.py"
    path.write_text(
        "import numpy\nfrom qkvdocs import lessons\ndef f():\n    import torch.nn\nfrom . import x\n"
    )

    assert strangers(path, "core", {"numpy", "errors"}) == [".", "qkvdocs", "torch.nn"]


def test_lesson_code_imports_public_names_only() -> None:
    """A lesson never reaches into a private module; `__main__` is none: it is what `python -m qkvdocs` runs."""
    from qkvdocs.engine.pages import fences

    private = [
        f"{page.relative_to(ROOT)}:{fence.line + 1}: {name}"
        for page in (ROOT / "docs").rglob("*.md")
        for fence in fences(page.read_text("utf-8"))
        if fence.runs
        for name in re.findall(r"(?:from|import)\s+(qkvdocs[\w.]*\._(?!_)\w+)", fence.code)
    ]
    assert not private


def hand_written(text: str) -> bool:
    """Tell whether something is turned by sine or complex numbers, and never by `core.rotate`."""
    return bool(re.search(r"np\.sin\(|\b1j \*", text)) and not re.search(r"\brotate\(", text)


def test_a_rotation_is_written_in_one_place() -> None:
    """A page that teaches it compares it with `core.rotate`."""
    texts = {
        path: path.read_text("utf-8") for path in [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    }
    assert not [str(path) for path, text in texts.items() if hand_written(text)]
    assert hand_written("a * np.cos(t) - b * np.sin(t)")
    assert hand_written("x * np.exp(1j * t)")
