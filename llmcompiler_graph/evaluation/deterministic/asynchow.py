"""AsyncHow (ICML 2024): everyday tasks with durations and an order; does the executor reach the optimum?

Each graph becomes plan text: `3. step("Program the game", 7776000.0) after $1, $2`. The optimum is the critical path,
given in the dataset (source: github.com/fangru-lin/graph-llm-asynchow-plan, MIT).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from langchain_core.tools import tool

from llmcompiler_graph.evaluation.data import json_lines_of
from llmcompiler_graph.evaluation.deterministic.on_virtual_clock import run_plans
from llmcompiler_graph.evaluation.deterministic.rows import Row

__all__ = ("StepGraph", "plan_text", "read", "rows")


@dataclass(frozen=True, slots=True)
class StepGraph:
    """One task of the dataset."""

    id: str
    """Its id."""
    steps: Mapping[str, str]
    """`{step: what is done}`."""
    seconds: Mapping[str, float]
    """`{step: how long it takes}`, the shorter figure where the dataset has two."""
    needs: Mapping[str, Sequence[str]]
    """`{step: the steps before it}`."""
    optimum: float
    """The shortest time for all, in seconds."""
    one_by_one: float
    """The time for one step after another, in seconds."""


@tool
async def step(name: str, seconds: float) -> str:
    """Do one step, which takes a time."""
    await asyncio.sleep(seconds)
    return name


def read(path: Path) -> list[StepGraph]:
    """Read the graphs of a JSONL file."""
    return [_graph(each) for each in json_lines_of(path)]


def _graph(raw: Mapping[str, object]) -> StepGraph:
    names, edges, durations = raw["steps"], raw["edges"], raw["duration_seconds"]
    optimum = raw["optimal_seconds"]
    assert isinstance(names, list)
    assert isinstance(edges, list)
    assert isinstance(durations, dict)
    assert isinstance(optimum, list)
    steps = {str(n): name for n, name in enumerate(names, 1)}
    seconds = {n: float(durations[n][0]) for n in steps}
    needs = {n: [a for a, b in edges if b == n and a != "START"] for n in steps}
    return StepGraph(str(raw["id"]), steps, seconds, needs, float(optimum[0]), sum(seconds.values()))


def plan_text(graph: StepGraph) -> str:
    """Write a graph as plan text, each step after those it needs.

    >>> print(plan_text(StepGraph("0", {"1": "stir", "2": "bake"}, {"1": 60.0, "2": 1800.0}, {"2": ["1"]}, 1860, 1860)))
    1. step("stir", 60.0)
    2. step("bake", 1800.0) after $1
    """
    order = list(TopologicalSorter({n: graph.needs.get(n, ()) for n in graph.steps}).static_order())
    index = {n: position for position, n in enumerate(order, 1)}
    lines = []
    for n in order:
        after = ", ".join(f"${index[need]}" for need in graph.needs.get(n, ()))
        name = json.dumps(graph.steps[n].replace("$", "$$"))
        lines.append(f"{index[n]}. step({name}, {graph.seconds[n]!r}){after and f' after {after}'}")
    return "\n".join(lines)


def rows(graphs: Iterable[StepGraph]) -> list[Row]:
    """Run all graphs: time over optimum, mean and worst, and the speedup over one step after another.

    Raises:
        ValueError: A plan could not be run whole.
    """
    listed = list(graphs)
    ran = run_plans([step], map(plan_text, listed))
    for graph, one in zip(listed, ran, strict=True):
        if one.problems:
            msg = f"AsyncHow {graph.id}: {one.problems[0]}"
            raise ValueError(msg)
    pairs = list(zip(listed, ran, strict=True))
    ratios = [one.makespan / graph.optimum for graph, one in pairs]
    n = len(listed)
    return [
        Row("AsyncHow", "gold", n, "time / optimum, mean", sum(ratios) / n, 1.0, "optimum"),
        Row("AsyncHow", "gold", n, "time / optimum, worst", max(ratios), 1.0, "optimum"),
        Row("AsyncHow", "gold", n, "at the optimum (within 1e-6)", sum(r < 1 + 1e-6 for r in ratios), n, "goal"),
        Row("AsyncHow", "gold", n, "one by one / ours, mean", sum(g.one_by_one / r.makespan for g, r in pairs) / n),
    ]
