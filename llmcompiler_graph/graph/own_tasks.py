"""Calls one LangGraph `@task` per task of a plan, so that each is persisted the moment it is finished.

LangGraph knows a `@task` by the order of the calls, so they are made in an order that does not depend on timing: by
depth in the plan, then as written. Each adopts its early calls, or makes its calls once its inputs exist. After a crash
or an interrupt the finished ones come back from the checkpoint; only the others run.

A plan whose tasks have all finished when it is complete, or an instant later, needs no `@task`: what the node returns
persists them. So tools that take no time cost little more than in a loop.

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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.graph.inner_graph import (
    IN_ONE_GROUP,
    OwnTask,
    acall_each,
    acall_inside,
    all_ended,
    call_each,
    call_inside,
    called,
)
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
    return await (acall_inside(run.plan_id, calls) if run.is_inside else calls())


def results_in_sync(run: PlanRun) -> list[TaskResult]:
    """Do the same for a synchronous caller."""
    calls = partial(_call_tasks, run)
    return call_inside(run.plan_id, calls, unlimited=True) if run.is_inside else calls()


async def _acall_tasks(run: PlanRun) -> list[TaskResult]:
    """Call the `@task`s of a plan; return what its tasks give, in order."""
    await run.approvals.aask()
    if await run.ends_at_once():
        return _finished(run)
    if len(run.order) <= IN_ONE_GROUP:
        return all_ended([await acall_each(_async_tasks(run, run.order))], run.approvals.unanswered)
    groups: list[Any] = []
    quick = True
    for records, following in _in_groups(run.order):
        quick = quick and await run.finishes_soon(records, following)
        group = called("tasks", partial(_agroup, run, records))
        group.add_done_callback(run.restorer(records))
        groups.append(group)
    given = await asyncio.gather(*groups, return_exceptions=True)
    return all_ended(map(_ungrouped, given), run.approvals.unanswered)


def _finished(run: PlanRun) -> list[TaskResult]:
    """What the tasks of a plan give that have all finished without `@task`s."""
    results = run.early_results(run.order)
    run.tell(results)
    return results


async def _agroup(run: PlanRun, records: Sequence[TaskRecord]) -> GroupResult:
    """Run the tasks of a group: in `@task`s of their own, unless all of them have finished."""
    if run.finished_early(records):
        return grouped(run.early_results(records))

    async def call() -> list[TaskResult]:
        return all_ended([await acall_each(_async_tasks(run, records))])

    return grouped(await acall_inside(run.plan_id, call))


def _async_tasks(run: PlanRun, records: Sequence[TaskRecord]) -> Iterator[OwnTask]:
    return (OwnTask(record["tool"], run.body(record), run.restorer([record])) for record in records)


def _in_groups(records: Sequence[TaskRecord]) -> Iterator[tuple[Sequence[TaskRecord], Sequence[TaskRecord]]]:
    """Tasks in groups, each after those that it may wait for; with each group, the one after it."""
    groups = [records[start : start + IN_ONE_GROUP] for start in range(0, len(records), IN_ONE_GROUP)]
    return zip(groups, [*groups[1:], ()], strict=True)


def _ungrouped(given: GroupResult | BaseException) -> list[TaskResult] | BaseException:
    return given if isinstance(given, BaseException) else ungrouped(given)


# the same for a synchronous caller


def _call_tasks(run: PlanRun) -> list[TaskResult]:
    run.approvals.ask()
    if run_in_background(run.ends_at_once(), loop=run.loop, patience=run.patience):
        return _finished(run)
    if len(run.order) <= IN_ONE_GROUP:
        return all_ended([call_each(_sync_tasks(run, run.order))], run.approvals.unanswered)
    groups: list[Any] = []
    quick = True
    for records, following in _in_groups(run.order):
        quick = quick and run_in_background(run.finishes_soon(records, following), loop=run.loop, patience=run.patience)
        group = called("tasks", partial(_group, run, records))
        group.add_done_callback(run.restorer(records))
        groups.append(group)
    concurrent.futures.wait(groups)
    given = [group.exception() or group.result() for group in groups]
    return all_ended(map(_ungrouped, given), run.approvals.unanswered)


def _group(run: PlanRun, records: Sequence[TaskRecord]) -> GroupResult:
    if run.finished_early(records):
        return grouped(run.early_results(records))

    def call() -> list[TaskResult]:
        return all_ended([call_each(_sync_tasks(run, records))])

    return grouped(call_inside(run.plan_id, call, unlimited=run.is_inside))


def _sync_tasks(run: PlanRun, records: Sequence[TaskRecord]) -> Iterator[OwnTask]:
    return (OwnTask(record["tool"], _in_background(run, record), run.restorer([record])) for record in records)


def _in_background(run: PlanRun, record: TaskRecord) -> Callable[[], TaskResult]:
    body = run.body(record)

    def call() -> TaskResult:
        return run_in_background(body(), loop=run.loop, patience=run.patience)

    return call
