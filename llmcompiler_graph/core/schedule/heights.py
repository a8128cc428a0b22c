"""The height of a task: the length, in tasks, of the longest chain of tasks that waits for it.

1 → 2 → 3 and 1 → 4:

>>> heights = Heights({1: (), 2: [(1, 1)], 3: [(2, 1)], 4: [(1, 1)]}.__getitem__)
>>> for index in range(1, 5):
...     heights.add(index)
>>> sorted(heights.update())
[1, 2]
>>> [heights[index] for index in range(1, 5)]
[2, 1, 0, 0]

Heights are worked out when they are asked for, all at once for what has come since. A height never becomes less: a
chain still counts after one of its tasks has failed.

May know: nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

__all__ = ("Heights",)


class Heights:
    """The heights of the unfinished tasks.

    Args:
        waits_for: The unfinished tasks that a task waits for by itself, and how much higher they are at least: 1, or 0
            for a task that makes a call for both. They were added before it, unless it is 0.
    """

    def __init__(self, waits_for: Callable[[int], Iterable[tuple[int, int]]]) -> None:
        self._waits_for = waits_for
        self._heights: dict[int, int] = {}
        self._position: dict[int, int] = {}  # index -> how many tasks were added before it
        self._pending: set[int] = set()  # tasks that wait for others which have not been raised for it

    def add(self, index: int) -> None:
        """A task came."""
        self._position[index] = len(self._position)
        self._pending.add(index)

    def waits_for_another(self, index: int) -> None:
        """A task waits for one that it did not wait for before."""
        self._pending.add(index)

    def update(self) -> set[int]:
        """Work out the heights; return the tasks whose heights have risen.

        It costs in proportion to these and to the tasks that have come since: the last to come is looked at first, so
        that none is looked at twice.
        """
        risen: set[int] = set()
        pending, self._pending = self._pending, set()
        queue = [(-self._position[index], index) for index in pending]
        heapify(queue)
        while queue:
            index = heappop(queue)[1]
            pending.discard(index)
            for other in self._raise_what_it_waits_for(index):
                risen.add(other)
                if other in self._position and other not in pending:
                    pending.add(other)
                    heappush(queue, (-self._position[other], other))
        return risen

    def __getitem__(self, index: int) -> int:
        """The height of a task, as of the last update."""
        return self._heights.get(index, 0)

    def validate(self) -> None:
        """Check that no task waits for one that is too low for it, as of the last update."""
        for index in self._position.keys() - self._pending:
            assert not self._lower(index), f"what task {index} waits for is too low: {self._lower(index)}"

    def _raise_what_it_waits_for(self, index: int) -> list[int]:
        lower = self._lower(index)
        for other, step in lower:
            self._heights[other] = self[index] + step
        return [other for other, _ in lower]

    def _lower(self, index: int) -> list[tuple[int, int]]:
        """What a task waits for that is not as high as it should be."""
        position = self._position[index]
        return [
            (other, step)
            for other, step in self._waits_for(index)
            if self[other] < self[index] + step and (not step or self._position.get(other, -1) < position)
        ]
