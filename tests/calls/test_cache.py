"""Calls that are answered from what earlier ones returned, in other turns and threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, tool
from langgraph.cache.base import BaseCache, FullKey, Namespace
from langgraph.cache.memory import InMemoryCache
from langgraph.cache.sqlite import SqliteCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.types import CachePolicy, Command
from mcp.types import Tool as MCPTool

from llmcompiler_graph import ConfigurationError, create_llm_compiler
from llmcompiler_graph.procedures import parse_procedure
from llmcompiler_graph.testing import ScriptedModel, run_virtual
from llmcompiler_graph.timeline import timeline_of

READS = {"readOnlyHint": True}
KEPT: CachePolicy[Any] = CachePolicy(ttl=60)


class Counting:
    """A tool that doubles, and what it was called with."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[Any] = []

        def double(number: int, unit: str = "m") -> dict[str, Any]:
            """Double a number."""
            self.calls.append(number)
            if number < 0:
                raise ValueError(number)
            return {"twice": 2 * number, "unit": unit}

        self.tool = StructuredTool.from_function(double, metadata=READS, **options)


class Recorded(BaseCache[Any]):
    """A cache that keeps what it was given to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[FullKey, tuple[Any, int | None]] = {}

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Get what is kept."""
        return {key: self.kept[key][0] for key in keys if key in self.kept}

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Get what is kept."""
        return self.get(keys)

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep."""
        self.kept.update(pairs)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep."""
        self.set(pairs)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget."""
        self.kept.clear()

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget."""
        self.clear(namespaces)


def graph_of(plans: Sequence[str], tools: Sequence[Any], **options: Any) -> Any:
    """A graph whose model writes these plans, one in each turn."""
    replies = [reply for plan in plans for reply in (plan, "Finish: done")]
    return create_llm_compiler(ScriptedModel(replies), tools, **options)


def asked(graph: Any, thread: str = "a", *, sync: bool = False) -> dict[str, Any]:
    """Ask in a thread, and return the final state."""
    config = {"configurable": {"thread_id": thread}}
    question = {"messages": [("user", "?")]}
    if sync:
        return dict(graph.invoke(question, config))

    async def main() -> dict[str, Any]:
        return dict(await graph.ainvoke(question, config))

    return run_virtual(main)


def cached(state: Mapping[str, Any]) -> list[int]:
    """How many calls of each task were answered from the cache."""
    return [task.get("cached", 0) for task in state["tasks"]]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("early", [True, False])
def test_equal_calls_of_later_turns(kind: str, sync: bool, early: bool, tmp_path: Path) -> None:
    """An equal call of a later turn, of another thread or graph is answered from the cache, and the record says so."""
    cache: BaseCache[Any] = InMemoryCache() if kind == "memory" else SqliteCache(path=str(tmp_path / "cache.db"))
    double = Counting()
    plans = ["1. double(2)", '1. double(number=2, unit="m")', "1. double(2)\n2. double(${1.twice})"]
    options: dict[str, Any] = {"cache": cache, "tool_cache_policy": KEPT, "checkpointer": InMemorySaver()}
    options |= {} if early else {"interrupt_before": None, "approve_plans": False, "max_concurrency": 1}
    graph = graph_of(plans, [double.tool], **options)
    first, second, third = (asked(graph, thread, sync=sync) for thread in ("a", "a", "b"))
    assert [cached(state) for state in (first, second, third)] == [[0], [0], [1, 0]]  # a default is another call
    assert double.calls == [2, 2, 4]
    again = asked(graph_of(plans[2:], [double.tool], **options), "c", sync=sync)
    assert cached(again) == [1, 1]
    assert [task["value"] for task in again["tasks"]] == [task["value"] for task in third["tasks"]]
    assert [m.content for m in again["messages"][2:4]] == [m.content for m in third["messages"][2:4]]
    assert [m.tool_call_id for m in again["messages"][2:4]] == [task["tool_call_id"] for task in again["tasks"]]
    assert "from the cache" in timeline_of(again).to_html()
    assert "from the cache" not in timeline_of(first).to_html()


@pytest.mark.parametrize("sync", [False, True])
def test_fan_outs(sync: bool) -> None:
    """Of a fan-out each call is looked up by itself; only those that nothing is known of are made."""
    double = Counting()
    plans = ["1. double(2)\n2. double(3)", "1. double([1, 2, 3, 4][*])"]
    graph = graph_of(plans, [double.tool], cache=InMemoryCache(), tool_cache_policy=KEPT)
    asked(graph, sync=sync)
    state = asked(graph, sync=sync)
    assert sorted(double.calls) == [1, 2, 3, 4]
    assert cached(state) == [2]
    assert [each["twice"] for each in state["tasks"][0]["value"]] == [2, 4, 6, 8]
    assert "2 of 4 calls from the cache" in timeline_of(state).to_html()


def test_events_tell_of_it() -> None:
    """A task's event says that it was answered from the cache."""
    double = Counting()
    graph = graph_of(["1. double(2)"] * 2, [double.tool], cache=InMemoryCache(), tool_cache_policy=KEPT)

    async def main() -> list[Any]:
        return [event async for event in graph.astream({"messages": [("user", "?")]}, stream_mode="custom")]

    assert [event.get("cached") for event in run_virtual(main) if event["event"] == "done"] == [None]
    assert [event.get("cached") for event in run_virtual(main) if event["event"] == "done"] == [1]


def test_what_is_kept() -> None:
    """Failed calls are not kept; entries live as long as the policy says, in the tool's namespace, as JSON text."""
    double, cache = Counting(), Recorded()
    graph = graph_of(["1. double(-1)\n2. double(5)"] * 2, [double.tool], cache=cache, tool_cache_policy=KEPT)
    asked(graph)
    state = asked(graph)
    assert sorted(double.calls) == [-1, -1, 5]  # the two of a plan run at the same time
    assert [task["status"] for task in state["tasks"]] == ["failed", "done"]
    [((namespace, _), (text, ttl))] = cache.kept.items()
    assert namespace == ("llmcompiler_graph", "double")
    assert ttl == 60
    assert json.loads(text)[0] == {"twice": 10, "unit": "m"}


def test_a_tool_that_has_changed() -> None:
    """The key has the tool's name and schemas: what another tool or another version returned is no answer."""
    cache = InMemoryCache[Any]()

    def version(annotation: Any, name: str = "read") -> Any:
        def read(number: Any) -> Any:
            """Read."""
            return name

        read.__annotations__ = {"number": annotation, "return": str}
        return StructuredTool.from_function(read, name=name, metadata=READS)

    found = []
    for made in (version(int), version(float), version(int, "other"), version(int)):
        graph = graph_of([f"1. {made.name}(1)"], [made], cache=cache, tool_cache_policy=KEPT)
        found.append(cached(asked(graph)))
    assert found == [[0], [0], [0], [1]]


@pytest.mark.parametrize("given", [1, 1.0, True, "1", [1], {"a": 1}, None, "\ud800", 10**30])
def test_equal_means_equal(given: Any) -> None:
    """Calls are equal if their arguments are, with their types; the order of keys does not matter."""
    calls: list[Any] = []

    def same(x: Any) -> Any:
        """Give it back."""
        calls.append(x)
        return x

    known = StructuredTool.from_function(same, metadata=READS)
    plans = [f"1. same({other!r})" for other in (1, 1.0, True, "1", [1], {"a": 1}, None) if repr(other) != repr(given)]
    cache = InMemoryCache[Any]()
    for plan in plans:
        asked(graph_of([plan], [known], cache=cache, tool_cache_policy=KEPT))
    calls.clear()
    two = graph_of([f"1. same({given!r})"] * 2, [known], cache=cache, tool_cache_policy=KEPT)
    first, second = asked(two), asked(two)
    assert len(calls) == 1
    assert (cached(first), cached(second)) == ([0], [1])
    assert repr(first["tasks"][0]["value"]) == repr(second["tasks"][0]["value"])


def test_own_keys() -> None:
    """A policy's `key_func` is given the arguments by name, and says which calls are equal."""
    calls: list[str] = []

    @tool
    def search(query: str, limit: int = 3) -> str:
        """Search."""
        calls.append(query)
        return query

    policy = {"search": CachePolicy(key_func=lambda query, **_: query.lower())}
    plans = ['1. search("K2")', '1. search("k2", limit=5)', '1. search("K3")']
    graph = graph_of(plans, [search], cache=InMemoryCache(), tool_cache_policy=policy)
    assert [cached(asked(graph)) for _ in plans] == [[0], [1], [0]]
    assert calls == ["K2", "K3"]


@pytest.mark.parametrize("own_key", [lambda query: 3, lambda: "x", lambda query: 1 / 0])
def test_keys_that_cannot_be_had(own_key: Callable[..., Any]) -> None:
    """A `key_func` that fails, or gives no key, costs no call: a warning says so."""

    @tool
    def search(query: str) -> str:
        """Search."""
        return query

    policy = {"search": CachePolicy(key_func=own_key)}
    graph = graph_of(['1. search("K2")'], [search], cache=InMemoryCache(), tool_cache_policy=policy)
    with pytest.warns(UserWarning, match="could not name a call for the cache of tool calls: "):
        state = asked(graph)
    assert state["tasks"][0]["status"] == "done"


# -- what may be answered so -------------------------------------------------------------------------------------------


@tool
def with_state(x: int, state: Annotated[dict[str, Any], InjectedState]) -> int:
    """Look at the state."""
    return x


@tool
def with_runtime(x: int, runtime: ToolRuntime) -> int:
    """Look at the runtime."""
    return x


@tool
def show_kept(x: int, store: Annotated[BaseStore, InjectedStore()]) -> int:
    """Look at the store."""
    return x


@tool
def with_config(x: int, config: RunnableConfig) -> int:
    """Look at the config."""
    return x


@tool
def with_annotated_config(x: int, config: Annotated[RunnableConfig, "the run's"]) -> int:
    """Look at the config."""
    return x


@tool
def with_user(x: int, user: Annotated[str, InjectedToolArg]) -> int:
    """Look at the user."""
    return x


@tool
def show_id(x: int, call: Annotated[str, InjectedToolCallId]) -> int:
    """Look at the call."""
    return x


class Whose(BaseTool):
    """A tool of its own class."""

    name: str = "whose"
    description: str = "Look at the config."

    def _run(self, x: int) -> int:
        return x

    async def _arun(self, x: int, config: RunnableConfig) -> int:
        return x


GIVEN_MORE = [
    (with_state, "is given the graph's state or runtime"),
    (with_runtime, "is given the graph's state or runtime"),
    (show_kept, "is given 'store' besides"),
    (with_config, "is given the run's config, as 'config', besides"),
    (with_annotated_config, "is given the run's config, as 'config', besides"),
    (with_user, "is given 'user' besides"),
    (show_id, "is given 'call' besides"),
    (Whose(), "is given the run's config, as 'config', besides"),
]


@pytest.mark.parametrize(("known", "why"), GIVEN_MORE, ids=[each.name for each, _ in GIVEN_MORE])
@pytest.mark.filterwarnings("ignore:tool_cache_policy is for no tool")
def test_tools_that_are_given_more(known: BaseTool, why: str) -> None:
    """A tool that is given more than its arguments is refused by name, and left out of a policy for all."""
    with pytest.raises(ConfigurationError, match=f"tool_cache_policy\\['{known.name}'\\].* {why}"):
        create_llm_compiler("openai:x", [known], cache=InMemoryCache(), tool_cache_policy={known.name: KEPT})
    reads = known.model_copy(update={"metadata": READS})
    cache = Recorded()
    graph = graph_of([f"1. {known.name}(1)"] * 2, [reads], cache=cache, tool_cache_policy=KEPT)
    asked(graph)
    assert not cache.kept


def hinted(name: str, metadata: Mapping[str, Any] | None) -> BaseTool:
    """A tool with hints."""
    return StructuredTool.from_function(lambda x: x, name=name, description="Do.", metadata=dict(metadata or {}))


@pytest.mark.parametrize(
    ("name", "metadata", "why"),
    [
        ("pay", {"destructiveHint": True}, "it changes something"),
        ("read", {"readOnlyHint": False}, "it changes something"),
        ("read", {"readOnlyHint": False, "idempotentHint": True}, "it changes something"),
        ("read", {"annotations": {"destructiveHint": True}, "readOnlyHint": True}, "it changes something"),
        ("send_email", None, "its name says that it changes something; if it does not"),
    ],
)
def test_tools_with_effects(name: str, metadata: Mapping[str, Any] | None, why: str) -> None:
    """Tools that change something are refused when the graph is made, with the reason."""
    known = hinted(name, metadata)
    with pytest.raises(ConfigurationError, match=why):
        create_llm_compiler("openai:x", [known], cache=InMemoryCache(), tool_cache_policy={name: KEPT})


def test_a_policy_for_all_tools() -> None:
    """One policy for all is for those that are said to be read-only; a policy by name needs no hint."""
    cache = Recorded()
    tools = [hinted("look", READS), hinted("find", None), hinted("send", READS), hinted("pay", {"readOnlyHint": False})]
    plan = '1. look("a")\n2. find("a")\n3. send("a")\n4. pay("a")'
    asked(graph_of([plan], tools, cache=cache, tool_cache_policy=KEPT))
    assert {namespace[1] for namespace, _ in cache.kept} == {"look", "send"}
    cache.clear()
    asked(graph_of([plan], tools, cache=cache, tool_cache_policy={"find": KEPT}))
    assert {namespace[1] for namespace, _ in cache.kept} == {"find"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tool_cache_policy": KEPT}, r"tool_cache_policy needs a cache=, such as langgraph\.cache\.memory"),
        ({"tool_cache_policy": {"nope": KEPT}}, "tool_cache_policy names 'nope', but there is no such tool"),
        ({"tool_cache_policy": {"double": 60}}, r"tool_cache_policy\['double'\] must be a CachePolicy, not 60"),
        ({"tool_cache_policy": 60}, "tool_cache_policy must be a CachePolicy, not 60"),
        ({"tool_cache_policy": CachePolicy(ttl=0)}, r"tool_cache_policy\.ttl must be a whole number of seconds"),
        ({"tool_cache_policy": {"double": CachePolicy(ttl=True)}}, r"\['double'\]\.ttl must be a whole number"),
    ],
)
def test_policies_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    """What cannot be used is refused when the graph is made."""
    given = options if "needs a cache" in message else {"cache": InMemoryCache(), **options}
    with pytest.raises(ConfigurationError, match=message):
        create_llm_compiler("openai:x", [Counting().tool], **given)


def test_a_policy_that_is_for_no_tool() -> None:
    """A policy for all tools warns where it is for none of them."""
    with pytest.warns(UserWarning, match="tool_cache_policy is for no tool: none has readOnlyHint") as told:
        create_llm_compiler("openai:x", [hinted("find", None)], cache=InMemoryCache(), tool_cache_policy=KEPT)
    assert told[0].filename == __file__


@pytest.mark.parametrize("interceptors", [False, True])
def test_mcp_tools(interceptors: bool) -> None:
    """An MCP tool is answered from the cache, with its artifact; not if interceptors may look at the run."""
    from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool

    calls: list[Any] = []

    class Session:
        async def call_tool(self, name: str, arguments: dict[str, Any], **_: Any) -> Any:
            from mcp.types import CallToolResult, TextContent

            calls.append(arguments)
            return CallToolResult(content=[TextContent(type="text", text="8611")], structuredContent={"m": 8611})

    async def pass_on(request: Any, handler: Any) -> Any:
        return await handler(request)

    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    listed = MCPTool.model_validate({"name": "height", "inputSchema": schema, "annotations": {"readOnlyHint": True}})
    known = convert_mcp_tool_to_langchain_tool(
        Session(),  # type: ignore[arg-type]
        listed,
        tool_interceptors=[pass_on] if interceptors else None,
    )
    options: dict[str, Any] = {"cache": InMemoryCache(), "tool_cache_policy": {"height": KEPT}}
    if interceptors:
        with pytest.raises(ConfigurationError, match="is given 'runtime' besides"):
            create_llm_compiler("openai:x", [known], **options)
        return
    graph = graph_of(['1. height("K2")'] * 2, [known], **options)
    first, second = asked(graph), asked(graph)
    assert len(calls) == 1
    assert (cached(first), cached(second)) == ([0], [1])
    one, other = (next(m for m in state["messages"] if isinstance(m, ToolMessage)) for state in (first, second))
    assert (one.content, one.artifact) == (other.content, other.artifact)
    assert first["tasks"][0]["value"] == second["tasks"][0]["value"] == {"m": 8611}


@pytest.mark.parametrize(
    "given",
    [
        "text",
        "",
        {"a": [1, 2.5, None]},
        [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        float("inf"),
        b"\xff\xfe",
        "\ud800",
        "8611",
    ],
    ids=repr,
)
def test_what_comes_back_is_what_was_given(given: Any) -> None:
    """An observation and its message are the same from the cache as from the tool."""

    def give(x: int) -> Any:
        """Give."""
        return given

    known = StructuredTool.from_function(give, metadata=READS)
    graph = graph_of(["1. give(1)"] * 2, [known], cache=InMemoryCache(), tool_cache_policy=KEPT)
    first, second = asked(graph), asked(graph)
    assert repr(first["tasks"][0]["value"]) == repr(second["tasks"][0]["value"])
    assert [repr(m.content) for m in first["messages"]] == [repr(m.content) for m in second["messages"]]
    assert cached(second) == [1 if first["tasks"][0]["status"] == "done" else 0]


ARTIFACTS = {"object": {"a": 1}, "numbered": {1: 2}, "tuple": (1, 2), "no JSON": object(), "nan": float("nan")}


@pytest.mark.parametrize("artifact", ARTIFACTS.values(), ids=ARTIFACTS)
def test_artifacts(artifact: Any) -> None:
    """An artifact comes back as it was; a result is not kept if JSON cannot say all of it."""
    calls: list[int] = []

    def give(x: int) -> tuple[str, Any]:
        """Give."""
        calls.append(x)
        return "text", artifact

    known = StructuredTool.from_function(give, metadata=READS, response_format="content_and_artifact")
    graph = graph_of(["1. give(1)"] * 2, [known], cache=InMemoryCache(), tool_cache_policy=KEPT)
    states = [asked(graph), asked(graph)]
    found = [next(m for m in state["messages"] if isinstance(m, ToolMessage)).artifact for state in states]
    assert found[0] is artifact or found[0] == artifact
    assert type(found[1]) is type(artifact)
    assert len(calls) == (1 if artifact == {"a": 1} else 2)


def test_commands_are_not_kept() -> None:
    """What a tool writes to the state is written by each call."""
    calls: list[int] = []

    @tool
    def look(x: int) -> Any:
        """Look."""
        calls.append(x)
        return Command(update={})

    graph = graph_of(["1. look(1)"] * 2, [look], cache=InMemoryCache(), tool_cache_policy={"look": KEPT})
    asked(graph)
    assert cached(asked(graph)) == [0]
    assert calls == [1, 1]


# -- with the rest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
def test_approvals_hold(sync: bool) -> None:
    """A call that needs a human is asked about, also if the cache knows its answer; an edited one is another call."""
    double = Counting()
    options = {"cache": InMemoryCache(), "tool_cache_policy": KEPT, "checkpointer": InMemorySaver()}
    graph = graph_of(["1. double(2)"] * 3, [double.tool], interrupt_on={"double": True}, **options)
    found = []
    edit = {"type": "edit", "edited_action": {"name": "double", "args": {"number": 7}}}
    for thread, decision in (("a", {"type": "approve"}), ("b", {"type": "approve"}), ("c", edit)):
        assert "__interrupt__" in asked(graph, thread, sync=sync)
        config = {"configurable": {"thread_id": thread}}
        answer: Any = Command(resume={"decisions": [decision]})
        state = graph.invoke(answer, config) if sync else asyncio.run(graph.ainvoke(answer, config))
        found.append((cached(state), state["tasks"][0]["value"]["twice"]))
    assert found == [([0], 4), ([1], 4), ([0], 14)]
    assert double.calls == [2, 7]


def test_wrappers_see_every_call() -> None:
    """Wrappers see calls that the cache answers, may refuse them, and what they change is looked up and not kept."""
    double, seen, refuses = Counting(), list[Any](), False

    async def wrap(request: Any, execute: Any) -> Any:
        seen.append(request.tool_call["args"]["number"])
        if refuses:
            return ToolMessage("no", tool_call_id=request.tool_call["id"], status="error")
        call = {**request.tool_call, "args": {"number": request.tool_call["args"]["number"] + 1}}
        message = await execute(request.override(tool_call=call))
        message.content = f"{message.content}!"
        return message

    options: dict[str, Any] = {"cache": InMemoryCache(), "tool_cache_policy": KEPT, "awrap_tool_call": wrap}
    graph = graph_of(["1. double(2)"] * 3, [double.tool], **options)
    first, second = asked(graph), asked(graph)
    assert (seen, double.calls, cached(second)) == ([2, 2], [3], [1])
    assert first["messages"][2].content == second["messages"][2].content
    assert second["messages"][2].content.endswith("}!")
    refuses = True
    assert [task["status"] for task in asked(graph)["tasks"]] == ["failed"]


def test_a_wrapper_that_calls_another_tool() -> None:
    """What another tool returned, which a wrapper put in its place, is neither looked up nor kept."""
    double, cache = Counting(), Recorded()

    async def wrap(request: Any, execute: Any) -> Any:
        return await execute(request.override(tool=hinted("double", READS)))

    graph = graph_of(["1. double(2)"], [double.tool], cache=cache, tool_cache_policy=KEPT, awrap_tool_call=wrap)
    asked(graph)
    assert not cache.kept


@pytest.mark.parametrize("errors", [True, False, "it failed", (ValueError,)])
def test_errors_are_handled_as_without_a_cache(errors: Any) -> None:
    """`handle_tool_errors` means the same whether calls are looked up or not."""
    found: list[Any] = []
    for options in ({}, {"cache": InMemoryCache(), "tool_cache_policy": KEPT}):
        plan = '1. double(-1)\n2. double(number="x")'
        graph = graph_of([plan], [Counting().tool], **options, handle_tool_errors=errors, max_repairs=0)
        try:
            state = asked(graph)
            found.append([(task["status"], task["error"]) for task in state["tasks"]])
        except ValueError as error:
            found.append(repr(error))
    assert found[0] == found[1]


def test_procedures_as_graphs() -> None:
    """A procedure that is run as a graph may have a cache, too."""
    double = Counting()
    procedure = parse_procedure("four_times(x: int):\n  1. double(${x})\n  2. double(${1.twice})")
    graph = procedure.as_graph([double.tool], cache=InMemoryCache(), tool_cache_policy=KEPT)
    states = [graph.invoke({"arguments": {"x": 2}}) for _ in range(2)]
    assert double.calls == [2, 4]
    assert [cached(state) for state in states] == [[0, 0], [1, 1]]


# -- caches that do not work -------------------------------------------------------------------------------------------


class Broken(Recorded):
    """A cache that fails where it is told to."""

    def __init__(self, where: str, how: Literal["raises", "hangs", "rubbish"]) -> None:
        super().__init__()
        self.where, self.how = where, how
        self.times: list[float] = []

    async def _fail(self, where: str) -> Any:
        if where == self.where:
            self.times.append(asyncio.get_running_loop().time())
            if self.how == "hangs":
                await asyncio.Event().wait()
            if self.how == "raises":
                raise ConnectionError("down")
        return None

    async def aget(self, keys: Sequence[FullKey]) -> Any:
        """Get what is kept."""
        await self._fail("aget")
        return dict.fromkeys(keys, "rubbish") if self.how == "rubbish" else self.get(keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep."""
        await self._fail("aset")
        self.set(pairs)


@pytest.mark.parametrize("how", ["raises", "hangs"])
@pytest.mark.parametrize(("where", "what"), [("aget", "read"), ("aset", "write to")])
def test_a_broken_cache_costs_no_run(where: str, what: str, how: Literal["raises", "hangs"]) -> None:
    """A cache that raises or hangs is left alone for a minute: a warning says so, and all tools are called."""
    double, cache = Counting(), Broken(where, how)
    plan = "1. double(1)\n2. double(${1.twice})\n3. double(${2.twice})\n4. double(${3.twice})"
    graph = graph_of([plan] * 2, [double.tool], cache=cache, tool_cache_policy=KEPT)
    why = "ConnectionError: down" if how == "raises" else "it took longer than 5 s"
    with pytest.warns(UserWarning, match="the cache of tool calls") as told:
        state = asked(graph)
    ours = [str(each.message) for each in told if "could not" in str(each.message)]
    assert ours == [f"could not {what} the cache of tool calls: {why}; tools are called for the next 60 s without it"]
    assert [task["status"] for task in state["tasks"]] == ["done"] * 4
    assert double.calls == [1, 2, 4, 8]
    assert len(cache.times) == 1
    assert max(entry["finished"] or 0 for entry in state["timeline"]) == (0 if how == "raises" else 5)


def test_a_cache_that_works_again() -> None:
    """After a minute the cache is asked again."""
    double, cache = Counting(), Broken("aget", "raises")

    @tool
    async def wait(seconds: float) -> int:
        """Wait."""
        await asyncio.sleep(seconds)
        return int(seconds)

    plan = "1. double(1)\n2. wait(59)\n3. double($2)\n4. wait(2) after $3\n5. double($4)"
    graph = graph_of([plan], [double.tool, wait], cache=cache, tool_cache_policy={"double": KEPT})
    with pytest.warns(UserWarning, match="could not read") as told:
        state = asked(graph)
    assert cache.times == [0, 61]
    assert sum("could not read" in str(each.message) for each in told) == 2
    assert [task["status"] for task in state["tasks"]] == ["done"] * 5


@pytest.mark.parametrize("entry", ["rubbish", '"text"', "[1]", "[1, 2, 3, 4]", b"\x00", None, 7, {"a": 1}, "[" * 9999])
def test_entries_that_cannot_be_read(entry: Any) -> None:
    """An entry that is none of ours is no answer: the call is made, and what it returns takes its place."""
    double, cache = Counting(), Recorded()
    graph = graph_of(["1. double(1)"] * 3, [double.tool], cache=cache, tool_cache_policy=KEPT)
    asked(graph)
    cache.kept = dict.fromkeys(cache.kept, (entry, None))
    assert cached(asked(graph)) == [0]
    assert cached(asked(graph)) == [1]
    assert double.calls == [1, 1]
