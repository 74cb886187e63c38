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

KINDS = {
    Attend: "the inner function, attend(q, k, v, mask)",
    Attention: "the layer, attention(x)",
    Project: "the projections, project(x, weights)",
    Step: "the cache, step(x, cache)",
}


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
        match contract:
            case Attend():
                examine_attend(contract, report)
            case Attention():
                examine_attention(contract, report)
            case Project():
                examine_project(contract, report)
            case Step():
                examine_step(contract, report)
            case CacheBytes():
                examine_cache_bytes(contract, report)
            case HeadWidth():
                examine_head_width(contract, report)
            case AdapterTargets():
                examine_adapter_targets(contract, report)
            case _:
                raise ContractError(f"contracts must be Attend, Attention, Project, Step …, got {contract!r}")
    given = {type(contract) for contract in contracts}
    report.untested += [f"{what}: none was given" for kind, what in KINDS.items() if kind not in given]
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
