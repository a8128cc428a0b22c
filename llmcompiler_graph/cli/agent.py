"""What the commands do with an agent graph: answer a question, plan for it, draw the graph.

`commands` imports this when a command runs: LangGraph and LangChain take a second, and `--help` needs neither.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest

from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.cli.defaults import default_tools, examples_for
from llmcompiler_graph.cli.watch import watch
from llmcompiler_graph.core.checking.checker import Checker, collect
from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.parser import PlanParser
from llmcompiler_graph.core.language.plan import Plan
from llmcompiler_graph.graph.create import create_llm_compiler
from llmcompiler_graph.models.lazy import is_local
from llmcompiler_graph.models.local import DEFAULT_MODEL, find_weights
from llmcompiler_graph.models.local.server import require_runtime

__all__ = ("Planned", "ask", "fetch_weights", "mermaid", "plan")


class Planned(NamedTuple):
    """A plan that has not run."""

    text: str
    """The plan text, as the model wrote it."""
    plan: Plan
    """Every task that could be read, those with faults too."""
    diagnostics: list[Diagnostic]
    """Everything wrong with it."""


async def ask(
    question: str, model: str, tools: Sequence[BaseTool], *, answer: bool, timeline: bool, latency: float, **limits: Any
) -> dict[str, Any]:
    """Answer a question and show how.

    Args:
        question: What to ask.
        model: As in `create_llm_compiler`.
        tools: What plans may call.
        answer: Whether to print the answer, as it comes.
        timeline: Whether to show when tasks ran.
        latency: How long every tool call takes at least, in seconds.
        limits: What else `create_llm_compiler` takes.

    Returns:
        What `watch` returns.

    Raises:
        ConfigurationError: The model cannot be made, or a tool interrupted the run to ask a human.
    """
    graph = create_llm_compiler(model, tools, examples=examples_for(tools), **limits, **_slowed(latency))
    planner = limits.get("planner_model") or model
    loads = f"the model {planner}, on this machine" if is_local(planner) else ""
    return await watch(graph, question, answer=answer, timeline=timeline, loads=loads)


async def plan(question: str, model: str, tools: Sequence[BaseTool]) -> Planned:
    """Let the planner node plan for a question, and stop there: nothing is called.

    Args:
        question: What to plan for.
        model: As in `create_llm_compiler`.
        tools: What the plan may call.

    Raises:
        ConfigurationError: The model cannot be made.
    """
    graph = create_llm_compiler(model, tools, examples=examples_for(tools), max_repairs=0, interrupt_after=["planner"])
    final = await graph.ainvoke({"messages": [("user", question)]})
    text, parser = (
        final["rounds"][-1]["plan"],
        PlanParser(tools={spec.name: tuple(spec.parameters) for spec in map(tool_spec, tools)}),
    )
    events = [*parser.feed(text), *parser.close()]
    return Planned(text, *collect(events, Checker(map(tool_spec, tools))))


def mermaid() -> str:
    """Draw the graph in Mermaid."""
    return create_llm_compiler("local", default_tools()).get_graph().draw_mermaid().rstrip()


def fetch_weights(*models: str) -> None:
    """Download what is missing now: it shows its own progress, and takes minutes."""
    for name in filter(is_local, dict.fromkeys(models)):
        require_runtime()
        find_weights(name.partition(":")[2] or DEFAULT_MODEL)


def _slowed(least: float) -> dict[str, Any]:
    """Make tool calls take this many seconds at least: `wrap_tool_call` for tools in threads, and its twin."""

    def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        over = time.monotonic() + least
        result = execute(request)
        time.sleep(max(0.0, over - time.monotonic()))
        return result

    async def awrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        over = time.monotonic() + least
        result = await execute(request)
        await asyncio.sleep(max(0.0, over - time.monotonic()))
        return result

    return {"wrap_tool_call": wrap, "awrap_tool_call": awrap} if least else {}
