import json
from dataclasses import replace
from typing import Any

import pytest

from llmcompiler_graph.evaluation.records import Record

RECORD = Record(
    id="7",
    benchmark="parallelqa",
    system="llm_compiler[max_replans=1]",
    model="local",
    tier="live",
    answer='K2 — "8,611 m"\n',
    correct=1.0,
    lenient=1.0,
    errors=("2. lookup: not found",),
    timeline=({"name": "lookup", "start": 0.5, "finish": 1.25},),
    parsed=True,
)


def test_a_record_survives_its_line() -> None:
    """A record is one line of JSON, and reads back as it was."""
    line = RECORD.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == RECORD


def test_a_record_of_a_newer_version_can_be_read() -> None:
    """Keys that this version does not know are left out."""
    assert Record.from_json(RECORD.to_json()[:-1] + ', "later": 1}') == RECORD


@pytest.mark.parametrize("line", ["", RECORD.to_json()[:40], "[1]", '{"id": "1"}', "[" * 100_000])
def test_what_is_no_record_is_a_value_error(line: str) -> None:
    """A torn line, JSON of another kind and a record that lacks keys are all one error."""
    with pytest.raises(ValueError, match="not a record"):
        Record.from_json(line)


def test_a_repeat_is_another_example() -> None:
    """The key tells runs over the same sample apart, and nothing else of the outcome."""
    again = Record.from_json(RECORD.to_json().replace('"repeat": 0', '"repeat": 1'))
    assert again.key != RECORD.key
    assert Record.from_json(RECORD.to_json().replace("K2", "K3")).key == RECORD.key


@pytest.mark.parametrize("changed", [{"seed": 1}, {"temperature": 0.7}, {"seed": 0}, {"temperature": 0.0}])
def test_what_was_asked_for_is_another_example(changed: dict[str, Any]) -> None:
    """The key tells seeds and temperatures apart, 0 from none too."""
    assert replace(RECORD, **changed).key != RECORD.key


def test_a_record_of_an_older_version_can_be_read() -> None:
    """What it does not say is `None`."""
    data = {key: value for key, value in json.loads(RECORD.to_json()).items() if key not in {"seed", "temperature"}}
    assert Record.from_json(json.dumps(data)) == RECORD
