"""Arguments of a tool that are called as what LangChain and LangGraph themselves give tools."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import CallbackManagerForToolRun, Callbacks
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, tool
from langgraph.prebuilt import ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest
from pydantic import BaseModel, create_model
from pydantic.json_schema import SkipJsonSchema

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.calls.specs import tool_spec
from llmcompiler_graph.testing import ScriptedModel

both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
NAMES = "config callbacks run_manager runtime self state store tool_call_id input tool_input args kwargs cls name"


def run(plan: str, tools: list[Any], *, sync: bool, **kwargs: Any) -> list[tuple[str, Any]]:
    """Run a plan; return each task's status with its value or error."""
    graph: Any = create_llm_compiler(ScriptedModel([plan, "Finish: ok"]), tools, max_repairs=0, **kwargs)
    given: Any = {"messages": [("user", "?")]}
    config: Any = {"configurable": {"user": "ann"}}
    final = graph.invoke(given, config) if sync else asyncio.run(graph.ainvoke(given, config))
    return [(task["status"], task["error"] or task["value"]) for task in final["tasks"]]


def json_schema(name: str) -> dict[str, Any]:
    """The arguments as an MCP server writes them."""
    return {"type": "object", "properties": {name: {"type": "string"}, "env": {"type": "string"}}, "required": [name]}


def model(name: str) -> type[BaseModel]:
    """The arguments as a pydantic model."""
    fields: dict[str, Any] = {name: (str, ...), "env": (str, "x")}
    return create_model("Arguments", **fields)


def tools_with(name: str) -> Iterator[StructuredTool]:
    """Tools with an argument of a name."""

    async def aserve(**given: Any) -> str:
        return str(given[name])

    def serve(**given: Any) -> str:
        return str(given[name])

    for schema in (json_schema(name), model(name)):
        yield StructuredTool(name="t", description="Do.", args_schema=schema, coroutine=aserve)
        yield StructuredTool(name="t", description="Do.", args_schema=schema, func=serve)


@both_ways
@pytest.mark.parametrize("name", NAMES.split())
def test_an_argument_of_any_name(name: str, sync: bool) -> None:
    """What the plan gives for an argument is what the tool gets, whatever its name, schema and side."""
    for each in tools_with(name):
        assert run(f'1. t({name}="mine", env="eu")', [each], sync=sync) == [("done", "mine")]
        assert not tool_spec(each).sees_state


@both_ways
@pytest.mark.parametrize("name", ["config", "runtime", "state", "store", "tool_call_id", "input"])
def test_an_argument_of_a_function(name: str, sync: bool) -> None:
    """So it is where LangChain reads the arguments from the function; its validation counts."""
    made: dict[str, Any] = {}
    exec(f"def t({name}: int, env: str = 'x') -> int:\n    'Do.'\n    return {name} + 1", made)
    assert run(f'1. t({name}="7")\n2. t({name}=$1)', [tool(made["t"])], sync=sync) == [("done", 8), ("done", 9)]


class Manager(BaseTool):
    """A tool that is a class, with arguments of such names."""

    name: str = "manage"
    description: str = "Manage."
    args_schema: Any = create_model("ManageArguments", config=(str, ...), run_manager=(str, ...), runtime=(str, "none"))

    def _run(self, config: str, run_manager: str, runtime: str = "none") -> str:
        return f"{config}, {run_manager}, {runtime}"


@both_ways
def test_a_tool_that_is_a_class(sync: bool) -> None:
    """A tool that is a class gets its arguments too."""
    plan = '1. manage("a", "b")\n2. manage("a", "b", runtime="c")'
    assert run(plan, [Manager()], sync=sync) == [("done", "a, b, none"), ("done", "a, b, c")]


@both_ways
def test_what_langchain_gives_is_still_given(sync: bool) -> None:
    """A tool that asks for LangChain's own gets it, beside an argument that is only called so."""

    @tool
    def both(config: str, settings: RunnableConfig, around: ToolRuntime[Any, Any]) -> str:
        """Do."""
        return f"{config}, {settings['configurable']['user']}, {around.config['configurable']['user']}"

    @tool
    def theirs(config: RunnableConfig, runtime: ToolRuntime[Any, Any], callbacks: Callbacks = None) -> str:
        """Do."""
        return f"{config['configurable']['user']}, {runtime.state['messages'][0].text}, {callbacks is not None}"

    assert run('1. both("mine")\n2. theirs()', [both, theirs], sync=sync) == [
        ("done", "mine, ann, ann"),
        ("done", "ann, ?, True"),
    ]
    assert tool_spec(theirs).sees_state


@both_ways
def test_a_wrapper_sees_them(sync: bool) -> None:
    """A wrapper is shown all arguments by their names; what it changes of them counts."""
    seen: list[Any] = []

    def wrap(request: ToolCallRequest, execute: Any) -> Any:
        call = request.tool_call
        seen.append(call["args"])
        return execute(request.override(tool_call={**call, "args": {**call["args"], "config": "changed"}}))

    first = next(tools_with("config"))
    assert run('1. t(config="mine", env="eu")', [first], sync=sync, wrap_tool_call=wrap) == [("done", "changed")]
    assert seen == [{"config": "mine", "env": "eu"}]


def callbacks(callbacks: str) -> str:
    """Do."""
    return callbacks


def run_manager(run_manager: str) -> str:
    """Do."""
    return run_manager


def args(args: str) -> str:
    """Do."""
    return args


def kwargs(a: int, kwargs: dict[str, int]) -> int:
    """Do."""
    return a


async def adapted(runtime: Annotated[Any, InjectedToolArg()] = None, **arguments: Any) -> str:
    """Do, as `langchain_mcp_adapters` do."""
    return str(arguments)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (callbacks, "the argument 'callbacks' of the tool 'callbacks' cannot be passed on: LangChain leaves it out"),
        (run_manager, "the argument 'run_manager' of the tool 'run_manager' cannot be passed on"),
        (args, "the argument 'args' of the tool 'args' cannot be passed on"),
        (kwargs, "the argument 'kwargs' of the tool 'kwargs' cannot be passed on"),
        (
            StructuredTool(name="t", description="Do.", args_schema=json_schema("runtime"), coroutine=adapted),
            "the argument 'runtime' of the tool 't' cannot be passed on: its function has a parameter of that name",
        ),
    ],
)
def test_arguments_that_cannot_be_passed_on(given: Any, why: str) -> None:
    """Where LangChain leaves no way, the graph is refused, by the tool's and the argument's name."""
    with pytest.raises(ConfigurationError, match=why):
        create_llm_compiler(ScriptedModel(), [given])


def test_in_an_executor() -> None:
    """A tool of another thread or process cannot be passed such an argument; it says so at once."""
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(ConfigurationError, match="its executor gets LangChain's own"),
    ):
        create_llm_compiler(ScriptedModel(), [list(tools_with("config"))[1]], tool_executor=executor)


def test_what_is_langchains_is_not_refused() -> None:
    """Parameters for what LangChain gives, and those of any number, are no arguments."""

    @tool
    def fine(a: int, callbacks: Callbacks = None, *args: int, **kwargs: int) -> int:
        """Do."""
        return a

    class Old(BaseTool):
        name: str = "old"
        description: str = "Do."

        def _run(self, text: str, run_manager: CallbackManagerForToolRun | None = None) -> str:
            return f"{text}, {run_manager is not None}"

    create_llm_compiler(ScriptedModel(), [fine])
    assert run('1. old("a")', [Old()], sync=True) == [("done", "a, True")]


@both_ways
@pytest.mark.parametrize("name", ["runtime", "config"])
def test_an_argument_that_the_schema_hides(name: str, sync: bool) -> None:
    """What a model leaves out of its JSON Schema is LangChain's to give: no plan sees it, and the tool gets it."""
    skipped: Any = SkipJsonSchema
    fields: dict[str, Any] = {name: (skipped[Any], None), "of": (str, ...)}

    def with_runtime(runtime: ToolRuntime, of: str) -> str:
        return f"{of} {runtime.tool_call_id is not None}"

    def with_config(config: RunnableConfig, of: str) -> str:
        return f"{of} {'configurable' in config}"

    function: Any = with_runtime if name == "runtime" else with_config
    made = StructuredTool(name="t", description="Do.", args_schema=create_model("Given", **fields), func=function)
    assert list(tool_spec(made).parameters) == ["of"]
    assert run('1. t(of="x")', [made], sync=sync) == [("done", "x True")]
