"""What holds the pages to their word, beside the engine that runs them: numerals, claims, links, ledger, build."""

from qkvdocs.checks._build import build
from qkvdocs.checks._check import check
from qkvdocs.checks._claims import measure_claims
from qkvdocs.checks._links import check_links
from qkvdocs.checks._noise import at_risk
from qkvdocs.checks._numerals import check_numerals

__all__ = [
    "at_risk",
    "build",
    "check",
    "check_links",
    "check_numerals",
    "measure_claims",
]
