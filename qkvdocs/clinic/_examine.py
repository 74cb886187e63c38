from collections.abc import Callable
from typing import Any

from qkvdocs.clinic._attend import examine_attend
from qkvdocs.clinic._attention import examine_attention
from qkvdocs.clinic._checks import examine_adapter_targets, examine_cache_bytes, examine_head_width
from qkvdocs.clinic._contracts import (
    AdapterTargets,
    Attend,
    Attention,
    CacheBytes,
    Contract,
    HeadWidth,
    Project,
    Step,
)
from qkvdocs.clinic._model import examine_model
from qkvdocs.clinic._project import examine_project
from qkvdocs.clinic._report import Report
from qkvdocs.clinic._step import examine_step
from qkvdocs.errors import ContractError

KINDS: dict[type, tuple[Callable[[Any, Report], None], str]] = {
    Attend: (examine_attend, "the inner function, attend(q, k, v, mask)"),
    Attention: (examine_attention, "the layer, attention(x)"),
    Project: (examine_project, "the projections, project(x, weights)"),
    Step: (examine_step, "the cache, step(x, cache)"),
    CacheBytes: (examine_cache_bytes, ""),
    HeadWidth: (examine_head_width, ""),
    AdapterTargets: (examine_adapter_targets, ""),
}
"""How each contract is examined, and what is untested without one."""


def examine(*contracts: Contract) -> Report:
    """Examine somebody's functions, and say what is wrong with them.

    Each function is called a few dozen times with small arrays of its own kind. What it returns is compared
    with the formula; where it differs, the fewest known bugs that give the same numbers are the answer.

    Args:
        *contracts: What there is: functions with what they declare about themselves.

    Returns:
        Findings, what was tried, and what could not be tested.

    Raises:
        ContractError: If nothing is given, or a function does not keep the form of its contract: it raises
            on every input, returns another shape, or answers differently each time.

    Examples:
        >>> from qkvdocs.core import attend
        >>> examine(Attend(lambda q, k, v, mask: attend(q, k, v, mask, scale=1.0).context)).findings[0].bug
        'scale'
    """
    if not contracts:
        raise ContractError("contracts must hold at least one, got none")
    report = Report()
    for contract in contracts:
        run = next((run for kind, (run, _) in KINDS.items() if isinstance(contract, kind)), None)
        if run is None:
            raise ContractError(f"contracts must be Attend, Attention, Project, Step …, got {contract!r}")
        run(contract, report)
    given = {type(contract) for contract in contracts}
    missing = [what for kind, (_, what) in KINDS.items() if what and kind not in given]
    report.untested += [f"{what}: none was given" for what in missing]
    return report


def assert_healthy(*contracts: Any) -> Report:
    """Fail with the whole report if anything is wrong: for tests.

    Args:
        *contracts: As for `examine`; or one model, as for `examine_model`.

    Returns:
        The report, which also says what was not tested.

    Raises:
        AssertionError: If there is a finding.
        ContractError: As `examine` does.

    Examples:
        >>> from qkvdocs.core import attend
        >>> assert_healthy(Attend(lambda q, k, v, mask: attend(q, k, v, mask).context)).healthy
        True
    """
    model = len(contracts) == 1 and callable(getattr(contracts[0], "state_dict", None))
    report = examine_model(contracts[0]) if model else examine(*contracts)
    if not report.healthy:
        raise AssertionError(f"\n{report}")
    return report
