"""A sentence that compares is bound to code: `larger`, `equals` and `sums to one` must be true when the site is built.

The words that make a claim are published in `docs/claims.toml`. A sentence with one of them carries a mark,
`{check} expression` or `{asserted} condition`, or a cited fact, or stands in the same file with a reason.
How many comparisons the words see, and what else they take for one, is measured on `docs/sentences.toml`.
"""

import argparse
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkvdocs.engine.checks._sentences import Sentence, sentences
from qkvdocs.engine.cores import divided
from qkvdocs.engine.pages import LessonError
from qkvdocs.errors import QKVError


@dataclass(frozen=True)
class Exempt:
    """A claim that no code can bear out, and why."""

    page: str
    text: str
    reason: str


@dataclass(frozen=True)
class Claims:
    """The published list, in which `*` stands for letters and `…` for up to four words."""

    words: tuple[str, ...] = ()
    idioms: tuple[str, ...] = ()
    """Phrases that hold one of the words and compare nothing."""
    openings: tuple[str, ...] = ()
    """A clause that begins so asks for something."""
    sections: frozenset[str] = frozenset()
    """Sections that are not read."""
    exempt: tuple[Exempt, ...] = ()

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
        lists = {name: tuple(table.pop(name, ())) for name in ("words", "idioms", "openings")}
        sections = frozenset(table.pop("sections", ()))
        return cls(**lists, sections=sections, exempt=tuple(Exempt(**entry) for entry in entries))

    def word(self, text: str) -> str | None:
        """Give the word that makes a sentence a claim; None where none does, in a question and in a request."""
        if text.endswith("?") or (self.openings and _pattern(self.openings, r"[^,:;]*$").match(text)):
            return None
        found = self.words and _pattern(self.words).search(_pattern(self.idioms or ("\0",)).sub(" ", text))
        return found[0] if found else None


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
    found = divided(lambda path: _on_page(path, docs, claims), sorted(docs.rglob("*.md")))
    used = Counter(entry for _, entries, _ in found for entry in entries)
    bound = sum(count for count, _, _ in found)
    errors = [error for _, _, unbound in found for error in unbound]
    errors += [_unfit(entry, used[entry]) for entry in claims.exempt if used[entry] != 1]
    return f"claims: {bound} bound to code or source, {len(claims.exempt)} exempt with a reason", errors


def _on_page(path: Path, docs: Path, claims: Claims) -> tuple[int, list[Exempt], list[LessonError]]:
    """Count the claims that are bound, and find those that are not, exempt or wrong."""
    name, bound, exempt, errors = path.relative_to(docs).as_posix(), 0, list[Exempt](), []
    for sentence in sentences(path.read_text("utf-8"), claims.sections):
        if not (word := claims.word(sentence.text)):
            continue
        bound += sentence.bound
        if not sentence.bound:
            reasons = [entry for entry in claims.exempt if entry.page == name and entry.text in sentence.text]
            exempt += reasons
            if not reasons:
                errors.append(_unbound(f"docs/{name}", sentence, word))
    return bound, exempt, errors


def measure_claims(docs: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Measure the words of a site on sentences whose kind is known.

    Args:
        docs: The folder with `claims.toml` and `sentences.toml`.

    Returns:
        For each set, for its `comparisons` and its `plain` sentences: how many count as claims, and of how many.
    """
    claims = Claims.read(docs)
    sets = tomllib.loads((docs / "sentences.toml").read_text("utf-8"))
    return {
        name: {
            kind: (sum(any(claims.word(part.text) for part in sentences(text)) for text in texts), len(texts))
            for kind, texts in kinds.items()
        }
        for name, kinds in sets.items()
    }


@functools.cache
def _pattern(phrases: Sequence[str], after: str = r"(?![\w-])") -> re.Pattern[str]:
    """Compile phrases of the list to one pattern of whole words."""
    choices = (
        re.escape(phrase).replace(r"\*", r"\w*").replace(r"\ …\ ", r"(?:\ [^\s,;:]+){1,4}?\ ")
        for phrase in phrases
    )
    return re.compile(rf"(?<![\w-])(?:{'|'.join(choices)}){after}", re.I)


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


def main(arguments: list[str]) -> int:
    """Run the measurement as a command."""
    parser = argparse.ArgumentParser(
        prog="qkvdocs claims", description="Say how many comparisons the check of claims sees."
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the Markdown files")
    for name, kinds in measure_claims(parser.parse_args(arguments).docs).items():
        seen, comparisons = kinds["comparisons"]
        alarms, plain = kinds["plain"]
        print(  # noqa: T201
            f"{name}: recall {seen / comparisons:.3f} ({seen} of {comparisons}), "
            f"false alarms {alarms / plain:.3f} ({alarms} of {plain})"
        )
    return 0
