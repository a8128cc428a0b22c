"""The task fetching unit (section 3.2 of the paper): releases each task the moment its inputs exist.

A pure state machine: events in, instructions out; no I/O, no clock, no asyncio. Tasks may be added while others run,
because references point only backwards.

>>> from llmcompiler_graph.core.language.references import Reference
>>> unit = TaskFetchingUnit()
>>> unit.add(Task(1, "search", {"q": "K2"}))
[Release(index=1), Start(index=1, element=None, arguments={'q': 'K2'})]
>>> unit.add(Task(2, "math", {"expression": Reference(1)}))
[]
>>> unit.finished(1, None, Observation("done", 8611))  # doctest: +ELLIPSIS
[Finished(index=1, ...), Release(index=2), Start(index=2, element=None, arguments={'expression': 8611})]

The rules, all of them:

- *Release*: when every dependency is done. If one failed or was skipped, the task is skipped, and so on down the line;
  nothing else is touched.
- *Guards*: a task whose guard does not hold once its inputs exist is skipped, and so on down the line.
- *Start*: released tasks start at once, all of them; where `max_concurrency` or a tool's own limit leaves no slot, in
  the order of `priority` (critical path first). A task that fans out makes one call per element, each taking a slot of
  its own.
- *Held* tasks (of tools with effects, or that the caller holds, or that repeat) start only once they are `claim`ed,
  that is once the plan is complete and their `@task` runs. Tasks with effects also keep plan order among themselves,
  whatever they read: each is released when all before it are finished, however those ended.
- *Equal calls* of read-only tools are made once, alone or as one of a fan-out; what the call gives serves all. If the
  task that makes it is rejected, another of them makes it. Once a call with effects has returned, what was read before
  serves no task that is released from then on. Of tools that see the graph's state, every call is made.
- *Repeated* calls (`until …`) are one call here, in one slot, with all their attempts and the waits between them. They
  are not shared with equal ones: what was read before may be over.
- *Suspended* calls (they want a human) give their slot back, and are made again once their task is claimed again and
  there is a slot. They serve nobody meanwhile: the equal ones that waited for them wait for claims of their own.
- *Abandoned* calls give their slot back and are not made again. Their task can have no observation: it is *stalled*
  once its other calls are back, or at once if the call raised; and so is every task that waits for it, then or later.

Every event costs in proportion to what it changes: no work is done for tasks and calls that it leaves as they are. (The
heights by which tasks are ordered are changed by what is added after them; see `heights`.)

May know: `errors`, `guards`, `plan`, `references`, and its own modules: `waits` (tasks), `calls` (and their states),
`links`, `slots`, `stalls`, `heights`, `passes`, `resolving`, `instructions`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from llmcompiler_graph.core.errors import FanOutError, ObservationPathError
from llmcompiler_graph.core.language.guards import holds, unmet
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec, gathered
from llmcompiler_graph.core.language.references import JSON
from llmcompiler_graph.core.schedule.calls import Calls, CallState
from llmcompiler_graph.core.schedule.heights import Heights
from llmcompiler_graph.core.schedule.instructions import Finished, Instruction, Release, Stalled, Start
from llmcompiler_graph.core.schedule.links import Links
from llmcompiler_graph.core.schedule.passes import (
    CallId,
    Priority,
    ReadyCall,
    call_key,
    critical_path_first,
    share_equal_calls,
)
from llmcompiler_graph.core.schedule.resolving import resolved, values_of_calls
from llmcompiler_graph.core.schedule.slots import Slots
from llmcompiler_graph.core.schedule.stalls import Stalls
from llmcompiler_graph.core.schedule.waits import Waits

__all__ = ("TaskFetchingUnit",)


class TaskFetchingUnit:
    """Decides what runs when. Every method takes one event and returns what is to be done now, in order.

    Args:
        tools: What is known of the tools; unknown ones may run in parallel and early, and are never deduplicated.
        held: Names of tools whose tasks start only once claimed, besides those with effects.
        unshared: Names of tools of which every call is made, besides those that are not read-only or see the state.
        max_fan_out: How many calls a task that fans out may come to; one that would come to more fails, without any.
        max_concurrency: How many calls may run at a time.
        tool_concurrency: `{tool: how many of its calls may run at a time}`.
        priority: Which tasks are first where there are too few slots.
    """

    def __init__(
        self,
        tools: Iterable[ToolSpec] = (),
        *,
        held: Iterable[str] = (),
        unshared: Iterable[str] = (),
        max_fan_out: int | None = None,
        max_concurrency: int | None = None,
        tool_concurrency: Mapping[str, int] | None = None,
        priority: Priority = critical_path_first,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        shared = {name for name, tool in self._tools.items() if tool.repeatable and not tool.sees_state}
        self._shared = shared.difference(unshared)
        self._effects = {name for name, tool in self._tools.items() if tool.has_effects}
        self._held = self._effects | set(held)
        self._max_fan_out = max_fan_out

        self.tasks: dict[int, Task] = {}
        """Every task added, `{index: task}`."""
        self.observations: dict[int, Observation] = {}
        """The observations of those that are finished, `{index: observation}`."""
        self.arguments: dict[int, tuple[Mapping[str, JSON], ...]] = {}
        """The resolved arguments of released tasks, one per call, `{index: (arguments, …)}`."""
        self._waits = Waits()
        self._calls = Calls()
        self._slots = Slots(max_concurrency, dict(tool_concurrency or {}), priority)
        self._links = Links(self.observations, self._waits, self._calls)
        self._heights = Heights(self._links.before)
        self._claimed: set[int] = set()
        self._unsettled: deque[int] = deque()  # tasks to look at: something they wait for has changed
        self._incomplete: set[int] = set()  # tasks that made a call which was abandoned
        self._stalls = Stalls(self._links.after)

    # -- events -------------------------------------------------------------------------------------------------

    def add(self, task: Task) -> list[Instruction]:
        """A task of the plan arrived. A task that was only known to be unusable is replaced."""
        index = task.index
        assert index not in self.tasks, f"task {index} was added before"
        assert index not in self.arguments, f"task {index} was finished before it was added"
        self.observations.pop(index, None)
        self.tasks[index] = task
        self._waits.add(index, task.dependencies, known=self.observations, in_turn=task.tool in self._effects)
        self._heights.add(index)
        self._unsettled.append(index)
        return [*self._stalls.join(index, self._waits.before(index)), *self._settle()]

    def reject(self, index: int, error: str) -> list[Instruction]:
        """A task of the plan cannot be used: it counts as failed, also if it was started or done already."""
        ended: list[Instruction] = []
        if index not in self.observations:
            ended.append(self._finish(index, Observation("failed", error=error)))
        elif self.observations[index].status == "done":
            self.observations[index] = Observation("failed", error=error)
            self._unsettled += [n for n in self._waits.dependents(index) if not self._calls.of(n)]
        self._drop(index)
        self._withdraw(self._calls.of(index))
        return [*ended, *self._settle()]

    def restore(
        self, index: int, observation: Observation, arguments: Iterable[Mapping[str, JSON]] = (), tool: str = ""
    ) -> list[Instruction]:
        """A task was finished before (an earlier plan, or an earlier process): nothing is run for it.

        Args:
            index: The task, added here or not.
            observation: Its observation.
            arguments: The resolved arguments of its calls.
            tool: The tool it called; equal calls of a read-only tool need not be made again.
        """
        calls = self.arguments[index] = tuple(arguments)
        shared = tool in self._shared and not self._repeats(index)
        if tool in self._effects and observation.status != "skipped":
            self._calls.forget()
        ended: list[Instruction] = [self._finish(index, observation)]
        released = self._calls.of(index)
        fans_out = released[0].element is not None if released else None
        for element, value in values_of_calls(observation, len(calls), fans_out).items():
            if shared:
                self._calls.restore(call_key(tool, calls[element or 0]), (index, element))
            ended += self._give((index, element), Observation("done", value))
        self._drop(index)
        self._withdraw(call for call in released if self._calls.result(call.id) is None)
        return [*ended, *self._settle()]

    def claim(self, index: int) -> list[Instruction]:
        """The `@task` of a task runs: it may start even if it is held, and start again if it was suspended."""
        self._claimed.add(index)
        self._calls.claim(index)
        return self._settle()

    def finished(self, index: int, element: int | None, observation: Observation) -> list[Instruction]:
        """A call returned or raised."""
        call = self._back(index, element)
        self._calls.move(call, CallState.RETURNED)
        if call.tool in self._effects:
            self._calls.forget()
        return [*self._give(call.id, observation), *self._settle()]

    def suspended(self, index: int, element: int | None) -> list[Instruction]:
        """A call gave its slot back without an observation; it is made again when its task is claimed."""
        call = self._back(index, element)
        if index in self.observations:
            self._calls.move(call, CallState.DROPPED)
        else:
            self._calls.park(call, suspended=True)
        for other in self._disown(call):
            if other.index == index or other.index not in self._claimed:
                self._calls.park(other)
            else:
                self._calls.want_again(other)
        return self._settle()

    def abandoned(self, index: int, element: int | None) -> list[Instruction]:
        """A call gave its slot back without an observation, and is not made again: nor do those get one it serves."""
        self._incomplete.add(index)
        stalled = [each for n in self._calls.abandon(self._back(index, element)) for each in self._stalled_if_over(n)]
        return [*stalled, *self._settle()]

    def raised(self, index: int, element: int | None) -> list[Instruction]:
        """A call is abandoned because of what it raised: its task does not wait for its other calls."""
        self._calls.abandon(self._back(index, element))
        stalled = [] if index in self.observations else self._stalls.begin(index)
        return [*stalled, *self._settle()]

    def expire(self, errors: Mapping[int, str]) -> list[Instruction]:
        """No time is left for these unfinished tasks: they fail, and calls of theirs that come back change nothing."""
        ended = [self._finish(index, Observation("failed", error=error)) for index, error in errors.items()]
        for index in errors:
            self._drop(index)
        for index in errors:
            self._withdraw(self._calls.of(index))
        return [*ended, *self._settle()]

    def waiting_for(self, index: int) -> set[int]:
        """Every unfinished task that waits for a task, directly or not: for data, order or an equal call."""
        found = {index}
        pending = [index]
        while pending:
            new = set(self._links.after(pending.pop())) - found
            found |= new
            pending += new
        return found - {index}

    # -- consequences -------------------------------------------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Release, skip, serve and start until nothing follows from anything any more."""
        instructions: list[Instruction] = []
        while self._unsettled or self._calls.arrived:
            while self._unsettled:
                instructions += self._look(self._unsettled.popleft())
            instructions += self._place()
        return instructions + self._fill()

    def _look(self, index: int) -> list[Instruction]:
        """Release or skip a task, if it is time."""
        if index in self.observations or self._calls.of(index):
            return []
        cause = min((n for n in self._waits.needs(index) if self._lost(n)), default=None)
        if cause is not None:
            fate = "failed" if self.observations[cause].status == "failed" else "was not run either"
            error = f"not run: it needs task {cause}, which {fate}"
            return [self._finish(index, Observation("skipped", error=error))]
        return self._release(self.tasks[index]) if self._waits.over(index) else []

    def _lost(self, index: int) -> bool:
        observation = self.observations.get(index)
        return observation is not None and observation.status != "done"

    def _release(self, task: Task) -> list[Instruction]:
        values = {n: self.observations[n].value for n in self._waits.needs(task.index)}
        try:
            if task.when is not None and not holds(task.when, values):
                return [self._finish(task.index, Observation("skipped", error=f"not run: {unmet(task.when, values)}"))]
            calls, fans_out = resolved(task, self._tools.get(task.tool), values, self._max_fan_out)
        except (ObservationPathError, FanOutError) as error:
            return [Release(task.index), self._finish(task.index, Observation("failed", error=str(error)))]
        self.arguments[task.index] = tuple(calls)
        if not calls:
            return [Release(task.index), self._finish(task.index, Observation("done", []))]
        shared = task.tool in self._shared and task.until is None
        keys = [call_key(task.tool, given) if shared else "" for given in calls]
        elements = range(len(calls)) if fans_out else [None]
        self._calls.release(
            [
                ReadyCall(task.index, element, task.tool, given, key)
                for element, given, key in zip(elements, calls, keys, strict=True)
            ]
        )
        return [Release(task.index)]

    def _place(self) -> list[Instruction]:
        """Decide about each call that arrived: parked (nobody shares it then), served by an equal one, or ready."""
        arrived, self._calls.arrived = self._calls.arrived, []
        wanted: list[ReadyCall] = []
        for call in arrived:
            if self._is_held(call) and call.index not in self._claimed:
                self._calls.park(call)
            else:
                wanted.append(call)
        instructions: list[Instruction] = []
        for call in share_equal_calls(wanted, self._calls.made):
            if call.same_as is None:
                self._calls.make(call)
                self._slots.wait(call, self._heights[call.index])
            elif (known := self._calls.result(call.same_as)) is not None:
                self._calls.move(call, CallState.RETURNED)
                instructions += self._give(call.id, known)
            else:
                self._calls.share(call, call.same_as)
                self._heights.waits_for_another(call.index)
                instructions += self._stalls.join(call.index, call.same_as[:1]) or self._stalled_if_over(call.index)
        return instructions

    def _is_held(self, call: ReadyCall) -> bool:
        """Whether a call starts only once its task is claimed."""
        return call.tool in self._held or self._repeats(call.index)

    def _repeats(self, index: int) -> bool:
        return index in self.tasks and self.tasks[index].until is not None

    def _fill(self) -> list[Instruction]:
        """Start what is ready, as far as there are slots."""
        if self._slots.contested():
            for index in self._heights.update():
                self._slots.rise(index, self._heights[index])
        instructions: list[Instruction] = []
        while (call := self._slots.take()) is not None:
            self._calls.begin(call)
            instructions.append(Start(call.index, call.element, call.arguments))
        return instructions

    def _back(self, index: int, element: int | None) -> ReadyCall:
        """A call is not under way any more."""
        call = self._calls.get((index, element))
        self._slots.give_back(call.tool)
        return call

    def _give(self, call: CallId, observation: Observation) -> list[Instruction]:
        """Note what a call gave, for its own task and for those it serves; finish those that are complete by it."""
        instructions: list[Instruction] = []
        for index, element in self._calls.give(call, observation):
            if index in self.observations:
                continue
            results = self._calls.results(index)
            if results is None:
                instructions += self._stalled_if_over(index)
            else:
                instructions.append(self._finish(index, results[0] if element is None else gathered(results)))
        return instructions

    def _finish(self, index: int, observation: Observation) -> Finished:
        self.observations[index] = observation
        self._unsettled += self._waits.finish(index, done=observation.status == "done")
        self._stalls.end(index)
        return Finished(index, observation)

    def _drop(self, index: int) -> None:
        """A task has ended otherwise: none of its calls begins any more."""
        for call in self._calls.drop(index):
            self._slots.leave(call)

    def _withdraw(self, calls: Iterable[ReadyCall]) -> None:
        """Calls of a task that has ended otherwise serve nobody any more: those that waited for them need others."""
        for call in calls:
            for other in self._disown(call):
                self._calls.want_again(other)

    def _disown(self, call: ReadyCall) -> list[ReadyCall]:
        """Let a call serve nobody any more; return those that waited for it."""
        self._stalls.loosen(call.index)
        return self._calls.disown(call)

    def _stalled_if_over(self, index: int) -> list[Stalled]:
        """A task is stalled if all its calls are back, and one that it made was abandoned."""
        over = index in self._incomplete and index not in self.observations and not self._calls.open(index)
        return self._stalls.begin(index) if over else []

    # -- what always holds --------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check what must hold after every event: for tests, since it looks at everything.

        Raises:
            AssertionError: It does not hold.
        """
        unfinished = [index for index in self.tasks if index not in self.observations]
        in_turn = [index for index in unfinished if self.tasks[index].tool in self._effects]
        self._waits.validate(unfinished, self.observations, in_turn)
        self._calls.validate(self.observations)
        self._heights.validate()
        self._stalls.validate(self.waiting_for)
        self._validate_slots()
        assert not self._unsettled
        for index in unfinished:
            released = bool(self._calls.of(index))
            assert released == self._waits.over(index), f"task {index} is released too early, or too late"
            assert released or not any(map(self._lost, self._waits.needs(index))), f"task {index} is to be skipped"
        for index in self._incomplete.difference(self.observations):
            assert self._calls.open(index) or index in self._stalls, f"task {index} waits for ever"

    def _validate_slots(self) -> None:
        running = self._calls.in_state(CallState.RUNNING)
        waiting = self._calls.in_state(CallState.READY)
        for call in (*running, *waiting):
            assert not self._is_held(call) or call.index in self._claimed, f"{call.id} is held"
        ids = {(call.index, call.element or 0) for call in waiting}
        self._slots.validate(Counter(call.tool for call in running), ids)
