"""What the pages show of these comparisons, as committed JSON."""

# tables

import datetime
import json
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
import transformers

from tests.parity.capture import Capture, capture
from tests.parity.compare import LIMITS, compare
from tests.parity.families import EXTRA, FAMILIES
from tests.parity.mistakes import MISTAKES, measure
from tests.parity.survey import survey
from tests.parity.test_latent import VARIANTS, errors

FILE = Path(__file__).parents[2] / "docs" / "wild" / "parity.json"
COMMAND = "make parity"
SCALES = {"bloom": "ALiBi", "mpt": "ALiBi", "falcon": "ALiBi"}


def versions() -> dict[str, str]:
    """Name what was compared with what."""
    modules = {"torch": torch, "transformers": transformers, "safetensors": safetensors, "numpy": np}
    return {name: module.__version__.split("+")[0] for name, module in modules.items()}


def row(seen: Capture, found: dict[str, float]) -> dict[str, Any]:
    """Describe one variant."""
    weights, family = seen.weights, seen.family
    plan = weights.plan
    stored = {
        piece.name.removeprefix(f"{plan.path}."): list(piece.shape)
        for piece in plan.pieces
        if piece.letter == "W"
    }
    return {
        "name": family.name, "model_type": seen.config.model_type, "class": seen.attention_class, "module": plan.path,
        "layout": weights.layout.family, "cut": weights.layout.cut, "stored": stored,
        "columns": any(piece.columns for piece in plan.pieces), "same_in_memory": same_in_memory(seen),
        "memory": sorted({name.rsplit(".", 1)[0] for name in seen.memory_names}),
        "biases": plan.biases, "n_heads": plan.n_heads, "n_kv_heads": plan.n_kv_heads, "d_head": plan.d_head,
        "norm": family.norm, "rotary": family.rotary, "d_rotary": family.d_rotary or None,
        "scale": family.scale or None,
        "scaled_early": [letter for letter in "qk" if abs(found.get(f"scale_{letter}", 1.0) - 1) > 1e-3],
        "after": after(family), "errors": {name: e for name, e in found.items() if not name.startswith("scale")},
    }  # fmt: skip


def same_in_memory(seen: Capture) -> bool:
    """Whether the projections have the same names in memory as on disk."""
    plan = seen.weights.plan
    if seen.family.path not in (seen.family.module, seen.family.module.rsplit(".", 1)[0]):
        return False
    stored = {piece.name.removeprefix(f"{plan.path}.") for piece in plan.pieces if piece.roles != "o"}
    return all(any(name.endswith(memory) for memory in seen.memory_names) for name in stored)


def after(family: Any) -> str:
    """Say what else happens to the scores or the output."""
    told = {
        "soft cap": family.softcap, "ALiBi": family.alibi, "relative bias": family.buckets or family.relative,
        "output gate in q_proj": family.gate, "keys and values from the encoder": family.cross,
        "a sink logit a head": family.name.startswith("gpt_oss"),
    }  # fmt: skip
    return ", ".join(name for name, there in told.items() if there)


def measurements(folder: Path) -> dict[str, Any]:
    """Run all comparisons."""
    variants = []
    for number, family in enumerate([*FAMILIES, *EXTRA]):
        seen = capture(family, folder / f"v{number}")
        found = compare(seen)
        variants.append(row(seen, found))
    mistakes = [
        {"name": m.name, "family": m.family, "errors": measure(m, folder / f"m{n}")}
        for n, m in enumerate(MISTAKES)
    ]
    latent = [
        {"class": cls, "changes": changes, "errors": errors(cls, changes, torch.float32)}
        for cls, changes in VARIANTS
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reach = survey()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "command": COMMAND, "versions": versions(),
        "python": platform.python_version(), "limits": LIMITS, "variants": variants, "mistakes": mistakes,
        "latent": latent, "coverage": reach,
    }  # fmt: skip


def rounded(value: Any) -> Any:
    """Keep two digits of each error: the rest differs from processor to processor."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.1e}") if isinstance(value, float) else value


def write(found: dict[str, Any]) -> None:
    """Write the file, one line a row."""
    FILE.parent.mkdir(exist_ok=True)
    lines = []
    for key, value in rounded(found).items():
        if isinstance(value, list):
            body = ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value)
            lines.append(f' "{key}": [\n{body}\n ]')
        elif key == "coverage":
            body = ",\n".join(
                f'  "{name}": {json.dumps(item, ensure_ascii=False)}' for name, item in value.items()
            )
            lines.append(f' "{key}": {{\n{body}\n }}')
        else:
            lines.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
