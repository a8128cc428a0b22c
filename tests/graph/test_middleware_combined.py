"""Middleware together with what else changes planning: native calls, picked tools, plans that the joiner writes."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from functools import partial
from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    ShellToolMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
    dynamic_prompt,
    wrap_model_call,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [("user", "Where are ann@example.org and bob?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


def native(*calls: tuple[str, dict[str, Any]], first: int = 1) -> AIMessage:
    """A reply of native calls."""
    listed = [{"name": name, "args": {"task": n, **args}, "id": f"n{n}"} for n, (name, args) in enumerate(calls, first)]
    return AIMessage("", tool_calls=listed)


TEXT = ['1. look("a")\n2. look("$1")\n3. join()', "Thought: more.\nReplan: one more", '3. look("$2")\n4. join()']
SETTINGS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "text": ({}, TEXT),
    "native calls": (
        {"plan_format": "tools"},
        [
            native(("look", {"what": "a"}), ("look", {"what": "$1"})),
            "Thought: more.\nReplan: one more",
            native(("look", {"what": "$2"}), first=3),
        ],
    ),
    "picked tools": ({"select_tools": lambda question: ["look"]}, TEXT),
    "fused replan": ({"fuse_replan": True}, [TEXT[0], f"{TEXT[1]}\n{TEXT[2]}"]),
}
settings = pytest.mark.parametrize("kind", list(SETTINGS))


class Bench:
    """Counted tools, and a graph over them."""

    def __init__(self, kind: str, middleware: Any = (), replies: Any = None, **more: Any) -> None:
        self.ran: Counter[str] = Counter()
        given, script = SETTINGS[kind]
        self.model = ScriptedModel([*(script if replies is None else replies), "Finish: done"])
        self.graph = create_llm_compiler(self.model, self.tools(), middleware=list(middleware), **given, **more)

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def look(what: str) -> str:
            """Look."""
            self.ran[what] += 1
            return f"seen {what}"

        @tool
        def other(what: str) -> str:
            """Do something else."""
            return what

        return [look, other]

    async def run(self, given: Any = QUESTION, *, sync: bool = False, config: Any = None) -> Any:
        """Run the graph either way."""
        if sync:
            return await asyncio.to_thread(self.graph.invoke, given, config)
        return await self.graph.ainvoke(given, config)


RAN = {"a": 1, "seen a": 1, "seen seen a": 1}


@wrap_model_call
async def nothing(request: Any, handler: Any) -> Any:
    """Do nothing."""
    return await handler(request)


@wrap_tool_call
async def around(request: Any, handler: Any) -> Any:
    """Do nothing."""
    return await handler(request)


@dynamic_prompt
def polite(request: Any) -> str:
    """Say how to be."""
    return "Be polite."


class Hooks(AgentMiddleware[Any, Any]):
    """All hooks, doing nothing but noting."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def before_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.notes.append("before agent")

    def before_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.notes.append("before")

    def after_model(self, state: Any, runtime: Any) -> None:
        """Note."""
        last = state["messages"][-1]
        self.notes.append(f"after {len(last.tool_calls)}")

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Note."""
        self.notes.append("after agent")


MIDDLEWARE: dict[str, Any] = {
    "no-op": lambda: [nothing],
    "two": lambda: [nothing, around],
    "dynamic prompt": lambda: [polite],
    "model retry": lambda: [ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)],
    "fallback": lambda: [ModelFallbackMiddleware(ScriptedModel([]))],
    "hooks": lambda: [Hooks()],
    "tool retry": lambda: [ToolRetryMiddleware(initial_delay=0, jitter=False)],
    "tool limit": lambda: [ToolCallLimitMiddleware(run_limit=9)],
    "model limit": lambda: [ModelCallLimitMiddleware(run_limit=9)],
    "pii": lambda: [PIIMiddleware("email", apply_to_output=True, apply_to_tool_results=True)],
    "context": lambda: [ContextEditingMiddleware()],
}


@settings
@both_ways
@pytest.mark.parametrize("name", list(MIDDLEWARE))
async def test_a_turn_is_the_same_with_middleware(name: str, kind: str, sync: bool) -> None:
    """Tasks, observations, rounds and answer are those without middleware, and each call is made once."""
    bench = Bench(kind, MIDDLEWARE[name]())
    final = await bench.run(sync=sync)
    assert final["messages"][-1].text == "done"
    assert bench.ran == RAN
    assert [task["value"] for task in final["tasks"]] == ["seen a", "seen seen a", "seen seen seen a"]
    assert [task["round"] for task in final["tasks"]] == [0, 0, 1]
    assert [entry["index"] for entry in final["timeline"]] == [1, 2, 3]


@settings
async def test_prompts_are_the_same_with_middleware(kind: str) -> None:
    """Middleware that changes nothing changes no byte of any prompt."""
    prompts = []
    for middleware in ((), (nothing,)):
        bench = Bench(kind, middleware)
        await bench.run()
        prompts.append([[message.content for message in call] for call in bench.model.calls])
    assert prompts[0] == prompts[1]


@settings
async def test_the_order_of_hooks(kind: str) -> None:
    """Planner and joiner calls have their hooks; where the joiner writes the plan, its adoption has none before it."""
    hooks = Hooks()
    await Bench(kind, [hooks]).run()
    assert hooks.notes[0] == "before agent"
    assert hooks.notes[-1] == "after agent"
    assert [note for note in hooks.notes if note.startswith("after ") and note[-1].isdigit()] == [
        "after 2",
        "after 0",
        "after 1",
        "after 0",
    ]


@settings
async def test_a_model_that_fails_is_asked_again(kind: str) -> None:
    """A retry around each model call begins it anew; nothing is done twice."""
    _, script = SETTINGS[kind]
    replies = [each for reply in script for each in (ConnectionError("down"), reply)]
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    bench = Bench(kind, [retry], replies)
    final = await bench.run()
    assert final["messages"][-1].text == "done"
    assert bench.ran == RAN


@settings
async def test_a_fallback_goes_on(kind: str) -> None:
    """Another model writes the plan in the same form."""
    _, script = SETTINGS[kind]
    other = ScriptedModel([script[0]])
    bench = Bench(kind, [ModelFallbackMiddleware(other)], [ConnectionError("down"), *script[1:]])
    final = await bench.run()
    assert final["messages"][-1].text == "done"
    assert bench.ran == RAN
    assert len(other.calls) == 1


@settings
async def test_a_tool_that_is_taken_away_is_not_shown(kind: str) -> None:
    """A wrapper that shows fewer tools changes the prompt, or what is bound; plans call the others all the same."""

    @wrap_model_call
    async def fewer(request: Any, handler: Any) -> Any:
        return await handler(request.override(tools=[each for each in request.tools if each.name == "look"]))

    bench = Bench(kind, [fewer])
    final = await bench.run()
    assert final["messages"][-1].text == "done"
    shown = str(bench.model.calls[0]) + str(bench.model.settings[0])
    assert "look" in shown
    assert "other" not in shown.replace("another", "").replace("each other", "")


@settings
@both_ways
async def test_a_hook_settles_a_call(kind: str, sync: bool) -> None:
    """A `ToolMessage` of a hook answers a planned call, of the first plan and of the next one."""

    class Settles(AgentMiddleware[Any, Any]):
        def after_model(self, state: Any, runtime: Any) -> Any:
            calls = getattr(state["messages"][-1], "tool_calls", ())
            told = [ToolMessage("settled", tool_call_id=call["id"]) for call in calls[-1:]]
            return {"messages": told} if told else None

    bench = Bench(kind, [Settles()])
    final = await bench.run(sync=sync)
    assert final["messages"][-1].text == "done"
    assert bench.ran == {"a": 1}
    assert [task["value"] for task in final["tasks"]] == ["seen a", "settled", "settled"]


@settings
@both_ways
async def test_humans_approve_calls(kind: str, sync: bool) -> None:
    """`HumanInTheLoopMiddleware` asks about the calls of every plan, with resolved arguments."""
    asking = HumanInTheLoopMiddleware({"look": {"allowed_decisions": ["approve", "reject"]}})
    bench = Bench(kind, [asking, nothing], checkpointer=InMemorySaver())
    state = await bench.run(config=THREAD, sync=sync)
    shown = []
    while "__interrupt__" in state:
        (request,) = state["__interrupt__"][0].value["action_requests"]
        shown.append(request["args"]["what"])
        state = await bench.run(Command(resume={"decisions": [{"type": "approve"}]}), config=THREAD, sync=sync)
    assert shown == ["a", "seen a", "seen seen a"]
    assert bench.ran == RAN


@settings
async def test_plans_are_approved_under_middleware(kind: str) -> None:
    """With hooks and wrappers around, each plan is asked about once, after its hooks have run."""
    hooks = Hooks()
    bench = Bench(kind, [hooks, nothing], approve_plans=True, checkpointer=InMemorySaver())
    state = await bench.run(config=THREAD)
    plans = []
    while "__interrupt__" in state:
        plans.append(state["__interrupt__"][0].value["action_requests"][0]["args"]["plan"])
        state = await bench.run(Command(resume={"decisions": [{"type": "approve"}]}), config=THREAD)
    assert [plan.splitlines()[0] for plan in plans] == ['1. look(what="a")', "3. look(what=$2)"]
    assert bench.ran == RAN
    assert hooks.notes.count("before agent") == 1


@settings
def test_tasks_start_as_early_as_without(kind: str) -> None:
    """Around a streamed plan, wrappers cost no time, in whatever form it is written."""

    async def times(middleware: Any) -> list[Any]:
        given, script = SETTINGS[kind]
        bench = Bench(kind, middleware)
        bench.model = ScriptedModel([*script, "Finish: done"], seconds_per_reply=1)
        graph = create_llm_compiler(bench.model, bench.tools(), middleware=list(middleware), **given)
        final = await graph.ainvoke(QUESTION)
        return [(each["planned"], each["started"], each["finished"]) for each in final["timeline"]]

    with_it, without = (run_virtual(partial(times, given)) for given in ((nothing, polite), ()))
    assert with_it == without


# LangChain leaves the pipes of its shells to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@both_ways
async def test_one_shell_for_a_turn(sync: bool) -> None:
    """Commands of LangChain's shell are run in the plan's order, in one session; what one says another may take."""
    plan = '1. shell(command="cd / && WHERE=here && echo one")\n2. shell("echo $$WHERE; pwd; echo got $1")\n3. join()'
    model = ScriptedModel([plan, "Finish: done"] * 2)
    graph = create_llm_compiler(model, [], middleware=[ShellToolMiddleware()], checkpointer=InMemorySaver())
    for _ in range(2):
        final = graph.invoke(QUESTION, THREAD) if sync else await graph.ainvoke(QUESTION, THREAD)
        assert [task["value"].split() for task in final["tasks"]] == [["one"], ["here", "/", "got", "one"]]
    gc.collect()
