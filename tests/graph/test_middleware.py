"""LangChain's own middleware in a graph of plans."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    LLMToolEmulator,
    ToolCallRequest,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
    wrap_tool_call,
)
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.stream import StreamTransformer
from langgraph.types import Command

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel

FINISH = "Finish: done"
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


def scripted(*replies: Any, **settings: Any) -> ScriptedModel:
    """A model that writes these."""
    return ScriptedModel(list(replies), **settings)


async def asked(graph: Any, *, sync: bool = False, config: Any = None) -> Any:
    """Ask a graph."""
    given = {"messages": [("user", "what?")]}
    return graph.invoke(given, config) if sync else await graph.ainvoke(given, config)


# -- tools ----------------------------------------------------------------------------------------------------------


class Noting(AgentMiddleware[Any, Any]):
    """Notes when it is entered and left, in one way or in both."""

    def __init__(self, called: str, notes: list[str]) -> None:
        super().__init__()
        self.called, self.notes = called, notes

    @property
    def name(self) -> str:
        """Its name."""
        return self.called


class NotingSync(Noting):
    """Synchronous alone."""

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Note."""
        self.notes.append(f"{self.called} in")
        made = handler(request)
        self.notes.append(f"{self.called} out")
        return made


class NotingAsync(Noting):
    """Asynchronous alone."""

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """Note."""
        self.notes.append(f"{self.called} in")
        made = await handler(request)
        self.notes.append(f"{self.called} out")
        return made


@both_ways
async def test_wrappers_of_tool_calls_are_chained(sync: bool) -> None:
    """The first is the outermost, the parameter the innermost, whichever of wrapper and caller is asynchronous."""
    notes: list[str] = []
    chain = [NotingSync("a", notes), NotingAsync("b", notes), NotingSync("c", notes)]

    def inner(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        notes.append("inner")
        return execute(request)

    model = scripted('1. look("x")\n2. join()', FINISH)
    final = await asked(create_llm_compiler(model, [look], middleware=chain, wrap_tool_call=inner), sync=sync)
    assert final["tasks"][0]["value"] == "seen x"
    assert notes == ["a in", "b in", "c in", "inner", "c out", "b out", "a out"]


@both_ways
async def test_tool_retry(sync: bool) -> None:
    """`ToolRetryMiddleware` calls a tool again when it raises."""
    calls: list[str] = []

    @tool
    def flaky(what: str) -> str:
        """Fail twice."""
        calls.append(what)
        if len(calls) < 3:
            raise ConnectionError(what)
        return "ok"

    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)
    graph = create_llm_compiler(scripted('1. flaky("x")\n2. join()', FINISH), [flaky], middleware=[retry])
    final = await asked(graph, sync=sync)
    assert (final["tasks"][0]["value"], calls) == ("ok", ["x"] * 3)


async def test_tool_errors() -> None:
    """`ToolErrorMiddleware` turns what a tool raises into what it says."""

    @tool
    def broken(what: str) -> str:
        """Fail."""
        raise ConnectionError(what)

    handling = ToolErrorMiddleware(lambda error, request: f"{request.tool_call['name']} is out: {error}")
    model = scripted('1. broken("x")\n2. join()', FINISH)
    graph = create_llm_compiler(model, [broken], middleware=[handling], handle_tool_errors=False)
    assert "broken is out: x" in (await asked(graph))["tasks"][0]["error"]


async def test_tool_emulator() -> None:
    """`LLMToolEmulator` answers in the tool's place."""
    emulator = LLMToolEmulator(tools=["look"], model=scripted("emulated"))
    model = scripted('1. look("x")\n2. join()', FINISH)
    graph = create_llm_compiler(model, [look], middleware=[emulator])
    assert (await asked(graph))["tasks"][0]["value"] == "emulated"


async def test_a_decorated_function() -> None:
    """`@wrap_tool_call` makes middleware of a function."""

    @wrap_tool_call
    async def louder(request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        message = await handler(request)
        assert isinstance(message, ToolMessage)
        return message.model_copy(update={"content": message.text.upper()})

    graph = create_llm_compiler(scripted('1. look("x")\n2. join()', FINISH), [look], middleware=[louder])
    assert (await asked(graph))["tasks"][0]["value"] == "SEEN X"


# -- what it brings along ----------------------------------------------------------------------------------------------


class Counted(AgentState[Any]):
    """What `Counting` keeps."""

    count: NotRequired[Annotated[int, PrivateStateAttr]]
    shown: NotRequired[int]


@tool
def bump(to: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Set the count."""
    return Command(update={"count": to, "shown": to, "messages": [ToolMessage("ok", tool_call_id=tool_call_id)]})


class Counting(AgentMiddleware[Any, Any]):
    """Brings a tool and keys of the state."""

    state_schema = Counted
    tools: list[BaseTool] = [bump]  # noqa: RUF012 (as LangChain's own)


async def test_tools_and_state_of_middleware() -> None:
    """Its tools can be planned, its keys written; those marked as private are neither taken nor given."""
    model = scripted("1. bump(3)\n2. join()", FINISH)
    graph = create_llm_compiler(model, [look], middleware=[Counting()], checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    final = await asked(graph, config=config)
    assert final["shown"] == 3
    assert "count" not in final
    assert graph.get_state(config).values["count"] == 3
    assert set(graph.get_input_jsonschema()["properties"]) == {"messages", "shown"}
    assert "jump_to" not in graph.get_output_jsonschema()["properties"]


class Silent(StreamTransformer):
    """Transforms nothing."""

    def init(self) -> dict[str, Any]:
        """Add nothing to the stream."""
        return {}

    def process(self, event: Any) -> bool:
        """Keep each event."""
        return True


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_transformers() -> None:
    """Those of middleware and those of the parameter are given to the graph, each once."""
    made: list[str] = []

    def transformer(called: str) -> Any:
        def make(scope: Any) -> Any:
            made.append(called)
            return Silent(scope)

        return make

    first, second = transformer("first"), transformer("second")
    bringing = Counting()
    bringing.transformers = [first]
    model = scripted('1. look("x")\n2. join()', FINISH)
    graph = create_llm_compiler(model, [look], middleware=[bringing], transformers=[first, second])
    stream = await graph.astream_events({"messages": [("user", "?")]}, version="v3")
    assert [text async for message in stream.messages async for text in message.text]
    assert made[:2] == ["first", "second"]


# -- what is refused ---------------------------------------------------------------------------------------------------


class Taking(AgentMiddleware[Any, Any]):
    """Keeps something under a name that is taken."""

    class Kept(AgentState[Any]):
        """What it keeps."""

        tasks: NotRequired[int]

    state_schema = Kept


@pytest.mark.parametrize(
    ("middleware", "reason"),
    [
        (3, "middleware"),
        ("retry", "middleware"),
        ([ToolRetryMiddleware], "AgentMiddleware"),
        ([ToolRetryMiddleware(), ToolRetryMiddleware()], "'ToolRetryMiddleware' twice"),
        ([Taking()], "cannot have a key 'tasks'"),
    ],
    ids=["number", "text", "class", "twice", "key"],
)
def test_what_cannot_be_used(middleware: Any, reason: str) -> None:
    """Middleware that cannot be used is refused when the graph is made, with the reason."""
    with pytest.raises(ConfigurationError, match=reason):
        create_llm_compiler(scripted(), [look], middleware=middleware)
