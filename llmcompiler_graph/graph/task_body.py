"""What the LangGraph `@task` of one task of a plan does: adopts its early calls or makes them, and gives the result.

The calls of a task that fans out have `@task`s of their own inside it; more than `IN_ONE_GROUP` of them in groups (see
`element_tasks`). They are called in order of the elements. A group whose calls return before it is called is cheaper:
so it is waited for them, as long as nothing that has returned waits for a second to be persisted. In the same way each
attempt of a call that is repeated has one, inside that of its call, with the wait before it: a run that goes on waits
for, and asks, nothing twice.

LangGraph gives the answers of humans out in the order in which a `@task` asks. So calls that share a `@task` are made
sequentially once there are answers, in order of the elements; what the others ask then waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from langchain_core.messages import ToolCall
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from llmcompiler_graph.concurrency.background import run_in_background
from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.executor import Executor, Suspended
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.core.schedule.repeating import repeated
from llmcompiler_graph.graph.approvals import Approvals
from llmcompiler_graph.graph.context import Settings
from llmcompiler_graph.graph.element_tasks import Stoppable, call_group
from llmcompiler_graph.graph.human_answers import ResumeValues, one_interrupt
from llmcompiler_graph.graph.inner_graph import IN_ONE_GROUP, called
from llmcompiler_graph.graph.records import finished, from_record, to_record, tool_message
from llmcompiler_graph.graph.task_approval import TaskApproval, with_edit
from llmcompiler_graph.models.streaming import config_of_calls
from llmcompiler_graph.state import LLMCompilerState, TaskRecord, TaskResult

__all__ = ("TaskBody",)

_A_MOMENT, _UNPERSISTED = 0.25, 0.5  # seconds between two looks, and how long what was seen to have returned may wait
_Early: TypeAlias = "asyncio.Future[Observation | None]"
"""A detached call; it gives no observation if it was suspended, or raised."""


class TaskBody:
    """Runs one task.

    Args:
        settings: The graph's tools and limits.
        executor: Runs the plan.
        resume_values: What humans have answered in this run of the node.
        approvals: What they have decided about calls.
        record: The task.
        state: What its tool sees.
        sync: Whether the graph was called synchronously.
        max_concurrency: That of the node's own config, which the tools are told.
        may_nest: Whether there are slots for `@task`s inside the task's own.
    """

    def __init__(
        self,
        settings: Settings,
        executor: Executor,
        resume_values: ResumeValues,
        approvals: Approvals,
        record: TaskRecord,
        *,
        state: LLMCompilerState,
        sync: bool,
        max_concurrency: int | None,
        may_nest: bool,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._resume_values = resume_values
        self._record = record
        self._index = record["index"]
        self._state = state
        self._sync = sync
        self._max_concurrency = max_concurrency
        self._may_nest = may_nest
        self._approvals = approvals
        self._approval = TaskApproval(settings.approval, approvals, record, state)
        self._own_tasks: dict[int, _OwnTask] = {}  # by element
        self._sequentially = asyncio.Lock()
        self._unanswered = False  # whether a call that was made sequentially has asked

    async def run(self) -> TaskResult:
        """Run the task; give what the checkpointer keeps of it.

        Raises:
            GraphInterrupt: Calls want a human.
            Exception: What a tool raised that is not handled.
        """
        if self._may_nest:
            await self._adopt()
        try:
            observation = await self._executor.run(self._index, self._call)
        except (Suspended, GraphBubbleUp) as error:
            for own_task in self._own_tasks.values():
                own_task.start.cancel()
            if not isinstance(error, Suspended):
                raise
            return self._waiting(one_interrupt(error.args))
        finally:
            for own_task in self._own_tasks.values():
                own_task.let_start(None)  # nobody else would, and the `@task` would wait for ever
        return self.result(observation)

    def result(self, observation: Observation) -> TaskResult:
        """What the checkpointer keeps of a finished task."""
        arguments, edits = self._executor.arguments(self._index), self._edits()
        made = [edits.get(n, given) for n, given in enumerate(arguments)]
        timing = self._executor.timings[self._index]
        call_id = self._record["tool_call_id"]
        result = to_record(observation, made, timing, call_id=call_id, edited=edits, text=self.edited_text)
        result["messages"] = [tool_message(finished(self._record, result), result)]
        return result

    @property
    def edited_text(self) -> str:
        """The task's line of plan text, if a human has changed its one call; else empty."""
        edits, task = self._edits(), self._executor.task(self._index)
        if not edits or task.fans_out:
            return ""
        (resolved,) = self._executor.arguments(self._index)
        return str(with_edit(replace(task, thought=""), resolved, edits[0]))

    def _edits(self) -> dict[int, Mapping[str, JSON]]:
        return self._approval.edits(self._executor.arguments(self._index))

    def _waiting(self, interrupt: GraphInterrupt) -> TaskResult:
        """The record of a task that waits for an approval, or for a task that does.

        Raises:
            GraphInterrupt: A tool asks by itself; or a human has left questions of this pass open: nothing is kept
                then, so that the task is run again with the answer.
        """
        if interrupt.args[0] or (self._approvals.unanswered and not self._approval.wanted):
            raise interrupt
        record = to_record(None)
        if self._approval.wanted:
            record["wanted"] = self._approval.wanted
        return record

    # -- one call -----------------------------------------------------------------------------------------------

    async def _call(self, start: Start) -> Observation:
        try:
            decided = self._approval.decided(start, lambda: self._tool_calls(start))
            if isinstance(decided, Observation):
                return decided
            if decided.element is not None and self._may_nest:
                return await self._call_in_own_task(decided.element, decided)
            if self._repeats:
                return await self._call_tool(decided)
            with self._resume_values.watched():
                if decided.element is None:
                    return await self._call_tool(decided)
                return await self._call_sequentially(decided)
        except GraphInterrupt as interrupt:
            raise Suspended(interrupt) from interrupt

    @property
    def _repeats(self) -> bool:
        return self._executor.task(self._index).until is not None

    async def _call_tool(self, start: Start) -> Observation:
        """Make a call, with all its attempts if it is repeated."""
        task = self._executor.task(self._index)
        if (until := task.until) is None:
            return await self._attempt(start)

        async def attempt(n: int) -> Observation:
            async def body() -> TaskResult:
                if n:
                    await asyncio.sleep(until.every)
                call_id = self._settings.call_id(self._record, start.element)
                return to_record(await _unless_it_cancels(self._attempt(start)), call_id=call_id)

            made = self._call_own_task(f"{self._record['tool']} {n + 1}", body) if self._may_nest else body()
            observation = from_record(await made)
            return await self._attempt(start) if observation is None else observation  # it was stopped

        return await repeated(task, self._executor.values(self._index), attempt)

    async def _attempt(self, start: Start) -> Observation:
        return await self._settings.call(
            start,
            self._record,
            self._state,
            config_of_calls(self._max_concurrency),
            sync=self._sync,
            fresh=self._repeats,
            check=self._approval.check(start),
        )

    async def _call_sequentially(self, start: Start) -> Observation:
        """Make a call in the task's own `@task`, after those before it if there are answers for what the calls ask."""
        if not self._resume_values.count():
            return await self._call_tool(start)
        async with self._sequentially:
            if self._unanswered:
                raise GraphInterrupt
            try:
                return await self._call_tool(start)
            except GraphInterrupt:
                self._unanswered = True
                raise

    async def _call_in_own_task(self, element: int, start: Start) -> Observation:
        """Make a call of a task that fans out in a `@task` of its own."""
        if element not in self._own_tasks:
            self._open(element, {})
        own_task = self._own_tasks[element]
        own_task.let_start(start)
        observation = from_record(await own_task.result)
        return await self._call_tool(start) if observation is None else observation  # a run that failed did not make it

    # -- `@task`s for the calls of a task that fans out -----------------------------------------------------------

    async def _adopt(self) -> None:
        """Call the `@task`s of those that have begun, all at first: LangGraph tells them apart by their order."""
        if not self._executor.task(self._index).fans_out:
            return
        await self._executor.released(self._index)  # its calls begin by themselves then
        count = len(self._executor.arguments(self._index))
        seen: dict[int, float] = {}
        for first in range(0, count, IN_ONE_GROUP if count > IN_ONE_GROUP else 1):
            elements = self._together_with(first)
            returned = len(elements) > 1 and await self._return_soon(elements, seen)
            if begun := self._executor.begun(self._index, elements):
                self._open(first, begun, returned=returned)

    async def _return_soon(self, elements: range, seen: dict[int, float]) -> bool:
        """Wait for calls to return, while none of the task that has returned waits long; say whether they have.

        Args:
            elements: Those of the next group.
            seen: When a call of a group was first seen to have returned, by the group's number.
        """
        early = list(self._executor.begun(self._index, elements).values())
        pending = set(early)
        while pending:
            pending = (await asyncio.wait(pending, timeout=_A_MOMENT))[1]
            if pending and self._waited(elements.start, seen) >= _UNPERSISTED:
                break
        return len(early) == len(elements) and not pending and all(map(_gave, early))

    def _waited(self, first: int, seen: dict[int, float]) -> float:
        """How long something that has returned was seen to wait, from an element on; it is looked what else has."""
        now = asyncio.get_running_loop().time()
        from_here = range(first, len(self._executor.arguments(self._index)))
        for element, call in self._executor.begun(self._index, from_here).items():
            if call.done():
                seen.setdefault(element // IN_ONE_GROUP, now)
        return max((now - at for group, at in seen.items() if group >= first // IN_ONE_GROUP), default=0.0)

    def _together_with(self, element: int) -> range:
        """The elements whose calls have a `@task` together with an element's: those of its group, or itself."""
        count = len(self._executor.arguments(self._index))
        if count <= IN_ONE_GROUP:
            return range(element, element + 1)
        first = element // IN_ONE_GROUP * IN_ONE_GROUP
        return range(first, min(first + IN_ONE_GROUP, count))

    def _open(self, element: int, begun: Mapping[int, _Early], *, returned: bool = False) -> None:
        """Call the `@task` of a call, or of its group.

        Args:
            element: The element.
            begun: The detached calls, by element.
            returned: Whether all of the group have returned.
        """
        loop, name = asyncio.get_running_loop(), self._record["tool"]
        elements = self._together_with(element)
        starts: dict[int, asyncio.Future[Start | None]] = {n: loop.create_future() for n in elements}
        bodies = {n: partial(self._run_element, n, begun.get(n), start) for n, start in starts.items()}
        if len(elements) > 1:
            named = self._record["tool_call_id"]
            results = call_group(name, named, bodies, returned=returned, sync=self._sync)
        else:
            results = {element: self._call_own_task(f"{name}[{element}]", bodies[element])}
        self._own_tasks.update((n, _OwnTask(starts[n], results[n])) for n in elements)

    async def _run_element(self, n: int, early: _Early | None, start: asyncio.Future[Start | None]) -> TaskResult:
        """What the `@task` of a call does.

        Args:
            n: The element.
            early: The detached call of it, if there was one: it is adopted if it gives anything.
            start: Lets it begin.
        """
        call_id = self._settings.call_id(self._record, n)
        made = await _unless_cancelled(early) if early is not None else None
        if made is not None:
            return to_record(made, call_id=call_id)
        try:
            begun = await asyncio.shield(start)
        except asyncio.CancelledError:
            if not start.cancelled():
                raise
            raise GraphInterrupt from None  # a cancellation from here would pass for a failure
        made = None if begun is None else await _unless_it_cancels(self._call_tool(begun))
        return to_record(made, call_id=call_id)

    def _call_own_task(
        self, name: str, body: Callable[[], Coroutine[Any, Any, TaskResult]]
    ) -> asyncio.Future[TaskResult]:
        """Run a coroutine in a `@task` of its own, inside that of the task."""
        if not self._sync:
            own: asyncio.Future[TaskResult] = called(name, body)
            return own

        loop = asyncio.get_running_loop()
        inner = Stoppable(body)

        def in_background() -> Any:
            return run_in_background(inner.run(), loop=loop)

        future = asyncio.wrap_future(called(name, in_background))
        future.add_done_callback(lambda waited: inner.stop() if waited.cancelled() else None)
        return future

    def _tool_calls(self, start: Start) -> list[ToolCall]:
        """All calls of the task, of which one is to start."""
        given = self._executor.arguments(self._index)
        elements = [None] if start.element is None else range(len(given))
        return [
            ToolCall(
                name=self._record["tool"],
                args=dict(arguments),
                id=self._settings.call_id(self._record, element),
                type="tool_call",
            )
            for arguments, element in zip(given, elements, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _OwnTask:
    """The `@task` of one call of a task that fans out."""

    start: asyncio.Future[Start | None]
    """Lets the call begin: with `None` it is not made, because the task has ended; cancelled, it is suspended."""
    result: asyncio.Future[TaskResult]
    """Gives its record; one of no observation if the call was not made."""

    def let_start(self, start: Start | None) -> None:
        if not self.start.done():
            self.start.set_result(start)


async def _unless_it_cancels(call: Awaitable[Observation]) -> Observation:
    """Wait for a call; if the tool cancels itself, it has failed: LangGraph would take it for the end of the run."""
    try:
        return await call
    except asyncio.CancelledError:
        if (this := asyncio.current_task()) is None or this.cancelling():
            raise
        return Observation("failed", error="the tool's call was cancelled")


def _gave(early: _Early) -> bool:
    """Whether an early call that has ended gave an observation."""
    return not early.cancelled() and early.exception() is None and early.result() is not None


async def _unless_cancelled(early: _Early) -> Observation | None:
    """Wait for an early call; give nothing if it is cancelled itself."""
    try:
        return await asyncio.shield(early)
    except asyncio.CancelledError:
        if early.cancelled():
            return None
        raise
