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

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.core.checking.checker import Checker, collect
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.examples import PlanExample, made_examples
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Plan, Task
from llmcompiler_graph.models.constraints import constraint_for
from llmcompiler_graph.models.lazy import LazyModel
from llmcompiler_graph.models.prompts import conversation, system_message
from llmcompiler_graph.models.replies import visible_text

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
    parser = PlanParser()
    text, events = "", list[Task | Diagnostic]()
    source = LazyModel(model)
    chat = await source.aget()
    async with aclosing(visible_text(chat.astream(prompt, **settings), source)) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            text += chunk.text
            events += parser.feed(chunk.text)
            if parser.finished:
                break
    plan, diagnostics = collect([*events, *parser.close()], Checker(specs))
    return Planned(text, plan, diagnostics)
