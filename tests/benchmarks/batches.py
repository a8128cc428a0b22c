"""200 look-ups by a service that allows 10 calls a second, with and without a tool that takes many; time is virtual.

python -m tests.benchmarks.batches [--elements 200] [--per-second 10] [--seconds 0.3]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from langchain_core.tools import BaseTool, tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel, run_virtual


class Service:
    """What answers after some time, and lets so many calls a second in, evenly."""

    def __init__(self, per_second: float, seconds: float) -> None:
        self.interval, self.seconds = 1 / per_second, seconds
        self.calls = 0
        self.free_at = 0.0

    async def call(self) -> None:
        """Wait until a call is let in, and until it is answered."""
        self.calls += 1
        now = asyncio.get_running_loop().time()
        begins = max(now, self.free_at)
        self.free_at = begins + self.interval
        await asyncio.sleep(begins - now + self.seconds)

    def tools(self, elements: int, metadata: dict[str, Any]) -> list[BaseTool]:
        """Its tools."""

        @tool
        async def look(what: str) -> str:
            """Look one thing up."""
            await self.call()
            return what.upper()

        @tool
        async def look_many(things: list[str]) -> list[str]:
            """Look things up."""
            await self.call()
            return [thing.upper() for thing in things]

        @tool
        def listed() -> list[str]:
            """List what there is."""
            return [f"thing {n}" for n in range(elements)]

        look.metadata = {"readOnlyHint": True, **metadata}
        return [look, look_many, listed]


def plans(elements: int) -> dict[str, str]:
    """The same look-ups as one task that fans out, and as a task each."""
    tasks = [f'{n}. look("thing {n - 1}")' for n in range(1, elements + 1)]
    return {"fan-out": '1. listed()\n2. look("${1[*]}")', "tasks": "\n".join(tasks)}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=200)
    parser.add_argument("--per-second", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    print("| plan | made as | calls | seconds | processor seconds |\n|---|---|---|---|---|")
    for plan, text in plans(options.elements).items():
        for how, metadata in (
            ("one by one", {}),
            ("batches of 50", {"batch": "look_many", "batch_size": 50}),
            ("one batch", {"batch": "look_many"}),
        ):
            service = Service(options.per_second, options.seconds)
            graph = create_llm_compiler(ScriptedModel([text, "Finish: so"]), service.tools(options.elements, metadata))

            async def run(graph: Any = graph) -> tuple[Any, float]:
                final = await graph.ainvoke({"messages": [("user", "?")]})
                return final, asyncio.get_running_loop().time()

            begun = time.process_time()
            final, seconds = run_virtual(run)
            used = time.process_time() - begun
            values = [task["value"] for task in final["tasks"]]
            assert (values[1] if plan == "fan-out" else values) == [f"THING {n}" for n in range(options.elements)]
            print(f"| {plan} | {how} | {service.calls} | {seconds:.2f} | {used:.2f} |")


if __name__ == "__main__":
    main()
