import asyncio
import gc
import time
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, MessagesState, StateGraph

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.graph.inflight import InFlight
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [HumanMessage("?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
REPLIES = ['1. slow("a")\n2. slow("b")\n3. join()', "Finish: ok"]


def slow_tool(log: list[str]) -> BaseTool:
    """Make a tool that takes very long, and says when it is cancelled."""

    @tool
    async def slow(text: str) -> str:
        """Take long."""
        log.append(f"{text} starts")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            log.append(f"{text} cancelled")
            raise
        return text

    return slow


def handler(graph: Any) -> InFlight:
    """Get a graph's handler."""
    (found,) = graph.config["callbacks"]
    assert isinstance(found, InFlight)
    return found


def kept(graph: Any) -> dict[str, Any]:
    """What a graph's handler keeps of runs, but for the names of a few that have ended."""
    return {name: value for name, value in vars(handler(graph)).items() if name not in ("_ended", "_order")}


CANCELLED = ["a starts", "b starts", "a cancelled", "b cancelled"]


async def settle(log: list[str], graph: Any) -> None:
    """Check, a moment after a run, that it left nothing behind."""
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    assert sorted(log) == sorted(CANCELLED)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert kept(graph) == {"_handed": {}, "_runs": {}, "_parts": {}}


@pytest.mark.parametrize("leave", ["astream", "astream_events", "cancel"])
def test_runs_that_are_left_anywhere(leave: str) -> None:
    """Whenever a run is left, nothing of it stays with the graph, though parts of it never tell their end."""

    @tool
    async def quick(text: str) -> str:
        """Take a moment."""
        await asyncio.sleep(1)
        return text

    def reply(messages: list[BaseMessage]) -> str:
        return "Finish: ok" if "Observations" in str(messages[-1].content) else '1. quick("a")\n2. quick("$1")'

    graph: Any = create_llm_compiler(ScriptedModel([reply] * 1000, seconds_per_reply=1), [quick])

    async def run(number: int) -> None:
        if leave == "cancel":
            task = asyncio.create_task(graph.ainvoke(QUESTION))
            await asyncio.sleep(number / 8)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return
        options = {"version": "v2"} if leave == "astream_events" else {"stream_mode": ["custom", "values", "messages"]}
        async with aclosing(getattr(graph, leave)(QUESTION, **options)) as parts:
            async for _ in parts:
                number -= 1
                if number < 0:
                    break

    async def main() -> None:
        for number in range(1, 40):  # at the very first event LangGraph itself does not tell the end
            await run(number)
        await asyncio.sleep(1)

    run_virtual(main)
    assert kept(graph) == {"_handed": {}, "_runs": {}, "_parts": {}}


def test_a_pause_between_the_nodes() -> None:
    """Calls under way are cancelled when the run pauses before the node that would adopt them, and made again later."""
    log: list[str] = []

    async def main() -> tuple[Any, float]:
        graph = create_llm_compiler(ScriptedModel(REPLIES), [slow_tool(log)], checkpointer=InMemorySaver())
        # a pause that is not known when the graph is made
        await graph.ainvoke(QUESTION, THREAD, interrupt_before=["task_fetching_unit"])
        await settle(log, graph)
        return await graph.ainvoke(None, THREAD), asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    assert [task["value"] for task in final["tasks"]] == ["a", "b"]
    assert end == pytest.approx(1000.001)


def test_a_listener_that_leaves_between_the_nodes() -> None:
    """Early calls are cancelled when the caller has seen enough once the plan is there."""
    log: list[str] = []

    async def main() -> None:
        graph = create_llm_compiler(ScriptedModel(REPLIES), [slow_tool(log)])
        updates: Any = graph.astream(QUESTION, stream_mode="updates")
        async for update in updates:
            assert "planner" in update
            break
        assert log == CANCELLED[:2]
        await updates.aclose()
        await settle(log, graph)

    run_virtual(main)


def test_a_run_cancelled_between_the_nodes() -> None:
    """Early calls are cancelled when the run is, at whatever moment."""
    started: list[bool] = []
    for moments in range(1, 60):
        log: list[str] = []

        async def main(log: list[str] = log, moments: int = moments) -> None:
            graph = create_llm_compiler(ScriptedModel(REPLIES), [slow_tool(log)])
            run = asyncio.create_task(graph.ainvoke(QUESTION))
            for _ in range(4 * moments):
                await asyncio.sleep(0)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await asyncio.sleep(0.001)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert kept(graph) == {"_handed": {}, "_runs": {}, "_parts": {}}
            assert log.count("a starts") == log.count("a cancelled")
            started.append(bool(log))

        run_virtual(main)
    assert set(started) == {False, True}


def test_too_few_steps() -> None:
    """Early calls are cancelled when LangGraph's recursion limit ends the run before they are adopted."""
    log: list[str] = []

    async def main() -> None:
        graph = create_llm_compiler(ScriptedModel(REPLIES), [slow_tool(log)])
        with pytest.raises(GraphRecursionError):
            await graph.ainvoke(QUESTION, {"recursion_limit": 1})
        await settle(log, graph)

    run_virtual(main)


def test_inside_another_graph() -> None:
    """Early calls are cancelled when the graph is a node of another that is left."""
    log: list[str] = []

    async def main() -> None:
        inner = create_llm_compiler(ScriptedModel(REPLIES), [slow_tool(log)])
        outer = StateGraph(MessagesState)
        outer.add_node("inner", inner)
        outer.add_edge(START, "inner")
        outer.add_edge("inner", END)
        updates: Any = outer.compile().astream(QUESTION, stream_mode="updates", subgraphs=True)
        async for _, update in updates:
            assert "planner" in update
            break
        await updates.aclose()
        await settle(log, inner)

    run_virtual(main)


def test_a_synchronous_listener_that_leaves() -> None:
    """Early calls are cancelled when a synchronous caller has seen enough."""
    log: list[str] = []
    ended: list[str] = []

    @tool
    async def slow(text: str) -> str:
        """Take long."""
        log.append(f"{text} starts")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(text)
        return text

    def wait_for(what: list[str]) -> None:
        for _ in range(400):
            if len(what) == 2:
                return
            time.sleep(0.005)

    graph = create_llm_compiler(ScriptedModel(REPLIES), [slow])
    updates: Any = graph.stream(QUESTION, stream_mode="updates")
    assert "planner" in next(updates)
    wait_for(log)
    updates.close()
    wait_for(ended)
    assert sorted(ended) == ["a", "b"]


async def test_nothing_is_kept() -> None:
    """After a run, the graph holds on to nothing of it."""

    @tool
    async def quick(text: str) -> str:
        """Return at once."""
        return text

    graph = create_llm_compiler(ScriptedModel(['1. quick("a")', "Finish: ok"] * 3), [quick])
    for _ in range(3):
        await graph.ainvoke(QUESTION)
    gc.collect()
    assert kept(graph) == {"_handed": {}, "_runs": {}, "_parts": {}}
