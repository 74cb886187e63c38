"""The trained models against transformers: the same weights, the same hidden states.

Compared where `make heads` has fetched the packages; without them the recorded heads speak for themselves
(`tests/models`).
"""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from qkvdocs.core import QKVWeights, attend, split_heads
from qkvdocs.models import Decoder, read_costs, read_head
from qkvdocs.wild import pairs_to_halves
from tests.models import costs, record
from tests.parity.test_pieces import lines

FILE = record.DOCS / "parity.json"
LIMITS = {"minilm": 2e-5, "smollm2": 2e-4}
"""Largest difference of a hidden state, relative to the largest entry of its layer, and of an attention weight."""

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


def llama(ours: Decoder, reorder: Callable[[QKVWeights], QKVWeights] = pairs_to_halves) -> Any:
    """Build transformers' LLaMA of a GGUF file's tensors, whose query and key rows lie in pairs."""
    tensors = ours.tensors
    config = transformers.LlamaConfig(
        vocab_size=len(tensors["token_embd.weight"]), hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=ours.n_heads, num_key_value_heads=ours.n_kv_heads, rms_norm_eps=1e-5,
        tie_word_embeddings=True, attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": ours.base},
    )  # fmt: skip
    state = record.hugging_face(ours, reorder)
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


def test_the_reports_are_of_these_files() -> None:
    """What the command prints of MiniLM's own file, and of SmolLM2 under the names of Hugging Face."""
    kept = json.loads(record.REPORTS.read_bytes())
    assert {model: kept[model] for model in record.CARDS} == record.reports()


# What bugs cost


SLACK = 2e-3
"""By how much a score may move from one processor, or library, to another."""


def test_a_tenth_of_the_costs_run_again() -> None:
    """Right and broken, as recorded."""
    kept = json.loads(costs.FILE.read_bytes())["rows"][::10]
    measured = costs.models()
    for row in kept:
        for model, (layers, measure) in measured.items():
            if told := row.get(model):
                found = measure(layers[row["bug"], row["name"]])
                assert found == pytest.approx(told, abs=SLACK), row["name"]


def rotated_as_they_lie(weights: QKVWeights) -> QKVWeights:
    """Leave the rows in pairs, though transformers turns halves."""
    return weights


@pytest.mark.parametrize(
    ("name", "reorder"),
    [("right", pairs_to_halves), ("halves are rotated where pairs should be", rotated_as_they_lie)],
)
def test_the_loss_is_that_of_transformers(name: str, reorder: Callable[[QKVWeights], QKVWeights]) -> None:
    """Of the right model, and of one that transformers itself runs wrong."""
    ours, numbers = record.decoder()
    ids = [numbers[token] for token in costs.byte_pairs(costs.TEXT.read_text("utf-8"), record.merges())]
    with torch.no_grad():
        logits = llama(ours, reorder)(torch.tensor([ids])).logits[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:])).item()
    correct = (logits.argmax(-1) == torch.tensor(ids[1:])).float().mean().item()
    told = next(cost for cost in read_costs(costs.FILE).rows if cost.name == name).smollm2
    assert told is not None
    assert (loss, correct) == pytest.approx((told["loss"], told["correct"]), abs=SLACK)


@pytest.mark.parametrize(
    "name", ["right", "the weight of queries is read transposed", "the bias of keys is left out"]
)
def test_the_cosines_are_those_of_transformers(name: str) -> None:
    """Means of the last hidden states, from sentence to vector without our code."""
    cut = tokenizers.Tokenizer.from_file(str(record.CACHE / "minilm" / "tokenizer.json"))
    cut.no_truncation()
    cut.no_padding()
    model = transformers.BertModel.from_pretrained(record.CACHE / "minilm").eval()
    for layer in model.encoder.layer:
        theirs = layer.attention.self
        if "transposed" in name:
            theirs.query.weight.data = theirs.query.weight.data.T.contiguous()
        if "bias of keys" in name:
            theirs.key.bias.data.zero_()
    asked = costs.pairs(costs.PAIRS.read_text("utf-8"))
    with torch.no_grad():
        vectors = {
            text: model(torch.tensor([cut.encode(text).ids])).last_hidden_state[0].mean(0).numpy()
            for _, *both in asked for text in both
        }  # fmt: skip
    cosines = np.array([
        vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]) for _, a, b in asked
    ])  # fmt: skip
    told = next(cost for cost in read_costs(costs.FILE).rows if cost.name == name).minilm
    assert told is not None
    assert costs.spearman(cosines, np.array([grade for grade, *_ in asked])) == pytest.approx(
        told["graded"], abs=SLACK
    )


def test_text_is_cut_into_byte_pairs_as_the_library_cuts_it() -> None:
    """With SmolLM2's vocabulary: our text, and the lines of this repository that hold ASCII and no digit."""
    _, told = record.opened()
    numbers = {token: at for at, token in enumerate(told("tokenizer.ggml.tokens"))}
    merges = told("tokenizer.ggml.merges")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, [tuple(pair.split(" ")) for pair in merges]))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain = [
        line
        for line in lines()[:4000]
        if line.isascii() and line.isprintable() and not re.search(r"\d", line)
    ]
    said = [costs.TEXT.read_text("utf-8"), record.TWICE, *plain[:500]]
    other = [text for text in said if costs.byte_pairs(text, merges) != theirs.encode(text).tokens]
    assert not other, other[:5]
