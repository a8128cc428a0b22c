"""What a run costs per task, beside bare calls and `create_agent`: processor time, growth, memory, and where it goes.

python -m tests.benchmarks.scale [--n 10 100 1000] [--only TEXT] [--runs 5] [--limit 300] [--stages N] [--in-turns]

Scripted: tools and models take no time; the model streams a plan line by line. Every run is in a process of its own,
forked from this one, with a graph that has run once; the cases take turns. Figures are medians of processor time (all
threads). *Over bare* is what a task takes besides `tool.ainvoke` (`tool.invoke`, if synchronous) itself. The exponent
says how the cost of a whole run grows: 1 is linear. A run that takes longer than `--limit` seconds is broken off.

`--in-turns` measures whole runs in one process instead, which has made some before: the asynchronous cases that keep
checkpoints in memory, one after the other.

`--stages N` profiles a run of N tasks instead, and says which package and which part of ours takes how much.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import math
import multiprocessing
import pstats
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import task
from langgraph.graph import END, START, MessagesState, StateGraph

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.graph.node import Node, path
from llmcompiler_graph.testing import ScriptedModel

SHAPES: dict[str, Callable[[int], str]] = {
    "flat": lambda n: f"{n}. inc(x={n})",
    "chain": lambda n: f"{n}. inc(x=${n - 1})" if n > 1 else "1. inc(x=1)",
    "tree": lambda n: f"{n}. inc(x=${n // 2})" if n > 1 else "1. inc(x=1)",
}
"""The line of each task, by shape; `fan-out` is one task over a list."""

REFERENCES = ("bare", "create_agent", "langgraph", "nodes")
"""Beside them: the calls alone, LangChain's agent, and what LangGraph takes for a run like ours, with a `@task` for
each call and without (see `by_hand`)."""


class Case(NamedTuple):
    """What is measured."""

    who: str
    """A shape of ours, or one of `REFERENCES`."""
    store: str = "-"
    """The checkpointer: `-`, `memory` or `sqlite`."""
    sync: bool = False
    """Whether it is called synchronously."""

    def __str__(self) -> str:
        return ", ".join([self.who, *[self.store][: self.store != "-"], *["sync"][: self.sync]])


CASES = [
    Case(who, store, sync)
    for sync in (False, True)
    for who in (*REFERENCES, *SHAPES, "fan-out")
    for store in ("-", "memory", "sqlite")
    if who != "bare" or store == "-"
]


class Cost(NamedTuple):
    """What one run took."""

    seconds: float
    """Processor time."""
    wall: float
    """Seconds."""
    peak: int
    """How far the process's memory grew during the run, in bytes."""


def tools(*, sync: bool) -> list[BaseTool]:
    """A tool that does nothing, and one that gives a list."""
    if sync:

        @tool
        def inc(x: int) -> int:
            """Add one."""
            return x + 1
    else:

        @tool
        async def inc(x: int) -> int:
            """Add one."""
            return x + 1

    @tool
    async def numbers(count: int) -> list[int]:
        """Count."""
        return list(range(count))

    return [inc, numbers]


def plan_of(shape: str, n: int) -> str:
    """A plan of `n` calls."""
    if shape == "fan-out":
        return f"1. numbers(count={n})\n2. inc(x=${{1[*]}})\n3. join()"
    return "\n".join([*map(SHAPES[shape], range(1, n + 1)), f"{n + 1}. join()"])


def native_call(x: int) -> ToolCall:
    """A call of the tool."""
    return ToolCall(name="inc", args={"x": x}, id=f"call_{x}", type="tool_call")


def native_calls(n: int) -> AIMessage:
    """A reply with `n` parallel calls."""
    return AIMessage("", tool_calls=list(map(native_call, range(n))))


def by_hand(model: ScriptedModel, inc: BaseTool, checkpointer: Any, *, own_tasks: bool) -> Any:
    """LangGraph alone, as a run of ours uses it: two streamed replies, three nodes, maybe a `@task` for each call.

    Nothing is read or checked, no call begins early, and no call waits for another. Without `@task`s nothing is kept of
    a call until all have returned.
    """

    def invoke(x: int) -> Any:
        return inc.invoke(native_call(x))

    async def ainvoke(x: int) -> Any:
        return await inc.ainvoke(native_call(x))

    call: Any = task(invoke)
    acall: Any = task(ainvoke) if own_tasks else ainvoke

    def ask(state: MessagesState) -> Any:
        return {"messages": [AIMessage("".join(chunk.text for chunk in model.stream(state["messages"])))]}

    async def aask(state: MessagesState) -> Any:
        return {"messages": [AIMessage("".join([chunk.text async for chunk in model.astream(state["messages"])]))]}

    def work(state: MessagesState) -> Any:
        numbers = range(state["messages"][-1].text.count("\n"))
        if own_tasks:
            return {"messages": [future.result() for future in [call(x) for x in numbers]]}
        with ContextThreadPoolExecutor() as pool:
            return {"messages": list(pool.map(invoke, numbers))}

    async def awork(state: MessagesState) -> Any:
        calls = map(acall, range(state["messages"][-1].text.count("\n")))
        return {"messages": await asyncio.gather(*calls)}

    graph = StateGraph(MessagesState)
    graph.add_node("planner", Node("planner", ask, aask))
    graph.add_node("task_fetching_unit", Node("task_fetching_unit", work, awork))
    graph.add_node("joiner", Node("joiner", ask, aask))
    graph.add_edge(START, "planner")
    graph.add_edge("planner", "task_fetching_unit")
    graph.add_edge("task_fetching_unit", "joiner")
    graph.add_conditional_edges("joiner", path(lambda _: "end"), {"end": END, "replan": "planner"})
    return graph.compile(checkpointer)


def agent(case: Case, sizes: list[int], checkpointer: Any) -> Any:
    """What answers, with a model that replies for runs of these sizes."""
    if case.who in ("langgraph", "nodes"):
        model = ScriptedModel([reply for n in sizes for reply in (plan_of("flat", n), "done")], chunk_size=0)
        return by_hand(model, tools(sync=case.sync)[0], checkpointer, own_tasks=case.who == "langgraph")
    if case.who == "create_agent":
        model = ScriptedModel([reply for n in sizes for reply in (native_calls(n), "done")])
        return create_agent(model, tools(sync=case.sync)[:1], checkpointer=checkpointer)
    model = ScriptedModel([reply for n in sizes for reply in (plan_of(case.who, n), "Finish: done")], chunk_size=0)
    return create_llm_compiler(model, tools(sync=case.sync), max_fan_out=None, checkpointer=checkpointer)


def verify(case: Case, n: int, final: dict[str, Any]) -> None:
    """Refuse a run that did not do its work."""
    assert final["messages"][-1].content == "done", final["messages"][-1]
    if case.who in SHAPES:
        assert [task["status"] for task in final["tasks"]] == ["done"] * n
    elif case.who == "fan-out":
        assert len(final["tasks"][1]["value"]) == n, final["tasks"][1]["error"]
    else:
        assert len(final["messages"]) == n + 3


QUESTION = {"messages": [("user", "go")]}
WARM_UP = 10  # tasks of the first run


def on(thread: str) -> Any:
    """The config of a run."""
    return {"configurable": {"thread_id": thread}}


def run_sync(case: Case, n: int, folder: str, around: Callable[[], Any]) -> None:
    """Make one synchronous run; `around` says when it begins and ends."""
    if case.who == "bare":
        inc = tools(sync=True)[0]
        with around():
            for x in range(n):
                inc.invoke({"x": x})
        return
    with ExitStack() as stack:
        checkpointer: Any = None
        if case.store == "sqlite":
            checkpointer = stack.enter_context(SqliteSaver.from_conn_string(f"{folder}/{time.monotonic_ns()}"))
        elif case.store == "memory":
            checkpointer = InMemorySaver()
        graph = agent(case, [WARM_UP, n], checkpointer)
        graph.invoke(QUESTION, on("first"))
        with around():
            final = graph.invoke(QUESTION, on("second"))
        verify(case, n, final)


async def run_async(case: Case, n: int, folder: str, around: Callable[[], Any]) -> None:
    """Make one run on an event loop."""
    if case.who == "bare":
        inc = tools(sync=False)[0]
        with around():
            await asyncio.gather(*(inc.ainvoke({"x": x}) for x in range(n)))
        return
    async with AsyncExitStack() as stack:
        checkpointer: Any = None
        if case.store == "sqlite":
            saver = AsyncSqliteSaver.from_conn_string(f"{folder}/{time.monotonic_ns()}")
            checkpointer = await stack.enter_async_context(saver)
        elif case.store == "memory":
            checkpointer = InMemorySaver()
        graph = agent(case, [WARM_UP, n], checkpointer)
        await graph.ainvoke(QUESTION, on("first"))
        with around():
            final = await graph.ainvoke(QUESTION, on("second"))
        verify(case, n, final)


def run(case: Case, n: int, folder: str, around: Callable[[], Any]) -> None:
    """Make one run."""
    if case.sync:
        run_sync(case, n, folder, around)
    else:
        asyncio.run(run_async(case, n, folder, around))


class Meter:
    """Measures what happens inside `with`."""

    def __enter__(self) -> None:
        gc.collect()
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.wall = time.perf_counter()
        self.seconds = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self.seconds
        self.wall = time.perf_counter() - self.wall
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.peak
        self.peak = grown * (1 if sys.platform == "darwin" else 1024)  # bytes


def measure(case: Case, n: int, folder: str) -> Cost:
    """Make one run, after others to warm up; say what it took."""
    run(case, WARM_UP, folder, Meter)
    meter = Meter()
    run(case, n, folder, lambda: meter)
    return Cost(meter.seconds, meter.wall, meter.peak)


def measured(case: Case, n: int, folder: str, limit: float) -> Cost | None:
    """Do it in a process of its own; `None` if that took too long."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            return pool.apply_async(measure, (case, n, folder)).get(limit)
        except multiprocessing.TimeoutError:
            return None


async def in_turns(cases: list[Case], n: int, runs: int) -> dict[Case, float]:
    """The median processor time of a run of `n` tasks, in ms, by case: in this process, in turns."""
    before = 3
    graphs = {case: agent(case, [n] * (before + runs), InMemorySaver()) for case in cases}
    taken: dict[Case, list[float]] = {case: [] for case in cases}
    for number in range(before + runs):
        for case, graph in graphs.items():
            with (meter := Meter()):
                await graph.ainvoke(QUESTION, on(str(number)))
            taken[case].append(meter.seconds * 1000)
    return {case: statistics.median(seconds[before:]) for case, seconds in taken.items()}


# -- where the time goes -----------------------------------------------------------------------------------------------


def stage_of(path: str) -> str:
    """What a file belongs to: a package, or a part of ours."""
    parts = Path(path).parts
    for name, depth in (("llmcompiler_graph", 3), ("langgraph", 2), ("langchain_core", 2)):
        if name in parts:
            inside = parts[len(parts) - parts[::-1].index(name) - 1 :]
            return "/".join(inside[:depth]).removesuffix(".py")
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "asyncio" if "asyncio" in parts else "standard library"


def stages(profile: cProfile.Profile) -> Counter[str]:
    """Seconds by stage; what is built in counts for whoever called it."""
    found: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if file != "~":
            found[stage_of(file)] += own
            continue
        for (caller, _, _), (_, _, of_caller, _) in callers.items():
            found[stage_of(caller) if caller != "~" else "standard library"] += of_caller
    return found


def print_stages(case: Case, n: int, folder: str) -> None:
    """Profile one run, print the share of each stage."""
    run(case, WARM_UP, folder, Meter)
    profile = cProfile.Profile()
    asyncio.run(run_async(case, n, folder, lambda: profile))
    found = stages(profile)
    print(f"\n{case}, {n} tasks: share of the profiled time, %")
    for stage, seconds in found.most_common(25):
        print(f"{seconds / found.total() * 100:6.1f}  {stage}")


# -- the table ---------------------------------------------------------------------------------------------------------


def exponent(costs: dict[int, float]) -> str:
    """How the cost of a run grows with its tasks, from 100 on."""
    sizes = sorted(n for n in costs if n >= 100)
    if len(sizes) < 2:
        return ""
    least, most = sizes[0], sizes[-1]
    return f"{math.log(costs[most] / costs[least]) / math.log(most / least):.2f}"


def rows(cases: list[Case], sizes: list[int], found: dict[tuple[Case, int], list[Cost]]) -> Iterator[list[str]]:
    """The table's rows: microseconds a task."""
    yield ["µs a task over bare", *(f"{n:,}" for n in sizes), "exponent", "wall, s", "KB a task"]

    def median(case: Case, n: int, what: str = "seconds") -> float:
        return float(statistics.median(getattr(cost, what) for cost in found[case, n]))

    for case in cases:
        done = [n for n in sizes if found.get((case, n))]
        costs = {n: median(case, n) for n in done}
        bare = {n: median(Case("bare", sync=case.sync), n) / n for n in done if case.who != "bare"}
        cells = [f"{(costs[n] / n - bare.get(n, 0)) * 1e6:,.0f}" if n in costs else "broken off" for n in sizes]
        largest = done[-1] if done else 0
        wall = f"{median(case, largest, 'wall'):.2f}" if largest else ""
        memory = f"{median(case, largest, 'peak') / largest / 1024:.1f}" if largest else ""
        yield [str(case), *cells, exponent(costs), wall, memory]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[10, 100, 1000], help="how many tasks")
    parser.add_argument("--only", nargs="+", default=[], help="cases whose name contains one of these, besides bare")
    parser.add_argument("--runs", type=int, default=5, help="of each case; fewer of those that take long")
    parser.add_argument("--limit", type=float, default=300, help="seconds that a run may take")
    parser.add_argument("--stages", type=int, help="profile runs of so many tasks instead")
    parser.add_argument("--in-turns", action="store_true", help="measure whole runs in one process instead")
    given = parser.parse_args()
    cases = [case for case in CASES if not given.only or any(f", {only}," in f", {case}," for only in given.only)]
    if given.in_turns:
        warm = [case for case in cases if case.store == "memory" and not case.sync]
        found_in_turns = [asyncio.run(in_turns(warm, n, given.runs)) for n in given.n]
        print("| ms a run | " + " | ".join(f"{n:,}" for n in given.n) + " |")
        for case in warm:
            print(f"| {case} | " + " | ".join(f"{costs[case]:.1f}" for costs in found_in_turns) + " |")
        return
    with tempfile.TemporaryDirectory() as folder:
        if given.stages:
            for case in cases:
                if not case.sync:
                    print_stages(case, given.stages, folder)
            return
        cases = [
            case for case in CASES if case in cases or (case.who == "bare" and case.sync in {c.sync for c in cases})
        ]
        found: dict[tuple[Case, int], list[Cost]] = {}
        taken: Counter[tuple[Case, int]] = Counter()  # seconds
        for _ in range(given.runs):
            for n in given.n:
                for case in cases:
                    done = found.setdefault((case, n), [])
                    if taken[case, n] > given.limit / 5:
                        continue
                    start = time.monotonic()
                    if (cost := measured(case, n, folder, given.limit)) is not None:
                        done.append(cost)
                    taken[case, n] += int(time.monotonic() - start)
                    print(f"{case}: {n:,} tasks, {cost}", file=sys.stderr, flush=True)
        for row in rows(cases, given.n, found):
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
