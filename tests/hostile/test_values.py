"""Attacks by values that tools return: code that runs when they are read, and never ends or ends more than the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, computed_field

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

CONFIG: Any = {"configurable": {"thread_id": "1"}}
Hook = Callable[[], None]


def _text(run: Hook) -> Any:
    class Text:
        def __str__(self) -> str:
            run()
            return "text"

    return Text()


def _in_a_list(run: Hook) -> Any:
    return {"a": [_text(run)]}


def _key(run: Hook) -> Any:
    return {_text(run): 1}


def _text_of_its_own(run: Hook) -> Any:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            run()
            return "text"

    return Text("text")


def _number(run: Hook) -> Any:
    class Number(int):
        def __int__(self) -> int:
            run()
            return 1

    return Number(1)


def _sequence(run: Hook) -> Any:
    class Lazy(Sequence[int]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: Any) -> Any:
            run()
            return [1][index]

    return Lazy()


def _list(run: Hook) -> Any:
    class Lazy(list[int]):
        def __iter__(self) -> Iterator[int]:
            run()
            return super().__iter__()

    return Lazy([1])


def _mapping(run: Hook) -> Any:
    class Lazy(Mapping[str, int]):
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[str]:
            run()
            return iter("a")

        def __getitem__(self, key: str) -> int:
            return 1

    return Lazy()


def _dict(run: Hook) -> Any:
    class Lazy(dict[str, int]):
        def items(self) -> Any:
            run()
            return super().items()

    return Lazy(a=1)


def _model(run: Hook) -> Any:
    class Lazy(BaseModel):
        @computed_field  # type: ignore[prop-decorator]
        @property
        def total(self) -> int:
            run()
            return 1

    return Lazy()


def _class(run: Hook) -> Any:
    class Proxy:
        def _kind(self) -> Any:
            run()
            return int

        __class__ = property(_kind)

    return Proxy()


def _array(run: Hook) -> Any:
    class Array:
        size = 1

        def tolist(self) -> list[int]:
            run()
            return [1]

    return Array()


KINDS = (_text, _in_a_list, _key, _text_of_its_own, _number, _sequence, _list, _mapping, _dict, _model, _class, _array)


async def turn(make: Callable[[], Any], *, calls: int = 1, **settings: Any) -> Any:
    """A turn of a plan that calls a tool which returns that, and another after it; both must come to an answer."""

    @tool
    async def give() -> Any:
        """Give."""
        return make()

    plan = "\n".join(f"{n}. give()" for n in range(1, calls + 1))
    replies = [f"{plan}\n{calls + 1}. join()", "Finish: done"]
    model = ScriptedModel([*replies, *replies], chunk_size=2000)
    graph: Any = create_llm_compiler(model, [give], checkpointer=InMemorySaver(), **settings)
    given: Any = {"messages": [("user", "?")]}
    finals = [await graph.ainvoke(given, CONFIG) for _ in range(2)]
    assert [final["messages"][-1].text for final in finals] == ["done", "done"]
    return finals[0]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__[1:])
async def test_the_code_of_a_value_does_not_block_the_loop(kind: Callable[[Hook], Any]) -> None:
    """Whatever a value does when it is read, the event loop goes on meanwhile."""
    loop, free = asyncio.get_running_loop(), list[bool]()

    def run() -> None:
        if len(free) < 5:  # some are read several times
            went_on = threading.Event()
            loop.call_soon_threadsafe(went_on.set)
            free.append(went_on.wait(5))

    await turn(lambda: kind(run))
    assert free
    assert all(free)


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration]
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__[1:])
async def test_the_code_of_a_value_ends_no_more_than_its_task(
    kind: Callable[[Hook], Any], raised: type[BaseException]
) -> None:
    """Whatever is raised when a value is read, at most the task fails, with the reason."""

    def run() -> None:
        raise raised

    task = (await turn(lambda: kind(run)))["tasks"][0]
    assert task["status"] == "done" or raised.__name__ in task["error"]


async def test_values_that_hang_take_no_thread_from_others() -> None:
    """Twenty values that never end to be read leave threads for others, and for the caller's own `to_thread`."""
    released, count = threading.Event(), iter(range(100))

    def values() -> Iterator[int]:
        if next(count) < 20:
            released.wait(30)
        yield 1

    try:
        with pytest.warns(RuntimeWarning, match="16 threads are held by calls that were given up"):
            final = await turn(values, calls=21, tool_timeout=0.3)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 5) == 1
    finally:
        released.set()
    assert [task["status"] for task in final["tasks"]].count("done") == 1


@pytest.fixture
def files() -> Iterator[tuple[Any, Any]]:
    """A device without end, and a file of text."""
    with open("/dev/zero", "rb") as device, open(__file__, encoding="utf-8") as file:
        yield device, file


async def test_a_file_is_read_up_to_the_limit(files: tuple[Any, Any]) -> None:
    """A device that gives no line and no end fails the task; other files give their lines."""
    device, file = files
    (task,) = (await turn(lambda: device))["tasks"]
    assert "more than 10,000,000 characters" in task["error"]
    (task,) = (await turn(lambda: file))["tasks"]
    assert task["value"][0].startswith('"""Attacks by values')


class Unspeakable(Exception):
    """An exception whose text ends the process."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


RAISED = (
    KeyboardInterrupt(),
    Unspeakable(),
    BaseExceptionGroup("two", [KeyboardInterrupt(), SystemExit(1)]),
    StopAsyncIteration(),
)


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
@pytest.mark.parametrize(("sync_tool", "sync"), [(True, True), (True, False), (False, True)])
async def test_what_a_tool_raises_off_the_main_thread(raised: BaseException, sync_tool: bool, sync: bool) -> None:
    """What is raised in a tool's thread, or on the loop of synchronous runs, is nobody's Ctrl-C: the task fails."""

    def act(n: int) -> int:
        """Act."""
        if n == 1:
            raise raised
        return n

    async def aact(n: int) -> int:
        """Act."""
        return act(n)

    tools = [tool("act")(act if sync_tool else aact)]
    graph: Any = create_llm_compiler(ScriptedModel(["1. act(1)\n2. act(2)\n3. join()", "Finish: done"]), tools)
    given: Any = {"messages": [("user", "?")]}
    final = await (asyncio.to_thread(graph.invoke, given) if sync else graph.ainvoke(given))
    assert [task["status"] for task in final["tasks"]] == ["failed", "done"]
    assert type(raised).__name__ in final["tasks"][0]["error"]
