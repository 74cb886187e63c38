"""What the pages show of configurations is what the pinned transformers says today."""

import json

import transformers

from tests.parity import configs


def test_the_recording_is_current(record: bool) -> None:
    """All of it but the day; with --record, it is written first."""
    fresh = json.loads(json.dumps(configs.measurements()))
    if record:
        configs.write(fresh)
    kept = json.loads(configs.FILE.read_text("utf-8"))

    assert {**kept, "date": "", "python": ""} == {**fresh, "date": "", "python": ""}


def test_every_field_is_one_that_the_class_knows() -> None:
    """A misspelt field would be recorded as absent for ever."""
    for model_type, fields in configs.ASKED.items():
        config = transformers.CONFIG_MAPPING[model_type]()
        assert all(hasattr(config, name) for name in fields.split()), model_type
