"""What the clinic's bugs cost two trained models, as recorded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from qkvdocs.errors import CheckpointError
from qkvdocs.numbers import even, fmt

HEAD = "| in every layer | MiniLM as graded | as before | SmolLM2's loss | next token right |\n|---|--:|--:|--:|--:|"


class Cost(NamedTuple):
    """One mistake, made in every layer of a model."""

    bug: str
    """Its name in the clinic; none for the models as they are."""
    name: str
    """What was done."""
    minilm: Mapping[str, float] | None
    """Rank correlation of its cosines with the grades written down (`graded`) and with its right ones (`agrees`)."""
    smollm2: Mapping[str, float] | None
    """Mean loss on a text (`loss`) and on two sentences (`short`), and the share of next tokens it gets right
    (`correct`)."""


@dataclass(frozen=True)
class Costs:
    """All that was measured.

    Examples:
        >>> costs = read_costs("docs/models/costs.json")
        >>> [lost] = costs.of("the bias of keys is left out")
        >>> costs.noticed(lost), round(costs.harm(lost), 2)
        (False, 0.0)
    """

    rows: Sequence[Cost]
    """The right models first."""
    record: Mapping[str, Any]
    """Where it comes from: date, command, versions, and of each model its file and what it was asked."""

    def of(self, *names: str) -> list[Cost]:
        """Give what was measured of some bugs, each named as in the clinic or by what was done.

        Raises:
            CheckpointError: If nothing was.
        """
        found = [cost for cost in self.rows if cost.bug and (cost.bug in names or cost.name in names)]
        for name in names:
            if not any(name in cost for cost in found):
                raise CheckpointError(f"names must be bugs that were measured, got {name!r}. Run make costs")
        return found

    def unbroken(self, name: str) -> Cost:
        """Give what was measured without a bug: `right`, `no attention at all`, or `right, the texts apart`."""
        return next(row for row in self.rows if not row.bug and row.name == name)

    def right(self, cost: Cost) -> Cost:
        """Give what the right models had where a bug was measured."""
        return self.unbroken("right, the texts apart" if cost.bug == "batch-leak" else "right")

    def harm(self, cost: Cost) -> float:
        """Give the share of what a model had right that it loses, of the model that suffers more.

        For MiniLM that is the correlation with the grades, for SmolLM2 the share of next tokens. Below 0, the
        mistake made it look better.
        """
        right, lost = self.right(cost), []
        for model, what in (("minilm", "graded"), ("smollm2", "correct")):
            was, now = getattr(right, model), getattr(cost, model)
            if now:
                lost.append(float(1 - max(now[what], 0) / was[what]))
        return max(lost)

    def noticed(self, cost: Cost) -> bool:
        """Whether a test would notice that knows the right score, and how far it varies with what is asked.

        A score that is off by less than two standard errors passes.
        """
        right = self.unbroken("right")
        for model, what in (("minilm", "graded"), ("smollm2", "loss")):
            was, now = getattr(self.right(cost), model), getattr(cost, model)
            if now and abs(now[what] - was[what]) > 2 * getattr(right, model)["error"]:
                return True
        return False

    def table(self, *names: str) -> str:
        """Write a table in Markdown of some bugs, named as in `of`, below the models without them."""
        found = self.of(*names)
        whole = dict.fromkeys(self.right(cost).name for cost in found)
        plain = [self.unbroken(name) for name in (*whole, "no attention at all")]
        return "\n".join([HEAD, *(self.line(row) for row in plain + found)])

    def line(self, cost: Cost) -> str:
        """Write one line of the table."""
        shown = ("minilm", "graded"), ("minilm", "agrees"), ("smollm2", "loss"), ("smollm2", "correct")
        cells = [self.score(cost, model, what) for model, what in shown]
        return f"| {cost.name if cost.bug else f'**{cost.name}**'} | {' | '.join(cells)} |"

    def score(self, cost: Cost, model: str, what: str) -> str:
        """Write one number, marked as recorded; a dash for a model that cannot have the bug."""
        if (found := getattr(cost, model)) is None:
            return "–"
        said = f"{fmt(100 * found[what], 0)} %" if what == "correct" else even(found[what])
        return f'<span class="recorded">{said}</span>'


def read_costs(path: str | PathLike[str]) -> Costs:
    """Read what was recorded.

    Args:
        path: The file that `make costs` writes.

    Returns:
        Every mistake with what it did.

    Examples:
        >>> costs = read_costs("docs/models/costs.json")
        >>> costs.rows[0].name, costs.harm(costs.rows[0])
        ('right', 0.0)
    """
    record = json.loads(Path(path).read_bytes())
    rows = [Cost(row["bug"], row["name"], row.get("minilm"), row.get("smollm2")) for row in record["rows"]]
    return Costs(rows, {name: value for name, value in record.items() if name not in ("rows", "twins")})
