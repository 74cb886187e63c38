"""What the package is made of, read from its files: layers, modules, and who imports whom."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layer", "Module", "arrows", "layers"]

# Read line by line: syntax trees of all files take five times as long. A test compares the two.
IMPORT = re.compile(r"^ *(?:from (?P<home>[\w.]+) )?import (?P<names>\([^)]*|.*)", re.M)


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    """Its name inside the layer."""
    what: str
    """The first line of its docstring or of what it defines, or the first sentence of the comment at its top."""
    lines: int
    """How long it is."""
    imports: frozenset[str]
    """The other layers that it imports, inside functions too."""


@dataclass(frozen=True)
class Layer:
    """A folder or a single file of the package; of a folder of packages, each of them."""

    name: str
    what: str
    modules: tuple[Module, ...]

    @property
    def imports(self) -> frozenset[str]:
        """The other layers that any of its modules imports."""
        return frozenset().union(*(module.imports for module in self.modules)) - {self.name}

    @property
    def lines(self) -> int:
        """How long it is altogether."""
        return sum(module.lines for module in self.modules)


def layers(package: Path) -> list[Layer]:
    """Read the layers of a package, those that import nobody first.

    Args:
        package: The folder of the package.

    Returns:
        Each layer after all that it imports; layers that wait for nobody any more come by name.
    """
    paths = {name: path for path in package.iterdir() if _is_layer(path) for name, path in _split(path)}
    found = {name: _layer(name, path, package, paths) for name, path in paths.items()}
    ordered: list[Layer] = []
    while found:
        free = sorted(name for name, layer in found.items() if not layer.imports & found.keys())
        ordered += [found.pop(name) for name in free or sorted(found)]
    return ordered


def arrows(found: Iterable[Layer]) -> list[tuple[str, str]]:
    """List who imports whom, without what a longer way says already.

    Args:
        found: Layers, each after all that it imports.

    Returns:
        Pairs of a layer and one that it imports.
    """
    pairs, reached = [], dict[str, frozenset[str]]()
    for layer in found:
        indirect = frozenset().union(*(reached[name] for name in layer.imports))
        pairs += [(layer.name, name) for name in sorted(layer.imports - indirect)]
        reached[layer.name] = layer.imports | indirect
    return pairs


def _is_layer(path: Path) -> bool:
    return (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()


def _split(path: Path) -> Iterator[tuple[str, Path]]:
    """Take a folder of packages apart."""
    if any((inside / "__init__.py").exists() for inside in path.glob("*/")):
        yield from ((f"{path.name}.{inside.stem}", inside) for inside in path.iterdir() if _is_layer(inside))
    else:
        yield path.stem, path


def _layer(name: str, path: Path, package: Path, layers: Iterable[str]) -> Layer:
    files = [path] if path.is_file() else sorted(path.glob("*.py"))
    modules = tuple(_module(file, name, package, layers) for file in files)
    return Layer(name, next(each.what for each in modules if each.name in {"__init__", path.stem}), modules)


def _module(file: Path, own: str, package: Path, layers: Iterable[str]) -> Module:
    text = file.read_text("utf-8")
    names = {name for found in IMPORT.finditer(text) for name in _names(found)}
    imports = {
        layer for layer in layers for name in names if f"{name}.".startswith(f"{package.name}.{layer}.")
    }
    return Module(file.stem, _what(text), text.count("\n"), frozenset(imports - {own}))


def _names(found: re.Match[str]) -> Iterator[str]:
    """Take an import apart: `from a import b, c` names `a.b` and `a.c`."""
    start = f"{found['home']}." if found["home"] else ""
    for name in re.sub(r"#.*| as \w+|[()\s]", "", found["names"]).split(","):
        yield start + name


def _what(text: str) -> str:
    if (comment := re.match(r"(?:# (?!ruff).*\n)+", text)) is not None:
        words = " ".join(line.removeprefix("# ") for line in comment[0].splitlines())
        return re.split(r"(?<=\.) (?=[A-Z])", words)[0]
    if (docstring := re.match(r'(?:#.*\n)*"""(.+?)(?:"""|\n)', text)) is not None:
        return docstring[1]
    kinds = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(text)
    told = [tree, *sorted((node for node in tree.body if isinstance(node, kinds)), key=_is_private)]
    docstrings = (ast.get_docstring(node) for node in told)
    return next((docstring.split("\n")[0] for docstring in docstrings if docstring), "")


def _is_private(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return node.name.startswith("_")
