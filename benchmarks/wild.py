"""One layer out of a multi-gigabyte bfloat16 checkpoint: time, memory and bytes, beside other libraries.

    python benchmarks/wild.py FOLDER [--record]

Writes a LLaMA-shaped checkpoint of several sizes into FOLDER (16 GB with all copies; they are kept), then reads one
layer with each library in a fresh process, cold (page cache dropped) and warm. `--record` rewrites the
measurements that the pages show. `--formats` asks the other question of every format that is read lazily: whether
time and memory of one layer stay as they are while the file grows a hundredfold; both in one run.
"""

# ruff: noqa: E501  # what is printed, a line each

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

D_MODEL, N_HEADS, N_KV_HEADS, D_HEAD, D_FF = 4096, 32, 8, 128, 14336
LAYERS = (2, 8, 16)
"""Sizes of the checkpoints; two layers a shard."""
MAIN = 8
RECORD = Path(__file__).parents[1] / "docs" / "wild" / "benchmarks.json"
AT = "model.layers.1.self_attn"
METHODS = {
    "qkvdocs.wild: list": "from qkvdocs import wild\nassert len(wild.read(folder)) == layers",
    "qkvdocs.wild": f"from qkvdocs import wild\nq = wild.read(folder)['{AT}']\nresult = [q.W_Q, q.W_K, q.W_V, q.W_O]",
    "safetensors, numpy": (
        "import ml_dtypes\nfrom safetensors import safe_open\n"
        f"with safe_open(shard, 'np') as f:\n    result = [f.get_tensor(f'{AT}.{{n}}_proj.weight').astype('f4') for n in 'qkvo']"
    ),
    "safetensors, torch": (
        "import torch\nfrom safetensors import safe_open\n"
        f"with safe_open(shard, 'pt') as f:\n    result = [f.get_tensor(f'{AT}.{{n}}_proj.weight').float() for n in 'qkvo']"
    ),
    "torch.load": (
        f"import torch\nloaded = torch.load(pickle)\nresult = [loaded[f'{AT}.{{n}}_proj.weight'].float() for n in 'qkvo']"
    ),
    "torch.load, mmap": (
        "import torch\nloaded = torch.load(pickle, mmap=True)\n"
        f"result = [loaded[f'{AT}.{{n}}_proj.weight'].float() for n in 'qkvo']"
    ),
}
WRAP = """
import resource, time
def status(name):
    return int(next(line for line in open("/proc/self/" + name) if line.startswith(KEY[name])).split()[1])
KEY = {{"io": "read_bytes", "status": "VmHWM"}}
folder, shard, pickle, layers = {folder!r}, {shard!r}, {pickle!r}, {layers}
import numpy
base, before, start = status("status"), status("io"), time.perf_counter()
{code}
print(time.perf_counter() - start, status("status") * 1024, (status("status") - base) * 1024, status("io") - before)
"""


def shapes(layer: int) -> dict[str, tuple[int, ...]]:
    """Name the tensors of a layer."""
    at, widths = (
        f"model.layers.{layer}",
        {"q": N_HEADS * D_HEAD, "k": N_KV_HEADS * D_HEAD, "v": N_KV_HEADS * D_HEAD},
    )
    return {
        **{f"{at}.self_attn.{role}_proj.weight": (width, D_MODEL) for role, width in widths.items()},
        f"{at}.self_attn.o_proj.weight": (D_MODEL, N_HEADS * D_HEAD),
        **{f"{at}.mlp.{name}_proj.weight": (D_FF, D_MODEL) for name in ("gate", "up")},
        f"{at}.mlp.down_proj.weight": (D_MODEL, D_FF),
        f"{at}.input_layernorm.weight": (D_MODEL,),
    }


def make(folder: Path, layers: int) -> None:
    """Write shards, index and config."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    noise = (np.random.default_rng(0).standard_normal(1 << 24).astype("<f4").view("<u4") >> 16).astype("<u2")
    weight_map, count = {}, layers // 2
    for number in range(count):
        name = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        held = shapes(2 * number) | shapes(2 * number + 1)
        header, at = {}, 0
        for tensor, shape in held.items():
            size = 2 * int(np.prod(shape))
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for shape in held.values():
                left = int(np.prod(shape))
                while left:
                    file.write(noise[: min(left, noise.size)].tobytes())
                    left -= min(left, noise.size)
        weight_map |= dict.fromkeys(held, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    config = {
        "model_type": "llama",
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_KV_HEADS,
        "hidden_size": D_MODEL,
    }
    (folder / "config.json").write_text(json.dumps(config))


def make_pickle(folder: Path, path: Path) -> None:
    """Write the same weights as torch does."""
    if path.exists():
        return
    code = (
        "import sys, torch, pathlib\nfrom safetensors.torch import load_file\nheld = {}\n"
        "for shard in sorted(pathlib.Path(sys.argv[1]).glob('*.safetensors')): held |= load_file(shard)\n"
        "torch.save(held, sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(path)], check=True)


def drop_cache(folder: Path) -> None:
    """Make the next read come from disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def measure(
    code: str, root: Path, layers: int, repeats: int = 3, shard: Path | None = None
) -> dict[str, float]:
    """Run one method cold once and warm a few times, each in a fresh process."""
    folder = root / str(layers)
    shard = shard or next(iter(sorted(folder.glob("*.safetensors"))))
    script = WRAP.format(
        folder=str(folder), shard=str(shard), pickle=str(root / f"{layers}.bin"), layers=layers, code=code
    )
    runs = []
    for turn in range(1 + repeats):
        if turn == 0:
            drop_cache(root)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        runs.append([float(word) for word in done.stdout.split()])
    warm = sorted(runs[1:])[repeats // 2]
    return {
        "cold_s": runs[0][0],
        "warm_s": warm[0],
        "peak_bytes": warm[1],
        "grown_bytes": warm[2],
        "disk_bytes": runs[0][3],
    }


SMALL, LARGE = 10_000_000, 1_000_000_000
"""Bytes of a tensor that nobody asks for, which stands before the module that is read."""
WIDTH = 1024


def layer(kind: str) -> dict[str, np.ndarray]:
    """Give one module's tensors as a format stores them: 8 MB in half precision, 2 MB packed."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.wild import test_quantised

    names = {role: f"blk.0.attn_{'output' if role == 'o' else role}" for role in "qkvo"}
    if kind != "gguf":
        names = {role: f"model.layers.0.self_attn.{role}_proj" for role in "qkvo"}
    noise = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype("<f2")
    if kind != "gptq":
        return {f"{name}.weight": noise for name in names.values()}
    test_quantised.D, test_quantised.GROUP = WIDTH, 128
    stored, _ = test_quantised.gptq(WIDTH)
    return {f"{name}.{part}": array for name in names.values() for part, (_, array) in stored.items()}


def make_format(path: Path, kind: str, gap: int) -> None:
    """Write the module behind a tensor of zeros."""
    import gguf

    from qkvdocs.wild import save
    from tests.wild import test_torch

    held = {"before": np.zeros(gap, "i1" if kind == "gguf" else "u1"), **layer(kind)}
    if kind == "npz":
        np.savez(path, **held)
    elif kind == "gguf":
        writer = gguf.GGUFWriter(path, "llama")
        for name, array in held.items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        (test_torch.save if kind == "pt" else save)(path, held)


def formats(root: Path) -> bool:
    """Print what one module costs behind a hundred times as many bytes, and say whether it costs the same."""
    root.mkdir(parents=True, exist_ok=True)
    flat = True
    for kind in ("safetensors", "gptq", "gguf", "pt", "npz"):
        rows = []
        for gap in (SMALL, LARGE):
            path = root / f"{gap}.{'safetensors' if kind == 'gptq' else kind}"
            make_format(path, kind, gap)
            at = "blk.0" if kind == "gguf" else "model.layers.0.self_attn"
            code = (
                # by the processor's time, so that nothing else on the machine counts
                "from qkvdocs import wild\ntime.perf_counter = time.process_time\nstart = time.process_time()\n"
                f"q = wild.read({str(path)!r}, n_heads=8, n_kv_heads=8)[{at!r}]\n"
                "result = [part.copy() for part in (q.W_Q, q.W_K, q.W_V, q.W_O)]"
            )
            rows.append(measure(code, root, 0, repeats=5, shard=path))
            path.unlink()
        small, large = rows
        time, memory = large["warm_s"] / small["warm_s"], large["grown_bytes"] / small["grown_bytes"]
        print(
            f"{kind:12} {LARGE // SMALL} times the bytes: {time:.2f} times the time ({small['warm_s']:.3f} s), "
            f"{memory:.2f} times the memory ({small['grown_bytes'] / 1e6:.0f} MB)",
            flush=True,
        )
        flat &= memory < 1.1 and time < 2
    print("flat in file size" if flat else "GROWS with the file")
    return flat


def main() -> None:
    """Measure all, print a table, record it if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--formats", action="store_true")
    asked = parser.parse_args()
    if asked.formats:
        sys.exit(0 if formats(asked.folder) else 1)
    for layers in LAYERS:
        make(asked.folder / str(layers), layers)
    make_pickle(asked.folder / str(MAIN), asked.folder / f"{MAIN}.bin")
    rows = {name: measure(code, asked.folder, MAIN) for name, code in METHODS.items()}
    growth = {}
    for layers in LAYERS:
        size = sum(path.stat().st_size for path in (asked.folder / str(layers)).glob("*.safetensors"))
        growth[str(layers)] = {"file_bytes": size, **measure(METHODS["qkvdocs.wild"], asked.folder, layers)}
    returned = 4 * sum(int(np.prod(shape)) for name, shape in shapes(1).items() if "self_attn" in name)
    for name, row in rows.items():
        shown = f"cold {row['cold_s']:6.2f} s  warm {row['warm_s']:6.2f} s  peak {row['peak_bytes'] / 1e6:7.0f} MB"
        print(
            f"{name:22} {shown}  grown {row['grown_bytes'] / returned:5.2f} x returned  disk {row['disk_bytes'] / 1e6:7.0f} MB"
        )
    for row in growth.values():
        print(
            f"{row['file_bytes'] / 1e9:5.2f} GB: warm {row['warm_s']:.2f} s, grown {row['grown_bytes'] / 1e6:.0f} MB, disk {row['disk_bytes'] / 1e6:.0f} MB"
        )
    if asked.record:
        versions = {name: version(name).split("+")[0] for name in ("torch", "safetensors", "numpy")}
        found = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "command": "python benchmarks/wild.py FOLDER --record",
            "python": platform.python_version(), "versions": versions, "returned_bytes": returned, "methods": rows, "growth": growth,
        }  # fmt: skip
        RECORD.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
