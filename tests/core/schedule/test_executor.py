"""The executor on a virtual clock: exact times, no sleeps."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcompiler_graph.core.language.plan import Observation, Plan, Task, ToolSpec
from llmcompiler_graph.core.language.references import ALL, Reference
from llmcompiler_graph.core.schedule.executor import Call, Executor, Suspended, Timing, run_plan
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.core.schedule.unit import TaskFetchingUnit
from llmcompiler_graph.testing import run_virtual
from tests.core.schedule.test_unit import opcodes


def sleep_task(index: int, seconds: float, *after: int, tool: str = "sleep") -> Task:
    """A task that takes some seconds."""
    return Task(index, tool, {"seconds": seconds}, after=after)


async def sleep(start: Start) -> Observation:
    """The tool of those tasks."""
    seconds = start.arguments["seconds"]
    assert isinstance(seconds, float | int)
    await asyncio.sleep(seconds)
    return Observation("done", seconds)


def noting_ends() -> tuple[Call, list[int]]:
    """The same tool, and the tasks whose calls have ended, finished or not."""
    ended: list[int] = []

    async def call(start: Start) -> Observation:
        try:
            return await sleep(start)
        finally:
            ended.append(start.index)

    return call, ended


def finish_time(tasks: Sequence[Task], unit: Callable[[], TaskFetchingUnit] = TaskFetchingUnit) -> float:
    """When a plan is finished, in virtual seconds."""

    async def main() -> float:
        await run_plan(Plan(tuple(tasks)), sleep, unit())
        return asyncio.get_running_loop().time()

    return run_virtual(main)


@pytest.mark.parametrize(
    ("tasks", "seconds"),
    [
        pytest.param([sleep_task(n, 0.5) for n in range(1, 9)], 0.5, id="wide"),
        pytest.param([sleep_task(1, 2), sleep_task(2, 0.2), sleep_task(3, 2, 2)], 2.2, id="stair"),
        pytest.param([sleep_task(n, 0.05, *([n - 1] if n > 1 else [])) for n in range(1, 5)], 0.2, id="chain"),
        pytest.param([], 0, id="empty"),
    ],
)
def test_exact_times(tasks: list[Task], seconds: float) -> None:
    """A plan takes as long as its longest chain, to the microsecond."""
    assert finish_time(tasks) == pytest.approx(seconds, abs=1e-6)


@st.composite
def dags(draw: st.DrawFn) -> list[Task]:
    """Plans of up to 12 tasks with any references backwards, and times of whole tenths."""
    tasks: list[Task] = []
    for index in range(1, draw(st.integers(1, 12)) + 1):
        earlier = st.integers(1, index - 1) if index > 1 else st.nothing()
        after = sorted(draw(st.sets(earlier, max_size=3))) if index > 1 else []
        tasks.append(sleep_task(index, draw(st.integers(0, 20)) / 10, *after))
    return tasks


def seconds_of(task: Task) -> float:
    """How long a task takes."""
    seconds = task.arguments["seconds"]
    assert isinstance(seconds, float | int)
    return seconds


def critical_path(tasks: list[Task]) -> float:
    """The length of the longest chain, in seconds."""
    ends: dict[int, float] = {}
    for task in tasks:
        ends[task.index] = max((ends[n] for n in task.after), default=0.0) + seconds_of(task)
    return max(ends.values())


@settings(deadline=None)
@given(dags())
def test_critical_path(tasks: list[Task]) -> None:
    """Without limits, any plan ends with its critical path: no barrier, no polling, nothing waits for a stranger."""
    assert finish_time(tasks) == pytest.approx(critical_path(tasks), abs=1e-6)


@settings(deadline=None)
@given(dags(), st.integers(1, 3))
def test_limits_keep_all_places_busy(tasks: list[Task], limit: int) -> None:
    """With a limit, a plan takes no less than its work allows, and no longer than Graham's bound for greedy ones."""
    work, path = sum(map(seconds_of, tasks)), critical_path(tasks)
    took = finish_time(tasks, lambda: TaskFetchingUnit(max_concurrency=limit))
    assert max(path, work / limit) - 1e-6 <= took <= work / limit + path * (limit - 1) / limit + 1e-6


def test_critical_path_goes_first() -> None:
    """Where there is one slot, the call the longest chain waits for is made before those written earlier."""
    tasks = [sleep_task(1, 1), sleep_task(2, 1), sleep_task(3, 1), sleep_task(4, 1, 3), sleep_task(5, 1, 4)]
    order: list[int] = []

    async def call(start: Start) -> Observation:
        order.append(start.index)
        return await sleep(start)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(max_concurrency=1))
        runs = [asyncio.ensure_future(executor.run(task.index, call)) for task in tasks]
        blocker = sleep_task(9, 0.5)
        executor.add(blocker)
        block = asyncio.ensure_future(executor.run(9, call))
        await asyncio.sleep(0.1)
        for task in tasks:
            executor.add(task)
        await asyncio.gather(block, *runs)

    run_virtual(main)
    assert order == [9, 3, 4, 1, 2, 5]


def early_run(main: Callable[[Executor, list[Any]], Any], **unit: Any) -> list[Any]:
    """Run something with an executor whose early calls sleep; return the moments it told of, with their times."""
    moments: list[Any] = []

    async def start() -> None:
        loop = asyncio.get_running_loop()
        executor = Executor(
            TaskFetchingUnit(**unit), sleep, on_event=lambda moment, index: moments.append((loop.time(), moment, index))
        )
        await main(executor, moments)
        await executor.aclose()

    run_virtual(start)
    return moments


def test_starts_between_two_lines() -> None:
    """While the plan is written, a task whose dependency ends between two lines starts at once."""

    async def main(executor: Executor, _: list[Any]) -> None:
        executor.add(sleep_task(1, 0.3))
        executor.add(sleep_task(2, 1, 1))
        await asyncio.sleep(2)  # the next line of the plan takes its time
        executor.add(sleep_task(3, 1))
        assert (await executor.run(2, sleep)).value == 1

    moments = early_run(main)
    assert (0.3, "started", 2) in moments
    assert (1.3, "done", 2) in moments
    assert (2.0, "started", 3) in moments


def test_adopts_early_calls() -> None:
    """Whoever runs a task takes over its early call: it is not made twice, and counts as early."""

    async def main(executor: Executor, _: list[Any]) -> None:
        executor.add(sleep_task(1, 1))
        await asyncio.sleep(0.4)

        async def never(_: Start) -> Observation:
            raise AssertionError

        assert (await executor.run(1, never)).value == 1
        assert executor.timings[1] == Timing(released=0, started=0, finished=1, early=True)

    early_run(main)


def test_held_tools_wait_to_be_run() -> None:
    """A tool with effects is not called early, however long the plan takes to be written."""

    async def main(executor: Executor, moments: list[Any]) -> None:
        executor.add(sleep_task(1, 1, tool="write"))
        await asyncio.sleep(5)
        assert moments == [(0, "released", 1)]
        await executor.run(1, sleep)
        assert executor.timings[1] == Timing(released=0, started=5, finished=6, early=False)

    early_run(main, tools=[ToolSpec("write", read_only=False)])


def test_suspended_calls_are_made_again() -> None:
    """An early call that needs a human is made again where the task is run; its dependents wait for that."""
    made: list[str] = []

    async def early(_: Start) -> Observation:
        made.append("early")
        raise Suspended

    async def body(start: Start) -> Observation:
        made.append("body")
        return await sleep(start)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), early)
        executor.add(sleep_task(1, 1))
        executor.add(sleep_task(2, 1, 1))
        await asyncio.sleep(3)
        outcomes = await asyncio.gather(executor.run(1, body), executor.run(2, body))
        assert [outcome.value for outcome in outcomes] == [1, 1]
        assert asyncio.get_running_loop().time() == 5
        await executor.aclose()

    run_virtual(main)
    assert made == ["early", "body", "body"]


def test_what_a_call_raises() -> None:
    """What a call raises ends its task and those that wait for it, for whoever runs them, and nobody else."""

    async def call(start: Start) -> Observation:
        if start.index == 1:
            raise LookupError("no such thing")
        return await sleep(start)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit())
        for task in (sleep_task(1, 1), sleep_task(2, 1, 1), sleep_task(3, 1)):
            executor.add(task)
        outcomes = await asyncio.gather(*(executor.run(n, call) for n in (1, 2, 3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LookupError, LookupError, Observation]
        await executor.aclose()

    run_virtual(main)


def test_a_tool_that_cancels_itself() -> None:
    """A call that is cancelled from within is a failed one: nothing behind it waits for ever."""

    async def call(_: Start) -> Observation:
        raise asyncio.CancelledError

    async def main() -> None:
        outcomes = await run_plan(Plan((sleep_task(1, 1), sleep_task(2, 1, 1))), call)
        assert outcomes[1] == Observation("failed", error="the tool's call was cancelled")
        assert outcomes[2].status == "skipped"

    run_virtual(main)


def test_close_cancels_what_is_under_way() -> None:
    """Closing ends every call under way, and leaves no task behind."""
    call, ended = noting_ends()

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), call)
        for n in (1, 2):
            executor.add(sleep_task(n, 100))
        await asyncio.sleep(1)
        await executor.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(asyncio.CancelledError):
            await executor.run(1, call)

    run_virtual(main)
    assert sorted(ended) == [1, 2]


def test_run_plan_raises() -> None:
    """A plan run outside of a graph raises what a call raises, and cancels the others."""

    async def call(start: Start) -> Observation:
        if start.index == 1:
            raise LookupError("no such thing")
        return await sleep(start)

    async def main() -> None:
        with pytest.raises(LookupError, match="no such thing"):
            await run_plan(Plan((sleep_task(1, 1), sleep_task(2, 100))), call)
        assert asyncio.get_running_loop().time() == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_restores() -> None:
    """A task finished in an earlier process is not run; those behind it go on with what it gave."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(held=["sleep"]), sleep)
        executor.add(sleep_task(1, 9))
        executor.add(Task(2, "sleep", {"seconds": Reference(1)}))
        timing = Timing(0, 1, 2, early=True)
        executor.restore(1, Observation("done", 3), timing, [{"seconds": 9}])
        executor.restore(1, Observation("done", 4), Timing(), [])
        assert executor.timings[1] is timing
        assert (await executor.run(1, sleep)).value == 3
        assert (await executor.run(2, sleep)).value == 3
        assert asyncio.get_running_loop().time() == 3

    run_virtual(main)


def test_fans_out() -> None:
    """A task that fans out makes its calls at the same time, and gives the list in order."""

    async def main() -> None:
        plan = Plan((Task(1, "sleep", {"seconds": 0}), Task(2, "sleep", {"seconds": Reference(1, (ALL,))})))

        async def call(start: Start) -> Observation:
            if start.index == 1:
                return Observation("done", [3, 1, 2])
            return await sleep(start)

        outcomes = await run_plan(plan, call)
        assert outcomes[2].value == [3, 1, 2]
        assert asyncio.get_running_loop().time() == 3

    run_virtual(main)


def test_a_listener_that_raises() -> None:
    """An error in who listens to the moments ends the run: it is not swallowed, and nobody waits for ever."""

    def listen(moment: str, _: int) -> None:
        if moment == "done":
            raise RuntimeError("listener")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="listener"):
            await run_plan(Plan((sleep_task(1, 1), sleep_task(2, 1, 1))), sleep, on_event=listen)

    run_virtual(main)


def test_a_listener_that_raises_late() -> None:
    """What was finished before an error in who listens stays so; who waits for the rest is told of the error."""

    def listen(moment: str, index: int) -> None:
        if (moment, index) == ("done", 2):
            raise RuntimeError("listener")

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), on_event=listen)
        executor.add(sleep_task(1, 1))
        executor.add(sleep_task(2, 2))
        runs = (executor.run(n, sleep) for n in (1, 2))
        done, failed = await asyncio.gather(*runs, return_exceptions=True)
        assert done == Observation("done", 1)
        assert isinstance(failed, RuntimeError)
        assert await executor.run(1, sleep) == done

    run_virtual(main)


def test_what_no_program_should_catch() -> None:
    """What is no `Exception` (a panic of a library in Rust) ends everything, also what comes only later."""

    class Panic(BaseException):
        """Out of bounds."""

    async def early(start: Start) -> Observation:
        if start.index == 1:
            raise Panic
        return await sleep(start)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), early)
        executor.add(sleep_task(1, 0))
        await asyncio.sleep(1)
        executor.add(sleep_task(2, 1, 1))
        for index in (1, 2):
            with pytest.raises(Panic):
                await asyncio.wait_for(executor.run(index, sleep), 10)

    run_virtual(main)


def test_a_task_that_was_only_known_to_be_unusable() -> None:
    """A rejected index can be taken by a task that comes later."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), sleep)
        executor.reject(1, "not a call")
        assert (await executor.run(1, sleep)).error == "not a call"
        await asyncio.sleep(1)
        executor.add(sleep_task(1, 1))
        assert executor.timings == {1: Timing(released=1, started=1)}
        assert (await executor.run(1, sleep)).value == 1
        assert executor.timings == {1: Timing(released=1, started=1, finished=2)}
        await executor.aclose()

    run_virtual(main)


def test_calls_nobody_can_make_yet_take_no_place() -> None:
    """Without early calls, slots are for tasks that somebody runs: one that nobody runs keeps nobody waiting."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(max_concurrency=1))
        executor.add(sleep_task(1, 1))
        executor.add(sleep_task(2, 1))
        assert (await executor.run(2, sleep)).value == 1
        assert executor.timings[1] == Timing(released=0)
        assert executor.timings[2] == Timing(released=0, started=0, finished=1)
        executor.add(sleep_task(3, 1))
        executor.restore(1, Observation("done", 7), Timing())  # it was finished in an earlier process, as it turns out
        assert (await executor.run(3, sleep)).value == 1

    run_virtual(main)


@pytest.mark.parametrize(("limit", "seconds"), [(None, 1), (6, 1), (4, 2), (2, 3), (1, 6)])
def test_exact_times_with_limits(limit: int | None, seconds: float) -> None:
    """Six calls of a second take as many seconds as there are turns."""
    tasks = [sleep_task(n, 1) for n in range(1, 7)]
    assert finish_time(tasks, lambda: TaskFetchingUnit(max_concurrency=limit)) == seconds
    assert finish_time(tasks, lambda: TaskFetchingUnit(tool_concurrency={"sleep": limit or 9})) == seconds


def test_what_an_early_call_raises() -> None:
    """What an early call raises is raised where its task or what waits for it runs; it is not made again."""
    made: list[int] = []

    async def early(start: Start) -> Observation:
        made.append(start.index)
        await asyncio.sleep(1)
        if start.index == 1:
            raise LookupError("no such thing")
        return Observation("done", start.index)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit([ToolSpec("read", read_only=True)]), early)
        executor.add(Task(1, "read", {"x": 1}))
        executor.add(Task(2, "read", {"x": 1}))  # the same call
        executor.add(Task(3, "other", after=(2,)))
        executor.add(Task(4, "other"))
        await asyncio.sleep(2)
        executor.add(Task(5, "read", {"x": 1}))
        executor.add(Task(6, "other", after=(5, 4)))
        executor.add(Task(7, "other", after=(4,)))
        runs = [executor.run(n, early) for n in (1, 2, 3, 5, 6, 4, 7)]
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LookupError] * 5 + [Observation] * 2
        with pytest.raises(LookupError, match="no such thing"):
            await executor.run(1, early)
        await executor.aclose()

    run_virtual(main)
    assert made == [1, 4, 7]


def test_one_of_several_calls_raises() -> None:
    """If one call of a task that fans out raises, the task ends with it; those under way go on, no other begins."""
    begun: list[int | None] = []

    async def call(start: Start) -> Observation:
        begun.append(start.element)
        if start.element == 1:
            raise LookupError("no such thing")
        return await sleep(start)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(max_concurrency=2))
        executor.restore_earlier(1, Observation("done", [3, 1, 1]))
        executor.add(Task(2, "sleep", {"seconds": Reference(1, (ALL,))}))
        with pytest.raises(LookupError, match="no such thing"):
            await executor.run(2, call)
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(4)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert begun == [0, 1]


def test_one_of_several_calls_raises_at_once() -> None:
    """No call begins that was to begin at the same time as the one that raises, but after it."""
    begun: list[int | None] = []

    async def call(start: Start) -> Observation:
        begun.append(start.element)
        raise LookupError

    async def main() -> None:
        executor = Executor(TaskFetchingUnit())
        executor.restore_earlier(1, Observation("done", [1, 2, 3]))
        executor.add(Task(2, "sleep", {"seconds": Reference(1, (ALL,))}))
        with pytest.raises(LookupError):
            await executor.run(2, call)
        await executor.aclose()

    run_virtual(main)
    assert begun == [0]


def test_suspended_while_somebody_comes_to_run_it() -> None:
    """An early call that finds out it needs a human only once its task is run is made again at once."""

    async def early(_: Start) -> Observation:
        await asyncio.sleep(1)
        raise Suspended

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(max_concurrency=1), early)
        executor.add(sleep_task(1, 1))
        assert (await executor.run(1, sleep)).value == 1
        assert executor.timings[1] == Timing(released=0, started=1, finished=2, early=False)

    run_virtual(main)


def test_what_the_calls_of_a_task_ask_is_raised_together() -> None:
    """Of three calls, two at a time, the first and the last ask: once all are back, in order, also behind the task."""

    async def call(start: Start) -> Observation:
        if start.index == 1:
            return Observation("done", [3, 1, 1])
        await asyncio.sleep(float(str(start.arguments["seconds"])))
        if start.element == 1:
            return Observation("done")
        raise Suspended(f"question {start.element}")

    async def main() -> None:
        spread = Task(2, "wait", {"seconds": Reference(1, (ALL,))})
        executor = Executor(TaskFetchingUnit(max_concurrency=2))
        for task in (Task(1, "list"), spread, Task(3, "wait", {"seconds": Reference(2)})):
            executor.add(task)
        runs = [asyncio.ensure_future(executor.run(n, call)) for n in (1, 2, 3)]
        _, asked, behind = await asyncio.gather(*runs, return_exceptions=True)
        assert isinstance(asked, Suspended)
        assert asked.args == ("question 0", "question 2")
        assert behind is asked
        assert asyncio.get_running_loop().time() == 3

    run_virtual(main)


def test_what_equal_calls_of_a_task_ask_is_raised_once() -> None:
    """A call that asks is not waited for by those that it was to serve."""

    async def call(start: Start) -> Observation:
        raise Suspended(f"question {start.element}")

    async def main() -> None:
        unit = TaskFetchingUnit([ToolSpec("ask", read_only=True)])
        unit.restore(1, Observation("done", ["a", "a", "b"]))
        executor = Executor(unit)
        executor.add(Task(2, "ask", {"x": Reference(1, (ALL,))}))
        with pytest.raises(Suspended) as asked:
            await asyncio.wait_for(executor.run(2, call), 60)
        assert asked.value.args == ("question 0", "question 2")

    run_virtual(main)


def test_a_call_that_is_run_cannot_be_suspended() -> None:
    """`Suspended` where a task is run is raised: making the call again would never end."""

    async def call(_: Start) -> Observation:
        raise Suspended

    async def main() -> None:
        with pytest.raises(Suspended):
            await run_plan(Plan((sleep_task(1, 1),)), call)

    run_virtual(main)


def test_a_tool_that_cancels_its_own_task() -> None:
    """However a tool cancels itself, its task fails."""

    async def call(_: Start) -> Observation:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        raise AssertionError

    async def main() -> None:
        outcomes = await run_plan(Plan((sleep_task(1, 1),)), call)
        assert outcomes[1].error == "the tool's call was cancelled"

    run_virtual(main)


def test_closing_waits_for_calls_to_end() -> None:
    """Calls that clean up, or do not mind being cancelled, are waited for; what they give starts nothing."""
    made: list[int] = []

    async def stubborn(start: Start) -> Observation:
        made.append(start.index)
        try:
            return await sleep(start)
        except asyncio.CancelledError:
            await asyncio.sleep(2)
            return Observation("done", 0)

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(max_concurrency=1), stubborn)
        for n in (1, 2):
            executor.add(sleep_task(n, 100))
        executor.add(sleep_task(3, 100, 1))
        waiting = asyncio.ensure_future(executor.run(3, stubborn))
        await asyncio.sleep(1)
        await executor.aclose()
        assert asyncio.get_running_loop().time() == 3
        assert waiting.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert made == [1]


def test_nothing_starts_once_cancelled() -> None:
    """What is added after `cancel()` is not started, and whoever runs it is cancelled instead of waiting for ever."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), sleep)
        executor.cancel()
        executor.add(sleep_task(1, 1))
        for n in (1, 2):
            with pytest.raises(asyncio.CancelledError):
                await executor.run(n, sleep)
        await executor.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_whoever_stops_waiting_does_not_stop_the_call() -> None:
    """A run that is cancelled leaves the call under way: another run adopts it."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit())
        executor.add(sleep_task(1, 2))
        run = asyncio.ensure_future(executor.run(1, sleep))
        await asyncio.sleep(1)
        run.cancel()
        assert (await executor.run(1, sleep)).value == 2
        assert asyncio.get_running_loop().time() == 2

    run_virtual(main)


def test_a_cancelled_plan_leaves_nothing() -> None:
    """Cancelling `run_plan` cancels its calls and leaves no task behind."""
    call, ended = noting_ends()

    async def main() -> None:
        tasks = (sleep_task(1, 100), sleep_task(2, 100), sleep_task(3, 100, 1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await run_plan(Plan(tasks), call)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    assert sorted(ended) == [1, 2]


def test_a_plan_that_raises_leaves_nothing() -> None:
    """Tasks that still wait when a call raises, even for what will never come, are not left waiting."""

    async def call(_: Start) -> Observation:
        raise LookupError("no such thing")

    async def main() -> None:
        with pytest.raises(LookupError, match="no such thing"):
            await run_plan(Plan((sleep_task(1, 1), sleep_task(2, 1, 99))), call)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_every_moment_is_told() -> None:
    """1 → 2, 3 ✗ → 4, 5 ≡ 2's call: each task's moments in order, at their times; what never started does not start."""
    moments: list[tuple[float, str, int]] = []
    plan = Plan(
        (
            sleep_task(1, 1),
            sleep_task(2, 2, 1, tool="read"),
            Task(3, "fail"),
            sleep_task(4, 9, 3),
            sleep_task(5, 2, 1, tool="read"),
        )
    )

    async def call(start: Start) -> Observation:
        return Observation("failed", error="boom") if start.index == 3 else await sleep(start)

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        unit = TaskFetchingUnit([ToolSpec("read", read_only=True)])
        await run_plan(plan, call, unit, on_event=lambda moment, index: moments.append((clock(), moment, index)))

    run_virtual(main)
    assert moments == [
        (0, "released", 1),
        (0, "released", 3),
        (0, "started", 1),
        (0, "started", 3),
        (0, "failed", 3),
        (0, "skipped", 4),
        (1, "done", 1),
        (1, "released", 2),
        (1, "released", 5),
        (1, "started", 2),
        (3, "done", 2),
        (3, "done", 5),
    ]


def test_no_time_is_left() -> None:
    """Every unfinished task fails, what runs is cancelled; what is finished stays, and nobody waits any more."""
    call, ended = noting_ends()

    async def main() -> list[Observation]:
        executor = Executor(TaskFetchingUnit())
        for task in (sleep_task(1, 1), sleep_task(2, 9), sleep_task(3, 1, 2)):
            executor.add(task)
        runs = [asyncio.ensure_future(executor.run(n, call)) for n in (1, 2, 3)]
        await asyncio.sleep(2)
        executor.expire("the deadline of 2 s")
        observations = await asyncio.gather(*runs)
        await executor.aclose()
        assert asyncio.get_running_loop().time() == 2
        return observations

    assert run_virtual(main) == [
        Observation("done", 1),
        Observation("failed", error="the deadline of 2 s passed while it ran"),
        Observation("failed", error="the deadline of 2 s passed before it could start"),
    ]
    assert ended == [1, 2]


def test_the_early_calls_of_a_fan_out_are_known() -> None:
    """Whoever runs a task that fans out sees its early calls in order of the elements, until it is finished."""

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), sleep)
        executor.restore_earlier(1, Observation("done", [2, 1]))
        executor.add(Task(2, "sleep", {"seconds": Reference(1, (ALL,))}))
        executor.add(sleep_task(3, 1))
        begun = executor.begun(2, range(2))
        assert list(begun) == [0, 1]
        assert executor.begun(3, range(1)) == {}
        assert [await call for call in begun.values()] == [Observation("done", 2), Observation("done", 1)]
        assert await executor.run(2, sleep) == Observation("done", [2, 1], attachment=(None, None))
        assert executor.begun(2, range(2)) == {}
        await executor.aclose()

    run_virtual(main)


# -- more calls than begin at once -------------------------------------------------------------------------------------

WIDE = 250


def noting_begins() -> tuple[Call, list[int]]:
    """The tool, and the elements whose calls have begun."""
    begun: list[int] = []

    async def call(start: Start) -> Observation:
        assert start.element is not None
        begun.append(start.element)
        return await sleep(start)

    return call, begun


def wide(executor: Executor) -> None:
    """Add task 2, which sleeps for a second in each of very many calls."""
    executor.restore_earlier(1, Observation("done", [1] * WIDE))
    executor.add(Task(2, "sleep", {"seconds": Reference(1, (ALL,))}))


def test_a_wide_fan_out_leaves_the_loop_to_others() -> None:
    """Not all its calls begin before others have their turn; all begin at the same time, in order, each once."""
    call, begun = noting_begins()

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), call)
        wide(executor)
        assert len(executor.begun(2, range(WIDE))) == WIDE
        await asyncio.sleep(0)
        assert 0 < len(begun) < WIDE
        assert (await executor.run(2, call)).value == [1] * WIDE
        assert asyncio.get_running_loop().time() == 1
        await executor.aclose()

    run_virtual(main)
    assert begun == list(range(WIDE))


@pytest.mark.parametrize("limit", [1, 99, 150, 249])
@pytest.mark.parametrize("limited", ["max_concurrency", "tool_concurrency"])
@pytest.mark.parametrize("claimed", [False, True])
def test_a_wide_fan_out_begins_in_order(limit: int, limited: str, claimed: bool) -> None:
    """Whatever slots are left when calls return: LangGraph tells `@task`s apart by their order."""
    call, begun = noting_begins()

    async def main() -> None:
        given = {limited: limit if limited == "max_concurrency" else {"sleep": limit}}
        executor = Executor(TaskFetchingUnit(**given), None if claimed else call)  # type: ignore[arg-type]
        wide(executor)
        await executor.run(2, call)
        assert asyncio.get_running_loop().time() == -(-WIDE // limit)
        await executor.aclose()

    run_virtual(main)
    assert begun == list(range(WIDE))


def test_calls_that_are_gathered_begin_at_once() -> None:
    """Of tools whose calls wait for each other, all begin before anything else happens."""
    call, begun = noting_begins()

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), call, gathered={"sleep"})
        wide(executor)
        await asyncio.sleep(0)
        assert len(begun) == WIDE
        await executor.aclose()

    run_virtual(main)


@pytest.mark.parametrize("end", ["expire", "aclose"])
def test_it_is_over_before_all_calls_have_begun(end: str) -> None:
    """None begins any more; at a deadline the task fails as one whose calls are under way."""
    call, begun = noting_begins()

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), call)
        wide(executor)
        await asyncio.sleep(0)
        before = len(begun)
        if end == "expire":
            executor.expire("the deadline")
            assert executor.observation(2) == Observation("failed", error="the deadline passed while it ran")
        else:
            await executor.aclose()
        await asyncio.sleep(2)
        assert len(begun) == before < WIDE
        await executor.aclose()

    run_virtual(main)


def test_no_call_begins_after_one_has_raised() -> None:
    """Of a wide task whose first call raises, not all calls are made; the error is raised at once."""
    begun: list[int | None] = []

    async def call(start: Start) -> Observation:
        begun.append(start.element)
        raise OSError("gone")

    async def main() -> None:
        executor = Executor(TaskFetchingUnit())
        wide(executor)
        with pytest.raises(OSError, match="gone"):
            await executor.run(2, call)
        await executor.aclose()

    run_virtual(main)
    assert begun == [0]


def test_what_is_known_of_tasks() -> None:
    """An executor says which tasks it has, what they are called with, and all observations, earlier ones too."""
    told: list[tuple[str, int]] = []

    async def main() -> None:
        executor = Executor(TaskFetchingUnit(), on_event=lambda moment, index: told.append((moment, index)))
        executor.restore_earlier(1, Observation("done", 2), [{"of": "x"}], "count")
        task = Task(2, "sleep", {"seconds": Reference(1)})
        executor.add(task)
        executor.add(sleep_task(3, 1, 2))
        assert [n for n in range(1, 5) if executor.has(n)] == [2, 3]
        assert executor.task(2) == task
        assert [executor.arguments(n) for n in (1, 2, 3)] == [({"of": "x"},), ({"seconds": 2},), ()]
        assert [executor.observation(n) for n in (1, 2)] == [Observation("done", 2), None]
        assert await executor.run(1, sleep) == Observation("done", 2)
        assert await executor.run(2, sleep) == executor.observation(2) == Observation("done", 2)
        await executor.aclose()

    run_virtual(main)
    assert told == [("released", 2), ("started", 2), ("done", 2), ("released", 3)]


def test_timings_on_another_clock() -> None:
    """Times are on the clock that is given: released, started with the first call, finished, whatever became of it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        executor = Executor(TaskFetchingUnit(max_concurrency=1), now=lambda: loop.time() + 1000)
        executor.restore_earlier(1, Observation("done", [2, 3]))
        executor.add(Task(2, "sleep", {"seconds": Reference(1, (ALL,))}))
        executor.add(sleep_task(3, 1))
        executor.add(sleep_task(4, 1, 2, 3))
        executor.reject(3, "bad")
        await asyncio.gather(*(executor.run(n, sleep) for n in (2, 3, 4)))
        assert executor.timings == {
            2: Timing(1000, 1000, 1005),
            3: Timing(1000, None, 1000),
            4: Timing(None, None, 1000),
        }

    run_virtual(main)


where: ContextVar[str] = ContextVar("where", default="nowhere")


def test_calls_are_made_in_the_context_they_belong_to() -> None:
    """Early ones in that of the planner, others in that of whoever runs the task; no call sees another's changes."""
    seen: list[tuple[int, str]] = []

    async def call(start: Start) -> Observation:
        seen.append((start.index, where.get()))
        where.set(f"call {start.index}")
        return Observation("done")

    async def run(executor: Executor, index: int) -> None:
        where.set(f"run {index}")
        await executor.run(index, call)

    async def main() -> None:
        where.set("planner")
        executor = Executor(TaskFetchingUnit(held=["ask"]), call)
        where.set("later")
        for task in (Task(1, "early"), Task(2, "ask"), Task(3, "ask"), Task(4, "early")):
            executor.add(task)
        await asyncio.sleep(0)
        await asyncio.gather(*(run(executor, n) for n in (1, 2, 3, 4)))

    run_virtual(main)
    assert seen == [(1, "planner"), (4, "planner"), (2, "run 2"), (3, "run 3")]


def test_waiting_a_moment_for_tasks() -> None:
    """Whoever waits for tasks to settle knows at once if they have, and waits no longer than was said."""

    async def main() -> list[tuple[bool, float]]:
        executor = Executor(TaskFetchingUnit(), sleep)
        now = asyncio.get_running_loop().time
        for task in (sleep_task(1, 1), sleep_task(2, 2), sleep_task(3, 9)):
            executor.add(task)
        waited = [(await executor.settled(indices, 3), now()) for indices in ([1, 2], [2], [3])]
        await executor.aclose()
        return waited

    assert run_virtual(main) == [(True, 2), (True, 2), (False, 5)]


def test_what_nobody_asks_for_is_no_error() -> None:
    """A call whose exception nobody waits for is not complained of when the executor is forgotten."""
    complaints: list[dict[str, Any]] = []

    async def early(_: Start) -> Observation:
        raise LookupError("no such thing")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        executor = Executor(TaskFetchingUnit(), early)
        executor.add(sleep_task(1, 1))
        await asyncio.sleep(1)
        del executor
        gc.collect()

    run_virtual(main)
    assert complaints == []


def test_a_long_chain() -> None:
    """A chain of 3,000 tasks meets no recursion limit."""
    chain = [sleep_task(n, 1, *([n - 1] if n > 1 else [])) for n in range(1, 3001)]
    assert finish_time(chain) == 3000


async def at_once(start: Start) -> Observation:
    """A call that takes no time."""
    return Observation("done", start.index)


async def asking(start: Start) -> Observation:
    """A call that asks a human."""
    raise Suspended(start.index)


async def raising(start: Start) -> Observation:
    """A call whose exception nobody handles."""
    raise LookupError(start.index)


@pytest.mark.parametrize("call", [at_once, asking, raising])
@pytest.mark.parametrize("early", [False, True], ids=["planned", "early"])
@pytest.mark.parametrize("chained", [False, True], ids=["wide", "chained in twos"])
def test_work_grows_with_the_plan_and_not_faster(call: Call, early: bool, chained: bool) -> None:
    """Four times the tasks take about four times the work, also if every one of them asks or raises."""

    async def detached(start: Start) -> Observation:
        return await call(start)

    async def main(length: int) -> None:
        executor = Executor(TaskFetchingUnit(), detached if early else None)
        runs: list[asyncio.Future[Observation]] = []
        for n in range(1, length + 1):
            executor.add(Task(n, "f", after=(n - 1,) if chained and n % 2 == 0 else ()))
            if n % 10 == 0:
                await asyncio.sleep(0)
        for n in range(1, length + 1):
            runs.append(asyncio.ensure_future(executor.run(n, call)))
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
        assert len(outcomes) == length
        assert all(isinstance(each, Observation) == (call is at_once) for each in outcomes)
        await executor.aclose()

    few, many = opcodes(lambda: run_virtual(lambda: main(40))), opcodes(lambda: run_virtual(lambda: main(160)))
    assert many < 4.8 * few
