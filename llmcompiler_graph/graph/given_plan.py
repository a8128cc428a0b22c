"""A graph that runs a plan somebody has already written: no model plans, none joins.

START → planner → task_fetching_unit → END

The plan is the text of the last message. It is parsed, checked and run as a model's would be, with the same limits,
approvals and durability; what cannot be used fails, since nobody can be asked to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from langchain_core.messages import AnyMessage, SystemMessage
from langchain_core.tools import BaseTool
from langgraph.cache.base import BaseCache
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt.tool_node import AsyncToolCallWrapper, ToolCallWrapper

from llmcompiler_graph.approval import Approval, InterruptOnConfig
from llmcompiler_graph.calls.batches import with_batch_forms
from llmcompiler_graph.calls.cache import Reuse, tool_cache
from llmcompiler_graph.calls.policy import Retry, Timeout, ToolPolicy
from llmcompiler_graph.calls.runner import ToolRunner, as_wrappers
from llmcompiler_graph.calls.specs import as_tools, tool_specs
from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.core.arguments import seconds
from llmcompiler_graph.core.language.procedures import Procedure
from llmcompiler_graph.graph.clock import new_clock
from llmcompiler_graph.graph.commands import keys_of_one_value
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft, recorded
from llmcompiler_graph.graph.fetching import Fetching, after_fetching
from llmcompiler_graph.graph.node import Node, path
from llmcompiler_graph.graph.outer_agent import GivenPlanState, restore_outside
from llmcompiler_graph.graph.plan_approval import PlanApproval
from llmcompiler_graph.graph.procedures import checked_procedures
from llmcompiler_graph.state import LLMCompilerState, Round, plan_text

__all__ = ("PlanReader", "given_plan_graph", "given_plan_settings", "plan_nodes")


def given_plan_graph(
    tools: Sequence[BaseTool | Callable[..., Any]], **options: Any
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Make the graph; the options are those of `given_plan_settings`.

    It is compiled without a checkpointer: inside another graph it uses that one's, and every task is persisted.

    Raises:
        ConfigurationError: An argument cannot be used.
    """
    settings = replace(
        given_plan_settings(tools, **options),
        keys_of_one_value=keys_of_one_value(GivenPlanState),
        on_result=restore_outside,
    )
    shared = Shared()
    graph = plan_nodes(StateGraph(GivenPlanState), settings, shared, PlanReader(settings, shared), leads_to=END)
    return graph.compile(name="plan").with_config(callbacks=[shared.inflight])


def plan_nodes(
    graph: StateGraph[Any, Any, Any, Any], settings: Settings, shared: Shared, reader: PlanReader, *, leads_to: str
) -> StateGraph[Any, Any, Any, Any]:
    """Add the nodes that read a plan and run it, and what leads to them and from them."""
    fetching = Fetching(settings, shared)
    graph.add_node("planner", Node("planner", reader.read, reader.aread))
    graph.add_node("task_fetching_unit", Node("task_fetching_unit", fetching.fetch, fetching.afetch))
    graph.add_edge(START, "planner")
    graph.add_edge("planner", "task_fetching_unit")
    leads: dict[Hashable, str] = {"approve": "task_fetching_unit", "go on": leads_to}
    graph.add_conditional_edges("task_fetching_unit", path(after_fetching), leads)
    return graph


def given_plan_settings(
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    procedures: Iterable[Procedure | str] = (),
    interrupt_on: Mapping[str, bool | InterruptOnConfig] | None = None,
    max_tasks: int | None = None,
    max_fan_out: int | None = 1000,
    max_concurrency: int | None = None,
    tool_concurrency: Mapping[str, int] | None = None,
    tool_timeout: Timeout | None = None,
    tool_retry_policy: Retry | None = None,
    tool_cache_policy: Reuse | None = None,
    cache: BaseCache[Any] | None = None,
    deadline: float | timedelta | None = None,
    deadline_grace: float | timedelta = 30,
    max_observation_chars: int = 4000,
    handle_tool_errors: Any = True,
    wrap_tool_call: ToolCallWrapper | None = None,
    awrap_tool_call: AsyncToolCallWrapper | None = None,
) -> Settings:
    """Make the settings of a graph without a planner model; the arguments are those of `create_llm_compiler`.

    Raises:
        ConfigurationError: An argument cannot be used.
    """
    toolset, batches = with_batch_forms(as_tools(tools))
    specs = tool_specs(toolset)
    approval = Approval(interrupt_on or {}, [spec.called for spec in specs])
    return Settings(
        specs=specs,
        procedures=checked_procedures(procedures, specs),
        runner=ToolRunner(
            toolset,
            handle_tool_errors=handle_tool_errors,
            wrappers=as_wrappers(wrap_tool_call, awrap_tool_call),
            cache=tool_cache(cache, tool_cache_policy, toolset, specs),
            batches=batches,
        ),
        system=SystemMessage(""),
        check_answers=False,
        selection=None,
        plan_format="text",
        brief=False,
        max_replans=0,
        fuse_replan=False,
        max_repairs=0,
        max_tasks=max_tasks,
        max_fan_out=max_fan_out,
        max_concurrency=max_concurrency,
        max_observation_chars=max_observation_chars,
        max_history_chars=None,
        deadline=None if deadline is None else seconds("deadline", deadline),
        deadline_grace=seconds("deadline_grace", deadline_grace),
        held=frozenset(spec.name for spec in specs if spec.waits_for_plan or spec.called in approval.tools),
        tool_concurrency=tool_concurrency or {},
        policy=ToolPolicy(specs, tool_retry_policy, tool_timeout),
        approval=approval,
        approve_plans=PlanApproval(False, specs),
        interrupt_mode="batched",
        keys_of_one_value=keys_of_one_value(LLMCompilerState),
    )


class PlanReader:
    """The node that reads the plan and sets it going."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._settings = settings
        self._shared = shared

    def read(self, state: LLMCompilerState) -> dict[str, Any]:
        """Run the node for a synchronous caller."""
        return run_in_background(self._read(state, sync=True))

    async def aread(self, state: LLMCompilerState) -> dict[str, Any]:
        """Run the node; return the state's update."""
        return await self._read(state, sync=False)

    def given(self, state: LLMCompilerState) -> tuple[str, AnyMessage, list[AnyMessage]]:
        """The plan's text, the message that the turn answers, and the messages that are to be written."""
        question = state["messages"][-1]
        return str(question.text), question, []

    def check(self, draft: Draft) -> None:
        """Look at the plan before it runs: whatever is wrong with a task of it is told in its place."""

    async def _read(self, state: LLMCompilerState, *, sync: bool) -> dict[str, Any]:
        text, question, messages = self.given(state)
        clock = new_clock(self._shared.inflight)
        update: dict[str, Any] = {"turn": question.id, "clock": clock, "tasks": [], "rounds": [], "timeline": []}
        draft = Draft(self._settings, self._shared, {**state, **update}, sync=sync)  # type: ignore[typeddict-item]
        draft.feed(text)
        draft.close()
        draft.settle()
        self.check(draft)
        if any(record["text"] for record in draft.records):
            messages.append(draft.message(None))
            self._shared.inflight.hand_over(messages[-1].id, draft.executor)
        told = [recorded(each) for each in draft.diagnostics]
        return {
            **update,
            "messages": messages,
            "tasks": draft.records,
            "rounds": [Round(plan=draft.text, diagnostics=told, reply="", usage={})],
            "plan_text": plan_text(draft.records),
            **({"approvals": []} if state.get("approvals") else {}),  # those of a run that nobody goes on with
        }
