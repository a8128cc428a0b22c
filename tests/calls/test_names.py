"""Tools whose names plans cannot write."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command, RetryPolicy

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.calls.names import plan_names
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [HumanMessage("?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("look up", "look_up"),
        ("look  up!", "look_up"),
        ("2fa", "tool_2fa"),
        ("-x", "x"),
        ("_", "_"),
        ("join", "tool_join"),
        ("JOIN", "tool_JOIN"),
        ("", "tool"),
        ("…", "tool"),
        ("a:b", "a_b"),
        ("get(x)", "get_x"),
        ("naïve tool", "na_ve_tool"),
        ("a\nb", "a_b"),
        ("x" * 65, "x" * 64),
        ("mail.send", "mail.send"),
        ("検索", "検索"),
    ],
)
def test_names_of_plans(own: str, written: str) -> None:
    """A name that plans cannot write becomes one that providers allow; any other stays."""
    assert plan_names([own]) == [written]


def test_names_that_collide() -> None:
    """Names that would become one get numbers; who has a name already keeps it, in whatever order they come."""
    assert plan_names(["look up", "look_up", "look-up", "look.up", "look!up"]) == [
        "look_up_2",
        "look_up",
        "look-up",
        "look.up",
        "look_up_3",
    ]
    long = [f"{'x' * 70}{n}" for n in range(12)]
    assert len(set(plan_names(long))) == 12
    assert {len(name) for name in plan_names(long)} == {64}


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_any_names(names: list[str]) -> None:
    """Whatever the names, those of plans differ, can be written, and are as providers require where they are new."""
    made = plan_names(names)
    assert len(set(made)) == len(names)
    for own, written in zip(names, made, strict=True):
        assert written == own or re.fullmatch("[a-zA-Z][a-zA-Z0-9_-]{0,63}", written)
        assert re.fullmatch(r"[^\W\d][\w.\-/]*", written)
        assert written.lower() != "join"


def tools(*names: str) -> list[StructuredTool]:
    """Tools that say who they are and what they got."""

    def make(name: str) -> StructuredTool:
        async def call(text: str) -> str:
            return f"{name} got {text}"

        def run(text: str) -> str:
            return f"{name} got {text}"

        return StructuredTool.from_function(run, call, name=name, description="Do.")

    return [make(name) for name in names]


class Run:
    """A graph over tools with such names."""

    def __init__(
        self, plan: Any, *, sync: bool = False, names: Any = ("look up", "look_up", "join"), **kwargs: Any
    ) -> None:
        self.model = ScriptedModel([plan, "Finish: ok", "1. join()", "Finish: later"])
        self.sync = sync
        self.graph: Any = create_llm_compiler(self.model, tools(*names), checkpointer=InMemorySaver(), **kwargs)

    def ask(self, given: Any = QUESTION) -> Any:
        """Run it; return the final state."""
        return self.graph.invoke(given, THREAD) if self.sync else asyncio.run(self.graph.ainvoke(given, THREAD))


PLAN = '1. look_up_2("a")\n2. look_up("$1")\n3. tool_join("b") after $2\n4. join()'


@both_ways
def test_a_run(sync: bool) -> None:
    """Plans call the tools by new names; messages, tasks, events and timelines have the caller's."""
    run = Run(PLAN, sync=sync)
    final = run.ask()
    names = ["look up", "look_up", "join"]
    assert [task["value"] for task in final["tasks"]] == [
        "look up got a",
        "look_up got look up got a",
        "join got b",
    ]
    assert [task["tool"] for task in final["tasks"]] == names
    assert [entry["tool"] for entry in final["timeline"]] == names
    plan = next(m for m in final["messages"] if isinstance(m, AIMessage) and m.tool_calls)
    assert [call["name"] for call in plan.tool_calls] == names
    assert [m.name for m in final["messages"] if isinstance(m, ToolMessage)] == names
    assert "- look_up_2(text: str) -> str" in run.model.calls[0][0].text
    assert '1. look_up_2(text="a") = "look up got a"' in run.model.calls[1][-1].text
    assert run.ask()["messages"][-1].text == "later"


def test_native_calls() -> None:
    """Where the model calls tools natively, it is given names that providers take."""
    calls = [
        {"name": name, "args": {"task": n, "text": "a"}, "id": str(n), "type": "tool_call"}
        for n, name in enumerate(["look_up_2", "look_up", "tool_join"], 1)
    ]
    run = Run(AIMessage("", tool_calls=calls), plan_format="tools")
    assert [task["tool"] for task in run.ask()["tasks"]] == ["look up", "look_up", "join"]
    bound = [each["function"]["name"] for each in run.model.settings[0]["tools"]]
    assert bound == ["look_up_2", "look_up", "tool_join"]


@both_ways
@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_approvals(decision: str, sync: bool) -> None:
    """`interrupt_on`, what a human is shown, and an edited call have the caller's names."""
    run = Run('1. look_up_2("a")\n2. look_up("b")\n3. join()', sync=sync, interrupt_on={"look up": True})
    paused = run.ask()["__interrupt__"][0].value
    assert [each["name"] for each in paused["action_requests"]] == ["look up"]
    assert [each["action_name"] for each in paused["review_configs"]] == ["look up"]
    edited = {"name": "look up", "args": {"text": "c"}}
    given: dict[str, Any] = {"type": decision, **({"edited_action": edited} if decision == "edit" else {})}
    final = run.ask(Command(resume={"decisions": [given]}))
    outcome = {"approve": "look up got a", "edit": "look up got c", "reject": "a human rejected it"}[decision]
    assert [task["value"] or task["error"] for task in final["tasks"]] == [outcome, "look_up got b"]


@both_ways
def test_options_by_name(sync: bool) -> None:
    """Timeouts, retries, slots and tools that are picked are named by the caller's names; others are refused."""
    seen: list[str] = []

    def wrap(request: ToolCallRequest, execute: Any) -> Any:
        assert request.tool is not None
        seen.append(f"{request.tool_call['name']}, {request.tool.name}")
        return execute(request)

    async def awrap(request: ToolCallRequest, execute: Any) -> Any:
        seen.append(request.tool_call["name"])
        return await execute(request)

    options: dict[str, Any] = {
        "tool_timeout": {"look up": 5},
        "tool_retry_policy": {"look up": RetryPolicy()},
        "tool_concurrency": {"look up": 1},
    }
    picked = {"select_tools": lambda question: ["look up", "look_up", "join"]}
    run = Run(PLAN, sync=sync, wrap_tool_call=wrap, awrap_tool_call=awrap, **options, **picked)
    assert {task["status"] for task in run.ask()["tasks"]} == {"done"}
    assert {each.partition(",")[0] for each in seen} == {"look up", "look_up", "join"}
    for option, by_name in options.items():
        wrong: Any = {option: {"look upp": by_name["look up"]}}
        with pytest.raises(ConfigurationError, match="look upp"):
            Run(PLAN, **wrong)


def test_a_run_that_goes_on_elsewhere() -> None:
    """A paused run is taken up again from its state alone: tasks that are done and tasks that are not."""
    saver = InMemorySaver()
    names = ("delete file", "look up")
    first: Any = create_llm_compiler(
        ScriptedModel(['1. look_up("a")\n2. delete_file("$1")\n3. delete_file("c")\n4. join()']),
        tools(*names),
        checkpointer=saver,
        interrupt_on={"delete file": True},
    )
    asyncio.run(first.ainvoke(QUESTION, THREAD))
    again: Any = create_llm_compiler(
        ScriptedModel(["Replan: more", '4. look_up("$2")\n5. join()', "Finish: ok"]),
        tools(*names),
        checkpointer=saver,
        interrupt_on={"delete file": True},
    )
    interrupts = asyncio.run(again.aget_state(THREAD)).interrupts
    final = asyncio.run(again.ainvoke(Command(resume={each.id: True for each in interrupts}), THREAD))
    assert [task["value"] for task in final["tasks"]] == [
        "look up got a",
        "delete file got look up got a",
        "delete file got c",
        "look up got delete file got look up got a",
    ]
