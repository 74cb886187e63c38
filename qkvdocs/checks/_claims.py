"""A sentence that compares is bound to code: `larger`, `equals` and `sums to one` must be true when the site is built.

The words that make a claim are published in `docs/claims.toml`. A sentence with one of them carries a mark,
`{check} expression` or `{asserted} condition`, or a cited fact, or stands in the same file with a reason.
"""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkvdocs.checks._sentences import Sentence, sentences
from qkvdocs.errors import QKVError
from qkvdocs.lessons import LessonError


@dataclass(frozen=True)
class Exempt:
    """A claim that no code can bear out, and why."""

    page: str
    text: str
    reason: str


@dataclass(frozen=True)
class Claims:
    """The published list."""

    pages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    idioms: tuple[str, ...] = ()
    """Phrases that hold one of the words and compare nothing."""
    sections: frozenset[str] = frozenset()
    """Sections that are not read."""
    exempt: tuple[Exempt, ...] = field(default=())

    @classmethod
    def read(cls, docs: Path) -> "Claims":
        """Read the list of a site; empty where there is none.

        Raises:
            QKVError: If an entry is unknown or lacks its reason.
        """
        path = docs / "claims.toml"
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        known = set(cls.__dataclass_fields__)
        if unknown := sorted(set(table) - known):
            raise QKVError(f"docs/claims.toml must have entries from {sorted(known)}, got {unknown[0]!r}")
        entries = table.pop("exempt", [])
        for entry in entries:
            if set(entry) != {"page", "text", "reason"} or not all(entry.values()):
                raise QKVError(f"an exempt claim must have page, text and reason, got {entry}")
        lists = {name: tuple(table.pop(name, ())) for name in ("pages", "words", "idioms")}
        sections = frozenset(table.pop("sections", ()))
        return cls(**lists, sections=sections, exempt=tuple(Exempt(**entry) for entry in entries))


def check_claims(docs: Path) -> tuple[str, list[LessonError]]:
    """Find the claims of a site that are bound to nothing.

    Args:
        docs: The Markdown files.

    Returns:
        A line of a report, and the errors.
    """
    try:
        claims = Claims.read(docs)
    except (QKVError, tomllib.TOMLDecodeError) as error:
        return "", [LessonError("docs/claims.toml", 1, "ClaimError", str(error))]
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, claims.words))})\b", re.I)
    idiom = re.compile("|".join(map(re.escape, claims.idioms)), re.I)
    used: Counter[Exempt] = Counter()
    bound, errors = 0, []
    for path in sorted(docs.rglob("*.md")) if claims.words else ():
        name = path.relative_to(docs).as_posix()
        if not name.startswith(claims.pages):
            continue
        for sentence in sentences(path.read_text("utf-8"), claims.sections):
            text = idiom.sub(" ", sentence.text) if claims.idioms else sentence.text
            if not (found := word.search(text)):
                continue
            reasons = [entry for entry in claims.exempt if entry.page == name and entry.text in sentence.text]
            bound += sentence.bound
            if not sentence.bound:
                used.update(reasons)
                if not reasons:
                    errors.append(_unbound(f"docs/{name}", sentence, found[0]))
    errors += [_unfit(entry, used[entry]) for entry in claims.exempt if used[entry] != 1]
    return f"claims: {bound} bound to code or source, {len(claims.exempt)} exempt with a reason", errors


def _unbound(file: str, sentence: Sentence, word: str) -> LessonError:
    message = (
        f"{word!r} makes a claim in “{sentence.text}”: "
        "add {check} or {asserted}, cite it, or list it in docs/claims.toml"
    )
    return LessonError(file, sentence.line, "UnboundClaim", message)


def _unfit(entry: Exempt, count: int) -> LessonError:
    kind = "WideExemption" if count else "StaleExemption"
    message = f"{entry.text!r} must exempt one unbound claim of {entry.page}, it exempts {count}"
    return LessonError("docs/claims.toml", 1, kind, message)
