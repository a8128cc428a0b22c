"""Observations as records, and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from llmcompiler_graph.core.language.plan import Observation, Task
from llmcompiler_graph.core.schedule.executor import Timing
from llmcompiler_graph.graph.records import (
    finished,
    from_record,
    timeline_entry,
    timing_of,
    to_record,
    tool_message,
)
from llmcompiler_graph.state import TaskRecord, new_record

TASK = new_record(Task(3, "search", {"query": "x"}), 0, "call_3", planned_at=0.5)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
observations = st.one_of(
    st.builds(Observation, st.just("done"), json_values),
    st.builds(Observation, st.just("failed"), st.none() | st.lists(json_values), st.text(min_size=1)),
    st.builds(Observation, st.just("skipped"), error=st.text(min_size=1)),
)
seconds = st.none() | st.floats(0, 1e6)


@given(observations, st.builds(Timing, seconds, seconds, seconds, st.booleans()))
def test_an_observation_comes_back_from_every_record(observation: Observation, timing: Timing) -> None:
    """The record of a `@task` and that of the state give the observation again; the times come back too."""
    record = to_record(observation, [{"query": "x"}], timing)
    assert from_record(record) == observation
    assert from_record(finished(TASK, record)) == observation
    assert from_record(to_record(from_record(record))) == observation
    assert timing_of(record) == timing


@pytest.mark.parametrize("record", [TASK, to_record(None)], ids=["task", "call"])
def test_what_has_not_run_has_no_observation(record: Any) -> None:
    """A task that is yet to run and a call that was not made have a record, and no observation."""
    assert record["status"] == "planned"
    assert from_record(record) is None


def test_records_survive_strict_msgpack(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded comes back from the checkpointer's strictest serializer as it was."""
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    command: Command[str] = Command(update={"messages": [HumanMessage("hi")]}, goto=["end"])
    given = [ToolMessage("8611", tool_call_id="call_3", id="m"), command]
    record = to_record(Observation("done", 8611, attachment=given), [{"query": "x", "n": 10**20}], Timing(0.1, 0.2, 3))
    serde = JsonPlusSerializer()
    assert serde.loads_typed(serde.dumps_typed(record)) == record
    assert record["arguments"] == [{"query": "x", "n": "100000000000000000000"}]


def test_a_fan_out_keeps_the_commands_of_its_calls_and_not_their_messages() -> None:
    """The one message of a task that fans out is made of its value; what else its calls wrote is kept."""
    of_call = ToolMessage("1", tool_call_id="call_3_0")
    said = HumanMessage("hi")
    attachments = (
        [of_call],
        [of_call, Command(update={"messages": [of_call, said], "seen": 1})],
        None,
        [Command(goto="end")],
    )
    record = to_record(Observation("done", [1, 2, 3, 4], attachment=attachments))
    assert record["commands"] == [Command(update={"messages": [said], "seen": 1}), Command(goto="end")]
    assert tool_message(finished(TASK, record), record).content == "[1, 2, 3, 4]"


def test_a_task_that_never_ran_is_in_the_timeline() -> None:
    """A task that was unusable from the start has an entry without times, and a message that says what was wrong."""
    failed: TaskRecord = {**TASK, "status": "failed", "error": "no such tool"}
    assert timeline_entry(failed, None) == {
        "index": 3,
        "tool": "search",
        "planned": 0.5,
        "released": None,
        "started": None,
        "finished": None,
        "early": False,
        "status": "failed",
    }
    message = tool_message(failed, None)
    assert (message.content, message.status, message.tool_call_id) == ("no such tool", "error", "call_3")
