import asyncio
import dataclasses
import datetime
import enum
import sys
import threading
from collections.abc import Awaitable, Callable, Set
from contextvars import ContextVar
from decimal import Decimal
from typing import Annotated, Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, Tool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, RetryPolicy
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel
from llmcompiler_graph.tools import calculate

QUESTION: Any = {"messages": [HumanMessage("what?")]}
THREAD: Any = {"configurable": {"thread_id": "1", "user": "ann"}}
RETRY = RetryPolicy(initial_interval=0.001, jitter=False)
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@tool
async def same(value: Any) -> Any:
    """Return what is given."""
    return value


async def run(plan: str, tools: list[Any], *, sync: bool = False, **kwargs: Any) -> Any:
    """Run a plan; return the final state."""
    graph: Any = create_llm_compiler(ScriptedModel([plan, "Finish: ok"]), tools, **kwargs)
    if sync:
        return await asyncio.to_thread(graph.invoke, QUESTION, THREAD)
    return await graph.ainvoke(QUESTION, THREAD)


async def outcomes(plan: str, tools: list[Any], **kwargs: Any) -> list[Any]:
    """Run a plan; return each task's value, or its error."""
    final = await run(plan, tools, **kwargs)
    return [task["value"] if task["status"] == "done" else task["error"] for task in final["tasks"]]


async def test_what_a_tool_does_to_its_arguments_stays_with_it() -> None:
    """A tool that changes its arguments in place changes no observation, no other task's input and no second try."""
    tries: list[Any] = []

    @tool
    async def tag(rows: list[Any]) -> list[Any]:
        """Number the rows, in place; fail the first time."""
        tries.append([dict(row) for row in rows])
        for n, row in enumerate(rows):
            row["n"] = n
        if len(tries) == 1:
            raise ConnectionError
        return rows

    final = await run(
        "1. same([{'a': 1}])\n2. tag($1)\n3. same($1) after $2", [same, tag], tool_retry_policy={"tag": RETRY}
    )
    assert [task["value"] for task in final["tasks"]] == [[{"a": 1}], [{"a": 1, "n": 0}], [{"a": 1}]]
    assert final["tasks"][1]["arguments"] == [{"rows": [{"a": 1}]}]
    assert tries == [[{"a": 1}]] * 2


def test_agents_in_all_threads_find_threads_for_their_tools() -> None:
    """Tools that call a graph may hold every thread there is for tools: those of that graph have others."""
    busy = threading.Barrier(256)

    @tool
    def agents() -> list[int]:
        """Count."""
        return list(range(256))

    @tool
    def leaf() -> str:
        """Do the work."""
        return "done"

    @tool
    def agent(n: int) -> Any:
        """Let a graph work, once all are here."""
        busy.wait(60)
        return inner.invoke(QUESTION)["tasks"][0]["value"]

    def reply(messages: list[Any]) -> str:
        return "Finish: ok" if "Observations" in messages[-1].text else "1. leaf()\n2. join()"

    inner: Any = create_llm_compiler(ScriptedModel([reply] * 512, chunk_size=0), [leaf])
    plan = "1. agents()\n2. agent(${1[*]})\n3. join()"
    outer: Any = create_llm_compiler(ScriptedModel([plan, "Finish: ok"]), [agents, agent])
    assert outer.invoke(QUESTION)["tasks"][1]["value"] == ["done"] * 256


# -- values ------------------------------------------------------------------------------------------------------------


class Point(BaseModel):
    """A point."""

    x: int
    day: datetime.date


@dataclasses.dataclass
class Pair:
    """A pair."""

    a: int
    b: tuple[int, ...]


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


class Odd:
    """Nothing JSON knows."""

    def __repr__(self) -> str:
        return "<odd>"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (None, None),
        (True, True),
        (8848.86, 8848.86),
        ("", ""),
        ("$1 is not expanded", "$1 is not expanded"),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ((1, "a"), [1, "a"]),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        (2**64 - 1, 2**64 - 1),
        (10**40, "1" + "0" * 40),
        (-(2**63) - 1, "-9223372036854775809"),
        (float("inf"), float("inf")),
        (b"text", "text"),
        (b"\xff\x00", "/wA="),
        ([b"\xfe", bytearray(b"a")], ["/g==", "a"]),
        ("half \ud83d", "half \ufffd"),
        ({"a": "\ud83d\ude00"}, {"a": "😀"}),
        (Point(x=1, day=datetime.date(2020, 1, 2)), {"x": 1, "day": "2020-01-02"}),
        ([Pair(1, (2, 3))], [{"a": 1, "b": [2, 3]}]),
        (Colour.RED, "red"),
        (Odd(), "<odd>"),
        (Decimal("19.99"), 19.99),
        ([{"a": (Decimal(2), {"b": Decimal("-0.5")})}], [{"a": [2.0, {"b": -0.5}]}]),
        (np.int64(7), 7),
        ({"a": [np.float32(2.5), np.bool_(True)]}, {"a": [2.5, True]}),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({"a": Odd()}, {"a": "<odd>"}),
    ],
    ids=lambda value: type(value).__name__,
)
@both_ways
async def test_values(given: Any, value: Any, sync: bool) -> None:
    """What a tool returns becomes a JSON value with its type, whole in references and in every checkpoint."""

    @tool
    def give() -> Any:
        """Give it."""
        return given

    saver = InMemorySaver()
    final = await run("1. give()\n2. same($1)\n3. same([$1, 1])", [give, same], sync=sync, checkpointer=saver)
    assert [task["value"] for task in final["tasks"]] == [value, value, [value, 1]]
    assert type(final["tasks"][0]["value"]) is type(value)
    graph = create_llm_compiler(ScriptedModel(), [give, same], checkpointer=saver)
    assert graph.get_state(THREAD).values.items() >= final.items()


async def test_not_a_number() -> None:
    """A NaN that a tool returns stays a number."""

    @tool
    def give() -> float:
        """Give it."""
        return float("nan")

    assert [value != value for value in await outcomes("1. give()\n2. same($1)", [give, same])] == [True, True]  # noqa: PLR0124


async def test_big_numbers_in_a_plan() -> None:
    """A tool gets a number of any size that the plan holds; the state keeps it as text."""

    @tool
    def digits(n: int) -> int:
        """Count digits."""
        return len(str(n + 1))

    final = await run(f"1. digits({10**30})", [digits], checkpointer=InMemorySaver())
    assert final["tasks"][0]["value"] == 31
    assert final["tasks"][0]["arguments"] == [{"n": str(10**30)}]


async def test_decimals_are_numbers_to_plans() -> None:
    """A plan may calculate with a `Decimal` that a tool returns, also inside a model, a dataclass or a set."""

    class Item(BaseModel):
        price: Decimal = Field(serialization_alias="thePrice")

    @dataclasses.dataclass
    class Basket:
        items: list[Item]
        discounts: frozenset[Decimal]

    @tool
    def price() -> Decimal:
        """Tell a price."""
        return Decimal("19.99")

    @tool
    def item() -> Item:
        """Tell of an item."""
        return Item(price=Decimal("0.5"))

    @tool
    def basket() -> Basket:
        """Tell of items."""
        return Basket([Item(price=Decimal("0.5"))], frozenset({Decimal("0.25")}))

    @tool
    def double(x: float) -> float:
        """Double."""
        return 2 * x

    plan = '1. price()\n2. calculate("$1 * 2")\n3. double($1)\n4. item()\n5. double(${4.thePrice})\n6. basket()'
    assert await outcomes(plan, [price, item, basket, double, calculate], max_repairs=0) == [
        19.99,
        39.98,
        39.98,
        {"thePrice": 0.5},
        1.0,
        {"items": [{"thePrice": 0.5}], "discounts": [0.25]},
    ]


async def test_decimals_in_sets_are_numbers() -> None:
    """Those in a set are numbers in whatever order it has, also inside tuples; other elements stay."""
    in_a_large_table = set(map(Decimal, range(100)))
    in_a_large_table -= set(map(Decimal, {*range(100)} - {1, 64}))

    @tool
    def sets() -> list[Set[Any]]:
        """Give sets, the first in the order of a large table."""
        return [in_a_large_table, {("a", Decimal("0.5"))}, frozenset({Colour.RED, Odd(), Decimal(3)})]

    ((first, second, third),) = await outcomes("1. sets()", [sets])
    assert sorted(first) == [1.0, 64.0]
    assert all(type(each) is float for each in first)
    assert second == [["a", 0.5]]
    assert sorted(third, key=str) == [3.0, "<odd>", "red"]


async def test_serializers_of_a_model_have_the_last_word() -> None:
    """What a model's own serializers write of a `Decimal`, or of anything else, is the value."""

    class Item(BaseModel):
        model_config = ConfigDict(ser_json_bytes="base64")
        price: Annotated[Decimal, PlainSerializer(lambda price: f"{price} €", when_used="json")]
        exact: Annotated[Decimal, PlainSerializer(str)]
        picture: bytes

    @tool
    def item() -> Item:
        """Tell of an item."""
        return Item(price=Decimal("0.5"), exact=Decimal("0.1"), picture=b"\xff")

    assert await outcomes("1. item()", [item]) == [{"price": "0.5 €", "exact": "0.1", "picture": "_w=="}]


async def test_content_and_artifact() -> None:
    """Of content and artifact, the content is the value; the artifact stays on the message."""

    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, dict[str, int]]:
        """Fetch."""
        return "the text", {"bytes": 3}

    final = await run("1. fetch()\n2. same($1)", [fetch, same])
    assert [task["value"] for task in final["tasks"]] == ["the text", "the text"]
    assert final["messages"][2].artifact == {"bytes": 3}


async def test_content_without_an_artifact() -> None:
    """A pair is content and artifact where the tool says so, whatever the artifact; else it is a pair."""

    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, None]:
        """Fetch."""
        return "the text", None

    @tool
    def pair() -> tuple[str, None]:
        """Return a pair."""
        return "the text", None

    assert await outcomes("1. fetch()\n2. pair()", [fetch, pair]) == ["the text", ["the text", None]]


async def test_structured_content_of_mcp_tools() -> None:
    """An MCP tool's structured content is the value, as its `outputSchema` says."""

    @tool(response_format="content_and_artifact")
    def weather() -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Tell the weather, the way langchain-mcp-adapters does."""
        return [{"type": "text", "text": '{"celsius": 21}'}], {"structured_content": {"celsius": 21}}

    weather.metadata = {"outputSchema": {"type": "object", "properties": {"celsius": {"type": "number"}}}}
    assert await outcomes("1. weather()\n2. same(${1.celsius})", [weather, same]) == [{"celsius": 21}, 21]


async def test_content_blocks() -> None:
    """Content blocks that a tool returns are a value like any other."""

    @tool
    def blocks() -> list[dict[str, str]]:
        """Return blocks."""
        return [{"type": "text", "text": "hello"}]

    assert await outcomes("1. blocks()\n2. same(${1[0].text})", [blocks, same]) == [
        [{"type": "text", "text": "hello"}],
        "hello",
    ]


async def test_a_tool_that_makes_its_own_message() -> None:
    """A tool's own `ToolMessage` is the task's, and its content the value."""

    @tool
    def own(tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Make a message."""
        return ToolMessage("mine", tool_call_id=tool_call_id, artifact=[1])

    final = await run("1. own()\n2. same($1)", [own, same])
    assert [task["value"] for task in final["tasks"]] == ["mine", "mine"]
    message = final["messages"][2]
    assert (message.content, message.artifact, message.tool_call_id) == ("mine", [1], final["tasks"][0]["tool_call_id"])


async def test_a_tool_that_gives_messages_and_commands() -> None:
    """A list of a message and commands is carried out, the message's content the value."""

    @tool
    def both(tool_call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """Give both."""
        return [ToolMessage("mine", tool_call_id=tool_call_id), Command(update={"messages": [HumanMessage("aside")]})]

    final = await run("1. both()\n2. same($1)", [both, same])
    assert [task["value"] for task in final["tasks"]] == ["mine", "mine"]
    assert "aside" in [m.content for m in final["messages"]]


# -- kinds of tools ----------------------------------------------------------------------------------------------------


class Sides(BaseTool):
    """A tool with both sides."""

    name: str = "sides"
    description: str = "Tell which side was called."

    def _run(self, text: str) -> str:
        return f"sync {text}"

    async def _arun(self, text: str) -> str:
        return f"async {text}"


class Text(BaseModel):
    """The arguments of `OneSide`."""

    text: str


class OneSide(BaseTool):
    """A tool with a synchronous side only."""

    name: str = "one_side"
    description: str = "Tell the thread."
    args_schema: Any = Text

    def _run(self, text: str, config: RunnableConfig) -> str:
        thread = threading.current_thread().name
        return f"{thread in ('MainThread', 'llmcompiler')} {config['configurable']['user']} {text}"


@pytest.mark.parametrize(("sync", "side"), [(False, "async"), (True, "sync")])
async def test_the_side_of_a_tool(sync: bool, side: str) -> None:
    """Of a tool with two sides, the caller's own is called; a synchronous tool never runs on the event loop."""
    assert await outcomes('1. sides("a")\n2. one_side("b")', [Sides(), OneSide()], sync=sync) == [
        f"{side} a",
        "False ann b",
    ]


@both_ways
async def test_tools_of_one_text(sync: bool) -> None:
    """LangChain's single-input `Tool` takes its text by position or by name."""
    echo = Tool(name="echo", description="Echo.", func=lambda text: f"<{text}>")
    assert await outcomes('1. echo("a")\n2. echo(tool_input="$1")', [echo], sync=sync) == ["<a>", "<<a>>"]


async def test_functions_with_two_sides() -> None:
    """Of a `StructuredTool` with two sides, the caller's own is called."""

    def double(n: int) -> str:
        """Double."""
        return f"sync {2 * n}"

    async def adouble(n: int) -> str:
        return f"async {2 * n}"

    two = StructuredTool.from_function(double, adouble)
    assert await outcomes("1. double(2)", [two]) == ["async 4"]
    assert await outcomes("1. double(2)", [two], sync=True) == ["sync 4"]


async def test_synchronous_tools_do_not_wait_for_each_other() -> None:
    """Any number of synchronous tools run at a time, in an asynchronous run too."""
    gathered = threading.Barrier(40)

    @tool
    def meet(n: int) -> int:
        """Wait for the others."""
        gathered.wait(10)
        return n

    plan = "\n".join(f"{n}. meet({n})" for n in range(1, 41))
    assert await outcomes(plan, [meet]) == list(range(1, 41))


@both_ways
async def test_asynchronous_tools_overlap(sync: bool) -> None:
    """Asynchronous tools run at the same time, in a synchronous run too."""
    arrived: list[int] = []
    all_there = asyncio.Event()

    @tool
    async def meet(n: int) -> int:
        """Wait for the others."""
        arrived.append(n)
        if len(arrived) == 20:
            all_there.set()
        await all_there.wait()
        return n

    plan = "\n".join(f"{n}. meet({n})" for n in range(1, 21))
    assert await outcomes(plan, [meet], sync=sync) == list(range(1, 21))


@both_ways
async def test_context_variables_reach_tools(sync: bool) -> None:
    """What the caller set in a context variable is there in every tool, whatever thread it runs in."""

    @tool
    def sync_peek() -> str:
        """Look."""
        return TENANT.get()

    @tool
    async def async_peek() -> str:
        """Look."""
        return TENANT.get()

    token = TENANT.set("acme")
    try:
        assert await outcomes("1. sync_peek()\n2. async_peek()", [sync_peek, async_peek], sync=sync) == ["acme", "acme"]
    finally:
        TENANT.reset(token)


TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


# -- injection ---------------------------------------------------------------------------------------------------------


@both_ways
async def test_injection(sync: bool) -> None:
    """Tools get the runtime, the state, the store, their call's id and the config; the planner sees none of these."""

    @tool
    def sync_all(  # noqa: PLR0917
        text: str,
        runtime: ToolRuntime,
        state: Annotated[dict[str, Any], InjectedState],
        messages: Annotated[list[Any], InjectedState("messages")],
        store: Annotated[BaseStore, InjectedStore()],
        call_id: Annotated[str, InjectedToolCallId],
        config: RunnableConfig,
    ) -> list[Any]:
        """Look at everything."""
        store.put(("seen",), text, {"text": text})
        runtime.stream_writer({"from": text})
        return [
            text,
            runtime.tool_call_id == call_id,
            runtime.state["messages"][0].text,
            state["messages"][0].text,
            messages[0].text,
            runtime.store is store,
            config["configurable"]["user"],
            runtime.config["configurable"]["user"],
        ]

    @tool
    async def async_all(
        text: str,
        runtime: ToolRuntime,
        state: Annotated[dict[str, Any], InjectedState],
        config: RunnableConfig,
    ) -> list[Any]:
        """Look at everything."""
        assert runtime.store is not None
        await runtime.store.aput(("seen",), text, {"text": text})
        get_stream_writer()({"from": text})
        return [text, state["messages"][0].text, config["configurable"]["user"]]

    store = InMemoryStore()
    plan = '1. sync_all("a")\n2. async_all("b")'
    model = ScriptedModel([plan, "Finish: ok"])
    graph: Any = create_llm_compiler(model, [sync_all, async_all], store=store)
    modes = ["custom", "values"]
    if sync:
        events = await asyncio.to_thread(lambda: list(graph.stream(QUESTION, THREAD, stream_mode=modes)))
    else:
        events = [event async for event in graph.astream(QUESTION, THREAD, stream_mode=modes)]
    assert [task["value"] for task in events[-1][1]["tasks"]] == [
        ["a", True, "what?", "what?", "what?", True, "ann", "ann"],
        ["b", "what?", "ann"],
    ]
    assert sorted(item.value["text"] for item in store.search(("seen",))) == ["a", "b"]
    assert sorted(event["from"] for mode, event in events if mode == "custom" and "from" in event) == ["a", "b"]
    assert "- sync_all(text: str)" in model.calls[0][0].text
    assert "- async_all(text: str)" in model.calls[0][0].text


# -- errors ------------------------------------------------------------------------------------------------------------


@tool
def fail(kind: str) -> str:
    """Fail."""
    raise {"value": ValueError, "key": KeyError, "tool": ToolException}[kind]("no luck")


@both_ways
async def test_errors_are_observations(sync: bool) -> None:
    """By default every exception fails its task, with type and text, and nothing else."""
    assert await outcomes('1. fail("value")\n2. fail("key")\n3. same("x")\n4. same($1)', [fail, same], sync=sync) == [
        "ValueError: no luck",
        "KeyError: 'no luck'",
        "x",
        "not run: it needs task 1, which failed",
    ]


@both_ways
async def test_a_tool_that_exits(sync: bool) -> None:
    """A tool that calls `sys.exit()` fails, and takes neither the event loop nor other runs with it."""

    @tool
    def leave() -> str:
        """Exit."""
        sys.exit(3)

    @tool
    async def aleave() -> str:
        """Exit."""
        sys.exit("bye")

    for _ in range(2):
        assert await outcomes("1. leave()\n2. aleave()\n3. same(1)", [leave, aleave, same], sync=sync) == [
            "RuntimeError: the tool called sys.exit(3)",
            "RuntimeError: the tool called sys.exit('bye')",
            1,
        ]


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        ("Please try again.", "Please try again."),
        (lambda error: f"oh: {error}", "oh: no luck"),
        (ValueError, "ValueError"),
        ((KeyError, ValueError), "ValueError"),
    ],
)
async def test_ways_to_handle_errors(handler: Any, error: str) -> None:
    """`handle_tool_errors` is `ToolNode`'s: a text, a function, an exception type, or several."""
    (told,) = await outcomes('1. fail("value")', [fail], handle_tool_errors=handler)
    assert error in told


@both_ways
@pytest.mark.parametrize("handler", [False, KeyError, (KeyError, TypeError)])
async def test_errors_that_are_not_handled(handler: Any, sync: bool) -> None:
    """What `handle_tool_errors` does not handle ends the run, as itself."""
    with pytest.raises(ValueError, match="no luck"):
        await run('1. fail("value")\n2. same("x")', [fail, same], handle_tool_errors=handler, sync=sync)


async def test_errors_a_tool_handles_itself() -> None:
    """A tool's own `handle_tool_error` turns its `ToolException` into an error message."""
    lenient = fail.model_copy(update={"handle_tool_error": "handled here"})
    final = await run('1. fail("tool")', [lenient])
    assert (final["tasks"][0]["status"], final["tasks"][0]["error"]) == ("failed", "handled here")


async def test_arguments_are_validated_when_they_are_known() -> None:
    """What a reference brings is validated by the tool's schema before the tool is called."""

    @tool
    def root(n: Annotated[int, "a square"]) -> float:
        """Take the root."""
        return float(n**0.5)

    root_outcome = await outcomes('1. same("sixteen")\n2. root($1)\n3. same("16")\n4. root($3)', [same, root])
    assert root_outcome[1].startswith("ToolInvocationError")
    assert "n: Input should be a valid integer" in root_outcome[1]
    assert root_outcome[3] == 4


# -- wrappers ----------------------------------------------------------------------------------------------------------

Execute = Callable[[ToolCallRequest], Any]


@tool
def sync_secret() -> dict[str, str]:
    """Tell."""
    return {"name": "ann", "password": "hunter2"}


@tool
async def async_secret() -> dict[str, str]:
    """Tell."""
    return {"name": "ann", "password": "hunter2"}


def redacted(message: Any) -> Any:
    """Change the message in place, the way a careless wrapper does."""
    message.content = message.content.replace("hunter2", "***")
    return message


def redact(request: ToolCallRequest, execute: Execute) -> Any:
    """Redact what a tool returned."""
    return redacted(execute(request))


async def aredact(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
    """Redact what a tool returned."""
    return redacted(await execute(request))


@both_ways
@pytest.mark.parametrize(
    "wrappers",
    [{"wrap_tool_call": redact}, {"awrap_tool_call": aredact}, {"wrap_tool_call": redact, "awrap_tool_call": aredact}],
    ids=["wrap", "awrap", "both"],
)
async def test_a_wrapper_that_redacts(wrappers: dict[str, Any], sync: bool) -> None:
    """What a wrapper hid is hidden from references too, whichever of tool, wrapper and caller is asynchronous."""
    plan = "1. sync_secret()\n2. async_secret()\n3. same($1)\n4. same(${2.password})\n5. same(${1.name})"
    final = await run(plan, [sync_secret, async_secret, same], sync=sync, **wrappers)
    hidden = {"name": "ann", "password": "***"}
    assert [task["value"] for task in final["tasks"]] == [hidden, hidden, hidden, "***", "ann"]
    assert "hunter2" not in str(final)


async def test_a_wrapper_that_redacts_structured_content() -> None:
    """An MCP tool's structured content does not come back through the back door."""

    @tool(response_format="content_and_artifact")
    def secret() -> tuple[str, dict[str, Any]]:
        """Tell."""
        return "hunter2", {"structured_content": {"password": "hunter2"}}

    assert await outcomes("1. secret()", [secret], awrap_tool_call=aredact) == ["***"]


async def test_a_wrapper_that_redacts_blocks() -> None:
    """Content blocks changed in place count as changed."""

    @tool
    def blocks() -> list[dict[str, str]]:
        """Return blocks."""
        return [{"type": "text", "text": "hunter2"}]

    def hide(request: ToolCallRequest, execute: Execute) -> Any:
        message = execute(request)
        message.content[0]["text"] = "***"
        return message

    assert await outcomes("1. blocks()", [blocks], wrap_tool_call=hide) == [[{"type": "text", "text": "***"}]]


@both_ways
async def test_a_wrapper_that_answers_itself(sync: bool) -> None:
    """A wrapper may answer without calling the tool, and call it again when it failed."""
    calls: list[str] = []

    @tool
    def flaky(text: str) -> str:
        """Fail the first time."""
        calls.append(text)
        if len(calls) == 1:
            msg = "not yet"
            raise TimeoutError(msg)
        return f"got {text}"

    def wrap(request: ToolCallRequest, execute: Execute) -> Any:
        call = request.tool_call
        if call["name"] == "same":
            return ToolMessage("from the cache", tool_call_id=call["id"], name="same")
        try:
            return execute(request)
        except TimeoutError:
            return execute(request)

    assert await outcomes('1. flaky("x")\n2. same($1)', [flaky, same], sync=sync, wrap_tool_call=wrap) == [
        "got x",
        "from the cache",
    ]
    assert calls == ["x", "x"]


async def test_a_wrapper_that_calls_another_tool() -> None:
    """A wrapper may put another tool or other arguments in the call's place: what that returned counts."""

    @tool
    def other(value: Any) -> Any:
        """Do something else."""
        return {"other": value}

    async def swap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        call = request.tool_call
        return await execute(request.override(tool=other, tool_call={**call, "args": {"value": 2}}))

    (value,) = await outcomes("1. same(1)", [same], awrap_tool_call=swap)
    assert value in ({"other": 2}, '{"other": 2}')


async def test_a_wrapper_that_raises() -> None:
    """A wrapper's exception is handled as the tool's own."""

    def broken(request: ToolCallRequest, execute: Execute) -> Any:
        msg = "the wrapper is broken"
        raise RuntimeError(msg)

    assert await outcomes("1. same(1)", [same], wrap_tool_call=broken) == ["RuntimeError: the wrapper is broken"]
    with pytest.raises(RuntimeError, match="the wrapper is broken"):
        await run("1. same(1)", [same], wrap_tool_call=broken, handle_tool_errors=False)


@both_ways
@pytest.mark.parametrize(("handler", "error"), [(True, "ValueError: no luck"), (ValueError, "no luck")])
async def test_what_comes_out_of_a_wrapper_is_handled(handler: Any, error: str, sync: bool) -> None:
    """A wrapper sees the tool's own exception; what it raises again is handled by its type, or ends the run."""
    seen: list[Exception] = []

    def wrap(request: ToolCallRequest, execute: Execute) -> Any:
        try:
            return execute(request)
        except Exception as raised:
            seen.append(raised)
            raise

    (told,) = await outcomes('1. fail("value")', [fail], handle_tool_errors=handler, wrap_tool_call=wrap, sync=sync)
    assert error in told
    assert [str(each) for each in seen] == ["no luck"]
    with pytest.raises(ValueError, match="no luck"):
        await run('1. fail("value")', [fail], handle_tool_errors=KeyError, wrap_tool_call=wrap, sync=sync)


async def test_an_error_that_a_wrapper_has_handled_is_none() -> None:
    """What a wrapper answers in an error's place counts, and no retry policy calls the tool again."""
    calls: list[str] = []

    @tool
    def broken(text: str) -> dict[str, str]:
        """Fail."""
        calls.append(text)
        raise ConnectionError(text)

    async def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        try:
            return await execute(request)
        except ConnectionError:
            return ToolMessage("from the cache", tool_call_id=request.tool_call["id"])

    policy = {"broken": RetryPolicy(retry_on=ConnectionError, initial_interval=0)}
    found = await outcomes('1. broken("x")', [broken], awrap_tool_call=wrap, tool_retry_policy=policy)
    assert (found, calls) == (["from the cache"], ["x"])


async def test_a_wrapper_sees_wrong_arguments_as_what_tool_node_makes_of_them() -> None:
    """Arguments that the tool refuses reach a wrapper as `ToolInvocationError`."""
    seen: list[str] = []

    @tool
    def root(n: int) -> float:
        """Take the root."""
        return float(n**0.5)

    async def wrap(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:
        try:
            return await execute(request)
        except Exception as raised:
            seen.append(type(raised).__name__)
            raise

    await outcomes('1. same("sixteen")\n2. root($1)', [same, root], awrap_tool_call=wrap)
    assert seen == ["ToolInvocationError"]


async def test_cancelling_a_call_inside_a_synchronous_wrapper() -> None:
    """A cancelled run cancels the asynchronous tool that a synchronous wrapper waits for."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> str:
        """Take long."""
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return ""

    running = asyncio.create_task(run("1. slow()", [slow], wrap_tool_call=redact))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_the_loop_is_free_while_synchronous_tools_and_wrappers_block() -> None:
    """Nothing synchronous blocks the event loop."""
    entered, released = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def block(n: int) -> bool:
        entered[n].set()
        return released[n].wait(10)

    @tool
    def blocking() -> bool:
        """Hold a thread until the loop sets it free."""
        return block(0)

    def wrap(request: ToolCallRequest, execute: Execute) -> Any:
        assert request.tool_call["name"] == "blocking" or block(1)
        return execute(request)

    async def set_free() -> None:
        for n in range(2):
            await asyncio.to_thread(entered[n].wait, 10)
            released[n].set()

    freeing = asyncio.create_task(set_free())
    assert await outcomes("1. blocking()\n2. same($1)", [blocking, same], wrap_tool_call=wrap) == [True, True]
    await freeing
