"""The same question by a planned run, by a procedure that the planner calls, and by the procedure as a graph.

python -m tests.benchmarks.planned_or_procedure

Scripted models on a virtual clock: 40 tokens a second, 0.5 s before the first; a look-up takes 1 s.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel, run_virtual

_PER_SECOND, _FIRST = 40, 0.5
PROCEDURE = '''height_difference(first: str, second: str):
  """How many metres higher the first mountain is than the second."""
  1. lookup("${first}")
  2. lookup("${second}")
  3. calculate("${1.height_m} - ${2.height_m}")
'''
PLAN = """1. lookup("Mount Everest")
2. lookup("Mont Blanc")
3. calculate("${1.height_m} - ${2.height_m}")
4. join()"""
ANSWER = "Finish: Mount Everest is 4,042 metres higher than Mont Blanc."
QUESTION = "How many metres higher is Mount Everest than Mont Blanc?"


@tool
async def lookup(entity: str) -> dict[str, float]:
    """Look something up."""
    await asyncio.sleep(1)
    return {"height_m": {"Mount Everest": 8849.0, "Mont Blanc": 4807.0}[entity]}


@tool
def calculate(expression: str) -> float:
    """Calculate."""
    first, second = map(float, expression.split(" - "))
    return first - second


class TimedModel(ScriptedModel):
    """Takes as long for a reply as its tokens take."""

    def _reply(self, messages: list[BaseMessage], settings: dict[str, Any]) -> Any:
        reply = super()._reply(messages, settings)
        self.seconds_per_reply = _FIRST + len(str(reply.content)) / 4 / _PER_SECOND
        return reply


class Measured(NamedTuple):
    """What a run took."""

    model_calls: int
    written: int
    """Tokens that models wrote, at four characters each."""
    seconds: float
    right: bool


def measured(way: str) -> Measured:
    """Run the question one way."""
    tools = [lookup, calculate]
    call = '1. height_difference("Mount Everest", "Mont Blanc")\n2. join()'
    replies = {"planned": [PLAN, ANSWER], "procedure": [call, ANSWER], "graph, joiner": [ANSWER], "graph": []}[way]
    model = TimedModel(replies=replies)
    procedure = parse_procedure(PROCEDURE)
    given: dict[str, Any] = {"messages": [("user", QUESTION)]}
    if way.startswith("graph"):
        graph: Any = procedure.as_graph(tools, joiner_model=model if replies else None)
        given |= {"arguments": {"first": "Mount Everest", "second": "Mont Blanc"}}
    else:
        graph = create_llm_compiler(model, tools, procedures=[procedure] if way == "procedure" else ())

    async def main() -> tuple[Any, float]:
        return await graph.ainvoke(given), asyncio.get_running_loop().time()

    final, seconds = run_virtual(main)
    written = sum(len(reply) // 4 for reply in replies)
    return Measured(len(model.calls), written, seconds, final["tasks"][-1]["value"] == 4042)


def table() -> dict[str, Measured]:
    """All ways."""
    return {way: measured(way) for way in ("planned", "procedure", "graph, joiner", "graph")}


def main() -> None:
    """Print the table."""
    rows = table()
    print("| | model calls | tokens written | seconds | ÷ planned |\n|---|---|---|---|---|")
    for way, each in rows.items():
        ratio = each.seconds / rows["planned"].seconds
        print(f"| {way} | {each.model_calls} | {each.written} | {each.seconds:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
