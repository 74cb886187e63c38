"""Trained models, run by `core` alone: word pieces, an encoder, a decoder, and single heads recorded from them.

A recorded head is a small file: the rows that reached one head of a trained model for a few sentences, and
that head's slices of W_Q, W_K, W_V and W_O. Query, key, value, scores and weights are computed from them anew.
What the clinic's bugs cost such models is recorded as numbers alone.
"""

from qkvdocs.models._costs import Cost, Costs, read_costs
from qkvdocs.models._decoder import Decoder
from qkvdocs.models._encoder import Encoder
from qkvdocs.models._head import Head, Look, read_head, save_head
from qkvdocs.models._packed import pack, unpack
from qkvdocs.models._pieces import WordPieces
from qkvdocs.models._see import SILENT, Heads, see

__all__ = [
    "SILENT",
    "Cost",
    "Costs",
    "Decoder",
    "Encoder",
    "Head",
    "Heads",
    "Look",
    "WordPieces",
    "pack",
    "read_costs",
    "read_head",
    "save_head",
    "see",
    "unpack",
]
