# The catalogue: what each bug is called, how it shows, where it happened, how to mend it.

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Bug:
    """One entry of the catalogue.

    Examples:
        >>> BUGS["scale"].silent
        True
    """

    name: str
    """Its short name, which is also the name of its page."""
    title: str
    """What went wrong, in a few words."""
    symptom: str
    """What one sees first."""
    mend: str
    """What to do about it."""
    where: tuple[str, ...] = ()
    """Public threads about it: `owner/repository#number`, all on GitHub."""
    silent: bool = True
    """Whether every shape is right all the same."""

    @property
    def links(self) -> tuple[str, ...]:
        """The threads as addresses."""
        return tuple(f"https://github.com/{place.replace('#', '/issues/')}" for place in self.where)


SYMPTOMS = NONSENSE, FINE, REST, CACHED, QUIET, COST = (
    "Fluent nonsense", "The loss looks fine", "First token right, rest wrong", "Cached differs from uncached",
    "A little worse, for no reason", "The bill is wrong",
)  # fmt: skip
"""What one sees first, as the clinic is ordered."""

_ALL = (
    Bug("adapter-merge", "An adapter merged into the wrong part", QUIET,
        "Add each part of the adapter to the columns of its own role, times alpha over rank, once.",
        ("mflux-community/mflux#423",)),
    Bug("adapter-targets", "Adapters that hit the wrong layers", COST,
        "List the model's modules and name those that you mean.",
        ("hiyouga/LlamaFactory#43", "hiyouga/LlamaFactory#1785", "huggingface/peft#1705")),
    Bug("batch-leak", "One text reads another", QUIET,
        "Keep the batch axis apart: say batch_first=True, and sum over the keys of one sequence only.",
        ("dhimasryan/MOSA-Net-Cross-Domain#10",)),
    Bug("cache-bytes", "The size of a KV cache", COST,
        "Count 2 · layers · n_kv_heads · d_head · positions · bytes, with d_head as the config says it.",
        ("jranaraki/vllm-fit#2", "LMCache/LMCache#688")),
    Bug("cache-differs", "Cached is not uncached", CACHED,
        "Append the new keys and values behind all old ones, and compare each step with a run without a cache.",
        ("huggingface/transformers#25420",)),
    Bug("causality", "What is hidden still moves the output", FINE,
        "Set hidden scores to -inf before softmax, so that their weight is exactly 0.",
        ("huggingface/transformers#48745", "keras-team/keras#23038", "karpathy/minGPT#75")),
    Bug("cross-source", "Cross-attention that reads itself", FINE,
        "Make queries of the rows, keys and values of the memory.",
        ("keitakurita/Practical_NLP_in_PyTorch#1",)),
    Bug("dropout", "Dropout that is still on", QUIET,
        "Call eval() before you use a model, and give SDPA `dropout_p=p if self.training else 0.0`.",
        ("pytorch/pytorch#124464", "wenet-e2e/wenet#2699", "coleygroup/ms-pred#38")),
    Bug("dtype-loss", "Precision lost on the way", QUIET,
        "Keep the dtype of the input, and let the scores and softmax have at least float32.",
        ("huggingface/transformers#48459",)),
    Bug("equivariance", "Order counts where it must not", QUIET,
        "Is it causal? Then declare causal=True. In an encoder, remove the mask or the positions.",
        ("huggingface/transformers#46077", "huggingface/transformers#42820")),
    Bug("fused-order", "A fused matrix cut in the wrong order", NONSENSE,
        "Cut the fused weight as its family stores it: in thirds, head by head or group by group.",
        ("lablup/mlxcel#928", "Lightning-AI/litgpt#891", "NVIDIA-NeMo/Megatron-Bridge#1818")),
    Bug("head-split", "Heads cut with a bare reshape", NONSENSE,
        "Reshape to (batch, seq, n_heads, d_head), then swap the two axes in the middle; merge the same way back.",
        ("hyunwoongko/transformer#15", "reczoo/FuxiCTR#30", "harvardnlp/annotated-transformer#118")),
    Bug("head-width", "The width of a head is not d_model / n_heads", COST,
        "Read head_dim from the config, and divide only where it is missing.",
        ("EleutherAI/gpt-neox#1434",)),
    Bug("in-place", "The caller's arrays are changed", QUIET,
        "Write to a new array: `x = x + y`, not `x += y`.",
        ("Shujun-He/RibonanzaNet#7",)),
    Bug("key-bias", "A bias lost or invented", QUIET,
        "Load each bias that the file has, and no other.",
        ("vllm-project/vllm#12342", "huggingface/transformers#43838")),
    Bug("key-transpose", "No transpose of K", NONSENSE,
        "Swap the last two axes of K: `q @ k.swapaxes(-1, -2)`. A reshape is no transpose.",
        ()),
    Bug("kv-head-order", "Key heads tiled instead of repeated", NONSENSE,
        "Let neighbouring query heads share a key head: repeat each head in place, do not tile the list.",
        ("onnx/onnx#7274", "apple/axlearn#842")),
    Bug("mask-after-softmax", "The mask comes after softmax", QUIET,
        "Hide scores before softmax; or, after it, divide each row by its new sum.",
        ("huggingface/pytorch-image-models#2236",)),
    Bug("mask-alignment", "A causal mask that starts in the wrong corner", CACHED,
        "Align the mask with the last key: query i of n sees m - n + i + 1 of m keys.",
        ("pytorch/pytorch#108108", "pytorch/pytorch#144858")),
    Bug("mask-polarity", "The mask read the wrong way round", FINE,
        "Say once what True means, and turn the mask at the door of each library that means the opposite.",
        ("pytorch/pytorch#170415", "rasbt/LLMs-from-scratch#1061")),
    Bug("qk-norm", "Queries and keys normed over the wrong axis", QUIET,
        "Norm each head, or all as one row, before or after the rotation, with the gains that the file has.",
        ("vllm-project/vllm#16311",)),
    Bug("rotary-offset", "Rotated for the wrong position", CACHED,
        "Count positions from the start of the text: with a cache, from its length on, for queries and keys alike.",
        ("lucidrains/rotary-embedding-torch#11", "skyzh/tiny-llm#46")),
    Bug("rotary-style", "Pairs rotated as halves", REST,
        "Rotate as the weights expect, neighbours or halves; or reorder W_Q and W_K once.",
        ("huggingface/transformers#25199", "karpathy/llama2.c#286", "huggingface/transformers#31766",
         "lyogavin/airllm#369")),
    Bug("scale", "The wrong scale", QUIET,
        "Multiply the scores by 1/√d_head, once; declare scale=… where the config names another factor.",
        ("karpathy/ng-video-lecture#6",)),
    Bug("score-bias", "A bias of the scores that is another's", QUIET,
        "Add the bias to scaled scores, each head its own, with slopes as the paper's code has them.",
        ("ml-explore/mlx#343", "ml-explore/mlx#3071", "paiml/aprender#2143")),
    Bug("shared-linear", "One small layer for all heads", QUIET,
        "Project the whole row with the full matrix, then cut the heads.",
        ("aladdinpersson/Machine-Learning-Collection#3", "MarcoMeter/episodic-transformer-memory-ppo#22")),
    Bug("shared-projection", "One matrix for two roles", QUIET,
        "Give queries, keys and values a matrix each.",
        ("tensorflow/tensor2tensor#1582", "lucidrains/vit-pytorch#217")),
    Bug("sink", "A sink that drains nothing", QUIET,
        "Let the sink take part in softmax as one more score, and do not divide by the sum again.",
        ("pytorch/torchtitan#2211", "vllm-project/vllm-metal#550")),
    Bug("softcap", "A cap on the scores that is not there", QUIET,
        "Cap scaled scores once, before the mask: softcap · tanh(scores / softcap).",
        ("vllm-project/vllm-metal#665",)),
    Bug("softmax-axis", "Softmax over the wrong axis", NONSENSE,
        "Sum over the keys: the last axis of scores at (batch, heads, queries, keys).",
        ("labmlai/annotated_deep_learning_paper_implementations#146", "nerminnuraydogan/vision-transformer#1")),
    Bug("swapped-projection", "Two roles swapped", NONSENSE,
        "Follow each role from the file to the formula, by name and not by place.",
        ("jsbaan/transformer-from-scratch#1",)),
    Bug("transposed-weight", "A square weight the wrong way round", NONSENSE,
        "Ask whether the file stores (in, out), as Conv1D does, or (out, in), as Linear does, and turn it once.",
        ("huggingface/transformers#311",)),
    Bug("values-match", "Values do the matching", NONSENSE,
        "Compare queries with keys; mix values.",
        ("Genentech/ARGMINN#1",)),
    Bug("window", "A window of another width", CACHED,
        "A window of w keys counts the query's own: key j is seen where i - j < w, with a cache too.",
        ("huggingface/transformers#39408", "vllm-project/vllm#3385", "unslothai/unsloth#8253")),
)  # fmt: skip

BUGS: Mapping[str, Bug] = MappingProxyType({bug.name: bug for bug in _ALL})
"""Every bug that the probes know, by name."""
