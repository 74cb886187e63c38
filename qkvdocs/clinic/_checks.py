# Formulas and names that need no arrays.

from collections.abc import Callable, Mapping
from typing import Any

from qkvdocs.clinic._contracts import AdapterTargets, CacheBytes, HeadWidth
from qkvdocs.clinic._report import Finding, Report
from qkvdocs.errors import ContractError
from qkvdocs.numbers import fmt

Config = Mapping[str, Any]
CONFIGS: tuple[dict[str, Any], ...] = (
    {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 10},
    {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 30},
    {"hidden_size": 2560, "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 36,
     "head_dim": 128},
)  # fmt: skip
"""Full heads; grouped heads; grouped heads whose width is said and is not d_model / n_heads."""
EMPTY = {**CONFIGS[1], "head_dim": None}
"""Real configs hold such a null: the width is then the quotient."""
CALLS = ((1, 100, 2), (3, 700, 4))


def right_width(config: Config) -> int:
    """The width of a head: what the config says, else the quotient."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _kv_heads(config: Config) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def right_bytes(config: Config, batch: int, seq: int, itemsize: int) -> int:
    """The bytes of all keys and values."""
    layers = int(config["num_hidden_layers"])
    return 2 * batch * seq * layers * _kv_heads(config) * right_width(config) * itemsize


WRONG: tuple[tuple[str, Callable[[Config], float]], ...] = (
    ("query heads are counted where key heads should be", lambda c: c["num_attention_heads"] / _kv_heads(c)),
    ("the width is d_model / n_heads although the config says head_dim",
     lambda c: c["hidden_size"] / c["num_attention_heads"] / right_width(c)),
    ("d_model is counted where n_kv_heads · d_head should be",
     lambda c: c["hidden_size"] / _kv_heads(c) / right_width(c)),
    ("keys or values are left out", lambda c: 0.5),
    ("layers are left out", lambda c: 1 / c["num_hidden_layers"]),
)  # fmt: skip


def examine_cache_bytes(contract: CacheBytes, report: Report) -> None:
    """Compare a formula with the right one on configs that tell the mistakes apart."""
    report.tried.append(f"{contract.name}: full heads, grouped heads, a head_dim of its own")
    ratios = []
    for config in CONFIGS:
        for batch, seq, itemsize in CALLS:
            got, wanted = (
                _number(contract, report, config, batch, seq, itemsize),
                right_bytes(config, batch, seq, itemsize),
            )
            ratios.append((config, got, wanted))
    if (wrong := next((r for r in ratios if not abs(r[1] / r[2] - 1) <= 1e-6), None)) is None:
        _null(contract, report, "cache-bytes", right_bytes(EMPTY, *CALLS[0]), *CALLS[0])
        return
    config, got, wanted = wrong
    says = next(
        (said for said, factor in WRONG if all(abs(g / w / factor(c) - 1) < 1e-6 for c, g, w in ratios)),
        "no usual mistake explains it",
    )
    said = f"{says}: {fmt(got / wanted, 3)} times the bytes for {dict(config)}"
    report.findings.append(Finding("cache-bytes", contract.name, said))


def examine_head_width(contract: HeadWidth, report: Report) -> None:
    """Compare a rule with the right one."""
    report.tried.append(f"{contract.name}: full heads, grouped heads, a head_dim of its own")
    for config in CONFIGS:
        got, wanted = _number(contract, report, config), right_width(config)
        if got != wanted:
            said = f"the width is {wanted} and {fmt(got)} was given, for {config}"
            report.findings.append(Finding("head-width", contract.name, said))
            return
    _null(contract, report, "head-width", right_width(EMPTY))


def _null(contract: CacheBytes | HeadWidth, report: Report, bug: str, wanted: int, *rest: int) -> None:
    """Ask a formula that is right so far about a config whose head_dim is null."""
    try:
        got = _number(contract, report, EMPTY, *rest)
    except ContractError as error:
        report.findings.append(Finding(bug, contract.name, f"where head_dim is null, {error}"))
        return
    if not abs(got / wanted - 1) <= 1e-6:
        said = f"where head_dim is null, {wanted} is right and {fmt(got)} was given, for {EMPTY}"
        report.findings.append(Finding(bug, contract.name, said))


def _number(contract: CacheBytes | HeadWidth, report: Report, config: Config, *rest: int) -> float:
    handed = dict(config)
    try:
        result: Any = contract.function(handed, *rest)
    except Exception as error:
        raise ContractError(
            f"{contract.name} must take {dict(config)}, it raised {type(error).__name__}: {error}"
        ) from error
    try:
        number = float(result)
    except (TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"{contract.name} must return a number, got {result!r}") from error
    if handed != config and not any(finding.bug == "in-place" for finding in report.findings):
        report.findings.append(
            Finding("in-place", contract.name, "the call changes the config that it is given")
        )
    return number


def examine_adapter_targets(contract: AdapterTargets, report: Report) -> None:
    """Look for targets that meet nothing, too much, or only some layers."""
    report.tried.append("adapter targets: each meets attention, nothing else, and every layer")
    if not contract.targets:
        said = "there are no targets, so nothing is adapted"
        report.findings.append(Finding("adapter-targets", "adapter targets", said))
    attending = [name for name in contract.modules if _is_attention(name)]
    for target in contract.targets:
        met = [name for name in contract.modules if name == target or name.endswith(f".{target}")]
        if not met:
            said = (
                f"{target!r} meets none of {len(contract.modules)} modules; there are {_endings(attending)}"
            )
        elif outside := [name for name in met if not _is_attention(name)]:
            said = f"{target!r} meets {len(outside)} modules outside attention, such as {outside[0]!r}"
        elif (towers := [name for name in met if _is_tower(name)]) and len(towers) < len(met):
            said = f"{target!r} meets {len(towers)} modules of another tower too, such as {towers[0]!r}"
        else:
            # A hybrid model has attention of this kind in some layers only.
            kin = {_parent(name) for name in met}
            layers = {_number_in(name) for name in attending if _parent(name) in kin}
            if not (missed := layers - {_number_in(name) for name in met}):
                continue
            said = f"{target!r} meets {len(met)} modules and leaves {len(missed)} of {len(layers)} layers out"
        report.findings.append(Finding("adapter-targets", "adapter targets", said))


def _is_attention(name: str) -> bool:
    return any(word in part for part in name.lower().split(".")[:-1] for word in ("attn", "attention")) or (
        name.rsplit(".", 1)[-1] in ("q_proj", "k_proj", "v_proj", "o_proj")
    )


def _is_tower(name: str) -> bool:
    return any(word in name.lower() for word in ("vision", "visual", "audio"))


def _parent(name: str) -> str:
    return ".".join(name.split(".")[-2:-1])


def _number_in(name: str) -> str:
    return ".".join(part for part in name.split(".") if part.isdigit())


def _endings(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names)) or "no attention modules"
