"""The paper's latency model (appendix E.1): its own seconds on a virtual clock; do its speedups follow?

    ReAct                    sum of (turn + tool), then the answer
    LLMCompiler              plan, then the longest chain of tools, then the answer
    LLMCompiler, streamed    the same, but tools start while the plan is being written

Nothing is added up here: ReAct is the real `create_agent` loop and LLMCompiler the real graph, whose model replies take
so many seconds. Two sets of seconds are tried:

- *given*: only what the paper states, all of it for Movie Recommendation (planner 1.88, answer 1.62, searches 0.61 on
  average and 1.13 for the slowest of eight). A turn of ReAct is assumed to take what the answer takes; for HotpotQA,
  which has the same model and search, everything is assumed to be as for Movie. For ParallelQA nothing is stated.
- *fitted*: two seconds a benchmark are set so that two of the paper's latencies come out: a turn of ReAct (and of all
  other model calls not stated) from ReAct's latency, a plan from LLMCompiler's without streaming (appendix C.1). What
  is predicted then is streaming: its gain, and the speedup with it.

A plan streams evenly, each task taking the same time to write, and is complete with its last one, as E.1 has it. Each
of a plan's searches is tried in each place. The *bound* is ReAct's time over that of the longest chain of tools with
the answer: plans that take no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool

from llmcompiler_graph import Plan, Task, create_llm_compiler, parse_plan
from llmcompiler_graph.evaluation.deterministic.rows import Row
from llmcompiler_graph.evaluation.records import Benchmark, Sample, Score
from llmcompiler_graph.evaluation.systems.react import react
from llmcompiler_graph.testing import ScriptedModel, run_virtual

__all__ = ("GIVEN", "PAPER", "Published", "Seconds", "bound", "fitted", "llm_compiler_seconds", "react_seconds", "rows")

_MEAN_SEARCH, _SLOWEST_SEARCH, _PLAN, _ANSWER = 0.61, 1.13, 1.88, 1.62  # appendix E.1, Movie Recommendation


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper reports of a benchmark, and the plans that its questions want."""

    name: str
    """The benchmark."""
    react: float
    """Seconds of ReAct† (for ParallelQA: ReAct)."""
    unstreamed: float
    """Seconds of LLMCompiler whose plan is not streamed."""
    streamed: float
    """Seconds of LLMCompiler."""
    ratio: float
    """Its speedup."""
    plans: Sequence[tuple[int, Sequence[Plan]]]
    """`(how many questions want such plans, the plans)`, which differ in the order of their searches only."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long model calls take."""

    turn: float
    """A turn of ReAct that calls a tool."""
    plan: float
    """A plan."""
    answer: float
    """The answer: ReAct's last turn, the joiner."""
    math: float
    """A calculation, which the paper leaves to the model."""


GIVEN = Seconds(turn=_ANSWER, plan=_PLAN, answer=_ANSWER, math=0.0)
"""What the paper states."""


def _searches(n: int) -> list[float]:
    """How long `n` searches take: spread evenly, so that eight have the paper's mean and slowest."""
    low = 2 * _MEAN_SEARCH - _SLOWEST_SEARCH
    places = [i / 7 if n == 8 else (i + 1) / (n + 1) for i in range(n)]
    return [low + (_SLOWEST_SEARCH - low) * place for place in places]


def _plans(searches: int, *, math: bool = False) -> list[Plan]:
    """As many searches, in every rotation; with math, two calculations over halves of them and one over both."""
    found = []
    times = _searches(searches)
    for first in range(searches):
        rotated = [*times[first:], *times[:first]]
        lines = [f"{i}. search({seconds:.6f})" for i, seconds in enumerate(rotated, 1)]
        if math:
            every = [f"${i}" for i in range(1, searches + 1)]
            half = (searches + 1) // 2
            parts = (every[:half], every[half:], [f"${searches + 1}", f"${searches + 2}"])
            lines += [f"{searches + 1 + i}. math([{', '.join(part)}])" for i, part in enumerate(parts)]
        found.append(parse_plan("\n".join(lines)))
    return found


_BRANCHES = {2: 21, 3: 31, 4: 31, 5: 30}  # ParallelQA: {searches: questions}

PAPER = (
    Published("HotpotQA", 7.12, 4.00, 3.95, 1.80, [(1, _plans(2))]),
    Published("Movie", 20.47, 5.64, 5.47, 3.74, [(1, _plans(8))]),
    Published("ParallelQA", 35.90, 21.72, 16.69, 2.15, [(n, _plans(b, math=True)) for b, n in _BRANCHES.items()]),
)
"""Table 1 and appendix C.1. ParallelQA's plans are assumed but for their number of searches, which the dataset has."""


def react_seconds(published: Published, seconds: Seconds) -> float:
    """ReAct's time, on average over the plans: their calls, one a turn, then the answer."""

    async def one(plan: Plan) -> None:
        turns = [
            AIMessage("", tool_calls=[{"name": task.tool, "args": _given(task), "id": str(task.index)}])
            for task in plan
        ]
        model = ScriptedModel([*turns, "Answer: done"], seconds_per_reply=seconds.turn)
        benchmark = Benchmark("", lambda _: [], lambda *_: _tools(seconds), lambda *_: Score(1, 1), max_steps=99)
        await react().answer(Sample("", "?", ""), benchmark, model)

    # the last turn is the answer; in which order it searches makes no difference
    return _average(published, one, orders=False) - seconds.turn + seconds.answer


def llm_compiler_seconds(published: Published, seconds: Seconds, *, streamed: bool = True) -> float:
    """LLMCompiler's time, on average over the plans."""

    async def one(plan: Plan) -> None:
        text = "\n".join(map(str, plan))
        planner = ScriptedModel([text], seconds_per_reply=seconds.plan, chunk_size=0 if streamed else len(text))
        joiner = ScriptedModel(["Finish: done"], seconds_per_reply=seconds.answer)
        graph = create_llm_compiler(planner, _tools(seconds), joiner_model=joiner)
        final = await graph.ainvoke({"messages": [("user", "?")]})
        assert all(task["status"] == "done" for task in final["tasks"])

    return _average(published, one, orders=streamed)


def bound(published: Published, seconds: Seconds) -> float:
    """The most that any schedule of these calls can be faster than ReAct."""
    return react_seconds(published, seconds) / llm_compiler_seconds(
        published, replace(seconds, plan=0.0), streamed=False
    )


def fitted(published: Published) -> Seconds:
    """The seconds with which ReAct and LLMCompiler without streaming take what the paper reports."""

    def seconds(turn: float, plan: float = 0.0) -> Seconds:
        if published.name == "ParallelQA":  # another model: nothing of it is stated
            return Seconds(turn, plan, answer=turn, math=turn)
        return replace(GIVEN, turn=turn, plan=plan)

    none, one = (react_seconds(published, seconds(turn)) for turn in (0.0, 1.0))
    turn = (published.react - none) / (one - none)  # it is linear in it
    plan = published.unstreamed - llm_compiler_seconds(published, seconds(turn), streamed=False)
    return seconds(turn, plan)


def rows() -> list[Row]:
    """The modelled speedups beside the paper's, with the bound, and what streaming gains."""
    found: list[Row] = []
    for published in PAPER:
        name = published.name
        n = sum(len(plans) for _, plans in published.plans)
        settings = {"fitted": fitted(published)} | ({"given": GIVEN} if name != "ParallelQA" else {})
        for setting, seconds in sorted(settings.items(), reverse=True):
            slow = react_seconds(published, seconds)
            unstreamed = llm_compiler_seconds(published, seconds, streamed=False)
            streamed = llm_compiler_seconds(published, seconds)
            note = (
                f"{setting}: turn {seconds.turn:.2f} s, plan {seconds.plan:.2f}, answer {seconds.answer:.2f}, math "
                f"{seconds.math:.2f}; ReAct {slow:.2f}, LLMCompiler {unstreamed:.2f}, streamed {streamed:.2f} "
                f"(paper: {published.react:.2f}, {published.unstreamed:.2f}, {published.streamed:.2f})"
            )
            gain = published.unstreamed / published.streamed
            most = bound(published, seconds)
            found += [
                Row(
                    name,
                    "modelled",
                    n,
                    f"ReAct / LLMCompiler, {setting}",
                    slow / streamed,
                    published.ratio,
                    "paper",
                    note,
                ),
                Row(name, "modelled", n, f"its bound, {setting}", most),
                Row(name, "modelled", n, f"gain by streaming, {setting}", unstreamed / streamed, gain, "paper"),
            ]
    return found


def _tools(seconds: Seconds) -> list[BaseTool]:
    @tool
    async def search(takes: float) -> float:
        """Search, which takes so many seconds."""
        await asyncio.sleep(takes)
        return takes

    @tool
    async def math(numbers: list[float]) -> float:
        """Calculate, which a model does."""
        await asyncio.sleep(seconds.math)
        return sum(numbers)

    return [search, math]


def _given(task: Task) -> dict[str, Any]:
    """The arguments of a call of ReAct's: what a plan refers to is any number by then."""
    (only,) = task.positional
    return {"takes": only} if task.tool == "search" else {"numbers": [1.0]}


def _average(published: Published, one: Callable[[Plan], Awaitable[None]], *, orders: bool) -> float:
    """The mean time over the questions, for each in every order of its searches, or in one."""

    async def main() -> float:
        now = asyncio.get_running_loop().time
        total = 0.0
        for questions, plans in published.plans:
            tried = plans if orders else plans[:1]
            began = now()
            for plan in tried:
                await one(plan)
            total += questions * (now() - began) / len(tried)
        return total / sum(questions for questions, _ in published.plans)

    return run_virtual(main)
