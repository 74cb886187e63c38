"""Targets mean the modules that PEFT adapts by them: lists, expressions, all-linear, one tower of two."""

import contextlib

import peft
import pytest
import torch
import transformers

from qkvdocs.clinic import AdapterTargets, examine
from qkvdocs.clinic._checks import _is_attention, modules_met
from tests.parity.families import decoder, encoder

TEXT = transformers.LlamaConfig(**decoder)
VISION = transformers.CLIPVisionConfig(
    **{k: v for k, v in encoder.items() if k in ("hidden_size", "num_attention_heads", "num_hidden_layers")},
    intermediate_size=48, image_size=16, patch_size=4,
)  # fmt: skip


def model(kind: str) -> torch.nn.Module:
    """Build a text model, or one with two towers."""
    if kind == "text":
        return transformers.LlamaForCausalLM(TEXT)
    return transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(vision_config=VISION, text_config=TEXT, image_token_index=5)
    )


@pytest.mark.parametrize("targets", [
    ["q_proj", "v_proj"], ["self_attn.k_proj"], r".*layers\.\d+\.self_attn\.[qv]_proj",
    r".*language_model.*\.(q|k)_proj", "all-linear",
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", ["text", "towers"])
def test_targets_mean_what_peft_adapts(kind: str, targets: list[str] | str) -> None:
    """The same attention modules, one by one."""
    built = model(kind)
    names = [name for name, _ in built.named_modules()]
    whole = isinstance(targets, str)
    ours = {name for one in ([targets] if whole else targets) for name in modules_met(one, names, whole)}
    theirs: set[str] = set()
    with contextlib.suppress(ValueError):  # nothing is met
        adapted = peft.get_peft_model(built, peft.LoraConfig(r=2, target_modules=targets))
        theirs = set(adapted.base_model.targeted_module_names)
    assert {name for name in ours if _is_attention(name)} == {name for name in theirs if _is_attention(name)}
    if targets != "all-linear":  # by names alone, an activation may pass for a layer
        assert ours == theirs


def test_towers_are_told_apart() -> None:
    """In a model of both, a bare name meets the eyes too; a group says which is meant."""
    names = [name for name, _ in model("towers").named_modules()]
    assert "another tower" in str(examine(AdapterTargets(["q_proj"], names)))
    only = r".*language_model.*\.q_proj"
    assert examine(AdapterTargets(only, names, group="language_model")).healthy
    assert not examine(AdapterTargets(["q_proj"], names, group="language_model")).healthy
    assert examine(AdapterTargets(["vision_tower"], names)).findings
