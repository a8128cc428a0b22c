"""Calls of a run that was stopped, or left while it was paused; and results that a human has changed."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual

FIRST: Any = {"messages": [HumanMessage("first", id="first")]}
NEXT: Any = {"messages": [HumanMessage("never mind, say hello", id="next")]}
REPLIES = ['1. quick("a")\n2. slow("b")\n3. join()', "1. join()", "Finish: hello"]
CANCELLED = "cancelled: the run was stopped, or left, before this call had returned"


@tool
async def quick(x: str) -> str:
    """Find quickly."""
    return f"found {x}"


@tool
async def slow(x: str) -> str:
    """Find slowly."""
    await asyncio.sleep(9)
    return "late"


def thread(limit: int | None = None) -> Any:
    """The config of a run."""
    return {"configurable": {"thread_id": "1"}} | ({"max_concurrency": limit} if limit else {})


async def stopped(graph: Any, config: Any, after: float = 1) -> None:
    """Begin a run and stop it."""
    run = asyncio.create_task(graph.ainvoke(FIRST, config))
    await asyncio.sleep(after)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def answered(messages: list[Any]) -> list[tuple[str, str]]:
    """The types of the messages, and of tools' what they say, in order."""
    return [(each.type, each.text if isinstance(each, ToolMessage) else "") for each in messages]


CONVERSATION = [
    ("human", ""),
    ("ai", ""),
    ("tool", "found a"),
    ("tool", CANCELLED),
    ("human", ""),
    ("ai", ""),
]


@pytest.mark.parametrize("how", ["stopped", "paused", "paused before it runs"])
@pytest.mark.parametrize("limit", [None, 2])
def test_a_run_that_is_not_gone_on_with(how: str, limit: int | None) -> None:
    """Every call gets a `ToolMessage` right behind its plan; what was done is kept, and told when it goes on."""

    async def main() -> None:
        model = ScriptedModel(REPLIES)
        pauses: dict[str, dict[str, Any]] = {
            "stopped": {},
            "paused": {"interrupt_on": {"slow": True}},
            "paused before it runs": {"interrupt_before": ["task_fetching_unit"]},
        }
        options = pauses[how]
        graph = create_llm_compiler(model, [quick, slow], checkpointer=InMemorySaver(), **options)
        config = thread(limit)
        if how == "stopped":
            await stopped(graph, config)
        else:
            await graph.ainvoke(FIRST, config)
        modes: Any = ["messages", "values"]
        parts: list[Any] = [part async for part in graph.astream(NEXT, config, stream_mode=modes)]
        done = how != "paused before it runs"
        if not done:
            parts += [part async for part in graph.astream(None, config, stream_mode=modes)]
        final = parts[-1][1]["messages"]
        expected = list(CONVERSATION)
        expected[2] = ("tool", "found a" if done else CANCELLED)
        assert answered(final) == expected
        assert [each.status for each in final[2:4]] == ["success" if done else "error", "error"]
        assert [each.id for each in (final[0], final[4])] == ["first", "next"]
        assert ('quick(x="a") = "found a"' in model.calls[1][1].text) is done
        shown = [part[0] for mode, part in parts if mode == "messages"]
        assert not {each.id for each in shown}.intersection({"first", "next"})  # nothing again that was there
        assert "".join(each.text for each in shown if isinstance(each, AIMessageChunk)) == "hello"

    run_virtual(main)


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_a_synchronous_run(limit: int | None, tmp_path: Path) -> None:
    """The same with a synchronous saver, after another process may have begun it."""
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as saver:
        begun = create_llm_compiler(
            ScriptedModel(REPLIES), [quick, slow], checkpointer=saver, interrupt_on={"slow": True}
        )
        begun.invoke(FIRST, thread(limit))
        model = ScriptedModel(REPLIES[1:])
        graph = create_llm_compiler(model, [quick, slow], checkpointer=saver)
        final = graph.invoke(NEXT, thread(limit))
    assert answered(final["messages"]) == CONVERSATION
    assert 'quick(x="a") = "found a"' in model.calls[0][1].text


@asynccontextmanager
async def async_saver(path: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """An asynchronous saver."""
    async with AsyncSqliteSaver.from_conn_string(str(path / "checkpoints.sqlite")) as saver:
        yield saver


async def test_an_asynchronous_saver(tmp_path: Path) -> None:
    """The same with an asynchronous one."""
    async with async_saver(tmp_path) as saver:
        model = ScriptedModel(REPLIES)
        graph = create_llm_compiler(model, [quick, slow], checkpointer=saver, interrupt_on={"slow": True})
        await graph.ainvoke(FIRST, thread())
        assert answered((await graph.ainvoke(NEXT, thread()))["messages"]) == CONVERSATION


def test_a_run_that_broke_down() -> None:
    """An error that is raised is no answer either; calls of later turns are not touched."""

    @tool
    def broken(x: str) -> str:
        """Break down."""
        raise ValueError("down")

    model = ScriptedModel(['1. quick("a")\n2. broken($1)\n3. join()', *REPLIES[1:], "1. join()", "Finish: again"])
    graph = create_llm_compiler(model, [quick, broken], checkpointer=InMemorySaver(), handle_tool_errors=False)
    with pytest.raises(ValueError, match="down"):
        graph.invoke(FIRST, thread())
    assert answered(graph.invoke(NEXT, thread())["messages"]) == CONVERSATION
    final = graph.invoke({"messages": [("user", "again")]}, thread())
    assert answered(final["messages"]) == [*CONVERSATION, ("human", ""), ("ai", "")]


@pytest.mark.parametrize("limit", [None, 2])
def test_a_fan_out_that_was_stopped(limit: int | None) -> None:
    """What its calls have returned is kept as partial results, and told when the conversation goes on."""

    @tool
    async def lengths() -> list[int]:
        """List lengths."""
        return [0, 99, 0]

    @tool
    async def wait(seconds: int) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return f"waited {seconds}"

    async def main() -> None:
        model = ScriptedModel(["1. lengths()\n2. wait(${1[*]})\n3. join()", *REPLIES[1:]])
        graph = create_llm_compiler(model, [lengths, wait], checkpointer=InMemorySaver())
        await stopped(graph, thread(limit), after=5)
        final = await graph.ainvoke(NEXT, thread(limit))
        message = final["messages"][3]
        assert (message.text, message.artifact) == (CANCELLED, {"partial_results": ["waited 0", None, "waited 0"]})
        assert '["waited 0", null, "waited 0"] (null: that call failed)' in model.calls[1][1].text

    run_virtual(main)


async def test_calls_of_others() -> None:
    """A call that is not of one of its plans, such as a pending handoff to this very agent, is left alone."""
    call = {"name": "transfer", "args": {}, "id": "t", "type": "tool_call"}
    pending = AIMessage("", tool_calls=[call], name="supervisor", id="s")
    graph = create_llm_compiler(ScriptedModel(REPLIES[1:]), [quick])
    final = await graph.ainvoke({"messages": [HumanMessage("?", id="q"), pending]})
    assert [each.type for each in final["messages"]] == ["human", "ai", "ai"]


async def test_a_plan_without_checkpoints() -> None:
    """A caller may bring the conversation: nothing is known of what was done then."""
    plan = AIMessage(
        "", tool_calls=[{"name": "quick", "args": {}, "id": "c", "type": "tool_call"}], name="planner", id="plan_1"
    )
    graph = create_llm_compiler(ScriptedModel(REPLIES[1:]), [quick])
    final = await graph.ainvoke({"messages": [*FIRST["messages"], plan, *NEXT["messages"]]})
    assert answered(final["messages"]) == [CONVERSATION[0], CONVERSATION[1], ("tool", CANCELLED), *CONVERSATION[4:]]


class _State(TypedDict):
    saver: Any


def test_langgraph_names_the_checkpointer() -> None:
    """In a node, the config has the checkpointer under the private key that is imported."""
    try:
        key = importlib.import_module("langgraph._internal._constants").CONFIG_KEY_CHECKPOINTER
    except (ImportError, AttributeError) as error:
        pytest.fail(f"LangGraph keeps the checkpointer elsewhere; change `graph/unanswered.py`: {error}")
    graph: Any = StateGraph(_State)
    graph.add_node("look", lambda state: {"saver": type(get_config()["configurable"].get(key)).__name__})
    graph.add_edge(START, "look")
    graph.add_edge("look", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    assert compiled.invoke({"saver": None}, thread())["saver"] == "InMemorySaver"


# -- changed results ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "content", "told", "record"),
    [
        ("success", "EDITED", 'quick(x="a") = "EDITED"', ("done", "EDITED", "")),
        ("success", '{"height": 8611}', 'quick(x="a") = {"height": 8611}', ("done", {"height": 8611}, "")),
        ("success", [{"type": "text", "text": "EDITED"}], 'quick(x="a") = "EDITED"', ("done", "EDITED", "")),
        ("error", "do not use it", 'quick(x="a"): failed: "do not use it"', ("failed", None, "do not use it")),
        ("success", "found a", 'quick(x="a") = "found a"', ("done", "found a", "")),
    ],
)
@pytest.mark.parametrize("before", ["joiner", "planner"])
async def test_an_edited_result(status: Any, content: Any, told: str, record: Any, before: str) -> None:
    """A `ToolMessage` changed by `update_state` is what the joiner reads and what later plans refer to."""
    replan = before == "planner"
    replies = ['1. quick("a")\n2. join()', *(["Replan: b", '2. quick("$1")'] if replan else []), "Finish: done"]
    model = ScriptedModel(replies)
    graph = create_llm_compiler(model, [quick], checkpointer=InMemorySaver(), interrupt_before=[before])
    await graph.ainvoke(FIRST, thread())
    if replan:
        await graph.ainvoke(None, thread())
    state = (await graph.aget_state(thread())).values
    given = next(each for each in state["messages"] if isinstance(each, ToolMessage))
    edited = ToolMessage(content, status=status, tool_call_id=given.tool_call_id, id=given.id, name="quick")
    await graph.aupdate_state(thread(), {"messages": [edited]})
    final = await graph.ainvoke(None, thread())
    assert any(told in message.text for message in model.calls[-1 if not replan else 2])
    first = final["tasks"][0]
    assert (first["status"], first["value"], first["error"]) == record
    assert next(each for each in final["messages"] if isinstance(each, ToolMessage)).content == content
    if replan and status == "success":
        said = first["value"] if isinstance(first["value"], str) else json.dumps(first["value"])
        assert final["tasks"][1]["arguments"] == [{"x": said}]


async def test_an_edited_error() -> None:
    """Of a failed task a human may say what it should have returned."""

    @tool
    def broken(x: str) -> str:
        """Break down."""
        raise ValueError("down")

    model = ScriptedModel(['1. broken("a")\n2. join()', "Finish: done"])
    graph = create_llm_compiler(model, [broken], checkpointer=InMemorySaver(), interrupt_before=["joiner"])
    paused = await graph.ainvoke(FIRST, thread())
    given = paused["messages"][-1]
    assert given.status == "error"
    edited = ToolMessage("42", tool_call_id=given.tool_call_id, id=given.id, name="broken")
    await graph.aupdate_state(thread(), {"messages": [edited]})
    final = await graph.ainvoke(None, thread())
    assert 'broken(x="a") = 42' in model.calls[1][-1].text
    assert "returned nothing" not in model.calls[1][-1].text
    assert (final["tasks"][0]["status"], final["tasks"][0]["value"]) == ("done", 42)
