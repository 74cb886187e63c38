# Formulas and names that need no arrays.

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qkvdocs.clinic._contracts import AdapterTargets, CacheBytes, HeadWidth
from qkvdocs.clinic._declared import raised
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


KINDS: dict[str, tuple[dict[str, Any], ...]] = {
    "sliding": (
        {"sliding_window": 200, "layer_types": ["sliding_attention", "full_attention"] * 15},
        {"sliding_window": 200}, {"sliding_window": 200, "sliding_window_pattern": 6},
        {"sliding_window": 200, "use_sliding_window": False}, {"sliding_window": None},
        {"attention_chunk_size": 200, "layer_types": (["chunked_attention"] * 3 + ["full_attention"]) * 7
                                                     + ["chunked_attention"] * 2},
    ),
    "latent": ({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "head_dim": None},
               {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "head_dim": 64}),
    "shared": ({"num_kv_shared_layers": 10}, {"num_kv_shared_layers": 0}),
    "hybrid": (
        {"layer_types": ["linear_attention"] * 3 + ["full_attention"] + ["linear_attention"] * 26},
        {"layer_types": ["conv", "conv", "full_attention"] * 10},
        {"layer_types": (["mamba"] * 5 + ["attention"]) * 5},
        {"attn_layer_period": 8, "attn_layer_offset": 4},
    ),
}  # fmt: skip
"""What configs say of layers that keep less than every key and value: Mistral, Gemma 2 and 3, Qwen2, gpt-oss, Llama 4;
DeepSeek; Gemma 3n; Qwen3-Next, LFM2, Granite 4 and Jamba."""


def right_bytes(config: Config, batch: int, seq: int, itemsize: int) -> int:
    """The bytes that grow with the text: of keys and values, or of what they are made of."""
    layers = int(config["num_hidden_layers"])
    width = 2 * _kv_heads(config) * right_width(config)
    if rank := config.get("kv_lora_rank"):
        width = rank + config["qk_rope_head_dim"]
    kept = _types(config)[: layers - int(config.get("num_kv_shared_layers") or 0)]
    rows = {
        "sliding_attention": min(seq, config.get("sliding_window") or seq),
        "chunked_attention": min(seq, config.get("attention_chunk_size") or seq),
    }
    grows = [kind for kind in kept if "attention" in kind and "linear" not in kind]
    return batch * itemsize * width * sum(rows.get(kind, seq) for kind in grows)


def _types(config: Config) -> list[str]:
    """Name the kind of each layer, where a config says it layer by layer and where it does not."""
    layers = int(config["num_hidden_layers"])
    if told := config.get("layer_types"):
        return list(told)
    if period := config.get("attn_layer_period"):
        offset = config.get("attn_layer_offset", 0)
        return ["full_attention" if at % period == offset else "mamba" for at in range(layers)]
    if not config.get("sliding_window") or not config.get("use_sliding_window", True):
        return ["full_attention"] * layers
    every = config.get("sliding_window_pattern") or layers + 1
    return ["sliding_attention" if (at + 1) % every else "full_attention" for at in range(layers)]


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
            got = _number(contract, report, config, batch, seq, itemsize)
            ratios.append((config, got, right_bytes(config, batch, seq, itemsize)))
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
    for kind in contract.kinds:
        configs = ({**CONFIGS[1], **more} for more in KINDS[kind])
        wrong = filter(None, (_off(contract, report, config, call) for config in configs for call in CALLS))
        if said := next(wrong, ""):
            report.findings.append(Finding("cache-bytes", contract.name, f"{kind} layers: {said}"))
    if left := [kind for kind in KINDS if kind not in contract.kinds]:
        said = f"{', '.join(left)} layers, which keep less: say kinds={left}"
        report.untested.append(f"{contract.name}: {said}")


def _off(contract: CacheBytes, report: Report, config: Config, call: tuple[int, int, int]) -> str:
    try:
        share = _number(contract, report, config, *call) / right_bytes(config, *call)
    except ContractError as error:
        return str(error)
    return "" if abs(share - 1) <= 1e-6 else f"{fmt(share, 3)} times the bytes for {dict(config)}"


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
        raise raised(f"{contract.name} must take {dict(config)}", error) from error
    try:
        number = float(result)
    except (TypeError, ValueError, OverflowError) as error:
        raise ContractError(f"{contract.name} must return a number, got {result!r}") from error
    if handed != config and not any(finding.bug == "in-place" for finding in report.findings):
        said = "the call changes the config that it is given"
        report.findings.append(Finding("in-place", contract.name, said))
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
    met = modules_met(target, names, whole)
    if not met:
        way_out = ". 'all-linear' is one string, not a list" if everything and not whole else ""
        return f"{target!r} meets none of {len(names)} modules; there are {_endings(attending)}{way_out}"
    if not everything and (outside := [name for name in met if not _is_attention(name)]):
        return f"{target!r} meets {len(outside)} modules outside attention, such as {outside[0]!r}"
    if contract.group:
        meant = [name for name in attending if re.search(contract.group, name)]
        if not meant:
            found = f"group {contract.group!r} is found in no attention module"
            return f"{found}; there are {_endings(attending)}"
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
    said = f"{target!r} meets {len(met)} modules and leaves {len(missed)} of {len(layers)} layers out"
    return said * bool(missed)


def modules_met(target: str, names: Sequence[str], whole: bool) -> list[str]:
    """List the modules that one target means, an entry of a list or one string, as PEFT reads it."""
    if target == "all-linear":
        return [name for name in names if _is_linear(name, names)]
    if whole:
        return [name for name in names if re.fullmatch(target, name)]
    return [name for name in names if name == target or name.endswith(f".{target}")]


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
