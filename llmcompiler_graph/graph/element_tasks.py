"""Calls one LangGraph `@task` for a group of the calls of a task that fans out to many.

Inside, each call has a `@task` in a graph of their own, which persists it by itself, as the tasks of a large plan have
(see `own_tasks`). A group whose calls have all returned before it is called needs none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.graph.inner_graph import (
    OwnTask,
    acall_each,
    acall_inside,
    all_ended,
    call_each,
    call_inside,
    called,
)
from llmcompiler_graph.graph.records import grouped, to_record, ungrouped
from llmcompiler_graph.state import GroupResult, TaskResult

__all__ = ("Stoppable", "call_group")

_Bodies: TypeAlias = Mapping[int, Callable[[], Coroutine[Any, Any, TaskResult]]]
"""What the `@task` of each call does, by element."""


class Stoppable:
    """A coroutine for a `@task` that is not to be cancelled itself; if it is stopped, it gives no observation.

    LangGraph cannot cancel a `@task` in a thread, and would take a cancellation inside another for the end of the run.
    """

    def __init__(self, body: Callable[[], Coroutine[Any, Any, TaskResult]]) -> None:
        self._body = body
        self._running: asyncio.Task[TaskResult] | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> TaskResult:
        """Run it; give its record."""
        if self._stopped.is_set():
            return to_record(None)
        self._running = asyncio.ensure_future(self._body())
        try:
            return await self._running
        except asyncio.CancelledError:
            if not self._stopped.is_set():
                raise
            return to_record(None)

    def stop(self) -> None:
        """Cancel what runs of it; call it on its event loop."""
        self._stopped.set()
        if self._running is not None:
            self._running.cancel()


def call_group(
    name: str, named: str, bodies: _Bodies, *, returned: bool, sync: bool
) -> dict[int, asyncio.Future[TaskResult]]:
    """Call the `@task` of a group; return what each of its calls gives, by element.

    Args:
        name: The tool's.
        named: Names the task; the input of the graph inside.
        bodies: What is to be done.
        returned: Whether all of the calls have returned already.
        sync: Whether the graph was called synchronously.
    """
    loop = asyncio.get_running_loop()
    results: dict[int, asyncio.Future[TaskResult]] = {n: loop.create_future() for n in bodies}
    calls = {n: Stoppable(body) for n, body in bodies.items()}
    for n, result in results.items():
        result.add_done_callback(partial(_left, calls[n]))

    def tasks(body: Callable[[int], Callable[[], Any]]) -> Iterator[OwnTask]:
        return (OwnTask(f"{name}[{n}]", body(n), partial(_settle, results[n])) for n in bodies)

    async def agroup() -> GroupResult:
        if returned:
            return grouped([await body() for body in bodies.values()])

        async def call() -> list[TaskResult]:
            return all_ended([await acall_each(tasks(lambda n: calls[n].run))])

        return grouped(await acall_inside(named, call))

    def group() -> GroupResult:
        if returned:
            return run_in_background(agroup(), loop=loop)

        def in_background(n: int) -> Callable[[], TaskResult]:
            return lambda: run_in_background(calls[n].run(), loop=loop)

        def call() -> list[TaskResult]:
            return all_ended([call_each(tasks(in_background))])

        return grouped(call_inside(named, call, unlimited=True))

    future = called(f"{name}[{min(bodies)}:{max(bodies) + 1}]", group if sync else agroup)
    future.add_done_callback(partial(_settle_all, list(results.values())))
    return results


def _left(call: Stoppable, result: asyncio.Future[TaskResult]) -> None:
    """Stop a call that nobody waits for any more: the turn's time is over, or its task has ended."""
    if result.cancelled():
        call.stop()
    else:
        result.exception()  # perhaps nobody asks for it


def _settle(result: asyncio.Future[TaskResult], future: Any) -> None:
    """Give a call the result of its `@task`, from whatever thread."""
    error = None if future.cancelled() else future.exception()
    value = None if future.cancelled() or error else future.result()
    result.get_loop().call_soon_threadsafe(_end, result, value, error)


def _settle_all(results: list[asyncio.Future[TaskResult]], future: Any) -> None:
    """Do so for all calls of a group that have none yet: it came from a checkpoint, or has ended as a whole."""
    error = None if future.cancelled() else future.exception()
    values = [None] * len(results) if future.cancelled() or error else ungrouped(future.result())
    for result, value in zip(results, values, strict=True):
        result.get_loop().call_soon_threadsafe(_end, result, value, error)


def _end(result: asyncio.Future[TaskResult], value: TaskResult | None, error: BaseException | None) -> None:
    if result.done():
        return
    if error is not None:
        result.set_exception(error)
    elif value is not None:
        result.set_result(value)
    else:
        result.cancel()
