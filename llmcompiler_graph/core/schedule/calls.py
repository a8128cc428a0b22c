"""The calls of released tasks, and the state of each call.

    arrived ─┬─> parked ──> arrived                  waits until its task is claimed
             │
             ├─> sharing ─┬─> returned               waits for an equal call, whose result serves both
             │            ├─> abandoned              the equal call gives no result
             │            └─> parked | arrived       the equal call serves no other any more
             │
             └─> ready ──> running ─┬─> returned     waits for a slot, then is under way
                                    ├─> abandoned    gave no result, and is not made again
                                    └─> suspended    gave no result yet, and waits until its task is claimed again
             ┌──────────────────────────────┘
             └─> arrived

    every state in which a call waits ──> dropped    its task has ended otherwise

A call that arrives after an equal call has returned is served at once: `arrived ──> returned`. A call that is running
when its task ends otherwise goes on, and keeps its slot until it is back. `TRANSITIONS` holds all of this; no call
takes a step that is not in it.

May know: `passes`, `plan`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from llmcompiler_graph.core.language.plan import Observation
from llmcompiler_graph.core.schedule.passes import CallId, ReadyCall

__all__ = ("TRANSITIONS", "CallState", "Calls")


class CallState(StrEnum):
    """What a call waits for, or how it ended."""

    ARRIVED = "arrived"
    """Its inputs exist, or it is wanted again; nothing was decided about it yet."""
    PARKED = "parked"
    """It waits until its task is claimed."""
    SHARING = "sharing"
    """It waits for an equal call."""
    READY = "ready"
    """It waits for a slot."""
    RUNNING = "running"
    """It is under way."""
    SUSPENDED = "suspended"
    """It came back without an observation and is made again once its task is claimed again."""
    RETURNED = "returned"
    """It has an observation."""
    ABANDONED = "abandoned"
    """It came back without an observation, or the call it shares did, and is not made again."""
    DROPPED = "dropped"
    """It is not wanted any more."""


TRANSITIONS: Mapping[CallState, frozenset[CallState]] = {
    CallState.ARRIVED: frozenset({CallState.PARKED, CallState.SHARING, CallState.READY, CallState.RETURNED}),
    CallState.PARKED: frozenset({CallState.ARRIVED, CallState.DROPPED}),
    CallState.SHARING: frozenset(
        {CallState.RETURNED, CallState.ABANDONED, CallState.PARKED, CallState.ARRIVED, CallState.DROPPED}
    ),
    CallState.READY: frozenset({CallState.RUNNING, CallState.DROPPED}),
    CallState.RUNNING: frozenset({CallState.RETURNED, CallState.SUSPENDED, CallState.ABANDONED, CallState.DROPPED}),
    CallState.SUSPENDED: frozenset({CallState.ARRIVED, CallState.DROPPED}),
    # of those that shared a call, until that one's task ends otherwise
    CallState.ABANDONED: frozenset({CallState.RETURNED, CallState.ARRIVED, CallState.DROPPED}),
    CallState.RETURNED: frozenset(),
    CallState.DROPPED: frozenset(),
}
"""The states that a call may go to, by the state it is in."""

_OVER = frozenset({CallState.RETURNED, CallState.ABANDONED, CallState.DROPPED})
_NOT_TO_DROP = frozenset({CallState.RUNNING, CallState.RETURNED, CallState.DROPPED})
_FOR_A_CLAIM = frozenset({CallState.PARKED, CallState.SUSPENDED})
_FOR_ANOTHER = frozenset({CallState.SHARING, CallState.ABANDONED})


class Calls:
    """The calls of released tasks: the state of each, what each gave, and which serves which."""

    def __init__(self) -> None:
        self.arrived: list[ReadyCall] = []
        """Those about which nothing was decided yet."""
        self.made: dict[str, CallId] = {}
        """By key, the calls that serve the equal ones that arrive."""
        self.unchanged = True
        """Whether nothing was changed yet: what was restored may have been read before a change."""
        self._of: dict[int, list[ReadyCall]] = {}
        self._states: dict[CallId, CallState] = {}
        self._open: Counter[int] = Counter()  # index -> calls that may still give something
        self._unclaimed: dict[int, list[ReadyCall]] = {}  # index -> its calls that wait for a claim
        self._served: dict[CallId, list[ReadyCall]] = {}  # a call -> those it will serve too
        self._makers: dict[int, set[int]] = {}  # index -> tasks that make, or made, a call for it
        self._begun: list[str] = []  # keys of calls that have begun, or were known, since the last change
        self._results: dict[int, dict[int, Observation]] = {}  # index -> element -> what the call gave

    # -- what is known ------------------------------------------------------------------------------------------

    def of(self, index: int) -> Sequence[ReadyCall]:
        """The calls of a task, in order; none if it was not released."""
        return self._of.get(index, ())

    def get(self, call: CallId) -> ReadyCall:
        """One of them."""
        index, element = call
        return self._of[index][element or 0]

    def result(self, call: CallId) -> Observation | None:
        """What a call gave."""
        index, element = call
        return self._results.get(index, {}).get(element or 0)

    def results(self, index: int) -> Mapping[int, Observation] | None:
        """What the calls of a task gave, by element (0 for a task of one call); `None` if some gave nothing yet."""
        found = self._results.get(index, {})
        return found if len(found) == len(self._of[index]) else None

    def open(self, index: int) -> bool:
        """Whether a call of a task may still give something."""
        return self._open[index] > 0

    def makers(self, index: int) -> Iterable[int]:
        """The tasks that make, or made, a call for a task."""
        return self._makers.get(index, ())

    def served_by(self, index: int) -> list[int]:
        """The tasks for which a task makes a call."""
        return [other.index for call in self.of(index) for other in self._served.get(call.id, ())]

    # -- what happens to them -----------------------------------------------------------------------------------

    def release(self, calls: list[ReadyCall]) -> None:
        """The calls of a task arrive for the first time."""
        self._of[calls[0].index] = calls
        self._states.update((call.id, CallState.ARRIVED) for call in calls)
        self._open[calls[0].index] = len(calls)
        self.arrived += calls

    def park(self, call: ReadyCall, *, suspended: bool = False) -> None:
        """A call waits until its task is claimed."""
        self.move(call, CallState.SUSPENDED if suspended else CallState.PARKED)
        self._unclaimed.setdefault(call.index, []).append(call)

    def claim(self, index: int) -> None:
        """The calls of a task that wait for its claim arrive again."""
        for call in self._unclaimed.pop(index, ()):
            self.want_again(call)

    def make(self, call: ReadyCall) -> None:
        """A call waits for a slot, and will serve the equal ones that arrive."""
        self.move(call, CallState.READY)
        if call.key:
            self.made[call.key] = call.id

    def begin(self, call: ReadyCall) -> None:
        """A call is under way."""
        self.move(call, CallState.RUNNING)
        if call.key:
            self._begun.append(call.key)

    def share(self, call: ReadyCall, maker: CallId) -> None:
        """A call waits for what an equal one gives."""
        self.move(call, CallState.SHARING)
        self._served.setdefault(maker, []).append(call)
        self._makers.setdefault(call.index, set()).add(maker[0])
        if self._states[maker] is CallState.ABANDONED:
            self.move(call, CallState.ABANDONED)

    def give(self, call: CallId, observation: Observation) -> list[CallId]:
        """Note what a call gave; return it and those it served."""
        served = self._unserved(call)
        for other in served:
            self.move(other, CallState.RETURNED)
        given = [call, *(other.id for other in served)]
        for index, element in given:
            self._results.setdefault(index, {}).setdefault(element or 0, observation)
        return given

    def restore(self, key: str, call: CallId) -> None:
        """A call was made in an earlier plan: it serves equal ones, if nothing was changed that it may have read."""
        if self.unchanged:
            self.made[key] = call
            self._begun.append(key)

    def abandon(self, call: ReadyCall) -> list[int]:
        """A call and those it serves get no observation; return their tasks."""
        sharing = [other for other in self._served.get(call.id, ()) if self._states[other.id] is CallState.SHARING]
        for abandoned in (call, *sharing):
            self.move(abandoned, CallState.ABANDONED)
        return [call.index, *(other.index for other in sharing)]

    def disown(self, call: ReadyCall) -> list[ReadyCall]:
        """Let a call serve nobody any more; return those that waited for it."""
        if self.made.get(call.key) == call.id:
            del self.made[call.key]
        return self._unserved(call.id)

    def want_again(self, call: ReadyCall) -> None:
        """A call arrives again: what it waited for was a claim, or another call that serves nobody any more."""
        self.move(call, CallState.ARRIVED)
        self.arrived.append(call)

    def drop(self, index: int) -> list[ReadyCall]:
        """A task has ended otherwise: none of its calls begins any more; return those that were ready."""
        ready = [call for call in self.of(index) if self._states[call.id] is CallState.READY]
        for call in self.of(index):
            if self._states[call.id] not in _NOT_TO_DROP:
                self.move(call, CallState.DROPPED)
        self._unclaimed.pop(index, None)
        return ready

    def forget(self) -> None:
        """Something was changed: of the calls made, only those that have not begun serve the equal ones to come."""
        self.unchanged = False
        for key in self._begun:
            if key in self.made and self._states.get(self.made[key]) is not CallState.READY:
                del self.made[key]
        self._begun.clear()

    def move(self, call: ReadyCall, to: CallState) -> None:
        """A call takes a step."""
        state = self._states[call.id]
        assert to in TRANSITIONS[state], f"call {call.id} cannot go from {state} to {to}"
        self._states[call.id] = to
        self._open[call.index] += (state in _OVER) - (to in _OVER)

    def validate(self, observations: Mapping[int, Observation]) -> None:
        """Check that what is noted of the calls agrees with their states.

        Args:
            observations: Those of the finished tasks.
        """
        assert not self.arrived
        for index in self._of:
            self._validate_task(index, finished=index in observations)
        self._validate_sharing()

    def _validate_task(self, index: int, *, finished: bool) -> None:
        calls = self._of[index]
        states = [self._states[call.id] for call in calls]
        assert CallState.ARRIVED not in states
        assert self._open[index] == sum(state not in _OVER for state in states)
        unclaimed = {call.id for call in calls if self._states[call.id] in _FOR_A_CLAIM}
        assert {call.id for call in self._unclaimed.get(index, ())} == unclaimed
        if finished:
            assert set(states) <= {CallState.RUNNING, *_OVER}, "a finished task's call waits"
        else:
            assert CallState.DROPPED not in states, "an unfinished task's call was dropped"
            assert len(self._results.get(index, ())) == states.count(CallState.RETURNED) < len(states)

    def _validate_sharing(self) -> None:
        served = {call.id: maker for maker, calls in self._served.items() for call in calls}
        for call, state in self._states.items():
            if state is CallState.SHARING:
                assert self._states[served[call]] in {CallState.READY, CallState.RUNNING}, "nobody makes the call"
        for key, call in self.made.items():
            known = self.result(call) is not None
            assert known or self.get(call).key == key
            assert known or self._states[call] in {CallState.READY, CallState.RUNNING, CallState.ABANDONED}

    def in_state(self, state: CallState) -> list[ReadyCall]:
        """The calls that are in a state."""
        return [call for calls in self._of.values() for call in calls if self._states[call.id] is state]

    def _unserved(self, call: CallId) -> list[ReadyCall]:
        return [other for other in self._served.pop(call, ()) if self._states[other.id] in _FOR_ANOTHER]
