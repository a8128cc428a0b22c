"""Who waits for whom: for data, for what a task comes after, and, of tasks with effects, for the one before.

>>> waits = Waits()
>>> waits.add(1, (), known=(), in_turn=True)
>>> waits.add(2, (1,), known=())
>>> waits.add(3, (), known=(), in_turn=True)
>>> waits.finish(1, done=True)
[2, 3]

May know: nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

__all__ = ("Waits",)


class Waits:
    """What each task waits for by itself, and which tasks wait for it."""

    def __init__(self) -> None:
        self._needs: dict[int, Sequence[int]] = {}
        self._unfinished: dict[int, set[int]] = {}  # index -> what it needs that is not finished
        self._dependents: dict[int, list[int]] = {}  # index -> tasks that need it
        self._turns = _Turns()

    def add(self, index: int, needs: Sequence[int], *, known: Container[int], in_turn: bool = False) -> None:
        """A task came.

        Args:
            index: The task.
            needs: The tasks whose failure skips it.
            known: The finished tasks.
            in_turn: Whether it waits for the task before it that does so, too.
        """
        self._needs[index] = needs
        self._unfinished[index] = {n for n in needs if n not in known}
        for n in needs:
            self._dependents.setdefault(n, []).append(index)
        if in_turn:
            self._turns.append(index)

    def finish(self, index: int, *, done: bool) -> list[int]:
        """A task is finished; return the tasks to look at: nothing that they wait for is left, or it failed."""
        found: list[int] = []
        for dependent in self._dependents.get(index, ()):
            self._unfinished[dependent].discard(index)
            if not done or not self._unfinished[dependent]:
                found.append(dependent)
        if index in self._turns:
            self._turns.remove(index)
            found += self._turns.first()
        return found

    def needs(self, index: int) -> Sequence[int]:
        """The tasks whose failure skips a task."""
        return self._needs[index]

    def over(self, index: int) -> bool:
        """Whether a task waits for no other."""
        in_turn = index not in self._turns or index in self._turns.first()
        return in_turn and not self._unfinished[index]

    def before(self, index: int) -> Iterator[int]:
        """The unfinished tasks that a task waits for."""
        yield from self._unfinished[index]
        yield from self._turns.before(index)

    def dependents(self, index: int) -> Sequence[int]:
        """The tasks that need a task, finished or not."""
        return self._dependents.get(index, ())

    def after(self, index: int) -> Iterator[int]:
        """The tasks that wait for an unfinished task; some may be finished."""
        yield from self.dependents(index)
        yield from self._turns.after(index)

    def validate(self, unfinished: Iterable[int], known: Container[int], in_turn: Iterable[int]) -> None:
        """Check what is noted against the tasks.

        Args:
            unfinished: Those that are not finished.
            known: Those that are.
            in_turn: The unfinished ones that wait for the one before, in plan order.
        """
        for index in unfinished:
            assert self._unfinished[index] == {n for n in self._needs[index] if n not in known}
            assert all(index in self._dependents[n] for n in self._needs[index])
        order = list(in_turn)
        assert list(self._turns) == order
        assert [list(self._turns.before(n)) for n in order] == [order[max(n - 1, 0) : n] for n in range(len(order))]


class _Turns:
    """Tasks in order, of which any may be taken out: a list linked both ways."""

    def __init__(self) -> None:
        self._links: dict[int | None, list[int | None]] = {None: [None, None]}  # task -> that before, that after

    def __contains__(self, index: int) -> bool:
        return index in self._links

    def __iter__(self) -> Iterator[int]:
        following = self._links[None][1]
        while following is not None:
            yield following
            following = self._links[following][1]

    def append(self, index: int) -> None:
        last = self._links[None][0]
        self._links[index] = [last, None]
        self._links[last][1] = self._links[None][0] = index

    def remove(self, index: int) -> None:
        before, after = self._links.pop(index)
        self._links[before][1] = after
        self._links[after][0] = before

    def first(self) -> Sequence[int]:
        return self.after(None)

    def before(self, index: int) -> Sequence[int]:
        return self._linked(index, 0)

    def after(self, index: int | None) -> Sequence[int]:
        return self._linked(index, 1)

    def _linked(self, index: int | None, side: int) -> Sequence[int]:
        linked = self._links[index][side] if index in self._links else None
        return () if linked is None else (linked,)
