import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.references import ALL, Reference, Template
from llmcompiler_graph.state import new_record, storable, task_from_record

TASKS = [
    Task(1, "search", {"query": "K2"}),
    Task(3, "search", {}),
    Task(2, "send", {"to": "a@b.c", "text": "costs $5, see $1 (really)"}, after=(4, 9)),
    Task(999_999_999, "mcp__github.list/all", {"first": Reference(7, ("items", ALL, "id"))}),
    Task(4, "math", {"expression": Template((Reference(3), " - ", Reference(2, ("a b", -1)))), "n": [1, {"x": None}]}),
    Task(6, "find", {"filter[name]": Template(("a ", Reference(2))), "page.size": Reference(3), "$top": 5}, after=(1,)),
    Task(5, "put", {"text": 'line one\nline "two" after $3)', "yes": True, "big": 10**30, "x": -1.5e-07}),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.index))
def test_a_record_holds_its_task(task: Task) -> None:
    """A task comes back from its record the same, whatever else is in the plan."""
    record = new_record(task, 2, "call_1")
    assert task_from_record(record) == task
    assert (record["round"], record["tool_call_id"], record["status"]) == (2, "call_1", "planned")
    json.dumps(record)


def test_a_thought_is_not_part_of_the_line() -> None:
    """The record's line is the call; the thought stays in the round's plan text."""
    record = new_record(Task(1, "search", {"query": "x"}, thought="why\nnot"), 0, "call_1")
    assert record["text"] == '1. search(query="x")'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values)
def test_storable_values(value: Any) -> None:
    """What is made storable is JSON that every provider and checkpointer takes, and is stable."""
    stored = storable(value)
    json.dumps(stored, ensure_ascii=False).encode()
    assert storable(stored) == stored
    assert stored == value or any(abs(n) >= 2**63 for n in _numbers(value))


def _numbers(value: Any) -> list[int]:
    match value:
        case int():
            return [value]
        case list():
            return [n for each in value for n in _numbers(each)]
        case dict():
            return [n for each in value.values() for n in _numbers(each)]
        case _:
            return []


def test_what_is_not_storable() -> None:
    """Numbers beyond 64 bits become text, halves of surrogate pairs U+FFFD, pairs the character they mean."""
    assert storable([2**64 - 1, 2**64, -(2**63), -(2**63) - 1]) == [
        2**64 - 1,
        "18446744073709551616",
        -(2**63),
        "-9223372036854775809",
    ]
    assert storable({"\ud83d": "a\udc00", "pair": "\ud83d\ude00"}) == {"\ufffd": "a\ufffd", "pair": "😀"}
    assert storable(True) is True
