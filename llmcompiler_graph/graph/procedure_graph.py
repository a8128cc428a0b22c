"""A graph that runs a procedure: no model plans, and one joins only if it is given.

START → planner → task_fetching_unit → result (→ joiner) → END

It is the graph of a given plan (see `given_plan`), whose plan is a call of the procedure with the caller's arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, NotRequired, cast
from uuid import uuid4

from langchain_core.messages import AnyMessage, HumanMessage, MessageLikeRepresentation, SystemMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer
from typing_extensions import TypedDict

from llmcompiler_graph.calls.values import written
from llmcompiler_graph.core.arguments import refused
from llmcompiler_graph.core.checking.checker import Checker
from llmcompiler_graph.core.checking.procedures import CheckedProcedure
from llmcompiler_graph.core.errors import PlanCheckError
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.core.language.procedures import Procedure
from llmcompiler_graph.core.language.references import Value
from llmcompiler_graph.graph.context import Settings, Shared
from llmcompiler_graph.graph.draft import Draft
from llmcompiler_graph.graph.given_plan import PlanReader, given_plan_settings, plan_nodes
from llmcompiler_graph.graph.joiner import Joiner
from llmcompiler_graph.graph.node import Node, both_ways
from llmcompiler_graph.models.lazy import LazyModel, ModelLike
from llmcompiler_graph.models.system import system_message
from llmcompiler_graph.state import LLMCompilerOutput, LLMCompilerState

__all__ = ("ProcedureInput", "ProcedureOutput", "ProcedureState", "procedure_graph")


class ProcedureInput(TypedDict):
    """What a run of a procedure takes."""

    arguments: dict[str, Any]
    """The procedure's arguments by name."""
    messages: NotRequired[Annotated[Sequence[MessageLikeRepresentation], add_messages]]
    """The conversation, the question last: what the joiner is to answer, if there is one."""


class ProcedureOutput(LLMCompilerOutput):
    """What a run of a procedure gives."""

    result: NotRequired[Any]
    """What its last task returned; `None` if that failed (see `tasks`)."""


class ProcedureState(LLMCompilerState):
    """The state of a run of a procedure."""

    arguments: dict[str, Any]
    """The procedure's arguments by name."""
    result: NotRequired[Any]
    """What its last task returned."""


def procedure_graph(
    procedure: Procedure,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    joiner_model: ModelLike | None = None,
    system_prompt: str | SystemMessage | None = None,
    procedures: Sequence[Procedure | str] = (),
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    name: str | None = None,
    **limits: Any,
) -> CompiledStateGraph[ProcedureState, Any, ProcedureInput, ProcedureOutput]:
    """Make the graph.

    Args:
        procedure: What it runs.
        tools: What the procedure calls.
        joiner_model: What answers from its results; `None` for no answer.
        system_prompt: What the joiner is told before everything else.
        procedures: Those that it calls.
        checkpointer: As in `create_llm_compiler`.
        store: As in `create_llm_compiler`.
        name: The graph's name; the procedure's, if not given.
        limits: The other arguments of `given_plan.given_plan_graph`.

    Raises:
        ConfigurationError: An argument cannot be used, or the procedure does not fit the tools.
    """
    settings = given_plan_settings(tools, procedures=[procedure, *procedures], **limits)
    shared = Shared()
    reader = _CallReader(settings, shared, settings.procedures[procedure.name])
    graph = StateGraph(ProcedureState, input_schema=ProcedureInput, output_schema=ProcedureOutput)
    plan_nodes(graph, settings, shared, reader, leads_to="result")
    graph.add_node("result", _result)
    if joiner_model is None:
        graph.add_edge("result", END)
    else:
        system = system_message(settings.callable, (), "" if system_prompt is None else system_prompt)
        joiner = Joiner(replace(settings, system=system), shared, LazyModel(joiner_model), name=name or procedure.name)
        graph.add_node("joiner", Node("joiner", *both_ways(joiner.join, settings.patience)))
        graph.add_edge("result", "joiner")
        graph.add_edge("joiner", END)
    compiled = graph.compile(checkpointer=checkpointer, store=store, name=name or procedure.name)
    return compiled.with_config(callbacks=[shared.inflight])


def _result(state: ProcedureState) -> dict[str, Any]:
    """Say what the procedure's last task returned."""
    last = state["tasks"][-1]
    return {"result": last["value"] if last["status"] == "done" else None}


class _CallReader(PlanReader):
    """Reads a call of the procedure, with the arguments that the state has."""

    def __init__(self, settings: Settings, shared: Shared, checked: CheckedProcedure) -> None:
        super().__init__(settings, shared)
        self._checked = checked

    def given(self, state: Any) -> tuple[str, AnyMessage, list[AnyMessage]]:
        """A plan that calls the procedure; its call is the question, if there is none.

        Raises:
            ConfigurationError: There are no arguments.
            PlanCheckError: They do not fit the procedure.
        """
        procedure, arguments = self._checked.procedure, state.get("arguments")
        if not isinstance(arguments, dict):
            raise refused("arguments", "the procedure's arguments by name, as a dict", arguments)
        given = {str(name): cast("Value", written(value)) for name, value in arguments.items()}
        task, problems = Checker([self._checked.spec]).check(Task(1, procedure.name, given))
        if problems:
            raise PlanCheckError(problems)
        messages: list[AnyMessage] = state.get("messages", [])
        if messages:
            return str(task), messages[-1], []
        said = [procedure.description, str(task).partition(". ")[2]]
        question = HumanMessage("\n".join(filter(None, said)), id=str(uuid4()))
        return str(task), question, [question]

    def check(self, draft: Draft) -> None:
        """Refuse arguments that the procedure's tasks cannot have.

        Raises:
            PlanCheckError: It says which.
        """
        if draft.diagnostics:
            raise PlanCheckError(draft.diagnostics)
