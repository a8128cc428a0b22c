"""The tasks of a plan while it is written: the phase of each, what moves it to another, and their order.

A task that cannot be used is `broken` until it is written again or given up. One that can be used, but reads another
thing than it names, is `doubted`: if it is not written again, it is taken as it stands. While a task is either (it is
*open* then), whatever needs it waits, and so does every task with effects, because these keep plan order.

    event      from                                          to
    write      nothing, broken, doubted, failed              written
    hold       written                                       held
    doubt      written, waiting, held                        doubted
    wait       written, doubted                              waiting
    schedule   written, waiting, held                        scheduled
    refuse     written, broken, doubted, waiting             broken
    fail       written, broken, scheduled, skipped, failed   failed
    skip       scheduled                                     skipped

Every task is `written` for as long as it is being checked. A calculation that may be the last task is `held` until
another follows or the plan is whole: it is then scheduled, or doubted if it does not give what is asked for. A
scheduled task is in the executor's hands; it is skipped if it was begun with an observation that turned out to be
unusable. Only the unreadable line of a failed task is written again: the task itself may follow it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias, get_args

from llmcompiler_graph.core.errors import Diagnostic
from llmcompiler_graph.core.language.plan import Task
from llmcompiler_graph.state import TaskRecord

__all__ = ("Broken", "DraftTask", "DraftTasks", "Event", "Phase")

Phase: TypeAlias = Literal["written", "broken", "held", "doubted", "waiting", "scheduled", "failed", "skipped"]
Event: TypeAlias = Literal["write", "hold", "doubt", "wait", "schedule", "refuse", "fail", "skip"]

_TRANSITIONS: dict[Event, tuple[Collection[Phase], Phase]] = {
    "write": (("broken", "doubted", "failed"), "written"),
    "hold": (["written"], "held"),
    "doubt": (("written", "waiting", "held"), "doubted"),
    "wait": (("written", "doubted"), "waiting"),
    "schedule": (("written", "waiting", "held"), "scheduled"),
    "refuse": (("written", "broken", "doubted", "waiting"), "broken"),
    "fail": (("written", "broken", "scheduled", "skipped", "failed"), "failed"),
    "skip": (["scheduled"], "skipped"),
}
_DECIDED: Collection[Phase] = ("scheduled", "failed", "skipped")  # nothing waits for a task in one of these
_USABLE: Collection[Phase] = ("written", "held", "doubted", "waiting", "scheduled")


class Broken(NamedTuple):
    """A task that is to be written again, or the whole plan if nothing in it could be read."""

    task: int | None
    """Its index; `None` for the whole plan."""
    line: str
    """The line as it was written; empty for the whole plan."""
    diagnostics: list[Diagnostic]
    """What is wrong with it."""


@dataclass(slots=True, eq=False)
class DraftTask:
    """One task of a plan that is being written."""

    index: int
    """Its index."""
    place: int
    """Where it stands: tasks are in ascending order of this."""
    phase: Phase = "written"
    """Its phase."""
    record: TaskRecord | None = None
    """What the state is told of it; `None` while it is asked for and was never written."""
    task: Task | None = None
    """The task with its arguments by name; `None` if its line could not be read."""
    written: Task | None = None
    """The task as it was written."""
    problems: list[Diagnostic] = field(default_factory=list)
    """What is wrong with it, or is doubted; of an open task, since it was last asked for."""
    asked: Broken | None = None
    """What the planner was told when it was last asked for."""
    needs: tuple[int, ...] = ()
    """The tasks it needs, by index."""
    blockers: set[int] = field(default_factory=set)
    """Of a waiting task, those it needs that are open or waiting."""


class DraftTasks:
    """The tasks of one draft.

    Args:
        effects: Names of the tools with effects.
    """

    def __init__(self, effects: Collection[str]) -> None:
        self._effects = effects
        self._tasks: dict[int, DraftTask] = {}
        self._by_phase: dict[Phase, dict[int, DraftTask]] = {phase: {} for phase in get_args(Phase)}
        self._dependents: dict[int, set[int]] = {}  # index -> tasks that were written to need it
        self._last_place = 0
        self._in_order = True  # whether each usable task stands behind those it needs
        # waiting tasks that wait for no other, by place and index; those with effects wait until nothing is open
        self._ready: list[tuple[int, int]] = []
        self._ready_effects: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[DraftTask]:
        """All of them, in order."""
        self._restore_order()
        return iter(sorted(self._tasks.values(), key=attrgetter("place")))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def get(self, index: int) -> DraftTask | None:
        """The task of an index, if there is one."""
        return self._tasks.get(index)

    def within(self, *phases: Phase) -> list[DraftTask]:
        """Those in some phases, in order."""
        tasks = [other for phase in phases for other in self._by_phase[phase].values()]
        if tasks:
            self._restore_order()
        return sorted(tasks, key=lambda other: other.place)

    @property
    def any_open(self) -> bool:
        """Whether a task is broken or doubted."""
        return bool(self._by_phase["broken"] or self._by_phase["doubted"])

    # -- events -------------------------------------------------------------------------------------------------

    def write(self, index: int, *, in_place: bool = False, before: int | None = None) -> DraftTask:
        """A task is written, for the first time or again; it has neither record nor task yet.

        Args:
            index: Its index.
            in_place: Whether it stays where it stood, if it had a record.
            before: The task that it is to stand before, if that is there; else it stands last.
        """
        known = self._tasks.get(index)
        if known is not None and in_place and known.record is not None:
            place = known.place
        else:
            place = self._place_before(before)
        if known is not None:
            self._move(known, "write")
            del self._by_phase["written"][index]
        entry = self._tasks[index] = self._by_phase["written"][index] = DraftTask(index, place)
        return entry

    def take(self, entry: DraftTask, task: Task, written: Task, record: TaskRecord) -> None:
        """What was written is a task."""
        entry.task, entry.written, entry.record = task, written, record
        entry.needs = task.dependencies
        for n in entry.needs:
            self._dependents.setdefault(n, set()).add(entry.index)

    def hold(self, entry: DraftTask) -> None:
        """A task that can be used may be the last."""
        self._move(entry, "hold")

    def doubt(self, entry: DraftTask, doubts: list[Diagnostic]) -> None:
        """A task that can be used may be written again."""
        self._move(entry, "doubt")
        entry.problems = doubts

    def wait(self, entry: DraftTask) -> None:
        """A task that can be used cannot be scheduled yet."""
        self._move(entry, "wait")
        entry.blockers = self._undecided_needs(entry)
        self._queue_if_ready(entry)

    def schedule(self, entry: DraftTask) -> None:
        """A task is handed over to the executor."""
        self._move(entry, "schedule")

    def refuse(self, entry: DraftTask, problems: list[Diagnostic]) -> None:
        """A task cannot be used, but may be written again."""
        self._move(entry, "refuse")
        entry.problems += problems

    def fail(self, entry: DraftTask, problems: list[Diagnostic]) -> None:
        """A task cannot be used, and is not written again; one that never was stands last."""
        self._move(entry, "fail")
        entry.problems = problems
        if entry.record is None:
            entry.place = self._next_place()

    def skip_after(self, entry: DraftTask) -> list[tuple[DraftTask, int]]:
        """Give up what was begun with the observation of a task that has failed; return it, each with its cause."""
        stale = {entry.index}
        skipped: list[tuple[DraftTask, int]] = []
        pending = [(other.place, other.index) for other in self._scheduled_dependents(entry)]
        heapify(pending)
        while pending:
            dependent = self._tasks[heappop(pending)[1]]
            if dependent.phase == "scheduled":
                skipped.append((dependent, min(stale.intersection(dependent.needs))))
                self._move(dependent, "skip")
                stale.add(dependent.index)
                for other in self._scheduled_dependents(dependent):
                    heappush(pending, (other.place, other.index))
        return skipped

    def _move(self, entry: DraftTask, event: Event) -> None:
        sources, target = _TRANSITIONS[event]
        assert entry.phase in sources, f"a {entry.phase} task cannot {event}: task {entry.index}"
        was_undecided = entry.phase not in _DECIDED
        del self._by_phase[entry.phase][entry.index]
        entry.phase = target
        self._by_phase[target][entry.index] = entry
        if was_undecided and target in _DECIDED:
            for n in self._dependents.get(entry.index, ()):
                dependent = self._tasks[n]
                if entry.index in dependent.blockers:
                    dependent.blockers.discard(entry.index)
                    self._queue_if_ready(dependent)

    # -- waiting ------------------------------------------------------------------------------------------------

    def must_wait(self, entry: DraftTask) -> bool:
        """Whether a task that was written cannot be scheduled yet."""
        if self._undecided_needs(entry):
            return True
        if not self._has_effects(entry):
            return False
        if self.any_open:
            return True
        self._restore_order()
        waiting = self._by_phase["waiting"].values()
        return any(other.place < entry.place and self._has_effects(other) for other in waiting)

    def next_ready(self) -> DraftTask | None:
        """The first waiting task that need not wait any longer; it is given once."""
        if not self.any_open:
            self._restore_order()
        ready = [self._ready] if self.any_open else [self._ready, self._ready_effects]
        for heap in ready:
            while heap and not self._is_ready(*heap[0]):
                heappop(heap)
        first = min((heap for heap in ready if heap), key=lambda heap: heap[0], default=None)
        return self._tasks[heappop(first)[1]] if first is not None else None

    def _undecided_needs(self, entry: DraftTask) -> set[int]:
        needed = (self._tasks.get(n) for n in entry.needs)
        return {other.index for other in needed if other is not None and other.phase not in _DECIDED}

    def _scheduled_dependents(self, entry: DraftTask) -> list[DraftTask]:
        dependents = (self._tasks[n] for n in self._dependents.get(entry.index, ()))
        return [other for other in dependents if other.phase == "scheduled" and entry.index in other.needs]

    def _has_effects(self, entry: DraftTask) -> bool:
        return entry.task is not None and entry.task.tool in self._effects

    def _queue_if_ready(self, entry: DraftTask) -> None:
        if entry.phase == "waiting" and not entry.blockers:
            heap = self._ready_effects if self._has_effects(entry) else self._ready
            heappush(heap, (entry.place, entry.index))

    def _is_ready(self, place: int, index: int) -> bool:
        entry = self._tasks[index]
        return entry.phase == "waiting" and not entry.blockers and entry.place == place

    # -- order --------------------------------------------------------------------------------------------------

    def put_in_order(self, entry: DraftTask) -> None:
        """Put a task that can be used behind those it needs, and before those that need it.

        If it is written again, it may need any that does not wait for it.
        """
        if not entry.needs and entry.index not in self._dependents:
            return
        dependents = (self._tasks[n] for n in self._dependents.get(entry.index, ()))
        before = all(needed.place < entry.place for needed in self._needs_before(entry))
        self._in_order = self._in_order and before and all(entry.place < other.place for other in dependents)

    def _place_before(self, index: int | None) -> int:
        """A place before a task, for which the others move."""
        target = self._tasks.get(index) if index is not None else None
        if target is None:
            return self._next_place()
        place = target.place
        for other in self._tasks.values():
            other.place += other.place >= place
        self._last_place += 1
        self._in_order = False  # those that are ready are noted by their places
        return place

    def _next_place(self) -> int:
        self._last_place += 1
        return self._last_place

    def _restore_order(self) -> None:
        """Put each usable task behind those it needs, if that is to be done: the order is looked at far more seldom."""
        if self._in_order:
            return
        self._in_order = True
        ordered: list[DraftTask] = []
        seen: set[int] = set()
        for entry in self:
            path = [] if entry.index in seen else [(entry, self._needs_before(entry))]
            seen.add(entry.index)
            while path:
                current, needs = path[-1]
                needed = next((other for other in needs if other.index not in seen), None)
                if needed is None:
                    ordered.append(current)
                    path.pop()
                else:
                    seen.add(needed.index)
                    path.append((needed, self._needs_before(needed)))
        for place, entry in enumerate(ordered, 1):
            entry.place = place
        self._last_place = len(ordered)
        self._ready, self._ready_effects = [], []
        for entry in self._by_phase["waiting"].values():
            self._queue_if_ready(entry)

    def _needs_before(self, entry: DraftTask) -> Iterator[DraftTask]:
        needed = (self._tasks.get(n) for n in entry.needs if entry.phase in _USABLE)
        return (other for other in needed if other is not None)

    def waiting_for(self, task: Task) -> int | None:
        """The first task needed by one written again that waits for it itself, directly or not; `None` if none does."""
        known = self._tasks.get(task.index)
        if known is None or not self._dependents.get(task.index):
            return None
        # what needs a failed one was scheduled
        through: list[Phase] = ["scheduled"] if known.phase == "failed" else ["waiting", "doubted"]
        seen: set[int] = set()
        for n in task.dependencies:
            pending = [n]
            while pending:
                needed = self._tasks.get(pending.pop())
                if needed is None or needed.index in seen or needed.phase not in through:
                    continue
                if task.index in needed.needs:
                    return n
                seen.add(needed.index)
                pending += needed.needs
        return None

    # -- checking -----------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check what must hold after every event; for tests.

        Raises:
            AssertionError: Something does not hold.
        """
        for phase, group in self._by_phase.items():
            assert all(other.phase == phase and self._tasks[n] is other for n, other in group.items()), phase
        assert sum(map(len, self._by_phase.values())) == len(self._tasks), "every task is in one phase"
        assert not self._by_phase["written"], "every task that was written is checked"
        assert len({other.place for other in self._tasks.values()}) == len(self._tasks), "every place is taken once"
        for entry in self:
            self._validate(entry)
        waiting = [other.place for other in self.within("waiting") if self._has_effects(other)]
        scheduled = [other.place for other in self.within("scheduled") if self._has_effects(other)]
        assert not waiting or not scheduled or scheduled[-1] < waiting[0], "effects keep plan order"

    def _validate(self, entry: DraftTask) -> None:
        what = f"task {entry.index}, {entry.phase}"
        assert (entry.record is None) <= (entry.phase == "broken" and entry.asked is not None), what
        status = {"failed": "failed", "skipped": "skipped"}.get(entry.phase, "planned")
        assert entry.record is None or entry.record["status"] == status, what
        assert (entry.phase in ("doubted", "broken", "failed")) >= bool(entry.problems), what
        if entry.phase in _USABLE:
            assert entry.task is not None, what
            usable = [needed for needed in self._needs_before(entry) if needed.phase in _USABLE]
            assert all(needed.place < entry.place for needed in usable), what
        undecided = self._undecided_needs(entry)
        if entry.phase == "waiting":
            assert entry.blockers == undecided, what
        elif entry.phase == "scheduled":
            assert not undecided, what
