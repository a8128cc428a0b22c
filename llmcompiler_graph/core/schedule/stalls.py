"""Which tasks can have no observation, because a call that they wait for was abandoned.

1 → 2, then 3 that needs 2:

>>> follows = {1: [2], 2: []}
>>> stalls = Stalls(lambda index: follows.get(index, ()))
>>> stalls.begin(1)
[Stalled(index=1, cause=1), Stalled(index=2, cause=1)]
>>> follows[2].append(3)
>>> stalls.join(3, [2])
[Stalled(index=3, cause=1)]

May know: `instructions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from llmcompiler_graph.core.schedule.instructions import Stalled

__all__ = ("Stalls",)


class Stalls:
    """The stalled tasks. Each is told of once, when it becomes one.

    Args:
        following: The unfinished tasks that wait for an unfinished task by themselves.
    """

    def __init__(self, following: Callable[[int], Iterable[int]]) -> None:
        self._following = following
        self._begun: dict[int, None] = {}  # unfinished tasks that are stalled because of calls of their own
        self._causes: dict[int, int] = {}  # index -> the one of these that it waits for, of all that are stalled
        self._outdated = False  # whether some of these may wait for their cause no more

    def begin(self, index: int) -> list[Stalled]:
        """A task made a call that was abandoned: it is stalled, and so is all that waits for it."""
        self._begun[index] = None
        return list(self._spread(index))

    def join(self, index: int, others: Iterable[int]) -> list[Stalled]:
        """A task waits for others from now on: it is stalled if one of them is."""
        if self._outdated:
            self._outdated = False
            before, self._causes = self._causes, {}
            found = [stalled for cause in self._begun for stalled in self._spread(cause)]
            return [stalled for stalled in found if stalled.index not in before]
        other = next((n for n in others if n in self._causes), None)
        return [] if other is None else list(self._spread(index, self._causes[other]))

    def end(self, index: int) -> None:
        """A task has an observation."""
        self._begun.pop(index, None)
        self.loosen(index)

    def loosen(self, index: int) -> None:
        """Tasks that waited for a task may wait for it no more."""
        self._outdated = self._outdated or index in self._causes

    def validate(self, waiting_for: Callable[[int], Iterable[int]]) -> None:
        """Check that those are stalled that wait for a stalled task, directly or not, and no others."""
        stalled = {n for cause in self._begun for n in (cause, *waiting_for(cause))}
        assert stalled <= self._causes.keys(), "a task that waits for an abandoned call is not stalled"
        assert self._outdated or stalled == self._causes.keys(), "a task that waits for no abandoned call is stalled"

    def __contains__(self, index: int) -> bool:
        """Whether a task was told to be stalled."""
        return index in self._causes

    def _spread(self, index: int, cause: int | None = None) -> Iterator[Stalled]:
        cause = index if cause is None else cause
        pending = [index]
        while pending:
            n = pending.pop()
            if n not in self._causes:
                self._causes[n] = cause
                yield Stalled(n, cause)
                pending += self._following(n)
