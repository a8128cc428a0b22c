r"""ReWOO: the whole plan at once, its calls one after another, then a solver (arXiv 2305.18323). No replanning.

The planner writes evidence as `#E1 = tool(arguments)`; later calls name it. Evidence with fields can be named by field,
`#E1.height_m`, as references in LLMCompiler's plans: else none of it could be calculated with. `#E1[*]` is every
element of it, as there, but with one call after another.

>>> _as_plan('Plan: the height of K2\n#E1 = search("K2")\nPlan: feet\n#E2 = calculate("#E1.height_m / 0.3048")')
'\n1. search("K2")\n\n2. calculate("${1.height_m} / 0.3048")'
"""

from __future__ import annotations

import re

from langchain_core.messages import HumanMessage, SystemMessage

from llmcompiler_graph import Diagnostic, LLMCompilerError, Plan, PlanExample, Task, parse_plan
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.language.substitution import as_text
from llmcompiler_graph.core.schedule.resolving import resolved
from llmcompiler_graph.evaluation.plan_metrics import read_plan, width_and_depth
from llmcompiler_graph.evaluation.records import Answer, Benchmark, Model, Sample, System
from llmcompiler_graph.evaluation.systems.forms import conclusion, evidence_plan, held
from llmcompiler_graph.evaluation.systems.plan_forms import respelled
from llmcompiler_graph.evaluation.systems.toolbox import ToolCalls, answer_in, ask, sections, titled
from llmcompiler_graph.models.system import listing

__all__ = ("rewoo",)

_PLANNER = """\
Write a plan that solves the task step by step. For each step say what it finds out and call one tool; what the call \
returns is the evidence #E1, #E2 and so on. Later calls may use it: `#E1` stands for what the first call returned, \
`#E1.name` for a field of it. Write nothing after the last step: you will not see the evidence.

# Tools
{tools}

# Form
Plan: what is found out first
#E1 = tool("text")
Plan: what is found out with it
#E2 = other_tool("#E1")"""

_SOLVER = """\
Solve the task with the plan and the evidence that its steps found. Evidence may be of no use, or wrong: then do \
without it. Write a line of thought, then the answer:
Thought: how the answer follows
Answer: the answer"""

_PURPOSE = re.compile(r"^[ \t>*_`-]*Plan\b[^\n:]*:(?!.*#E\d+[ \t*`]*=).*$", re.MULTILINE)
_EVIDENCE = re.compile(r"^[ \t>*`-]*#E(?P<index>\d+)[ \t*`]*=[ \t]*", re.MULTILINE)
_REFERENCE = re.compile(r"#E(?P<index>\d+)(?P<path>(?:\.[^\W\d]\w*|\[(?:-?\d+|\*|'[^'\n]+')\])*)")


def rewoo(*, constrain: bool = False) -> System:
    """ReWOO.

    Args:
        constrain: Whether plan and solution are held to their forms, by grammars.
    """

    async def answer(sample: Sample, benchmark: Benchmark, model: Model) -> Answer:
        hold = held(model, constrain=constrain)
        calls = ToolCalls(benchmark.tools(sample, model))
        planner = sections(_PLANNER.format(tools=listing(calls.specs)), _examples(benchmark.examples))
        question = HumanMessage(sample.question)
        text = await ask(model, [SystemMessage(planner), question], **hold.to(evidence_plan, calls.specs))
        plan, diagnostics = _read(text, calls)
        evidence: dict[int, JSON] = {
            each.index: calls.failed(each.message) for each in diagnostics if each.index is not None
        }
        for task in plan:
            evidence[task.index] = await _found(task, evidence, calls)
        found = "\n".join(f"#E{index} = {as_text(value)}" for index, value in sorted(evidence.items()))
        solver = sections(benchmark.instructions, _SOLVER)
        shown = sections(f"Task: {sample.question}", text, f"Evidence:\n{found or 'none'}")
        reply = await ask(model, [SystemMessage(solver), HumanMessage(shown)], **hold.to(conclusion))
        width, depth = width_and_depth(plan)
        return calls.answer(
            answer_in(reply),
            width=width,
            depth=depth,
            plan=text,
            diagnostics=tuple(each.message for each in diagnostics),
            parsed=bool(plan.tasks) and not diagnostics,
        )

    return System(titled("rewoo", {"constrain": False}, constrain=constrain), answer)


def _read(text: str, calls: ToolCalls) -> tuple[Plan, list[Diagnostic]]:
    """The tasks that can be run, their arguments named, and what is wrong with the others."""
    plan, diagnostics = read_plan(_as_plan(text), calls.specs)
    broken = {each.index for each in diagnostics}
    return Plan(tuple(task for task in plan if task.index not in broken)), diagnostics


def _as_plan(text: str) -> str:
    """Spell ReWOO's plan in our plan language: what a step is for is left out, other lines stay as they are."""
    called = _PURPOSE.sub("", text).replace("$", "$$")
    numbered = _EVIDENCE.sub(lambda match: f"{match['index']}. ", called)
    return _REFERENCE.sub(lambda match: f"${{{match['index']}{match['path']}}}", numbered)


async def _found(task: Task, evidence: dict[int, JSON], calls: ToolCalls) -> JSON:
    spec = next((each for each in calls.specs if each.name == task.tool), None)
    try:
        arguments, fans_out = resolved(task, spec, evidence)
    except LLMCompilerError as error:
        return calls.failed(str(error))
    except KeyError as error:
        return calls.failed(f"there is no evidence #E{error.args[0]}")
    values = [await calls.call(task.tool, each) for each in arguments]
    return values if fans_out else values[0]


def _examples(examples: tuple[PlanExample, ...]) -> str:
    shown = []
    for example in examples:
        steps = [
            f"#E{task.index} = {respelled(task, lambda index, path: f'#E{index}{path}')}"
            for task in parse_plan(example.plan)
        ]
        shown.append("\n".join([f"Task: {example.question}", *steps]))
    return "# Examples\n" + "\n\n".join(shown) if shown else ""
