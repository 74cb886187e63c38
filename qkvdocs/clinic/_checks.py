# Formulas and names that need no arrays.

import re
from collections.abc import Callable, Mapping, Sequence
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


KINDS: dict[str, dict[str, Any]] = {
    "sliding": {"sliding_window": 200, "layer_types": ["sliding_attention", "full_attention"] * 15},
    "latent": {"kv_lora_rank": 512, "qk_rope_head_dim": 64},
    "shared": {"num_kv_shared_layers": 10},
    "hybrid": {"layer_types": ["linear_attention"] * 3 + ["full_attention"] + ["linear_attention"] * 26},
}
"""What a config says of layers that keep less than every key and value."""


def right_bytes(config: Config, batch: int, seq: int, itemsize: int) -> int:
    """The bytes that grow with the text: of keys and values, or of what they are made of."""
    layers = int(config["num_hidden_layers"])
    types = list(config.get("layer_types") or [""] * layers)
    if window := config.get("sliding_window"):
        types = ["sliding_attention" if kind == "" else kind for kind in types]
    width = 2 * _kv_heads(config) * right_width(config)
    if rank := config.get("kv_lora_rank"):
        width = rank + config["qk_rope_head_dim"]
    kept = types[: layers - int(config.get("num_kv_shared_layers") or 0)]
    rows = {"sliding_attention": min(seq, window or seq), "linear_attention": 0}
    return batch * itemsize * width * sum(rows.get(kind, seq) for kind in kept)


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
        _kinds(contract, report)
        return
    config, got, wanted = wrong
    says = next(
        (said for said, factor in WRONG if all(abs(g / w / factor(c) - 1) < 1e-6 for c, g, w in ratios)),
        "no usual mistake explains it",
    )
    said = f"{says}: {fmt(got / wanted, 3)} times the bytes for {dict(config)}"
    report.findings.append(Finding("cache-bytes", contract.name, said))


def _kinds(contract: CacheBytes, report: Report) -> None:
    """Ask a formula that is right so far about the layers that it counts beside the plain ones."""
    for kind, more in KINDS.items():
        if kind not in contract.kinds:
            continue
        config = {**CONFIGS[1], **more}
        for call in CALLS:
            got, wanted = _number(contract, report, config, *call), right_bytes(config, *call)
            if not abs(got / wanted - 1) <= 1e-6:
                said = f"{kind} layers: {fmt(got / wanted, 3)} times the bytes for {dict(config)}"
                report.findings.append(Finding("cache-bytes", contract.name, said))
                break
    if left := [kind for kind in KINDS if kind not in contract.kinds]:
        report.untested.append(
            f"{contract.name}: {', '.join(left)} layers, which keep less: say kinds={left}"
        )


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
        return
    whole = isinstance(contract.targets, str)
    for target in [str(contract.targets)] if whole else contract.targets:
        if said := _target(contract, target, whole):
            report.findings.append(Finding("adapter-targets", "adapter targets", said))


def _target(contract: AdapterTargets, target: str, whole: bool) -> str:
    """Say what is wrong with one target; nothing if it is right."""
    names = contract.modules
    attending = [name for name in names if _is_attention(name)]
    everything = target == "all-linear"
    if everything:
        met = [name for name in names if _is_linear(name, names)]
    elif whole:
        met = [name for name in names if re.fullmatch(target, name)]
    else:
        met = [name for name in names if name == target or name.endswith(f".{target}")]
    if not met:
        way_out = ". 'all-linear' is one string, not a list" if everything and not whole else ""
        return f"{target!r} meets none of {len(names)} modules; there are {_endings(attending)}{way_out}"
    if not everything and (outside := [name for name in met if not _is_attention(name)]):
        return f"{target!r} meets {len(outside)} modules outside attention, such as {outside[0]!r}"
    if contract.group:
        meant = [name for name in attending if re.search(contract.group, name)]
        if not meant:
            return (
                f"group {contract.group!r} is found in no attention module; there are {_endings(attending)}"
            )
        if strangers := [name for name in met if not re.search(contract.group, name)]:
            return f"{target!r} meets {len(strangers)} modules outside {contract.group!r}, such as {strangers[0]!r}"
    else:
        towers = [name for name in met if _is_tower(name)]
        if towers and len(towers) < len(met):
            said = f"{target!r} meets {len(towers)} modules of another tower too, such as {towers[0]!r}"
            return f"{said}. Say group=… for the layers that you mean"
        meant = [name for name in attending if _is_tower(name) == bool(towers)]
    # A hybrid model has attention of this kind in some layers only.
    kin = {_parent(name) for name in met}
    layers = {_number_in(name) for name in meant if _parent(name) in kin}
    missed = layers - {_number_in(name) for name in met}
    return (
        f"{target!r} meets {len(met)} modules and leaves {len(missed)} of {len(layers)} layers out"
        if missed
        else ""
    )


NOT_LINEAR = ("norm", "embed", "act", "dropout", "rotary", "lm_head", "pool", "conv")


def _is_linear(name: str, names: Sequence[str]) -> bool:
    """Tell by its name whether a module is a linear layer that holds no others; the last one is none of them."""
    leaf = name.rsplit(".", 1)[-1].lower()
    return (
        bool(name)
        and not any(word in leaf or leaf.startswith("ln_") for word in NOT_LINEAR)
        and not any(other.startswith(f"{name}.") for other in names)
    )


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
