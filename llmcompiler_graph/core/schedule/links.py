"""Which unfinished tasks wait for which by themselves: for data, order, or a call that one makes for another.

May know: `waits` and `calls`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from llmcompiler_graph.core.schedule.calls import Calls
from llmcompiler_graph.core.schedule.waits import Waits

__all__ = ("Links",)


class Links:
    """The links between tasks, in both directions.

    Args:
        finished: The finished tasks, now and later.
        waits: What each task waits for because of the plan.
        calls: Their calls.
    """

    def __init__(self, finished: Container[int], waits: Waits, calls: Calls) -> None:
        self._finished = finished
        self._waits = waits
        self._calls = calls

    def before(self, index: int) -> Iterator[tuple[int, int]]:
        """The unfinished tasks a task waits for; 0 for one that makes a call for it, 1 for the others."""
        if index not in self._finished:
            yield from ((n, 1) for n in self._waits.before(index))
            yield from ((n, 0) for n in self._calls.makers(index) if n not in self._finished)

    def after(self, index: int) -> Iterator[int]:
        """The unfinished tasks that wait for a task."""
        yield from (n for n in self._waits.after(index) if n not in self._finished)
        yield from (n for n in self._calls.served_by(index) if n not in self._finished)
