"""What the configurations of transformers say, for the pages that compute with the sizes of real models."""

import datetime
import inspect
import json
import platform
from pathlib import Path
from typing import Any

import transformers

FILE = Path(__file__).parents[2] / "docs" / "wild" / "configs.json"
COMMAND = "make parity"
SIZES = "num_hidden_layers hidden_size num_attention_heads num_key_value_heads head_dim"
ASKED = {
    "llama": f"{SIZES} intermediate_size",
    "mistral": f"{SIZES} sliding_window",
    "falcon": "num_hidden_layers hidden_size num_attention_heads head_dim multi_query",
    "deepseek_v3": f"{SIZES} kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim",
    "gemma2": "attn_logit_softcapping query_pre_attn_scalar sliding_window layer_types",
    "gemma3_text": "attn_logit_softcapping query_pre_attn_scalar sliding_window layer_types rope_parameters",
    "gpt_oss": "num_attention_heads sliding_window layer_types rope_parameters",
    "llama4_text": "attention_chunk_size layer_types no_rope_layers use_qk_norm",
    "smollm3": "no_rope_layers",
    "gpt_neox": "rope_parameters",
    "phi": "rope_parameters",
    "qwen3_next": "rope_parameters",
}
"""Model types, and the fields that the pages show."""


def measurements() -> dict[str, Any]:
    """Make each configuration without arguments, and read it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": COMMAND,
        "versions": {"transformers": transformers.__version__},
        "python": platform.python_version(),
        **{name: defaults(name, fields.split()) for name, fields in ASKED.items()},
    }


def defaults(model_type: str, fields: list[str]) -> dict[str, Any]:
    """Give the fields as they stand where nobody sets them, and the class and file that say so."""
    kind = transformers.CONFIG_MAPPING[model_type]
    file = Path(inspect.getfile(kind)).relative_to(Path(inspect.getfile(transformers)).parent)
    config = kind()
    return {
        "class": kind.__name__,
        "file": file.as_posix(),
        **{name: getattr(config, name) for name in fields},
    }


def write(found: dict[str, Any]) -> None:
    """Write the file, one line an entry."""
    lines = (f' "{key}": {json.dumps(value)}' for key, value in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
