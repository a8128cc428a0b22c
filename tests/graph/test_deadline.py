import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
RAN = "the turn's deadline of 5 s passed while it ran"
WAITED = "the turn's deadline of 5 s passed before it could start"


@tool
async def wait(seconds: float, what: str = "") -> str:
    """Take some seconds."""
    await asyncio.sleep(seconds)
    return f"waited {seconds:g}"


def timed(run: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    """Run on a virtual clock; return what it gave and when it ended."""

    async def main() -> tuple[Any, float]:
        return await run(), asyncio.get_running_loop().time()

    return run_virtual(main)


def ends(final: Any) -> list[tuple[Any, ...]]:
    """What became of each task, and when."""
    return [
        (task["status"], task["value"], task["error"], entry["started"], entry["finished"])
        for task, entry in zip(final["tasks"], final["timeline"], strict=True)
    ]


def test_tasks_end_at_the_deadline() -> None:
    """Tasks that run fail, tasks that wait do not start, what is done counts; the joiner is told to answer."""
    model = ScriptedModel(["1. wait(2)\n2. wait(9)\n3. wait(1) after $1\n4. wait(1) after $2", "Finish: ok"])

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert ends(final) == [
        ("done", "waited 2", "", 0, 2),
        ("failed", None, RAN, 0, 5),
        ("done", "waited 1", "", 2, 3),
        ("failed", None, WAITED, None, 5),
    ]
    assert end == 5
    assert "No other plan is possible" in str(model.calls[-1][-1].content)
    assert [m.status for m in final["messages"][2:-1]] == ["success", "error", "success", "error"]


def test_calls_that_wait_for_room_end_too() -> None:
    """A limit, an effect or a fan-out keeps no task beyond the deadline."""

    @tool
    async def numbers() -> list[int]:
        """Count."""
        return [1, 9, 1]

    send = wait.model_copy(update={"name": "send", "metadata": {"destructiveHint": True}})
    plan = "1. numbers()\n2. wait(${1[*]})\n3. send(3)\n4. send(3)\n5. send(3)"

    async def run() -> Any:
        graph = create_llm_compiler(
            ScriptedModel([plan, "Finish: ok"]), [wait, send, numbers], deadline=timedelta(seconds=5), max_concurrency=2
        )
        return await graph.ainvoke(QUESTION)

    final, end = timed(run)
    assert [task["error"] for task in final["tasks"]] == ["", RAN, "", RAN, WAITED]
    assert end == 5


def test_planning_is_cut_short() -> None:
    """What the model has written by the deadline is the plan; its tasks count as far as they are done."""
    model = ScriptedModel(["1. wait(1)\n2. wait(3)\n3. wait(1)\n4. wait(1)", "Finish: ok"], chunk_size=0)
    model.seconds_per_reply = 8  # a line every two seconds

    async def run() -> Any:
        graph = create_llm_compiler(model, [wait], deadline=5)
        return await graph.ainvoke(QUESTION)

    final, end = timed(run)
    assert ends(final) == [("done", "waited 1", "", 2, 3), ("failed", None, RAN, 4, 5)]
    assert final["rounds"][0]["plan"] == "1. wait(1)\n2. wait(3)\n"
    assert end == 5 + 8


def test_a_plan_that_never_comes() -> None:
    """A model that has written nothing by the deadline has planned nothing; the joiner answers all the same."""
    model = ScriptedModel(["1. wait(1)", "Finish: I do not know"], chunk_size=0, seconds_per_reply=9)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert final["tasks"] == []
    assert final["messages"][-1].content == "I do not know"
    assert end == 5 + 9


def test_mending_is_cut_short() -> None:
    """Tasks that are being written again at the deadline fail as they stood."""
    replies = ["1. wait(1)\n2. wat(1)", "2. wait(1)", "Finish: ok"]
    model = ScriptedModel(replies, chunk_size=0, seconds_per_reply=3)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert [task["status"] for task in final["tasks"]] == ["done", "failed"]
    assert final["tasks"][1]["error"].startswith("no tool is named 'wat'")
    assert end == 5 + 3


def test_no_replan_after_the_deadline() -> None:
    """A joiner that asks for another plan when it is too late for one is asked for the answer instead."""
    model = ScriptedModel(["1. wait(1)", "Replan: more", "Finish: that is all"], chunk_size=0, seconds_per_reply=3)

    async def run() -> Any:
        return await create_llm_compiler(model, [wait], deadline=5).ainvoke(QUESTION)

    final, end = timed(run)
    assert len(final["rounds"]) == 1
    assert final["messages"][-1].content == "that is all"
    assert end == 3 + 1 + 3 + 3


def test_the_deadline_is_that_of_the_turn() -> None:
    """A deadline goes on through replans, and begins anew with each question."""
    replies = ["1. wait(2)", "Replan: more", "2. wait(9)", "Finish: one", "1. wait(4)", "Finish: two"]

    async def run() -> Any:
        graph = create_llm_compiler(ScriptedModel(replies), [wait], deadline=5, checkpointer=InMemorySaver())
        first = await graph.ainvoke(QUESTION, THREAD)
        assert ends(first) == [("done", "waited 2", "", 0, 2), ("failed", None, RAN, 2, 5)]
        return await graph.ainvoke({"messages": [("user", "??")]}, THREAD)

    final, end = timed(run)
    assert ends(final) == [("done", "waited 4", "", 0, 4)]
    assert end == 9


def test_the_deadline_passes_while_nobody_runs_the_turn() -> None:
    """A turn that goes on after a crash keeps its clock: what was done counts, nothing else is run any more."""
    ran: list[str] = []

    @tool
    async def note(text: str) -> str:
        """Note."""
        ran.append(text)
        return text

    @tool
    async def crash(text: str) -> str:
        """Fail."""
        await asyncio.sleep(0.01)
        raise OSError(text)

    saver = InMemorySaver()

    def graph(replies: list[str], deadline: float) -> Any:
        tools = [note, crash]
        return create_llm_compiler(
            ScriptedModel(replies), tools, deadline=deadline, handle_tool_errors=False, checkpointer=saver
        )

    async def begin() -> None:
        with pytest.raises(OSError, match="c"):
            await graph(['1. note("a")\n2. crash("c")\n3. note("$2")'], 60).ainvoke(QUESTION, THREAD)

    asyncio.run(begin())
    final = asyncio.run(graph(["Finish: ok"], 0.002).ainvoke(None, THREAD))  # another loop: it goes by the wall clock
    late = "the turn's deadline of 0.002 s passed before it could start"
    assert [(task["status"], task["error"]) for task in final["tasks"]] == [
        ("done", ""),
        ("failed", late),
        ("failed", late),
    ]
    assert ran == ["a"]
    assert final["messages"][-1].content == "ok"


def test_synchronous_runs() -> None:
    """`invoke` keeps the deadline too: neither a slow tool nor one that blocks its thread holds the answer up."""
    let_go, ended = threading.Event(), threading.Event()

    @tool
    def block() -> str:
        """Block a thread."""
        let_go.wait(60)
        ended.set()
        return "done"

    model = ScriptedModel(["1. block()\n2. wait(99)\n3. wait(0) after $2", "Finish: ok"])
    final = create_llm_compiler(model, [block, wait], deadline=1).invoke(QUESTION)
    assert not ended.is_set()
    let_go.set()
    assert [task["status"] for task in final["tasks"]] == ["failed", "failed", "failed"]
    assert final["messages"][-1].content == "ok"


@pytest.mark.parametrize("deadline", [0, float("nan"), "5", True, timedelta(0)])
def test_a_deadline_that_cannot_be(deadline: Any) -> None:
    """A deadline that leaves no time at all, or is no length of time, is refused."""
    message = re.escape(f"deadline must be more than 0 seconds, as a number or a timedelta, not {deadline!r}")
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler(ScriptedModel(), [wait], deadline=deadline)


@tool
async def lengths() -> list[float]:
    """Give some lengths of time."""
    return [1, 9]


def test_calls_of_a_fan_out_that_began_early_end_at_the_deadline() -> None:
    """Also where LangGraph persists each of them by itself, none is waited for."""
    model = ScriptedModel(["1. lengths()\n2. wait(${1[*]})\n3. join()", "Finish: ok"], seconds_per_reply=2)

    async def run() -> Any:
        graph = create_llm_compiler(model, [wait, lengths], deadline=5, checkpointer=InMemorySaver())
        return await graph.ainvoke(QUESTION, THREAD)

    final, _ = timed(run)
    assert [(task["status"], task["error"]) for task in final["tasks"]] == [("done", ""), ("failed", RAN)]
    assert final["messages"][-1].text == "ok"
