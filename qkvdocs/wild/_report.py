# What the command line prints, as plain values first, so that text and JSON say the same.

import re
from typing import Any

from qkvdocs.errors import printable
from qkvdocs.wild._adapters import Adapter
from qkvdocs.wild._attentions import Attentions
from qkvdocs.wild._compare import MISSING, Compared
from qkvdocs.wild._find import suggest, unnumbered
from qkvdocs.wild._latent import LatentPlan
from qkvdocs.wild._layers import SHOWN, few
from qkvdocs.wild._layout import as_toml
from qkvdocs.wild._plan import Plan
from qkvdocs.wild._shards import check_ranks, shards


def report(attentions: Attentions) -> dict[str, Any]:
    """Describe all attention modules of a checkpoint, without reading a matrix, in values that JSON can hold."""
    plans = map(attentions.plan, [*attentions.plans, *attentions.latent])
    modules = [describe(attentions, plan) for plan in plans]
    kind = attentions.checkpoint.config.get("model_type")
    layers = [
        {
            "stack": found.stem,
            "layers": list(found.numbers),
            "count": found.count,
            "what": found.what,
            "tensors": list(found.tensors),
            "accounted_for": found.accounted,
            "holds": found.holds,
        }
        for found in attentions.layers
    ]
    return {
        "model_type": kind if isinstance(kind, str) else None,
        "modules": modules,
        "refused": [
            {"module": path, "why": str(error), "layout": _suggested(attentions, path)}
            for path, error in attentions.refused.items()
        ],
        "listed": [
            {"module": path, "what": listed.what, "holds": listed.holds}
            for path, listed in attentions.listed.items()
        ],
        "other_layers": layers,
        **cache_bytes(modules),
    }


def _suggested(attentions: Attentions, path: str) -> str:
    """Give a layout to start from where the reason is that none is known."""
    why = str(attentions.refused[path])
    layout = suggest(attentions.checkpoint, path) if "declare" in why else None
    return as_toml(layout) if layout else ""


def cache_bytes(modules: list[dict[str, Any]]) -> dict[str, int]:
    """Add up what a cache holds."""
    return {
        name: sum(module[name] for module in modules)
        for name in ("cache_bytes_per_token", "cache_bytes_per_source_token")
    }


def describe(attentions: Attentions, plan: Plan | LatentPlan) -> dict[str, Any]:
    """Describe one module."""
    return {
        "module": plan.path,
        "layout": plan.layout.family,
        "cut": plan.layout.cut,
        "stored": [
            {
                "name": piece.name,
                "roles": piece.roles,
                "shape": list(piece.shape),
                "dtype": piece.dtype,
                "orientation": _orientation(piece.letter, piece.columns),
                "file": attentions.checkpoint.file(piece.name),
            }
            for piece in plan.pieces
        ],
        "shapes": {name: list(shape) for name, shape in plan.shapes.items()},
        "rows": plan.rows,
        "rotary": plan.rotary,
        "biases": plan.biases,
        "n_heads": plan.n_heads,
        "n_kv_heads": plan.n_kv_heads,
        "d_head": plan.d_head,
        "d_model": plan.d_model,
        "kind": plan.kind,
        "lender": plan.lender if isinstance(plan, Plan) else "",
        "cache_bytes_per_token": 0 if plan.kind == "cross" else plan.cache_bytes,
        "cache_bytes_per_source_token": plan.cache_bytes if plan.kind == "cross" else 0,
        "also_in_the_module": list(plan.others),
    }


def _orientation(letter: str, columns: bool) -> str:
    if letter == "b":
        return "(out,)"
    return "(in, out)" if columns else "(out, in)"


def lines(found: dict[str, Any], *, whole: bool = True) -> list[str]:
    """Lay a report out for a terminal: a line for each kind of layer, then what differs.

    Asked for the `whole`, each kind gets a paragraph; modules that differ in nothing but their number share one.
    """
    text = [*summary(found["modules"]), ""]
    groups: dict[str, list[dict[str, Any]]] = {}
    for module in found["modules"]:
        groups.setdefault(_likeness(module), []).append(module)
    for alike in groups.values() if whole else ():
        text += [*_paragraph(alike), ""]
    for cached in found.get("cache", ()):
        kept = f"each keeps {cached['tokens']} tokens" if cached["bytes"] else "nothing of their own"
        noun = "layer" if cached["layers"] == 1 else "layers"
        told = f"{kept}: {cached['bytes']} bytes" if cached["bytes"] is not None else "as large for any text"
        text.append(f"cache: {cached['layers']} {cached['kind']} {noun}, {told}")
    for shard in found.get("shards", ()):
        text += [shard["module"], *(f"  {line}" for line in shard["lines"]), ""]
    for listed in _alike(found["listed"]):
        first = listed[0]
        text += [f"{_titles(listed)}: {first['what']}", *_holds(first["holds"]), ""]
    for refused in found["refused"]:
        text += [f"{refused['module']}: refused", f"  {refused['why']}"]
        if refused["layout"]:
            text += ["  a layout to start from, for --layout mine.toml:"]
            text += [f"    {line}" for line in refused["layout"].splitlines()]
        text.append("")
    for layers in found["other_layers"]:
        named = few(map(str, layers["layers"]), layers["count"])
        text += [f"{layers['stack']}.{{{named}}}: {layers['what']}"]
        text += [f"  instead  {few(layers['tensors'])}"] * bool(layers["tensors"])
        text += [*_holds(layers["holds"]), ""]
    total, source = found["cache_bytes_per_token"], found["cache_bytes_per_source_token"]
    complete = not found["refused"] and all(layers["accounted_for"] for layers in found["other_layers"])
    cache = f"{total} cache bytes a token in {'all' if complete else 'the modules read'}"
    cache += f", and {source} once a text for each of its rows" if source else ""
    others = f", {len(found['listed'])} listed" * bool(found["listed"])
    text.append(f"{len(found['modules'])} modules read, {len(found['refused'])} refused{others}; {cache}")
    return list(map(printable, text))


def _alike(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put together what differs in nothing but the numbers in its name."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        rest = {key: value for key, value in row.items() if key not in ("module", "holds")}
        groups.setdefault(unnumbered(row["module"]) + repr(rest), []).append(row)
    return [*groups.values()]


def _titles(alike: list[dict[str, Any]]) -> str:
    first, last = alike[0]["module"], alike[-1]["module"]
    return first if len(alike) == 1 else f"{first} … {last} ({len(alike)} alike)"


def _holds(holds: dict[str, str]) -> list[str]:
    told = ", ".join(f"{' '.join(role).upper()} in {name}" for role, name in holds.items())
    return [f"  holds    {told}"] * bool(told)


def _how(module: dict[str, Any]) -> str:
    """Say how queries, keys and values are stored, and what is unusual about their rows."""
    if module["kind"] == "latent":
        return str(module["cut"])
    shapes = module["shapes"]
    names = [piece["name"] for piece in module["stored"] if piece["roles"] in ("k", "v")]
    rows = shapes["W_K"][0], shapes["W_V"][0]
    told = "separate matrices" if "one tensor each" in module["cut"] else f"fused {module['cut']}"
    told += ", values by the keys' own" * (len({*names}) < len(names))
    if set(rows) != {shapes["W_Q"][0]}:
        told += f", keys and values from rows of {' and '.join(map(str, sorted({*rows})))}"
    if shapes["W_V"][1] != shapes["W_K"][1]:
        told += f", values × {shapes['W_V'][1] // module['n_kv_heads']}"
    return told


NORMS = re.compile(r"(?:^|[._])(?:q|k|query|key)_?(?:layer_?)?(?:norm|ln)|(?:norm|ln)_[qk](?:$|[._])")
"""Names of norms of queries and keys, among those of whatever else a module holds."""
NOUNS = {
    "self": "layers", "encoder": "encoder layers", "cross": "cross-attention layers",
    "shared": "layers on keys and values of earlier ones", "latent": "latent attention layers",
}  # fmt: skip


def summary(modules: list[dict[str, Any]]) -> list[str]:
    """Give one line for each kind of layer."""
    counts: dict[str, int] = {}
    for module in modules:
        heads, kv, width = module["n_heads"], module["n_kv_heads"], module["d_head"]
        shared = "heads" if heads == kv else f"query heads on {kv} key heads"
        dtypes = sorted({piece["dtype"] for piece in module["stored"]})
        told = [
            NOUNS[module["kind"]],
            f"{heads} {shared} × {width}",
            _how(module),
            f"rotary {module['rotary']}" if module["rotary"] else "",
            "norms on q and k" if any(map(NORMS.search, module["also_in_the_module"])) else "",
            f"bias on {' '.join(module['biases'])}" if module["biases"] else "no bias",
            ", ".join(dtypes),
        ]
        line = " · ".join(filter(None, told))
        counts[line] = counts.get(line, 0) + 1
    return [f"{n} {line if n > 1 else line.replace('layers', 'layer', 1)}" for line, n in counts.items()]


def _likeness(module: dict[str, Any]) -> str:
    prefix = len(module["module"])
    stored = [{**piece, "name": piece["name"][prefix:], "file": ""} for piece in module["stored"]]
    others = [name[prefix:] for name in module["also_in_the_module"]]
    return repr(
        {**module, "module": unnumbered(module["module"]), "stored": stored, "also_in_the_module": others}
    )


def _paragraph(alike: list[dict[str, Any]]) -> list[str]:
    first = alike[0]
    rows = [_titles(alike), f"  layout   {first['layout']}: {first['cut']}"]
    for piece in first["stored"]:
        shape = " × ".join(map(str, piece["shape"]))
        roles = " ".join(piece["roles"]).upper()
        rows.append(f"  stored   {piece['name']}  {shape} {piece['orientation']} {piece['dtype']}  {roles}")
    for name, shape in first["shapes"].items():
        if name.startswith("W"):
            rows.append(f"  {name}      {' × '.join(map(str, shape))}")
    biases = " ".join(f"b_{role.upper()}" for role in first["biases"]) or "none"
    heads = f"{first['n_heads']} query, {first['n_kv_heads']} key and value, d_head {first['d_head']}"
    rows += [f"  biases   {biases}", f"  heads    {heads}", f"  cache    {_cache(first)}"]
    if first["rows"]:
        rows.append(
            "  rows     of W_Q and W_K stored in pairs by llama.cpp's converter; put back into halves"
        )
    if first["also_in_the_module"]:
        rows.append(f"  beside   {few(first['also_in_the_module'])}")
    return rows


def _cache(module: dict[str, Any]) -> str:
    if module["kind"] == "encoder":
        return "none: an encoder sees all positions at once"
    if module["kind"] == "shared":
        return f"none of its own: {module['lender']} keeps it"
    if module["kind"] == "cross":
        kept = module["cache_bytes_per_source_token"]
        return f"{kept} bytes for each row that it looks at, kept once a text"
    return f"{module['cache_bytes_per_token']} bytes a token"


def difference(pairs: list[Compared], refused: dict[str, str]) -> list[str]:
    """Lay a comparison out for a terminal; modules with the same verdicts share a line."""
    groups: dict[tuple[tuple[str, str], ...], list[Compared]] = {}
    for pair in pairs:
        groups.setdefault(tuple(sorted(pair.found.items())), []).append(pair)
    text: list[str] = []
    for found, alike in groups.items():
        first = alike[0]
        names = " = ".join(name for name in (first.path, first.other) if name)
        more = f" … {alike[-1].path or alike[-1].other} ({len(alike)} alike)" if len(alike) > 1 else ""
        alone = "" if first.path and first.other else "the first" if first.path else "the other"
        text.append(f"{names}{more}" + f": only in {alone}" * bool(alone))
        told: dict[str, list[str]] = {}
        for name, what in found:
            told.setdefault(what, []).append(name)
        shown = {what: parts for what, parts in told.items() if what != MISSING or not alone}
        text += [*(f"  {', '.join(parts)}: {what}" for what, parts in shown.items()), ""]
    text += [f"{path}: refused\n  {why}\n" for path, why in refused.items()]
    same = sum(pair.equal for pair in pairs)
    return [*text, f"{same} of {len(pairs)} modules equal to the bit"]


def describe_adapter(adapter: Adapter) -> dict[str, Any]:
    """Describe what is added to one matrix."""
    return {
        "module": adapter.target,
        "kind": adapter.kind,
        "roles": adapter.roles,
        "rank": adapter.rank,
        "scale": adapter.scale,
        "shape": list(adapter.shape),
    }


def adapter_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lay adapters out for a terminal, those that differ in nothing but their number in one line."""
    text = []
    for alike in _alike(rows):
        first = alike[0]
        matrices = " ".join(f"W_{role.upper()}" for role in first["roles"])
        added = matrices or "a matrix that is no W_Q, W_K, W_V"
        shape = " × ".join(map(str, first["shape"]))
        how = f"{first['kind']} adds {first['scale']:g} · B A to {added}: rank {first['rank']}, {shape} (out, in)"
        text += [_titles(alike), f"  {how}", ""]
    if rows:
        text.append(f"an adapter of {len(rows)} matrices; with its base: qkvdocs wild BASE --adapter THIS")
    return text


def shard_lines(plan: Plan | LatentPlan, ranks: int) -> list[str]:
    """Say what each rank of a model that is cut holds of one module."""
    if isinstance(plan, LatentPlan):
        first, _ = divmod(plan.n_heads, check_ranks(plan.path, plan.n_heads, ranks))
        told = [f"rank {n}: heads {n * first} to {(n + 1) * first - 1} of W_UQ, W_QR, W_UK, W_UV and rows of W_O"
                for n in range(min(ranks, SHOWN))]  # fmt: skip
        return [*told, "W_DQ, W_DKV and W_KR stand on every rank whole, and so does the cache"]
    held, rows = shards(plan, ranks), plan.shapes["W_O"][0] // ranks
    text = [
        f"rank {shard.rank}: "
        + ", ".join(f"{name} outputs {first} to {stop - 1}" for name, (first, stop) in shard.columns.items())
        + f", W_O rows {shard.rank * rows} to {(shard.rank + 1) * rows - 1}"
        for shard in held[:SHOWN]
    ]
    if held[0].copies > 1:
        text.append(f"each key and value head stands on {held[0].copies} ranks: gather it once")
    if plan.layout.fused and ranks > 1:
        whole = "whole fused tensors of ranks, one behind the other"
        text.append(f"{whole}, are cut q k v × {ranks}, not as the model is")
    return text
