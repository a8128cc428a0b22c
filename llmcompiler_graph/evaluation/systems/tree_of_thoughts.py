"""Tree of Thoughts by breadth-first search, for Game of 24 (arXiv 2305.10601): propose, value, keep the best, again.

It uses the tools that LLMCompiler has there, one call after another as the original does: `thought_proposer(puzzle,
state)` once for each kept state, then `state_evaluator(puzzle, states)` once for each proposal (which samples three
judgements and adds up their values). Equal values keep the order of the proposals, and a proposal that was made twice
is valued once.
"""

from __future__ import annotations

from typing import Any

from llmcompiler_graph import ConfigurationError
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, titled

__all__ = ("PROPOSER", "VALUER", "tree_of_thoughts")

PROPOSER, VALUER = "thought_proposer", "state_evaluator"


def tree_of_thoughts(*, rounds: int = 4, keep: int = 5) -> System:
    """Tree of Thoughts.

    Args:
        rounds: How often states are continued (Game of 24: three operations, then the expression).
        keep: How many states are kept after each round.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        calls = ToolCalls(benchmark.tools(sample, model))
        if missing := {PROPOSER, VALUER} - calls.tools.keys():
            msg = f"tree_of_thoughts needs the tools {PROPOSER!r} and {VALUER!r}; {benchmark.name!r} lacks {missing}"
            raise ConfigurationError(msg)
        states = [""]
        for _ in range(rounds):
            proposed: dict[str, None] = {}  # in order, each once
            for state in states:
                found = await _call(calls, PROPOSER, sample.question, state)
                proposed |= dict.fromkeys(each for each in found if isinstance(each, str))
            values = {}
            for each in proposed:
                value = (await _call(calls, VALUER, sample.question, [each]) or [0])[0]
                values[each] = value if isinstance(value, int | float) else 0
            states = sorted(values, key=lambda each: -values[each])[:keep]
        return calls.answer("\n".join(states), width=1, depth=len(calls.timeline))

    return System(titled("tree_of_thoughts", {"rounds": 4, "keep": 5}, rounds=rounds, keep=keep), answer)


async def _call(calls: ToolCalls, tool: str, *given: Any) -> list[JSON]:
    """Call a tool by position; an error is nothing found."""
    spec = next(spec for spec in calls.specs if spec.name == tool)
    value = await calls.call(tool, dict(zip(spec.parameters, given, strict=False)))
    return value if isinstance(value, list) else []
