"""What can only be seen on the built pages, whichever builder made them."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from qkvdocs.engine.checks._claims import check_claims
from qkvdocs.engine.checks._links import check_links
from qkvdocs.engine.checks._numerals import check_numerals
from qkvdocs.engine.pages import PRIVATE, LessonError
from qkvdocs.engine.pages._site import texts

KINDS = ("computed", "cited", "recorded", "name", "constant")


def check(
    site: Path, blank: Path, docs: Path, complete: Callable[[], object] = tuple
) -> tuple[list[str], list[LessonError]]:
    """Check links, anchors and numerals of a built folder.

    Args:
        site: The folder as readers get it.
        blank: The folder of blank pages, which the builder was given as `QKVDOCS_BLANK`.
        docs: The Markdown files.
        complete: Adds to the folder what is made of its pages, once their words are checked and before links are.

    Returns:
        A report, one line a page and one for all, and the errors.

    Raises:
        LessonError: If the folder cannot be completed.
    """
    counts, errors = check_numerals(texts(site), blank, docs)
    complete()
    report = [f"{name}: {_counts(count)}" for name, count in counts.items()]
    total: Counter[str] = sum(counts.values(), Counter())
    report.append(f"numerals on {len(counts)} pages: {_counts(total)}")
    return report, errors + check_links(site, docs) + _marked(site)


def _marked(site: Path) -> list[LessonError]:
    """Find what still carries a mark of what was computed."""
    texts = [
        path for path in sorted(site.rglob("*")) if path.suffix in {".html", ".json", ".md", ".txt", ".xml"}
    ]
    return [
        LessonError(path.relative_to(site).as_posix(), 1, "MarkError", f"must hold no mark, got {found[0]!r}")
        for path in texts
        if (found := PRIVATE.search(path.read_text("utf-8", "ignore")))
    ]


def _counts(count: Counter[str]) -> str:
    return ", ".join(f"{count[kind]} {kind}" for kind in KINDS)


def main(arguments: list[str]) -> int:
    """Run the check as a command."""
    parser = argparse.ArgumentParser(prog="qkvdocs check", description=__doc__)
    parser.add_argument("site", type=Path, help="the built folder")
    parser.add_argument("blank", type=Path, help="the folder that its builder was given as QKVDOCS_BLANK")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the Markdown files")
    given = parser.parse_args(arguments)
    report, errors = check(given.site, given.blank, given.docs.absolute())
    claims, unbound = check_claims(given.docs.absolute())
    if errors := errors + unbound:
        print(*errors, sep="\n", file=sys.stderr)  # noqa: T201
        return 1
    print(*report, claims, sep="\n")  # noqa: T201
    return 0
