"""The clock of a turn: how many seconds it has run. The times of its tasks are read from it, and its deadline.

It stands still while the turn does not run: while it is paused for a human, or its process is down. So every node
notes in the state how long the turn has run by then, and a later run of the graph goes on from there. Of a node that
was left in the middle, the tasks that have finished tell how long it had run at least.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from llmcompiler_graph.graph.inflight import InFlight
from llmcompiler_graph.state import Clock, LLMCompilerState

__all__ = ("TurnClock", "current_clock", "new_clock", "turn_clock")

_PROCESS = uuid4().hex


class TurnClock:
    """Seconds that a turn has run, on this event loop."""

    def __init__(self, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._began = clock["began"]

    def __call__(self) -> float:
        """Read it, in whole microseconds."""
        return round((self._loop.time() - self._began) * 1e6) / 1e6  # `round(…, 6)` takes twice as long

    def catch_up(self, seconds: float) -> None:
        """Learn that the turn has run for so long at least."""
        self._began = min(self._began, self._loop.time() - seconds)

    def noted(self) -> Clock:
        """Note for the state how long the turn has run."""
        return {**self._clock, "began": self._began, "spent": self()}


def new_clock(inflight: InFlight) -> Clock:
    """The clock of a turn that begins now, in the run of the node that this is called in."""
    return Clock(run=_run(inflight), began=asyncio.get_running_loop().time(), spent=0)


def current_clock(state: LLMCompilerState, inflight: InFlight) -> Clock:
    """The clock of a turn, going on in the run of the node that this is called in."""
    clock, run = state["clock"], _run(inflight)
    if clock["run"] == run:
        return clock
    return Clock(run=run, began=asyncio.get_running_loop().time() - clock["spent"], spent=clock["spent"])


def turn_clock(state: LLMCompilerState) -> TurnClock:
    """How long a turn has run, given the state with its current clock."""
    return TurnClock(state["clock"])


def _run(inflight: InFlight) -> str:
    return f"{_PROCESS}-{id(asyncio.get_running_loop())}-{inflight.run()}"
