"""Whatever the bytes are, the reader gives arrays or an error of ours."""

import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qkvdocs import wild
from qkvdocs.errors import QKVError
from tests.sample import times
from tests.wild.conftest import CONFIG, FIXTURES, damaged, file_of, llama, raw, read_all

GOOD = (FIXTURES / "llama" / "model.safetensors").read_bytes()
KEYS = ["model_type", "num_attention_heads", "num_key_value_heads", "hidden_size", "head_dim", "n_head"]
KEYS += ["(_config", "self_config", "text_config", "vision_config", "multi_query", "attn_config", "num_heads"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PARTS = JSON | st.fixed_dictionaries({"num_attention_heads": JSON})


def attempt(model: bytes, config: str | None = None) -> None:
    """Open a file and read all that it offers."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.safetensors").write_bytes(model)
        if config is not None:
            Path(folder, "config.json").write_text(config, "utf-8")
        read_all(Path(folder))


@settings(max_examples=times(300), deadline=None)
@given(st.binary(max_size=200))
@example(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
def test_any_bytes(content: bytes) -> None:
    """Nothing but our errors."""
    attempt(content)


@settings(max_examples=times(300), deadline=None)
@given(JSON, st.binary(max_size=32))
def test_any_json_as_header(header: object, data: bytes) -> None:
    """JSON of any form."""
    attempt(raw(header, data))


@settings(max_examples=times(300), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 60)
)
def test_a_good_file_with_wrong_bytes(changes: list[tuple[int, int]], cut: int) -> None:
    """Bytes of the header flipped, the end cut off."""
    attempt(damaged(GOOD, changes, cut), json.dumps(CONFIG))


@settings(max_examples=times(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        PARTS | st.sampled_from(["llama", "falcon", 4, 2, 8, 0, -1, 2**70, 1.5]),
    )
)  # fmt: skip
def test_any_config(config: dict[str, object]) -> None:
    """A config may say anything; head counts are believed only if the shapes agree."""
    attempt(file_of(llama()), json.dumps(config))


@settings(max_examples=times(100), deadline=None)
@given(JSON)
def test_any_index(weight_map: object) -> None:
    """An index may name anything; nothing outside the folder is opened."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.safetensors").write_bytes(GOOD)
        Path(folder, "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": weight_map}), "utf-8"
        )
        with contextlib.suppress(QKVError):
            wild.Checkpoint(folder)
