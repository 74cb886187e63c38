"""The questions of a site as a sheet to print: all questions first, then the answers."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from qkvdocs.engine.export._book import printable
from qkvdocs.engine.export._questions import Question

SHEET = """
.md-typeset ol { margin-left: 1.6em; } .md-typeset .asked li { margin: 0 0 0.35em; }
.md-typeset .answers { break-before: page; columns: 2; column-gap: 8mm; font-size: 0.8em; }
.md-typeset .answers h3 { border-top: 0.4pt solid #bbb; margin: 1em 0 0.3em; padding-top: 0.4em; }
.md-typeset .answers h2, .md-typeset .answers h1 { column-span: all; }
.md-typeset .answers :is(p, ul, pre) { margin: 0.4em 0; }
"""


def sheet(site: Path, title: str, asked: Sequence[Question], colophon: Sequence[str]) -> str:
    """Write the page.

    Args:
        site: The built folder; the page is to lie in it.
        title: For the top.
        asked: The questions.
        colophon: Lines at the foot.

    Returns:
        HTML that needs no script.
    """
    fronts = backs = ""
    numbered = groupby(enumerate(asked, 1), key=lambda pair: pair[1].title)
    for name, pairs in ((name, list(pairs)) for name, pairs in numbered):
        heading = f"<h3>{escape(name)}</h3>"
        items = "".join(f'<li value="{number}">{question.asked}</li>' for number, question in pairs)
        fronts += f"{heading}<ol>{items}</ol>"
        backs += "".join(
            f"<h3>{number}. {question.asked}</h3>{question.answer}" for number, question in pairs
        )
    foot = "".join(f"<p>{escape(line)}</p>" for line in colophon)
    body = (
        f'<section class="asked"><h1>{escape(title)}</h1>'
        f"<p>Answer aloud, or on paper; the answers follow.</p>{fronts}</section>"
        f'<section class="answers"><h1>Answers</h1>{backs}{foot}</section>'
    )
    return printable(site / asked[0].page, title, body, SHEET)
