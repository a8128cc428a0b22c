r"""A benchmark's examples in the forms of other systems: with references spelled otherwise, worked out.

>>> from llmcompiler_graph import parse_plan
>>> plan = parse_plan('1. lookup("K2")\n2. lookup("Everest")\n3. calculate("${1.height} - $2")')
>>> respelled(plan.tasks[2], lambda index, path: f"#E{index}{path}")
'calculate("#E1.height - #E2")'
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from llmcompiler_graph import Plan, PlanExample, Task
from llmcompiler_graph.core.examples import shown_tasks
from llmcompiler_graph.core.language.decision import Replan, parse_decision
from llmcompiler_graph.core.language.plan import render_call
from llmcompiler_graph.core.language.references import Reference, references
from llmcompiler_graph.evaluation.records import Benchmark

__all__ = ("Worked", "respelled", "spread", "worked")

_REFERENCE = re.compile(r"\$\{(?P<braced>\d+)(?P<path>[^}]*)\}|\$(?P<plain>\d+)|(?P<dollar>\$\$)")
_QUESTION = re.compile(r"^Question: ", re.MULTILINE)
_STEP = re.compile(r"^Action: (?P<call>.+)\nObservation: (?P<observation>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Worked:
    """An example that stands in the ReAct prompt and has plans."""

    question: str
    """The question."""
    plans: list[Plan]
    """Its plan, and those that followed it."""
    thoughts: list[str]
    """What was thought before each of these: nothing before the first."""
    steps: dict[int, list[tuple[str, str]]]
    """What was called and observed, `{index: [(call, observation)]}`: several times for a task with `[*]`."""
    conclusion: str
    """The last thought, and the answer."""


def worked(benchmark: Benchmark) -> list[Worked]:
    """Read the worked examples of a benchmark: in the ReAct prompt, its calls stand in the order of the plans."""
    examples = {example.question: example for example in benchmark.examples}
    found = []
    for each in _QUESTION.split(benchmark.react_prompt)[1:]:
        question, _, rest = each.partition("\nThought: ")
        shown = iter(_STEP.findall(rest))
        if example := examples.get(question):
            plans = [Plan(tuple(tasks)) for tasks in shown_tasks(example)]
            decisions = [parse_decision(outcome.reply) for outcome in example.outcomes]
            thoughts = ["", *(decision.thought for decision in decisions if isinstance(decision, Replan))]
            steps = {task.index: list(islice(shown, _times(task, example))) for plan in plans for task in plan}
            conclusion = f"Thought: {rest.rpartition('Thought: ')[2].strip()}"
            found.append(Worked(question, plans, thoughts, steps, conclusion))
    return found


def spread(task: Task) -> list[Reference]:
    """The references of a task that stand for every element of a list, each once."""
    values = (*task.positional, *task.arguments.values())
    return list(dict.fromkeys(each for value in values for each in references(value) if each.fans_out))


def _times(task: Task, example: PlanExample) -> int:
    """How often a task runs in its example."""
    observed = [outcome.observations[task.index] for outcome in example.outcomes if task.index in outcome.observations]
    return len(observed[0]) if spread(task) and observed and isinstance(observed[0], list) else 1


def respelled(task: Task, spell: Callable[[int, str], str]) -> str:
    """Write a task's call without its number, each reference as `spell(index, path)` spells it."""

    def written(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        return spell(int(match["braced"] or match["plain"]), match["path"] or "")

    return _REFERENCE.sub(written, render_call(task.tool, task.arguments, task.positional))
