# A whole model: its attention modules are found by the atlas, and what its config declares is held to what it computes.

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qkvdocs.clinic._arrays import to_numpy
from qkvdocs.clinic._attention import examine_attention
from qkvdocs.clinic._config import COMPARED, Module, declared_by, latent_weights
from qkvdocs.clinic._contracts import Attention
from qkvdocs.clinic._declared import refuse
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.clinic._report import TOO_COARSE, UNDECLARED, Finding, Report
from qkvdocs.clinic._weights import weights_from
from qkvdocs.core import QKVWeights
from qkvdocs.errors import ContractError, QKVError
from qkvdocs.wild._attentions import Attentions, plan_modules
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._kinds import kind_of
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Tensor

Inputs = Callable[[int, int], Mapping[str, Any]]


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


def examine_model(model: Any, *, inputs: Inputs | None = None, most: int = 2) -> Report:
    """Examine the attention modules of a loaded model.

    A model of transformers is read by the atlas: weights by its `state_dict`, what it declares by its `config`, and
    each module is called with the masks and angles that the model itself hands it. `nn.MultiheadAttention` and
    modules with `c_attn`, as nanoGPT has them, are called as they are.

    Args:
        model: A module of torch, or what behaves like one. It must be in evaluation mode.
        inputs: Arguments of the whole model for so many texts of so many tokens; None makes numbers of tokens, or
            zeros for an image or a sound.
        most: How many modules of each kind are examined, the last ones among them.

    Returns:
        One report; each finding and each line names its module.

    Raises:
        ContractError: If it is no such model, or none of its attention modules can be examined.

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
    if not contracts or callable(getattr(getattr(model, "config", None), "to_dict", None)):
        contracts |= _by_atlas(model, inputs, report, set(contracts))
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
                own = Report(untested=[f"the call failed: {error}"])
            named = path or type(model).__name__
            kind = getattr(contracts[path].function, "kind", "")
            found = [replace(finding, contract=named) for finding in own.findings]
            report.findings += found if not kind or kind in COMPARED else _asked(kind, found)
            report.tried += [f"{named}: {line.removeprefix('attention: ')}" for line in own.tried]
            report.untested += [f"{named}: {line.removeprefix('attention: ')}" for line in own.untested]
    if not report.tried:
        raise ContractError(
            "model must have an attention module that can be examined, got none"
            + "".join(f". {line}" for line in report.untested[:3])
        )
    return report


def _asked(kind: str, findings: list[Finding]) -> Iterator[Finding]:
    """Ask what a model is, where its type was never compared with its code."""
    for finding in findings:
        if finding.bug == TOO_COARSE:
            yield finding
            continue
        said = f"{kind} is read as most models are, and then this is {finding.bug}: {finding.sentence}"
        said += ". If the model is right, write its contract by hand"
        yield Finding(UNDECLARED, finding.contract, said)


def _kind(contract: Attention) -> tuple[Any, ...]:
    it = contract
    return it.causal, it.memory, it.window, it.chunk, it.rotary, it.norm is None


def _plain(module: Any) -> Attention | None:
    """Read a module that says by its own fields what it is."""
    if hasattr(module, "in_proj_weight") and hasattr(module, "out_proj") and hasattr(module, "num_heads"):
        q, k, v = _thirds(to_numpy(module.in_proj_weight), module.in_proj_bias)
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
        q, k, v = _thirds(fused, getattr(module.c_attn, "bias", None))
        weights = weights_from(q, k, v, module.c_proj, n_heads=heads)
        return Attention(module, weights, causal=True, like=module.c_attn.weight)
    return None


def _thirds(fused: np.ndarray, bias: Any) -> Iterator[Any]:
    """Cut a weight and its bias, if it has one, into those of queries, keys and values."""
    biases = [None] * 3 if bias is None else np.split(to_numpy(bias), 3)
    return zip(np.split(fused, 3), biases, strict=True)


def _by_atlas(model: Any, inputs: Inputs | None, report: Report, known: set[str]) -> dict[str, Attention]:
    attentions = attentions_of(model)
    contracts = {}
    found = *attentions, *attentions.latent, *attentions.refused
    for path in [path for path in found if path not in known]:
        try:
            contracts[path] = _contract(model, inputs, attentions, path)
        except (QKVError, AttributeError, KeyError, TypeError) as error:
            report.untested.append(f"{path}: {error}")
    listed = attentions.listed.items()
    report.untested += [f"{path}: {one.what}, which no contract declares" for path, one in listed]
    report.untested += [
        f"{layers.text}. No contract declares that: compare it with another implementation"
        for layers in attentions.layers
    ]
    return contracts


def _contract(model: Any, inputs: Inputs | None, attentions: Attentions, path: str) -> Attention:
    """Declare one module as the model's config does."""
    checkpoint, refused = attentions.checkpoint, attentions.refused.get(path)
    if refused is not None:
        raise refused
    facts, module = checkpoint.facts(path), model.get_submodule(path)
    plan = attentions.plans.get(path)
    it = Module(
        next(iter(facts.model_types[::-1]), ""), facts.values, path, kind_of(path, facts),
        plan.rotary if plan else "", module, checkpoint.get,
        [name.removeprefix(f"{path}.") for name in checkpoint.under(path)],
    )  # fmt: skip
    weights: QKVWeights | LatentWeights
    gate = None
    if path in attentions.latent:
        weights = latent_weights(it)
    else:
        found = attentions[path]
        gate = None if found.W_G is None else (found.W_G, found.b_G)
        weights = QKVWeights(
            **{name: getattr(found, name) for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")},
            n_heads=found.n_heads, n_kv_heads=found.n_kv_heads,
        )  # fmt: skip
        children = dict(module.named_children())
        if "self" in children:  # its output is projected by a neighbour
            it.module, weights = module.self, replace(weights, W_O=None, b_O=None)
        elif weights.W_O is None and "attention" in children:
            it.module = module.attention
    features = declared_by(it, weights)
    calls = Calls(model, it.module, inputs, memory=features["memory"], kind=it.kind)
    return Attention(calls, weights, like=it.module, gate=gate, **features)


RESIDUAL = ("LayerNorm", "layer_norm")
"""Norms that some modules hold: they norm the sum of rows and output, and that sum is what is looked at."""
CACHES = ("past_key_value", "past_key_values", "layer_past", "mems", "cache")
MEMORIES = ("key_value_states", "encoder_hidden_states")


class Calls:
    """One module, called with what the whole model hands it for texts of that shape."""

    def __init__(
        self, model: Any, module: Any, inputs: Inputs | None = None, *, memory: bool = False, kind: str = ""
    ) -> None:
        self.model, self.module, self.inputs, self.memory, self.kind = model, module, inputs, memory, kind
        self.seen: dict[tuple[int, ...], dict[str, Any]] = {}

    def __call__(self, x: Any, memory: Any = None) -> Any:
        """Run the module on other rows."""
        batch, seq = int(x.shape[0]), int(x.shape[1])
        handed = self.arguments(batch, seq, seq if memory is None else int(memory.shape[1]))
        first = next(iter(handed))
        rows = "hidden_states" if "hidden_states" in handed else first
        was = handed[rows]
        turned = tuple(was.shape[:2]) == (seq, batch) != (batch, seq)
        if not turned and tuple(was.shape[:2]) != (
            batch,
            seq,
        ):  # no text made them: nothing else may know them
            self._check_free(handed, was)
        new = {rows: x.swapaxes(0, 1) if turned else x}
        for name, value in handed.items():
            if value is was:  # the same rows for queries, keys and values
                new[name] = new[rows]
            elif name == "residual":
                new[name] = 0 * x
            elif name in MEMORIES and memory is not None:
                new[name] = memory
        if self.memory and memory is not None and not set(MEMORIES) & set(new):
            raise ContractError("the module must take the memory by name, as key_value_states, got none")
        made, inner = self._run({**handed, **new})
        made = made if inner is None else inner - new[rows]
        return made.swapaxes(0, 1) if turned else made

    def _run(self, handed: dict[str, Any]) -> tuple[Any, Any]:
        """Give what the module returns, and what a norm at its end was given."""
        held = (getattr(self.module, name, None) for name in RESIDUAL)
        norm = next((child for child in held if child is not None), None)
        caught: list[Any] = []
        hook = norm and norm.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
        try:
            result = _call(self.module, handed)
        finally:
            if hook:
                hook.remove()
        return result[0] if isinstance(result, tuple | list) else result, caught[0] if caught else None

    def _check_free(self, handed: dict[str, Any], was: Any) -> None:
        tied = [name for name, value in handed.items() if value is not was and hasattr(value, "shape")
                and name not in MEMORIES and was.shape[1] in value.shape]  # fmt: skip
        if tied:
            raise ContractError(
                f"inputs must make as many rows as tokens are asked for, got {tuple(was.shape)} and {', '.join(tied)} "
                f"for them. Say inputs=lambda batch, seq: …"
            )

    def arguments(self, batch: int, seq: int, other: int) -> dict[str, Any]:
        """Give what the model hands to the module for so many texts of so many tokens, by name."""
        key = batch, seq, other
        if key not in self.seen:
            caught: list[tuple[Any, Any]] = []
            hook = self.module.register_forward_pre_hook(
                lambda module, args, kwargs: caught.append((args, kwargs)), with_kwargs=True
            )
            try:
                self.model(**(self.inputs(batch, seq) if self.inputs else self.make(batch, seq, other)))
            finally:
                hook.remove()
            if not caught:
                raise ContractError("inputs must reach the module, it was never called")
            named = _named(self.module.forward, *caught[0])
            self.seen[key] = {name: None if name in CACHES else value for name, value in named.items()}
        return self.seen[key]

    def make(self, batch: int, seq: int, other: int) -> dict[str, Any]:
        """Make token numbers, or an image or a sound that says nothing; an encoder reads `other` tokens."""
        torch: Any = sys.modules.get("torch")
        if torch is None:
            raise ContractError("inputs must be given where torch is not loaded, got None")
        config, like = self.model.config, next(iter(self.model.parameters()))

        def told(*names: str, usual: int = 0) -> int:
            inner = [getattr(config, f"{part}_config", None) for part in ("vision", "text", "audio")]
            values = (getattr(part, name, None) for name in names for part in (config, *inner))
            found = next((value for value in values if value), usual)
            return int(found[0] if isinstance(found, list | tuple) else found)

        def ids(length: int) -> Any:
            size, places = told("vocab_size", usual=16), torch.arange(batch * length, device=like.device)
            return places.reshape(batch, length) % max(1, size - 3) + min(3, size - 1)

        def zeros(*shape: int) -> Any:
            return torch.zeros(batch, *shape, dtype=like.dtype, device=like.device)

        taken = getattr(self.model, "main_input_name", "input_ids")
        two, side = getattr(config, "is_encoder_decoder", False), told("image_size", usual=224)
        bins, most = told("num_mel_bins", usual=80), told("max_source_positions", usual=1500)
        made = {
            "pixel_values": lambda: zeros(told("num_channels", usual=3), side, side),
            "input_features": lambda: zeros(bins, 2 * most),
            "input_values": lambda: zeros(1600),
        }.get(taken, lambda: ids(other if two else seq))()
        return {taken: made, **({"decoder_input_ids": ids(seq)} if two else {})}


def _named(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Name arguments as the function does."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        named |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return named


def _call(module: Any, handed: dict[str, Any]) -> Any:
    places = inspect.signature(module.forward).parameters
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in places.values()):
        raise ContractError("the module must name its arguments, got *args")
    return module(**handed)
