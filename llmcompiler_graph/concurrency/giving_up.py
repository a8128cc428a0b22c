"""Awaits what may take too long, and gives it up in time, whatever it does.

A coroutine that is cancelled may go on: it may catch the cancellation, or take its time to clean up. Whoever awaits it
goes on without it then, and a warning names it. It is left to itself, until it ends or its event loop is closed: the
next cancellation that it survives, which is that of `asyncio.run`, closes it.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, TypeVar, cast

__all__ = ("GRACE", "TimeIsUpError", "leaving", "within")

T = TypeVar("T")

GRACE = 1.0
"""Seconds that what is cancelled has to clean up, before it is given up."""


class TimeIsUpError(TimeoutError):
    """What was awaited has not ended in time."""


async def within(limit: float | None, name: str, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine, in a task of its own.

    If this is cancelled, the coroutine is, and has `GRACE` to end.

    Args:
        limit: How long it may take, in seconds; `None` for any time. It is not awaited longer, not even to clean up.
        name: What it is, for the warning if it goes on.
        coroutine: The coroutine.

    Raises:
        TimeIsUpError: The limit has passed.
        Exception: What the coroutine raised.
    """
    call = _Call(name, coroutine)
    try:
        await asyncio.wait({call.task}, timeout=limit)
    except asyncio.CancelledError:
        await call.cancel()
        raise
    if call.task.done():
        return call.task.result()
    call.give_up()
    raise TimeIsUpError


async def leaving(name: str, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """Iterate in a task of its own, so that it can be left at any moment.

    Close this iterator (`aclosing`): the other is then cancelled, and has `GRACE` to end.

    Args:
        name: What gives the items, for the warning if it goes on.
        items: The items.

    Raises:
        Exception: What the iterator raised.
    """
    found, more = deque[T](), asyncio.Event()

    async def pump() -> None:
        async with AsyncExitStack() as left:
            if isinstance(items, AsyncGenerator):
                left.push_async_callback(items.aclose)
            async for item in items:
                found.append(item)
                more.set()

    call = _Call(name, pump())
    call.task.add_done_callback(lambda _: more.set())
    try:
        while not call.task.done():
            await more.wait()
            more.clear()
            while found:
                yield found.popleft()
        call.task.result()
    finally:
        await call.cancel()


class _Call(Generic[T]):
    """A coroutine in a task of its own."""

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, T]) -> None:
        self._name = name
        self._coroutine = coroutine
        self._given_up = False
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)

    async def cancel(self) -> None:
        """Cancel it; give it up if it has not ended after `GRACE`."""
        if self.task.done() or self._given_up:
            return
        self.task.cancel()
        try:
            await asyncio.wait({self.task}, timeout=GRACE)
        finally:
            self._leave()
            self._tell()

    def give_up(self) -> None:
        """Cancel it and do not wait for it."""
        self.task.cancel()
        self._leave()
        asyncio.get_running_loop().call_later(GRACE, self._tell)

    def _leave(self) -> None:
        self._given_up = True
        _left.add(self.task)
        self.task.add_done_callback(_ended)

    def _tell(self) -> None:
        if not self.task.done():
            what = f"{self._name} goes on although it was cancelled {GRACE:g} s ago"
            advice = "nobody waits for it any more; it should let `asyncio.CancelledError` through"
            warnings.warn(f"{what}: {advice}", RuntimeWarning, stacklevel=2)

    async def _run(self) -> T:
        return await self

    def __await__(self) -> Generator[Any, Any, T]:
        """Drive the coroutine. Once it is given up, it is closed by the second cancellation that it does not end by."""
        step: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        cancellations, closing = 0, False
        while True:
            try:
                awaited = step(given)
            except StopIteration as end:
                return cast("T", end.value)
            if closing:
                with suppress(RuntimeError):  # it goes on even now: nothing drives it any more
                    self._coroutine.close()
                raise asyncio.CancelledError
            try:
                step, given = self._coroutine.send, (yield awaited)
            except BaseException as error:  # thrown in by the task, for the coroutine
                cancellations += isinstance(error, asyncio.CancelledError)
                closing = self._given_up and cancellations > 1
                step, given = self._coroutine.throw, error


_left: set[asyncio.Task[Any]] = set()  # else nobody would hold them


def _ended(task: asyncio.Task[Any]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # nobody asks for it
