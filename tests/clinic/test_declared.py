"""What is declared wrongly, or answers in no form of its contract, is one error that says so."""

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qkvdocs.clinic import (
    AdapterTargets,
    Attend,
    Attention,
    CacheBytes,
    HeadWidth,
    Norm,
    Project,
    Rotary,
    Step,
    examine,
    weights_from,
)
from qkvdocs.core import QKVWeights, attend, attention
from qkvdocs.errors import ContractError, QKVError
from tests.clinic.run import weights

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
name = pytest.mark.parametrize
W = weights(2, 2, 4, bias=False)
HOLLOW = QKVWeights(W_Q=W.W_Q * np.nan, W_K=W.W_K, W_V=W.W_V, n_heads=2)


def right(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Attend."""
    return attend(q, k, v, mask).context


@name(
    ("make", "message"),
    [
        (lambda: Attend(3), "function must be callable, got 3"),
        (lambda: Attend(right, n_heads=0), "n_heads must be an integer from 1 to 32768, got 0"),
        (lambda: Attend(right, n_heads=True), "n_heads must be an integer from 1 to 32768, got True"),
        (lambda: Attend(right, n_heads=2.0), "n_heads must be an integer from 1 to 32768, got 2.0"),
        (lambda: Attend(right, n_heads=6, n_kv_heads=4), "n_heads must be a multiple of n_kv_heads=4, got 6"),
        (lambda: Attend(right, n_kv_heads=0), "n_kv_heads must be an integer from 1 to 32768, got 0"),
        (lambda: Attend(right, d_head=10**9), "d_head must be an integer from 1 to 1024, got 1000000000"),
        (lambda: Attend(right, 2**15, d_head=2), "n_heads * d_head must be an integer from 1 to 32768, got 65536"),
        (lambda: Attend(right, causal="yes"), "causal must be True or False, got 'yes'"),
        (lambda: Attend(right, scale=0.0), "scale must be a finite number other than 0, or None for 1/√d_head, got "),
        (lambda: Attend(right, scale=float("nan")), "scale must be a finite number other than 0, or None "),
        (lambda: Attend(right, scale="1"), "scale must be a finite number other than 0, or None "),
        (lambda: Attention(right), "d_model must be given where weights are not, got None"),
        (lambda: Attention(right, "W"), "weights must be QKVWeights, LatentWeights or None, got 'W'. Make them"),
        (lambda: Attention(right, HOLLOW), "weights must be finite, got NaN or inf in W_Q"),
        (lambda: Attention(right, W, d_model=9), "d_model must be that of the weights = 8, got 9"),
        (lambda: Attention(right, W, rotary="halves"), "rotary must be a Rotary or None, got 'halves'. Say Rotary("),
        (lambda: Attention(right, W, rotary=Rotary(width=6)), "rotary.width must be at most d_head = 4, got 6"),
        (lambda: Project(right, d_head=3, rotary=Rotary()), "d_head must be even where whole heads are rotated, got"),
        (lambda: Project(right, fused="qk"), "fused must be '' or an order of q, k and v, such as 'qkv', got 'qk'"),
        (lambda: Project(right, bias="x"), "bias must name roles of 'qkv', each once, got 'x'. Without biases, say "),
        (lambda: Project(right, bias=None), "bias must name roles of 'qkv', each once, got None"),
        (lambda: Project(right, fused="qkv", blocks=5), "blocks must divide n_kv_heads * d_head = 32, got 5"),
        (lambda: Project(right, blocks=4), "blocks must be 1 where weights are stored apart, got 4. Say fused='qkv'"),
        (lambda: Project(right, transposed=None), "transposed must be True or False, got None"),
        (lambda: Step(right, W, start=None), "start must be callable, got None"),
        (lambda: Step(right, W, uncached=1), "uncached must be callable, got 1"),
        (lambda: Rotary("interleaved"), "style must be 'halves' or 'pairs', got 'interleaved'"),
        (lambda: Rotary(base=0), "base must be a finite number above 0, got 0"),
        (lambda: Rotary(base=10**400), "base must be a finite number above 0, got a int"),
        (lambda: Rotary(width=3), "width must be even, got 3"),
        (lambda: CacheBytes(None), "function must be callable, got None"),
        (lambda: HeadWidth(len, 5), "name must be a string, got 5"),
        (lambda: AdapterTargets("(q_proj", ["q_proj"]), "targets must be a regular expression, got '(q_proj'"),
        (lambda: AdapterTargets(7, ["q_proj"]), "targets must be a list of names, got 7. Say one string for an expre"),
        (lambda: AdapterTargets(["q"], ["q"], group=None), "group must be a regular expression, got None"),
        (lambda: CacheBytes(len, kinds=["window"]), "kinds must be 'sliding' or 'latent' or 'shared' or 'hybrid', g"),
        (lambda: Attend(right, softcap=0), "softcap must be a finite number above 0, or None, got 0"),
        (lambda: Attend(right, sinks=[1, 2, 3]), "sinks must be a number a head, or one, or None, got [1, 2, 3]"),
        (lambda: Attend(right, window=0), "window must be an integer from 1 to 1099511627776, got 0"),
        (lambda: Attend(right, score_bias="t5"), "score_bias must be 'alibi', a slope a head, or a func"),
        (lambda: Norm("group"), "kind must be 'rms' or 'layer' or 'unit', got 'group'"),
        (lambda: Attention(right, W, norm=Norm(q=[1, 2, 3])), "norm.q must have d_head = 4 or 8 entries, got 3"),
        (lambda: Attention(right, W, padding="both"), "padding must be 'left' or 'right', got 'both'"),
        (lambda: Attention(right, W, packed=True, memory=True), "memory must be left out beside packed, got True"),
        (lambda: Rotary(scaling=0), "scaling must be a finite number above 0, got 0"),
        (lambda: AdapterTargets([1], ["q_proj"]), "targets must hold strings, got 1"),
        (lambda: AdapterTargets(["q"], [("q", 1)]), "modules must hold strings, got ('q', 1). Say [name for name, _"),
        (lambda: AdapterTargets(["q"], []), "modules must hold at least 1 name, got none"),
        (lambda: weights_from(1, 2, 3, n_heads=1), "q must be a layer with weight and bias, a pair of them, or a ma"),
        (lambda: weights_from(*[np.eye(2)] * 3, n_heads=1, stored="in"), "stored must be 'out, in' or 'in, out', go"),
        (lambda: weights_from(*[(np.eye(2), 1)] * 3, n_heads=1), "the bias of q must be a row of numbers, got 1"),
        (lambda: weights_from(*[np.eye(2)] * 3, n_heads=2, n_kv_heads=0), "n_kv_heads must be an integer of at leas"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_where_it_is_made(make: Callable[[], Any], message: str) -> None:
    """With its name, the rule, and what was given."""
    with pytest.raises(QKVError) as caught:
        make()
    assert str(caught.value).startswith(message)


CALLS = iter(range(10**6))
COUNTING = lambda x, cache: (x + next(CALLS), cache)  # noqa: E731


@name(
    ("contract", "message"),
    [
        (Attend(lambda q, k, v, mask: None), "attend must return an array of numbers, got NoneType"),
        (Attend(lambda q, k, v, mask: "output"), "attend must return an array of numbers, got dtype "),
        (Attend(lambda q, k, v, mask: q + 1j), "attend must return an array of numbers, got dtype complex128"),
        (Attend(lambda q, k, v, mask: [[1], [1, 2]]), "attend must return an array of numbers, got list"),
        (Attend(lambda q, k, v, mask: q[0]), "attend must return shape (batch, n_heads, n_queries, d_head) = (2, 4,"),
        (Attend(lambda q, k, v, mask: q @ k.T @ v), "attend must take q of shape (2, 4, 5, 8), k of shape (2, 4, 7,"),
        (Attend(lambda q: q), "attend must take q of shape "),
        (Attend(lambda q, k, v, mask: 1 / 0), "attend must take q of shape "),
        (Attention(lambda x: x + np.random.default_rng().normal(size=x.shape), d_model=4), "attention must give the s"),
        (Attend(right, like="torch"), "like must be an array or a module with parameters, got str"),
        (Attend(right, like=SimpleNamespace(parameters=list)), "like must have parameters, got a SimpleNamespace wi"),
        (Attend(right, like=np.bool_(1)), "like must hold float64, float32, float16, bfloat16, got bool"),
        (Attention(lambda x: x[..., :3], W), "attention must return shape (batch, seq, d_model) = (2, 6, 8), got (2"),
        (Attention(lambda x: (), d_model=4), "attention must take x of shape (2, 6, 4), it raised IndexError"),
        (Project(lambda x, W: None), "project must return (Q, K, V), got NoneType"),
        (Project(lambda x, W: (x, x)), "project must return (Q, K, V), got 2 of them"),
        (Project(lambda x, W: (x, "k", x)), "K must return an array of numbers, got dtype"),
        (Project(lambda x, W: (x, x, x)), "Q must have shape (batch, heads, seq, d_head) = (2, 4, 5, 8), got (2, 5,"),
        (Project(lambda x, W: 1 / 0), "project must return (Q, K, V) for x of shape (2, 5, 32), it raised ZeroDivis"),
        (Project(lambda x, W: [np.random.default_rng().normal(size=(2, 4, 5, 8))] * 3), "project must give the same"),
        (Step(lambda x, cache: x, d_model=4), "step must return (output, cache), got ndarray"),
        (Step(lambda x, cache: (x[:, 0], cache), d_model=4), "step must return shape (batch, seq, d_model) = (2, 6,"),
        (Step(lambda x, cache: (x, cache), d_model=4, start=lambda: 1 / 0), "start must give the cache of an empty "),
        (Step(lambda x, cache: (x, cache), d_model=4, uncached=lambda x: None), "uncached must return an array of n"),
        (Step(lambda x, cache: (x, cache), d_model=4, uncached=lambda x: x * np.nan), "uncached must return finite "),
        (Step(COUNTING, d_model=4), "step must give the same output for the same "),
        (CacheBytes(lambda *arguments: "4 GB"), "cache_bytes must return a number, got '4 GB'"),
        (CacheBytes(lambda config: 1), "cache_bytes must take {'hidden_size': 768"),
        (HeadWidth(lambda config: None), "head_width must return a number, got None"),
    ],
)  # fmt: skip
def test_an_answer_in_no_form_of_the_contract_is_an_error(contract: Any, message: str) -> None:
    """It names what was called, what it must give, and what came."""
    with pytest.raises(ContractError) as caught:
        examine(contract)
    assert str(caught.value).startswith(message)


def meddles(config: dict[str, Any]) -> int:
    """Take the width out of the caller's config."""
    return config.pop("head_dim", None) or config["hidden_size"] // config["num_attention_heads"]


def flattens_the_queries(q: np.ndarray, *rest: Any) -> np.ndarray:
    """Attend rightly and leave the queries in another shape."""
    made = right(q, *rest)
    q.shape = (-1,)
    return made


def doubles_the_weights(x: np.ndarray, W: Any) -> tuple[np.ndarray, ...]:
    """Project rightly and leave the weights changed."""
    made = [x @ getattr(W, f"W_{role}") + getattr(W, f"b_{role}") for role in "QKV"]
    W.W_Q *= 2
    return tuple(part.reshape(*x.shape[:2], 4, 8).swapaxes(1, 2) for part in made)


@name(
    ("contract", "bug", "said"),
    [
        (Attend(lambda q, k, v, mask: np.round(right(q, k, v, mask)).astype(int)), "dtype-loss", "int64 comes out"),
        (Attend(lambda q, k, v, mask: right(q, k, v, mask) if q.shape[2] != 5 else 1 / 0), "unexplained", "it raise"),
        (Project(lambda x, W: [np.full((2, 4, 5, 8), np.inf)] * 3), "unexplained", "Q holds NaN or inf"),
        (Project(doubles_the_weights), "in-place", "changes its argument W_Q, by up to"),
        (Attend(flattens_the_queries), "in-place", "changes its argument q, by up to ∞"),
        (Step(lambda x, cache: (x * np.nan, cache), d_model=4, uncached=lambda x: x), "unexplained", "NaN or inf"),
        (HeadWidth(meddles), "in-place", "changes the config"),
        (HeadWidth(lambda c: c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])), "head-width", "null"),
        (CacheBytes(lambda c, b, s, i: 2 * b * s * i * c["num_hidden_layers"] * c.get("num_key_value_heads",
            c["num_attention_heads"]) * c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])),
         "cache-bytes", "where head_dim is null, cache_bytes must take"),
        (AdapterTargets([], ["layers.0.self_attn.q_proj"]), "adapter-targets", "nothing is adapted"),
    ],
)  # fmt: skip
def test_bad_manners_are_findings(contract: Any, bug: str, said: str) -> None:
    """Each of these was a traceback of numpy's, or healthy."""
    findings = [finding for finding in examine(contract).findings if finding.bug == bug]
    assert said in " ".join(map(str, findings))


def test_what_is_printed_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A function may print; its output is neither swallowed nor an answer."""
    assert examine(Attend(lambda *arguments: (print("hello"), right(*arguments))[1])).healthy
    assert capsys.readouterr().out.startswith("hello\n")


def test_attention_of_one_kind_need_not_be_in_every_layer() -> None:
    """Linear layers of a hybrid model have no q_proj; numbered parts of an output are no layers."""
    hybrid = [f"layers.{i}.linear_attn.in_proj_qkvz" for i in (0, 1, 2)] + ["layers.3.self_attn.q_proj"]
    assert examine(AdapterTargets(["q_proj"], hybrid)).healthy
    names = ("to_q", "to_k", "to_v", "to_out.0")
    blocks = [f"down.{i}.attentions.0.blocks.0.attn{j}" for i in (0, 1) for j in (1, 2)]
    unet = [f"{block}.{name}" for block in blocks for name in names]
    assert examine(AdapterTargets(["to_q", "to_v"], unet)).healthy
    towers = [f"model.{tower}.layers.0.self_attn.q_proj" for tower in ("language_model", "vision_tower")]
    assert "of another tower too" in str(examine(AdapterTargets(["q_proj"], towers)))
    assert examine(AdapterTargets(["q_proj"], towers[1:])).healthy
    assert examine(AdapterTargets(["language_model.layers.0.self_attn.q_proj"], towers[:1])).healthy
    for group in ("language_model", ""):
        assert examine(AdapterTargets(r".*language_model.*\.(q|v)_proj", towers, group=group)).healthy
    group = AdapterTargets(["q_proj"], towers, group="language_model")
    assert "outside 'language_model'" in str(examine(group))
    assert "is found in no attention module" in str(examine(AdapterTargets(["q_proj"], towers, group="text")))
    inner = ["self_attn", "self_attn.q_proj", "mlp", "mlp.up_proj", "input_layernorm"]
    whole = [f"layers.{i}.{name}" for i in (0, 1) for name in inner]
    assert examine(AdapterTargets("all-linear", whole)).healthy
    assert "is one string, not a list" in str(examine(AdapterTargets(["all-linear"], ["layers.0.norm"])))
    assert not examine(AdapterTargets(["layers.0.self_attn.q_proj"], ["layers.0.self_attn.q_proj",
        "layers.1.self_attn.q_proj"])).healthy  # fmt: skip


def keeps(config: dict[str, Any], batch: int, seq: int, itemsize: int) -> int:
    """Count layer by layer what current configs keep."""
    heads, total = config["num_attention_heads"], 0
    d_head = config.get("head_dim") or config["hidden_size"] // heads
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    for i in range(config["num_hidden_layers"] - config.get("num_kv_shared_layers", 0)):
        if "layer_types" in config:
            kind = config["layer_types"][i]
        elif "attn_layer_period" in config:
            kind = "attention" if i % config["attn_layer_period"] == config["attn_layer_offset"] else "mamba"
        else:
            full = window is None or (i + 1) % config.get("sliding_window_pattern", 10**6) == 0
            kind = "full_attention" if full else "sliding_attention"
        if kind in ("mamba", "conv", "linear_attention"):
            continue
        sizes = {"sliding_attention": window, "chunked_attention": config.get("attention_chunk_size")}
        width = 2 * config.get("num_key_value_heads", heads) * d_head
        if "kv_lora_rank" in config:
            width = config["kv_lora_rank"] + config["qk_rope_head_dim"]
        total += min(seq, sizes.get(kind) or seq) * width
    return batch * itemsize * total


def test_a_cache_is_counted_layer_by_layer() -> None:
    """Sliding, latent, shared and hybrid layers keep less; who counts them is asked, who does not is told."""
    kinds = ["sliding", "latent", "shared", "hybrid"]
    assert examine(CacheBytes(keeps, kinds=kinds)).healthy
    beside = ("layer_types", "sliding_window", "attn_layer_period", "kv_lora_rank", "num_kv_shared_layers")
    plain = CacheBytes(lambda c, *rest: keeps({k: v for k, v in c.items() if k not in beside}, *rest))
    report = examine(plain)
    assert report.healthy
    assert "sliding, latent, shared, hybrid layers, which keep less" in str(report)
    found = examine(CacheBytes(plain.function, kinds=kinds)).findings
    assert [finding.sentence.split()[0] for finding in found] == kinds
    trusting = CacheBytes(lambda c, *rest: keeps({**c, "use_sliding_window": True}, *rest), kinds=kinds)
    assert "'use_sliding_window': False" in str(*examine(trusting).findings)  # as Qwen2 says, beside a window


ODD: list[Any] = [
    None, True, False, 0, 1, 2, 3, 8, -1, 10**30, 0.5, -2.0, float("nan"), float("inf"), 1j, "", "qkv", "kvq", "q",
    "halves", "pairs", "out, in", b"qkv", [], {}, (), ["q_proj"], {"a.q_proj": 1}, [1], object(), range(3), type,
    np.zeros(1), np.zeros(1, np.float16), np.zeros((2, 2)), np.array("x"), np.array([None]), np.float32(1), np.int64(2),
    np.ma.masked_array([1.0], [True]), W, HOLLOW, Rotary(), Rotary("pairs", 3, 2), SimpleNamespace(weight=np.eye(8)),
    lambda *arguments: None, lambda *arguments: 1, lambda *arguments: arguments[0], lambda *arguments: arguments,
    lambda *arguments: np.nan, lambda *arguments: object(), lambda *arguments: 1 / 0, lambda: iter(()), right,
    lambda *arguments: arguments[0] * 1e300, lambda *arguments: iter(arguments), lambda x: attention(x, W),
    lambda *arguments: (arguments[0], None), lambda *arguments: [arguments[0]] * 3, lambda *arguments: {1: 2},
    lambda *arguments: np.array(arguments[0], object), lambda *arguments: np.zeros((0, 3)), lambda *arguments: 10**400,
]  # fmt: skip
FIELDS = {
    Attend: "n_heads n_kv_heads d_head causal scale like",
    Attention: "weights d_model causal scale rotary like",
    Project: "n_heads n_kv_heads d_head fused blocks transposed bias rotary like",
    Step: "weights uncached d_model scale rotary start like",
    CacheBytes: "name",
    HeadWidth: "name",
    Rotary: "base width",
}


FITTING: dict[Any, list[Callable[..., Any]]] = {
    Attend: [right, right, lambda q, k, v, mask: right(q, k, v, mask) * np.nan],
    Attention: [lambda x: x, lambda x: x * 1e300, lambda x: x.astype(np.float16)],
    Project: [lambda x, W: [np.full((2, 4, 5, 8), np.nan)] * 3],
    Step: [lambda x, cache: (x, cache), lambda x, cache: (x * np.inf, cache)],
    CacheBytes: [lambda config, batch, seq, itemsize: 1, lambda *arguments: np.inf],
    HeadWidth: [lambda config: 64, lambda config: np.nan, lambda config: config.clear() or 1],
}


def drawn(draw: Random) -> Any:
    """Make one contract, or read weights, with up to two odd fields and perhaps an odd function."""
    kind = draw.choice([*FIELDS, *FITTING, AdapterTargets, weights_from, examine])
    if kind is weights_from:
        layers = draw.choices(ODD, k=4)
        return weights_from(*layers, n_heads=draw.choice(ODD[:9]), stored=draw.choice(ODD[15:25]))
    if kind is AdapterTargets:
        return AdapterTargets(*draw.choices(ODD, k=2))
    if kind is examine:
        return draw.choice(ODD)
    names = FIELDS[kind].split()
    chosen = draw.sample(names, min(len(names), draw.choice([0, 1, 1, 2])))
    fields = {field: draw.choice(ODD) for field in chosen}
    if kind is Rotary:
        return Rotary(draw.choice(["halves", "pairs", *ODD]), **fields)
    if kind in (Attention, Step) and "weights" not in fields:
        fields.setdefault("d_model", 4)
    return kind(draw.choice(FITTING[kind] if draw.random() < 0.6 else ODD), **fields)


def test_nothing_else_is_raised_whatever_is_declared() -> None:
    """Seeded draws: an error is the package's own, and what is examined has a report."""
    outcomes = {"refused": 0, "examined": 0}
    for seed in range(500):
        try:
            if isinstance(contract := drawn(Random(seed)), QKVWeights | Rotary):
                continue
            assert str(examine(contract))
            outcomes["examined"] += 1
        except QKVError:
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed} raised {error!r}") from error
    assert min(outcomes.values()) > 50, outcomes
