"""What an asynchronous tool does to the event loop that synchronous runs share holds no other run up."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver

from llmcompiler_graph import LoopBlockedError, create_llm_compiler
from llmcompiler_graph.concurrency import background
from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.testing import ScriptedModel

pytestmark = pytest.mark.filterwarnings("ignore:the event loop that synchronous runs share has been blocked")

QUESTION: Any = {"messages": [("user", "?")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class Blocking:
    """Blocks whatever thread calls it, until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        """Block."""
        self.begun.set()
        assert self.go.wait(60)
        return "late"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice soon what blocks, on loops that no other test uses."""
    monkeypatch.setattr(background, "_loops", background._Loops())
    monkeypatch.setattr(background, "UNRESPONSIVE", 1.0)
    monkeypatch.setattr(background, "_LOOK_EVERY", 0.02)


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    """What blocks, let go in the end."""
    given = Blocking()
    yield given
    given.go.set()


def asking(tools: list[BaseTool], plan: str, **settings: Any) -> Any:
    """Make a graph with one plan."""
    return create_llm_compiler(ScriptedModel([plan, "Finish: ok", plan, "Finish: ok"]), tools, **settings)


@tool
async def which() -> int:
    """Say which loop this runs on."""
    return id(asyncio.get_running_loop())


def which_loop() -> int:
    """Ask a synchronous run which loop its tools run on."""
    loop: int = asking([which], "1. which()").invoke(QUESTION)["tasks"][0]["value"]
    return loop


def tool_that(block: Callable[[], object]) -> BaseTool:
    """Make an asynchronous tool that calls what blocks."""

    async def hold() -> str:
        """Block the loop."""
        return str(block())

    made: BaseTool = tool(hold)
    made.metadata = {"readOnlyHint": False}  # not called while the plan is written
    return made


def test_other_runs_go_on_while_a_tool_blocks_the_loop(blocking: Blocking) -> None:
    """Runs that come later use another loop; a warning names the tool and the line; the blocked run ends as it does."""
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        blocked = pool.submit(asking([tool_that(blocking)], "1. hold()").invoke, QUESTION)
        assert blocking.begun.wait(20)
        assert which_loop() == which_loop()
        assert not blocked.done()
        blocking.go.set()
        assert blocked.result(20)["tasks"][0]["value"] == "late"
    (text,) = [str(each.message) for each in told if "has been blocked" in str(each.message)]
    assert re.search(r"blocked for 1 s by the tool 'hold', at wait \(.*threading.py:\d+\); later ones use", text)
    assert "must be synchronous (`def`)" in text


def test_what_had_not_begun_is_moved(blocking: Blocking) -> None:
    """A run that came while a loop was blocked, but did not seem so yet, begins on another, once."""
    began: list[int] = []

    async def note() -> None:
        began.append(id(asyncio.get_running_loop()))

    async def hold() -> None:
        blocking()

    with ThreadPoolExecutor(4) as pool:
        blocked = pool.submit(run_in_background, hold())
        assert blocking.begun.wait(20)
        noted = [pool.submit(run_in_background, note()) for _ in range(3)]
        for each in noted:
            each.result(20)
        blocking.go.set()
        blocked.result(20)
        run_in_background(note())
    assert len(began) == 4
    assert len(set(began)) == 1


def test_who_waits_for_a_blocked_loop_is_told(blocking: Blocking) -> None:
    """After its patience a caller has an error that names the tool; what it had begun is cancelled later."""
    ended: list[str] = []

    async def innocent() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def begun() -> None:
        pool.submit(blocked.invoke, QUESTION)
        await innocent()

    blocked = asking([tool_that(blocking)], "1. hold()")
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(
            LoopBlockedError, match=r"has been blocked for \d s by the tool 'hold'.* must be synchronous"
        ):
            run_in_background(begun(), patience=0.5)
        assert ended == []
        blocking.go.set()
    while not ended:
        time.sleep(0.001)


def test_what_was_done_is_kept(blocking: Blocking) -> None:
    """A run with a deadline is given up after its grace; going on, it repeats nothing that was done."""
    did: list[str] = []

    @tool
    async def note(text: str) -> str:
        """Note."""
        did.append(text)
        return text

    note.metadata = {"readOnlyHint": False}  # called by its `@task` only
    plan, limits = '1. note("a")\n2. hold() after $1', {"deadline": 60, "deadline_grace": 0.5}
    graph = asking([note, tool_that(blocking)], plan, checkpointer=InMemorySaver(), **limits)
    with pytest.raises(LoopBlockedError, match="by the tool 'hold'"):
        graph.invoke(QUESTION, THREAD)
    blocking.go.set()
    final = graph.invoke(None, THREAD)
    assert [task["value"] for task in final["tasks"]] == ["a", "late"]
    assert did == ["a"]


def test_loops_have_a_bound_and_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many loops are made as are blocked at a time, up to a bound; those that go on are used again."""
    monkeypatch.setattr(background, "_MOST_LOOPS", 3)
    before = threading.active_count()
    for _ in range(2):
        held = [Blocking() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            blocked = []
            for each in held:
                blocked.append(pool.submit(asking([tool_that(each)], "1. hold()").invoke, QUESTION))
                assert each.begun.wait(20)
            with pytest.raises(LoopBlockedError, match="all 3 event loops of synchronous runs are blocked"):
                which_loop()
            for each in held:
                each.go.set()
            for run in blocked:
                run.result(20)
        which_loop()
    assert threading.active_count() <= before + 3 + 3  # loops, and threads of tools


@pytest.mark.parametrize("leave", [lambda loop: loop.stop(), lambda loop: loop.call_soon(loop.stop)])
def test_a_loop_that_is_stopped_goes_on(leave: Callable[[asyncio.AbstractEventLoop], object]) -> None:
    """A tool that stops the loop ends neither its own run nor others; a warning says that it is not to."""

    async def stop() -> str:
        """Stop the loop."""
        leave(asyncio.get_running_loop())
        await asyncio.sleep(0.001)
        return "went on"

    with pytest.warns(RuntimeWarning, match="a tool must not call `stop` on the loop it runs on"):
        final = asking([tool(stop)], "1. stop()\n2. stop()").invoke(QUESTION)
    assert [task["value"] for task in final["tasks"]] == ["went on"] * 2
    which_loop()
