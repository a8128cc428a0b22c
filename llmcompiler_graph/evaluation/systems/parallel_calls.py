"""Parallel tool calling as providers have it: a turn makes any number of calls, which run at the same time.

`create_agent` as it is. The examples are those of ReAct, with the calls that the benchmark's plans run at the same time
in one turn.
"""

from __future__ import annotations

from llmcompiler_graph.evaluation.plan_metrics import levels
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import run_agent
from llmcompiler_graph.evaluation.systems.plan_forms import Worked, worked
from llmcompiler_graph.evaluation.systems.toolbox import titled

__all__ = ("parallel_calls", "parallel_prompt")


def parallel_calls(*, constrain: bool = False) -> System:
    """The provider's parallel tool calling.

    Args:
        constrain: Whether each turn is held to the form of calls as text, by a grammar.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        prompt = parallel_prompt(benchmark)
        return await run_agent(sample, benchmark, model, prompt=prompt, one_call=False, constrain=constrain)

    return System(titled("parallel_calls", {"constrain": False}, constrain=constrain), answer)


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
