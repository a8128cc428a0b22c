"""Procedures: plans with a name and parameters, which last longer than a turn.

procedure = procedure_from(final, name="height_difference", parameters={"first": "Mount Everest", "second": "K2"})
graph = create_llm_compiler(model, tools, procedures=[procedure])  # the planner calls it like a tool
run = procedure.as_graph(tools)  # or nobody plans
run.invoke({"arguments": {"first": "Mount Everest", "second": "Mont Blanc"}})["result"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.errors import GraphInterrupt
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore, SearchItem
from langgraph.types import Checkpointer

from llmcompiler_graph.calls.specs import as_tools, tool_specs
from llmcompiler_graph.core.checking.generalising import generalised
from llmcompiler_graph.core.checking.procedures import check_procedures, pinned
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.core.language.procedures import Procedure as PureProcedure
from llmcompiler_graph.core.language.procedures import parse_procedure as parse_one
from llmcompiler_graph.core.language.procedures import parse_procedures as parse
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.graph.human_answers import one_interrupt
from llmcompiler_graph.graph.procedure_graph import (
    ProcedureInput,
    ProcedureOutput,
    ProcedureState,
    procedure_graph,
)
from llmcompiler_graph.graph.procedures import checked_procedures
from llmcompiler_graph.models.lazy import ModelLike
from llmcompiler_graph.state import TaskRecord, task_from_record
from llmcompiler_graph.tool_selection.ranking import Ranking, words

__all__ = (
    "Procedure",
    "afind_procedures",
    "find_procedures",
    "parse_procedure",
    "parse_procedures",
    "procedure_from",
)

_NAMESPACE = ("procedures",)
_MOST_KEPT = 10_000  # that are looked at in a store


class Procedure(PureProcedure):
    """A plan with a name and parameters; what its last task returns is what it returns."""

    __slots__ = ()

    def checked(
        self, tools: Sequence[BaseTool | Callable[..., Any]], procedures: Sequence[PureProcedure] = ()
    ) -> Procedure:
        """The procedure, checked against tools and bound to what they look like: with others it is refused.

        Args:
            tools: The tools.
            procedures: Those that it calls.

        Raises:
            PlanCheckError: It does not fit them; it holds every diagnostic.
        """
        specs = tool_specs(as_tools(tools))
        check_procedures([self, *procedures], specs)
        return _public(pinned(self, specs))

    def as_graph(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        joiner_model: ModelLike | None = None,
        system_prompt: str | SystemMessage | None = None,
        procedures: Sequence[PureProcedure | str] = (),
        checkpointer: Checkpointer = None,
        store: BaseStore | None = None,
        name: str | None = None,
        **limits: Any,
    ) -> CompiledStateGraph[ProcedureState, Any, ProcedureInput, ProcedureOutput]:
        """Make a graph that runs it without a planner: `{"arguments": {…}}` in, `result` and `tasks` out.

        Args:
            tools: What it calls.
            joiner_model: A model that answers from the results, as the last of `messages`; none is asked otherwise.
            system_prompt: What the joiner is told before everything else.
            procedures: Those that it calls.
            checkpointer: As in `create_llm_compiler`: each task is persisted as it finishes.
            store: As in `create_llm_compiler`.
            name: The graph's name; the procedure's, if not given.
            limits: `interrupt_on`, `max_fan_out`, `max_concurrency`, `tool_concurrency`, `tool_timeout`,
                `tool_retry_policy`, `deadline`, `deadline_grace`, `max_observation_chars`, `handle_tool_errors`,
                `wrap_tool_call` and `awrap_tool_call`, as in `create_llm_compiler`.

        Raises:
            ConfigurationError: An argument cannot be used, or the procedure does not fit the tools.
        """
        return procedure_graph(
            self,
            tools,
            joiner_model=joiner_model,
            system_prompt=system_prompt,
            procedures=procedures,
            checkpointer=checkpointer,
            store=store,
            name=name,
            **limits,
        )

    def as_tool(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        procedures: Sequence[PureProcedure | str] = (),
        **limits: Any,
    ) -> BaseTool:
        """Make a tool that runs it, with its parameters as arguments, for any agent; no model is called.

        Inside a graph with a checkpointer, each task is persisted.

        Args:
            tools: What it calls.
            procedures: Those that it calls.
            limits: As for `as_graph`.

        Raises:
            ConfigurationError: An argument cannot be used, or the procedure does not fit the tools.
        """
        graph = self.as_graph(tools, procedures=procedures, **limits)
        spec = checked_procedures([self, *procedures], tool_specs(as_tools(tools)))[self.name].spec

        def run(**arguments: Any) -> Any:
            with _questions_once():
                return _result(graph.invoke({"arguments": arguments}))

        async def arun(**arguments: Any) -> Any:
            with _questions_once():
                return _result(await graph.ainvoke({"arguments": arguments}))

        schema = {
            "type": "object",
            "title": self.name,
            "properties": dict(spec.parameters),
            "required": [name for name in spec.parameters if name in spec.required],
            "additionalProperties": False,
        }
        said: dict[str, Any] = {"readOnlyHint": spec.read_only, "destructiveHint": spec.destructive}
        if isinstance(spec.returns, dict) and not spec.definitions:
            said["outputSchema"] = spec.returns
        return StructuredTool.from_function(
            run,
            coroutine=arun,
            name=self.name,
            description=self.description or f"Run {self.signature}.",
            args_schema=schema,
            metadata={key: value for key, value in said.items() if value is not None},
        )

    def save(self, store: BaseStore, namespace: tuple[str, ...] = _NAMESPACE) -> None:
        """Keep it in a store, under its name, in the place of one that had it."""
        store.put(namespace, self.name, self._kept())

    async def asave(self, store: BaseStore, namespace: tuple[str, ...] = _NAMESPACE) -> None:
        """Do the same asynchronously."""
        await store.aput(namespace, self.name, self._kept())

    def _kept(self) -> dict[str, Any]:
        return {"procedure": str(self), "description": self.description}


@contextmanager
def _questions_once() -> Iterator[None]:
    """Let each question that tools ask a human surface once: LangGraph tells of one of a graph inside a tool twice."""
    try:
        yield
    except GraphInterrupt as error:
        raise one_interrupt([error]) from None


def _result(final: Mapping[str, Any]) -> Any:
    """What a run gave.

    Raises:
        ToolException: Its last task gave nothing.
    """
    tasks: list[TaskRecord] = final["tasks"]
    if tasks[-1]["status"] == "done":
        return final["result"]
    failed = [task for task in tasks if task["status"] == "failed"] or tasks[-1:]
    raise ToolException("; ".join(f"{task['text'] or task['tool']}: {task['error']}" for task in failed))


def _public(procedure: PureProcedure) -> Procedure:
    return Procedure(**{field.name: getattr(procedure, field.name) for field in fields(procedure)})


def parse_procedures(text: str) -> list[Procedure]:
    """Read the procedures of a text.

    Raises:
        PlanSyntaxError: Something in it cannot be used; it holds every diagnostic.
    """
    return [_public(each) for each in parse(text)]


def parse_procedure(text: str) -> Procedure:
    """Read the text of one procedure.

    Raises:
        PlanSyntaxError: It is not the text of one procedure; it holds every diagnostic.
    """
    return _public(parse_one(text))


def procedure_from(
    final: Mapping[str, Any],
    *,
    name: str,
    parameters: Mapping[str, JSON],
    description: str = "",
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
) -> Procedure:
    """Make a procedure of the tasks of a turn that went well.

    Args:
        final: The turn's final state.
        name: What the procedure is called.
        parameters: What each of its parameters was this time, by name: wherever that stands in an argument of the plan,
            whole or as a word of a text, the parameter stands instead.
        description: What it does.
        tools: The tools of the turn. Their schemas give the parameters' types, and the procedure is checked with them
            and bound to what they look like; else the types are those of the values given here.

    Raises:
        ConfigurationError: A task of the turn did not succeed, or a parameter is nowhere in the plan.
        PlanCheckError: The procedure does not fit the tools.
    """
    records: list[TaskRecord] = list(final.get("tasks", ()))
    if not records:
        msg = "there are no tasks in this state: give the final state of a turn that called tools"
        raise ConfigurationError(msg)
    if lost := [record for record in records if record["status"] != "done"]:
        told = ", ".join(f"{record['index']} ({record['status']})" for record in lost)
        msg = f"a procedure is made of a turn whose tasks are all done; these are not: {told}"
        raise ConfigurationError(msg)
    specs = tool_specs(as_tools(tools)) if tools else []
    made = generalised([task_from_record(each) for each in records], name, parameters, specs, description)
    procedure = _public(made)
    return procedure.checked(tools) if tools else procedure


def find_procedures(
    store: BaseStore, question: str, *, limit: int = 3, namespace: tuple[str, ...] = _NAMESPACE
) -> list[Procedure]:
    """Find the procedures of a store that a question is likeliest to need, by the ranking that picks tools (BM25).

    Args:
        store: Where they were saved.
        question: The question.
        limit: How many at most.
        namespace: Where in the store.

    Raises:
        ConfigurationError: The extra `retrieval` is not installed.
        PlanSyntaxError: What is kept there is no procedure.
    """
    return _best(store.search(namespace, limit=_MOST_KEPT), question, limit)


async def afind_procedures(
    store: BaseStore, question: str, *, limit: int = 3, namespace: tuple[str, ...] = _NAMESPACE
) -> list[Procedure]:
    """Do the same asynchronously."""
    return _best(await store.asearch(namespace, limit=_MOST_KEPT), question, limit)


def _best(items: Sequence[SearchItem], question: str, limit: int) -> list[Procedure]:
    procedures = [parse_procedure(item.value["procedure"]) for item in items if "procedure" in item.value]
    ranking = Ranking([words(f"{each.signature}: {each.description}") for each in procedures], feedback=0)
    return [procedures[n] for n in ranking.best(words(question), limit)]
