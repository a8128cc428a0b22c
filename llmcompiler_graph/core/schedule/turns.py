"""Whose turn it is to begin, where a great many calls may begin at the same moment.

A hundred begin in each pass of the event loop, in order. So a task that fans out over a long list does not keep the
loop from others, and if its calls return at once, they are not all in memory.

>>> import asyncio
>>> async def main():
...     turns, begun = Turns(), []
...     async def call(n):
...         if (turn := turns.take()) is not None:
...             await turn
...         begun.append(n)
...     calls = [asyncio.ensure_future(call(n)) for n in range(1_000)]
...     await asyncio.sleep(0)
...     print(len(begun))
...     await asyncio.gather(*calls)
...     print(begun == list(range(1_000)))
>>> asyncio.run(main())
100
True

May know: nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ("Turns",)

_PER_PASS = 100


class Turns:
    """The turns of the calls of one task, on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = _PER_PASS
        self._goes_on = False  # whether there is a next pass to come

    def take(self) -> asyncio.Future[None] | None:
        """Take the next turn: `None` if it is now, or what to await."""
        if not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return None
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        return turn

    def _next(self) -> None:
        self._left = _PER_PASS
        while self._left and self._waiting:
            if not (turn := self._waiting.popleft()).done():  # else whoever waited was cancelled
                turn.set_result(None)
                self._left -= 1
        self._goes_on = bool(self._waiting)
        if self._goes_on:
            self._loop.call_soon(self._next)
