"""The tasks of one plan while they run: what is under way, what is restored, and what the state is told in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from operator import itemgetter
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_stream_writer

from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.schedule.executor import Executor, Moment
from llmcompiler_graph.core.schedule.instructions import Start
from llmcompiler_graph.graph.approvals import Approvals
from llmcompiler_graph.graph.clock import turn_clock
from llmcompiler_graph.graph.commands import in_plan_order, with_messages
from llmcompiler_graph.graph.context import Settings, Shared, Teller
from llmcompiler_graph.graph.edited_results import noted, settled
from llmcompiler_graph.graph.human_answers import ResumeValues
from llmcompiler_graph.graph.plan_message import with_edits
from llmcompiler_graph.graph.records import (
    finished,
    from_record,
    timeline_entry,
    timing_of,
    tool_message,
    ungrouped,
)
from llmcompiler_graph.graph.revision import Revision
from llmcompiler_graph.graph.state_size import tell_of_size
from llmcompiler_graph.graph.task_body import TaskBody
from llmcompiler_graph.models.prompts import turn_position
from llmcompiler_graph.models.streaming import config_of_calls
from llmcompiler_graph.state import (
    Clock,
    LLMCompilerState,
    TaskRecord,
    TaskResult,
    TimelineEntry,
    plan_name,
    plan_text,
    task_from_record,
)

__all__ = ("PlanRun",)


def _message(record: TaskRecord, result: TaskResult | None) -> ToolMessage:
    return cast("ToolMessage", result["messages"][0]) if result is not None else tool_message(record, None)


_AN_INSTANT, _A_MOMENT = 0.1, 0.25  # seconds


class PlanRun:
    """The tasks of one plan while they run.

    Args:
        settings: The graph's tools and limits.
        shared: What its nodes and runs share.
        state: The state.
        revision: What a human has made of the plan, if anything.
        resume_values: What humans have answered in this run of the node.
        clock: The turn's, in this run.
        sync: Whether the graph was called synchronously.
    """

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        state: LLMCompilerState,
        *,
        revision: Revision | None,
        resume_values: ResumeValues,
        clock: Clock,
        sync: bool,
    ) -> None:
        self.config = get_config()
        """The node's own."""
        self._resume_values = resume_values
        self._resumed = clock is not state["clock"]
        self._revised = revision.update if revision else {}
        self._settings, self._shared = settings, shared
        self._held = settings.held.union(shared.interrupting, (s.name for s in settings.specs if s.has_effects))
        state, self._settled = settled(revision.state if revision else {**state, "clock": clock})
        self.approvals = Approvals(state.get("approvals", []), settings.interrupt_mode, settings.specs)
        """What humans decide about calls."""
        self._state = state
        self._sync = sync
        self.loop = asyncio.get_running_loop()
        """Runs its tasks."""
        self.patience = settings.patience
        """How long to wait for it while it is blocked, in seconds."""
        rounds, self._records = state["rounds"], state["tasks"]
        self._bodies: dict[int, TaskBody] = {}
        self._told: set[str] = set()  # the ids of the calls of which `on_result` was told
        self._by_index = {record["index"]: record for record in self._records}
        self._round = len(rounds) - 1
        message = self._plan = next((m for m in reversed(state["messages"]) if isinstance(m, AIMessage)), None)
        self._now = turn_clock(state)
        self._teller = Teller(get_stream_writer(), self._now)
        begun = shared.inflight.take_over(message and message.id)
        edited = revision.executor if revision is not None else None  # it begins nothing by itself
        begun = edited or begun
        self._adopted = isinstance(begun, Executor) and not self._settled and begun is not edited
        if isinstance(begun, Executor) and not self._settled:
            self.executor = begun
            begun.on_event = self._tell
        else:
            self._rebuild()
        self._left_to_wait = _A_MOMENT  # while results are not persisted
        self._expiry: asyncio.TimerHandle | None = None
        # after a pause the tasks have time for what a human has approved
        self._not_before = self.loop.time() + settings.deadline_grace if self._resumed else 0.0
        self._set_expiry()
        if why := state["rounds"][-1].get("cut", "") if state["rounds"] else "":
            self.executor.halt(why)
        self.order = self._ordered(
            [record for record in self._records if record["round"] == self._round and record["status"] == "planned"]
        )

        self._repeat = {n for n in map(itemgetter("index"), self.order) if self.executor.task(n).until is not None}
        self.nests = bool(self._repeat) or any("[*]" in record["text"] for record in self.order)
        """Whether a task may call `@task`s inside its own."""
        self.is_inside = bool(self.config.get("max_concurrency")) or (sync and self.nests)
        """Whether the `@task`s need a graph of their own inside the node."""
        self.plan_id = str(message and message.id)
        """Names the plan."""

    def _set_expiry(self) -> None:
        """End the tasks at the deadline."""
        if self._expiry is not None:
            self._expiry.cancel()
        if (left := self._settings.time_left(self._now)) is not None:
            what = f"the turn's deadline of {self._settings.deadline:g} s"
            moment = max(self.loop.time() + left, self._not_before)
            self._expiry = self.loop.call_at(moment, self.executor.expire, what)

    async def aclose(self) -> None:
        """Cancel the calls under way and wait until they have ended."""
        if self._expiry is not None:
            self._expiry.cancel()
        await self.executor.aclose()

    def _ordered(self, records: Sequence[TaskRecord]) -> list[TaskRecord]:
        """Sort tasks so that each stands after all it may wait for: by depth, then as written."""
        effects = {spec.name for spec in self._settings.specs if spec.has_effects}
        depth: dict[int, int] = {}
        last_effect: int | None = None
        for record in records:
            index = record["index"]
            waits = [depth.get(n, 0) for n in self.executor.task(index).dependencies]
            if plan_name(record) in effects:
                waits.append(depth[last_effect] if last_effect is not None else 0)
                last_effect = index
            depth[index] = 1 + max(waits, default=0)
        return sorted(records, key=lambda record: depth[record["index"]])

    def _rebuild(self) -> None:
        """Make the plan's executor from the state: what was under way is gone.

        Nothing is started before its `@task` runs: it would take a slot of `max_concurrency` from those that do.
        """
        unit = self._settings.unit(spec.name for spec in self._settings.specs)
        self.executor = self._settings.executor(unit, now=self._now, on_event=self._tell)
        for record in self._records:
            if (observation := from_record(record)) is None:
                self.executor.add(task_from_record(record))
            else:
                self.executor.restore_earlier(record["index"], observation, record["arguments"], plan_name(record))

    def body(self, record: TaskRecord) -> Callable[[], Coroutine[Any, Any, TaskResult]]:
        """What the `@task` of a task does."""
        body = self._bodies[record["index"]] = self._body(record)
        return body.run

    def early_results(self, records: Iterable[TaskRecord]) -> list[TaskResult]:
        """What tasks give that have finished without `@task`s."""
        done = ((record, self.executor.result(record["index"])) for record in records)
        return [self._body(record).result(observation) for record, observation in done if observation is not None]

    def _body(self, record: TaskRecord) -> TaskBody:
        return TaskBody(
            self._settings,
            self.executor,
            self._resume_values,
            self.approvals,
            record,
            state=self._state,
            sync=self._sync,
            max_concurrency=self.config.get("max_concurrency"),
            may_nest=not self._sync or self.nests,
        )

    def finished_early(self, records: Iterable[TaskRecord]) -> bool:
        """Whether all of these tasks have finished, and did so in this run: none is known from a checkpoint."""
        return self._adopted and all(map(self._is_finished, records))

    async def ends_at_once(self) -> bool:
        """Wait an instant for all tasks to finish without `@task`s; say whether they have.

        What the node returns persists them then. What begins meanwhile is called in the node itself. That is for tools
        that have returned before: one that asks a human would be called once too often.
        """
        config = config_of_calls(self.config.get("max_concurrency"))
        self.executor.complete(partial(self._call_at_once, config))
        waiting = (plan_name(record) for record in self.order if not self.executor.has_begun(record["index"]))
        return self._shared.returning.issuperset(waiting) and await self._finish_within(_AN_INSTANT, self.order)

    async def _call_at_once(self, config: RunnableConfig, start: Start) -> Observation:
        record = self._by_index[start.index]
        return await self._settings.call_detached(self._shared, start, record, self._state, config, sync=self._sync)

    async def finishes_soon(self, records: Sequence[TaskRecord], following: Iterable[TaskRecord]) -> bool:
        """Wait a moment for some tasks to finish without `@task`s; say whether they have.

        While others have finished that are to be persisted, it is waited for one moment in all.

        Args:
            records: The tasks.
            following: Those that are called next.
        """
        others_wait = any(map(self._is_finished, following))
        return await self._finish_within(self._left_to_wait if others_wait else _A_MOMENT, records)

    async def _finish_within(self, seconds: float, records: Sequence[TaskRecord]) -> bool:
        """Wait for tasks, but not for those that start only in their `@task`s."""
        if not self._adopted or any(
            plan_name(record) in self._held or record["index"] in self._repeat for record in records
        ):
            return False
        began = self.loop.time()
        finished = await self.executor.settled([record["index"] for record in records], seconds)
        self._left_to_wait -= self.loop.time() - began
        return finished

    def _is_finished(self, record: TaskRecord) -> bool:
        return self.executor.result(record["index"]) is not None

    def restorer(self, records: Sequence[TaskRecord]) -> Callable[[Any], None]:
        """What to do when a `@task`'s result is there: if it came from a checkpoint, the executor does not know it."""

        def restore(record: TaskRecord, result: TaskResult) -> None:
            if (observation := from_record(result)) is None:  # it waits for a human
                return
            timing = timing_of(result)
            if self._resumed and timing.finished is not None:
                self._now.catch_up(timing.finished)
                self._set_expiry()
            self.executor.restore(record["index"], observation, timing, result["arguments"])

        def restore_all(results: Sequence[TaskResult]) -> None:
            for record, result in zip(records, results, strict=True):
                restore(record, result)

        context = copy_context()

        def done(future: Any) -> None:
            if not future.cancelled() and future.exception() is None:
                given: Any = future.result()
                results = ungrouped(given) if "results" in given else [given]
                context.copy().run(self.tell, results)
                self.loop.call_soon_threadsafe(restore_all, results)

        return done

    def tell(self, results: Iterable[TaskResult]) -> None:
        """Tell `on_result` of results."""
        if self._settings.on_result is not None:
            for result in self._untold(results):
                self._settings.on_result(result)

    def _untold(self, results: Iterable[TaskResult]) -> list[TaskResult]:
        """Those that were not given before: a task's result comes by its own `@task`, then by that of its group."""
        new = [result for result in results if result["tool_call_id"] not in self._told]
        self._told.update(result["tool_call_id"] for result in new)
        return new

    def update(self, results: Sequence[TaskResult]) -> Any:
        """The state's update, once every `@task` has ended."""
        given = {record["index"]: result for record, result in zip(self.order, results, strict=True)}
        done = {index: result for index, result in given.items() if result["status"] != "planned"}
        self._shared.returning.update(
            plan_name(record) for record in self.order if given[record["index"]]["status"] == "done"
        )
        planned = [given[record["index"]] for record in self._records if record["index"] in given]
        wanted = [pending for result in planned for pending in result.get("wanted", [])]  # asked in the plan's order
        records = [
            finished(record, done[record["index"]]) if record["index"] in done else record for record in self._records
        ]
        known = {entry["index"] for entry in self._state.get("timeline", [])}  # since an earlier pass
        whole = [record for record in records if record["round"] == self._round]
        current = [
            (record, done.get(record["index"]))
            for record in whole
            if record["status"] != "planned" and record["index"] not in known
        ]
        plan, earlier = self._plan_update(current, whole)
        messages = [
            _message(record, result)
            for record, result in current
            if record["text"] and record["index"] not in self._settled
        ]
        commands = [given for _, result in current if result is not None for given in result["commands"]]
        commands = in_plan_order(commands, self._settings.keys_of_one_value)
        tell_of_size([record for record, _ in current], records, [*self._state["messages"], *messages])
        told, commands = with_messages(messages, commands, earlier, turn_position(self._state))
        update = {
            **plan,
            "messages": [*plan.get("messages", ()), *told],
            "tasks": noted(records, told),
            "clock": self._now.noted(),
            "timeline": self._timeline(current),
        }
        if wanted or self._state.get("approvals"):
            update["approvals"] = wanted
        return [update, *commands] if commands else update

    def _timeline(self, current: Sequence[tuple[TaskRecord, TaskResult | None]]) -> list[TimelineEntry]:
        """The timeline with these tasks, in the order of the plans."""
        entries = [*self._state.get("timeline", []), *(timeline_entry(*task) for task in current)]
        position = {record["index"]: n for n, record in enumerate(self._records)}
        return sorted(entries, key=lambda entry: position[entry["index"]])

    def _plan_update(
        self, current: Sequence[tuple[TaskRecord, TaskResult | None]], whole: Sequence[TaskRecord]
    ) -> tuple[dict[str, Any], Sequence[AnyMessage]]:
        """What the state is told of a plan that a human has changed, as text or in calls, and the conversation then."""
        edited = [record for record, result in current if result is not None and "text" in result]
        if not edited or self._plan is None:
            return self._revised, self._state["messages"]
        plan = with_edits(self._plan, edited)
        earlier = [plan if message is self._plan else message for message in self._state["messages"]]
        text = plan_text(whole)
        return {**self._revised, "messages": [*self._revised.get("messages", ()), plan], "plan_text": text}, earlier

    def _tell(self, moment: Moment, index: int) -> None:
        if (record := self._by_index.get(index)) is not None:
            if (body := self._bodies.get(index)) is not None and (text := body.edited_text):
                record = {**record, "text": text}
            self._teller.moment(moment, record, self.executor)
