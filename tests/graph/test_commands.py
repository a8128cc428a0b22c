"""What several tools of one plan write to the state by `Command`."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.prebuilt import InjectedState
from langgraph.types import Command, Overwrite
from typing_extensions import TypedDict

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


class State(TypedDict, total=False):
    """The caller's keys."""

    status: str
    history: Annotated[list[str], operator.add]


@tool
def put(key: str, value: Any, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Write to the state."""
    return Command(update={key: value, "messages": [ToolMessage(f"{key} is {value}", tool_call_id=tool_call_id)]})


@tool
def overwrite(value: list[str], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Write over the history."""
    return Command(update={"history": Overwrite(value), "messages": [ToolMessage("ok", tool_call_id=tool_call_id)]})


@tool
def names() -> list[str]:
    """List names."""
    return ["a", "b", "c"]


@tool
def clear() -> Command[Any]:
    """Clear the conversation."""
    return Command(update={"messages": [RemoveMessage(REMOVE_ALL_MESSAGES)]})


@tool
def clear_all_but(
    text: str,
    messages: Annotated[list[AnyMessage], InjectedState("messages")],
    tool_call_id: Annotated[str, InjectedToolCallId],
) -> Command[Any]:
    """Clear the conversation, message by message, and say something instead."""
    removed = [RemoveMessage(str(message.id)) for message in messages]
    return Command(update={"messages": [*removed, AIMessage(text), ToolMessage("cleared", tool_call_id=tool_call_id)]})


@tool
def forget(message_id: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Remove a message."""
    return Command(update={"messages": [RemoveMessage(message_id), ToolMessage("ok", tool_call_id=tool_call_id)]})


TOOLS = [put, overwrite, names, clear, clear_all_but, forget]


class Thread:
    """A thread of conversation."""

    def __init__(self, *replies: str, sync: bool) -> None:
        self.model = ScriptedModel(replies)
        self.sync = sync
        self.graph: Any = create_llm_compiler(
            self.model, TOOLS, state_schema=State, checkpointer=InMemorySaver(), max_repairs=0
        )

    def ask(self, question: str) -> Any:
        """Ask; return the final state."""
        given, config = {"messages": [HumanMessage(question)]}, {"configurable": {"thread_id": "1"}}
        return self.graph.invoke(given, config) if self.sync else asyncio.run(self.graph.ainvoke(given, config))


NEXT = ("1. join()", "Finish: still there")


@both_ways
@pytest.mark.parametrize(
    ("plan", "status", "history"),
    [
        ('1. put("status", "open")\n2. put("status", "closed") after $1', "closed", None),
        ('1. put("status", "open")\n2. put("status", "closed")', "closed", None),
        ('1. names()\n2. put("status", "late") after $1\n3. put("status", "last")', "last", None),
        ('1. names()\n2. put("status", ${1[*]})', "c", None),
        ('1. put("history", ["a"])\n2. put("history", ["b"])', None, ["a", "b"]),
        ('1. put("status", "x")\n2. put("history", ["a"])\n3. put("status", "y")', "y", ["a"]),
        ('1. put("history", ["a"])\n2. overwrite(["b"])\n3. overwrite(["c"])', None, ["c"]),
        ('1. put("nowhere", 1)\n2. put("nowhere", 2)\n3. put("status", "x")', "x", None),
    ],
)
def test_several_commands(plan: str, status: str | None, history: Any, sync: bool) -> None:
    """Commands are carried out in plan order: without a reducer the later one wins; the thread goes on."""
    thread = Thread(f"{plan}\n9. join()", "Finish: ok", *NEXT, sync=sync)
    final = thread.ask("?")
    assert (final.get("status"), final.get("history") or None) == (status, history)
    assert {task["status"] for task in final["tasks"]} == {"done"}
    assert thread.ask("and now?")["messages"][-1].text == "still there"


@both_ways
@pytest.mark.parametrize(
    "plan",
    [
        "1. names()\n2. clear()",
        "1. names()\n2. clear()\n3. clear()",
        '1. names()\n2. clear_all_but("x")',
        '1. names()\n2. clear_all_but("x")\n3. clear_all_but("y")',
        '1. names()\n2. clear()\n3. clear_all_but("x")',
    ],
)
def test_clearing_the_conversation(plan: str, sync: bool) -> None:
    """A tool may clear the conversation: earlier turns are gone; the turn itself stays, the joiner answers from it."""
    thread = Thread("1. join()", "Finish: hello", f"{plan}\n9. join()", "Finish: cleared", *NEXT, sync=sync)
    thread.ask("a secret")
    final = thread.ask("clear everything")
    assert final["messages"][-1].text == "cleared"
    assert "secret" not in str(final["messages"])
    assert next(m.text for m in final["messages"] if isinstance(m, HumanMessage)) == "clear everything"
    calls = {call["id"] for m in final["messages"] if isinstance(m, AIMessage) for call in m.tool_calls}
    assert calls == {m.tool_call_id for m in final["messages"] if isinstance(m, ToolMessage)}
    assert '1. names() = ["a", "b", "c"]' in thread.model.calls[3][-1].text
    later = thread.ask("and now?")
    assert later["messages"][-1].text == "still there"
    assert "secret" not in str(thread.model.calls[4])
    assert ("x" in [m.text for m in final["messages"]]) == ("clear_all_but" in plan)


@both_ways
def test_removing_what_is_not_there(sync: bool) -> None:
    """A removal of a message that is not there, or that was removed already, does not end the run."""
    plan = '1. forget("nobody")\n2. forget("first")\n3. forget("first")\n4. join()'
    thread = Thread("1. join()", "Finish: hello", plan, "Finish: ok", *NEXT, sync=sync)
    config = {"configurable": {"thread_id": "1"}}
    given = {"messages": [HumanMessage("a secret", id="first")]}
    _ = thread.graph.invoke(given, config) if sync else asyncio.run(thread.graph.ainvoke(given, config))
    final = thread.ask("forget it")
    assert [task["status"] for task in final["tasks"]] == ["done"] * 3
    assert "secret" not in str(final["messages"])
    assert thread.ask("and now?")["messages"][-1].text == "still there"
