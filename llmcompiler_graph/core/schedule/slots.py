"""The slots for calls, and the calls that wait for one.

A call takes a slot of the whole plan and one of its tool, where these are limited. Of the calls that wait, those of the
task that is first by `priority` are first, ties in order of the tasks' indices; the calls of one task in order of the
elements. A call whose tool has no slot left does not hold up those of other tools.

>>> slots = Slots(1, {}, lambda index, height: -height)
>>> for index, height in ((1, 0), (2, 3)):
...     slots.wait(ReadyCall(index, None, "search", {}), height)
>>> [call and call.index for call in (slots.take(), slots.take())]
[2, None]
>>> slots.give_back("search")
>>> slots.take().index
1

May know: `passes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import TypeAlias

from llmcompiler_graph.core.schedule.passes import Priority, ReadyCall

__all__ = ("Slots",)

_Heap: TypeAlias = list[tuple[float, int]]
"""`(rank, index)` of tasks with calls that wait; also of tasks that had another rank, or calls, before."""


class Slots:
    """Which calls are under way, and which is next.

    Args:
        limit: How many calls may be under way; `None` for any number.
        limits: `{tool: how many of its calls}`.
        priority: Which task is first.
    """

    def __init__(self, limit: int | None, limits: Mapping[str, int], priority: Priority) -> None:
        self._limit = limit
        self._limits = limits
        self._priority = priority
        self._taken = 0
        self._taken_by: Counter[str] = Counter()  # tool -> slots
        self._waiting: dict[tuple[int, int], ReadyCall] = {}  # by task and element (0 for a task of one call)
        self._elements: dict[int, list[int]] = {}  # index -> heap of the elements that wait, or waited before
        self._ranks: dict[int, float] = {}  # index -> its rank
        self._heaps: dict[str, _Heap] = {}  # tool -> its tasks; all tools without a limit of their own share one

    def wait(self, call: ReadyCall, height: int) -> None:
        """A call waits for a slot."""
        index, element = call.index, call.element or 0
        self._waiting[index, element] = call
        heappush(self._elements.setdefault(index, []), element)
        if index not in self._ranks:
            self._rank(index, self._heap(call.tool), height)

    def leave(self, call: ReadyCall) -> None:
        """A call does not wait for a slot any more."""
        del self._waiting[call.index, call.element or 0]

    def rise(self, index: int, height: int) -> None:
        """The height of a task is another."""
        if index in self._ranks and (call := self._next(index)) is not None:
            self._rank(index, self._heap(call.tool), height)

    def contested(self) -> bool:
        """Whether calls of several tasks wait, and there is a slot for some of them."""
        several = len(self._waiting) > 1 and len(self._ranks) > 1  # which holds some tasks that wait no more
        return several and any(map(self._first, self._open_heaps()))

    def take(self) -> ReadyCall | None:
        """Take a slot for the call that is first; `None` if no call waits for which there is one."""
        if not self._waiting:
            return None
        first = min(filter(None, map(self._first, self._open_heaps())), default=None)
        if first is None:
            return None
        index = first[1]
        call = self._waiting.pop((index, heappop(self._elements[index])))
        self._taken += 1
        self._taken_by[call.tool] += 1
        return call

    def give_back(self, tool: str) -> None:
        """A call of a tool is not under way any more."""
        self._taken -= 1
        self._taken_by[tool] -= 1

    def validate(self, under_way: Mapping[str, int], waiting: set[tuple[int, int]]) -> None:
        """Check that what is under way has its slots, that no limit is passed, and that no slot is free for a call.

        Args:
            under_way: `{tool: calls under way}`.
            waiting: The calls that wait, by task and element (0 for a task of one call).
        """
        assert +self._taken_by == Counter(under_way)
        assert self._taken == self._taken_by.total()
        assert self._limit is None or self._taken <= self._limit
        assert all(self._taken_by[tool] <= limit for tool, limit in self._limits.items())
        assert self._waiting.keys() == waiting
        for index, element in self._waiting:
            assert element in self._elements[index]
            assert (self._ranks[index], index) in self._heap(self._waiting[index, element].tool)
        assert not any(map(self._first, self._open_heaps())), "a call waits for a slot that is free"

    def _heap(self, tool: str) -> _Heap:
        return self._heaps.setdefault(tool if tool in self._limits else "", [])

    def _rank(self, index: int, heap: _Heap, height: int) -> None:
        rank = self._ranks[index] = self._priority(index, height)
        heappush(heap, (rank, index))

    def _open_heaps(self) -> list[_Heap]:
        """The heaps of the tools that have slots left."""
        if self._limit is not None and self._taken >= self._limit:
            return []
        return [
            heap
            for tool, heap in self._heaps.items()
            if tool not in self._limits or self._taken_by[tool] < self._limits[tool]
        ]

    def _first(self, heap: _Heap) -> tuple[float, int] | None:
        """The first task of a heap that has a call to make."""
        while heap:
            rank, index = heap[0]
            if self._ranks.get(index) == rank and self._next(index) is not None:
                return heap[0]
            heappop(heap)
        return None

    def _next(self, index: int) -> ReadyCall | None:
        """The first call of a task that waits."""
        elements = self._elements.get(index, [])
        while elements:
            if (call := self._waiting.get((index, elements[0]))) is not None:
                return call
            heappop(elements)
        self._elements.pop(index, None)
        self._ranks.pop(index, None)
        return None
