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
[Finish(index=1, ...), Release(index=2), Start(index=2, element=None, arguments={'expression': 8611})]

The rules, all of them:

- *Release*: when every dependency is done. If one failed or was skipped, the task is skipped, and so on down the line;
  nothing else is touched.
- *Start*: released tasks start at once, all of them; where `max_concurrency` or a tool's own limit leaves no room, in
  the order of the optimiser's passes (critical path first). A task that fans out makes one call per element, each
  taking a place of its own.
- *Held* tasks (of tools with effects, or that the caller holds) start only once `claim`ed, that is when the plan is
  complete and somebody answers for them. Tasks with effects also keep plan order among themselves, whatever they read:
  each is released when all before it are finished, whatever became of those.
- *Equal calls* of read-only tools are made once, alone or as one of a fan-out; what the call gives serves all. If the
  task that makes it is rejected, another of them makes it. Once a call with effects has returned, what was read before
  serves no task that is released from then on. Of tools that see the graph's state, every call is made.
- *Suspended* calls (they want a human) give their place back, and are made again once their task is claimed again and
  there is room. They serve nobody meanwhile: the equal ones that waited for them wait for claims of their own.

Every event costs in proportion to what it changes, except that calls waiting for room are sorted when some join them.

May know: `errors`, `expressions`, `passes`, `plan`, `references`, `schema`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from llmcompiler_graph.core.checking.expressions import grouped
from llmcompiler_graph.core.checking.schema import fit_text
from llmcompiler_graph.core.errors import ObservationPathError
from llmcompiler_graph.core.language.plan import Observation, Task, ToolSpec, gathered
from llmcompiler_graph.core.language.references import JSON, fan_out, substitute
from llmcompiler_graph.core.schedule.passes import PASSES, CallId, Known, Pass, ReadyCall, call_key, heights

__all__ = ("Finish", "Instruction", "Release", "Start", "TaskFetchingUnit", "resolved")


@dataclass(frozen=True, slots=True)
class Release:
    """The task's inputs exist."""

    index: int
    """The task."""


@dataclass(frozen=True, slots=True)
class Start:
    """Call the task's tool now."""

    index: int
    """The task."""
    element: int | None
    """Which of the calls of a task that fans out, from 0; `None` for a task of one call."""
    arguments: Mapping[str, JSON]
    """What to call it with."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The task has an observation."""

    index: int
    """The task."""
    observation: Observation
    """What became of it."""


Instruction: TypeAlias = Release | Start | Finish


class TaskFetchingUnit:
    """Decides what runs when. Every method takes one event and returns what is to be done now, in order.

    Args:
        tools: What is known of the tools; unknown ones may run in parallel and early, and are never deduplicated.
        held: Names of tools whose tasks start only once claimed, besides those with effects.
        unshared: Names of tools of which every call is made, besides those that are not read-only or see the state.
        max_concurrency: How many calls may run at a time.
        tool_concurrency: `{tool: how many of its calls may run at a time}`.
        passes: The optimiser's.
    """

    def __init__(
        self,
        tools: Iterable[ToolSpec] = (),
        *,
        held: Iterable[str] = (),
        unshared: Iterable[str] = (),
        max_concurrency: int | None = None,
        tool_concurrency: Mapping[str, int] | None = None,
        passes: Sequence[Pass] = PASSES,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        shared = {name for name, tool in self._tools.items() if tool.repeatable and not tool.sees_state}
        self._shared = shared.difference(unshared)
        self._effects = {name for name, tool in self._tools.items() if tool.has_effects}
        self._held = self._effects | set(held)
        self._limit = max_concurrency
        self._limits = dict(tool_concurrency or {})
        self._passes = passes

        self.tasks: dict[int, Task] = {}
        """Every task added, `{index: task}`."""
        self.observations: dict[int, Observation] = {}
        """What became of those that are finished, `{index: observation}`."""
        self.arguments: dict[int, tuple[Mapping[str, JSON], ...]] = {}
        """The resolved arguments of released tasks, one per call, `{index: (arguments, …)}`."""
        self._needs: dict[int, set[int]] = {}  # index -> tasks whose failure skips it
        self._blockers: dict[int, set[int]] = {}  # index -> those of them that are unfinished
        self._dependents: dict[int, list[int]] = {}  # index -> tasks that need it
        self._effect_order: OrderedDict[int, None] = OrderedDict()  # unfinished tasks with effects, in plan order
        self._unsettled: deque[int] = deque()  # tasks to look at: something they wait for has changed
        self._calls: dict[int, list[ReadyCall]] = {}  # index -> its calls, once released
        self._arrived: list[ReadyCall] = []  # released, not yet seen by the passes
        self._ready: list[ReadyCall] = []  # waiting for room
        self._sorted = True  # whether these are in the passes' order
        self._ready_calls: Counter[str] = Counter()  # tool -> how many of these are its
        self._parked: dict[int, list[ReadyCall]] = {}  # index -> its calls that wait for a claim
        self._sharing: dict[CallId, list[ReadyCall]] = {}  # a call -> those it will serve too
        self._made: dict[str, CallId] = {}  # key -> the call that is made
        self._changed = False  # whether something was: what is restored from then on may have been read before
        self._running: Counter[str] = Counter()  # tool -> calls under way
        self._results: dict[int, dict[int, Observation]] = {}  # index -> element -> what the call gave
        self._claimed: set[int] = set()
        self._abandoned: Counter[int] = Counter()  # index -> calls that give nothing
        self._heights: dict[int, int] = {}  # index -> longest chain of tasks waiting for it
        self._heights_known = True

    # -- events -------------------------------------------------------------------------------------------------

    def add(self, task: Task) -> list[Instruction]:
        """A task of the plan arrived. A task that was only known to be unusable is replaced."""
        index = task.index
        assert index not in self.tasks, f"task {index} was added before"
        assert index not in self.arguments, f"task {index} was finished before it was added"
        self.observations.pop(index, None)
        self.tasks[index] = task
        self._needs[index] = set(task.dependencies)
        self._blockers[index] = {n for n in self._needs[index] if n not in self.observations}
        for n in self._needs[index]:
            self._dependents.setdefault(n, []).append(index)
        if task.tool in self._effects:
            self._effect_order[index] = None
        self._heights_known = False
        self._unsettled.append(index)
        return self._settle()

    def reject(self, index: int, error: str) -> list[Instruction]:
        """A task of the plan cannot be used: it counts as failed, also if it was started or done already."""
        ended: list[Instruction] = []
        if index not in self.observations:
            ended.append(self._finish(index, Observation("failed", error=error)))
        elif self.observations[index].status == "done":
            self.observations[index] = Observation("failed", error=error)
            self._unsettled += [n for n in self._dependents.get(index, ()) if n not in self._calls]
        self._withdraw(self._calls.get(index, ()))
        return [*ended, *self._settle()]

    def restore(
        self, index: int, observation: Observation, arguments: Iterable[Mapping[str, JSON]] = (), tool: str = ""
    ) -> list[Instruction]:
        """A task was finished before (an earlier plan, or an earlier process): nothing is run for it.

        Args:
            index: The task, added here or not.
            observation: What became of it.
            arguments: The resolved arguments of its calls.
            tool: The tool it called; equal calls of a read-only tool need not be made again.
        """
        calls = self.arguments[index] = tuple(arguments)
        if tool in self._effects and observation.status != "skipped":
            self._forget_calls()
        ended: list[Instruction] = [self._finish(index, observation)]
        released = self._calls.get(index, ())
        fans_out = released[0].element is not None if released else None
        for element, value in _restored(observation, len(calls), fans_out).items():
            if tool in self._shared and not self._changed:
                self._made[call_key(tool, calls[element or 0])] = (index, element)
            ended += self._returned((index, element), Observation("done", value))
        self._withdraw(call for call in released if self._result(call.id) is None)
        return [*ended, *self._settle()]

    def claim(self, index: int) -> list[Instruction]:
        """Somebody answers for a task: it may start even if it is held, and start again if it was suspended."""
        self._claimed.add(index)
        if index in self.observations:
            return []
        self._arrived += self._parked.pop(index, ())
        return self._settle()

    def finished(self, index: int, element: int | None, observation: Observation) -> list[Instruction]:
        """A call returned or raised."""
        tool = self.tasks[index].tool
        self._running[tool] -= 1
        if tool in self._effects:
            self._forget_calls()
        return [*self._returned((index, element), observation), *self._settle()]

    def suspended(self, index: int, element: int | None) -> list[Instruction]:
        """A call gave its place back without a result; it is made again when its task is claimed."""
        self._running[self.tasks[index].tool] -= 1
        call = self._calls[index][element or 0]
        for each in (call, *self._unserved(call)):
            if each.index == index or each.index not in self._claimed:
                self._parked.setdefault(each.index, []).append(each)
            else:
                self._arrived.append(each)
        return self._settle()

    def abandoned(self, index: int, element: int | None) -> list[Instruction]:
        """A call gave its place back without a result, and is not made again: nor do those get one that it serves."""
        self._running[self.tasks[index].tool] -= 1
        call = self._calls[index][element or 0]
        self._abandoned.update(each.index for each in (call, *self._sharing.get(call.id, ())))
        return self._settle()

    def expire(self, errors: Mapping[int, str]) -> list[Instruction]:
        """No time is left for these unfinished tasks: they fail, and calls of theirs that come back change nothing."""
        ended = [self._finish(index, Observation("failed", error=error)) for index, error in errors.items()]
        for index in errors:
            self._withdraw(self._calls.get(index, ()))
        return [*ended, *self._settle()]

    def under_way(self, index: int) -> bool:
        """Whether a call of a released task is being made, or waits for room or for an equal one that is."""
        back = len(self._results.get(index, ())) + self._abandoned[index]
        return index not in self.observations and back < len(self._calls[index])

    def waiting_for(self, index: int) -> set[int]:
        """Every unfinished task that waits for a task, directly or not: for data, order or an equal call."""
        next_effect = dict(pairwise(self._effect_order))
        found = {index}
        pending = [index]
        while pending:
            n = pending.pop()
            following = (next_effect[n],) if n in next_effect else ()
            served = (each.index for call in self._calls.get(n, ()) for each in self._sharing.get(call.id, ()))
            for waiting in (*self._dependents.get(n, ()), *served, *following):
                if waiting not in found and waiting not in self.observations:
                    found.add(waiting)
                    pending.append(waiting)
        return found - {index}

    # -- consequences -------------------------------------------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Release, skip, serve and start until nothing follows from anything any more."""
        instructions: list[Instruction] = []
        while self._unsettled or self._arrived:
            while self._unsettled:
                instructions += self._look(self._unsettled.popleft())
            instructions += self._place()
        return instructions + self._fill()

    def _look(self, index: int) -> list[Instruction]:
        """Release, skip or serve a task, if it is time."""
        if index in self.observations or index in self._calls:
            return []
        cause = min((n for n in self._needs[index] if self._lost(n)), default=None)
        if cause is not None:
            error = f"not run: it needs task {cause}, which {self._fate(cause)}"
            return [self._finish(index, Observation("skipped", error=error))]
        in_turn = index not in self._effect_order or index == next(iter(self._effect_order))
        return self._release(self.tasks[index]) if in_turn and not self._blockers[index] else []

    def _lost(self, index: int) -> bool:
        observation = self.observations.get(index)
        return observation is not None and observation.status != "done"

    def _fate(self, index: int) -> str:
        return "failed" if self.observations[index].status == "failed" else "was not run either"

    def _release(self, task: Task) -> list[Instruction]:
        values = {n: self.observations[n].value for n in task.dependencies}
        try:
            calls, fans_out = resolved(task, self._tools.get(task.tool), values)
        except ObservationPathError as error:
            return [Release(task.index), self._finish(task.index, Observation("failed", error=str(error)))]
        self.arguments[task.index] = tuple(calls)
        if not calls:
            return [Release(task.index), self._finish(task.index, Observation("done", []))]
        shared = task.tool in self._shared
        self._calls[task.index] = [
            ReadyCall(task.index, n if fans_out else None, task.tool, each, call_key(task.tool, each) if shared else "")
            for n, each in enumerate(calls)
        ]
        self._arrived += self._calls[task.index]
        return [Release(task.index)]

    def _place(self) -> list[Instruction]:
        """Find each call that arrived its place: parked (nobody shares it then), served by an equal one, or ready."""
        arrived, self._arrived = self._arrived, []
        wanted: list[ReadyCall] = []
        for call in arrived:
            if call.tool in self._held and call.index not in self._claimed:
                self._parked.setdefault(call.index, []).append(call)
            else:
                wanted.append(call)
        instructions: list[Instruction] = []
        for call in self._optimised(wanted):
            if call.same_as is None:
                if call.key:
                    self._made[call.key] = call.id
                self._queue(call)
            elif (known := self._result(call.same_as)) is not None:
                instructions += self._returned(call.id, known)
            else:
                self._sharing.setdefault(call.same_as, []).append(call)
                self._heights_known = False
        return instructions

    def _result(self, call: CallId) -> Observation | None:
        index, element = call
        return self._results.get(index, {}).get(element or 0)

    def _returned(self, call: CallId, observation: Observation) -> list[Instruction]:
        """Note what a call gave, for its own task and for those it serves; finish those that are complete by it."""
        instructions: list[Instruction] = []
        for index, element in (call, *(each.id for each in self._sharing.pop(call, ()))):
            results = self._results.setdefault(index, {})
            results.setdefault(element or 0, observation)
            if index not in self.observations and len(results) == len(self._calls[index]):
                whole = results[0] if element is None else gathered(results)
                instructions.append(self._finish(index, whole))
        return instructions

    def _withdraw(self, calls: Iterable[ReadyCall]) -> None:
        """Calls of a task that has ended otherwise serve nobody any more: those that waited for them need others."""
        for call in calls:
            self._arrived += self._unserved(call)

    def _unserved(self, call: ReadyCall) -> list[ReadyCall]:
        """Let a call serve nobody any more; return those that waited for it."""
        if self._made.get(call.key) == call.id:
            del self._made[call.key]
        return [each for each in self._sharing.pop(call.id, ()) if each.index not in self.observations]

    def _queue(self, call: ReadyCall) -> None:
        self._ready.append(call)
        self._ready_calls[call.tool] += 1
        self._sorted = False

    def _forget_calls(self) -> None:
        """Something has changed: only calls that have not begun serve those to come."""
        self._changed = True
        waiting = {call.id for call in self._ready if call.index not in self.observations}
        self._made = {key: call for key, call in self._made.items() if call in waiting}

    def _fill(self) -> list[Instruction]:
        """Start what is ready, as far as there is room."""
        if not self._room_for_any():
            return []
        if not (self._sorted and self._heights_known):
            self._ready, self._sorted = self._optimised(self._ready), True
        instructions: list[Instruction] = []
        waiting: list[ReadyCall] = []
        for position, call in enumerate(self._ready):
            if not self._room_for_any():
                waiting += self._ready[position:]
                break
            if call.index not in self.observations and not self._room(call.tool):
                waiting.append(call)
                continue
            self._ready_calls[call.tool] -= 1
            if call.index not in self.observations:
                self._running[call.tool] += 1
                instructions.append(Start(call.index, call.element, call.arguments))
        self._ready = waiting
        return instructions

    def _room(self, tool: str) -> bool:
        full = self._limit is not None and self._running.total() >= self._limit
        return not full and (tool not in self._limits or self._running[tool] < self._limits[tool])

    def _room_for_any(self) -> bool:
        return any(self._room(tool) for tool, calls in self._ready_calls.items() if calls)

    def _optimised(self, calls: Sequence[ReadyCall]) -> list[ReadyCall]:
        """Apply the optimiser's passes."""
        if len(calls) > 1 and not self._heights_known:
            unfinished = [n for n in self.tasks if n not in self.observations]
            sharing: dict[int, list[int]] = {}
            for (first, _), served in self._sharing.items():
                sharing.setdefault(first, []).extend(each.index for each in served)
            self._heights = heights(unfinished, self._needs, self._effect_order, sharing)
            self._heights_known = True
        known = Known(self._made, self._heights)
        optimised = list(calls)
        for optimise in self._passes:
            optimised = optimise(optimised, known)
        return optimised

    def _finish(self, index: int, observation: Observation) -> Finish:
        self.observations[index] = observation
        for dependent in self._dependents.get(index, ()):
            self._blockers[dependent].discard(index)
            if observation.status != "done" or not self._blockers[dependent]:
                self._unsettled.append(dependent)
        if index in self._effect_order:
            del self._effect_order[index]
            if self._effect_order:
                self._unsettled.append(next(iter(self._effect_order)))
        return Finish(index, observation)


def resolved(task: Task, spec: ToolSpec | None, values: Mapping[int, JSON]) -> tuple[list[Mapping[str, JSON]], bool]:
    """Put the values of other tasks into a task's arguments.

    Args:
        task: The task.
        spec: What is known of its tool.
        values: What the tasks it takes data from have returned, `{index: value}`.

    Returns:
        The arguments of each of its calls, and whether it fans out: else there is just one.

    Raises:
        ObservationPathError: A reference points to a part that its observation does not have.
        KeyError: There is no value for a reference.
    """
    parameters, definitions = (spec.parameters, spec.definitions) if spec else ({}, {})
    given = {name: grouped(value, parameters.get(name), definitions) for name, value in task.arguments.items()}
    spread = fan_out(given, values)
    calls = [{name: substitute(value, values) for name, value in given.items()}] if spread is None else spread
    fitted = [
        {name: fit_text(value, parameters.get(name), definitions) for name, value in call.items()} for call in calls
    ]
    return list(fitted), spread is not None


def _restored(observation: Observation, calls: int, fans_out: bool | None) -> dict[int | None, JSON]:
    """What each call of a finished task is known to have returned, by element.

    Nothing is known of an element without a value in a task that has failed; nor of a list of one, if it may be what
    one call returned or the list of what one element gave.
    """
    value, done = observation.value, observation.status == "done"
    if calls == 1 and not fans_out:
        ambiguous = fans_out is None and isinstance(value, list) and len(value) == 1
        return {None: value} if done and not ambiguous else {}
    elements = value if isinstance(value, list) and len(value) == calls else []
    return {n: each for n, each in enumerate(elements) if done or each is not None}
