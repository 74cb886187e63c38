"""What the pages show of the comparison is not stale: it speaks of this atlas and of the pinned versions."""

import json
import tomllib
from pathlib import Path

from qkvdocs import wild

ROOT = Path(__file__).parents[2]
PARITY = json.loads((ROOT / "docs" / "wild" / "parity.json").read_text("utf-8"))
BENCHMARKS = json.loads((ROOT / "docs" / "wild" / "benchmarks.json").read_text("utf-8"))
CONFIGS = json.loads((ROOT / "docs" / "wild" / "configs.json").read_text("utf-8"))
MASKS = json.loads((ROOT / "docs" / "wild" / "masks.json").read_text("utf-8"))
ROWS = {row.family: row for row in wild.ATLAS}


def test_versions_are_those_of_the_dependency_group() -> None:
    """A new pin means a new recording."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    pins = dict(pin.split("==") for pin in groups["parity"] if "==" in pin)
    assert PARITY["versions"] == {name: pins[name] for name in PARITY["versions"]}
    assert BENCHMARKS["versions"].items() <= pins.items()


def test_layouts_are_those_of_the_atlas() -> None:
    """Each recorded variant names a row that still is what it was."""
    for row in PARITY["variants"]:
        layout = ROWS[row["layout"]]
        assert row["cut"] == layout.cut
        assert row["columns"] == bool(layout.columns)
        assert not layout.models or row["model_type"] in layout.models, row["name"]


def test_every_fused_model_type_is_proven() -> None:
    """A fused row holds for a model type only if that type was compared, or a composite model whose part was."""
    proven = {(row["layout"], row["model_type"]) for row in PARITY["variants"]}
    claimed = {(row.family, model) for row in wild.ATLAS if row.fused for model in row.models}
    unproven = {
        (family, model) for family, model in claimed - proven if (family, f"{model}_vision") not in proven
    }
    assert {model for _, model in unproven} == PARTS_OR_READ


PARTS_OR_READ = {
    "sam", "sam_hq", "decision_transformer", "nanogpt", "qwen", "timm", "internlm2", "timm, by heads",
    "chatglm, grouped", "chatglm, whole", "fine_acoustics", "hiera",
    "florence_vision", "seggpt", "unlimited_ocr_sam_vision_model", "granite_speech_encoder",
    "granite_speech_plus_encoder", "qianfan_ocr_vision", "tipsv2_vision_model", "molmo2_text",
    "nemotron3_5_transcribe_asr_audio",
}  # fmt: skip
"""The first two are models around a vision part that was compared, and the third runs GPT-2's own module; seven are in
no pinned library: tests/parity/test_formats.py cuts as their own code does. Bark's third part has the module of the
other two, Hiera's cut is that of SAM 2, and the rest stands in tests/parity/test_orders.py."""


def test_rows_without_a_comparison_are_listed() -> None:
    """Consistent in shape, not proven in numbers: the list may only shrink."""
    used = {row["layout"] for row in PARITY["variants"]}
    elsewhere = {
        "llama.cpp",
        "llama.cpp, fused",
        "nanoGPT",
        "Qwen",
        "timm",
        "InternLM2",
        "Megatron-core",
        "diffusers",
        "diffusers, second stream",
        "timm, by heads",
        "ChatGLM",
        "ChatGLM, not grouped",
        "Granite Speech",
        "Molmo 2",
        "Nemotron ASR",
    }  # compared in tests/wild/test_gguf.py, tests/parity/test_formats.py and test_orders.py
    assert set(ROWS) - used - elsewhere == NAMED_ALONE - used


NAMED_ALONE = {
    "Conformer", "LLaMA, Meta's names", "attn.q_proj", "Moshi", "Reformer, local", "LXMERT",
    "Longformer's encoder-decoder", "CPM-Ant", "Inkling", "Sapiens",
}  # fmt: skip
"""Three tensors each, whose names leave no doubt."""


def test_recorded_errors_keep_the_limit() -> None:
    """The bound that the pages show."""
    limit = PARITY["limits"]["float32"]
    assert len(PARITY["variants"]) >= 81
    assert all(error <= limit for row in PARITY["variants"] for error in row["errors"].values())


def test_memory_keeps_its_budget_and_does_not_grow_with_the_file() -> None:
    """At most 1.3 times the float32 arrays that are returned, for files of any size."""
    budget = 1.3 * BENCHMARKS["returned_bytes"]
    grown = [row["grown_bytes"] for row in BENCHMARKS["growth"].values()]
    assert max(*grown, BENCHMARKS["methods"]["qkvdocs.wild"]["grown_bytes"]) <= budget
    assert max(grown) < 1.05 * min(grown)


NOT_WHOLE = {
    "aria": "a module inside a projector, whose width config.json gives to no part",
    "clvp": "a conditioning encoder that goes by the decoder's head counts, which its name does not say",
    "edgetam_video": "a perceiver whose head counts stand under another name than its own",
    "grounding-dino": "a fusion of two streams, each with queries and values of its own",
    "hiera": "a layer at the border of two stages, which gives wider rows than it takes",
    "kimi_k25": "a fused matrix that stands outside the module of its output",
    "mm-grounding-dino": "as grounding-dino",
    "nemo_speechlm": "a diarisation model inside, whose order inside is not known",
    "unlimited_ocr": "a vision part whose order inside is not known",
}
"""Model types that are read in part alone, and why: the list may only shrink."""


def test_nearly_all_model_types_are_read_whole() -> None:
    """What is not stands above; nothing that has attention has names that are not known."""
    states: dict[str, set[str]] = {}
    for name, row in PARITY["coverage"].items():
        states.setdefault(row["state"], set()).add(name)
    assert states["in part"] == set(NOT_WHOLE)
    assert "not recognised" not in states
    assert states["refused"] == {"axk2", "convbert", "gradium_phonon_tts", "perceiver", "squeezebert"}
    assert len(states["read"]) > 490


def test_each_kind_of_layer_is_accounted_for() -> None:
    """Hybrids name their other layers; the models whose configs count otherwise are listed, and may only shrink."""
    coverage = PARITY["coverage"]
    for name in ("qwen3_next", "qwen3_5_text", "olmo_hybrid"):
        assert coverage[name]["state"] == "read"
        assert "linear attention" in coverage[name]["other"][0]
    assert coverage["regnet"]["state"] == "no attention"
    assert any("deformable" in what for what in coverage["rt_detr"]["other"])
    miscounted = {name for name, row in coverage.items() if row.get("not_counted")}
    assert miscounted == {
        "hrm_text", "mask2former", "oneformer", "xclip",
    }  # fmt: skip


DIFFER = {
    "bigbird_pegasus", "bridgetower", "idefics", "lightglue", "muse_glimmer_assistant", "nllb-moe", "pegasus_x",
    "phi4_multimodal", "pi0", "seamless_m4t_v2", "t5gemma2",
}  # fmt: skip
"""Decoders whose mask comes from outside their attention, and cross-attention that bears the name of a causal class."""


def test_kinds_agree_with_what_the_classes_say() -> None:
    """By the token or not at all: `is_causal` says it for most modules, and these models' classes mean otherwise."""
    kinds = {name: row["kinds"] for name, row in PARITY["coverage"].items() if "kinds" in row}
    same, differ = map(sum, zip(*kinds.values(), strict=True))
    assert same > 50 * differ
    assert {name for name, (_, differ) in kinds.items() if differ} == DIFFER


def test_masks_and_configs_were_asked_of_the_pinned_versions() -> None:
    """A new pin means a new recording."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    asked = {f"{name}=={version}" for file in (MASKS, CONFIGS) for name, version in file["versions"].items()}
    assert asked == set(groups["parity"]) & asked
    assert {pin.split("==")[0] for pin in asked} == {"torch", "transformers"}
