"""What holds the pages to their word, beside the engine that runs them: numerals, claims, links, ledger, build."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qkvdocs.engine.checks._build import build
    from qkvdocs.engine.checks._check import check
    from qkvdocs.engine.checks._claims import measure_claims
    from qkvdocs.engine.checks._links import check_links
    from qkvdocs.engine.checks._noise import at_risk
    from qkvdocs.engine.checks._numerals import check_numerals

__all__ = [
    "at_risk",
    "build",
    "check",
    "check_links",
    "check_numerals",
    "measure_claims",
]
HOMES = {
    "at_risk": "_noise",
    "check_links": "_links",
    "check_numerals": "_numerals",
    "measure_claims": "_claims",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: who runs one page, or measures claims, needs neither builder nor parser of HTML."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES.get(name, f'_{name}')}"), name)
