"""A task that fans out over a very long list: its time, its memory, and how long the event loop is kept from others.

python -m tests.benchmarks.wide_fan_out [--calls 10000] [--seconds 0 1 5]

Scripted; the tool sleeps. Each row is one run in a process of its own, after a small one. *Lag* is how late the
latest timer of 10 ms was that ran meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
from typing import Any

from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from tests.benchmarks.scale import QUESTION, Meter, on, plan_of, tools
from tests.benchmarks.throughput import lags_of_loop


async def run(calls: int, seconds: float) -> str:
    """Make a run; give its row."""

    @tool
    async def inc(x: int) -> int:
        """Add one."""
        await asyncio.sleep(seconds)
        return x + 1

    _, numbers = tools(sync=False)
    model = ScriptedModel(
        [reply for n in (10, calls) for reply in (plan_of("fan-out", n), "Finish: done")], chunk_size=0
    )
    graph: Any = create_llm_compiler(model, [inc, numbers], max_fan_out=None, checkpointer=InMemorySaver())
    await graph.ainvoke(QUESTION, on("first"))
    async with lags_of_loop() as lags:
        with (meter := Meter()):
            final = await graph.ainvoke(QUESTION, on("second"))
    assert len(final["tasks"][1]["value"]) == calls, final["tasks"][1]["error"]
    kilobytes = meter.peak / calls / 1024
    return f"{seconds:>8g} {meter.wall:>8.2f} {meter.seconds:>13.2f} {kilobytes:>10.1f} {max(lags):>8.2f}"


def measured(calls: int, seconds: float) -> str:
    """Make a run on a loop of its own."""
    return asyncio.run(run(calls, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000, help="how many elements")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 1, 5], help="how long each call takes")
    given = parser.parse_args()
    print(f"{'tool, s':>8} {'wall, s':>8} {'processor, s':>13} {'KB a call':>10} {'lag, s':>8}")
    for how_long in given.seconds:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(pool.apply(measured, (given.calls, how_long)), flush=True)
