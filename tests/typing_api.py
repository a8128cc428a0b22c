"""What a type checker must make of the public names. Checked by mypy, never run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict, assert_type

from langchain.agents.middleware import InterruptOnConfig
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph

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
from llmcompiler_graph.state import Round, TaskRecord, TimelineEntry
from llmcompiler_graph.studio import Context
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.tools import calculate, load_tools, lookup


class Counted(TypedDict):
    """A state key of the caller's."""

    count: int


async def search(query: str) -> list[str]:
    """A tool that is a plain function."""
    return [query]


def graphs() -> None:
    """A model is a name or a chat model, a tool a tool or a function; what comes back is a LangGraph graph."""
    graph = create_llm_compiler("local", [lookup, calculate, search])
    assert_type(graph, CompiledStateGraph[Any, Any, Any, Any])
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
    create_llm_compiler("local", [], tool_executor=2)  # type: ignore[arg-type]
    create_llm_compiler("local", [], max_replans="2")  # type: ignore[arg-type]
    create_llm_compiler("local", [], "Be brief.")  # type: ignore[call-arg]
    create_llm_compiler("local", ["search"])  # type: ignore[list-item]


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
