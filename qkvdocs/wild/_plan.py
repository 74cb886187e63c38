# From names, shapes and head counts to a plan of what is cut from where. Nothing is read for it: whatever can
# be refused is refused before the first byte of a matrix is touched.

from collections.abc import Mapping
from dataclasses import dataclass, field

from qkvdocs.errors import DTypeError, LayoutError
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._config import Facts
from qkvdocs.wild._dtypes import FLOATS
from qkvdocs.wild._kinds import Kind, kind_of, rotary_of
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
    floats: bool = True
    """Whether it gives floats: those that are stored, or what they were packed from."""
    plain: bool = True
    """Whether it is stored as what it gives, and needs nothing beside it."""


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
    """`self` for keys and values of earlier tokens, `cross` for those of something else, or `encoder`."""
    rows: str = ""
    """`pairs` where rows of W_Q and W_K are stored in pairs, though the model turns halves: they are put back."""
    rotary: str = ""
    """`pairs` or `halves`, as W_Q and W_K are given; empty where nothing says that they are rotated."""
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
        """Bytes of one token's keys and values in the stored dtype; 0 for an encoder, which keeps none.

        A `self` module's cache grows by that with each token. A `cross` module keeps it for each row that it
        looks at, once a text.
        """
        item = {"F64": 8, "F32": 4}.get(self.pieces[0].dtype, 2)
        return 0 if self.kind == "encoder" else (self.widths["k"] + self.widths["v"]) * item


def make_plan(checkpoint: Checkpoint, path: str, layout: Layout, known: Facts) -> Plan:
    """Plan one module.

    Args:
        checkpoint: Where it stands.
        path: The module's name.
        layout: The row of the atlas that its names match.
        known: What config.json, or the caller, says about it.

    Returns:
        The plan, with all shapes checked.

    Raises:
        LayoutError: If shapes, head counts and layout contradict each other.
        DTypeError: If a weight is quantised or no float.
    """
    first = dotted(path, next(iter(layout.tensors)).format("weight"))
    if known.n_heads is None or known.n_kv_heads is None:
        raise LayoutError(
            f"n_heads must be known to cut {first}, got no config.json that says it. "
            "Put the model's config.json beside the file, or give n_heads and n_kv_heads"
        )
    pieces = _pieces(checkpoint, path, layout, layout.copies(known.n_heads, known.n_kv_heads))
    counts = {"q": known.n_heads, "g": known.n_heads, "k": known.n_kv_heads, "v": known.n_kv_heads}
    shapes: dict[str, tuple[int, ...]] = {}
    for piece in pieces:
        shapes |= _cut_shapes(piece, counts, layout.axes)
    others = _others(checkpoint, path, pieces)
    _check_quantised(pieces, others)
    names = {role: piece.name for piece in pieces if piece.letter == "W" for role in piece.roles}
    plan = Plan(
        path,
        layout,
        known.n_heads,
        known.n_kv_heads,
        tuple(pieces),
        shapes,
        kind_of(path, known),
        "pairs" if known.values.get("rows") == "pairs" else "",
        rotary_of(known, layout.family),
        others,
    )
    _check_shapes(plan, names)
    _check_config(plan, names["q"], known)
    return plan


def dotted(path: str, name: str) -> str:
    """Put a module's name before that of a tensor."""
    return f"{path}.{name}" if path else name


def _pieces(checkpoint: Checkpoint, path: str, layout: Layout, blocks: int) -> list[Piece]:
    out = next(name for name in layout.out if dotted(path, name.format("weight")) in checkpoint)
    pieces = []
    for template, roles in [*layout.tensors.items(), (out, "o")]:
        for kind, letter in (("weight", "W"), ("bias", "b")):
            name = dotted(path, template.format(kind))
            if name not in checkpoint or (kind == "bias" and "{}" not in template):
                continue
            tensor = checkpoint.tensor(name)
            copies = blocks if len(roles) > 1 else 1
            columns = template in layout.columns and tensor.plain  # what is packed was a Linear when it was
            pieces.append(
                Piece(
                    name,
                    letter,
                    roles,
                    columns,
                    copies,
                    tensor.shape,
                    tensor.dtype,
                    tensor.floats,
                    tensor.plain,
                )
            )
    for role, template in layout.biases.items():
        name = dotted(path, template)
        if name in checkpoint:
            tensor = checkpoint.tensor(name)
            pieces.append(
                Piece(name, "b", role, False, 1, tensor.shape, tensor.dtype, tensor.floats, tensor.plain)
            )
    return pieces


def _cut_shapes(piece: Piece, counts: Mapping[str, int], axes: int) -> dict[str, tuple[int, ...]]:
    if len(piece.shape) != (axes if piece.letter == "W" else 1) or 0 in piece.shape:
        want = f"{axes} axes" if piece.letter == "W" else "one axis"
        raise LayoutError(f"{piece.name} must have {want} of at least 1, got shape {piece.shape}")
    if piece.letter == "b":
        rows, total = piece.shape[:0], piece.shape[0]
    else:
        flat = (piece.shape[0], _product(piece.shape[1:]))
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


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _others(checkpoint: Checkpoint, path: str, pieces: list[Piece]) -> tuple[str, ...]:
    used = {piece.name for piece in pieces} | checkpoint.parts
    near = checkpoint.under(path)
    return tuple(sorted(name for name in near if name not in used and (path or "." not in name)))


def _check_quantised(pieces: list[Piece], others: tuple[str, ...]) -> None:
    for piece in pieces:
        if not piece.floats:
            raise DTypeError(
                f"{piece.name} must be stored as {', '.join(FLOATS)}, got {piece.dtype}: "
                "a quantised weight means nothing without its scales. Use the checkpoint before quantisation"
            )
        module = piece.name.rsplit(".", 1)[0]
        for scale in SCALES if piece.plain else ():
            if f"{module}.{scale}" in others:
                raise DTypeError(
                    f"{piece.name} must be a plain weight, got one with {module}.{scale} beside it: "
                    "it is quantised. Use the checkpoint before quantisation"
                )


def _check_shapes(plan: Plan, names: Mapping[str, str]) -> None:
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
    if v[1] * n_heads != shapes["W_O"][0] * n_kv_heads:
        raise LayoutError(
            f"{names['o']} must take rows of the width n_heads * width of V / n_kv_heads = "
            f"{n_heads} * {v[1]} / {n_kv_heads} = {n_heads * v[1] / n_kv_heads:g}, got {shapes['W_O'][0]}. "
            f"{hint}"
        )
    if plan.kind == "cross" and k == v and k[0] != q[0]:
        raise LayoutError(
            f"{names['k']} must take rows of the width d_model = {q[0]}, got {k[0]}: keys and values come from rows of "
            f"another width. Read the matrices themselves: Checkpoint(…)[{names['k']!r}], shape (out, in)"
        )
    for role, shape in (("k", k), ("v", v)):
        if shape != (q[0], k[1]):
            raise LayoutError(
                f"{names[role]} must have shape (d_model, n_kv_heads * d_head) = {(q[0], k[1])}, got {shape}"
            )
    if shapes["W_O"][1] != q[0]:
        raise LayoutError(f"{names['o']} must give rows of width d_model={q[0]}, got {shapes['W_O'][1]}")


def _check_config(plan: Plan, name: str, known: Facts) -> None:
    if known.d_model is not None and known.d_model != plan.d_model:
        raise LayoutError(
            f"{name} must take rows of the width that config.json gives = {known.d_model}, "
            f"got {plan.d_model}. Its head counts may be another module's: give n_heads and n_kv_heads"
        )
    whole = known.d_head
    if whole is None and known.d_model is not None and known.d_model % plan.n_heads == 0:
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
