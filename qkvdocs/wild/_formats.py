# Files that are taken for a checkpoint and are none, and what to do about them. Pickles can run code when loaded:
# they are never opened.

from fnmatch import fnmatchcase

from qkvdocs.errors import CheckpointError

PICKLE = (
    "a pickle, which can run code when it is loaded. Convert it in a place you trust: "
    'python -c "import torch; from safetensors.torch import save_file; save_file({k: v.contiguous() for k, v in '
    "torch.load('FILE', weights_only=True).items()}, 'model.safetensors')\""
)
OLD = (
    'Convert it with transformers 4: python -c "from transformers import AutoModel; '
    "AutoModel.from_pretrained('FOLDER', {}=True).save_pretrained('NEW')\""
)
EXPORTED = "Use the checkpoint it was exported from"
SUFFIXES = {
    **dict.fromkeys([".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"], PICKLE),
    ".distcp": "a part of a torch distributed checkpoint. Join it: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt",
    ".gguf": "GGUF, whose tensors are mostly quantised. Use the original checkpoint",
    ".h5": f"HDF5. {OLD.format('from_tf')}",
    ".keras": "a Keras archive. Load it with keras.saving.load_model and store its weights with qkvdocs.wild.save",
    ".msgpack": f"flax's msgpack. {OLD.format('from_flax')}",
    ".onnx": f"ONNX, a graph. {EXPORTED}",
    ".npz": "a numpy archive. Convert it: "
    "python -c \"import numpy, qkvdocs.wild as w; w.save('model.safetensors', numpy.load('FILE'))\"",
    ".pte": f"ExecuTorch, a program. {EXPORTED}",
    ".tflite": f"TensorFlow Lite, a graph. {EXPORTED}",
}
STARTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to. Run: git lfs pull",
    b"GGUF": SUFFIXES[".gguf"],
    b"PK\x03\x04": f"a zip archive, as torch.save writes it: {PICKLE}",
    b"\x80": PICKLE,
    b"\x89HDF": SUFFIXES[".h5"],
    b"<": "a page of HTML. Check the address",
}
SNIFF = max(map(len, STARTS))
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
"""Names in a folder that tell what it is, where it holds no .safetensors file."""


def refuse_suffix(name: str) -> None:
    """Refuse by name what need not even be opened."""
    for suffix, what in SUFFIXES.items():
        if name.lower().endswith(suffix):
            raise CheckpointError(f"{name} must be a .safetensors file, got {what}")


def refuse_start(name: str, start: bytes, size: int) -> None:
    """Refuse a file that begins like another format, unless its first bytes can be a header's length."""
    if 8 + int.from_bytes(start[:8], "little") <= size and start[8:9] == b"{":
        return
    for begin, what in STARTS.items():
        if start.startswith(begin):
            raise CheckpointError(f"{name} must be a .safetensors file, got {what}")


def what_is_there(names: list[str], below: list[str]) -> str:
    """Say what a folder without a .safetensors file holds instead, itself or in a folder, and the next step."""
    for name in (*names, *below):
        within, _, last = name.rpartition("/")
        if what := _what_is(last):
            return f"{name}: {what}"
        if within and last.lower().endswith(".safetensors"):
            return f"one in {within}. Give that folder"
    return f"none among {', '.join(names[:5])}" if names else "none"


def _what_is(name: str) -> str:
    for pattern, what in FOLDERS.items():
        if fnmatchcase(name, pattern):
            return what
    return next((what for suffix, what in SUFFIXES.items() if name.lower().endswith(suffix)), "")
