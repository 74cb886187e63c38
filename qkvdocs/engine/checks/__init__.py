"""What holds the pages to their word, beside the engine that runs them: numerals, claims, links, ledger, build."""

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
