"""Plan-and-execute: steps in words, an agent for each, and a look at the rest of the plan after each.

The pattern of LangGraph's tutorial of this name, after Plan-and-Solve (arXiv 2305.04091): a planner writes steps; the
first one is carried out by the sequential agent of `react`; then the planner, shown what was done, answers or writes
the steps that remain. All steps together may take as many turns as one loop; then the planner must answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.messages import HumanMessage, SystemMessage

from llmcompiler_graph import PlanExample, parse_plan
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.agent_loop import agent_turns
from llmcompiler_graph.evaluation.systems.forms import held, steps
from llmcompiler_graph.evaluation.systems.plan_forms import respelled
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, answer_in, ask, sections, titled
from llmcompiler_graph.models.system import listing

__all__ = ("plan_and_execute",)

_PLANNER = """\
Solve the question by a plan: short numbered steps, each of which can be carried out with the tools, and each with all \
that is needed to understand it. The result of the last step should be the answer. Someone else carries out the steps, \
one at a time; after each you will be shown the results so far, and write the steps that remain or the answer.

# Tools
{tools}

# Form
1. the first step
2. the second step
or, once the answer is known:
Answer: the answer"""

_NEXT = "Write the steps that remain, or the answer."
_LAST = "No further step is possible. Write the answer that follows from the results."
_EXECUTOR = "Carry out the step you are given, and answer with its result alone."

_STEP = re.compile(r"^[ \t>*_`]*(?:step[ \t]*)?\d+[.):][ \t*_`]*(?P<step>\S.*)$", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"^[ \t>*_`]*(?:final[ \t]+)?answer[ \t*_`]*:", re.IGNORECASE | re.MULTILINE)


def plan_and_execute(*, constrain: bool = False) -> System:
    """Plan-and-execute.

    Args:
        constrain: Whether the steps, and the turns of the agent that carries them out, are held to their forms, by
            grammars.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        hold = held(model, constrain=constrain)
        calls = ToolCalls(benchmark.tools(sample, model))
        form = _PLANNER.format(tools=listing(calls.specs))
        system = SystemMessage(sections(benchmark.instructions, form, _examples(benchmark.examples)))
        plan = reply = await ask(model, [system, HumanMessage(sample.question)], **hold.to(steps))
        results: list[tuple[str, str]] = []
        turns, depth = 0, 0
        while (planned := _steps(reply)) and turns < benchmark.max_steps:
            done = await agent_turns(
                _shown(f"Step: {planned[0]}", results),
                calls,
                model,
                instructions="",
                prompt=_EXECUTOR,
                one_call=True,
                max_steps=benchmark.max_steps - turns,
                constrain=constrain,
            )
            turns += len(done)
            depth += sum(bool(turn.tool_calls) for turn in done)
            results.append((planned[0], answer_in(done[-1].text)))
            may_go_on = turns < benchmark.max_steps
            shown = sections(_shown(sample.question, results), _NEXT if may_go_on else _LAST)
            reply = await ask(model, [system, HumanMessage(shown)], **hold.to(steps, may_go_on=may_go_on))
        return calls.answer(
            answer_in(reply),
            width=min(len(calls.timeline), 1),
            depth=depth,
            replans=len(results),
            plan=plan,
        )

    return System(titled("plan_and_execute", {"constrain": False}, constrain=constrain), answer)


def _steps(reply: str) -> list[str]:
    """The steps a reply asks for; none if it answers."""
    return [] if _ANSWER.search(reply) else [match["step"].strip() for match in _STEP.finditer(reply)]


def _shown(what: str, results: Sequence[tuple[str, str]]) -> str:
    done = "\n".join(f"{number}. {step}\nResult: {result}" for number, (step, result) in enumerate(results, 1))
    return sections(what, f"Done so far:\n{done}" if done else "")


def _examples(examples: tuple[PlanExample, ...]) -> str:
    shown = []
    for example in examples:
        steps = [f"{task.index}. {respelled(task, _in_words)}" for task in parse_plan(example.plan)]
        shown.append("\n".join([f"Question: {example.question}", *steps]))
    return "# Examples of first plans\n" + "\n\n".join(shown) if shown else ""


def _in_words(index: int, path: str) -> str:
    before, every, after = (part.strip(".") for part in path.partition("[*]"))
    words = [after, f"each of {before or 'the results'}"] if every else [before or "result"]
    return f"({' of '.join(filter(None, words))} of step {index})"
