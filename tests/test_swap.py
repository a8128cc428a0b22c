"""What a user of `create_agent` finds here: the same script through both, and the same assertions on what comes out.

`docs/create_agent.md` lists all of it, row by row, and names the tests.
"""

from __future__ import annotations

import asyncio
import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, get_args

import pytest
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware, ModelRequest, dynamic_prompt
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.runtime import get_runtime
from langgraph.store.memory import InMemoryStore
from langgraph.stream import StreamTransformer
from langgraph.types import Command, StreamMode, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.core.errors import ConfigurationError
from llmcompiler_graph.testing import ScriptedModel

QUESTION: Any = {"messages": [("user", "How high is K2?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}
ANSWER = "K2 is 8611 m high."
Call = tuple[str, dict[str, Any]]
LOOK: Sequence[Call] = [("look", {"what": "K2"})]
experimental = pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


@dataclass
class Maker:
    """Makes a graph of either kind that makes some calls and answers."""

    ours: bool
    """Which kind."""

    def replies(self, calls: Sequence[Call], answer: str = ANSWER, tokens: int = 0) -> list[Any]:
        """What a model of this kind writes."""
        usage: Any = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens} if tokens else None
        if not self.ours:
            listed = [{"name": name, "args": args, "id": f"c{n}"} for n, (name, args) in enumerate(calls)]
            return [AIMessage("", tool_calls=listed, usage_metadata=usage), AIMessage(answer, usage_metadata=usage)]
        lines = [
            f"{n}. {name}({', '.join(f'{key}={json.dumps(value)}' for key, value in args.items())})"
            for n, (name, args) in enumerate(calls, 1)
        ]
        plan = "\n".join([*lines, f"{len(lines) + 1}. join()"])
        return [AIMessage(plan, usage_metadata=usage), AIMessage(f"Finish: {answer}", usage_metadata=usage)]

    def __call__(self, tools: Any, calls: Sequence[Call] = LOOK, *more: Any, model: Any = None, **given: Any) -> Any:
        """Make the graph; `more` are further replies."""
        model = model or ScriptedModel([*self.replies(calls), *more])
        made: Callable[..., Any] = create_llm_compiler if self.ours else create_agent
        return made(model, tools, **given)

    def greeting(self) -> str:
        """What a model of this kind writes to answer without a tool."""
        return f"1. join()\nFinish: {ANSWER}" if self.ours else ANSWER


@pytest.fixture(params=["create_agent", "create_llm_compiler"])
def make(request: pytest.FixtureRequest) -> Maker:
    """Either of them."""
    return Maker(request.param == "create_llm_compiler")


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} found"


async def run(graph: Any, given: Any = QUESTION, config: Any = None, *, sync: bool = False, **more: Any) -> Any:
    """Run a graph either way."""
    if sync:
        return await asyncio.to_thread(graph.invoke, given, config, **more)
    return await graph.ainvoke(given, config, **more)


def kinds(final: Any) -> list[str]:
    """The types of a run's messages."""
    return [message.type for message in final["messages"]]


# -- what goes in and what comes out -----------------------------------------------------------------------------------


@both_ways
async def test_a_run(make: Maker, sync: bool) -> None:
    """Question, a message with the calls, a message per call, the answer: in this order, with the same content."""
    final = await run(make([look]), sync=sync)
    assert kinds(final) == ["human", "ai", "tool", "ai"]
    _, calling, told, answer = final["messages"]
    assert [(call["name"], call["args"]) for call in calling.tool_calls] == [("look", {"what": "K2"})]
    assert (told.text, told.tool_call_id, told.status) == ("K2 found", calling.tool_calls[0]["id"], "success")
    assert (answer.text, answer.tool_calls) == (ANSWER, [])


@pytest.mark.parametrize(
    "given",
    [
        "How high?",
        ["How high?"],
        [("user", "How high?")],
        [{"role": "user", "content": "How high?"}],
        HumanMessage("How high?"),
        [HumanMessage([{"type": "text", "text": "How high?"}])],
        [HumanMessage([{"type": "text", "text": "How high?"}, {"type": "image", "url": "https://example.org/a.png"}])],
        [SystemMessage("Be short."), HumanMessage("How high?")],
        [("user", "Hello"), ("assistant", "Hello!"), ("user", "How high?")],
    ],
    ids=["text", "texts", "tuple", "dict", "message", "blocks", "image", "system", "history"],
)
async def test_message_forms(make: Maker, given: Any) -> None:
    """Text, tuples, dicts, messages, content blocks and a history go in, and the model is shown the question."""
    model = ScriptedModel(make.replies(LOOK))
    final = await run(make([look], model=model), {"messages": given})
    assert final["messages"][-1].text == ANSWER
    shown = model.calls[0][-1]
    assert "How high?" in shown.text
    if given and not isinstance(given, str) and "image" in str(given):
        assert any(isinstance(block, dict) and block["type"] == "image" for block in shown.content)


async def test_a_greeting_costs_one_model_call(make: Maker) -> None:
    """With tools or without: a question that needs none is answered by the first model call."""
    for tools in ([look], []):
        model = ScriptedModel([make.greeting()])
        final = await run(make(tools, model=model))
        assert kinds(final) == ["human", "ai"]
        assert final["messages"][-1].text == ANSWER
        assert len(model.calls) == 1


async def test_a_chain_of_calls() -> None:
    """Three calls that each need the one before: three model calls and the answer's there, plan and answer here."""

    def step(messages: list[Any]) -> Any:
        found = [message.text for message in messages if message.type == "tool"]
        if len(found) == 3:
            return ANSWER
        call = {"name": "look", "args": {"what": found[-1] if found else "K2"}, "id": f"c{len(found)}"}
        return AIMessage("", tool_calls=[call])

    there = ScriptedModel([step] * 4)
    final = await run(create_agent(there, [look]))
    here = ScriptedModel(['1. look("K2")\n2. look("$1")\n3. look("$2")\n4. join()', f"Finish: {ANSWER}"])
    ours = await run(create_llm_compiler(here, [look]))
    assert [m.text for m in ours["messages"] if m.type == "tool"] == [
        m.text for m in final["messages"] if m.type == "tool"
    ]
    assert ours["messages"][-1].text == final["messages"][-1].text == ANSWER
    assert (len(there.calls), len(here.calls)) == (4, 2)


async def test_batches(make: Maker) -> None:
    """Several questions at a time, each answered by itself."""
    script = make.replies(LOOK)

    def reply(messages: Any) -> Any:
        return script[any("found" in str(m.content) for m in messages)]

    finals = await make([look], model=ScriptedModel([reply] * 8)).abatch([QUESTION] * 4)
    assert [final["messages"][-1].text for final in finals] == [ANSWER] * 4


async def test_schemas(make: Maker) -> None:
    """Input and output schemas have `messages` and the caller's keys: what forms, MCP and A2A cards are made of."""
    graph = make([look], state_schema=Counted)
    given = graph.get_input_jsonschema()["properties"]
    assert {"messages", "count"} <= set(given)
    assert {"messages", "count"} <= set(graph.get_output_jsonschema()["properties"])
    assert "tasks" not in given


async def test_a_run_that_never_ends(make: Maker) -> None:
    """`recursion_limit` ends it with LangGraph's error, in both."""
    with pytest.raises(GraphRecursionError):
        await run(make([look]), config={"recursion_limit": 1})


# -- parameters --------------------------------------------------------------------------------------------------------


class Counted(AgentState[Any]):
    """A key of the caller's."""

    count: NotRequired[Annotated[int, operator.add]]


@pytest.mark.parametrize(
    "prompt", ["Be short.", SystemMessage("Be short."), SystemMessage([{"type": "text", "text": "Be short."}])]
)
async def test_system_prompt(make: Maker, prompt: Any) -> None:
    """It stands first in the system message of every model call; content blocks stay blocks."""
    model = ScriptedModel(make.replies(LOOK))
    await run(make([look], model=model, system_prompt=prompt))
    for call in model.calls:
        assert call[0].type == "system"
        assert call[0].text.startswith("Be short.")
        if isinstance(prompt, SystemMessage) and isinstance(prompt.content, list):
            assert call[0].content[0] == prompt.content[0]


async def test_name(make: Maker) -> None:
    """The graph's name, its node's in a parent graph, and that of the answer's message."""
    graph = make([look], name="climber")
    assert graph.name == "climber"
    assert (await run(graph))["messages"][-1].name == "climber"


async def test_debug(make: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    """`debug=True` prints what the graph does."""
    await run(make([look], debug=True))
    assert "K2 found" in capsys.readouterr().out


@both_ways
async def test_state_schema(make: Maker, sync: bool) -> None:
    """A run takes and gives the caller's keys; tools see them, and write them by `Command`."""

    @tool
    def count(state: Annotated[Any, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Count."""
        told = ToolMessage(f"was {state['count']}", tool_call_id=tool_call_id)
        return Command(update={"count": 1, "messages": [told]})

    graph = make([count], [("count", {})], state_schema=Counted)
    final = await run(graph, {**QUESTION, "count": 2}, sync=sync)
    assert final["count"] == 3
    assert [m.text for m in final["messages"] if m.type == "tool"] == ["was 2"]


@dataclass
class Who:
    """A context."""

    user: str


@both_ways
async def test_context_schema(make: Maker, sync: bool) -> None:
    """A run's `context` reaches tools and dynamic prompts; a key that there is not is refused by name."""

    @dynamic_prompt
    def prompt(request: ModelRequest[Any]) -> str:
        context: Any = request.runtime.context
        return f"You help {context.user}."

    @tool
    def who() -> str:
        """Say who."""
        return str(get_runtime(Who).context.user)

    model = ScriptedModel(make.replies([("who", {})]))
    graph = make([who], model=model, context_schema=Who, middleware=[prompt])
    final = await run(graph, sync=sync, context=Who("ann"))
    assert [m.text for m in final["messages"] if m.type == "tool"] == ["ann"]
    assert model.calls[0][0].text.startswith("You help ann.")
    assert (await run(make([look], context_schema=Who), sync=sync, context={"user": "bob"}))["messages"][-1].text
    with pytest.raises(TypeError, match="usr"):
        await run(graph, sync=sync, context={"usr": "bob"})


@both_ways
async def test_checkpointer(make: Maker, sync: bool) -> None:
    """A thread remembers; its states can be read, changed, and gone on from at any point."""
    model = ScriptedModel([*make.replies(LOOK), make.greeting(), make.greeting()])
    graph = make([look], model=model, checkpointer=InMemorySaver())
    await run(graph, config=THREAD, sync=sync)
    final = await run(graph, {"messages": [("user", "Thanks!")]}, THREAD, sync=sync)
    assert kinds(final) == ["human", "ai", "tool", "ai", "human", "ai"]
    assert ANSWER in str(model.calls[2])
    states = [state async for state in graph.aget_state_history(THREAD)]
    before = next(
        state for state in states if kinds(state.values)[-1:] == ["ai"] and len(state.values["messages"]) == 4
    )
    graph.update_state(THREAD, {"messages": [HumanMessage("Noted.")]})
    assert graph.get_state(THREAD).values["messages"][-1].text == "Noted."
    forked = await run(graph, {"messages": [("user", "And now?")]}, before.config, sync=sync)
    assert kinds(forked) == ["human", "ai", "tool", "ai", "human", "ai"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_durability(make: Maker, durability: Any) -> None:
    """LangGraph's modes of writing checkpoints."""
    graph = make([look], checkpointer=InMemorySaver())
    final = await run(graph, config=THREAD, durability=durability)
    assert graph.get_state(THREAD).values["messages"] == final["messages"]


@both_ways
async def test_store(make: Maker, sync: bool) -> None:
    """Tools are given the store."""

    @tool
    def note(what: str, store: Annotated[Any, InjectedStore]) -> str:
        """Note."""
        store.put(("notes",), "k", {"what": what})
        return "noted"

    store = InMemoryStore()
    await run(make([note], [("note", {"what": "K2"})], store=store), sync=sync)
    assert store.get(("notes",), "k").value == {"what": "K2"}  # type: ignore[union-attr]


@both_ways
async def test_interrupt_before_and_after(make: Maker, sync: bool) -> None:
    """Runs pause before and after nodes, whose names differ, and go on with `None`."""
    calls = "task_fetching_unit" if make.ours else "tools"
    for where in ("interrupt_before", "interrupt_after"):
        given: dict[str, Any] = {where: [calls]}
        graph = make([look], checkpointer=InMemorySaver(), **given)
        paused = await run(graph, config=THREAD, sync=sync)
        assert kinds(paused)[-1] == ("ai" if where == "interrupt_before" else "tool")
        final = await run(graph, None, THREAD, sync=sync)
        assert final["messages"][-1].text == ANSWER


async def test_cache(make: Maker) -> None:
    """A cache is taken, for tasks and nodes that have a cache policy."""
    cache: Any = InMemoryCache()
    assert (await run(make([look], cache=cache)))["messages"][-1].text == ANSWER


@experimental
async def test_transformers(make: Maker) -> None:
    """Stream transformers of the caller's are projections of `stream_events(version="v3")`."""

    class Counting(StreamTransformer):
        def __init__(self, scope: Any) -> None:
            super().__init__(scope)
            self.seen = 0

        def init(self) -> Any:
            return {"counted": self}

        def process(self, event: Any) -> bool:
            self.seen += 1
            return True

    stream = make([look], transformers=[Counting]).stream_events(QUESTION, version="v3")
    assert stream.output["messages"][-1].text == ANSWER
    assert stream.extensions["counted"].seen > 0


# -- tools -------------------------------------------------------------------------------------------------------------


def plain(what: str) -> str:
    """Look something up."""
    return f"{what} found"


@tool
async def alook(what: str) -> str:
    """Look something up."""
    return f"{what} found"


@tool(response_format="content_and_artifact")
def with_artifact(what: str) -> tuple[str, dict[str, int]]:
    """Look something up."""
    return f"{what} found", {"metres": 8611}


@tool
def with_runtime(what: str, runtime: ToolRuntime) -> str:
    """Look something up."""
    return f"{what} found {bool(runtime.tool_call_id and runtime.state['messages'])}"


@pytest.mark.parametrize("given", [plain, look, alook, with_artifact, with_runtime])
async def test_tools(make: Maker, given: Any) -> None:
    """Functions, tools, asynchronous ones, artifacts, and what LangGraph gives tools."""
    name = getattr(given, "name", None) or given.__name__
    final = await run(make([given], [(name, {"what": "K2"})]))
    told = final["messages"][2]
    assert told.text in ("K2 found", "K2 found True")
    assert told.artifact == ({"metres": 8611} if name == "with_artifact" else None)


@both_ways
async def test_a_tool_that_asks_a_human(make: Maker, sync: bool) -> None:
    """`interrupt` in a tool pauses the run, and the answer goes on there."""

    @tool
    def ask(what: str) -> str:
        """Ask."""
        return f"told {interrupt(what)}"

    graph = make([ask], [("ask", {"what": "sure?"})], checkpointer=InMemorySaver())
    paused = await run(graph, config=THREAD, sync=sync)
    assert [each.value for each in paused["__interrupt__"]] == ["sure?"]
    final = await run(graph, Command(resume="yes"), THREAD, sync=sync)
    assert final["messages"][2].text == "told yes"


@tool(return_direct=True)
def pay(what: str) -> str:
    """Pay."""
    return f"{what} paid"


@both_ways
async def test_return_direct(make: Maker, sync: bool) -> None:
    """What such tools return ends the turn: the model is not asked again. Others' results are still joined."""
    calls: Sequence[Call] = [("pay", {"what": "K2"}), ("pay", {"what": "K3"})]
    model = ScriptedModel(make.replies(calls))
    final = await run(make([pay, look], model=model), sync=sync)
    assert kinds(final) == ["human", "ai", "tool", "tool"]
    assert sorted(m.text for m in final["messages"][2:]) == ["K2 paid", "K3 paid"]
    assert len(model.calls) == 1
    final = await run(make([pay, look], [*calls, *LOOK]), sync=sync)
    assert final["messages"][-1].text == ANSWER


@both_ways
async def test_return_direct_at_the_end_of_a_plan(sync: bool) -> None:
    """A plan whose last results are such a tool's ends with them; one that failed, or was told more, is joined."""
    for plan, last in (
        ('1. look("K2")\n2. pay("$1")\n3. join()', "K2 found paid"),
        ('1. look("K2")\n2. pay(wrong="$1")\n3. join()', ANSWER),
        ('1. pay("K2")\n2. look("$1")\n3. join()', ANSWER),
    ):
        for middleware in ([], [_Ending()]):
            model = ScriptedModel([plan, f"Finish: {ANSWER}"])
            graph = create_llm_compiler(model, [pay, look], max_repairs=0, middleware=middleware)
            final = await run(graph, sync=sync)
            assert final["messages"][-1].text == ("ended" if middleware else last)
            assert final["messages"][-2 if middleware else -1].text == last


class _Ending(AgentMiddleware[Any, Any]):
    """Says that the turn has ended."""

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Say so."""
        return {"messages": [AIMessage("ended")]}


async def test_a_tool_that_fails() -> None:
    """There the run ends with the exception unless middleware handles it; here the joiner is told, by default."""

    @tool
    def broken(what: str) -> str:
        """Break."""
        raise OSError(what)

    calls = [("broken", {"what": "no disk"})]
    with pytest.raises(OSError, match="no disk"):
        await run(Maker(ours=False)([broken], calls))
    with pytest.raises(OSError, match="no disk"):
        await run(Maker(ours=True)([broken], calls, handle_tool_errors=False))
    final = await run(Maker(ours=True)([broken], calls))
    assert final["messages"][2].status == "error"
    assert "no disk" in final["messages"][2].text


def test_tools_of_the_provider() -> None:
    """Tools that only the provider can call are refused here, with what a tool must be."""
    create_agent(ScriptedModel([]), [{"type": "web_search"}])
    with pytest.raises(ConfigurationError, match="not dict"):
        create_llm_compiler(ScriptedModel([]), [{"type": "web_search"}])  # type: ignore[list-item]


async def test_asynchronous_tools_for_synchronous_callers() -> None:
    """There `invoke` cannot call them; here it can."""
    with pytest.raises(NotImplementedError):
        await run(Maker(ours=False)([alook], [("alook", {"what": "K2"})]), sync=True)
    final = await run(Maker(ours=True)([alook], [("alook", {"what": "K2"})]), sync=True)
    assert final["messages"][2].text == "K2 found"


# -- structured output -------------------------------------------------------------------------------------------------


class Height(BaseModel):
    """A height."""

    metres: int


@dataclass
class HeightData:
    """A height."""

    metres: int


class HeightDict(TypedDict):
    """A height."""

    metres: int


SCHEMA = {
    "title": "HeightSchema",
    "description": "A height.",
    "type": "object",
    "properties": {"metres": {"type": "integer"}},
    "required": ["metres"],
}


@pytest.mark.parametrize(
    ("form", "name", "wanted"),
    [
        (Height, "Height", Height(metres=8611)),
        (HeightData, "HeightData", HeightData(8611)),
        (HeightDict, "HeightDict", {"metres": 8611}),
        (SCHEMA, "HeightSchema", {"metres": 8611}),
        (ToolStrategy(Height), "Height", Height(metres=8611)),
    ],
    ids=["pydantic", "dataclass", "TypedDict", "JSON schema", "ToolStrategy"],
)
@both_ways
async def test_response_format(make: Maker, form: Any, name: str, wanted: Any, sync: bool) -> None:
    """The answer in the form asked for is `structured_response`."""
    typed = AIMessage("", tool_calls=[{"name": name, "args": {"metres": 8611}, "id": "s"}])
    given = make.replies(LOOK)
    if make.ours:
        replies = [*given, typed if isinstance(form, ToolStrategy) else AIMessage('{"metres": 8611}')]
    else:
        replies = [given[0], typed]
    final = await run(make([look], model=ScriptedModel(replies), response_format=form), sync=sync)
    assert final["structured_response"] == wanted


# -- streams -----------------------------------------------------------------------------------------------------------


@tool
def progress(what: str) -> str:
    """Look something up, and say so."""
    get_stream_writer()({"progress": what})
    return f"{what} found"


async def collect(graph: Any, *, sync: bool, given: Any = QUESTION, config: Any = None, **kwargs: Any) -> list[Any]:
    """All parts of a stream."""
    if sync:
        return await asyncio.to_thread(lambda: list(graph.stream(given, config, **kwargs)))
    return [part async for part in graph.astream(given, config, **kwargs)]


def _check_values(parts: list[Any]) -> None:
    assert kinds(parts[0]) == ["human"]
    assert kinds(parts[-1]) == ["human", "ai", "tool", "ai"]


def _check_updates(parts: list[Any]) -> None:
    told = [update for part in parts for update in part.values()]
    assert all("messages" in update for update in told)
    said = [message for update in told for message in update["messages"]]
    assert said[-1].text == ANSWER
    assert any(message.type == "tool" for message in said)


def _check_messages(parts: list[Any]) -> None:
    said = "".join(message.text for message, _ in parts if message.type in ("ai", "AIMessageChunk"))
    assert said == ANSWER
    assert [message.text for message, _ in parts if message.type == "tool"] == ["K2 found"]


def _check_custom(parts: list[Any]) -> None:
    assert {"progress": "K2"} in parts


def _check_tasks(parts: list[Any]) -> None:
    assert any("result" in part for part in parts)


def _check_debug(parts: list[Any]) -> None:
    assert {"checkpoint", "task", "task_result"} <= {part["type"] for part in parts}


def _check_checkpoints(parts: list[Any]) -> None:
    assert kinds(parts[-1]["values"]) == ["human", "ai", "tool", "ai"]


def _check_tools(parts: list[Any]) -> None:
    assert {"tool-started", "tool-finished"} <= {part["event"] for part in parts}


CHECKS: dict[str, Callable[[list[Any]], None]] = {
    "values": _check_values,
    "updates": _check_updates,
    "messages": _check_messages,
    "custom": _check_custom,
    "tasks": _check_tasks,
    "debug": _check_debug,
    "checkpoints": _check_checkpoints,
    "tools": _check_tools,
}


def test_all_stream_modes_are_checked() -> None:
    """Every mode that LangGraph names is among them."""
    assert set(get_args(StreamMode)) <= set(CHECKS)


@pytest.mark.parametrize("mode", list(CHECKS))
@both_ways
async def test_stream_modes(make: Maker, mode: str, sync: bool) -> None:
    """Each mode of `stream` shows what it shows of `create_agent`."""
    graph = make([progress], [("progress", {"what": "K2"})], checkpointer=InMemorySaver())
    CHECKS[mode](await collect(graph, sync=sync, config=THREAD, stream_mode=mode))


@both_ways
async def test_version_2_of_streams(make: Maker, sync: bool) -> None:
    """`version="v2"` gives parts with type, namespace and data, and runs that say their interrupts apart."""
    parts = await collect(make([look]), sync=sync, stream_mode=["values", "messages"], version="v2")
    assert {part["type"] for part in parts} == {"values", "messages"}
    assert all({"type", "ns", "data"} <= set(part) for part in parts)
    final = await run(make([look]), sync=sync, version="v2")
    assert final.value["messages"][-1].text == ANSWER
    assert not final.interrupts


async def test_events(make: Maker) -> None:
    """`astream_events` shows the answer's tokens as those of a chat model, and the tool's start and end."""
    events = [event async for event in make([look]).astream_events(QUESTION, version="v2")]
    tokens = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(tokens) == ANSWER
    assert {"on_tool_start", "on_tool_end", "on_chain_start", "on_chain_end"} <= {e["event"] for e in events}


@experimental
async def test_version_3_of_streams(make: Maker) -> None:
    """In `version="v3"` the answer is among `.messages`, the calls are in `.tool_calls`, the state is `.output`."""
    stream = await make([look]).astream_events(QUESTION, version="v3")
    said = [[delta async for delta in message.text] async for message in stream.messages]
    assert ["".join(pieces) for pieces in said if pieces] == [ANSWER]
    assert (await stream.output())["messages"][-1].text == ANSWER
    stream = await make([look]).astream_events(QUESTION, version="v3")
    assert [call.tool_name async for call in stream.tool_calls] == ["look"]


async def test_tokens_are_counted(make: Maker) -> None:
    """Callbacks see every model call with its tokens, and the answer's message has its own."""
    seen = UsageMetadataCallbackHandler()
    model = ScriptedModel(make.replies(LOOK, tokens=7))
    final = await run(make([look], model=model), config={"callbacks": [seen]})
    assert final["messages"][-1].usage_metadata["total_tokens"] == 14
    assert sum(m.usage_metadata["total_tokens"] for m in final["messages"] if m.type == "ai") == 28


# -- humans ------------------------------------------------------------------------------------------------------------


@tool
def send(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


LETTERS: Sequence[Call] = [("send", {"to": "ann"}), ("send", {"to": "bob"}), ("look", {"what": "K2"})]


def asking(**kwargs: Any) -> Any:
    """LangChain's middleware."""
    return HumanInTheLoopMiddleware({"send": {"allowed_decisions": ["approve", "edit", "reject"]}}, **kwargs)


@both_ways
async def test_batched_approvals(make: Maker, sync: bool) -> None:
    """One question about all calls, in LangChain's form; one answer decides all."""
    graph = make([send, look], LETTERS, middleware=[asking()], checkpointer=InMemorySaver())
    paused = await run(graph, config=THREAD, sync=sync)
    (question,) = paused["__interrupt__"]
    assert [(each["name"], each["args"]) for each in question.value["action_requests"]] == [
        ("send", {"to": "ann"}),
        ("send", {"to": "bob"}),
    ]
    wanted = "Tool execution requires approval\n\nTool: send\nArgs: {'to': 'ann'}"
    assert question.value["action_requests"][0]["description"] == wanted
    assert question.value["review_configs"][0] == {
        "action_name": "send",
        "allowed_decisions": ["approve", "edit", "reject"],
    }
    edited = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "eve"}}}
    decisions = [edited, {"type": "reject", "message": "not bob"}]
    final = await run(graph, Command(resume={"decisions": decisions}), THREAD, sync=sync)
    told = {message.text for message in final["messages"] if message.type == "tool"}
    assert any(text.endswith("sent to eve") for text in told)
    assert any("not bob" in text for text in told)
    assert final["messages"][-1].text == ANSWER


@both_ways
async def test_approvals_per_call(make: Maker, sync: bool) -> None:
    """One question per call, in LangChain's form, with a schema of the answer; each answered by its id."""
    graph = make([send, look], LETTERS, middleware=[asking(interrupt_mode="per_call")], checkpointer=InMemorySaver())
    paused = await run(graph, config=THREAD, sync=sync)
    questions = paused["__interrupt__"]
    assert {each.value["type"] for each in questions} == {"tool_approval"}
    assert sorted((each.value["name"], each.value["args"]["to"]) for each in questions) == [
        ("send", "ann"),
        ("send", "bob"),
    ]
    assert all(each.response_schema for each in questions)
    final = await run(graph, Command(resume={each.id: {"type": "approve"} for each in questions}), THREAD, sync=sync)
    assert {m.text for m in final["messages"] if m.type == "tool"} == {"sent to ann", "sent to bob", "K2 found"}


# -- in larger graphs --------------------------------------------------------------------------------------------------


@both_ways
async def test_as_a_node(make: Maker, sync: bool) -> None:
    """As a node of a parent graph: its messages are the parent's, and `subgraphs=True` streams what is inside."""
    parent: Any = StateGraph(MessagesState)
    parent.add_node("agent", make([look]))
    parent.add_edge(START, "agent")
    compiled = parent.compile()
    parts = await collect(compiled, sync=sync, stream_mode="messages", subgraphs=True)
    assert "".join(m.text for _, (m, _) in parts if m.type in ("ai", "AIMessageChunk")) == ANSWER


async def test_as_a_tool_of_another_agent(make: Maker) -> None:
    """Called in a tool of an agent of the other kind."""
    inner = make([look])

    @tool
    async def research(request: str) -> str:
        """Research."""
        final = await inner.ainvoke({"messages": [("user", request)]})
        return str(final["messages"][-1].text)

    final = await run(Maker(not make.ours)([research], [("research", {"request": "K2?"})]))
    assert final["messages"][2].text == ANSWER


async def test_drawing(make: Maker) -> None:
    """Graphs are drawn."""
    assert "__start__" in make([look]).get_graph().draw_mermaid()
