"""Asks a model for the plan of a question and checks it, but runs nothing: the front half of the planner node.

It is asked exactly as the planner node asks it, so that the plan is the one an agent would run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool

from llmcompiler_graph.check import Checker
from llmcompiler_graph.constrain import constraint_for
from llmcompiler_graph.errors import Diagnostic
from llmcompiler_graph.examples import PlanExample, made_examples
from llmcompiler_graph.models import LazyModel
from llmcompiler_graph.parser import PlanParser
from llmcompiler_graph.plan import Plan, Task
from llmcompiler_graph.prompts import conversation, system_message
from llmcompiler_graph.replies import spoken
from llmcompiler_graph.tool_specs import tool_spec

__all__ = ("Planned", "plan_only")


class Planned(NamedTuple):
    """A plan that has not run."""

    text: str
    """The plan text, as the model wrote it."""
    plan: Plan
    """Every task that could be read, those with faults too."""
    diagnostics: list[Diagnostic]
    """Everything wrong with it."""


async def plan_only(
    question: str, model: str | BaseChatModel, tools: Iterable[BaseTool], examples: Sequence[PlanExample] | None = None
) -> Planned:
    """Ask for a plan and check it.

    Args:
        question: What to plan for.
        model: As in `create_llm_compiler`.
        tools: What the plan may call.
        examples: As in `create_llm_compiler`.

    Raises:
        ConfigurationError: The model cannot be made.
    """
    specs = [tool_spec(each) for each in tools]
    examples = made_examples(specs) if examples is None else examples
    prompt = conversation(system_message(specs, examples), {"messages": [HumanMessage(question)]})
    constraint = constraint_for("auto", model)
    settings: dict[str, Any] = {} if constraint is None else constraint.plan(specs)
    parser, checker = PlanParser(), Checker(specs)
    text, tasks, diagnostics = "", dict[int, Task](), list[Diagnostic]()

    def take(events: Iterable[Task | Diagnostic]) -> None:
        for event in events:
            if isinstance(event, Task):
                task, problems = checker.check(event)
                tasks[task.index] = task
                # what was said of it before was said of a numbered line of prose
                diagnostics[:] = [*(each for each in diagnostics if each.index != task.index), *problems]
            else:
                diagnostics.append(event)

    chat = await LazyModel(model).aget()
    async with aclosing(spoken(chat.astream(prompt, **settings))) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            text += chunk.text
            take(parser.feed(chunk.text))
            if parser.finished:
                break
    take(parser.close())
    return Planned(text, Plan(tuple(tasks.values())), diagnostics)
