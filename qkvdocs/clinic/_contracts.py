from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qkvdocs.core import QKVWeights


@dataclass(frozen=True)
class Rotary:
    """How queries and keys are turned by position.

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


@dataclass(frozen=True)
class Attend:
    """The inner function: `attend(q, k, v, mask)` gives the context.

    Queries come at (batch, n_heads, n_queries, d_head), keys and values at (batch, n_kv_heads, n_keys,
    d_head). The mask is bool, (n_queries, n_keys), True = may attend, or None.

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

    @property
    def heads(self) -> tuple[int, int]:
        """Query heads and key heads."""
        return self.n_heads, self.n_kv_heads or self.n_heads


@dataclass(frozen=True)
class Attention:
    """A whole layer: `attention(x)` with weights that are known.

    Rows come at (batch, seq, d_model), and so does the output.

    Examples:
        >>> Attention(lambda x: x, d_model=8).causal
        False
    """

    function: Callable[..., Any]
    """Somebody's layer."""
    weights: QKVWeights | None = None
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


@dataclass(frozen=True)
class Project:
    """Projections alone: `project(x, weights)` gives (Q, K, V), heads cut.

    The probe chooses the weights and hands them over as stored: an object with W_Q, W_K, W_V and b_Q, b_K,
    b_V, or with W_QKV and b_QKV where they are fused. Biases may be None.

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

    @property
    def d_model(self) -> int:
        """Width of a row: that of all heads, so that every weight of full heads is square."""
        return self.n_heads * self.d_head


@dataclass(frozen=True)
class Step:
    """A causal layer with a cache: `step(x, cache)` gives the output and the cache.

    Examples:
        >>> Step(lambda x, cache: (x, cache), d_model=8).start() is None
        True
    """

    function: Callable[..., Any]
    """Somebody's layer; takes one new row or several."""
    weights: QKVWeights | None = None
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


@dataclass(frozen=True)
class CacheBytes:
    """A formula: `function(config, batch, seq, itemsize)` gives the bytes of all keys and values.

    Examples:
        >>> CacheBytes(lambda config, batch, seq, itemsize: 0).name
        'cache_bytes'
    """

    function: Callable[[Mapping[str, int], int, int, int], float]
    """Somebody's formula; the config has the names of a Hugging Face `config.json`."""
    name: str = "cache_bytes"
    """What messages call it."""


@dataclass(frozen=True)
class HeadWidth:
    """A rule: `function(config)` gives the width of a head.

    Examples:
        >>> HeadWidth(lambda config: 64).name
        'head_width'
    """

    function: Callable[[Mapping[str, int]], float]
    """Somebody's rule."""
    name: str = "head_width"
    """What messages call it."""


@dataclass(frozen=True)
class AdapterTargets:
    """Names of layers to adapt, and the names of the modules that the model has.

    Examples:
        >>> AdapterTargets(["q_proj"], ["layers.0.self_attn.q_proj"]).targets
        ['q_proj']
    """

    targets: Sequence[str]
    """Each meets every module of this name, or whose name ends in it behind a dot."""
    modules: Sequence[str]
    """Names as `model.named_modules()` gives them."""


Contract = Attend | Attention | Project | Step | CacheBytes | HeadWidth | AdapterTargets
