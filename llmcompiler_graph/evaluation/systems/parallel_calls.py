"""Parallel tool calling as providers have it: a turn makes any number of calls, which run at the same time.

`create_agent` as it is. The examples are those of ReAct, with the calls that the benchmark's plans run at the same time
in one turn.
"""

from __future__ import annotations

from llmcompiler_graph.evaluation.plan_metrics import levels
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import run_agent
from llmcompiler_graph.evaluation.systems.plan_forms import Worked, worked

__all__ = ("parallel_calls", "parallel_prompt")


def parallel_calls() -> System:
    """The provider's parallel tool calling."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        return await run_agent(sample, benchmark, model, prompt=parallel_prompt(benchmark), one_call=False)

    return System("parallel_calls", answer)


def parallel_prompt(benchmark: Benchmark) -> str:
    """The examples of the ReAct prompt, several actions a turn: as many as the example's plans run at the same time."""
    shown = [f"Question: {each.question}\n{_turns(each)}\n{each.conclusion}" for each in worked(benchmark)]
    return "# Examples\n" + "\n\n".join(shown) if shown else ""


def _turns(example: Worked) -> str:
    lines = []
    for plan, thought in zip(example.plans, example.thoughts, strict=True):
        lines += [f"Thought: {thought}"] if thought else []
        for level in levels(plan):
            called = [step for task in level for step in example.steps[task.index]]
            lines += [f"Action: {call}" for call, _ in called]
            lines += [f"Observation: {observation}" for _, observation in called]
    return "\n".join(lines)
