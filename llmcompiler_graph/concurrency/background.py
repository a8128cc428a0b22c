"""Runs the nodes' coroutines for synchronous callers, on an event loop in a thread of its own that all of them share.

`invoke` and `stream` must work without a loop and inside one (a notebook); tools that are only asynchronous must work
from them too, and calls must overlap. So the executor lives on this loop, and the caller's thread waits for it.

What one caller's tool does to the loop must not hold up the others. A loop that is stopped goes on. One that has not
answered for `UNRESPONSIVE` seconds is blocked, by an asynchronous tool that waits or computes without `await`: a
warning says by which, and from then on callers use another loop. What had begun on the blocked one can only wait for
it. After a while (`PATIENCE`) its callers are told so by an error.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar, cast

from llmcompiler_graph.core.errors import LoopBlockedError

__all__ = ("PATIENCE", "iterate_in_thread", "run_in_background")

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds that a caller waits for a loop that is blocked."""
UNRESPONSIVE = 5.0
"""Seconds without an answer after which a loop counts as blocked."""
_LOOK_EVERY = 1.0
"""Seconds between two looks at a loop that somebody waits for."""
_MOST_LOOPS = 32
"""Loops there may be; only as many as are blocked at the same time are ever made."""

_THREAD = "llmcompiler"
_ADVICE = "a tool that waits or computes without `await` must be synchronous (`def`): it then runs in a thread"


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._asked: float | None = None  # when it was asked for a sign of life that it has not given yet
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # asyncio raises them here too, besides where the task is awaited
                continue
            self.loop.call_soon(_warn_stopped)

    def silent(self) -> float:
        """For how many seconds it has not answered; ask it for an answer."""
        now, asked = time.monotonic(), self._asked
        if asked is None:
            self._asked = asked = now
            self.loop.call_soon_threadsafe(self._answer)
        return now - asked

    def _answer(self) -> None:
        self._asked = None

    @property
    def blocked(self) -> bool:
        """Whether it has been asked for a sign of life and has given none for long."""
        return self._asked is not None and time.monotonic() - self._asked >= UNRESPONSIVE

    def blocked_by(self) -> str:
        """Say what it is at."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        where = f"at {frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else "at the end"
        while frame is not None:
            if (tool := frame.f_locals.get("called_tool")) is not None:  # as calls.runner names it
                return f"by the tool {tool!r}, {where}"
            frame = frame.f_back
        return where


def _warn_stopped() -> None:
    what = "the event loop that synchronous runs share was stopped; it goes on"
    warnings.warn(f"{what}: a tool must not call `stop` on the loop it runs on", RuntimeWarning, stacklevel=2)


class _Loops:
    """The loops there are, of which one is in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: list[_Loop] = []
        self._used: _Loop | None = None

    def usable(self) -> _Loop:
        """The loop in use; another, if that is blocked.

        Raises:
            LoopBlockedError: All loops there may be are blocked.
        """
        if self._used is not None:
            self.leave(self._used)
        with self._lock:
            if self._used is None:
                self._used = next((each for each in self._loops if not each.blocked), None)
            if self._used is None and len(self._loops) == _MOST_LOOPS:
                by = self._loops[-1].blocked_by()
                msg = f"all {_MOST_LOOPS} event loops of synchronous runs are blocked, the last {by}: {_ADVICE}"
                raise LoopBlockedError(msg)
            if self._used is None:
                self._used = _Loop()
                self._loops.append(self._used)
            return self._used

    def leave(self, loop: _Loop) -> None:
        """Use another loop from now on, if this is blocked, and say so."""
        with self._lock:
            if self._used is not loop or not loop.blocked:
                return
            self._used = None
            by = loop.blocked_by()
        what = f"the event loop that synchronous runs share has been blocked for {UNRESPONSIVE:g} s {by}"
        warnings.warn(f"{what}; later ones use another: {_ADVICE}", RuntimeWarning, stacklevel=2)

    def of(self, loop: asyncio.AbstractEventLoop) -> _Loop:
        """The one with that event loop."""
        return next(each for each in self._loops if each.loop is loop)


_loops = _Loops()


def _forget() -> None:
    global _loops  # noqa: PLW0603 (the threads of the old ones stay behind in the parent: a child makes its own)
    _loops = _Loops()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Waiting:
    """A coroutine that a caller waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[Any] | None = None
        self._begin = threading.Lock()  # held by who begins it or takes it back
        self.ended = threading.Event()

    def begin(self) -> None:
        """Begin it, on the loop this is called on."""
        if self._begin.acquire(blocking=False):
            self._task = asyncio.get_running_loop().create_task(self._coroutine, context=self._context)
            self._task.add_done_callback(lambda _: self.ended.set())

    def take_back(self) -> bool:
        """Keep it from beginning; whether it had not begun."""
        return self._begin.acquire(blocking=False)

    def cancel(self) -> None:
        """Cancel it, on the loop this is called on."""
        if self._task is not None:
            self._task.cancel()

    def result(self) -> Any:
        """What it gave, once it has ended."""
        assert self._task is not None
        return self._task.result()


def run_in_background(
    coroutine: Coroutine[Any, Any, T], *, loop: asyncio.AbstractEventLoop | None = None, patience: float = PATIENCE
) -> T:
    """Run a coroutine on the background loop, in the caller's context, and wait for it.

    If the wait is interrupted (Ctrl-C), the coroutine is cancelled.

    Args:
        coroutine: The coroutine.
        loop: The background loop it belongs to, as what it works with is there; `None` for the one that is in use.
        patience: How long to wait for that loop while it is blocked, in seconds.

    Raises:
        RuntimeError: The caller is itself a coroutine on such a loop, which would wait for ever.
        LoopBlockedError: The loop is blocked.
        Exception: What the coroutine raised.
    """
    try:
        if threading.current_thread().name == _THREAD:
            raise RuntimeError("an asynchronous tool cannot call `invoke` or `stream` of a graph: await `ainvoke`")
        home = _loops.usable() if loop is None else _loops.of(loop)
    except BaseException:
        coroutine.close()
        raise
    waiting = _Waiting(coroutine)
    try:
        home.loop.call_soon_threadsafe(waiting.begin)
        while not waiting.ended.wait(_LOOK_EVERY):
            silent = home.silent()
            if not home.blocked:
                continue
            _loops.leave(home)
            if loop is None and waiting.take_back():
                waiting = _Waiting(coroutine)
                home = _loops.usable()
                home.loop.call_soon_threadsafe(waiting.begin)
            elif silent >= patience:
                msg = f"the event loop that this run shares with others has been blocked for {silent:.0f} s"
                raise LoopBlockedError(f"{msg} {home.blocked_by()}: {_ADVICE}")
    except BaseException as error:
        if waiting.take_back():
            coroutine.close()
        else:
            home.loop.call_soon_threadsafe(waiting.cancel)
            if not isinstance(error, LoopBlockedError):
                waiting.ended.wait(5)
        raise
    return cast("T", waiting.result())


async def iterate_in_thread(make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Iterate in a thread, in the current context: a synchronous model's stream for an asynchronous node."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    stopped = threading.Event()

    def put(kind: str, item: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(items.put_nowait, (kind, item))

    def pump() -> None:
        try:
            for item in make():
                put("item", item)
                if stopped.is_set():
                    break
        except BaseException as error:  # raised again where the items are awaited
            put("error", error)
        else:
            put("end", None)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(pump,), name="llmcompiler-model", daemon=True).start()
    try:
        while True:
            match await items.get():
                case "item", item:
                    yield item
                case "error", error:
                    raise error
                case _:
                    return
    finally:
        stopped.set()
