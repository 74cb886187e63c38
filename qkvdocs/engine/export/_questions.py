"""Every question of a built site with its answer, as its pages have it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bs4 import Tag

from qkvdocs.engine.export._book import LEFT_OUT, address
from qkvdocs.engine.export._markdown import parsed

HEADING = re.compile("h[1-6]")


@dataclass(frozen=True)
class Question:
    """One question of a page."""

    page: str
    """Path of the page inside the built folder."""
    title: str
    """Title of the page."""
    kind: str
    """`recall` or `interview`: the anchor of the section in which it stands."""
    anchor: str
    """Its own anchor, or that of its section."""
    asked: str
    """The question, as HTML."""
    answer: str
    """The answer, as HTML without drawings."""
    figure: int | None
    """Which of the page's figures belongs to it."""

    @property
    def key(self) -> str:
        """What stays the same when the answer changes."""
        own = self.anchor if self.anchor != self.kind else self.asked
        return f"{self.page}#{own}"

    @property
    def picture(self) -> str:
        """The name of its picture, or nothing."""
        page = Path(self.page).parent.as_posix().replace("/", "-")
        return "" if self.figure is None else f"{page}-{self.figure}.png"


def questions(site: Path, base: str = "") -> list[Question]:
    """Read them off the built pages, those of lessons first.

    Args:
        site: The built folder.
        base: The site's address, if known; without it, links to pages are words alone.

    Returns:
        All that stand in a section `recall` or `interview`.
    """
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("index.html"))
    names.sort(key=lambda name: not name.startswith("lessons/"))
    return [found for name in names for found in _of_page((site / name).read_text("utf-8"), name, base)]


def _of_page(html: str, name: str, base: str) -> Iterator[Question]:
    tree = parsed(html) if 'id="recall"' in html or 'id="interview"' in html else None
    if tree is None:
        return
    for part in tree.select(LEFT_OUT):
        part.decompose()
    heading = tree.find("h1")
    title = " ".join(heading.get_text().split()) if heading else name
    figures = list(tree.find_all("figure"))
    asked = [*_recalled(tree), *_interviewed(tree)]
    for kind, anchor, question, parts in asked:
        figure = _figure(tree, parts, figures, alone=len(asked) == 1)
        parts = [part for part in parts if part.name != "figure"]
        for part in parts:
            _detach(part, name, base)
        answer = "".join(map(str, parts)).strip()
        yield Question(name, title, kind, anchor, question.decode_contents().strip(), answer, figure)


def _section(tree: Tag, anchor: str) -> list[Tag]:
    """Take what follows a heading, up to the next of its rank or above."""
    start = tree.find(HEADING, id=anchor)
    if start is None:
        return []
    inside = start.find_next_siblings()
    return list(
        takewhile(lambda part: not (HEADING.fullmatch(part.name) and part.name <= start.name), inside)
    )


def _recalled(tree: Tag) -> Iterator[tuple[str, str, Tag, list[Tag]]]:
    for fold in _section(tree, "recall"):
        if fold.name == "details" and (summary := fold.find("summary")):
            yield "recall", "recall", summary, _unfolded(fold)


def _interviewed(tree: Tag) -> Iterator[tuple[str, str, Tag, list[Tag]]]:
    parts = _section(tree, "interview")
    for at, part in enumerate(parts):
        if part.name == "h3":
            answer = takewhile(lambda later: later.name != "h3", parts[at + 1 :])
            open_answer = [piece for piece in answer for piece in _unfolded(piece)]
            yield "interview", str(part.get("id", "interview")), part, open_answer


def _unfolded(part: Tag) -> list[Tag]:
    """Open an answer that stands in a fold."""
    summary = part.find("summary", recursive=False) if part.name == "details" else None
    return summary.find_next_siblings() if summary else [part]


def _figure(tree: Tag, answer: Sequence[Tag], figures: list[Tag], *, alone: bool) -> int | None:
    """Choose the first figure of a section that the answer leads to; for a page's only question, else its first."""
    links = [str(link["href"])[1:] for part in answer for link in part.select('a[href^="#"]')]
    for shown in (part for anchor in links for part in _section(tree, anchor)):
        figure = shown if shown.name == "figure" else shown.find("figure")
        if figure and not figure.find_parent("details"):  # a closed fold cannot be photographed
            return next(at for at, other in enumerate(figures) if other is figure)
    return 0 if alone and figures and not links else None


def _detach(part: Tag, name: str, base: str) -> None:
    """Let a part stand elsewhere: no anchors of the page, and links that lead there or nowhere."""
    for drawing in part.select("figure"):
        drawing.decompose()
    for element in [part, *part.find_all(True)]:
        del element["id"]
    for link in part.select("a[href]"):
        if whole := address(str(link["href"]), name, (), base):
            link["href"] = whole
        else:
            link.unwrap()
