"""Parallel tool calling as providers have it: a turn makes any number of calls, which run at the same time.

`create_agent` as it is. The examples are those of ReAct, with the calls that the benchmark's plans run at the same time
in one turn.
"""

from __future__ import annotations

import re

from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import run_agent
from llmcompiler_graph.evaluation.systems.plan_forms import levels
from llmcompiler_graph.parser import parse_plan
from llmcompiler_graph.plan import render_call
from llmcompiler_graph.prompts import PlanExample

__all__ = ("parallel_calls", "parallel_prompt")

_STEP = re.compile(r"^Action: (?P<call>.+)\nObservation: (?P<observation>.+)$", re.MULTILINE)
_QUESTION = re.compile(r"^Question: ", re.MULTILINE)


def parallel_calls() -> System:
    """The provider's parallel tool calling."""

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        return await run_agent(sample, benchmark, model, prompt=parallel_prompt(benchmark), one_call=False)

    return System("parallel_calls", answer)


def parallel_prompt(benchmark: Benchmark) -> str:
    """The examples of the ReAct prompt, several actions a turn: as many as the example's plan runs at the same time.

    Calls and observations that the ReAct prompt leaves out come from the plan, and as `…`.
    """
    plans = {" ".join(example.question.split()): example for example in benchmark.examples}
    shown = []
    for example in _QUESTION.split(benchmark.react_prompt)[1:]:
        question, _, rest = example.partition("\nThought: ")
        plan = plans.get(" ".join(question.split()))
        if plan is not None and (steps := _STEP.findall(rest)):
            shown.append(
                f"Question: {question}\n{_turns(plan, steps)}\nThought: {rest.rpartition('Thought: ')[2].strip()}"
            )
    return "# Examples\n" + "\n\n".join(shown) if shown else ""


def _turns(example: PlanExample, steps: list[tuple[str, str]]) -> str:
    plan = parse_plan(example.plan)
    known = {task.index: step for task, step in zip(plan, steps, strict=False)}
    lines = []
    for level in levels(plan):
        called = [
            known.get(task.index, (render_call(task.tool, task.arguments, task.positional), "…")) for task in level
        ]
        lines += [f"Action: {call}" for call, _ in called]
        lines += [f"Observation: {observation}" for _, observation in called]
    return "\n".join(lines)
