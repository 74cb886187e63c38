# Files that are taken for a checkpoint and are none. Pickles can run code when loaded: they are never opened.

from qkvdocs.errors import CheckpointError

PICKLE = "a pickle, which can run code when it is loaded. Convert it to .safetensors in a place you trust"
SUFFIXES = {
    **dict.fromkeys([".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"], PICKLE),
    ".gguf": "GGUF, whose tensors are mostly quantised. Use the original checkpoint",
    ".h5": "HDF5. Use the checkpoint's .safetensors file",
    ".msgpack": "msgpack. Use the checkpoint's .safetensors file",
    ".onnx": "ONNX, a graph. Use the checkpoint it was exported from",
    ".npz": "a numpy archive. Use the checkpoint's .safetensors file",
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
