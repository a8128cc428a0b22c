"""The task fetching unit (section 3.2 of the paper): releases each task the moment its inputs exist.

A pure state machine: events in, instructions out; no I/O, no clock, no asyncio. Tasks may be added while others run,
because references point only backwards.

>>> from llmcompiler_graph.references import Reference
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
  complete and somebody answers for them. Tasks with effects also keep plan order among themselves, whatever they read.
- *Equal calls* of read-only tools are made once; the observation serves all. If the one call fails, all fail.
- *Suspended* tasks (their call wants a human) give their place back and start again when claimed again.

May know: `plan`, `references`, `schema`, `optimize`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from llmcompiler_graph.errors import ObservationPathError
from llmcompiler_graph.optimize import PASSES, Known, ReadyCall, call_key
from llmcompiler_graph.plan import Observation, Task, ToolSpec
from llmcompiler_graph.references import JSON, fan_out, substitute
from llmcompiler_graph.schema import fit_text

__all__ = ("Finish", "Instruction", "Release", "Start", "TaskFetchingUnit")


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
    same_as: int | None = None
    """The earlier task whose call served it too."""


Instruction: TypeAlias = Release | Start | Finish


class TaskFetchingUnit:
    """Decides what runs when. Every method takes one event and returns what is to be done now, in order.

    Args:
        tools: What is known of the tools; unknown ones may run in parallel and early, and are never deduplicated.
        held: Names of tools whose tasks start only once claimed, besides those with effects.
        max_concurrency: How many calls may run at a time.
        tool_concurrency: `{tool: how many of its calls may run at a time}`.
    """

    def __init__(
        self,
        tools: Iterable[ToolSpec] = (),
        *,
        held: Iterable[str] = (),
        max_concurrency: int | None = None,
        tool_concurrency: Mapping[str, int] | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._repeatable = {name for name, tool in self._tools.items() if tool.repeatable}
        self._effects = {name for name, tool in self._tools.items() if tool.has_effects}
        self._held = self._effects | set(held)
        self._limit = max_concurrency
        self._limits = dict(tool_concurrency or {})

        self.tasks: dict[int, Task] = {}
        """Every task added, `{index: task}`."""
        self.observations: dict[int, Observation] = {}
        """What became of those that are finished, `{index: observation}`."""
        self.arguments: dict[int, tuple[Mapping[str, JSON], ...]] = {}
        """The resolved arguments of released tasks, one per call, `{index: (arguments, …)}`."""
        self._blockers: dict[int, set[int]] = {}  # index -> unfinished tasks it waits for
        self._dependents: dict[int, list[int]] = {}  # index -> tasks that wait for it, data or order
        self._needs: dict[int, set[int]] = {}  # index -> tasks whose failure skips it
        self._height: dict[int, int] = {}  # index -> longest chain of tasks waiting for it
        self._last_effect: int | None = None
        self._ready: list[ReadyCall] = []  # released, calls not all started
        self._started: dict[int, int] = {}  # index -> how many of its calls were started
        self._running: dict[str, int] = {}  # tool -> calls under way
        self._results: dict[int, dict[int | None, Observation]] = {}  # index -> element -> what the call gave
        self._made: dict[str, int] = {}  # key of a call -> the task that makes it
        self._unsettled: deque[int] = deque()  # tasks to look at: something they wait for has changed
        self._claimed: set[int] = set()
        self._suspended: dict[int, list[int | None]] = {}  # index -> elements whose call was suspended

    # -- events -------------------------------------------------------------------------------------------------

    def add(self, task: Task) -> list[Instruction]:
        """A task of the plan arrived. A task that was only known to be unusable is replaced."""
        index = task.index
        assert index not in self.tasks, f"task {index} was added before"
        self.observations.pop(index, None)
        self.tasks[index] = task
        self._needs[index] = set(task.dependencies)
        waits = set(task.dependencies)
        if task.tool in self._effects:
            if self._last_effect is not None:
                waits.add(self._last_effect)
            self._last_effect = index
        self._blockers[index] = {n for n in waits if n not in self.observations}
        for n in waits:
            self._dependents.setdefault(n, []).append(index)
        self._raise_heights(index)
        self._unsettled.append(index)
        return self._settle()

    def reject(self, index: int, error: str) -> list[Instruction]:
        """A task of the plan cannot be used: it counts as failed, also if it was started already."""
        if index in self.observations:
            return []
        self._ready = [call for call in self._ready if call.index != index]
        return [self._finish(index, Observation("failed", error=error)), *self._settle()]

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
        self._ready = [call for call in self._ready if call.index != index]
        self.arguments[index] = tuple(arguments)
        if tool in self._repeatable and observation.status == "done":
            # a fanned-out observation is a list, so its call never stands for a plain one
            self._made.setdefault(call_key(tool, len(self.arguments[index]) != 1, self.arguments[index]), index)
        return [self._finish(index, observation), *self._settle()]

    def claim(self, index: int) -> list[Instruction]:
        """Somebody answers for a task: it may start even if it is held, and start again if it was suspended."""
        self._claimed.add(index)
        starts: list[Instruction] = []
        for element in self._suspended.pop(index, ()):
            self._running[self.tasks[index].tool] = self._running.get(self.tasks[index].tool, 0) + 1
            starts.append(Start(index, element, self.arguments[index][element or 0]))
        return starts + self._settle()

    def finished(self, index: int, element: int | None, observation: Observation) -> list[Instruction]:
        """A call returned or raised."""
        self._running[self.tasks[index].tool] -= 1
        results = self._results.setdefault(index, {})
        results[element] = observation
        if index in self.observations or len(results) < len(self.arguments[index]):
            return self._settle()  # rejected while it ran, or more calls to come
        whole = observation if element is None else _gather(results)
        return [self._finish(index, whole), *self._settle()]

    def suspended(self, index: int, element: int | None) -> list[Instruction]:
        """A call gave its place back without a result; it starts again when its task is claimed."""
        self._running[self.tasks[index].tool] -= 1
        self._suspended.setdefault(index, []).append(element)
        return self._settle()

    def waiting_for(self, index: int) -> set[int]:
        """Every unfinished task that waits for a task, directly or not, data, order or equal call."""
        found: set[int] = set()
        pending = [index]
        while pending:
            n = pending.pop()
            shared = [call.index for call in self._ready if call.same_as == n]
            for dependent in (*self._dependents.get(n, ()), *shared):
                if dependent not in found and dependent not in self.observations:
                    found.add(dependent)
                    pending.append(dependent)
        return found

    # -- consequences -------------------------------------------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Release, skip, start and serve until nothing follows from anything any more."""
        instructions: list[Instruction] = []
        while True:
            while self._unsettled:
                instructions += self._look(self._unsettled.popleft())
            instructions += self._fill()
            if not self._unsettled:
                return instructions

    def _look(self, index: int) -> list[Instruction]:
        """Release or skip a task, if it is time."""
        if index in self.observations or index in self.arguments:
            return []
        cause = min((n for n in self._needs[index] if self._lost(n)), default=None)
        if cause is not None:
            error = f"not run: it needs task {cause}, which {self._fate(cause)}"
            return [self._finish(index, Observation("skipped", error=error))]
        return [] if self._blockers[index] else self._release(self.tasks[index])

    def _lost(self, index: int) -> bool:
        observation = self.observations.get(index)
        return observation is not None and observation.status != "done"

    def _fate(self, index: int) -> str:
        return "failed" if self.observations[index].status == "failed" else "was not run either"

    def _release(self, task: Task) -> list[Instruction]:
        values = {n: self.observations[n].value for n in task.dependencies}
        try:
            spread = fan_out(task.arguments, values)
            calls = [substitute(dict(task.arguments), values)] if spread is None else spread
        except ObservationPathError as error:
            return [Release(task.index), self._finish(task.index, Observation("failed", error=str(error)))]
        resolved = tuple(self._fitted(task.tool, call) for call in calls if isinstance(call, dict))
        self.arguments[task.index] = resolved
        if not resolved:
            return [Release(task.index), self._finish(task.index, Observation("done", []))]
        fans_out = spread is not None
        key = call_key(task.tool, fans_out, resolved) if task.tool in self._repeatable else ""
        self._ready.append(ReadyCall(task.index, task.tool, resolved, fans_out, key))
        return [Release(task.index)]

    def _fitted(self, tool: str, arguments: Mapping[str, JSON]) -> dict[str, JSON]:
        spec = self._tools.get(tool)
        if spec is None:
            return dict(arguments)
        return {name: fit_text(v, spec.parameters.get(name), spec.definitions) for name, v in arguments.items()}

    def _fill(self) -> list[Instruction]:
        """Start what is ready, as far as there is room."""
        instructions: list[Instruction] = []
        known = Known(self._made, self._height)
        calls: list[ReadyCall] = self._ready
        for optimise in PASSES:
            calls = optimise(calls, known)
        self._ready = []
        for call in calls:
            if call.same_as is not None:
                if (observation := self.observations.get(call.same_as)) is not None:
                    instructions.append(self._finish(call.index, observation, call.same_as))
                else:
                    self._ready.append(call)
                continue
            if call.tool in self._held and call.index not in self._claimed:
                self._ready.append(call)
                continue
            if call.key:
                self._made.setdefault(call.key, call.index)
            started = self._started.get(call.index, 0)
            while started < len(call.arguments) and self._room(call.tool):
                element = started if call.fans_out else None
                instructions.append(Start(call.index, element, call.arguments[started]))
                self._running[call.tool] = self._running.get(call.tool, 0) + 1
                started += 1
            self._started[call.index] = started
            if started < len(call.arguments):
                self._ready.append(call)
        return instructions

    def _room(self, tool: str) -> bool:
        if self._limit is not None and sum(self._running.values()) >= self._limit:
            return False
        limit = self._limits.get(tool)
        return limit is None or self._running.get(tool, 0) < limit

    def _finish(self, index: int, observation: Observation, same_as: int | None = None) -> Finish:
        self.observations[index] = observation
        for dependent in self._dependents.get(index, ()):
            self._blockers[dependent].discard(index)
            self._unsettled.append(dependent)
        return Finish(index, observation, same_as)

    def _raise_heights(self, index: int) -> None:
        pending = [(index, 0)]
        while pending:
            n, height = pending.pop()
            if self._height.get(n, -1) < height:
                self._height[n] = height
                pending += [(need, height + 1) for need in self._needs.get(n, ())]


def _gather(results: Mapping[int | None, Observation]) -> Observation:
    """The observation of a task that fanned out: the list, in order; failed if one call failed."""
    ordered = [results[element] for element in range(len(results))]
    attachments = tuple(each.attachment for each in ordered)
    failures = [(n, each.error) for n, each in enumerate(ordered) if each.status != "done"]
    if not failures:
        return Observation("done", [each.value for each in ordered], attachment=attachments)
    n, error = failures[0]
    kept = json.dumps([each.value if each.status == "done" else None for each in ordered], ensure_ascii=False)
    text = f"{len(failures)} of {len(ordered)} calls failed, the first on element {n}: {error}; results: {kept}"
    return Observation("failed", error=text, attachment=attachments)
