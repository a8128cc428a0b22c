r"""A benchmark's examples in the forms of other systems: by depth, with references spelled otherwise, worked out.

>>> from llmcompiler_graph.parser import parse_plan
>>> plan = parse_plan('1. lookup("K2")\n2. lookup("Everest")\n3. calculate("${1.height} - $2")')
>>> [[task.index for task in level] for level in levels(plan)]
[[1, 2], [3]]
>>> respelled(plan.tasks[2], lambda index, path: f"#E{index}{path}")
'calculate("#E1.height - #E2")'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from llmcompiler_graph.evaluation.records import Benchmark
from llmcompiler_graph.parser import parse_plan
from llmcompiler_graph.plan import Plan, Task, render_call

__all__ = ("Worked", "levels", "respelled", "worked")

_REFERENCE = re.compile(r"\$\{(?P<braced>\d+)(?P<path>[^}]*)\}|\$(?P<plain>\d+)|(?P<dollar>\$\$)")
_QUESTION = re.compile(r"^Question: ", re.MULTILINE)
_STEP = re.compile(r"^Action: (?P<call>.+)\nObservation: (?P<observation>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Worked:
    """An example that stands in the ReAct prompt and has a plan."""

    question: str
    """The question."""
    plan: Plan
    """Its plan."""
    steps: dict[int, tuple[str, str]]
    """What was called and observed: `{index: (call, observation)}`; tasks the ReAct prompt leaves out have `…`."""
    conclusion: str
    """The last thought, and the answer."""


def worked(benchmark: Benchmark) -> list[Worked]:
    """Read the worked examples of a benchmark."""
    plans = {" ".join(example.question.split()): parse_plan(example.plan) for example in benchmark.examples}
    found = []
    for example in _QUESTION.split(benchmark.react_prompt)[1:]:
        question, _, rest = example.partition("\nThought: ")
        plan = plans.get(" ".join(question.split()))
        if plan is not None and (shown := _STEP.findall(rest)):
            steps = {task.index: (render_call(task.tool, task.arguments, task.positional), "…") for task in plan}
            steps |= {task.index: step for task, step in zip(plan, shown, strict=False)}
            found.append(Worked(question, plan, steps, f"Thought: {rest.rpartition('Thought: ')[2].strip()}"))
    return found


def levels(tasks: Iterable[Task]) -> list[list[Task]]:
    """Group tasks by the length of the longest chain that leads to them; those without dependencies come first."""
    depth: dict[int, int] = {}
    found: list[list[Task]] = []
    for task in tasks:
        depth[task.index] = max((depth.get(needed, 0) for needed in task.dependencies), default=0) + 1
        found.extend([] for _ in range(depth[task.index] - len(found)))
        found[depth[task.index] - 1].append(task)
    return found


def respelled(task: Task, spell: Callable[[int, str], str]) -> str:
    """Write a task's call without its number, each reference as `spell(index, path)` spells it."""

    def written(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        return spell(int(match["braced"] or match["plain"]), match["path"] or "")

    return _REFERENCE.sub(written, render_call(task.tool, task.arguments, task.positional))
