# A whole model: its attention modules are found by the atlas, and what its config declares is held to what it computes.

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.clinic._attention import examine_attention
from qkvdocs.clinic._contracts import Attention, Norm, Rotary
from qkvdocs.clinic._declared import refuse
from qkvdocs.clinic._report import Report
from qkvdocs.clinic._weights import weights_from
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError, QKVError
from qkvdocs.wild._attentions import Attentions, plan_modules
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Tensor

PAIRS = (
    "gptj", "codegen", "cohere", "cohere2", "glm", "glm4", "helium", "ernie4_5", "ernie4_5_moe",
)  # fmt: skip
"""Model types that rotate neighbours; the others that rotate take halves."""
PLUS_ONE = ("gemma2", "gemma3", "gemma3_text", "qwen3_next")
"""Model types whose norms multiply by one more than the file says."""
PARTS = {
    "phi": 0.5,
    "stablelm": 0.25,
    "nemotron": 0.5,
    "glm": 0.5,
    "glm4": 0.5,
    "gpt_neox": 0.25,
    "persimmon": 0.5,
}
"""The part of a head that is rotated, where a config leaves it out."""
STRANGE = {
    "falcon": "ALiBi and biases of its own", "t5": "relative positions", "deberta": "relative positions",
    "deberta-v2": "relative positions", "xlnet": "relative positions", "bloom": "a residual inside",
    "mpt": "positions of its own", "mpnet": "relative positions", "ctrl": "a mask of its own",
    "albert": "a residual inside", "qwen3_next": "a gate",
}  # fmt: skip
ENCODERS = (
    "bert",
    "roberta",
    "electra",
    "distilbert",
    "camembert",
    "xlm-roberta",
    "ernie",
    "modernbert",
    "esm",
)


@dataclass(frozen=True)
class Loaded(Tensor):
    """A tensor of a model that is loaded."""

    value: Any

    def load(self, source: Source, name: str) -> np.ndarray:
        """Give the values."""
        return to_numpy(self.value)


def attentions_of(model: Any) -> Attentions:
    """Find the attention modules of a loaded model."""
    config = getattr(model, "config", None)
    told = config.to_dict() if config is not None and hasattr(config, "to_dict") else {}
    tensors = {
        name: Loaded("F32", tuple(value.shape), 0, 0, value)
        for name, value in model.state_dict().items()
        if hasattr(value, "shape")
    }
    return plan_modules(Checkpoint.held(tensors, told))


def examine_model(
    model: Any, *, inputs: Callable[[int, int], Mapping[str, Any]] | None = None, most: int = 2
) -> Report:
    """Examine the attention modules of a loaded model.

    A model of transformers is read by the atlas: weights by its `state_dict`, what it declares by its `config`, and
    each module is called with the masks and angles that the model itself hands it. `nn.MultiheadAttention` and
    modules with `c_attn`, as nanoGPT has them, are called as they are.

    Args:
        model: A module of torch, or what behaves like one. It must be in evaluation mode.
        inputs: Arguments of the whole model for so many texts of so many tokens; None means `input_ids`.
        most: How many modules of each kind are examined, the last ones among them.

    Returns:
        One report; each finding and each line names its module.

    Raises:
        ContractError: If it is no such model, or has no attention module that can be examined.

    Examples:
        >>> examine_model(3)
        Traceback (most recent call last):
        qkvdocs.errors.ContractError: model must be a module with state_dict and named_modules, got 3
    """
    if not (callable(getattr(model, "state_dict", None)) and callable(getattr(model, "named_modules", None))):
        raise refuse("model", "be a module with state_dict and named_modules", model)
    if getattr(model, "training", False):
        raise ContractError("model must be in evaluation mode, got one in training. Say model.eval()")
    report = Report()
    contracts = {path: contract for path, module in model.named_modules() if (contract := _plain(module))}
    if not contracts:
        contracts = _by_atlas(model, inputs, report)
    if not contracts:
        raise ContractError(
            "model must have an attention module that can be examined, got none"
            + "".join(f". {line}" for line in report.untested[:3])
        )
    by_kind: dict[str, list[str]] = {}
    for path in contracts:
        by_kind.setdefault(re.sub(r"\d+", "N", path) + str(_kind(contracts[path])), []).append(path)
    for paths in by_kind.values():
        chosen = paths if len(paths) <= most else [*paths[: most - 1], paths[-1]]
        if left := len(paths) - len(chosen):
            report.untested.append(f"{left} more modules like {chosen[0]}: say most={len(paths)}")
        for path in chosen:
            own = Report()
            try:
                examine_attention(contracts[path], own)
            except ContractError as error:
                own.untested.append(f"the call failed: {error}")
            named = path or type(model).__name__
            report.findings += [replace(finding, contract=named) for finding in own.findings]
            report.tried += [f"{named}: {line.removeprefix('attention: ')}" for line in own.tried]
            report.untested += [f"{named}: {line.removeprefix('attention: ')}" for line in own.untested]
    return report


def _kind(contract: Attention) -> tuple[Any, ...]:
    return contract.causal, contract.window, contract.chunk, contract.rotary, contract.norm is None


def _plain(module: Any) -> Attention | None:
    """Read a module that says by its own fields what it is."""
    if hasattr(module, "in_proj_weight") and hasattr(module, "out_proj") and hasattr(module, "num_heads"):
        fused, bias = to_numpy(module.in_proj_weight), module.in_proj_bias
        biases = [None] * 3 if bias is None else np.split(to_numpy(bias), 3)
        q, k, v = zip(np.split(fused, 3), biases, strict=True)
        weights = weights_from(q, k, v, module.out_proj, n_heads=module.num_heads)
        first = getattr(module, "batch_first", False)

        def mha(x: Any) -> Any:
            x = x if first else x.swapaxes(0, 1)
            made = module(x, x, x, need_weights=False)[0]
            return made if first else made.swapaxes(0, 1)

        return Attention(mha, weights, like=module.in_proj_weight)
    heads = getattr(module, "n_head", None) or getattr(module, "n_heads", None)
    if hasattr(module, "c_attn") and hasattr(module, "c_proj") and heads:
        fused = to_numpy(module.c_attn.weight)
        if fused.shape[0] != 3 * fused.shape[1]:  # GPT-2 of transformers stores the transpose
            return None
        bias = getattr(module.c_attn, "bias", None)
        biases = [None] * 3 if bias is None else np.split(to_numpy(bias), 3)
        q, k, v = zip(np.split(fused, 3), biases, strict=True)
        return Attention(
            module,
            weights_from(q, k, v, module.c_proj, n_heads=heads),
            causal=True,
            like=module.c_attn.weight,
        )
    return None


def _by_atlas(
    model: Any, inputs: Callable[[int, int], Mapping[str, Any]] | None, report: Report
) -> dict[str, Attention]:
    attentions = attentions_of(model)
    report.untested += [f"{path}: {error}" for path, error in attentions.refused.items()]
    contracts = {}
    for path in attentions:
        facts = attentions.checkpoint.facts(path)
        kind = next(iter(facts.model_types[::-1]), "")
        if why := STRANGE.get(kind):
            report.untested.append(f"{path}: {kind} has {why}, which no contract declares")
            continue
        try:
            module, weights = model.get_submodule(path), attentions[path]
            if weights.W_G is not None:
                raise ContractError("it has a gate on its output, which no contract declares")
            plain: QKVWeights = QKVWeights(
                **{name: getattr(weights, name) for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")},
                n_heads=weights.n_heads, n_kv_heads=weights.n_kv_heads,
            )  # fmt: skip
            if (inner := getattr(module, "self", None)) is not None:  # its output is projected by a neighbour
                module, plain = inner, replace(plain, W_O=None, b_O=None)
            elif plain.W_O is None and "attention" in dict(module.named_children()):
                module = module.attention
            extra = {
                name.removeprefix(f"{path}."): attentions.checkpoint[name]
                for name in attentions.checkpoint.under(path)
                if "norm" in name or name.endswith("sinks")
            }
            features = declared_by(kind, facts.values, path, module, plain, extra)
            contracts[path] = Attention(Calls(model, module, inputs), plain, like=module, **features)
        except (QKVError, AttributeError) as error:
            report.untested.append(f"{path}: {error}")
    return contracts


def declared_by(
    kind: str,
    config: Mapping[str, Any],
    path: str,
    module: Any,
    W: QKVWeights,
    extra: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Read what a config declares of one layer."""
    at = int(found[-1]) if (found := re.findall(r"\d+", path)) else 0
    types = config.get("layer_types") or []
    layer = types[at] if at < len(types) else ""
    features: dict[str, Any] = {"causal": bool(getattr(module, "is_causal", kind not in ENCODERS))}
    if kind in ENCODERS:
        features["causal"] = bool(config.get("is_decoder"))
    if kind == "clip_text_model":
        features["causal"] = True
    told = config.get("rope_parameters") or config.get("rope_scaling") or {}
    told = told.get(layer, told) or {}
    base = told.get("rope_theta") or config.get("rope_theta")
    rotates = base or "rotary_dim" in config or config.get("rope_parameters")
    skipped = (kind == "cohere2" and layer == "full_attention") or (
        config.get("no_rope_layers") or [1] * (at + 1)
    )[at] == 0
    if rotates and not skipped:
        if told.get("rope_type", told.get("type", "default")) not in ("default", "linear"):
            raise ContractError(f"rotation of type {told.get('rope_type')}, which no contract declares")
        part = (
            told.get("partial_rotary_factor") or config.get("partial_rotary_factor") or PARTS.get(kind, 1.0)
        )
        width = int(config.get("rotary_dim") or part * W.d_head)
        scaling = float(told.get("factor") or 1.0)
        style = "pairs" if kind in PAIRS else "halves"
        features["rotary"] = Rotary(style, float(base or 1e4), width if width < W.d_head else None, scaling)  # type: ignore[arg-type]
    scale = config.get("attention_multiplier")
    if (scalar := config.get("query_pre_attn_scalar")) is not None:
        scale = scalar**-0.5
    if kind == "gpt_neo":
        scale = 1.0
    features["scale"] = scale
    features["softcap"] = config.get("attn_logit_softcapping")
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if window and (
        layer == "sliding_attention" or (not types and kind in ("mistral", "mixtral", "phi3", "starcoder2"))
    ):
        features["window"] = int(window)
    if (sinks := extra.get("sinks")) is not None:
        features["sinks"] = sinks
    gains = {
        role: gain
        for role in "qk"
        for name, gain in extra.items()
        if re.fullmatch(rf"{role}_(layer)?norm\.weight", name)
    }
    if len(gains) == 2:
        layered = any(
            name.startswith("q_") and name.endswith("norm.bias") for name in extra
        ) or kind.startswith("cohere")
        if layered and any(name.endswith("norm.bias") for name in extra):
            raise ContractError("its norms have biases, which no contract declares")
        plus = 1.0 if kind in PLUS_ONE else 0.0
        wide = gains["q"].size == W.n_heads * W.d_head and gains["q"].ndim == 1 and W.n_heads > 1
        eps = (
            config.get("rms_norm_eps")
            or config.get("layer_norm_eps")
            or config.get("layernorm_epsilon")
            or 1e-6
        )
        features["norm"] = Norm(
            "layer" if layered else "rms", "all" if wide else "head", "before", gains["q"] + plus, gains["k"] + plus,
            float(eps),
        )  # fmt: skip
    elif config.get("use_qk_norm"):
        raise ContractError("its norms are of a kind that no contract declares")
    return features


class Calls:
    """One module, called with what the whole model hands it for texts of that shape."""

    def __init__(
        self, model: Any, module: Any, inputs: Callable[[int, int], Mapping[str, Any]] | None = None
    ) -> None:
        self.model, self.module, self.inputs = model, module, inputs
        self.seen: dict[tuple[int, int], tuple[list[Any], dict[str, Any]]] = {}

    def __call__(self, x: Any) -> Any:
        """Run the module on other rows."""
        args, kwargs = self.arguments(int(x.shape[0]), int(x.shape[1]))
        if "hidden_states" in kwargs:
            result = self.module(*args, **{**kwargs, "hidden_states": x})
        else:
            result = self.module(x, *args[1:], **kwargs)
        return result[0] if isinstance(result, tuple | list) else result

    def arguments(self, batch: int, seq: int) -> tuple[list[Any], dict[str, Any]]:
        """Give what the model hands to the module for so many texts of so many tokens."""
        if (batch, seq) not in self.seen:
            caught: list[tuple[Any, Any]] = []
            hook = self.module.register_forward_pre_hook(
                lambda module, args, kwargs: caught.append((args, kwargs)), with_kwargs=True
            )
            try:
                self.model(**(self.inputs or self.ids)(batch, seq))
            finally:
                hook.remove()
            if not caught:
                raise ContractError("inputs must reach the module, it was never called")
            args, kwargs = caught[0]
            empty = dict.fromkeys(kwargs.keys() & {"past_key_value", "past_key_values", "layer_past"})
            self.seen[batch, seq] = list(args), {**kwargs, **empty}
        return self.seen[batch, seq]

    def ids(self, batch: int, seq: int) -> dict[str, Any]:
        """Make token numbers."""
        torch: Any = sys.modules.get("torch")
        if torch is None:
            raise ContractError("inputs must be given where torch is not loaded, got None")
        size = int(getattr(self.model.config, "vocab_size", 0) or 16)
        numbers = torch.arange(batch * seq).reshape(batch, seq) % max(1, size - 3) + min(3, size - 1)
        return {"input_ids": numbers.to(next(iter(self.model.parameters())).device)}
