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
from llmcompiler_graph.graph.records import grouped, ungrouped
from llmcompiler_graph.state import GroupResult, TaskResult

__all__ = ("call_group",)

_Bodies: TypeAlias = Mapping[int, Callable[[], Coroutine[Any, Any, TaskResult]]]
"""What the `@task` of each call does, by element."""


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
    for result in results.values():
        result.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody asks for it

    def tasks(body: Callable[[int], Callable[[], Any]]) -> Iterator[OwnTask]:
        return (OwnTask(f"{name}[{n}]", body(n), partial(_settle, results[n])) for n in bodies)

    async def agroup() -> GroupResult:
        if returned:
            return grouped([await body() for body in bodies.values()])

        async def call() -> list[TaskResult]:
            return all_ended([await acall_each(tasks(bodies.__getitem__))])

        return grouped(await acall_inside(named, call))

    def group() -> GroupResult:
        if returned:
            return run_in_background(agroup(), loop=loop)

        def in_background(n: int) -> Callable[[], TaskResult]:
            return lambda: run_in_background(bodies[n](), loop=loop)

        def call() -> list[TaskResult]:
            return all_ended([call_each(tasks(in_background))])

        return grouped(call_inside(named, call, unlimited=True))

    future = called(f"{name}[{min(bodies)}:{max(bodies) + 1}]", group if sync else agroup)
    future.add_done_callback(partial(_settle_all, list(results.values())))
    return results


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
