"""The threads of synchronous tools: what is given up holds nothing else up."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import tool

from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.concurrency import threads
from llmcompiler_graph.concurrency.threads import in_thread
from llmcompiler_graph.testing import ScriptedModel

pytestmark = pytest.mark.filterwarnings("ignore:.*threads are held by calls that were given up:RuntimeWarning")


@pytest.fixture(autouse=True)
def _new_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test use the threads of another."""
    monkeypatch.setattr(threads, "_pools", threads._Pools())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in threads."""
    while not condition():  # noqa: ASYNC110 (threads set no `asyncio.Event`)
        await asyncio.sleep(0.001)


class Hanging:
    """Calls that hang until they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Event()

    def __call__(self) -> str:
        """Make a call."""
        self.begun += 1
        self.go.wait(60)
        return "late"

    async def give_up(self, count: int, name: str = "hang") -> None:
        """Begin so many calls, and give them up once all have begun."""
        wanted = self.begun + count
        calls = [asyncio.create_task(in_thread(name, self)) for _ in range(count)]
        await until(lambda: self.begun >= wanted)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def end(self) -> None:
        """Let all return, and wait until their threads have ended."""
        self.go.set()
        await until(lambda: not threads._pools.held.by_name)


async def test_calls_given_up_leave_room_for_others() -> None:
    """However many calls have been given up and hang, as many calls as before run at a time."""
    hanging = Hanging()
    await hanging.give_up(200)
    await hanging.give_up(200)
    together = threading.Barrier(threads._MOST)
    calls = [in_thread("meet", together.wait, 20) for _ in range(threads._MOST)]
    assert sorted(await asyncio.gather(*calls)) == list(range(threads._MOST))
    await hanging.end()


async def test_who_waits_for_a_thread_gets_that_of_a_call_given_up() -> None:
    """Calls that wait because all threads are busy begin when those are given up."""
    hanging = Hanging()
    async with asyncio.TaskGroup() as group:
        giving_up = group.create_task(hanging.give_up(threads._MOST))
        await until(lambda: hanging.begun >= threads._MOST - 1)
        waiting = [group.create_task(in_thread("other", lambda: "ran")) for _ in range(3)]
    assert [await each for each in waiting] == ["ran"] * 3
    assert giving_up.done()
    await hanging.end()


async def test_a_call_that_has_not_begun_is_taken_back() -> None:
    """A call that is given up before there is a thread for it is never made."""
    hanging, ran = Hanging(), []
    busy = [asyncio.create_task(in_thread("hang", hanging)) for _ in range(threads._MOST)]
    await until(lambda: hanging.begun == threads._MOST)
    late = asyncio.create_task(in_thread("late", lambda: ran.append(1)))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    hanging.go.set()
    await asyncio.gather(*busy)
    await in_thread("next", lambda: None)
    assert ran == []


async def test_a_call_that_was_taken_back_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for its next call holds nothing of the last one, also if that was never made."""
    monkeypatch.setattr(threads, "_MOST", 1)
    hanging, taken_back = Hanging(), Hanging()
    kept = weakref.ref(taken_back)
    busy = asyncio.create_task(in_thread("hang", hanging))
    await until(lambda: hanging.begun == 1)
    late = asyncio.create_task(in_thread("late", taken_back))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    del late, taken_back
    hanging.go.set()
    await busy
    await asyncio.wait_for(until(lambda: kept() is None), 10)


async def test_threads_are_used_again() -> None:
    """Calls one after another need no new threads, and so do those after a call that was given up has returned."""
    hanging = Hanging()
    await hanging.give_up(1)
    await hanging.end()
    await in_thread("warm up", time.sleep, 0.01)
    before = threading.active_count()
    for _ in range(50):
        await in_thread("quick", int)
    assert threading.active_count() <= before


async def test_a_warning_names_the_tools() -> None:
    """From 16 threads on, each doubling of those that are held is told, with the tools' names and what to do."""
    hanging = Hanging()

    async def give_up() -> None:
        await hanging.give_up(12, "fetch")
        await hanging.give_up(28, "read")

    with pytest.warns(RuntimeWarning) as told:
        await give_up()
    texts = [str(each.message) for each in told]
    assert [int(text.split()[0]) for text in texts] == [16, 32]
    assert "of 'fetch' (12), 'read' (4)" in texts[0]
    assert "give it time limits of its own" in texts[0]
    await hanging.end()


async def test_threads_held_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many threads are held, further calls fail with the reason, as tasks of a plan too; later ones run."""
    monkeypatch.setattr(threads, "_MOST_HELD", 20)
    hanging = Hanging()
    await hanging.give_up(20)
    with pytest.raises(threads.NoThreadLeftError, match=re.escape("no thread is left for 'more': 20 threads are held")):
        await in_thread("more", int)

    @tool
    def shout(text: str) -> str:
        """Say it loud."""
        return text.upper()

    model = ScriptedModel(['1. shout("a")', "Finish: 1", '1. shout("a")', "Finish: 2"])
    graph: Any = create_llm_compiler(model, [shout])
    first = await graph.ainvoke({"messages": [("user", "?")]})
    assert first["tasks"][0]["error"].startswith("NoThreadLeftError: no thread is left for 'shout'")
    assert first["messages"][-1].text == "1"
    await hanging.end()
    assert (await graph.ainvoke({"messages": [("user", "?")]}))["tasks"][0]["value"] == "A"


async def test_a_system_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, the call fails with the reason, and the next begins when there is one."""

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with pytest.raises(threads.NoThreadLeftError, match=r"the system gives no thread .*: can't start new thread"):
            await in_thread("first", int)
    assert await in_thread("second", int) == 0


EXIT = """
import asyncio, threading
from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

def hang(text: str) -> str:
    "Never return."
    threading.Event().wait()
    return text

graph = create_llm_compiler(ScriptedModel(['1. hang("x")', "Finish: answered"]), [hang], deadline=0.2)
question = {"messages": [("user", "?")]}
final = {"async": lambda: asyncio.run(graph.ainvoke(question)), "sync": lambda: graph.invoke(question)}[HOW]()
print(final["messages"][-1].text)
"""


@pytest.mark.parametrize("how", ["async", "sync"])
def test_a_process_ends_while_a_tool_hangs(how: str) -> None:
    """A synchronous tool that never returns keeps no process from ending."""
    code = EXIT.replace("HOW", repr(how))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "answered\n"
