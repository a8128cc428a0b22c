"""Cancels runs at random moments and counts what they leave behind: asyncio tasks, threads, checkpoints to go on from.

python -m tests.benchmarks.cancellation [--runs 500] [--seed 0]

Four of five runs are cancelled as `asyncio` and `langgraph dev` do it, every fifth is a synchronous `invoke` that is
interrupted as by Ctrl-C (SIGINT), each at a random moment: while the plan is written, while either kind of
tool runs, while the joiner answers. Asyncio tasks and threads are counted before, during (as each run is cancelled) and
after. Threads are kept for later calls once they are made, so that the baseline is taken after a few cancelled runs.
Then every run goes on from its checkpoint, and must end right.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import threading
import time
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

PLAN = """\
1. wait("a")
2. block("b")
3. wait("$1 c")
4. block("$2 d")
5. write("$3 e")
6. wait("$4 f")
7. write("$5 g")
8. block("$6 $7")
9. join()"""
LAST = "b d f a c e g"
QUESTION: Any = {"messages": [("user", "?")]}
SECONDS = 0.02  # per tool call


class Count(NamedTuple):
    """How many there are."""

    tasks: int
    threads: int


class Figures(NamedTuple):
    """What cancelled runs come to."""

    before: Count
    peak: Count
    after: Count
    runs: int
    cancelled: int
    moments: dict[str, int]
    resumed_right: int


def the_graph() -> Any:
    """Make the graph whose runs are cancelled."""

    @tool
    async def wait(what: str) -> str:
        """Wait."""
        await asyncio.sleep(SECONDS)
        return what

    @tool
    def block(what: str) -> str:
        """Hold a thread."""
        time.sleep(SECONDS)
        return what

    @tool
    async def write(what: str) -> str:
        """Change something."""
        await asyncio.sleep(SECONDS)
        return what

    write.metadata = {"readOnlyHint": False}

    def reply(messages: list[BaseMessage]) -> str:
        return "Finish: done" if "Observations" in str(messages[-1].content) else PLAN

    model = ScriptedModel([reply] * 10_000, seconds_per_reply=2 * SECONDS)
    return create_llm_compiler(model, [wait, block, write], checkpointer=InMemorySaver())


async def cancelled(graph: Any, thread: Any, moment: float) -> tuple[bool, Count]:
    """Cancel a run; whether it was still going on, and what there was at that moment."""
    run = asyncio.create_task(graph.ainvoke(QUESTION, thread))
    await asyncio.sleep(moment)
    counted = Count(len(asyncio.all_tasks()) - 1, threading.active_count())
    ended = run.done()
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    return not ended, counted


def interrupted(graph: Any, thread: Any, moment: float) -> tuple[bool, Count]:
    """Interrupt a synchronous run, as Ctrl-C does."""
    counted: list[Count] = []
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        counted.append(Count(0, threading.active_count() - 1))  # less this one
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(moment, interrupt)
    timer.start()
    try:
        graph.invoke(QUESTION, thread)
        ended = True
        timer.cancel()
        timer.join()  # the signal comes now or not at all
    except KeyboardInterrupt:
        ended = False
    timer.join()
    return not ended, counted[0] if counted else Count(0, 0)


def stage(graph: Any, thread: Any) -> str:
    """Where a run stands."""
    held = graph.get_state(thread)
    return held.next[0] if held.next else ("ended" if held.values else "not begun")


def measure(runs: int, seed: int = 0, warm_up: int = 20) -> Figures:
    """Cancel runs and go on with them. Call it in the main thread."""
    graph, rng = the_graph(), random.Random(seed)
    peak = Count(0, 0)
    stopped = 0
    moments: dict[str, int] = {}
    right = 0

    def one(loop: asyncio.Runner, number: int, longest: float) -> None:
        nonlocal peak, stopped
        thread: Any = {"configurable": {"thread_id": str(number)}}
        moment = rng.uniform(0, longest)
        if number % 5 == 4:
            going, counted = interrupted(graph, thread, moment)
        else:
            going, counted = loop.run(cancelled(graph, thread, moment))
        stopped += going
        peak = Count(max(peak.tasks, counted.tasks), max(peak.threads, counted.threads))

    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1

    def count(loop: asyncio.Runner) -> Count:
        time.sleep(5 * SECONDS)  # a synchronous tool cannot be stopped: it ends when it ends
        return Count(loop.run(tasks()), threading.active_count())

    with asyncio.Runner() as loop:
        began = time.perf_counter()
        loop.run(graph.ainvoke(QUESTION, {"configurable": {"thread_id": "whole"}}))
        longest = time.perf_counter() - began
        graph.invoke(QUESTION, {"configurable": {"thread_id": "whole, synchronous"}})
        for number in range(-warm_up, 0):
            one(loop, number, longest)
        before = count(loop)
        peak, stopped = before, 0
        for number in range(runs):
            one(loop, number, longest)
        after = count(loop)
        for number in range(runs):
            thread: Any = {"configurable": {"thread_id": str(number)}}
            where = stage(graph, thread)
            moments[where] = moments.get(where, 0) + 1
            given = QUESTION if where == "not begun" else None
            final = loop.run(graph.ainvoke(given, thread)) if where != "ended" else graph.get_state(thread).values
            right += final["tasks"][-1]["value"] == LAST and final["messages"][-1].content == "done"
    return Figures(before, peak, after, runs, stopped, moments, right)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = measure(given.runs, given.seed)
    print(f"{found.runs} runs, {found.cancelled} of them cancelled before they ended")
    print(f"asyncio tasks: {found.before.tasks} before, {found.peak.tasks} at the peak, {found.after.tasks} after")
    print(f"threads: {found.before.threads} before, {found.peak.threads} at the peak, {found.after.threads} after")
    print("to go on at:", ", ".join(f"{where} {n}" for where, n in sorted(found.moments.items())))
    print(f"went on and ended right: {found.resumed_right}/{found.runs}")


if __name__ == "__main__":
    main()
