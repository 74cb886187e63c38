# Files that are taken for a checkpoint and are none, and what to do about them. Pickles can run code when loaded:
# they are never opened.

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from qkvdocs.errors import CheckpointError

PICKLE = (
    "a bare pickle, which can run code when it is loaded. Convert it in a place you trust: "
    "python -c \"import torch; torch.save(torch.load('FILE', weights_only=True), 'model.pt')\""
)
OLD = (
    'Convert it with transformers 4: python -c "from transformers import AutoModel; '
    "AutoModel.from_pretrained('FOLDER', {}=True).save_pretrained('NEW')\""
)
EXPORTED = "Use the checkpoint it was exported from"
ONNX = (
    f"ONNX, a graph. {EXPORTED}, or take its arrays: python -c \"import numpy, onnx; numpy.savez('model.npz', "
    "**{t.name: onnx.numpy_helper.to_array(t) for t in onnx.load('FILE').graph.initializer})\""
)
KERAS = (
    "weights of Keras. Take its arrays: python -c \"import h5py, numpy; held = {}; h5py.File('FILE').visititems(lambda "
    "name, a: held.update({name.replace('/', '.'): a[()]}) if hasattr(a, 'shape') else None); "
    "numpy.savez('model.npz', **held)\""
)
SUFFIXES = {
    ".distcp": "a part of a torch distributed checkpoint. Join it: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt",
    ".weights.h5": KERAS,
    ".h5": f"HDF5. {OLD.format('from_tf')}",
    ".keras": "a Keras archive. Load it with keras.saving.load_model and store its weights with qkvdocs.wild.save",
    ".msgpack": f"flax's msgpack. {OLD.format('from_flax')}",
    ".onnx": ONNX,
    ".pte": f"ExecuTorch, a program. {EXPORTED}",
    ".tflite": f"TensorFlow Lite, a graph. {EXPORTED}",
}
STARTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to. Run: git lfs pull",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19": f"what torch.save wrote before 1.6, {PICKLE}",
    b"\x80": PICKLE,
    b"\x89HDF": SUFFIXES[".h5"],
    b"tar": f"a tar archive, as torch.save once wrote, {PICKLE.replace('True', 'False')}",
    b"<": "a page of HTML. Check the address",
}
SNIFF = 262
"""Bytes that tell formats apart; a tar archive is told by the last of them."""
LOOKS = {
    re.compile(rb"....TFL3", re.S): SUFFIXES[".tflite"],
    re.compile(rb"....ET\d\d", re.S): SUFFIXES[".pte"],
    re.compile(rb"(?:[\x81-\x8f]|\xde..)(?:[\xa1-\xbf]|\xd9.)[a-zA-Z_\d]", re.S): SUFFIXES[".msgpack"],
    re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]"): ONNX,
}
"""How files of further formats begin, where they cannot be told by a few fixed bytes."""
READ = {
    ".safetensors": "",
    ".gguf": "GGUF",
    **dict.fromkeys([".bin", ".pt", ".pth", ".ckpt"], "a file of PyTorch"),
    ".npz": "a numpy archive",
}
"""How files are called that are read, the preferred ones first."""
RANKS = "Export it with Megatron-LM's tools/checkpoint/convert.py, or with Megatron-Bridge"
ORBAX = (
    "an Orbax checkpoint. Restore it with orbax.checkpoint.PyTreeCheckpointer().restore(FOLDER) and store the "
    "arrays with qkvdocs.wild.save"
)
FOLDERS = {
    "model_index.json": "a diffusers pipeline. Give the folder of one of its models, such as unet or transformer",
    "*.distcp": SUFFIXES[".distcp"],
    "latest_checkpointed_iteration.txt": f"a Megatron checkpoint, cut among ranks. {RANKS}",
    "mp_rank_*": f"a Megatron checkpoint, cut among ranks. {RANKS}",
    "model_optim_rng.pt": f"one rank of a Megatron checkpoint. {RANKS}",
    "_METADATA": ORBAX,
    "_CHECKPOINT_METADATA": ORBAX,
    "*.ckpt.index": f"a TensorFlow checkpoint. {OLD.format('from_tf')}",
    "openvino_model.*": f"OpenVINO, a graph. {EXPORTED}",
}
"""Names in a folder that tell what it is, where it holds no checkpoint that is read."""


def refuse_suffix(name: str) -> None:
    """Refuse by name what need not even be opened."""
    _refuse(name, (what for suffix, what in SUFFIXES.items() if name.lower().endswith(suffix)))


def refuse_start(name: str, start: bytes) -> None:
    """Refuse a file that begins like another format."""
    if start[257:262] == b"ustar":
        start = b"tar"
    _refuse(name, (what for look, what in LOOKS.items() if look.match(start) and start[8:9] != b"{"))
    _refuse(name, (what for begin, what in STARTS.items() if start.startswith(begin)))


def _refuse(name: str, found: Iterator[str]) -> None:
    if what := next(found, ""):
        raise CheckpointError(f"{name} must be one of {', '.join(READ)}, got {what}")


def what_is_there(names: list[str], below: list[str]) -> str:
    """Say what a folder without a checkpoint holds instead, itself or in a folder, and the next step."""
    for name in (*names, *below):
        within, _, last = name.rpartition("/")
        if what := _what_is(last):
            return f"{name}: {what}"
        if within and last.lower().endswith(tuple(READ)):
            return f"one in {within}. Give that folder"
    return f"none among {', '.join(names[:5])}" if names else "none"


def _what_is(name: str) -> str:
    for pattern, what in FOLDERS.items():
        if fnmatchcase(name, pattern):
            return what
    return next((what for suffix, what in SUFFIXES.items() if name.lower().endswith(suffix)), "")
