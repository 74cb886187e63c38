"""Which of a page's hidden code its shown code needs: helpers yes, what draws figures and sets formulas no."""

import ast
import dis
import types
from collections.abc import Iterator, Sequence


def needed(parts: Sequence[tuple[str, bool]]) -> list[str]:
    """Keep all shown code, and of the hidden code the statements whose names later code uses.

    Args:
        parts: The page's code in order, each with whether it is shown.

    Returns:
        For each part its code, or what is left of it; possibly nothing.
    """
    called: set[str] = set()
    while True:
        left, now = _walk(parts, called)
        if now <= called:
            return left
        called |= now


def _walk(parts: Sequence[tuple[str, bool]], called: set[str]) -> tuple[list[str], set[str]]:
    """Walk up the code once; tell too what kept functions use, which may be defined after them."""
    names: set[str] = set()
    inside: set[str] = set()
    left = []
    for code, shown in reversed(parts):
        kept: list[ast.stmt] = []
        for statement in reversed(ast.parse(code).body):
            makes, uses = _names(statement)
            defines = isinstance(statement, ast.FunctionDef | ast.ClassDef)
            if shown or names & (makes | _changed(statement)) or (defines and called & makes):
                kept.insert(0, statement)
                if isinstance(statement, ast.ImportFrom) and not shown:
                    statement.names = [
                        name for name in statement.names if (name.asname or name.name) in names
                    ]
                names = (names - makes if _always(statement) else names) | uses
                inside |= uses if defines else set()
        left.append(code if shown else _joined(kept, code))
    return left[::-1], inside


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Tell which names of the module a statement makes, and which it uses: as the compiler has it."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for step in _steps(compile(ast.Module([statement], []), "", "exec")):
        if step.opname in {"STORE_NAME", "STORE_GLOBAL", "LOAD_NAME", "LOAD_GLOBAL"}:
            found[step.opname.startswith("STORE")].add(str(step.argval))
    turns = [part.target for part in ast.walk(statement) if isinstance(part, ast.For)]
    own = {name.id for turn in turns for name in ast.walk(turn) if isinstance(name, ast.Name)}
    return found[True] - own, found[False] - own


def _steps(code: types.CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _steps(const)


def _changed(statement: ast.stmt) -> set[str]:
    """Name what a statement changes in place: `cache.append(…)`, `rows[0] = …`."""
    calls = [part.value for part in ast.walk(statement) if isinstance(part, ast.Expr)]
    spots = [
        call.func.value
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    ]
    spots += [node.value for node in ast.walk(statement)
              if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)]  # fmt: skip
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return set()
    return {spot.id for spot in spots if isinstance(spot, ast.Name)}


def _always(statement: ast.stmt) -> bool:
    """Tell whether a statement makes its names anew whatever happens."""
    return not isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.AugAssign)


def _joined(statements: Sequence[ast.stmt], code: str) -> str:
    """Write statements as they stand in the code, with a line between those that were apart."""
    text, end = "", 0
    for statement in statements:
        own = ast.unparse(statement) if isinstance(statement, ast.ImportFrom) else None
        gap = "\n" if statement.lineno == end + 1 else "\n\n"
        text += gap + (own or ast.get_source_segment(code, statement) or "")
        end = statement.end_lineno or end
    return text.strip("\n")
