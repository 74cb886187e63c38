"""The comparison with torch and transformers: collected only where they are installed (`make parity`)."""

import importlib.util
import os
import warnings

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
MISSING = [
    name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None
]
collect_ignore_glob = ["*.py"] if MISSING else []

if not MISSING:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that rewrites what the pages show."""
    parser.addoption("--record", action="store_true", help="rewrite docs/wild/parity.json and the fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of the other libraries are theirs."""
    for item in items:
        if "tests/parity/" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> bool:
    """Whether this run rewrites the recorded measurements."""
    return bool(request.config.getoption("--record", default=False))
