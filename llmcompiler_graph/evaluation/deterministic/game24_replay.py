"""Game of 24 from the recorded GPT-4 run of Tree of Thoughts: the same proposals and values, searched in two ways.

The authors of Tree of Thoughts published all proposals and values of their run over the hundred puzzles (MIT). Here
they are what `thought_proposer` and `state_evaluator` return, so every way of searching finds the same, and what
differs is time: how many of the same calls can be made at once.

- *Tree of Thoughts*: one call after another, as in the original (`systems/tree_of_thoughts.py`).
- *LLMCompiler, a plan a round*: as in the paper (section 5.3): a proposer for each state kept, an evaluator for each
  proposer, one `top_k_select`; then a replan. Planner and joiner are charged for in every round.
- *LLMCompiler, one plan*: all four rounds in one plan, `${3[*]}` standing for the states that will be kept.

The latency of single calls was not recorded. It is modelled: a proposal takes `proposal`, an evaluation (three samples
in one call; equal prompts are asked once, as in the original) `evaluation`, planner and joiner their own number of
seconds, in any unit: all are scaled so that Tree of Thoughts takes the paper's 241.2 seconds on average. Whether the
paper's evaluator asks about its states one by one is not said; both are tried.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, StructuredTool

from llmcompiler_graph import Plan, Task, create_llm_compiler
from llmcompiler_graph.core.language.references import Reference, Value
from llmcompiler_graph.evaluation.benchmarks.game24 import GAME24
from llmcompiler_graph.evaluation.data import json_of
from llmcompiler_graph.evaluation.deterministic.rows import Row
from llmcompiler_graph.evaluation.records import Model, Sample
from llmcompiler_graph.evaluation.systems.tree_of_thoughts import tree_of_thoughts
from llmcompiler_graph.testing import ScriptedModel, run_virtual

__all__ = (
    "SETTINGS",
    "Latencies",
    "Puzzle",
    "Replayed",
    "one_plan",
    "read",
    "replanning",
    "replay",
    "round_plan",
    "rows",
    "thoughts",
)

PAPER_TOT_SECONDS, PAPER_SECONDS, PAPER_RATIO, ROUNDS = 241.2, 83.6, 2.89, 4

_LEFT = re.compile(r"\(left:([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Puzzle:
    """One puzzle with all that GPT-4 said of it."""

    numbers: str
    """The four numbers."""
    proposals: Mapping[str, Sequence[str]]
    """`{state: the states proposed from it}`."""
    values: Mapping[str, float]
    """`{state: its value}`."""
    solved: bool
    """Whether the recorded run solved it."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long calls take, relative to each other."""

    name: str
    """What is special about these."""
    proposal: float = 1.0
    """A proposal."""
    evaluation: float = 1.0
    """An evaluation of one state."""
    planner: float = 1.0
    """A plan."""
    joiner: float = 1.0
    """A decision."""
    at_once: bool = True
    """Whether an evaluator that is given several states asks about all at once."""

    def scaled(self, factor: float) -> Latencies:
        """The same in other units."""
        return Latencies(
            self.name,
            self.proposal * factor,
            self.evaluation * factor,
            self.planner * factor,
            self.joiner * factor,
            self.at_once,
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one puzzle."""

    solved: bool
    """Whether one of the expressions it came to makes 24."""
    seconds: float
    """From puzzle to answer, in virtual seconds."""


SETTINGS = (
    Latencies("all calls alike"),
    Latencies("an evaluator asks one by one", at_once=False),
    Latencies("proposals and plans take 3", proposal=3.0, planner=3.0),
    Latencies("plans take 4", planner=4.0),
)
"""The main setting, then others, each to see how far the ratio depends on it."""


def read(path: Path) -> list[Puzzle]:
    """Read the recorded run."""
    return [_puzzle(each) for each in json_of(path)]


def _puzzle(raw: Mapping[str, Any]) -> Puzzle:
    proposals: dict[str, list[str]] = {}
    values: dict[str, float] = {}
    for step in raw["steps"]:
        for new, value in zip(step["new_ys"], step["values"], strict=True):
            values.setdefault(new, value)  # the original values what was proposed twice once, then 0
            source = max((state for state in step["ys"] if new.startswith(state)), key=len)
            proposals.setdefault(source, []).append(new)
    solved = any(each["r"] == 1 for each in raw["infos"])
    return Puzzle(raw["steps"][0]["x"], proposals, values, solved)


def _tools(record: Puzzle, latencies: Latencies, kept: list[str]) -> list[BaseTool]:
    """The tools, which answer from the record after their time; `kept` holds what was selected last."""
    asked: dict[str, asyncio.Task[None]] = {}

    async def evaluate(state: str) -> float:
        if (prompt := _prompt(state)) is not None:
            if prompt not in asked:
                asked[prompt] = asyncio.create_task(asyncio.sleep(latencies.evaluation))
            await asked[prompt]
        return record.values[state]

    async def thought_proposer(puzzle: str, state: str) -> list[str]:
        """Continue a state."""
        await asyncio.sleep(latencies.proposal)
        return list(record.proposals.get(state, ()))

    async def state_evaluator(puzzle: str, states: list[str]) -> list[float]:
        """Judge states."""
        if latencies.at_once:
            return list(await asyncio.gather(*map(evaluate, states)))
        return [await evaluate(state) for state in states]

    _, _, select = GAME24.tools(_sample(record), ScriptedModel())  # the benchmark's own, which asks no model

    async def top_k_select(proposals: list[list[str]], values: list[list[float]]) -> list[str]:
        """Keep the five best."""
        kept[:] = await select.ainvoke({"proposals": proposals, "values": values})
        return list(kept)

    return [StructuredTool.from_function(coroutine=each) for each in (thought_proposer, state_evaluator, top_k_select)]


def _prompt(state: str) -> str | None:
    """What the model is asked about a state: what is left, or the answer; nothing about four steps without one."""
    lines = state.strip().split("\n")
    if lines[-1].lower().startswith("answer"):
        return lines[-1]
    if len(lines) == ROUNDS:
        return None
    found = _LEFT.findall(lines[-1])
    return str(found[-1]) if found else lines[-1]


def _sample(record: Puzzle) -> Sample:
    return Sample(record.numbers, record.numbers, 24)


def _replayed(record: Puzzle, answer: str, seconds: float) -> Replayed:
    return Replayed(GAME24.score(answer, _sample(record)).paper == 1, seconds)


async def thoughts(record: Puzzle, latencies: Latencies) -> Replayed:
    """Search as Tree of Thoughts does."""

    def tools(sample: Sample, model: Model) -> list[BaseTool]:
        return _tools(record, latencies, [])

    benchmark = replace(GAME24, tools=tools)
    began = asyncio.get_running_loop().time()
    answer = await tree_of_thoughts().answer(_sample(record), benchmark, ScriptedModel())
    return _replayed(record, answer.text, asyncio.get_running_loop().time() - began)


async def replanning(record: Puzzle, latencies: Latencies) -> Replayed:
    """Search as the paper's LLMCompiler does, with a plan for each round."""
    kept: list[str] = []
    first = 1

    def plan(_: list[BaseMessage]) -> str:
        nonlocal first
        text, first = round_plan(record.numbers, kept or [""], first)
        return text

    decisions = ["Replan: continue with the states that were kept"] * (ROUNDS - 1)
    return await _compiled(record, latencies, kept, [plan] * ROUNDS, [*decisions, _finish(kept)])


async def one_plan(record: Puzzle, latencies: Latencies) -> Replayed:
    """Search with one plan for all rounds, which fans out over the states that will have been kept."""
    kept: list[str] = []
    plan = GAME24.examples[0].plan.replace(GAME24.examples[0].question, record.numbers)
    return await _compiled(record, latencies, kept, [plan], [_finish(kept)])


def _finish(kept: list[str]) -> Callable[[list[BaseMessage]], str]:
    return lambda _: "Finish: " + "\n".join(kept)


async def _compiled(
    record: Puzzle, latencies: Latencies, kept: list[str], plans: Sequence[Any], decisions: Sequence[Any]
) -> Replayed:
    graph = create_llm_compiler(
        ScriptedModel(plans, seconds_per_reply=latencies.planner, chunk_size=0),
        _tools(record, latencies, kept),
        joiner_model=ScriptedModel(decisions, seconds_per_reply=latencies.joiner, chunk_size=0),
        max_replans=len(plans) - 1,
    )
    began = asyncio.get_running_loop().time()
    final = await graph.ainvoke({"messages": [("user", record.numbers)]})
    return _replayed(record, str(final["messages"][-1].text), asyncio.get_running_loop().time() - began)


def round_plan(numbers: str, states: Sequence[str], first: int) -> tuple[str, int]:
    """Write the paper's plan of one round, and say which index comes after it.

    >>> print(round_plan("4 5 6 10", [""], 1)[0])
    1. thought_proposer(puzzle="4 5 6 10", state="")
    2. state_evaluator(puzzle="4 5 6 10", states=$1)
    3. top_k_select(proposals=[$1], values=[$2])
    4. join()
    """
    n = len(states)
    proposed: list[Value] = [Reference(first + i) for i in range(n)]
    judged: list[Value] = [Reference(first + n + i) for i in range(n)]
    proposers = [Task(first + i, "thought_proposer", {"puzzle": numbers, "state": s}) for i, s in enumerate(states)]
    evaluators = [
        Task(first + n + i, "state_evaluator", {"puzzle": numbers, "states": r}) for i, r in enumerate(proposed)
    ]
    select = Task(first + 2 * n, "top_k_select", {"proposals": proposed, "values": judged})
    return str(Plan((*proposers, *evaluators, select))), first + 2 * n + 1


def replay(
    way: Callable[[Puzzle, Latencies], Awaitable[Replayed]], records: Sequence[Puzzle], latencies: Latencies
) -> list[Replayed]:
    """Search all puzzles one way, on a virtual clock."""

    async def main() -> list[Replayed]:
        return [await way(record, latencies) for record in records]

    return run_virtual(main)


def rows(records: Sequence[Puzzle]) -> list[Row]:
    """Accuracy of each way of searching, and how many times faster than Tree of Thoughts it is.

    The settings after the first are tried on every tenth puzzle.
    """
    note = (
        "latencies of calls are modelled and scaled so that Tree of Thoughts takes the paper's 241.2 s; planner and "
        "joiner are charged for; the paper's accuracies (74.0 and 75.3 %) are of runs that were not published"
    )
    n = len(records)
    recorded = _percent(record.solved for record in records)
    found = [Row("Game of 24", "recorded", n, "solved in the record, %", recorded)]
    for setting in SETTINGS:
        main = setting is SETTINGS[0]
        tried = records if main else records[::10]
        slow = replay(thoughts, tried, setting)
        latencies = setting.scaled(PAPER_TOT_SECONDS / fmean(each.seconds for each in slow))
        if main:
            solved = _percent(each.solved for each in slow)
            found.append(Row("Game of 24", "recorded", n, "Tree of Thoughts: solved, %", solved, recorded, "record"))
        for name, way in _WAYS.items():
            fast = replay(way, tried, latencies)
            seconds = fmean(each.seconds for each in fast)
            ratio = PAPER_TOT_SECONDS / seconds
            if main:
                solved = _percent(each.solved for each in fast)
                found += [
                    Row("Game of 24", "recorded", n, f"{name}: solved, %", solved, recorded, "record"),
                    Row("Game of 24", "modelled", n, f"{name}: seconds", seconds, PAPER_SECONDS, "paper"),
                ]
            measure = f"ToT / {name}, {setting.name}"
            found.append(Row("Game of 24", "modelled", len(tried), measure, ratio, PAPER_RATIO, "paper", note))
    return found


_WAYS: Mapping[str, Callable[[Puzzle, Latencies], Awaitable[Replayed]]] = {
    "LLMCompiler, a plan a round": replanning,
    "LLMCompiler, one plan": one_plan,
}


def _percent(of: Iterable[bool]) -> float:
    return 100 * fmean(of)
