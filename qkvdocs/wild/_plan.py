# From names, shapes and head counts to a plan of what is cut from where. Nothing is read for it: whatever can
# be refused is refused before the first byte of a matrix is touched.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeVar

from qkvdocs.errors import DTypeError, LayoutError
from qkvdocs.wild._checkpoint import Checkpoint, facts_or_none
from qkvdocs.wild._config import Facts, kind_of_layer
from qkvdocs.wild._dtypes import FLOATS
from qkvdocs.wild._kinds import Kind, kind_of, rotary_of
from qkvdocs.wild._layers import place
from qkvdocs.wild._layout import Layout

SCALES = ("weight_scale", "weight_scale_inv", "weight.absmax", "weight_packed", "qweight", "scales", "SCB")
"""What stands beside a weight that is quantised."""


@dataclass(frozen=True)
class Piece:
    """One stored tensor and the roles it holds."""

    name: str
    letter: str
    """W or b."""
    roles: str
    columns: bool
    """Whether it is stored (in, out)."""
    blocks: int
    shape: tuple[int, ...]
    """As stored."""
    dtype: str


@dataclass(frozen=True)
class Plan:
    """Where the weights of one attention module stand, and in which shapes they come out.

    Examples:
        >>> from qkvdocs import wild
        >>> plan = wild.read("tests/wild/fixtures/gpt2").plans["h.0.attn"]
        >>> plan.pieces[0].name, plan.pieces[0].roles, plan.shapes["W_Q"]
        ('h.0.attn.c_attn.weight', 'qkv', (16, 16))
    """

    path: str
    layout: Layout
    n_heads: int
    n_kv_heads: int
    pieces: tuple[Piece, ...]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """W_Q, b_Q, … -> shape."""
    kind: Kind = "self"
    """`self` for keys and values of earlier tokens, `cross` for those of something else, `shared` for those that an
    earlier layer has computed, or `encoder`."""
    rows: str = ""
    """`pairs` where rows of W_Q and W_K are stored in pairs, though the model turns halves: they are put back."""
    rotary: str = ""
    """`pairs` or `halves`, as W_Q and W_K are given; empty where nothing says that they are rotated."""
    lender: str = ""
    """The module whose keys and values a `shared` one uses: W_K and W_V are its, for the rows that go into it."""
    others: tuple[str, ...] = ()
    """Further tensors of the module, such as norms: what else happens to q and k."""

    @property
    def d_model(self) -> int:
        """Width of a token row."""
        return self.shapes["W_Q"][0]

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.shapes["W_Q"][1] // self.n_heads

    @property
    def plain(self) -> bool:
        """Whether queries, keys and values come from rows of one width, and go back to it."""
        q, k, v, o = (self.shapes[f"W_{role}"] for role in "QKVO")
        return q[0] == k[0] == v[0] == o[1]

    @property
    def biases(self) -> str:
        """Roles that have a bias."""
        return "".join(role for role in "qkvog" if f"b_{role.upper()}" in self.shapes)

    @property
    def widths(self) -> dict[str, int]:
        """Role -> width over all heads."""
        held = {role: self.shapes.get(f"W_{role.upper()}") for role in "qkvg"}
        return {role: shape[1] for role, shape in held.items() if shape}

    @property
    def cache_bytes(self) -> int:
        """Bytes of one token's keys and values in the stored dtype; 0 where none of its own are kept.

        A `self` module's cache grows by that with each token. A `cross` module keeps it for each row that it
        looks at, once a text.
        """
        kept = self.kind in ("self", "cross")
        return kept * (self.widths["k"] + self.widths["v"]) * item_size(self.pieces[0].dtype)


Given = TypeVar("Given")


class Modules(Mapping[str, Given]):
    """Modules of a checkpoint by name, as they are planned."""

    plans: dict[str, Any]

    def __contains__(self, path: object) -> bool:
        return path in self.plans

    def __iter__(self) -> Iterator[str]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)


def item_size(dtype: str) -> int:
    """Bytes of a number in a cache beside weights of a dtype."""
    return {"F64": 8, "F32": 4}.get(dtype, 2)


def make_plan(checkpoint: Checkpoint, path: str, layout: Layout, known: Facts) -> Plan:
    """Plan one module; refuse shapes, head counts and layout that contradict each other, and weights of no floats.

    `layout` is the row of the atlas that its names match, `known` what config.json, or the caller, says about it.
    """
    first = dotted(path, next(iter(layout.tensors)).format("weight"))
    if known.n_heads is None or known.n_kv_heads is None:
        raise LayoutError(
            f"n_heads must be known to cut {first}, got no config.json that says it. "
            "Put the model's config.json beside the file, or give n_heads and n_kv_heads"
        )
    lender = _lender(path, known)
    pieces = _pieces(checkpoint, path, lender, layout, layout.copies(known.n_heads, known.n_kv_heads))
    known = _fit(known, pieces)
    n_heads, n_kv_heads = known.n_heads or 1, known.n_kv_heads or 1
    counts = {"q": n_heads, "g": n_heads, "k": n_kv_heads, "v": n_kv_heads}
    shapes: dict[str, tuple[int, ...]] = {}
    for piece in pieces:
        shapes |= _cut_shapes(piece, counts, layout.axes)
    beside = others(checkpoint, path, pieces)
    check_quantised(checkpoint, pieces, beside)
    names = {role: piece.name for piece in pieces if piece.letter == "W" for role in piece.roles}
    kind: Kind = "shared" if lender else kind_of(path, known)
    rows, rotary = "pairs" * (known.values.get("rows") == "pairs"), rotary_of(known, layout.family)
    plan = Plan(path, layout, n_heads, n_kv_heads, tuple(pieces), shapes, kind, rows, rotary, lender, beside)
    _check_shapes(plan, names, known)
    _check_config(plan, names["q"], known)
    return plan


def dotted(path: str, name: str) -> str:
    """Put a module's name before that of a tensor."""
    return f"{path}.{name}" if path else name


def below(path: str, name: str) -> str:
    """Count a tensor's name from a module."""
    return name[len(path) :].lstrip(".")


def _lender(path: str, known: Facts) -> str:
    """Name the earlier module whose keys and values a layer uses: the last that has its own, of the same kind."""
    shared, at = known.values.get("num_kv_shared_layers"), place(f"{path}.")
    if type(shared) is not int or not at or known.n_layers is None:
        return ""
    stem, number, rest = at
    first, kind = known.n_layers - shared, kind_of_layer(known.values, at[1])
    if not 0 < first <= number < known.n_layers:
        return ""
    alike = (n for n in range(first - 1, -1, -1) if kind_of_layer(known.values, n) == kind)
    return dotted(stem, f"{next(alike, first - 1)}.{rest}".rstrip("."))


def borrows(checkpoint: Checkpoint, path: str, layout: Layout, missing: list[str]) -> bool:
    """Say whether config.json lets a module do without what it lacks: its values are its keys, or both are lent."""
    roles = "".join(layout.tensors.get(name.replace("weight", "{}"), "o") for name in missing)
    if (known := facts_or_none(checkpoint, path)) is None:
        return False
    if roles == "v":
        return known.values.get("attention_k_eq_v") is True
    lender = _lender(path, known) if sorted(roles) == ["k", "v"] else ""
    return bool(lender) and all(dotted(lender, name) in checkpoint for name in missing)


def _pieces(checkpoint: Checkpoint, path: str, lender: str, layout: Layout, blocks: int) -> list[Piece]:
    out = next(name for name in layout.out if dotted(path, name.format("weight")) in checkpoint)
    key = next(template for template, roles in layout.tensors.items() if "k" in roles)
    wanted = []
    for template, roles in [*layout.tensors.items(), (out, "o")]:
        home = lender if lender and roles in ("k", "v") else path
        stored = template
        if roles == "v" and dotted(home, template.format("weight")) not in checkpoint:
            stored = key  # its values are its keys
        for kind, letter in (("weight", "W"), ("bias", "b")):
            if kind == "weight" or "{}" in stored:
                name, copies = dotted(home, stored.format(kind)), blocks if len(roles) > 1 else 1
                wanted.append((name, letter, roles, template in layout.columns, copies))
    wanted += [(dotted(path, template), "b", role, False, 1) for role, template in layout.biases.items()]
    pieces = []
    for name, letter, roles, columns, copies in wanted:
        if name in checkpoint:
            tensor = checkpoint.tensor(name)
            columns = columns and tensor.plain  # what is packed was a Linear when it was
            pieces.append(Piece(name, letter, roles, columns, copies, tensor.shape, tensor.dtype))
    return pieces


def _fit(known: Facts, pieces: list[Piece]) -> Facts:
    """Count the key heads of a layer that has others than most.

    The width of a head says how many there are, where config.json gives it and the queries have it; else one of the
    other counts in it must be what the shapes say.
    """
    shapes = {piece.roles: piece.shape for piece in pieces if piece.letter == "W" and len(piece.shape) == 2}
    if known.n_heads and {"q", "k"} <= shapes.keys() and not any(piece.columns for piece in pieces):
        q, k = shapes["q"][0], shapes["k"][0]
        heads, rest = divmod(k * known.n_heads, q) if q else (0, 1)
        told = heads in known.counts or known.d_head == q // known.n_heads
        if told and heads and not rest and known.n_heads % heads == 0 == q % known.n_heads:
            return replace(known, n_kv_heads=heads)
    return known


def _cut_shapes(piece: Piece, counts: Mapping[str, int], axes: int) -> dict[str, tuple[int, ...]]:
    if len(piece.shape) != (axes if piece.letter == "W" else 1) or 0 in piece.shape:
        want = f"{axes} axes" if piece.letter == "W" else "one axis"
        raise LayoutError(f"{piece.name} must have {want} of at least 1, got shape {piece.shape}")
    if piece.letter == "b":
        rows, total = piece.shape[:0], piece.shape[0]
    else:
        flat = (piece.shape[0], prod(piece.shape[1:]))
        rows, total = (flat[:1], flat[1]) if piece.columns else (flat[1:], flat[0])
    if len(piece.roles) == 1:
        return {f"{piece.letter}_{piece.roles.upper()}": (*rows, total)}
    heads = sum(counts[role] for role in piece.roles)
    if total % heads:
        rule = " + ".join("n_heads" if role in "qg" else "n_kv_heads" for role in piece.roles)
        raise LayoutError(f"the outputs of {piece.name} must be a multiple of {rule} = {heads}, got {total}")
    found: dict[str, tuple[int, ...]] = {}
    for role in piece.roles:
        width = total // heads * counts[role]
        if width % piece.blocks:
            raise LayoutError(
                f"the width of {role} in {piece.name} must be a multiple of blocks={piece.blocks}, "
                f"got {width}"
            )
        found[f"{piece.letter}_{role.upper()}"] = (*rows, width)
    return found


def others(checkpoint: Checkpoint, path: str, pieces: list[Piece]) -> tuple[str, ...]:
    """List what else stands in a module."""
    used = {piece.name for piece in pieces} | checkpoint.parts
    own = [below(path, piece.name).split(".")[:-1] for piece in pieces if piece.name.startswith(path)]
    inner = all(len(parts) > 1 and parts[0] == own[0][0] for parts in own)
    near = checkpoint.under(dotted(path, own[0][0]) if inner else path)
    return tuple(sorted(name for name in near if name not in used and (path or "." not in name)))


def check_quantised(checkpoint: Checkpoint, pieces: list[Piece], beside: tuple[str, ...]) -> None:
    """Refuse a weight that means nothing without what stands beside it."""
    for piece in pieces:
        tensor = checkpoint.tensor(piece.name)
        if not tensor.floats:
            raise DTypeError(
                f"{piece.name} must be stored as {', '.join(FLOATS)}, got {piece.dtype}: "
                "a quantised weight means nothing without its scales. Use the checkpoint before quantisation"
            )
        module = piece.name.rsplit(".", 1)[0]
        for scale in SCALES if tensor.plain else ():
            if f"{module}.{scale}" in beside:
                raise DTypeError(
                    f"{piece.name} must be a plain weight, got one with {module}.{scale} beside it: "
                    "it is quantised. Use the checkpoint before quantisation"
                )


def _check_shapes(plan: Plan, names: Mapping[str, str], known: Facts) -> None:
    shapes, n_heads, n_kv_heads = plan.shapes, plan.n_heads, plan.n_kv_heads
    if n_heads % n_kv_heads:
        raise LayoutError(
            f"n_heads of {plan.path} must be a multiple of n_kv_heads={n_kv_heads}, got {n_heads}"
        )
    for role in names:
        letter = role.upper()
        bias, width = shapes.get(f"b_{letter}"), shapes[f"W_{letter}"][1]
        if bias and bias != (width,):
            raise LayoutError(
                f"the bias of {names[role]} must have the width of its weight = {width}, got {bias[0]}"
            )
    q, k, v = (shapes[f"W_{letter}"] for letter in "QKV")
    hint = "Is this the layout of the file, and are the head counts this module's?"
    if q[1] % n_heads:
        raise LayoutError(
            f"{names['q']} must have a width that is a multiple of n_heads={n_heads}, got {q[1]}"
        )
    if q[1] * n_kv_heads != k[1] * n_heads:
        raise LayoutError(
            f"{names['q']} must have the width n_heads * width of K / n_kv_heads = "
            f"{n_heads} * {k[1]} / {n_kv_heads} = {n_heads * k[1] / n_kv_heads:g}, got {q[1]}. {hint}"
        )
    if v[1] * n_heads != shapes["W_O"][0] * n_kv_heads or v[1] % n_kv_heads:
        raise LayoutError(
            f"{names['o']} must take rows of the width n_heads * width of V / n_kv_heads = "
            f"{n_heads} * {v[1]} / {n_kv_heads} = {n_heads * v[1] / n_kv_heads:g}, got {shapes['W_O'][0]}. "
            f"{hint}"
        )
    for role, shape in (("k", k), ("v", v)):
        if shape[0] != q[0] and plan.kind != "cross" and not known.widths >= {shape[0], q[0]}:
            raise LayoutError(
                f"{names[role]} must have shape (d_model, n_kv_heads * d_head) = {(q[0], shape[1])}, got {shape}"
            )
    back = shapes["W_O"][1]
    if back != q[0] and back not in known.widths:
        raise LayoutError(f"{names['o']} must give rows of width d_model={q[0]}, got {back}")


def _check_config(plan: Plan, name: str, known: Facts) -> None:
    ends = {plan.shapes["W_Q"][0], plan.shapes["W_O"][1]}
    if known.d_model is not None and not ends & {known.d_model, *known.widths}:
        raise LayoutError(
            f"{name} must take rows of the width that config.json gives = {known.d_model}, "
            f"got {plan.d_model}. Its head counts may be another module's: give n_heads and n_kv_heads"
        )
    whole = known.d_head
    if whole is None and known.d_model == plan.d_model and known.d_model % plan.n_heads == 0:
        whole = known.d_model // plan.n_heads
    if whole is None or whole == plan.d_head or (known.d_head is None and plan.kind == "cross"):
        return
    # A rank of a tensor-parallel model holds whole heads, and fewer of them than config.json counts.
    ranks, rest = divmod(whole, plan.d_head)
    cut = ""
    if ranks > 1 and not rest and plan.n_heads % ranks == 0:
        held = f"with {plan.n_heads // ranks} of {plan.n_heads} heads"
        cut = f". Is it one of {ranks} ranks of a model that was cut, {held}? Join the ranks first"
    if known.d_head is not None:
        raise LayoutError(
            f"{name} must have heads of the width that config.json gives = {whole}, got {plan.d_head}{cut}"
        )
    if cut:
        raise LayoutError(
            f"{name} must have the width n_heads * (hidden_size / n_heads) = {known.d_model}, where config.json "
            f"gives no head_dim, got {plan.widths['q']}{cut}. If its heads are narrow, give n_heads and n_kv_heads"
        )
