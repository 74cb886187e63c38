from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qkvdocs.clinic._declared import (
    DEEPEST,
    check_callables,
    check_choice,
    check_expression,
    check_features,
    check_flags,
    check_fused,
    check_heads,
    check_kind,
    check_layer,
    check_names,
    check_norm,
    check_number,
    check_rotary,
    check_rows,
    check_scale,
    check_scaling,
    check_size,
    kv_heads,
    refuse,
)
from qkvdocs.clinic._latent import LatentWeights
from qkvdocs.core import QKVWeights


@dataclass(frozen=True)
class Rotary:
    """How queries and keys are turned by position.

    Raises:
        ContractError: If a field is none of what it says.

    Source:
        Su et al. 2021, "RoFormer", section 3.4.2.

    Examples:
        >>> Rotary("pairs").base
        10000.0
    """

    style: Literal["halves", "pairs"] = "halves"
    """Which entries turn together: (i, i + d/2), or the neighbours (2i, 2i + 1)."""
    base: float = 10000.0
    """The base of the frequencies."""
    width: int | None = None
    """How many entries of each head turn, from the first on; None means all."""
    scaling: float = 1.0
    """What positions are divided by: `factor` of linear scaling in a config."""
    offset: int = 0
    """Position of the first row; only `Project` can tell."""
    rope_scaling: Mapping[str, Any] | None = None
    """What a config calls `rope_scaling`, or `rope_parameters`: a `rope_type` (`linear`, `dynamic`, `yarn`,
    `longrope`, `llama3` or `proportional`) with its numbers; None means none."""

    def __post_init__(self) -> None:
        check_scaling(self.rope_scaling)
        check_choice("style", self.style, ("halves", "pairs"))
        for name in ("base", "scaling"):
            check_number(name, getattr(self, name), "be a finite number above 0", least=0)
        check_size("offset", self.offset, 0, 2**40)
        if self.width is not None:
            check_size("width", self.width, 2, DEEPEST)
            if self.width % 2:
                raise refuse("width", "be even", self.width)


@dataclass(frozen=True, eq=False)
class Norm:
    """How queries and keys are normed.

    Raises:
        ContractError: If a field is none of what it says.

    Examples:
        >>> Norm(q=[1, 2], k=[2, 1]).over
        'head'
    """

    kind: Literal["rms", "layer", "unit"] = "rms"
    """Divided by the root mean square, by the deviation after the mean is taken away, or by the length."""
    over: Literal["head", "all"] = "head"
    """Each head alone, or all heads as one row."""
    when: Literal["before", "after"] = "before"
    """Before the rotation or after it."""
    q: Any = None
    """What normed queries are multiplied by: as wide as a head, or as all; None means nothing."""
    k: Any = None
    """The same for keys."""
    eps: float = 1e-6
    """What is added below the root."""
    q_bias: Any = None
    """What is added to queries after that; None means nothing."""
    k_bias: Any = None
    """The same for keys."""

    def __post_init__(self) -> None:
        check_norm(self)


@dataclass(frozen=True, kw_only=True)
class Features:
    """What happens to scores beside scale and causal mask; every field that is left out is not there.

    Examples:
        >>> Attend(lambda q, k, v, mask: v, softcap=50.0, window=4096).softcap
        50.0
    """

    softcap: float | None = None
    """Scores are bent to stay within ±softcap: `softcap * tanh(scores / softcap)`, before the mask."""
    sinks: Any = None
    """A logit in each row of softmax that leads nowhere: one a head, or one number; 0 is "off by one"."""
    window: int | None = None
    """How many keys a query sees, itself included; without a causal mask to both sides."""
    chunk: int | None = None
    """Queries see keys of their own chunk of so many tokens alone."""
    prefix: int = 0
    """How many first keys everybody sees, causal or not."""
    score_bias: Any = None
    """Added to scaled scores: `alibi`, a slope a head, or a function of n queries and m keys that gives
    (heads, n, m); the queries are the last."""
    relative: Any = None
    """Added to scaled scores, too, where it depends on contents: a function of queries (batch, heads, n, d_head) and
    keys (batch, heads, m, d_head) that gives (batch, heads, n, m), as DeBERTa and Transformer-XL have it."""


@dataclass(frozen=True)
class Attend(Features):
    """The inner function: `attend(q, k, v, mask)` gives the context.

    Queries come at (batch, n_heads, n_queries, d_head), keys and values at (batch, n_kv_heads, n_keys,
    d_head). The mask is bool, (n_queries, n_keys), True = may attend, or None.

    Raises:
        ContractError: If a field is none of what it says.

    Examples:
        >>> Attend(lambda q, k, v, mask: v, d_head=4).heads
        (4, 4)
    """

    function: Callable[..., Any]
    """Somebody's function; always called with four arguments."""
    n_heads: int = 4
    """Query heads."""
    n_kv_heads: int | None = None
    """Key heads; None means as many."""
    d_head: int = 8
    """Width of a head."""
    causal: bool = False
    """Whether it hides the future by itself; it is then given None for a mask."""
    scale: float | None = None
    """What the scores are multiplied by; None means 1/√d_head."""
    like: Any = None
    """An array, or a module, of the kind that the function takes; None finds out."""
    d_value: int | None = field(default=None, kw_only=True)
    """Width of a value; None means d_head."""

    def __post_init__(self) -> None:
        check_callables(self, "function")
        check_heads(self)
        check_flags(self, "causal")
        check_scale(self.scale)
        check_features(self, self.n_heads)
        if self.d_value is not None:
            check_size("d_value", self.d_value, most=DEEPEST)

    @property
    def heads(self) -> tuple[int, int]:
        """Query heads and key heads."""
        return self.n_heads, kv_heads(self)


@dataclass(frozen=True)
class Attention(Features):
    """A whole layer: `attention(x)` with weights that are known.

    Rows come at (batch, seq, d_model), and so does the output. With `padding` it is called as `attention(x, keep)`,
    keep (batch, seq) True where a token is no padding, and nobody reads what it returns at padding; with `packed`
    as `attention(x, texts)`, x one row of texts end to end and texts (seq,) the number of each token's text; with
    `memory` as `attention(x, memory)`, keys and values made of the memory.

    Raises:
        ContractError: If a field is none of what it says, or neither weights nor d_model is given.

    Examples:
        >>> Attention(lambda x: x, d_model=8).causal
        False
    """

    function: Callable[..., Any]
    """Somebody's layer."""
    weights: QKVWeights | LatentWeights | None = None
    """Its weights in the layout of `x @ W`; without them only its behaviour is tested."""
    d_model: int | None = None
    """Width of a row; needed only without weights."""
    causal: bool = False
    """Whether the future is hidden."""
    scale: float | None = None
    """What the scores are multiplied by; None means 1/√d_head."""
    rotary: Rotary | None = None
    """How positions turn queries and keys; None means not at all."""
    like: Any = None
    """An array, or a module, of the kind that the function takes; None finds out."""
    norm: Norm | None = field(default=None, kw_only=True)
    """How queries and keys are normed; None means not at all."""
    before: QKVWeights | None = field(default=None, kw_only=True)
    """The weights before an adapter was merged into them, where one was."""
    gate: Any = field(default=None, kw_only=True)
    """A weight (d_model, n_heads * d_value), or a pair of it and a bias: merged heads are multiplied by the sigmoid of
    `x @ gate` before the output projection; None means no gate."""
    clip: float | None = field(default=None, kw_only=True)
    """Queries, keys and values are kept within ±clip (`clip_qkv` in a config); None means free."""
    padding: Literal["left", "right"] | None = field(default=None, kw_only=True)
    """Where shorter texts are filled up; None means that all are as long."""
    packed: bool = field(default=False, kw_only=True)
    """Whether several texts stand in one row."""
    memory: bool = field(default=False, kw_only=True)
    """Whether keys and values come from elsewhere, as in cross-attention."""

    def __post_init__(self) -> None:
        check_callables(self, "function")
        check_flags(self, "causal", "packed", "memory")
        check_layer(self, Rotary, Norm)
        check_rows(self)


@dataclass(frozen=True)
class Project:
    """Projections alone: `project(x, weights)` gives (Q, K, V), heads cut.

    The probe chooses the weights and hands them over as stored: an object with W_Q, W_K, W_V and b_Q, b_K,
    b_V, or with W_QKV and b_QKV where they are fused. Biases may be None.

    Raises:
        ContractError: If a field is none of what it says.

    Examples:
        >>> Project(lambda x, weights: None, fused="qkv", blocks=4).d_model
        32
    """

    function: Callable[..., Any]
    """Somebody's function; gives arrays at (batch, heads, seq, d_head)."""
    n_heads: int = 4
    """Query heads."""
    n_kv_heads: int | None = None
    """Key heads; None means as many."""
    d_head: int = 8
    """Width of a head."""
    fused: str = ""
    """Order of the roles in the fused weight, such as `qkv`; empty if they are stored apart."""
    blocks: int = 1
    """How often that order repeats along the outputs: 1 for thirds, n_heads for head by head."""
    transposed: bool = False
    """Whether weights are stored (out, in), as nn.Linear does."""
    bias: str = "qkv"
    """Roles that have a bias."""
    rotary: Rotary | None = None
    """How positions turn the queries and keys that come back."""
    like: Any = None
    """An array, or a module, of the kind that the function takes; None finds out."""
    norm: Norm | None = field(default=None, kw_only=True)
    """How the queries and keys that come back are normed."""

    def __post_init__(self) -> None:
        check_callables(self, "function")
        check_heads(self)
        check_flags(self, "transposed")
        check_fused(self)
        check_rotary(self.rotary, self.d_head, Rotary)
        check_kind("norm", self.norm, Norm)

    @property
    def d_model(self) -> int:
        """Width of a row: that of all heads, so that every weight of full heads is square."""
        return self.n_heads * self.d_head


@dataclass(frozen=True)
class Step(Features):
    """A causal layer with a cache: `step(x, cache)` gives the output and the cache.

    Raises:
        ContractError: If a field is none of what it says, or neither weights nor d_model is given.

    Examples:
        >>> Step(lambda x, cache: (x, cache), d_model=8).start() is None
        True
    """

    function: Callable[..., Any]
    """Somebody's layer; takes one new row or several."""
    weights: QKVWeights | LatentWeights | None = None
    """Its weights in the layout of `x @ W`."""
    uncached: Callable[..., Any] | None = None
    """The same layer without a cache, for where the weights are not known."""
    d_model: int | None = None
    """Width of a row; needed only without weights."""
    scale: float | None = None
    """What the scores are multiplied by; None means 1/√d_head."""
    rotary: Rotary | None = None
    """How positions turn queries and keys; None means not at all."""
    start: Callable[[], Any] = lambda: None
    """Makes the cache of an empty text."""
    like: Any = None
    """An array, or a module, of the kind that the function takes; None finds out."""
    norm: Norm | None = field(default=None, kw_only=True)
    """How queries and keys are normed; None means not at all."""
    before: QKVWeights | None = field(default=None, kw_only=True)
    """The weights before an adapter was merged into them, where one was."""
    gate: Any = field(default=None, kw_only=True)
    """A weight (d_model, n_heads * d_value), or a pair of it and a bias: merged heads are multiplied by the sigmoid of
    `x @ gate` before the output projection; None means no gate."""
    clip: float | None = field(default=None, kw_only=True)
    """Queries, keys and values are kept within ±clip (`clip_qkv` in a config); None means free."""

    def __post_init__(self) -> None:
        check_callables(self, "function", "start", *(() if self.uncached is None else ("uncached",)))
        check_layer(self, Rotary, Norm)


@dataclass(frozen=True)
class CacheBytes:
    """A formula: `function(config, batch, seq, itemsize)` gives the bytes of all keys and values.

    Raises:
        ContractError: If the function cannot be called.

    Examples:
        >>> CacheBytes(lambda config, batch, seq, itemsize: 0).name
        'cache_bytes'
    """

    function: Callable[[Mapping[str, int], int, int, int], float]
    """Somebody's formula; the config has the names of a Hugging Face `config.json`."""
    name: str = "cache_bytes"
    """What messages call it."""
    kinds: Sequence[str] = ()
    """Kinds of layers that it counts beside the plain ones: `sliding`, `latent`, `shared`, `hybrid`."""

    def __post_init__(self) -> None:
        check_callables(self, "function")
        check_names("kinds", self.kinds, 0)
        for kind in self.kinds:
            check_choice("kinds", kind, ("sliding", "latent", "shared", "hybrid"))
        if not isinstance(self.name, str):
            raise refuse("name", "be a string", self.name)


@dataclass(frozen=True)
class HeadWidth:
    """A rule: `function(config)` gives the width of a head.

    Raises:
        ContractError: If the function cannot be called.

    Examples:
        >>> HeadWidth(lambda config: 64).name
        'head_width'
    """

    function: Callable[[Mapping[str, int]], float]
    """Somebody's rule."""
    name: str = "head_width"
    """What messages call it."""

    def __post_init__(self) -> None:
        check_callables(self, "function")
        if not isinstance(self.name, str):
            raise refuse("name", "be a string", self.name)


@dataclass(frozen=True)
class AdapterTargets:
    """Names of layers to adapt, and the names of the modules that the model has.

    They are read as PEFT reads them.

    Raises:
        ContractError: If one is no list of strings, an expression is none, or there are no modules.

    Examples:
        >>> AdapterTargets(["q_proj"], ["layers.0.self_attn.q_proj"]).targets
        ['q_proj']
    """

    targets: Sequence[str] | str
    """A list: each meets every module of this name, or whose name ends in it behind a dot. One string: a regular
    expression that a whole name must match, or `all-linear`."""
    modules: Sequence[str]
    """Names as `model.named_modules()` gives them."""
    group: str = ""
    """A regular expression that is found in the names of the layers meant, such as `language_model`; empty means all
    of one tower."""

    def __post_init__(self) -> None:
        if isinstance(self.targets, str):
            check_expression("targets", self.targets)
        else:
            check_names("targets", self.targets, 0, ". Say one string for an expression")
        check_expression("group", self.group)
        check_names("modules", self.modules, 1, ". Say [name for name, _ in model.named_modules()]")


Contract = Attend | Attention | Project | Step | CacheBytes | HeadWidth | AdapterTargets
