"""How near a run over real HTTP comes to the critical-path bound.

python tests/benchmarks/http_bound.py [SCENARIO…] [--runs 5]

A scripted provider in a process of its own streams OpenAI's chat completions: the first token after 0.3 s, then one
token of 4 characters every 0.02 s, by the clock, not by counting sleeps. Tools sleep. The *bound* is what the same
schedule allows a client that loses no time: a task starts when its line of plan text and its dependencies are done, the
joiner is asked when the plan and the last task are, and the answer is there with its last token. *By hand* is a client
that does nothing else, with LangChain's model and tool and a regular expression: no graph, no state, no check.
*LangGraph* is the same client in three nodes of a graph: what no graph of planner, unit and joiner can be below. All
take turns; *more* is how many ms a run takes longer than the one by hand of the same turn: the median, between the
quartiles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

FIRST_TOKEN, PER_TOKEN, CHARACTERS = 0.3, 0.02, 4
REPLY = "Thought: everything is there.\nFinish: the answer is 42."


@dataclass(frozen=True)
class Step:
    """One task of a scenario."""

    seconds: float
    """How long its tool takes."""
    after: tuple[int, ...] = ()
    """The tasks it uses."""


SCENARIOS: dict[str, list[Step]] = {
    "basic 2→1": [Step(0.5), Step(0.5), Step(0.5, (1, 2))],
    "wide 8": [Step(0.5)] * 8,
    "stair": [Step(2.0), Step(0.2), Step(2.0, (2,))],
    "chain 4": [Step(0.05), *(Step(0.05, (n,)) for n in (1, 2, 3))],
}


def plan_text(steps: list[Step]) -> str:
    """Write a scenario's plan."""
    lines = []
    for index, step in enumerate(steps, 1):
        text = " ".join(f"${n}" for n in step.after) or "x"
        lines.append(f'{index}. work("{text}", {step.seconds})')
    return "\n".join([*lines, f"{len(steps) + 1}. join()"])


def bound(steps: list[Step]) -> float:
    """Compute when a client that loses no time has the answer, in seconds since it was asked."""

    def token_at(position: int) -> float:
        return FIRST_TOKEN + PER_TOKEN * (position // CHARACTERS)

    plan = plan_text(steps)
    finished: dict[int, float] = {}
    end_of_line = -1
    for index, step in enumerate(steps, 1):
        end_of_line = plan.index("\n", end_of_line + 1)
        start = max([token_at(end_of_line), *(finished[n] for n in step.after)])
        finished[index] = start + step.seconds
    joining = max(token_at(len(plan) - 1), *finished.values())
    return joining + token_at(len(REPLY) - 1)


# -- the provider ------------------------------------------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    loop = asyncio.get_running_loop()
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            request = json.loads(await reader.readexactly(int(length.split(b":")[1])))
            began = loop.time()
            planning = "Write the plan." in request["messages"][-1]["content"]
            text = plan_text(SCENARIOS[request["model"]]) if planning else REPLY
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number, start in enumerate(range(0, len(text), CHARACTERS)):
                await asyncio.sleep(began + FIRST_TOKEN + PER_TOKEN * number - loop.time())
                writer.write(_event({"content": text[start : start + CHARACTERS]}, None))
            writer.write(_event({}, "stop") + _chunk(b"data: [DONE]\n\n") + _chunk(b""))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _event(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]}
    return _chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve() -> None:
    """Serve for ever, on a port that is written to stdout."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# -- the client --------------------------------------------------------------------------------------------------------


_LINE = re.compile(r'(\d+)\. work\("(.*?)", ([\d.]+)\)\n')


class ByHand:
    """Does what a run does, and nothing else.

    Args:
        model: The model.
        tool: The tool.
    """

    def __init__(self, model: Any, tool: Any) -> None:
        self._model = model
        self._tool = tool
        self._calls: dict[str, asyncio.Task[str]] = {}

    async def run(self) -> None:
        """Make a run."""
        await self.plan()
        await self.join(await self.fetch())

    async def plan(self) -> str:
        """Ask for the plan, and begin its calls."""
        plan, read, self._calls = "", 0, {}
        async for chunk in self._model.astream([("user", "What is the answer? Write the plan.")]):
            plan += chunk.text
            while found := _LINE.match(plan, read):
                index, text, seconds = found.groups()
                read, self._calls[index] = found.end(), asyncio.create_task(self._call(text, seconds))
        return plan

    async def _call(self, text: str, seconds: str) -> str:
        for n in re.findall(r"\$(\d+)", text):
            text = text.replace(f"${n}", await self._calls[n])
        return str(await self._tool.ainvoke({"text": text, "seconds": float(seconds)}))

    async def fetch(self) -> str:
        """Wait for the calls."""
        return str(await asyncio.gather(*self._calls.values()))

    async def join(self, observations: str) -> str:
        """Ask for the answer."""
        chunks = self._model.astream([("user", f"What is the answer? {observations}")])
        reply = "".join([chunk.text async for chunk in chunks])
        assert reply == REPLY, reply
        return reply


def graph_of(client: ByHand) -> Any:
    """Put the steps of a client into nodes."""
    from langgraph.graph import END, START, MessagesState, StateGraph

    async def planner(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", await client.plan())]}

    async def task_fetching_unit(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", await client.fetch())]}

    async def joiner(state: MessagesState) -> dict[str, Any]:
        return {"messages": [("ai", await client.join(state["messages"][-1].text))]}

    graph = StateGraph(MessagesState)
    graph.add_node(planner)
    graph.add_node(task_fetching_unit)
    graph.add_node(joiner)
    graph.add_edge(START, "planner")
    graph.add_edge("planner", "task_fetching_unit")
    graph.add_edge("task_fetching_unit", "joiner")
    graph.add_conditional_edges("joiner", lambda _: "end", {"end": END, "replan": "planner"})
    return graph.compile()


class Walls(NamedTuple):
    """How long each run took, in seconds."""

    ours: list[float]
    langgraph: list[float]
    by_hand: list[float]


async def measure(name: str, port: int, runs: int) -> Walls:
    """Run a scenario a few times, after one to warm up, in turns with what it is compared to."""
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    from llmcompiler_graph import create_llm_compiler

    question: Any = {"messages": [("user", "What is the answer?")]}

    @tool
    async def work(text: str, seconds: float) -> str:
        """Take time."""
        await asyncio.sleep(seconds)
        return text.upper()

    model = ChatOpenAI(model=name, base_url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr("none"), max_retries=0)
    graph = create_llm_compiler(model, [work])
    client = ByHand(model, work)
    by_langgraph = graph_of(client)

    async def run() -> None:
        final = await graph.ainvoke(question)
        assert final["messages"][-1].content == "the answer is 42.", final["messages"]
        assert all(task["status"] == "done" for task in final["tasks"]), final["tasks"]

    async def run_langgraph() -> None:
        await by_langgraph.ainvoke(question)

    walls = Walls([], [], [])
    for _ in range(runs + 1):
        for taken, one in zip(walls, (run, run_langgraph, client.run), strict=True):
            began = time.perf_counter()
            await one()
            taken.append(time.perf_counter() - began)
    return Walls(*(taken[1:] for taken in walls))


def more(walls: list[float], than: list[float]) -> str:
    """How many ms longer runs took than others: the median, and the quartiles."""
    least, median, most = statistics.quantiles([1000 * (a - b) for a, b in zip(walls, than, strict=True)])
    return f"{median:.1f} [{least:.1f}, {most:.1f}]"


async def main(names: list[str], runs: int) -> None:
    """Print a table of the scenarios."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            print(f"{'scenario':12} {'bound':>7} {'wall':>7} {'min':>7} {'max':>7}", end="")
            print(f" {'wall/bound':>11} {'LangGraph':>10} {'by hand':>8} {'more, ms':>18} {'LangGraph':>18}")
            for name in names:
                walls, least = await measure(name, port, runs), bound(SCENARIOS[name])
                wall, graph, hand = (statistics.median(taken) for taken in walls)
                print(f"{name:12} {least:7.3f} {wall:7.3f} {min(walls.ours):7.3f} {max(walls.ours):7.3f}", end="")
                print(f" {wall / least:11.4f} {graph / least:10.4f} {hand / least:8.4f}", end="")
                print("".join(f" {more(taken, walls.by_hand):>18}" for taken in (walls.ours, walls.langgraph)))
        finally:
            server.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"some of {', '.join(SCENARIOS)}")
    parser.add_argument("--runs", type=int, default=5, help="of each scenario, after one to warm up")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    asyncio.run(serve() if given.serve else main(given.scenarios or list(SCENARIOS), given.runs))
