# The faults that are looked for under each contract.

from itertools import combinations, product

from qkvdocs.clinic._faults import Fault

ROLE = {"Q": "queries", "K": "keys", "V": "values", "O": "the output"}


def scales(n_heads: int, n_kv_heads: int, d_head: int, d_model: int, scale: float) -> list[Fault]:
    """Give the usual wrong scales."""
    values = {
        "1": 1.0,
        "1/d_head": 1 / d_head,
        "1/√d_model": d_model**-0.5,
        "1/√(n_heads · d_head)": (n_heads * d_head) ** -0.5,
        "1/√(n_kv_heads · d_head)": (n_kv_heads * d_head) ** -0.5,
        "1/√n_heads": n_heads**-0.5,
        "1/√d_head": d_head**-0.5,
        "1/√√d_head": d_head**-0.25,
        "√d_head": d_head**0.5,
        "1/d_model": 1 / d_model,
        "1/√d_head, squared again,": scale**2,
    }
    seen, faults = {round(scale, 12)}, []
    for name, value in values.items():
        if round(value, 12) not in seen:
            seen.add(round(value, 12))
            says = f"the scores are multiplied by {name} and are {_times(value / scale)} what they should be"
            faults.append(Fault("scale", says, "scale", value / scale))
    return faults


def _times(factor: float) -> str:
    return f"{factor:.4g} times"


def axes() -> list[Fault]:
    """Softmax over anything but the keys."""
    return [
        Fault("softmax-axis", f"softmax sums over {what}, not over the keys", "axis", axis)
        for axis, what in (
            ("queries", "the queries"),
            ("heads", "the heads"),
            ("table", "queries and keys together"),
        )
    ] + [Fault("batch-leak", "softmax sums over the batch", "axis", "batch")]


def masks(causal: bool) -> list[Fault]:
    """Masks that do something else, or nothing."""
    faults = [
        Fault("mask-polarity", "the mask hides what it should show", "mask", "inverted"),
        Fault("causality", "the mask has no effect", "mask", "ignored"),
        Fault("causality", "hidden scores are set to 0, which is a score like any other", "mask", "zero"),
        Fault("causality", "the mask is added as ones and zeros", "mask", "added"),
        Fault("causality", "the scores are multiplied by the mask", "mask", "times"),
        Fault(
            "mask-after-softmax",
            "weights are zeroed after softmax and the rows no longer sum to 1",
            "mask",
            "after",
        ),
    ]
    if causal:
        faults += [
            Fault("mask-alignment", "the mask starts in the top left corner", "mask", "corner"),
            Fault("causality", "each query sees one key of its future", "mask", "peeking"),
            Fault("causality", "each query sees its future and not its past", "mask", "upper"),
            Fault("causality", "no query sees its own key", "mask", "strict"),
        ]
    return faults


def undeclared() -> list[Fault]:
    """What a causal function does that was not said to be one; the first fits layers too."""
    says = "no query sees a later key: is it causal? Then declare causal=True"
    return [
        Fault("equivariance", says, "mask", mask) for mask in ("triangle", "triangle alone", "corner alone")
    ]


def tiles() -> list[Fault]:
    """Groups dealt out the wrong way."""
    what = {"kv": "key and value heads are", "k": "key heads are", "v": "value heads are"}
    return [
        Fault("kv-head-order", f"{said} tiled over the query heads, not repeated", "tiled", which)
        for which, said in what.items()
    ]


def matches() -> list[Fault]:
    """Comparing the wrong things."""
    return [
        Fault("values-match", "queries are compared with values", "match", "values"),
        Fault(
            "values-match",
            "keys and values have changed places: values are compared, keys are mixed",
            "match",
            "swapped",
        ),
        Fault("key-transpose", "K is reshaped where it should be transposed", "match", "reshaped"),
        Fault("key-transpose", "K is not transposed where n_keys equals d_head", "match", "untransposed"),
    ]


def _words(roles: str) -> str:
    names = [ROLE[role] for role in roles]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def subsets(roles: str) -> list[str]:
    """All parts of a string but the empty one, smallest first."""
    return ["".join(part) for size in range(1, len(roles) + 1) for part in combinations(roles, size)]


def sources() -> list[Fault]:
    """Roles made with the matrix of another."""
    faults = []
    for made in product("QKV", repeat=3):
        from_ = "".join(made)
        if from_ == "QKV":
            continue
        wrong = [
            f"{ROLE[role]} are made with W_{got}"
            for role, got in zip("QKV", made, strict=True)
            if role != got
        ]
        bug = "swapped-projection" if set(made) == set("QKV") else "shared-projection"
        faults.append(Fault(bug, " and ".join(wrong), "sources", from_))
    return faults


def turns(square: str) -> list[Fault]:
    """Square weights read as their transposes."""
    return [
        Fault("transposed-weight", f"the weight of {_words(part)} is read transposed", "turned", part)
        for part in subsets(square)
    ]


def losses(biased: str) -> list[Fault]:
    """Biases left out."""
    return [
        Fault("key-bias", f"the bias of {_words(part)} is left out", "lost", part) for part in subsets(biased)
    ]


def views() -> list[Fault]:
    """Heads cut or merged by a bare reshape."""
    faults = [
        Fault("head-split", f"a bare reshape cuts the heads of {_words(part)}", "viewed", part.lower())
        for part in subsets("QKV")
    ]
    faults.append(Fault("head-split", "a bare reshape merges the heads", "viewed", "o"))
    faults.append(Fault("head-split", "a bare reshape cuts the heads, and one merges them", "viewed", "qkvo"))
    faults.append(Fault("head-split", "heads are taken from every n-th column", "viewed", "QKV"))
    faults.append(
        Fault("head-split", "heads are taken from, and merged into, every n-th column", "viewed", "QKVO")
    )
    return faults


def cuts() -> list[Fault]:
    """Fused weights cut as another family stores them."""
    return [
        Fault("fused-order", "weights stored head by head are cut in thirds", "recut", "blocks for thirds"),
        Fault("fused-order", "weights stored in thirds are cut head by head", "recut", "thirds for blocks"),
        Fault(
            "shared-linear", "each head sees its slice of the row, through one small matrix", "small", True
        ),
    ]


def turnings(style: str) -> list[Fault]:
    """Rotations of the wrong style, place or subject."""
    other = "pairs" if style == "halves" else "halves"
    faults = [Fault("rotary-style", f"{other} are rotated where {style} should be", "style", other)]
    for subject, what in (
        ("", "nothing is"),
        ("q", "only the queries are"),
        ("k", "only the keys are"),
        ("qkv", "values too are"),
    ):
        faults.append(Fault("rotary-offset", f"{what} rotated", "turned_by", subject))
    for who, field in (("queries", "shift_q"), ("keys", "shift_k")):
        faults += [
            Fault(
                "rotary-offset",
                f"{who} are rotated {abs(by)} position too {'far' if by > 0 else 'little'}",
                field,
                by,
            )
            for by in (1, -1)
        ]
    return faults


def restarts() -> list[Fault]:
    """What goes wrong at a second call only."""
    return [
        Fault("rotary-offset", "positions start at 0 again with each call", "restart", True),
        Fault("mask-alignment", "the mask of each later call starts in the top left corner", "corner", True),
    ]
