"""Many runs in one process: processor time per run, how late answers are, how long the event loop is blocked.

python -m tests.benchmarks.throughput [--runs 1 10 100 500] [--clients 50]

Scripted: a reply takes 0.3 s, streamed in pieces of four characters, a tool 0.5 s; a plan has four independent tasks.
All runs begin at once. The *bound* is what a client that loses no time would need: for `create_agent`, which waits for
all calls and then makes them, it is longer. *Lag* is how late a timer of 10 ms is that runs meanwhile. `--clients`
asks a `langgraph dev` (in memory, 50 jobs at a time) from so many clients at once; 0 leaves it out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import tool
from langgraph_sdk import get_client

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

REPLY, TOOL = 0.3, 0.5  # seconds
PLAN = "\n".join(f'{n}. look("{n}")' for n in range(1, 5)) + "\n5. join()"
QUESTION: Any = {"messages": [{"role": "user", "content": "What is there?"}]}


@tool
async def look(what: str) -> str:
    """Look."""
    await asyncio.sleep(TOOL)
    return what.upper()


def planned(messages: list[BaseMessage]) -> str:
    """What the planner or the joiner writes."""
    return "Finish: done" if any(isinstance(each, ToolMessage) for each in messages) or _joins(messages) else PLAN


def _joins(messages: list[BaseMessage]) -> bool:
    return "Write the plan." not in str(messages[-1].content)


def called(messages: list[BaseMessage]) -> AIMessage:
    """What the model of `create_agent` writes."""
    if isinstance(messages[-1], ToolMessage):
        return AIMessage("done")
    calls = [ToolCall(name="look", args={"what": str(n)}, id=f"call_{n}", type="tool_call") for n in range(1, 5)]
    return AIMessage("", tool_calls=calls)


def ours() -> Any:
    """Our graph."""
    return create_llm_compiler(ScriptedModel([planned] * 100_000, seconds_per_reply=REPLY), [look])


def theirs() -> Any:
    """LangChain's."""
    return create_agent(ScriptedModel([called] * 100_000, seconds_per_reply=REPLY), [look])


def bound(who: str) -> float:
    """When a client that loses no time has the answer, in seconds."""
    if who == "create_agent":
        return REPLY + TOOL + REPLY
    pieces, last = -(-len(PLAN) // 4), -(-(PLAN.index("\n5.") + 1) // 4)
    return max(REPLY, REPLY * last / pieces + TOOL) + REPLY


def told(who: str, what: str, seconds: list[float], processor: float | None, lags: list[float]) -> None:
    """Print a row."""
    seconds = sorted(seconds)
    p99 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
    cells = [who, what, f"{processor / len(seconds) * 1000:.1f}" if processor is not None else ""]
    cells += [f"{value / bound(who):.3f}" for value in (statistics.median(seconds), p99)]
    cells.append(f"{sorted(lags)[int(len(lags) * 0.99)] * 1000:.0f} / {max(lags) * 1000:.0f}" if lags else "")
    print("| " + " | ".join(cells) + " |", flush=True)


@asynccontextmanager
async def lags_of_loop() -> AsyncIterator[list[float]]:
    """Note how late timers of 10 ms are meanwhile, in seconds."""
    lags: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    try:
        yield lags
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


async def at_once(who: str, graph: Any, count: int) -> None:
    """Make runs at once in this process."""

    async def one() -> float:
        began = time.perf_counter()
        final = await graph.ainvoke(QUESTION)
        assert final["messages"][-1].content == "done", final["messages"]
        return time.perf_counter() - began

    await asyncio.gather(one(), one())
    async with lags_of_loop() as lags:
        processor = time.process_time()
        seconds = await asyncio.gather(*(one() for _ in range(count)))
        processor = time.process_time() - processor
    told(who, f"{count}", seconds, processor, lags)


async def from_clients(url: str, count: int) -> None:
    """Ask a server from many clients at once."""
    client = get_client(url=url)

    async def one(assistant: str) -> float:
        began = time.perf_counter()
        final: Any = await client.runs.wait(None, assistant, input=QUESTION)
        assert final["messages"][-1]["content"] == "done", final
        return time.perf_counter() - began

    for who in ("ours", "create_agent"):
        await asyncio.gather(one(who), one(who))
        told(who, f"{count} clients", await asyncio.gather(*(one(who) for _ in range(count))), None, [])


def serve(count: int) -> None:
    """Measure `langgraph dev`."""
    from tests.langgraph_dev import langgraph_dev

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        graphs = {name: f"{__file__}:{made}" for name, made in (("ours", "ours"), ("create_agent", "theirs"))}
        config = directory / "langgraph.json"
        config.write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
        environment = {"N_JOBS_PER_WORKER": "50", "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", sys.prefix)}
        with langgraph_dev(config, directory, environment) as url:
            asyncio.run(from_clients(url, count))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", default=[1, 10, 100, 500], help="how many at once")
    parser.add_argument("--clients", type=int, default=50, help="of a server; 0 for none")
    given = parser.parse_args()
    print("| | at once | processor ms per run | median ÷ bound | p99 ÷ bound | lag p99 / most, ms |")
    print("|---|---|---|---|---|---|")
    for count in given.runs:
        for who, graph in (("ours", ours()), ("create_agent", theirs())):
            asyncio.run(at_once(who, graph, count))
    if given.clients:
        serve(given.clients)


if __name__ == "__main__":
    main()
