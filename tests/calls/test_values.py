"""Whatever a tool or a human gives: a thread goes on, and nothing else that was done is lost."""

import asyncio
import collections
import dataclasses
import datetime
import io
import itertools
import json
import threading
import types
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from unittest.mock import Mock

import numpy as np
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.calls import values
from llmcompiler_graph.calls.values import MAX_ELEMENTS, written
from llmcompiler_graph.core.errors import ObservationError, described
from llmcompiler_graph.core.language.json_text import MAX_CHARACTERS, MAX_DEPTH
from llmcompiler_graph.testing import ScriptedModel, run_virtual

both_ways = pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])


def deep(levels: int, kind: Any = list) -> Any:
    """Nest lists, tuples or dictionaries."""
    value: Any = "core"
    for _ in range(levels):
        value = {"a": value} if kind is dict else kind([value])
    return value


def circular() -> Any:
    """A list that holds itself."""
    held: list[Any] = []
    held.append({"again": held})
    return held


class Silent(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)

    __repr__ = __str__


class Untold:
    """A value that cannot be shown."""

    __str__ = __repr__ = Silent.__str__


class Node(BaseModel):
    """A model of any content."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    held: Any = None


@dataclasses.dataclass
class Data:
    """A dataclass of any content."""

    held: Any = None


def breaking() -> Iterator[int]:
    """Yield, then raise."""
    yield 1
    msg = "the cursor is closed"
    raise ConnectionError(msg)


async def waited() -> int:
    """What nobody awaits."""
    return 1


async def pages(count: int | None) -> AsyncIterator[int]:
    """Yield numbers, without end if no count is given."""
    for n in itertools.count() if count is None else range(count):
        yield n


# -- what is written ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (iter([1, "a"]), [1, "a"]),
        ((n for n in range(2)), [0, 1]),
        (map(str, [1]), ["1"]),
        ({"rows": zip([1], [2], strict=True)}, {"rows": [[1, 2]]}),
        (io.StringIO("a\nb\n"), ["a\n", "b\n"]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.keys(), ["a"]),
        (collections.deque([1]), [1]),
        (collections.UserDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({"name": "x", "data": b"\x89PNG"}, {"name": "x", "data": "iVBORw=="}),
        ({"name": "x", "data": b"text"}, {"name": "x", "data": "text"}),
        ([bytearray(b"\xff"), memoryview(b"a")], ["/w==", "a"]),
        (Node(held=iter([1])), {"held": [1]}),
        (Data(held=(n for n in [1])), {"held": [1]}),
        (Node(held=b"\xff"), {"held": "/w=="}),
        (Node(held=Node(held=np.array([1, 2]))), {"held": {"held": [1, 2]}}),
        ({(1, 2): 1, None: 2, 2.5: 3, True: 4}, {"1,2": 1, "None": 2, "2.5": 3, "true": 4}),
        ({"half \ud83d": "\udc00"}, {"half \ufffd": "\ufffd"}),
        (deep(MAX_DEPTH), deep(MAX_DEPTH)),
        (deep(MAX_DEPTH, dict), deep(MAX_DEPTH, dict)),
        ([[1]] * 3, [[1]] * 3),
        ("[" * 1000, "[" * 1000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_written(given: Any, value: Any) -> None:
    """Containers, iterators and bytes of any kind become lists, objects and text."""
    assert written(given) == value


TOO_MUCH: dict[str, tuple[Any, str]] = {
    "lists": (lambda: deep(MAX_DEPTH + 1), "nested more than 100 deep"),
    "objects": (lambda: deep(MAX_DEPTH + 1, dict), "nested more than 100 deep"),
    "tuples": (lambda: deep(MAX_DEPTH + 1, tuple), "nested more than 100 deep"),
    "very_deep": (lambda: deep(5000), "nested more than 100 deep"),
    "models": (lambda: deep(MAX_DEPTH + 1, lambda v: Node(held=v[0])), "nested more than 100 deep"),
    "holds_itself": (circular, "holds itself"),
    "model_holds_itself": (lambda: Node(held=circular()), "Circular reference|holds itself"),
    "endless_iterator": (lambda: {"n": itertools.count()}, "more than 1,000,000 elements"),
    "endless_in_dataclass": (lambda: Data(held=itertools.repeat("x")), "more than 1,000,000 elements"),
    "endless_range": (lambda: range(10**30), "more than 1,000,000 elements"),
    "many": (lambda: [[0] * 1000] * 1001, "more than 1,000,000 elements"),
    "array": (lambda: np.zeros((1001, 1000)), "more than 1,000,000 elements"),
    "long_text": (lambda: "x" * (MAX_CHARACTERS + 1), "more than 10,000,000 characters"),
    "long_texts": (lambda: {"x" * 4_000_000: ["y" * 4_000_000, b"z" * 4_000_000]}, "more than 10,000,000 characters"),
    "long_bytes": (lambda: bytes(MAX_CHARACTERS + 1), "more than 10,000,000 characters"),
    "endless_texts": (lambda: itertools.repeat("x" * 1_000_000), "more than 10,000,000 characters"),
    "large_number": (lambda: 1 << 20_000, "a whole number of 20,001 bits"),
    "iterator_that_raises": (breaking, "reading it raised ConnectionError: the cursor is closed"),
    "no_text": (lambda: {"a": Untold()}, "'Untold' is no JSON, and its __str__ raised RuntimeError"),
    "coroutine": (lambda: [waited()], "'coroutine', which must be awaited"),
    "asynchronous_iterator": (lambda: [pages(1)], "'async_generator', which must be awaited"),
}
"""Values that no observation can be, each with why."""


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_too_much(kind: str) -> None:
    """What would break the thread, the loop or the process is refused, with the limit it is beyond."""
    make, why = TOO_MUCH[kind]
    with pytest.raises(ObservationError, match=why):
        written(make())


def test_an_object_that_has_everything() -> None:
    """An object that answers to every name is no array: its text is kept."""
    assert str(written([Mock(name="everything")])).startswith("[\"<Mock name='everything' id=")


def test_an_exception_without_a_text() -> None:
    """An exception whose text cannot be had is described all the same."""
    assert described(Silent()) == "Silent (its text cannot be had: its own __str__ raised RuntimeError)"


# -- what becomes of the thread ----------------------------------------------------------------------------------------


@tool
async def same(value: Any) -> Any:
    """Return what is given."""
    return value


def ask_twice(tools: list[Any], plan: str, *, sync: bool, **kwargs: Any) -> tuple[Any, Any]:
    """Run a plan and then another turn of its thread, which reads the first's findings; return both final states."""
    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "1"}}
    model = ScriptedModel([plan, "Finish: first", '1. same("again")\n2. join()', "Finish: second"])
    graph: Any = create_llm_compiler(model, [*tools, same], checkpointer=saver, max_repairs=0, **kwargs)
    states = []
    for question in ("a", "b"):
        given = {"messages": [HumanMessage(question)]}
        states.append(graph.invoke(given, thread) if sync else asyncio.run(graph.ainvoke(given, thread)))
    assert states[1]["messages"][-1].text == "second"
    return states[0], states[1]


def tools_that_give(make: Any) -> list[Any]:
    """A tool in a thread and one on the loop, both of which give what a function makes."""

    @tool
    def give() -> Any:
        """Give it."""
        return make()

    @tool
    async def agive() -> Any:
        """Give it."""
        return make()

    return [give, agive]


@both_ways
@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_thread_survives_what_a_tool_returns(kind: str, sync: bool) -> None:
    """The task fails and says why, what was done beside it stays, and the next turn works."""
    make, why = TOO_MUCH[kind]
    plan = '1. give()\n2. agive()\n3. same("kept")\n4. same($1)\n5. join()'
    first, _ = ask_twice(tools_that_give(make), plan, sync=sync)
    records = first["tasks"]
    assert [record["status"] for record in records] == ["failed", "failed", "done", "skipped"]
    assert records[2]["value"] == "kept"
    for record in records[:2]:
        assert record["error"].startswith("ObservationError: the tool has run, but what it returned cannot be kept: ")
        with pytest.raises(ValueError, match=why):
            raise ValueError(record["error"])
    failed = [m for m in first["messages"] if isinstance(m, ToolMessage) and m.status == "error"]
    assert [m.text for m in failed[:2]] == [record["error"] for record in records[:2]]


@both_ways
@pytest.mark.parametrize(
    "text",
    ["[" * 1000, '{"a":' * 1000, "[" * 320 + "]" * 320, '{"a":' * 320 + "1" + "}" * 320, "[" * 100_000, "1" * 5000],
    ids=lambda text: f"{text[:5]}{len(text)}",
)
def test_a_thread_survives_text_that_looks_like_json(text: str, sync: bool) -> None:
    """Text with brackets without end stays text, in this turn and in later ones; a path into it says what is wrong."""
    plan = "1. give()\n2. same(${1.a.a})\n3. same(${1[0]})\n4. same($1)\n5. join()"
    first, second = ask_twice(tools_that_give(lambda: text), plan, sync=sync)
    assert [record["status"] for record in first["tasks"]] == ["done", "failed", "failed", "done"]
    assert first["tasks"][0]["value"] == first["tasks"][3]["value"] == text
    assert "leads nowhere" in first["tasks"][1]["error"]
    assert second["tasks"][0]["value"] == "again"


@both_ways
@pytest.mark.parametrize("handler", [True, "It failed."])
def test_a_thread_survives_exceptions_without_a_text(handler: Any, sync: bool) -> None:
    """An exception whose `__str__` raises fails its task, whichever way errors are handled."""

    def fail() -> Any:
        raise Silent

    plan = '1. give()\n2. agive()\n3. same("kept")\n4. join()'
    first, _ = ask_twice(tools_that_give(fail), plan, sync=sync, handle_tool_errors=handler)
    error = "Silent (its text cannot be had: its own __str__ raised RuntimeError)" if handler is True else handler
    assert [record["error"] for record in first["tasks"]] == [error, error, ""]


@both_ways
@pytest.mark.parametrize("raised", [StopIteration(3), BaseException("a panic"), StopAsyncIteration()])
def test_a_thread_survives_whatever_is_raised(raised: BaseException, sync: bool) -> None:
    """What is raised to end a loop or a process fails its task, and no more."""

    def fail() -> Any:
        raise raised

    first, _ = ask_twice(tools_that_give(fail), '1. give()\n2. agive()\n3. same("kept")\n4. join()', sync=sync)
    assert [record["status"] for record in first["tasks"]] == ["failed", "failed", "done"]
    assert type(raised).__name__ in first["tasks"][0]["error"]


@both_ways
def test_long_errors_are_cut(sync: bool) -> None:
    """An exception's text of 50 million characters is cut, and said to be."""

    def fail() -> Any:
        raise ValueError("x" * 50_000_000 + "\ud800")

    first, _ = ask_twice(tools_that_give(fail), "1. give()\n2. agive()\n3. join()", sync=sync)
    assert all(record["error"].endswith("x… [cut: 100000 of 50000013 characters]") for record in first["tasks"])


@both_ways
@pytest.mark.parametrize("artifact", ["lock", "function", "deep", "huge", "circular", "generator"])
def test_a_thread_survives_artifacts(artifact: str, sync: bool) -> None:
    """Of an artifact that cannot be stored a note is kept that says why; the content is the value all the same."""
    made: Any = {
        "lock": threading.Lock,
        "function": lambda: described,
        "deep": lambda: deep(2000),
        "huge": lambda: {"n": 10**30},
        "circular": circular,
        "generator": breaking,
    }[artifact]

    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, Any]:
        """Fetch."""
        return "the text", made()

    first, _ = ask_twice([fetch], "1. fetch()\n2. same($1)\n3. join()", sync=sync)
    assert [record["value"] for record in first["tasks"]] == ["the text", "the text"]
    message = next(m for m in first["messages"] if isinstance(m, ToolMessage))
    assert message.artifact.startswith("not kept: ")


def test_without_a_checkpointer_every_artifact_stays() -> None:
    """Where nothing is stored, an artifact may be anything."""
    lock = threading.Lock()

    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, Any]:
        """Fetch."""
        return "the text", lock

    graph: Any = create_llm_compiler(ScriptedModel(["1. fetch()\n2. join()", "Finish: ok"]), [fetch])
    final = graph.invoke({"messages": [HumanMessage("?")]})
    assert [m.artifact for m in final["messages"] if isinstance(m, ToolMessage)] == [lock]


@both_ways
@pytest.mark.parametrize("update", ["unstorable", "tasks", "rounds", "message"])
def test_a_thread_survives_commands(update: str, sync: bool) -> None:
    """A command that cannot be stored, or that writes the graph's own keys, is not carried out: its task fails."""

    @tool
    def act(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Act."""
        message = ToolMessage("acted", tool_call_id=tool_call_id)
        threading.Lock()
        given: Any = {
            "unstorable": {"messages": [message, HumanMessage("x", additional_kwargs={"f": deep})]},
            "tasks": {"messages": [message], "tasks": []},
            "rounds": {"messages": [message], "rounds": [], "decision": "finish"},
            "message": {"messages": [message.model_copy(update={"artifact": deep})]},
        }[update]
        return Command(update=given)

    first, _ = ask_twice([act], '1. act()\n2. same("kept")\n3. join()', sync=sync)
    assert [record["status"] for record in first["tasks"]] == ["failed" if update != "message" else "done", "done"]
    if update != "message":
        assert "the tool has run, but what it returned cannot be kept: its command" in first["tasks"][0]["error"]


@both_ways
def test_messages_of_a_command_written_as_dictionaries(sync: bool) -> None:
    """A tool may write its message as a dictionary: it is the task's own message."""

    @tool
    def act(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Act."""
        return Command(update={"messages": [{"role": "tool", "content": "acted", "tool_call_id": tool_call_id}]})

    first, _ = ask_twice([act], "1. act()\n2. same($1)\n3. join()", sync=sync)
    assert [record["value"] for record in first["tasks"]] == ["acted", "acted"]
    assert [m.text for m in first["messages"] if isinstance(m, ToolMessage)] == ["acted", "acted"]


# -- iterators and time ------------------------------------------------------------------------------------------------


async def test_asynchronous_iterators() -> None:
    """What an asynchronous tool returns to be iterated over asynchronously is read, and closed."""

    @tool
    async def read(count: int | None) -> Any:
        """Read."""
        return pages(count)

    graph: Any = create_llm_compiler(
        ScriptedModel(["1. read(3)\n2. read(None)\n3. join()", "Finish: ok"]), [read], max_repairs=0
    )
    final = await graph.ainvoke({"messages": [HumanMessage("?")]})
    assert final["tasks"][0]["value"] == [0, 1, 2]
    assert "more than 1,000,000 elements" in final["tasks"][1]["error"]


def test_a_slow_iterator_is_under_the_time_limit() -> None:
    """An asynchronous iterator that takes for ever is given up at the tool's time limit; other tasks run meanwhile."""

    async def slowly() -> AsyncIterator[int]:
        for n in itertools.count():
            await asyncio.sleep(1)
            yield n

    @tool
    async def read() -> Any:
        """Read."""
        return slowly()

    async def main() -> Any:
        model = ScriptedModel(['1. read()\n2. same("kept")\n3. join()', "Finish: ok"])
        graph = create_llm_compiler(model, [read, same], tool_timeout={"read": 5})
        return await graph.ainvoke({"messages": [HumanMessage("?")]}), asyncio.get_running_loop().time()

    final, end = run_virtual(main)
    assert [record["status"] for record in final["tasks"]] == ["failed", "done"]
    assert (final["tasks"][0]["error"], end) == ("TimeoutError: no result within 5 s", 5)


@pytest.mark.parametrize("on_loop", [False, True])
async def test_iterators_are_read_off_the_loop_and_given_up_with_the_call(on_loop: bool) -> None:
    """The loop is free while an iterator blocks; once the time is up it is read no further, and closed."""
    read: list[int] = []
    blocked, released, ended = threading.Event(), threading.Event(), threading.Event()

    def rows() -> Iterator[int]:
        try:
            for n in itertools.count():
                if n == 3:
                    blocked.set()
                    released.wait(30)
                read.append(n)
                yield n
        finally:
            ended.set()

    give = tools_that_give(rows)[on_loop]
    model = ScriptedModel([f"1. {give.name}()\n2. join()", "Finish: ok"])
    graph: Any = create_llm_compiler(model, [give], tool_timeout=1)
    running = asyncio.create_task(graph.ainvoke({"messages": [HumanMessage("?")]}))
    assert await asyncio.to_thread(blocked.wait, 30)  # which needs the loop, while the iterator blocks
    final = await running
    assert final["tasks"][0]["error"] == "TimeoutError: no result within 1 s"
    released.set()
    assert await asyncio.to_thread(ended.wait, 30)
    assert read == [0, 1, 2, 3]


async def test_large_values_are_written_off_the_loop() -> None:
    """What is large, or is read by code of its own, leaves the loop free; what is small and plain costs no thread."""
    threads: list[str] = []

    class Watched(dict[str, Any]):
        def items(self) -> Any:
            threads.append(threading.current_thread().name)
            return super().items()

    await values.awritten(Watched(a=1), "f")
    await values.awritten({"a": [Watched(a=1)]}, "f")
    assert threads
    assert threading.current_thread().name not in threads
    with pytest.raises(StopIteration):  # it is never suspended
        values.awritten({"a": [1, "b", None, 2.5, datetime.date(2020, 1, 2)]}, "f").send(None)
    large = asyncio.ensure_future(values.awritten(list(range(3000)), "f"))
    await asyncio.sleep(0)
    assert not large.done()
    assert await large == list(range(3000))


# -- what a human gives ------------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("decision", ["respond", "edit"])
def test_a_human_is_asked_again_where_an_answer_cannot_be_kept(decision: str, sync: bool) -> None:
    """What a human gives in a tool's place, or as its arguments, has the same limits; beyond them it is asked again."""
    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "1"}}
    model = ScriptedModel(['1. same("a")\n2. same($1)\n3. join()', "Finish: ok"])
    graph: Any = create_llm_compiler(model, [same], checkpointer=saver, interrupt_on={"same": True})

    def go_on(given: Any) -> Any:
        return graph.invoke(given, thread) if sync else asyncio.run(graph.ainvoke(given, thread))

    def answer(value: Any) -> Any:
        if decision == "respond":
            return Command(resume={"decisions": [{"type": "respond", "message": value}]})
        edited = {"name": "same", "args": {"value": value}}
        return Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]})

    go_on({"messages": [HumanMessage("?")]})
    paused = go_on(answer(deep(150)))
    assert paused["__interrupt__"][0].value["error"] == "it is nested more than 100 deep"
    go_on(answer("[" * 1000))
    final = go_on(Command(resume={"decisions": [{"type": "approve"}]}))
    assert [record["value"] for record in final["tasks"]] == ["[" * 1000] * 2
    assert json.dumps(final["tasks"][0]["arguments"])


def test_the_limits() -> None:
    """The limits are what the documentation says."""
    assert (MAX_DEPTH, MAX_ELEMENTS, MAX_CHARACTERS) == (100, 1_000_000, 10_000_000)


@both_ways
@pytest.mark.parametrize("levels", [90, 150, 199, 1000])
@pytest.mark.parametrize("argument", ["1", "$1", '"$1 and $1"'])
def test_a_thread_survives_arguments(levels: int, argument: str, sync: bool) -> None:
    """Arguments that are nested too deep, with an observation inside that is as deep as may be, end no thread."""
    opening, closing = ("[", "]") if levels % 4 else ('{"a": ', "}")
    plan = f"1. give()\n2. same({opening * levels}{argument}{closing * levels})\n3. same('kept')\n4. join()"
    first, _ = ask_twice(tools_that_give(lambda: deep(MAX_DEPTH)), plan, sync=sync)
    failed = levels > MAX_DEPTH or argument == "$1"  # the tool returns more than 100 levels of it
    assert [record["status"] for record in first["tasks"]] == ["done", "failed" if failed else "done", "done"]
