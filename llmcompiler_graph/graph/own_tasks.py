"""Calls one LangGraph `@task` per task of a plan, so that each is persisted the moment it is finished.

LangGraph knows a `@task` by the order of the calls, so they are made in an order that does not depend on timing: by
depth in the plan, then as written. Each adopts its early calls, or makes its calls once its inputs exist. After a crash
or an interrupt the finished ones come back from the checkpoint; only the others run.

What a `@task` costs LangGraph grows with the number of those that one graph has called. So a plan of many tasks is cut
into groups. Each group is a `@task`, which calls those of its tasks in a graph of their own and gives all their
results. A group whose tasks have all finished before it is called needs no `@task`s inside. So it is waited a moment
for, as long as one group after the other finishes like that: a plan of quick tools has few `@task`s, and what they
return is persisted a quarter of a second later at most.

A `max_concurrency` in the run's config limits tool calls, which the unit counts. LangGraph would also count the node
and every `@task` that waits for its inputs: with few slots, nothing could run. The threads of a synchronous run, where
tasks call `@task`s inside their own, are too few in the same way. In both cases the `@task`s are called in a graph of
their own inside the node, which has as many slots as they need.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint
from langgraph.func import task as langgraph_task

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.graph.human_answers import one_interrupt
from llmcompiler_graph.graph.plan_run import PlanRun
from llmcompiler_graph.graph.records import grouped, ungrouped
from llmcompiler_graph.state import GroupResult, TaskRecord, TaskResult

__all__ = ("results", "results_in_sync")


async def results(run: PlanRun) -> list[TaskResult]:
    """Run the tasks of a plan; return what each gives, in the run's order.

    Raises:
        GraphInterrupt: Tools ask a human by themselves, or calls one by one: all their interrupts at once.
        BaseException: What a tool raised that is not handled.
    """
    calls = partial(_acall_tasks, run)
    return await (_acall_inside(run, calls) if run.is_inside else calls())


def results_in_sync(run: PlanRun) -> list[TaskResult]:
    """Do the same for a synchronous caller."""
    calls = partial(_call_tasks, run)
    return _call_inside(run, calls) if run.is_inside else calls()


_IN_ONE_GROUP = 32  # tasks


async def _acall_tasks(run: PlanRun) -> list[TaskResult]:
    """Call the `@task`s of a plan; return what its tasks give, in order."""
    await run.approvals.aask()
    if len(run.order) <= _IN_ONE_GROUP:
        return _all_ended([await _acall_each(run, run.order)], run.approvals.unanswered)
    groups: list[Any] = []
    quick = True
    for records, following in _in_groups(run.order):
        quick = quick and await run.finishes_soon(records, following)
        group = _called("tasks", partial(_agroup, run, records))
        group.add_done_callback(run.restorer(records))
        groups.append(group)
    given = await asyncio.gather(*groups, return_exceptions=True)
    return _all_ended(map(_ungrouped, given), run.approvals.unanswered)


async def _agroup(run: PlanRun, records: Sequence[TaskRecord]) -> GroupResult:
    """Run the tasks of a group: in `@task`s of their own, unless all of them have finished."""
    if run.finished_early(records):
        return grouped([await run.body(record)() for record in records])

    async def call() -> list[TaskResult]:
        return _all_ended([await _acall_each(run, records)])

    return grouped(await _acall_inside(run, call))


def _in_groups(records: Sequence[TaskRecord]) -> Iterator[tuple[Sequence[TaskRecord], Sequence[TaskRecord]]]:
    """Tasks in groups, each after those that it may wait for; with each group, the one after it."""
    groups = [records[start : start + _IN_ONE_GROUP] for start in range(0, len(records), _IN_ONE_GROUP)]
    return zip(groups, [*groups[1:], ()], strict=True)


def _ungrouped(given: GroupResult | BaseException) -> list[TaskResult] | BaseException:
    return given if isinstance(given, BaseException) else ungrouped(given)


_NO_PARAMETERS = inspect.Signature()


def _called(name: str, body: Callable[[], Any]) -> Any:
    """Call a `@task`; return its future."""
    function = partial(body)
    function.__signature__ = _NO_PARAMETERS  # type: ignore[attr-defined]  # LangGraph would look for it in each call
    return langgraph_task(name=name)(function)()


async def _acall_each(run: PlanRun, records: Sequence[TaskRecord]) -> list[TaskResult | BaseException]:
    """Call a `@task` for each task."""
    futures: list[Any] = []
    for record in records:
        future = _called(record["tool"], run.body(record))
        future.add_done_callback(run.restorer([record]))
        futures.append(future)
    return list(await asyncio.gather(*futures, return_exceptions=True))


# the same for a synchronous caller


def _call_tasks(run: PlanRun) -> list[TaskResult]:
    run.approvals.ask()
    if len(run.order) <= _IN_ONE_GROUP:
        return _all_ended([_call_each(run, run.order)], run.approvals.unanswered)
    groups: list[Any] = []
    quick = True
    for records, following in _in_groups(run.order):
        quick = quick and run_in_background(run.finishes_soon(records, following), loop=run.loop, patience=run.patience)
        group = _called("tasks", partial(_group, run, records))
        group.add_done_callback(run.restorer(records))
        groups.append(group)
    concurrent.futures.wait(groups)
    given = [group.exception() or group.result() for group in groups]
    return _all_ended(map(_ungrouped, given), run.approvals.unanswered)


def _group(run: PlanRun, records: Sequence[TaskRecord]) -> GroupResult:
    if run.finished_early(records):
        return run_in_background(_agroup(run, records), loop=run.loop, patience=run.patience)
    return grouped(_call_inside(run, lambda: _all_ended([_call_each(run, records)])))


def _call_each(run: PlanRun, records: Sequence[TaskRecord]) -> list[TaskResult | BaseException]:
    futures: list[Any] = []
    for record in records:
        future = _called(record["tool"], _in_background(run, record))
        future.add_done_callback(run.restorer([record]))
        futures.append(future)
    concurrent.futures.wait(futures)
    return [future.exception() or future.result() for future in futures]


# -- a graph inside the node -------------------------------------------------------------------------------------------

_UNLIMITED: RunnableConfig = {"max_concurrency": 2**31 - 1}  # a missing limit would be taken from the run's own config

_calls: ContextVar[Callable[[], Any]] = ContextVar("llmcompiler_calls")


@contextmanager
def _current(calls: Callable[[], Any]) -> Iterator[None]:
    """Let the graph inside find what it calls: what is under way cannot be its input, which is persisted."""
    token = _calls.set(calls)
    try:
        yield
    except GraphInterrupt as error:
        raise one_interrupt([error]) from None
    finally:
        _calls.reset(token)


@entrypoint()
async def _ainside(plan_id: str) -> list[TaskResult]:
    return cast("list[TaskResult]", await _calls.get()())


@entrypoint()
def _inside(plan_id: str) -> list[TaskResult]:
    return cast("list[TaskResult]", _calls.get()())


# not called by the node's own function: LangGraph would draw the graph inside in place of the node


async def _acall_inside(run: PlanRun, calls: Callable[[], Coroutine[Any, Any, list[TaskResult]]]) -> list[TaskResult]:
    """Call `@task`s in a graph of their own."""
    with _current(calls):
        return cast("list[TaskResult]", await _ainside.ainvoke(run.plan_id, _UNLIMITED))


def _call_inside(run: PlanRun, calls: Callable[[], list[TaskResult]]) -> list[TaskResult]:
    """Do the same for a synchronous caller, whose threads are limited unless `@task`s wait for others of their own."""
    with _current(calls):
        return cast("list[TaskResult]", _inside.invoke(run.plan_id, _UNLIMITED if run.is_inside else None))


def _all_ended(
    groups: Iterable[Sequence[TaskResult | BaseException] | BaseException], unanswered: Sequence[BaseException] = ()
) -> list[TaskResult]:
    """Return what the `@task`s gave, once all have ended.

    Args:
        groups: What they gave or raised, by group; or what a whole group raised.
        unanswered: Questions that humans have not answered yet.

    Raises:
        GraphInterrupt: See `results`.
        BaseException: See `results`.
    """
    given = [each for group in groups for each in ([group] if isinstance(group, BaseException) else group)]
    errors = [each for each in given if isinstance(each, BaseException)]
    for error in errors:
        if not isinstance(error, GraphInterrupt):
            raise error
    if errors or unanswered:
        raise one_interrupt([*unanswered, *errors])
    return [each for each in given if not isinstance(each, BaseException)]


def _in_background(run: PlanRun, record: TaskRecord) -> Callable[[], TaskResult]:
    body = run.body(record)

    def call() -> TaskResult:
        return run_in_background(body(), loop=run.loop, patience=run.patience)

    return call
