"""The numbers of a plan's tasks: which index each gets, and what a number in a reference means.

A model that restarts its numbering in a replan is shifted, not believed: if the first index is not past the last one
used, the plan's own indices move past it, with the references to them; other references mean earlier plans.

>>> numbers = Numbering(used=[1, 2, 3])
>>> numbers.index(1), numbers.index(2)
(4, 5)
>>> numbers.take(1)
>>> numbers.rename(1), numbers.rename(2)
(4, 2)

May know: nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

__all__ = ("Numbering",)


class Numbering:
    """What is known of the numbers as they are *written*, and of the *indices* they stand for.

    Args:
        used: Indices of this question's earlier plans: they stay referable.
        again: If given, just these tasks are written anew, under their own numbers.
    """

    def __init__(self, used: Iterable[int] = (), again: Iterable[int] = ()) -> None:
        self.used = frozenset(used)
        """The indices of earlier plans."""
        self.last = max(self.used, default=0)
        """The last of them."""
        self.again = frozenset(again)
        """If there are any, just these tasks are written anew."""
        self._shift: int | None = 0 if self.again else None  # unknown until the first index is read
        self._own: set[int] = set()  # as written in this plan so far, usable or not
        self._greatest = 0  # of them
        self._broken: set[int] = set()  # those of unusable lines: a later line may take the index
        self._written_anew: dict[int, int] = {}  # what a number stands for that a task without one had before
        # numbers kept free: from which one as written the others move, and by how much in all
        self._moved_from: list[int] = []
        self._moved_by: list[int] = []
        self._free = max(self.used | self.again, default=0) + 1 if self.again else 0

    @property
    def undecided(self) -> bool:
        """Whether it is still to be seen if a replan goes on with the numbers of earlier plans."""
        return self._shift is None and bool(self.used)

    def index(self, written: int) -> int:
        """The index a written number gets: past the last used one, if the plan started below it."""
        if self._shift is None:
            self._shift = self.last - written + 1 if written <= self.last else 0
        before = bisect_right(self._moved_from, written)
        return written + self._shift + (self._moved_by[before - 1] if before else 0)

    def keep_free(self, written: int, count: int) -> range:
        """Keep indices free for the tasks that stand in place of one: before its own, if no later number is known."""
        if self.again:
            kept = range(self._free, self._free + count)
            self._free += count
            return kept
        start = max(written, self._greatest) + (written <= self._greatest)
        first = self.index(start)
        self._moved_from.append(start)
        self._moved_by.append((self._moved_by[-1] if self._moved_by else 0) + count)
        return range(first, first + count)

    def following(self) -> int:
        """The number of a task that is written without one: the next, or the first that is to be written anew."""
        if self.again:
            return min(self.again.difference(self._own), default=max(self.again) + 1)
        return (self._greatest or self.last) + 1

    def is_free(self, written: int) -> bool:
        """Whether a task that is written without a number may take this one."""
        return written > 0 and not self.has(written) and (not self.again or written in self.again)

    def usable(self, index: int) -> bool:
        """Whether a task may have an index."""
        return index > 0 and index not in self.used and (not self.again or index in self.again)

    def take(self, written: int) -> None:
        """A task has the number."""
        self._own.add(written)
        self._greatest = max(self._greatest, written)
        self._broken.discard(written)

    def spoil(self, written: int) -> None:
        """The line of the number is unusable; a later one may take it."""
        self._own.add(written)
        self._greatest = max(self._greatest, written)
        self._broken.add(written)

    def forget(self, written: int) -> None:
        """The number is being read: it is no task yet, even if it was an unusable line's."""
        self._own.discard(written)

    def has(self, written: int) -> bool:
        """Whether a task of this plan has the number."""
        return written in self._own and written not in self._broken

    def knows(self, written: int) -> bool:
        """Whether the number stands for anything so far, an unusable line or an earlier plan's task included."""
        return written in self._own or written in self.used

    def is_task(self, written: int, within: int) -> bool:
        """Whether a reference may mean a task by its number, if it stands in task `within`."""
        if self.again:
            return written != within and (written in self.used or written in self.again)
        return self.knows(written)

    def move(self, written: int, to: int) -> None:
        """From now on, the number stands for another one in references: a task without a number had it before."""
        if written != to:
            self._written_anew[written] = to

    def is_moved(self, written: int) -> bool:
        """Whether it stands for another one."""
        return written in self._written_anew

    def rename(self, written: int) -> int:
        """The index of the task that the number means in a reference."""
        written = self._written_anew.get(written, written)
        return self.index(written) if written in self._own else written
