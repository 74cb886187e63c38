# Which reader a file is for: its first bytes decide, not its name.

from qkvdocs.errors import CheckpointError
from qkvdocs.wild import _gguf, _zip
from qkvdocs.wild._formats import SNIFF, refuse_start, refuse_suffix
from qkvdocs.wild._gguf import read_gguf
from qkvdocs.wild._header import LARGEST, read_safetensors
from qkvdocs.wild._npz import read_npz
from qkvdocs.wild._sources import Source
from qkvdocs.wild._tensor import Contents
from qkvdocs.wild._torch import read_torch


def read_contents(source: Source) -> Contents:
    """Read what a file holds, without reading its tensors; refuse a format that is not read, and what is damaged."""
    start = source.read(0, min(SNIFF, source.size))
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and length <= min(LARGEST, source.size - 8):
        return read_safetensors(source)  # whatever else its length may look like
    if start.startswith(_gguf.MAGIC):
        return read_gguf(source)
    if start.startswith(_zip.MAGIC):
        return _archive(source)
    refuse_start(source.name, start)
    return read_safetensors(source)


def _archive(source: Source) -> Contents:
    members = _zip.read_members(source)
    last = {name.rpartition("/")[2] for name in members}
    if "data.pkl" in last:
        return read_torch(source, members)
    if any(name.endswith(".npy") for name in last):
        return read_npz(source, members)
    if "model.weights.h5" in last:
        refuse_suffix("model.keras")
    if "archive_format" in last:
        raise CheckpointError(
            f"{source.name} must be a state dict, got what torch.export wrote, a program. Store its weights: "
            "python -c \"import torch; torch.save(torch.export.load('FILE').state_dict, 'model.pt')\""
        )
    got = ", ".join(sorted(last)[:3])[:100]
    raise CheckpointError(
        f"{source.name} must hold a data.pkl, as torch.save writes it, or arrays of numpy, got {got}"
    )
