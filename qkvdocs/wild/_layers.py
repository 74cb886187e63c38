# Layers are counted: a layer that config.json promises and the file lacks, and one without attention that is known.

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qkvdocs.wild._atlas import MIXERS
from qkvdocs.wild._checkpoint import Checkpoint, facts_or_none
from qkvdocs.wild._config import Facts, kind_of_layer

SHOWN = 12
"""Numbers, or names, that are listed before the rest is only counted."""


@dataclass(frozen=True)
class Layers:
    """Some layers of one stack that have no attention module."""

    stem: str
    """What stands before their numbers."""
    numbers: tuple[int, ...]
    count: int
    what: str
    tensors: tuple[str, ...] = ()
    """What the first of them has instead, counted from the layer."""
    accounted: bool = False
    """Whether it is known what they are."""
    holds: dict[str, str] = field(default_factory=dict)
    """Role -> the matrix whose name speaks of it: what of queries, keys and values the first of them has."""

    @property
    def text(self) -> str:
        """One line."""
        has = f": {few(self.tensors)}" if self.tensors else ""
        return f"{self.stem}.{{{few(map(str, self.numbers), self.count)}}}: {self.what}{has}"


def count_layers(checkpoint: Checkpoint, paths: Iterable[str]) -> list[Layers]:
    """List the layers, of each stack that has attention somewhere, which no module of attention belongs to."""
    attentive: dict[str, set[int]] = defaultdict(set)
    first: dict[str, str] = {}
    nests: dict[str, bool] = {}
    for path in paths:
        if at := place(f"{path}."):
            attentive[at[0]].add(at[1])
            first.setdefault(at[0], path)
            nests[at[0]] = nests.get(at[0], False) or _nested(at[0], path)
    if not attentive:  # a model of other mixers alone
        for name in checkpoint:
            if (at := place(name)) and {*at[2].split(".", 4)[:4]} & (MIXERS.keys() - {"conv"}):
                attentive[at[0]] = set()
                first.setdefault(at[0], name)
    held: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in checkpoint:
        if (at := place(name)) and at[0] in attentive:
            held[at[0]][at[1]].append(at[2])
    found: list[Layers] = []
    flat = {stem: path for stem, path in first.items() if not nests.get(stem)}
    whole = _main_stacks(checkpoint, flat, held)
    for stem in first:
        nested = nests.get(stem, False)
        known = facts_or_none(checkpoint, first[stem])
        found += _others(stem, attentive[stem], held[stem], known, nested)
        found += _missing(stem, held[stem], whole.get(stem))
    return found


def _nested(stem: str, path: str) -> bool:
    """Say whether the numbers count stages that hold layers; T5 numbers the parts of a layer."""
    below = path[len(stem) :].lstrip(".").partition(".")[2]
    return not stem.endswith("block") and any(part.isdecimal() for part in below.split(".", 12))


def _main_stacks(
    checkpoint: Checkpoint, first: Mapping[str, str], held: Mapping[str, Mapping[int, list[str]]]
) -> dict[str, int]:
    """Say how many layers each stack must have: of all stacks that one count may mean, the longest."""
    longest: dict[tuple[str, bool], tuple[int, str, int]] = {}
    for stem, path in first.items():
        if (known := facts_or_none(checkpoint, path)) and known.n_layers is not None:
            side = known.part, "decoder" in path.lower()
            longest[side] = max(longest.get(side, (0, "", 0)), (len(held[stem]), stem, known.n_layers))
    return {stem: count for _, stem, count in longest.values()}


def place(name: str) -> tuple[str, int, str] | None:
    """Cut a name at its first number: what stands before, the number, the rest."""
    parts = name.split(".", 12)
    for at, part in enumerate(parts[:-1] if len(parts) > 1 else ()):
        if part.isascii() and part.isdigit() and len(part) < 7:
            return ".".join(parts[:at]), int(part), ".".join(parts[at + 1 :])
    return None


def _others(
    stem: str, attentive: set[int], held: Mapping[int, list[str]], known: Facts | None, nested: bool
) -> Iterable[Layers]:
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for number in sorted(set(held) - attentive):
        what, told = _mixer(held[number])
        if not told and nested:  # stages of convolutions, numbered as those of attention
            continue
        if not told and (kind := _declared(known, number)):
            what, told = f"{kind}, as config.json says", True
        groups[what, told].append(number)
    for (what, told), numbers in groups.items():
        mixed = [name for name in held[numbers[0]] if not told or _mixer([name])[1]]
        holds = roles_in(name for name in mixed if name.endswith("weight"))
        yield Layers(stem, tuple(numbers[:SHOWN]), len(numbers), what, tuple(sorted(mixed)), told, holds)


def _declared(known: Facts | None, number: int) -> str:
    kind = kind_of_layer(known.values, number) if known else ""
    return kind if "attention" not in kind or "linear" in kind else ""


def _mixer(names: Iterable[str]) -> tuple[str, bool]:
    for name in names:
        for part in name.split(".", 4)[:4]:
            if part in MIXERS:
                return MIXERS[part], True
    return "no attention that is known", False


def _missing(stem: str, held: Mapping[int, list[str]], counted: int | None) -> Iterable[Layers]:
    expected = max(held, default=-1) + 1 if counted is None else counted
    missing = max(0, expected - sum(number < expected for number in held))
    if missing:
        numbers = (number for number in range(expected) if number not in held)
        listed = tuple(number for number, _ in zip(numbers, range(SHOWN), strict=False))
        told = "the others are numbered so" if counted is None else f"config.json gives {expected} layers"
        yield Layers(stem, listed, missing, f"not in the file, though {told}")


def few(words: Iterable[str], count: int | None = None) -> str:
    """List some words, and count the rest."""
    listed = list(words)
    rest = (len(listed) if count is None else count) - min(SHOWN, len(listed))
    return ", ".join(listed[:SHOWN]) + (f" and {rest} more" if rest else "")


FUSED = re.compile(r"qkv|query_key_value|kqv|c_attn|att_proj", re.IGNORECASE)
ROLE = {role: re.compile(rf"(?:^|[._])(?:to_|w|linear_)?{role}(?:[._0-9]|$)|{word}", re.IGNORECASE)
        for role, word in (("q", "query"), ("k", "key"), ("v", "value"))}  # fmt: skip
PAIR = re.compile(r"(?:^|[._])(?:to_|w|linear_)?kv(?:[._0-9]|$)|key_value", re.IGNORECASE)


def roles_in(names: Iterable[str]) -> dict[str, str]:
    """Role, or roles of a fused matrix -> the name that speaks of it, as far as one does."""
    listed = [name for name in names if "norm" not in name.lower() and "conv" not in name.lower()]
    if fused := next((name for name in listed if FUSED.search(name)), None):
        return {"qkv": fused}
    found = {role: next(filter(word.search, listed), "") for role, word in ROLE.items()}
    if pair := next((name for name in listed if PAIR.search(name)), None):
        found = {"q": found["q"], "kv": pair}
    return {role: name for role, name in found.items() if name}
