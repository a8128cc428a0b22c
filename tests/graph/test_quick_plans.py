"""Plans whose tasks have all finished when they are complete, or an instant later: they need no `@task`s."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import AnyMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from tests.graph.test_durability import QUESTION, THREAD, both_ways, do, saver_at
from tests.graph.test_large_plans import returned

DEPENDENT = '1. search(query="a")\n2. look(at="$1")\n3. join()'


@tool
async def search(query: str) -> str:
    """Search, in less than an instant."""
    await asyncio.sleep(0.02)
    return f"found {query}"


@both_ways
@pytest.mark.parametrize("count", [2, 100])
async def test_they_are_persisted_by_their_node(store: str, sync: bool, count: int) -> None:
    """Tasks that have finished when their plan is complete, or an instant later, are persisted by their node."""

    @tool
    async def look(n: int) -> int:
        """Look."""
        await asyncio.sleep(0.005 if n == count else 0)
        return n

    text = "\n".join(f"{n}. look(n={n})" for n in range(1, count + 1))
    async with saver_at(store, sync=sync) as saver:
        graph = create_llm_compiler(ScriptedModel([text, "Finish: done"]), [look], checkpointer=saver)
        final = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        assert await returned(saver, sync=sync) == []
    assert [task["value"] for task in final["tasks"]] == list(range(1, count + 1))


def test_a_tool_that_asks_is_not_called_once_more() -> None:
    """A tool that asks a human, whose inputs come in that instant, is called where it can ask: once, and once again."""
    made: list[str] = []

    @tool
    async def look(at: str) -> str:
        """Look; ask a human."""
        made.append(at)
        return str(interrupt(at))

    async def main() -> list[Any]:
        model = ScriptedModel([DEPENDENT, "Finish: done"])
        graph = create_llm_compiler(model, [search, look], checkpointer=InMemorySaver())
        await graph.ainvoke(QUESTION, THREAD)
        final = await graph.ainvoke(Command(resume="yes"), THREAD)
        return [task["value"] for task in final["tasks"]]

    assert run_virtual(main) == ["found a", "yes"]
    assert made == ["found a"] * 2


@pytest.mark.parametrize("begun_before", [False, True])
def test_what_begins_then_runs_in_the_task_fetching_unit(begun_before: bool) -> None:
    """A call that begins when the plan is complete sees the plan and its run, and is not early."""
    seen: list[tuple[str, int]] = []

    @tool
    async def look(at: str, runtime: ToolRuntime) -> str:
        """Look."""
        seen.append((runtime.config["metadata"]["langgraph_node"], len(runtime.state["tasks"])))
        return at

    async def main() -> list[tuple[bool, float | None]]:
        model = ScriptedModel([DEPENDENT, "Finish: done"] * 2)
        graph = create_llm_compiler(model, [search, look], checkpointer=InMemorySaver())
        if begun_before:  # a tool that has returned before may be called before its `@task`
            await graph.ainvoke(QUESTION, {"configurable": {"thread_id": "2"}})
            seen.clear()
        final = await graph.ainvoke(QUESTION, THREAD)
        return [(entry["early"], entry["finished"]) for entry in final["timeline"]]

    assert run_virtual(main) == [(True, 0.02), (False, 0.02)]
    assert seen == [("task_fetching_unit" if begun_before else "look", 2)]


def test_a_changed_plan_is_not_waited_for() -> None:
    """What a human has made of a plan begins at once."""

    async def main() -> tuple[list[Any], float]:
        model = ScriptedModel(['1. search(query="a")\n2. join()', "Finish: done"])
        graph = create_llm_compiler(model, [search], checkpointer=InMemorySaver())
        await graph.ainvoke(QUESTION, THREAD, interrupt_before=["task_fetching_unit"])
        written = (await graph.aget_state(THREAD)).values["plan_text"]
        await graph.aupdate_state(THREAD, {"plan_text": written.replace('"a"', '"b"')})
        final = await graph.ainvoke(None, THREAD)
        return [task["value"] for task in final["tasks"]], asyncio.get_running_loop().time()

    values, ended = run_virtual(main)
    assert values == ["found b"]
    assert ended == 0.02


def test_what_a_tool_raised_ends_the_run_whatever_came_later() -> None:
    """A tool raised what is not handled: a deadline that passes then does not hide it."""

    @tool
    async def look(at: str) -> str:
        """Look."""
        raise OSError(at)

    async def main() -> None:
        model = ScriptedModel(
            ['1. look(at="a")\n2. search(query="b")\n3. join()'], chunk_size=4, seconds_per_reply=0.01
        )
        graph = create_llm_compiler(model, [search, look], handle_tool_errors=False, deadline=0.01)
        with pytest.raises(OSError, match="a"):
            await graph.ainvoke(QUESTION)

    run_virtual(main)


def test_every_message_is_in_the_state_once() -> None:
    """Whether tasks have `@task`s or not, the state has one message of each, in the plan's order."""

    async def main(seconds: float) -> list[AnyMessage]:
        @tool
        async def look(at: str) -> str:
            """Look."""
            await asyncio.sleep(seconds)
            return f"saw {at}"

        model = ScriptedModel([DEPENDENT, "Finish: done"])
        final = await create_llm_compiler(model, [search, look]).ainvoke(QUESTION)
        messages: list[AnyMessage] = final["messages"]
        return messages

    quick, slow = run_virtual(lambda: main(0)), run_virtual(lambda: main(1))
    assert [message.text for message in quick] == [message.text for message in slow]
    assert [message.type for message in quick] == ["human", "ai", "tool", "tool", "ai"]
