"""Count what the probes say of every implementation, in three precisions: `make evaluate EVALUATE=figures`."""

import json
import warnings
from collections import Counter
from pathlib import Path

from qkvdocs.clinic import Report, examine
from qkvdocs.clinic._report import TOO_COARSE, UNDECLARED, UNKNOWN
from tests.clinic import bugs_blind, bugs_hard, bugs_held_out, bugs_open, bugs_reports, right, right_features
from tests.clinic.cases import Case
from tests.clinic.run import half

FILE = Path(__file__).parents[1] / "clinic_figures.json"
SETS = {
    "right": [*right.CASES, *right_features.CASES],
    "open": bugs_open.CASES,
    "held out": bugs_held_out.CASES,
    "from reports": bugs_reports.CASES,
    "right, blind": bugs_blind.RIGHT,
    "blind": bugs_blind.SINGLE,
    "blind, several": bugs_blind.HARD,
    "hard": bugs_hard.CASES,
}
ARRAYS = {"attend", "attention", "project", "step"}
FIRST = {
    "right": "of 48 new right ones, 2 unexplained and 4 answered with an error of the probes' own",
    "from reports": "of 99 bugs, 82 named, 17 missed, 7 false names",
    "right, blind": "all 15 healthy",
    "blind": "of 40 wrong ones, 29 named, 7 without a name, 4 misnamed, none healthy",
    "blind, several": "of 20 wrong ones, 13 named, 3 without a name, 1 misnamed, 3 healthy",
}
"""What came of a set when the probes first ran on it: in float64, of the blind ones in float32."""


def verdict(case: Case, report: Report, bugs: frozenset[str]) -> str:
    """Say in a word what became of a case: one of several bugs named is not all of them."""
    note = bugs_blind.NOTES.get(case.name)
    fitting = bugs | note.also if note else bugs
    said = {finding.bug for finding in report.findings}
    names = {bug for finding in report.findings for bug in finding.names} - {TOO_COARSE, UNDECLARED, UNKNOWN}
    if not said:
        return "healthy"
    if said == {TOO_COARSE}:
        return "cannot tell"
    if said <= {TOO_COARSE, UNDECLARED}:
        return "asked"
    wrong = note is not None and note.count > 0
    if not names:
        return "named" if wrong and not fitting else "unexplained"
    accused = [finding for finding in report.findings if finding.bug not in (UNKNOWN, UNDECLARED)]
    if not all(finding.names & fitting for finding in accused):
        return "misnamed"
    return "named" if bugs <= names or len(names & fitting) >= max(1, len(bugs)) else "named in part"


def count(cases: list[Case], dtype: str) -> Counter[str]:
    """Count verdicts."""
    found: Counter[str] = Counter()
    for case in cases:
        # What precision loses, half precision is; what is no array has none.
        bugs = case.bugs - ({"dtype-loss"} if dtype != "float32" else set())
        single = dtype == "float32" and case.name == "always_returns_single"  # which is then no bug
        if case.kind in ARRAYS and (bugs or not case.bugs) and not single:
            found[verdict(case, examine(half(case, dtype)), bugs)] += 1
    return found


def main() -> None:
    """Write them all, and say the sum in a line."""
    warnings.simplefilter("ignore", RuntimeWarning)  # the buggy make NaNs
    made = {
        dtype: {name: dict(sorted(count(cases, dtype).items())) for name, cases in SETS.items()}
        for dtype in ("float32", "float16", "bfloat16")
    }
    FILE.write_text(json.dumps({"first": FIRST, "counts": made}, indent=2) + "\n", "utf-8")
    counted = [name for name in SETS if not name.startswith(("right", "hard"))]
    wrong = {dtype: sum((Counter(sets[name]) for name in counted), Counter()) for dtype, sets in made.items()}
    print("; ".join(
        f"{dtype}: {some['named']} of {some.total()} wrong ones named, {some['healthy']} healthy, "
        f"{made[dtype]['right'].get('healthy', 0)} of {sum(made[dtype]['right'].values())} right ones healthy"
        for dtype, some in wrong.items()
    ))  # fmt: skip


if __name__ == "__main__":
    main()
