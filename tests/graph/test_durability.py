"""Crashes, edits and travels in time, with real checkpointers on disk and strict msgpack."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, interrupt

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests import processes
from tests.test_approval import Desk

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION: Any = {"messages": [("user", "?")]}
PLAN = '1. look("a")\n2. look("b")\n3. flaky("$1")\n4. look("$2$3")\n5. join()'
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@asynccontextmanager
async def saver_at(store: str, *, sync: bool) -> AsyncIterator[Any]:
    """Open a checkpointer of either kind."""
    if not sync:
        kind: Any = AsyncPostgresSaver if store.startswith("postgres") else AsyncSqliteSaver
        async with kind.from_conn_string(store) as saver:
            await saver.setup()
            yield saver
    else:
        kind = PostgresSaver if store.startswith("postgres") else SqliteSaver
        with kind.from_conn_string(store) as saver:
            saver.setup()
            yield saver


class Bench:
    """Two counted tools and a graph over them; `flaky` ends the run the first time."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.seen: list[str] = []

    def tools(self) -> list[BaseTool]:
        """The tools."""

        @tool
        async def look(what: str) -> str:
            """Look."""
            self.ran[f"look {what}"] += 1
            return f"saw {what}"

        @tool
        def flaky(what: str) -> str:
            """Fail the first time."""
            self.ran[f"flaky {what}"] += 1
            if self.ran.total() < 4:
                msg = "the power went out"
                raise OSError(msg)
            return f"got {what}"

        return [look, flaky]

    def graph(self, saver: Any, replies: Any = (PLAN, "Finish: done"), **kwargs: Any) -> Any:
        """The graph."""
        self.model = ScriptedModel(list(replies))
        return create_llm_compiler(self.model, self.tools(), checkpointer=saver, **kwargs)


async def do(graph: Any, what: str, *args: Any, sync: bool) -> Any:
    """Call a method of a graph either way; a synchronous one in a thread of its own, as in a program."""
    if sync:
        return await asyncio.to_thread(getattr(graph, what), *args)
    return await getattr(graph, f"a{what}")(*args)


async def history(graph: Any, *, sync: bool) -> list[Any]:
    """The checkpoints of the thread, the newest first."""
    if sync:
        return await asyncio.to_thread(lambda: list(graph.get_state_history(THREAD)))
    return [each async for each in graph.aget_state_history(THREAD)]


def values(final: Any) -> list[Any]:
    """What the tasks gave."""
    return [task["value"] for task in final["tasks"]]


def test_checkpoints_are_strict() -> None:
    """These tests run with `LANGGRAPH_STRICT_MSGPACK`: what a checkpoint may not hold would be lost."""
    assert _msgpack.STRICT_MSGPACK_ENABLED


@both_ways
async def test_going_on_after_a_crash(store: str, sync: bool) -> None:
    """`invoke(None)` finishes a run that broke down: no finished task runs again, no plan is asked for again."""
    bench = Bench()
    async with saver_at(store, sync=sync) as saver:
        graph = bench.graph(saver, handle_tool_errors=False)
        with pytest.raises(OSError, match="the power went out"):
            await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        assert bench.ran == {"look a": 1, "look b": 1, "flaky saw a": 1}
    async with saver_at(store, sync=sync) as saver:  # another connection, another graph: nothing but the checkpoint
        graph = bench.graph(saver, ["Finish: done"])
        final = await do(graph, "invoke", None, THREAD, sync=sync)
    assert values(final) == ["saw a", "saw b", "got saw a", "saw saw bgot saw a"]
    assert final["messages"][-1].content == "done"
    assert bench.ran == {"look a": 1, "look b": 1, "flaky saw a": 2, "look saw bgot saw a": 1}


def crash(store: str, sync: bool, first: bool) -> None:
    """Run a plan whose last task but one ends the process, the first time; then go on with it."""

    @tool
    async def note(text: str) -> str:
        """Note."""
        print("note", text, flush=True)
        return text

    async def main() -> None:
        async with saver_at(store, sync=sync) as saver:

            @tool
            async def crash(text: str) -> str:
                """Crash the first time, once the two tasks that can be done are persisted."""
                kept: list[Any] = []
                async with asyncio.timeout(30):
                    while first and len(kept) < 2:
                        written = (await do(saver, "get_tuple", THREAD, sync=sync)).pending_writes
                        kept = [value for _, channel, value in written if channel == "__return__"]
                if first:
                    os._exit(7)
                return "survived"

            plan = '1. note("a")\n2. note("$1 again")\n3. crash("c")\n4. note("$3")'
            model = ScriptedModel([plan] if first else ["Finish: ok"])
            graph = create_llm_compiler(model, [note, crash], checkpointer=saver)
            final = await do(graph, "invoke", QUESTION if first else None, THREAD, sync=sync)
            print(final["messages"][-1].content, [task["value"] for task in final["tasks"]])

    asyncio.run(main())


@both_ways
def test_going_on_in_another_process(store: str, sync: bool) -> None:
    """After the process died in the middle of a plan, another one runs only what was not finished."""
    assert [processes.run(crash, store, sync, first) for first in (True, False)] == [
        (7, "note a\nnote a again\n", ""),
        (0, "note survived\nok ['a', 'a again', 'survived', 'survived']\n", ""),
    ]


@both_ways
async def test_time_travel(store: str, sync: bool) -> None:
    """Every checkpoint of a run is in its history; a run forked from one goes on from there, on its own branch."""
    bench = Bench()
    async with saver_at(store, sync=sync) as saver:
        plan = '1. look("a")\n2. look("$1")'
        graph = bench.graph(saver, [plan, "Replan: more", '3. look("$2")', "Finish: done", "Finish: done again"])
        final = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        told = await history(graph, sync=sync)
        nodes = ["__start__", *["planner", "task_fetching_unit", "joiner"] * 2]
        assert [each.next for each in reversed(told)] == [*((node,) for node in nodes), ()]
        assert told[0].values.items() >= final.items()
        # from the second joiner: nothing is planned or run again
        before_joiner = next(each for each in told if each.next == ("joiner",))
        forked = await do(graph, "invoke", None, before_joiner.config, sync=sync)
        assert forked["messages"][-1].content == "done again"
        assert values(forked) == values(final) == ["saw a", "saw saw a", "saw saw saw a"]
        assert bench.ran == {"look a": 1, "look saw a": 1, "look saw saw a": 1}
        # the first branch is still there
        assert (await do(graph, "get_state", told[0].config, sync=sync)).values.items() >= final.items()


@both_ways
async def test_running_a_plan_again(store: str, sync: bool) -> None:
    """A run forked before the task fetching unit runs the plan again, without asking for it."""
    bench = Bench()
    async with saver_at(store, sync=sync) as saver:
        graph = bench.graph(saver, ['1. look("a")\n2. look("$1")', "Finish: done", "Finish: done again"])
        final = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        told = await history(graph, sync=sync)
        planned = next(each for each in told if each.next == ("task_fetching_unit",))
        forked = await do(graph, "invoke", None, planned.config, sync=sync)
        assert values(forked) == values(final)
        assert forked["messages"][-1].content == "done again"
        assert bench.ran == {"look a": 2, "look saw a": 2}
        assert len(forked["messages"]) == len(final["messages"])


@both_ways
async def test_changing_an_observation(store: str, sync: bool) -> None:
    """An observation changed by `update_state` is the one that the joiner sees, and every task that runs later."""
    bench = Bench()
    async with saver_at(store, sync=sync) as saver:
        replies = ['1. look("a")\n2. look("$1")', "Replan: more", '3. look("$1")', "Finish: done"]
        graph = bench.graph(saver, [*replies, "Replan: more", '3. look("$1")', "Finish: changed"])
        await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        told = await history(graph, sync=sync)
        judged = next(each for each in reversed(told) if each.next == ("joiner",))
        tasks = [{**task, "value": "nothing"} if task["index"] == 1 else task for task in judged.values["tasks"]]
        fork = await do(graph, "update_state", judged.config, {"tasks": tasks}, sync=sync)
        final = await do(graph, "invoke", None, fork, sync=sync)
        assert final["messages"][-1].content == "changed"
        assert values(final) == ["nothing", "saw saw a", "saw nothing"]
        assert '1. look(what="a") = "nothing"' in str(bench.model.calls[4][-1].content)
        assert bench.ran == {"look a": 1, "look saw a": 2, "look nothing": 1}


@both_ways
async def test_giving_an_observation_before_it_is_made(store: str, sync: bool) -> None:
    """A task that a human marks as done before the plan runs is not run; those behind it take what was given."""
    bench = Bench()
    async with saver_at(store, sync=sync) as saver:
        graph = bench.graph(
            saver, ['1. look("a")\n2. look("$1")', "Finish: done"], interrupt_before=["task_fetching_unit"]
        )
        paused = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        tasks = [
            {**task, "status": "done", "value": "mine"} if task["index"] == 1 else task for task in paused["tasks"]
        ]
        await do(graph, "update_state", THREAD, {"tasks": tasks}, sync=sync)
        final = await do(graph, "invoke", None, THREAD, sync=sync)
        assert values(final) == ["mine", "saw mine"]
        assert bench.ran == {"look mine": 1}
        assert [each.content for each in final["messages"]] == ["?", "", "mine", "saw mine", "done"]


FAN_OUT = "1. names()\n2. send(${1[*]})"


def senders(ran: Counter[str], *, fails: str = "", asks: str = "") -> list[BaseTool]:
    """Tools to fan out with: `send` is counted, fails the first time for one name, and asks about others."""

    @tool
    async def names() -> list[str]:
        """Names."""
        return ["a", "b", "c", "d"]

    @tool
    async def send(to: str) -> str:
        """Send."""
        ran[to] += 1
        if to == fails and ran[to] == 1:
            await asyncio.sleep(0.1)
            raise OSError(to)
        return f"{to}: {interrupt(to)}" if to in asks else to

    return [names, send]


@pytest.mark.parametrize("early", [False, True], ids=["planned", "early"])
async def test_each_call_of_a_fan_out_is_persisted(store: str, early: bool) -> None:
    """Of a task that fans out, only calls that were not finished are made again, also if they began early."""
    ran: Counter[str] = Counter()
    async with saver_at(store, sync=False) as saver:

        def graph(*replies: str) -> Any:
            model, before = ScriptedModel(replies), [] if early else ["task_fetching_unit"]
            tools = senders(ran, fails="b")
            return create_llm_compiler(
                model, tools, checkpointer=saver, handle_tool_errors=False, interrupt_before=before
            )

        if not early:
            await graph(FAN_OUT).ainvoke(QUESTION, THREAD)
        with pytest.raises(OSError, match="b"):
            await graph(FAN_OUT).ainvoke(QUESTION if early else None, THREAD)
        assert ran == {"a": 1, "b": 1, "c": 1, "d": 1}
        final = await graph("Finish: done").ainvoke(None, THREAD)
    assert values(final)[1] == ["a", "b", "c", "d"]
    assert ran == {"a": 1, "b": 2, "c": 1, "d": 1}


async def test_a_call_of_a_fan_out_that_asks(store: str) -> None:
    """If one call of a task that fans out asks a human, the others are not made again once it is answered."""
    ran: Counter[str] = Counter()
    async with saver_at(store, sync=False) as saver:
        model, before = ScriptedModel([FAN_OUT, "Finish: done"]), ["task_fetching_unit"]
        graph = create_llm_compiler(model, senders(ran, asks="d"), checkpointer=saver, interrupt_before=before)
        await graph.ainvoke(QUESTION, THREAD)
        paused = await graph.ainvoke(None, THREAD)
        assert [each.value for each in paused["__interrupt__"]] == ["d"]
        final = await graph.ainvoke(Command(resume="yes"), THREAD)
    assert values(final)[1] == ["a", "b", "c", "d: yes"]
    assert ran == {"a": 1, "b": 1, "c": 1, "d": 2}


async def test_early_calls_of_a_fan_out_that_ask() -> None:
    """Each call that asks is answered once, in its turn if there is room for one, and no other is made again."""
    ran: Counter[str] = Counter()
    model = ScriptedModel([FAN_OUT, "Finish: done"])
    limit = {"send": 1}
    graph = create_llm_compiler(model, senders(ran, asks="bd"), checkpointer=InMemorySaver(), tool_concurrency=limit)
    final, asked = await graph.ainvoke(QUESTION, THREAD), list[str]()
    while questions := final.get("__interrupt__"):
        asked += [each.value for each in questions]
        final = await graph.ainvoke(Command(resume={each.id: "yes" for each in questions}), THREAD)
    assert values(final)[1] == ["a", "b: yes", "c", "d: yes"]
    assert sorted(asked) == ["b", "d"]
    assert (ran["a"], ran["c"]) == (1, 1)


@both_ways
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_approvals(store: str, together: bool, sync: bool) -> None:
    """Three tools await approval, five do not: one pause, five done; however it is answered, each runs once."""
    desk = Desk()
    approve: Any = {"decisions": [{"type": "approve"}] * 3} if together else {"type": "approve"}
    plan = "\n".join([*(f'{n}. send(to="{n}")' for n in (1, 2, 3)), *(f'{n}. find(what="{n}")' for n in range(4, 9))])
    async with saver_at(store, sync=sync) as saver:
        graph = desk.graph(plan, checkpointer=saver, interrupt_mode="batched" if together else "per_call")
        state = await do(graph, "invoke", QUESTION, THREAD, sync=sync)
        assert desk.ran == {f"find {n}": 1 for n in range(4, 9)}
        assert len(state["__interrupt__"]) == (1 if together else 3)
        answers = 0
        while waiting := state.get("__interrupt__"):
            answers += 1
            given: Any = Command(resume={waiting[0].id: approve})
            state = await do(graph, "invoke", given, THREAD, sync=sync)
    assert answers == (1 if together else 3)
    assert state["messages"][-1].content == "done"
    assert desk.ran == {f"find {n}": 1 for n in range(4, 9)} | {f"send {n}": 1 for n in (1, 2, 3)}


@pytest.mark.parametrize("effects", [False, True], ids=["read-only", "with effects"])
@both_ways
async def test_a_plan_goes_on_without_a_tool_that_is_gone(sync: bool, effects: bool) -> None:
    """Its tasks fail, and those that need them are skipped; all others run."""

    @tool
    async def look(what: str) -> str:
        """Look."""
        return f"saw {what}"

    @tool
    async def gone(what: str) -> str:
        """Look elsewhere."""
        return what

    gone.metadata = {"readOnlyHint": not effects}
    saver, plan = InMemorySaver(), '1. gone("a")\n2. look("$1")\n3. look("b")\n4. join()'
    held: Any = {"checkpointer": saver, "interrupt_before": ["task_fetching_unit"]}
    await create_llm_compiler(ScriptedModel([plan]), [look, gone], **held).ainvoke(QUESTION, THREAD)
    graph = create_llm_compiler(ScriptedModel(["Finish: ok"]), [look], checkpointer=saver)
    final = await asyncio.to_thread(graph.invoke, None, THREAD) if sync else await graph.ainvoke(None, THREAD)
    assert [task["status"] for task in final["tasks"]] == ["failed", "skipped", "done"]
    assert "gone is not a valid tool" in final["tasks"][0]["error"]
