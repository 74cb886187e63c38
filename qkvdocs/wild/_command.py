"""`qkvdocs wild`: where a checkpoint keeps its projections."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from qkvdocs.errors import QKVError, printable
from qkvdocs.wild._attentions import Attentions, look
from qkvdocs.wild._cache import SIZES, cache_of
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._compare import Compared, differences
from qkvdocs.wild._layout import read_layout
from qkvdocs.wild._report import (
    adapter_lines,
    cache_bytes,
    describe_adapter,
    difference,
    lines,
    report,
    shard_lines,
)

MOST = 10**12
"""Tokens, texts or ranks that may be asked for."""
PATIENCE = 0.5
"""Seconds without a word before progress is shown."""


def main(arguments: list[str]) -> int:
    """Print what a checkpoint's attention modules are made of.

    The exit code is 0 if every layer is accounted for, 1 if the file, a module or a layer is not, 2 for a wrong call.
    """
    return run(arguments, Progress())[0]


def run(arguments: list[str], progress: "Progress") -> tuple[int, Attentions | None]:
    """Do so, and give what was found beside the exit code; None where nothing was."""
    parser = argparse.ArgumentParser(
        prog="qkvdocs wild", description="Show where a checkpoint keeps its projections."
    )
    parser.add_argument(
        "path", help="a file (safetensors, GGUF, PyTorch, npz), a folder, or an address such as https://…"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--module", metavar="PATTERN", default="*", help="only modules whose name matches")
    parser.add_argument("--n-heads", type=int, help="query heads, where no config.json says it")
    parser.add_argument(
        "--n-kv-heads", type=int, help="key and value heads; as many as query heads if left out"
    )
    parser.add_argument(
        "--values", action="store_true", help="read every matrix: largest entry, and whether all are finite"
    )
    parser.add_argument(
        "--against",
        metavar="OTHER",
        help="compare with another checkpoint; exit code 1 unless all is equal to the bit",
    )
    parser.add_argument(
        "--layers", action="store_true", help="show each kind of layer in full, tensor by tensor"
    )
    parser.add_argument(
        "--layout", metavar="FILE.toml", help="how weights are stored, where the atlas does not know"
    )
    parser.add_argument("--tokens", type=_natural, metavar="N", help="bytes of a cache after N tokens")
    parser.add_argument("--batch", type=_natural, default=1, metavar="B", help="texts at once, for --tokens")
    parser.add_argument("--dtype", choices=SIZES, default="bfloat16", help="of the cache, for --tokens")
    parser.add_argument(
        "--shards", type=_natural, metavar="N", help="what each of N ranks holds of each matrix"
    )
    parser.add_argument("--adapter", metavar="FOLDER", help="add a LoRA or DoRA to the weights")
    try:
        wanted = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0), None
    try:
        checkpoint = Checkpoint(wanted.path, progress)
        if wanted.adapter is None and (told := adapters(checkpoint, wanted)):
            progress.clear()
            write(told)
            return 0, None
        attentions = look(
            checkpoint,
            n_heads=wanted.n_heads,
            n_kv_heads=wanted.n_kv_heads,
            adapter=wanted.adapter,
            layout=None if wanted.layout is None else read_layout(wanted.layout),
            progress=progress,
        )
        if wanted.against is not None:
            return against(attentions, wanted, progress), attentions
        found = report(attentions)
        if wanted.tokens is not None:
            found["cache"] = cache_of(attentions, wanted.tokens, wanted.batch, wanted.dtype)
        if wanted.module != "*":
            for part in ("modules", "refused", "listed"):
                found[part] = [m for m in found[part] if fnmatchcase(m["module"], wanted.module)]
            found |= {"other_layers": [], **cache_bytes(found["modules"])}
        if wanted.shards is not None:
            found["shards"] = shard_rows(attentions, found, wanted.shards)
        if wanted.values:
            add_values(attentions, found, progress)
    except (QKVError, OSError, MemoryError) as error:
        progress.clear()
        sys.stderr.write(f"qkvdocs wild: {printable(str(error) or type(error).__name__)}\n")
        return 1, None
    except KeyboardInterrupt:
        progress.clear()
        return 130, None
    progress.clear()
    if wanted.json:
        write(json.dumps(found, indent=1, allow_nan=False))
    else:
        write("\n".join(lines(found, whole=wanted.layers)))
    whole = all(layers["accounted_for"] for layers in found["other_layers"])
    return 0 if found["modules"] and not found["refused"] and whole else 1, attentions


def shard_rows(attentions: Attentions, found: dict[str, Any], ranks: int) -> list[dict[str, Any]]:
    """Say what ranks hold: of the first module of those that are cut alike."""
    seen: dict[str, dict[str, Any]] = {}
    for module in found["modules"]:
        told = shard_lines(attentions.plan(module["module"]), ranks)
        seen.setdefault(repr(told), {"module": module["module"], "lines": told})
    return list(seen.values())


def _natural(text: str) -> int:
    if not text.isdecimal() or not 0 < (number := int(text[:20])) <= MOST:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST}, got {text[:40]!r}")
    return number


def adapters(checkpoint: Checkpoint, wanted: argparse.Namespace) -> str:
    """Describe a checkpoint that is an adapter; an empty text where it is none."""
    found = checkpoint.adapters.items()
    rows = [describe_adapter(one) for name, one in found if fnmatchcase(name, wanted.module)]
    if wanted.json and rows:
        return json.dumps({"adapters": rows}, indent=1, allow_nan=False)
    return "\n".join(map(printable, adapter_lines(rows)))


def against(attentions: Attentions, wanted: argparse.Namespace, progress: "Progress") -> int:
    """Print what differs from another checkpoint, module by module."""
    other = look(wanted.against, n_heads=wanted.n_heads, n_kv_heads=wanted.n_kv_heads, progress=progress)
    pairs: list[Compared] = []
    for pair in differences(attentions, other):
        if fnmatchcase(pair.path or pair.other, wanted.module):
            progress(len(pairs), len(attentions), pair.path or pair.other)
            pairs.append(pair)
    progress.clear()
    refused = {path: str(why) for part in (attentions, other) for path, why in part.refused.items()}
    equal = bool(pairs) and not refused and all(pair.equal for pair in pairs)
    if wanted.json:
        modules = [{"module": pair.path, "other": pair.other, "found": pair.found} for pair in pairs]
        write(json.dumps({"equal": equal, "modules": modules, "refused": refused}, indent=1))
    else:
        write("\n".join(map(printable, difference(pairs, refused))))
    return 0 if equal else 1


def write(text: str) -> None:
    """Print a text on whatever the terminal can show."""
    coding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(coding, "replace").decode(coding) + "\n")


def add_values(attentions: Attentions, found: dict[str, object], progress: "Progress") -> None:
    """Read all matrices, one module at a time, and note what they hold."""
    modules = found["modules"]
    assert isinstance(modules, list)  # noqa: S101  # for the type checker
    for done, module in enumerate(modules):
        progress(done, len(modules), module["module"])
        arrays = attentions.arrays(module["module"])
        module["values"] = {
            name: {"largest": _largest(array), "finite": bool(np.isfinite(array).all())}
            for name, array in arrays.items()
        }


def _largest(array: np.ndarray) -> float:
    """Give the largest finite entry: JSON has no other numbers."""
    return float(np.max(np.abs(array), initial=0, where=np.isfinite(array)))


class Progress:
    """One line, rewritten, once something has taken a while: given to `tell`, or written on the terminal, if any."""

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self.tell, self.line, self.shown = tell, "", False
        self.next = time.monotonic() + PATIENCE
        self.timer = threading.Timer(PATIENCE, self._show)  # one step may take long
        if tell is None and sys.stderr.isatty():
            self.tell, self.timer.daemon = _rewrite, True
            self.timer.start()

    def __call__(self, done: int, total: int, name: str) -> None:
        """Say how far it is, a few times a second."""
        self.line = f"{done} of {total}: {printable(name)[-60:]}"
        if time.monotonic() > self.next:
            self._show()

    def clear(self) -> None:
        """Take the line away."""
        self.timer.cancel()
        if self.tell and self.shown:
            self.tell("")
        self.line, self.shown = "", False

    def _show(self) -> None:
        if self.tell and self.line:
            self.tell(self.line)
            self.next, self.shown = time.monotonic() + PATIENCE / 5, True


def _rewrite(line: str) -> None:
    sys.stderr.write(f"\r\x1b[K{line}")
    sys.stderr.flush()
