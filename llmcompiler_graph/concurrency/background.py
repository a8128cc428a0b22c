"""Runs the nodes' coroutines for synchronous callers, on one event loop in a thread of its own.

`invoke` and `stream` must work without a loop and inside one (a notebook); tools that are only asynchronous must work
from them too, and calls must overlap. So the executor lives on this loop, and the caller's thread waits for it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

__all__ = ("iterate_in_thread", "run_in_background")

T = TypeVar("T")


_THREAD = "llmcompiler"
_making = threading.Lock()  # `cache` would let several threads make a loop each


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        while True:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # asyncio raises them here too, besides where the task is awaited
                continue
            else:
                return

    threading.Thread(target=run, name=_THREAD, daemon=True).start()
    return loop


if hasattr(os, "register_at_fork"):  # the thread stays behind in the parent: a child makes a loop of its own
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)
    os.register_at_fork(after_in_child=_loop.cache_clear)


def run_in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop, in the caller's context, and wait for it.

    If the wait is interrupted (Ctrl-C), the coroutine is cancelled.

    Raises:
        RuntimeError: The caller is itself a coroutine on that loop, which would wait for ever.
    """
    if threading.current_thread().name == _THREAD:
        coroutine.close()
        raise RuntimeError("an asynchronous tool cannot call `invoke` or `stream` of a graph: await `ainvoke`")
    with _making:
        loop = _loop()
    context = contextvars.copy_context()
    tasks: list[asyncio.Task[T]] = []
    ended = threading.Event()

    def start() -> None:
        tasks.append(loop.create_task(coroutine, context=context))
        tasks[0].add_done_callback(lambda _: ended.set())

    def cancel() -> None:
        for task in tasks:
            task.cancel()

    try:
        loop.call_soon_threadsafe(start)
        ended.wait()
    except BaseException:
        loop.call_soon_threadsafe(cancel)
        ended.wait(5)
        raise
    return tasks[0].result()


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
