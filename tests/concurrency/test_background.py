import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from llmcompiler_graph.concurrency.background import iterate_in_thread, run_in_background

NAME: ContextVar[str] = ContextVar("name", default="nobody")


async def test_a_coroutine_for_a_synchronous_caller() -> None:
    """A coroutine runs on a loop of its own, in the caller's context, also where a loop runs already."""
    token = NAME.set("ann")

    async def work() -> tuple[str, bool]:
        await asyncio.sleep(0)
        return NAME.get(), asyncio.get_running_loop() is not here

    here = asyncio.get_running_loop()
    try:
        assert run_in_background(work()) == ("ann", True)
    finally:
        NAME.reset(token)


def test_threads_that_come_first_at_once_share_one_loop() -> None:
    """However many threads call at the same time before there is a loop, one is made."""
    code = """
import asyncio, sys, threading
from llmcompiler_graph.concurrency.background import run_in_background
sys.setswitchinterval(1e-6)
loops, together = [], threading.Barrier(20)
async def which():
    loops.append(asyncio.get_running_loop())
def call():
    together.wait()
    run_in_background(which())
threads = [threading.Thread(target=call) for _ in range(20)]
for each in threads: each.start()
for each in threads: each.join()
print(len(loops), len(set(loops)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "20 1\n"


def test_errors_reach_the_caller() -> None:
    """What a coroutine raises in the background is raised at its caller."""

    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        run_in_background(work())


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt()])
def test_the_loop_outlives_who_leaves(leaving: BaseException) -> None:
    """`sys.exit()` in a coroutine is raised where it is awaited, and ends neither the loop nor what else runs there."""

    async def leave() -> None:
        raise leaving

    async def beside() -> str:
        leave_too = asyncio.create_task(leave())
        with suppress(SystemExit, KeyboardInterrupt):
            await leave_too
        await asyncio.sleep(0.01)
        return "still here"

    found: list[Any] = []

    def run() -> None:
        with suppress(SystemExit, KeyboardInterrupt):
            run_in_background(leave())
            found.append("not raised")
        found.append(run_in_background(beside()))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert found == ["still here"]


def test_callers_share_the_loop() -> None:
    """Coroutines of several threads overlap on one loop."""
    meeting: dict[str, asyncio.Event] = {}

    async def make() -> None:
        meeting["event"] = asyncio.Event()

    async def wait() -> bool:
        await asyncio.wait_for(meeting["event"].wait(), 10)
        return True

    async def come() -> None:
        meeting["event"].set()

    run_in_background(make())
    found: list[bool] = []
    waiting = threading.Thread(target=lambda: found.append(run_in_background(wait())))
    waiting.start()
    run_in_background(come())
    waiting.join(10)
    assert found == [True]


def test_the_loop_cannot_wait_for_itself() -> None:
    """Waiting for the background loop from a coroutine on it is an error, not a deadlock."""

    async def inner() -> None: ...

    async def outer() -> None:
        coroutine = inner()
        try:
            run_in_background(coroutine)
        finally:
            coroutine.close()

    with pytest.raises(RuntimeError, match="await `ainvoke`"):
        run_in_background(outer())


def test_an_interrupted_wait_cancels() -> None:
    """If the caller stops waiting (Ctrl-C), the coroutine is cancelled."""
    seen: list[str] = []

    class Stop(BaseException):
        """In place of KeyboardInterrupt."""

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    def stopping(coroutine: object, frame: object = None) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, stopping)
    try:
        with pytest.raises(Stop):
            run_in_background(work())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == ["cancelled"]


async def test_iterating_in_a_thread() -> None:
    """An iterator is pulled in a thread, in the current context, each item as soon as it is there."""
    token = NAME.set("ann")

    def items() -> Iterator[tuple[str, bool]]:
        for _ in range(3):
            yield NAME.get(), threading.current_thread() is not threading.main_thread()

    try:
        assert [item async for item in iterate_in_thread(items)] == [("ann", True)] * 3
    finally:
        NAME.reset(token)


async def test_an_iterator_that_raises() -> None:
    """What it raises is raised after the items before."""

    def items() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    iteration = iterate_in_thread(items)
    assert await anext(iteration) == 1
    with pytest.raises(KeyError, match="x"):
        await anext(iteration)


async def test_leaving_an_iteration() -> None:
    """When nobody listens any more, the iterator is pulled at most once more, and closed."""
    pulled: list[int] = []
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            for n in range(10**9):
                pulled.append(n)
                yield n
                time.sleep(0.001)
        finally:
            closed.set()

    iteration = iterate_in_thread(items)
    async for _ in iteration:
        break
    await iteration.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(closed.wait, 10)
    count = len(pulled)
    await asyncio.sleep(0.01)
    assert len(pulled) == count


def test_leaving_the_loop() -> None:
    """A loop that ends while the thread still pulls leaves no error behind."""
    going_on = threading.Event()
    finished = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        going_on.wait(10)
        yield 2
        finished.set()

    async def main() -> None:
        iteration = iterate_in_thread(items)
        assert await anext(iteration) == 1
        await iteration.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    going_on.set()
    time.sleep(0.02)


FORK = """
import os, signal
from llmcompiler_graph import create_llm_compiler
from llmcompiler_graph.testing import ScriptedModel

def shout(text: str) -> str:
    "Say it loud."
    return text.upper()

def ask():
    graph = create_llm_compiler(ScriptedModel(['1. shout("hi")', "Finish: done"]), [shout])
    return graph.invoke({"messages": [("user", "?")]})["tasks"][0]["value"]

print(ask(), flush=True)
if os.fork() == 0:
    signal.alarm(20)
    print(ask(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_after_a_fork() -> None:
    """A child process, whose threads stayed behind in its parent, runs graphs synchronously."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["HI", "HI"]
