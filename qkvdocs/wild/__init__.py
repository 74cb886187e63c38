"""Real checkpoints: where a model keeps W_Q, W_K, W_V and W_O, read with numpy alone.

`read` gives the weights of each attention module in the layout of `qkvdocs.core`, `fuse` stores them in the
layout of any family. Layouts are declared in `ATLAS`, never guessed from sizes: what is unknown or
contradictory is refused with the tensor's name, the rule and both numbers.
"""

from qkvdocs.wild._adapters import Adapter
from qkvdocs.wild._atlas import ATLAS, BREAKS
from qkvdocs.wild._attentions import Attentions, Projections, read
from qkvdocs.wild._checkpoint import Checkpoint
from qkvdocs.wild._compare import Compared, differences
from qkvdocs.wild._find import Listed
from qkvdocs.wild._fuse import fuse
from qkvdocs.wild._latent import Latent
from qkvdocs.wild._layout import Layout, read_layout
from qkvdocs.wild._opened import Opened
from qkvdocs.wild._plan import Plan
from qkvdocs.wild._rotary import halves_to_pairs, pairs_to_halves
from qkvdocs.wild._shards import Shard, shards
from qkvdocs.wild._split import join, split
from qkvdocs.wild._write import save

__all__ = [
    "ATLAS",
    "BREAKS",
    "Adapter",
    "Attentions",
    "Checkpoint",
    "Compared",
    "Latent",
    "Layout",
    "Listed",
    "Opened",
    "Plan",
    "Projections",
    "Shard",
    "differences",
    "fuse",
    "halves_to_pairs",
    "join",
    "pairs_to_halves",
    "read",
    "read_layout",
    "save",
    "shards",
    "split",
]
