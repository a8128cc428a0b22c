"""What a type checker must make of the public names. Checked by mypy, never run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypedDict, assert_type

from langchain.agents.middleware import InterruptOnConfig
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import GraphOutput
from pydantic import BaseModel

from llmcompiler_graph import (
    ConfigurationError,
    Diagnostic,
    LLMCompilerError,
    LLMCompilerState,
    Plan,
    PlanCheckError,
    PlanError,
    PlanExample,
    PlanSyntaxError,
    Task,
    create_llm_compiler,
    parse_plan,
)
from llmcompiler_graph.state import LLMCompilerInput, LLMCompilerOutput, ResponseT, Round, TaskRecord, TimelineEntry
from llmcompiler_graph.studio import Context
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.tools import calculate, load_tools, lookup


class Counted(TypedDict):
    """A state key of the caller's."""

    count: int


class Height(BaseModel):
    """The form of an answer."""

    metres: int


class Whole(LLMCompilerState[Height]):
    """The graph's state, with a key of the caller's."""

    user: str


class Tenant(BaseModel):
    """A run's context."""

    name: str


Given: TypeAlias = GraphOutput[LLMCompilerOutput[ResponseT]]
"""What `invoke` gives, in LangGraph's second version."""


async def search(query: str) -> list[str]:
    """A tool that is a plain function."""
    return [query]


def graphs() -> None:
    """A model is a name or a chat model, a tool a tool or a function; what comes back is a LangGraph graph."""
    graph = create_llm_compiler("local", [lookup, calculate, search])
    runnable: Runnable[Any, Any] = graph
    model = ScriptedModel(["1. join()", ValueError("no"), lambda messages: messages[0].text])
    create_llm_compiler(
        model,
        [search],
        planner_model="openai:gpt-5",
        joiner_model=model,
        plan_format="tools",
        select_tools=lambda question: ["search"],
        examples=[PlanExample("?", "1. join()")],
        response_format={"type": "object"},
        state_schema=Counted,
        context_schema=Context,
        name=runnable.get_name(),
    )
    approval: InterruptOnConfig = {"allowed_decisions": ["approve"]}  # LangChain's own
    create_llm_compiler(model, [search], interrupt_on={"search": approval}, response_format=ToolStrategy(dict))
    threads = ThreadPoolExecutor()
    create_llm_compiler("local", [search], tool_executor=threads)
    create_llm_compiler("local", [search], tool_executor={"search": threads})
    create_llm_compiler("local", [], tool_executor=2)  # type: ignore[call-overload]
    create_llm_compiler("local", [], max_replans="2")  # type: ignore[call-overload]
    create_llm_compiler("local", [], "Be brief.")  # type: ignore[call-overload]
    create_llm_compiler("local", ["search"])  # type: ignore[list-item]


def results() -> None:
    """What a graph takes and gives is typed by its schemas and the form of its answer, as in `create_agent`."""
    given: LLMCompilerInput = {"messages": [("user", "?"), {"role": "user", "content": "?"}, HumanMessage("?")]}
    graph = create_llm_compiler("local")
    assert_type(
        graph,
        CompiledStateGraph[LLMCompilerState[Any], None, LLMCompilerInput, LLMCompilerOutput[Any]],
    )
    assert_type(graph.invoke(given, version="v2").value["timeline"], list[TimelineEntry])
    graph.invoke({"message": "?"})  # type: ignore[call-overload]

    formed = create_llm_compiler("local", response_format=Height, context_schema=Tenant)
    assert_type(
        formed,
        CompiledStateGraph[LLMCompilerState[Height], Tenant, LLMCompilerInput, LLMCompilerOutput[Height]],
    )
    assert_type(formed.invoke(given, version="v2").value["structured_response"], Height)
    formed.invoke(given, context=Tenant(name="ann"))
    formed.invoke(given, context="ann")  # type: ignore[call-overload]
    for strategy in (ToolStrategy(Height), ProviderStrategy(Height)):
        assert_type(create_llm_compiler("local", response_format=strategy).invoke(given, version="v2"), Given[Height])
    raw = create_llm_compiler("local", response_format={"type": "object"}).invoke(given, version="v2")
    assert_type(raw, Given[dict[str, Any]])

    whole = create_llm_compiler("local", state_schema=Whole, context_schema=Tenant, response_format=Height)
    assert_type(whole, CompiledStateGraph[Whole, Tenant, Any, Whole])
    final = whole.invoke({**given, "user": "ann"}, version="v2").value
    assert_type(final["user"], str)
    assert_type(final["tasks"], list[TaskRecord])
    assert_type(final["structured_response"], Height)
    assert_type(create_llm_compiler("local", state_schema=Counted), CompiledStateGraph[Counted, None, Any, Any])


def plans(text: str) -> None:
    """Plans are read from text and written back."""
    plan = parse_plan(text)
    assert_type(plan, Plan)
    assert_type(plan.tasks, tuple[Task, ...])
    assert_type(plan.tasks[0].index, int)
    assert_type(plan.tasks[0].tool, str)
    assert_type(str(plan), str)
    plan.tasks = ()  # type: ignore[misc]


def states(state: LLMCompilerState) -> None:
    """The state's keys have types of their own."""
    assert_type(state["messages"], list[AnyMessage])
    assert_type(state["tasks"], list[TaskRecord])
    assert_type(state["timeline"][0], TimelineEntry)
    assert_type(state["timeline"][0]["finished"], float | None)
    assert_type(state["rounds"][0], Round)


def errors(error: PlanSyntaxError | PlanCheckError) -> None:
    """One tree of errors; those about plans say what is wrong where."""
    plan_error: PlanError = error
    value_error: ValueError = plan_error
    roots: list[LLMCompilerError] = [plan_error, ConfigurationError(str(value_error))]
    assert_type(error.diagnostics[0], Diagnostic)
    assert_type(error.diagnostics[0].line, int)
    raise roots[0]


def helpers(main: Callable[[], Any]) -> None:
    """Tools are LangChain's, and the virtual clock gives back what its coroutine does."""

    async def answer() -> int:
        return 42

    assert_type(load_tools(["lookup"]), list[BaseTool])
    assert_type(run_virtual(answer), int)
    main()
