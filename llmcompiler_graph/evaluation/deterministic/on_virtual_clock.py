r"""Runs given plans through the whole graph on a virtual clock: no model, and no time passes.

>>> from langchain_core.tools import tool
>>> @tool
... async def wait(seconds: float) -> float:
...     '''Wait.'''
...     await asyncio.sleep(seconds)
...     return seconds
>>> [ran.makespan for ran in run_plans([wait], ["1. wait(2)\n2. wait(3)", "1. wait(5)\n2. wait(1) after $1"])]
[3.0, 6.0]
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.state import TaskRecord
from llmcompiler_graph.testing import ScriptedModel, run_virtual

__all__ = ("Ran", "Span", "run_plans", "spans")

Span = tuple[str, float, float]
"""`(tool, start, finish)` of a task, in seconds since the question came."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one plan."""

    tasks: tuple[TaskRecord, ...]
    """Its tasks, each with its value."""
    spans: tuple[Span, ...]
    """When each task ran."""
    makespan: float
    """From question to answer, in virtual seconds; the replies themselves took none."""
    problems: tuple[str, ...]
    """Every diagnostic and every error."""

    @property
    def peak(self) -> int:
        """The most tasks that ran at the same time."""
        return max((sum(start <= at < end for _, start, end in self.spans) for _, at, _ in self.spans), default=0)


def run_plans(tools: Sequence[BaseTool], plans: Iterable[str]) -> list[Ran]:
    """Run each plan through planner, task fetching unit and joiner; the model's replies take no time."""
    texts = list(plans)
    replies = [reply for text in texts for reply in (text, "Finish: done")]
    graph = create_llm_compiler(ScriptedModel(replies, chunk_size=0), tools, max_repairs=0, max_replans=0)

    async def main() -> list[Ran]:
        now = asyncio.get_running_loop().time
        found = []
        for _ in texts:
            began = now()
            final = await graph.ainvoke({"messages": [("user", "Run this plan.")]})
            found.append(_ran(final, now() - began))
        return found

    return run_virtual(main)


def spans(final: Mapping[str, Any]) -> tuple[Span, ...]:
    """When each task of a finished run ran."""
    return tuple(
        (each["tool"], each["started"], each["finished"])
        for each in final["timeline"]
        if each["started"] is not None and each["finished"] is not None
    )


def _ran(final: Mapping[str, Any], makespan: float) -> Ran:
    problems = [each["message"] for one in final["rounds"] for each in one["diagnostics"]]
    problems += [task["error"] for task in final["tasks"] if task["error"]]
    return Ran(tuple(final["tasks"]), spans(final), makespan, tuple(problems))
