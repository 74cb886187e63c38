"""The trained models against transformers: the same weights, the same hidden states, and text cut alike.

Compared where `make heads` has fetched the packages; without them the recorded heads speak for themselves
(`tests/models`).
"""

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from qkvdocs.core import attend, split_heads
from qkvdocs.models import Decoder, read_head
from qkvdocs.wild import pairs_to_halves
from tests.models import record

ROOT = Path(__file__).parents[2]
FILE = record.DOCS / "parity.json"
LIMITS = {"minilm": 2e-5, "smollm2": 2e-4}
"""Largest difference of a hidden state, relative to the largest entry of its layer, and of an attention weight."""
LINES = 10_000

pytestmark = pytest.mark.skipif(
    not all((record.CACHE / pin.name).exists() for pin in record.PINS),
    reason="make heads has not fetched them",
)


def distance(ours: np.ndarray, theirs: torch.Tensor) -> float:
    """Largest difference, relative to the largest entry."""
    right = theirs.detach().numpy()
    return float(np.abs(ours - right).max() / np.abs(right).max())


def minilm() -> dict[str, float]:
    """MiniLM on each recorded sentence."""
    ours = record.encoder()
    theirs = transformers.BertModel.from_pretrained(
        record.CACHE / "minilm", attn_implementation="eager"
    ).eval()
    worst = {"hidden states": 0.0, "weights": 0.0}
    for text in dict.fromkeys(
        text for wanted in record.HEADS if wanted.model == "minilm" for text in wanted.sentences
    ):
        pieces = ours.pieces.cut(text)
        with torch.no_grad():
            out = theirs(
                torch.tensor([ours.pieces.numbers(pieces)]), output_hidden_states=True, output_attentions=True
            )
        rows = ours.rows(pieces)
        worst["hidden states"] = max(
            worst["hidden states"], *(distance(a, b[0]) for a, b in zip(rows, out.hidden_states, strict=True))
        )
        for wanted in record.HEADS:
            if wanted.model == "minilm" and text in wanted.sentences:
                told = read_head(wanted.file).record["sentences"][text]["pattern"]
                right = out.attentions[wanted.layer][0, wanted.head].numpy()
                assert np.abs(np.array(told) - right).max() < 1e-4, "the record holds the model's own weights"
        for layer, weights in enumerate(ours.weights):
            Q, K, V = (split_heads(part, weights.n_heads) for part in weights.project(rows[layer]))
            moved = np.abs(attend(Q, K, V).pattern - out.attentions[layer][0].numpy()).max()
            worst["weights"] = max(worst["weights"], float(moved))
    return worst


def llama(ours: Decoder) -> Any:
    """Build transformers' LLaMA of a GGUF file's tensors, whose query and key rows lie in pairs."""
    tensors = ours.tensors
    config = transformers.LlamaConfig(
        vocab_size=len(tensors["token_embd.weight"]), hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=ours.n_heads, num_key_value_heads=ours.n_kv_heads, rms_norm_eps=1e-5,
        tie_word_embeddings=True, attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": ours.base},
    )  # fmt: skip
    names = {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    }  # fmt: skip
    state = {
        "model.embed_tokens.weight": tensors["token_embd.weight"],
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for name, tensor in tensors.items():
        if name.startswith("blk."):
            _, layer, part, _ = name.split(".")
            state[f"model.layers.{layer}.{names[part]}.weight"] = tensor
    for number in range(ours.n_layers):
        halves = pairs_to_halves(ours.weights(number))
        state[f"model.layers.{number}.self_attn.q_proj.weight"] = halves.W_Q.T
        state[f"model.layers.{number}.self_attn.k_proj.weight"] = halves.W_K.T
    model = transformers.LlamaForCausalLM(config).eval()
    missing = model.load_state_dict(
        {name: torch.tensor(np.array(t)) for name, t in state.items()}, strict=False
    )
    assert missing.missing_keys in ([], ["lm_head.weight"])
    assert not missing.unexpected_keys
    return model


def smollm2() -> dict[str, float]:
    """SmolLM2 on its text: what comes out, and the recorded heads."""
    ours, numbers = record.decoder()
    words = record.tokens(record.TWICE, numbers)
    ids = [numbers[word] for word in words]
    theirs = llama(ours)
    with torch.no_grad():
        out = theirs(torch.tensor([ids]), output_attentions=True)
    moved = 0.0
    for wanted in record.HEADS:
        if wanted.model == "smollm2":
            told = np.array(read_head(wanted.file).record["sentences"][record.TWICE]["pattern"])
            moved = max(
                moved, float(np.abs(told - out.attentions[wanted.layer][0, wanted.head].numpy()).max())
            )
    return {"logits": distance(ours.run(ids)[1], out.logits[0]), "weights": moved}


@pytest.mark.parametrize("model", LIMITS)
def test_the_model_is_that_of_transformers(model: str, request: pytest.FixtureRequest) -> None:
    """Hidden states, weights and logits; the error that the pages state is this one."""
    found = {
        name: float(f"{error:.1e}") for name, error in {"minilm": minilm, "smollm2": smollm2}[model]().items()
    }
    kept = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    if request.config.getoption("--record"):
        versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
        kept |= {"command": "make parity", "versions": versions, "limits": LIMITS, model: found}
        FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    assert max(found.values()) <= LIMITS[model]
    assert kept["limits"] == LIMITS
    assert max(kept[model].values()) <= LIMITS[model]
    assert kept[model].keys() == found.keys()


def lines() -> list[str]:
    """Lines of this repository, and as many of letters drawn from many alphabets."""
    pages = [
        line for path in sorted((ROOT / "docs").rglob("*.md")) for line in path.read_text("utf-8").split("\n")
    ]
    draw = random.Random(14)
    # Letters that no Unicode since version 3.2 has reassigned: the two libraries have tables of different age.
    old = unicodedata.ucd_3_2_0.category
    letters = [c for c in map(chr, range(0x20, 0x3100)) if old(c) == unicodedata.category(c)]
    letters += list("中文字한국어𝑄 \t\u00a0\u200b\x01ſﬁİ")
    drawn = ["".join(draw.choices(letters, k=draw.randint(0, 30))) for _ in range(LINES // 2)]
    words = ["".join(draw.choices("aeioustr", k=draw.randint(1, 9))) for _ in range(LINES // 2)]
    return [line for line in pages if "[CLS]" not in line] + drawn + words


def test_text_is_cut_as_the_tokenizers_library_cuts_it() -> None:
    """Line by line, at least ten thousand."""
    theirs = tokenizers.Tokenizer.from_file(str(record.CACHE / "minilm" / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    ours, said = record.encoder().pieces, lines()
    assert len(said) >= LINES
    other = [line for line in said if ours.cut(line) != theirs.encode(line).tokens]
    assert not other, other[:5]
