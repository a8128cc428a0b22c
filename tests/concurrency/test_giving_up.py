"""Calls and streams with a time limit, whatever they do about it. Time is virtual."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest

from llmcompiler_graph.concurrency.giving_up import GRACE, TimeIsUpError, leaving, within
from llmcompiler_graph.testing import run_virtual

Stubborn = Callable[[], Awaitable[Any]]


async def survive() -> None:
    """Catch the cancellation and go on for ever."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(7)


async def survive_all() -> None:
    """Catch whatever comes."""
    for _ in range(1000):
        try:  # noqa: SIM105 (what is tested)
            await asyncio.sleep(7)
        except BaseException:
            pass


async def clean_up_slowly() -> None:
    """Let the cancellation through, an hour later."""
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(3600)


async def shield() -> None:
    """Wait for what is not cancelled."""
    inner = asyncio.ensure_future(asyncio.sleep(1000))
    while not inner.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(inner)


async def answer_late() -> str:
    """Return all the same, too late."""
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(1000)
    return "late"


async def raise_late() -> None:
    """Raise something else, too late."""
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(1000)
        raise OSError("late") from None


stubborn = pytest.mark.parametrize("what", [survive, clean_up_slowly, shield, answer_late, raise_late])


def timed(run: Callable[[], Awaitable[Any]]) -> tuple[Any, float, list[str]]:
    """Run on a virtual clock; return what it gave, when it ended, and the warnings."""

    async def main() -> tuple[Any, float]:
        return await run(), asyncio.get_running_loop().time()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        given, end = run_virtual(main)
    return given, end, [str(each.message) for each in told]


@stubborn
def test_a_limit_holds(what: Any) -> None:
    """At its limit a call is left alone, whatever it does when it is cancelled; a warning names it if it goes on."""

    async def run() -> float:
        with pytest.raises(TimeIsUpError):
            await within(5, "the tool 'x'", what())
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(2 * GRACE)
        return ended

    ended, _, told = timed(run)
    assert ended == 5
    assert [each.partition(" goes on")[0] for each in told] == ["the tool 'x'"]


@stubborn
def test_who_is_cancelled_waits_a_little(what: Any) -> None:
    """Whoever awaits a call and is cancelled gives it `GRACE` to end, and goes without it then."""

    async def run() -> None:
        task = asyncio.create_task(within(None, "the tool 'x'", what()))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    _, end, told = timed(run)
    assert end == 5 + GRACE
    assert [each.partition(" goes on")[0] for each in told] == ["the tool 'x'"]


def test_what_ends_when_it_is_cancelled_is_waited_for() -> None:
    """A call that cleans up within `GRACE` has done so when its run ends; nothing is said."""
    cleaned: list[float] = []

    async def clean_up() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(GRACE / 2)
            cleaned.append(asyncio.get_running_loop().time())

    async def run() -> None:
        task = asyncio.create_task(within(None, "x", clean_up()))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned == [5 + GRACE / 2]

    _, end, told = timed(run)
    assert (end, told) == (5 + GRACE / 2, [])


def test_what_ends_in_time() -> None:
    """A call within its limit gives or raises what it does, its own `TimeoutError` and cancellation too."""

    async def cancel_itself() -> None:
        raise asyncio.CancelledError

    async def time_out() -> None:
        raise TimeoutError("its own")

    async def run() -> None:
        assert await within(5, "x", asyncio.sleep(4, "done")) == "done"
        with pytest.raises(TimeoutError, match="its own"):
            await within(5, "x", time_out())
        with pytest.raises(asyncio.CancelledError):
            await within(5, "x", cancel_itself())

    assert timed(run) == (None, 4, [])


LOOP_ENDS = """
import asyncio, sys
sys.path[:0] = ["."]
from tests.concurrency.test_giving_up import *

async def main(what):
    try:
        await within(0.05, "x", what())
    except TimeIsUpError:
        print("given up")

for what in (survive, survive_all, clean_up_slowly, shield):
    asyncio.run(main(what))
    print("closed")
"""


def test_a_loop_ends_without_what_was_given_up() -> None:
    """`asyncio.run` returns, though what was given up survives every cancellation."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOP_ENDS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "given up\nclosed\n" * 4


async def numbers(what: Stubborn, *, late: list[str]) -> AsyncIterator[int]:
    """Give two numbers, then do something stubborn."""
    try:
        yield 1
        await asyncio.sleep(1)
        yield 2
        await what()
    finally:
        late.append("closed")


async def read(stream: AsyncIterator[int], found: list[int]) -> None:
    """Note what a stream gives."""
    async with aclosing(stream):  # type: ignore[type-var]
        async for number in stream:
            found.append(number)


@stubborn
def test_a_stream_is_left(what: Any) -> None:
    """What a stream gave before it was left is there; it has `GRACE` to end, and is left alone then."""

    async def run() -> list[int]:
        found: list[int] = []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(leaving("the model", numbers(what, late=[])), found), 5)
        return found

    found, end, told = timed(run)
    assert (found, end) == ([1, 2], 5 + GRACE)
    assert [each.partition(" goes on")[0] for each in told] == ["the model"]


def test_a_stream_in_a_task_of_its_own() -> None:
    """A stream gives what it gives, then its error or its end; left early, it is closed first."""
    late: list[str] = []

    async def fail() -> None:
        raise OSError("lost")

    async def run() -> None:
        found: list[int] = []
        with pytest.raises(OSError, match="lost"):
            await read(leaving("x", numbers(fail, late=late)), found)
        assert found == [1, 2]
        assert [each async for each in leaving("x", numbers(lambda: asyncio.sleep(0), late=late))] == [1, 2]
        stream = leaving("x", numbers(survive, late=late))
        async with aclosing(stream):  # type: ignore[type-var]
            async for _ in stream:
                break

    _, end, told = timed(run)
    assert late == ["closed"] * 3
    assert (end, told) == (2, [])
