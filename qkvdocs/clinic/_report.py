from dataclasses import dataclass, field

from qkvdocs.clinic._bugs import BUGS

UNKNOWN = "unexplained"
"""The answer where something is wrong and no known bug explains it."""

UNDECLARED = "undeclared"
"""The answer where something fits that the contract does not declare: no bug, but a question."""

TOO_COARSE = "too coarse to judge"
"""The answer where the right numbers and those of a known bug both fit what came out."""


@dataclass(frozen=True)
class Finding:
    """One bug that was found.

    Examples:
        >>> print(Finding("scale", "attend", "the scores are 2.8284 times too large"))
        scale (attend): the scores are 2.8284 times too large
    """

    bug: str
    """Its name in `BUGS`, or `unexplained`, `undeclared`, or `too coarse to judge`."""
    contract: str
    """What was examined: attend, attention, project, step …"""
    sentence: str
    """What is wrong, with the number that proves it."""
    also: tuple[str, ...] = ()
    """Bugs that nothing can tell apart from this one under the contract."""

    @property
    def names(self) -> frozenset[str]:
        """The bug and those that cannot be told apart from it."""
        return frozenset((self.bug, *self.also))

    def __str__(self) -> str:
        return f"{' or '.join((self.bug, *self.also))} ({self.contract}): {self.sentence}"

    @property
    def advice(self) -> str:
        """How to mend it and where it happened; empty for what is no bug of the catalogue."""
        if self.bug not in BUGS:
            return ""
        bug = BUGS[self.bug]
        seen = f"\n  seen in {', '.join(bug.where)}" if bug.where else ""
        return f"  {bug.mend}{seen}"


@dataclass
class Report:
    """What an examination found, what it tried, and what it could not test.

    Examples:
        >>> print(Report(tried=["attend: scale"]))
        healthy. Tried: attend: scale.
    """

    findings: list[Finding] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found. What was not tested may still be wrong."""
        return not self.findings

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(str(finding))
            if finding.advice:
                lines.append(finding.advice)
        tried = f"Tried: {'; '.join(self.tried)}." if self.tried else "Nothing was tried."
        lines.append(f"healthy. {tried}" if self.healthy else tried)
        lines += [f"Not tested: {item}." for item in self.untested]
        return "\n".join(lines)
